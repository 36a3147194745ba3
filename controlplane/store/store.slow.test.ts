import t from 'tap'
import { openEtcdStore } from './etcd/index.ts'
import { isStoreError, openMemoryStore, openSqliteStore } from './index.ts'
import type { Change, Store, StoreWatch } from './index.ts'
import { hasEtcd, startEtcd } from './test-support/etcd.ts'

const text = (value: string): Uint8Array => Buffer.from(value)
const read = (value: Uint8Array | undefined): string | undefined => (value === undefined ? undefined : Buffer.from(value).toString())

const kinds: Record<string, (t: Tap.Test) => Store | Promise<Store>> = {
  memory: () => openMemoryStore(),
  sqlite: (t) => openSqliteStore(t.testdir()),
  etcd: async (t) => {
    const [member] = await startEtcd(t.testdir())
    if (member === undefined) throw new Error('Cannot test: there is no etcd')
    t.teardown(() => member.kill())
    const store = openEtcdStore({ endpoints: [member.url] })
    t.teardown(() => store.close())
    return store
  },
}

declare namespace Tap {
  type Test = typeof t
}

function record(store: Store, prefix: string, fromRevision: number): { changes: Change[]; ends: unknown[]; watch: StoreWatch } {
  const changes: Change[] = []
  const ends: unknown[] = []
  const watch = store.watch(prefix, { fromRevision, onChanges: (more) => changes.push(...more), onEnd: (error) => ends.push(error) })
  return { changes, ends, watch }
}

for (const [kind, open] of Object.entries(kinds)) {
  const options = { skip: kind === 'etcd' && !hasEtcd && 'needs etcd (Debian: etcd-server)' }
  t.test(`the ${kind} store counts revisions from 1 and gives each write its own`, options, async (t) => {
    const store = await open(t as never)
    t.equal(await store.currentRevision(), 1)
    t.equal(await store.create('/a/1', text('one')), 2)
    t.equal(await store.create('/a/2', text('two')), 3)
    t.equal(await store.update('/a/1', text('uno'), 2), 4)
    t.match(await store.get('/a/1'), { key: '/a/1', createRevision: 2, modRevision: 4 })
    t.equal(read((await store.get('/a/1'))?.value), 'uno')
    t.equal(await store.delete('/a/1', 4), 5)
    t.equal(await store.get('/a/1'), undefined)
    t.equal(await store.currentRevision(), 5)
    t.equal(await store.create('/a/1', text('back')), 6)
    t.match(await store.get('/a/1'), { createRevision: 6, modRevision: 6 })
    await store.close()
  })

  t.test(`the ${kind} store refuses writes that have not seen the newest revision`, options, async (t) => {
    const store = await open(t as never)
    const revision = await store.create('/a', text('one'))
    await t.rejects(store.create('/a', text('again')), { code: 'exists' })
    await t.rejects(store.update('/a', text('x'), revision + 1), { code: 'conflict' })
    await t.rejects(store.delete('/a', revision - 1), { code: 'conflict' })
    await t.rejects(store.update('/b', text('x'), 1), { code: 'not-found' })
    await t.rejects(store.delete('/b', 1), { code: 'not-found' })
    t.equal(await store.currentRevision(), revision, 'refused writes take no revision')
    await store.close()
  })

  t.test(`the ${kind} store lets exactly one of many concurrent writers win`, options, async (t) => {
    const store = await open(t as never)
    const revision = await store.create('/a', text('0'))
    const results = await Promise.allSettled(Array.from({ length: 50 }, (_, i) => store.update('/a', text(`${i}`), revision)))
    t.equal(results.filter((result) => result.status === 'fulfilled').length, 1)
    t.ok(results.every((result) => result.status === 'fulfilled' || isStoreError(result.reason, 'conflict')))
    await store.close()
  })

  t.test(`the ${kind} store pages through a range at one revision while it changes`, options, async (t) => {
    const store = await open(t as never)
    for (let i = 0; i < 25; i++) await store.create(`/pods/p${String(i).padStart(2, '0')}`, text(`${i}`))
    await store.create('/podz', text('not in the range'))
    const first = await store.range('/pods/', { limit: 10 })
    t.equal(first.entries.length, 10)
    t.equal(first.remaining, 15)
    await store.delete('/pods/p12', (await store.get('/pods/p12'))?.modRevision ?? 0)
    await store.create('/pods/p11a', text('late'))
    const rest = await store.range('/pods/', { revision: first.revision, after: '/pods/p09' })
    t.same(rest.entries.map((entry) => entry.key), Array.from({ length: 15 }, (_, i) => `/pods/p${i + 10}`))
    const now = await store.range('/pods/')
    t.equal(now.entries.length, 25)
    t.equal((await store.range('/pods/', { after: '/pods/p24' })).entries.length, 0)
    t.equal((await store.range('/pods/', { after: '/pods/p11' })).entries[0]?.key, '/pods/p11a')
    await t.rejects(store.range('/pods/', { revision: 10_000 }), { code: 'future' })
    await store.close()
  })

  t.test(`the ${kind} store replays history to a watch and goes on without gap or duplicate`, options, async (t) => {
    const store = await open(t as never)
    const first = await store.create('/a/1', text('1'))
    await store.create('/b/1', text('other prefix'))
    const second = await store.update('/a/1', text('2'), first)
    const seen = record(store, '/a/', first + 1)
    const third = await store.delete('/a/1', second)
    t.same(
      seen.changes.map((change) => [change.revision, read(change.value)]),
      [
        [second, '2'],
        [third, undefined],
      ],
    )
    seen.watch.close()
    await store.create('/a/2', text('after the close'))
    t.equal(seen.changes.length, 2)
    const other = record(store, '/a/', third + 1)
    await store.close()
    t.match(other.ends, [{ code: 'closed' }])
  })

  t.test(`the ${kind} store delivers a change before it acknowledges it`, options, async (t) => {
    const store = await open(t as never)
    const seen = record(store, '/', 2)
    const writes = Array.from({ length: 100 }, async (_, i) => {
      const revision = await store.create(`/k${i}`, text('v'))
      return seen.changes.some((change) => change.revision === revision)
    })
    t.ok((await Promise.all(writes)).every(Boolean))
    t.same(seen.changes.map((change) => change.revision), Array.from({ length: 100 }, (_, i) => i + 2), 'in order, each once')
    await store.close()
  })

  t.test(`the ${kind} store forgets history on compaction and nothing else`, options, async (t) => {
    const store = await open(t as never)
    let revision = await store.create('/a', text('0'))
    for (let i = 1; i < 10; i++) revision = await store.update('/a', text(`${i}`), revision)
    const gone = await store.create('/gone', text('x'))
    const tombstone = await store.delete('/gone', gone)
    await store.compact(tombstone)
    t.equal(store.compactedRevision, tombstone)
    t.equal(read((await store.get('/a'))?.value), '9')
    t.equal((await store.range('/')).entries.length, 1)
    t.equal(read((await store.get('/a', tombstone))?.value), '9')
    await t.rejects(store.get('/a', revision), { code: 'compacted' })
    t.throws(() => record(store, '/', tombstone), { code: 'compacted' })
    t.equal(await store.create('/gone', text('again')), tombstone + 1, 'revisions go on')
    const after = record(store, '/', tombstone + 1)
    const last = await store.create('/last', text('x'))
    t.same(after.changes.map((change) => change.revision), [tombstone + 1, last])
    await store.close()
    await t.rejects(store.get('/a'), { code: 'closed' })
    await t.rejects(store.create('/c', text('')), { code: 'closed' })
  })
}
