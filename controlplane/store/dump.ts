// A store as a text that can be kept, read and brought back: a line a key, with its value as it is stored (JSON in one line).
import type { Store } from './store.ts'

const heading = 'fairway store 1'
const pageSize = 2000
/** What stands for a moment only, and means nothing later. */
const passing = '/registry/locks/'

/** The state at one revision, in lines without their ends; the last one counts them. */
export async function* exportStore(store: Store): AsyncGenerator<string> {
  const revision = await store.currentRevision()
  yield `${heading} revision ${revision}`
  let count = 0
  for (let after: string | undefined; ; ) {
    const { entries, remaining } = await store.range('/registry/', { revision, limit: pageSize, ...(after === undefined ? {} : { after }) })
    for (const { key, value } of entries) {
      if (key.startsWith(passing)) continue
      const text = Buffer.from(value).toString()
      if (text.includes('\n')) throw new Error(`Cannot export ${key}: its value is no JSON in one line`)
      yield `${key}\t${text}`
      count++
    }
    after = entries.at(-1)?.key
    if (remaining === 0 || after === undefined) break
  }
  yield `end ${count}`
}

/** Brings an export into a store that is empty. Nothing is written before the whole of it was read. Returns how many keys. */
export async function importStore(store: Store, lines: AsyncIterable<string>): Promise<number> {
  const { entries } = await store.range('/registry/', { limit: 1 })
  if (entries.length > 0) throw new Error('Cannot import: the store is not empty; import into a new one')
  const all: [key: string, value: Buffer][] = []
  let isBegun = false
  let isWhole = false
  for await (const line of lines) {
    if (!isBegun) {
      if (!line.startsWith(`${heading} `)) throw new Error(`Cannot import: the file is no export of a store (it begins with ${JSON.stringify(line.slice(0, 30))})`)
      isBegun = true
    } else if (line.startsWith('/registry/')) {
      const tab = line.indexOf('\t')
      all.push([line.slice(0, tab), Buffer.from(line.slice(tab + 1))])
    } else if (line !== '') isWhole = line === `end ${all.length}`
  }
  if (!isWhole) throw new Error('Cannot import: the file is not whole (its last line does not count what it holds)')
  for (let at = 0; at < all.length; at += pageSize) await Promise.all(all.slice(at, at + pageSize).map(([key, value]) => store.create(key, value)))
  return all.length
}
