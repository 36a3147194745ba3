import { statSync } from 'node:fs'
import t from 'tap'
import { openEtcdStore } from './etcd/index.ts'
import { exportStore, importStore, openMemoryStore, openSqliteStore } from './index.ts'
import type { Store } from './index.ts'
import { hasEtcd, startEtcd } from './test-support/etcd.ts'

async function* linesOf(lines: readonly string[]): AsyncGenerator<string> {
  yield* lines
}

async function written(store: Store): Promise<string[]> {
  const lines: string[] = []
  for await (const line of exportStore(store)) lines.push(line)
  return lines
}

async function fill(store: Store): Promise<void> {
  for (let i = 0; i < 2500; i++) await store.create(`/registry/core/things/default/t-${i}`, Buffer.from(`{"n":9007199254740993,"i":${i},"text":"Zürich\\n"}`))
  await store.create('/registry/locks/services', Buffer.from('me'))
}

t.test('what is exported from one store comes back in another, byte by byte', async (t) => {
  const [from, to] = [openMemoryStore(), openSqliteStore(t.testdir())]
  await fill(from)
  const lines = await written(from)
  t.equal(lines.length, 2502)
  t.equal(await importStore(to, linesOf(lines)), 2500)
  t.same((await written(to)).slice(1), lines.slice(1))
  t.equal(Buffer.from((await to.get('/registry/core/things/default/t-7'))?.value ?? []).toString(), '{"n":9007199254740993,"i":7,"text":"Zürich\\n"}')
  await t.rejects(importStore(to, linesOf(lines)), { message: 'Cannot import: the store is not empty; import into a new one' })
  await Promise.all([from.close(), to.close()])
})

t.test('a file that is no export, or not the whole of one, changes nothing', async (t) => {
  const [from, to] = [openMemoryStore(), openMemoryStore()]
  await fill(from)
  const lines = await written(from)
  await t.rejects(importStore(to, linesOf(['{}'])), { message: /is no export of a store/ })
  await t.rejects(importStore(to, linesOf(lines.slice(0, -1))), { message: /is not whole/ })
  await t.rejects(importStore(to, linesOf([...lines.slice(0, 5), ...lines.slice(6)])), { message: /is not whole/ })
  t.equal((await to.range('/')).entries.length, 0)
})

t.test('defragmentation gives the disk back what compaction has freed', async (t) => {
  const directory = t.testdir()
  const store = openSqliteStore(directory)
  const revisions = await Promise.all(Array.from({ length: 2000 }, (_, i) => store.create(`/registry/k${i}`, Buffer.alloc(2000, 'x'))))
  await Promise.all(revisions.map((revision, i) => store.delete(`/registry/k${i}`, revision)))
  await store.compact(await store.currentRevision())
  await store.create('/registry/kept', Buffer.from('1'))
  await store.defragment()
  t.ok(statSync(`${directory}/state.db`).size < 100_000, `${statSync(`${directory}/state.db`).size} bytes`)
  t.equal((await store.range('/')).entries.length, 1)
  await store.close()
})

t.test('etcd is exported, imported into and defragmented too', { skip: !hasEtcd && 'needs etcd (Debian: etcd-server)' }, async (t) => {
  const [member] = await startEtcd(t.testdir())
  if (member === undefined) throw new Error('Cannot test: there is no etcd')
  t.teardown(() => member.kill())
  const [from, etcd] = [openMemoryStore(), openEtcdStore({ endpoints: [member.url] })]
  await fill(from)
  const lines = await written(from)
  await importStore(etcd, linesOf(lines))
  await etcd.defragment()
  t.same((await written(etcd)).slice(1), lines.slice(1))
  await etcd.close()
})
