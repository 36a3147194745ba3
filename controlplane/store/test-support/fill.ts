// Fills a store until its disk is full, then deletes and reads: run on a tiny file system.
import { isStoreError, openSqliteStore } from '../index.ts'

const [directory = ''] = process.argv.slice(2)
const store = openSqliteStore(directory)
const acknowledged: string[] = []
let sentence = ''
for (let i = 0; i < 10_000 && sentence === ''; i++) {
  const key = `/registry/core/things/default/thing-${i}`
  try {
    await store.create(key, Buffer.alloc(4096, i))
    acknowledged.push(key)
  } catch (error) {
    if (!isStoreError(error, 'full')) throw error
    sentence = error.message
  }
}
await store.close()
const again = openSqliteStore(directory)
const { entries } = await again.range('/registry/')
const found = new Set(entries.map((entry) => entry.key))
const lost = acknowledged.filter((key) => !found.has(key)).length
process.stdout.write(JSON.stringify({ sentence, acknowledged: acknowledged.length, lost }))
