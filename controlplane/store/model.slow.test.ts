import * as fc from 'fast-check'
import t from 'tap'
import { openEtcdStore } from './etcd/index.ts'
import { isStoreError, openMemoryStore, openSqliteStore } from './index.ts'
import type { Change, Store } from './index.ts'
import { hasEtcd, startEtcd } from './test-support/etcd.ts'

// The model: the plain list of everything that was committed. All answers are computed from it anew.
class Model {
  readonly log: { revision: number; key: string; value: string | undefined }[] = []
  /** Where the store began: an etcd that others have used before does not begin at 1. */
  readonly first: number
  compacted: number

  constructor(first: number, compacted: number) {
    this.first = first
    this.compacted = compacted
  }

  get revision(): number {
    return this.log.at(-1)?.revision ?? this.first
  }

  at(key: string, revision: number): { value: string; revision: number } | undefined {
    const last = this.log.findLast((change) => change.key === key && change.revision <= revision)
    return last?.value === undefined ? undefined : { value: last.value, revision: last.revision }
  }

  keys(revision: number): string[] {
    return [...new Set(this.log.map((change) => change.key))].filter((key) => this.at(key, revision) !== undefined).sort()
  }
}

type Operation =
  | { kind: 'create' | 'update' | 'delete'; key: string; value: string; stale: boolean }
  | { kind: 'compact' | 'read' | 'watch' | 'reopen'; back: number; limit: number }

const operation: fc.Arbitrary<Operation> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constantFrom('create', 'update', 'delete'), key: fc.constantFrom('/a/1', '/a/2', '/a/20', '/b/1', '/b'), value: fc.string(), stale: fc.boolean() }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constantFrom('compact', 'read', 'watch', 'reopen'), back: fc.nat(12), limit: fc.integer({ min: 1, max: 4 }) }) },
)

async function write(store: Store, model: Model, operation: Extract<Operation, { key: string }>): Promise<void> {
  const { kind, key, value, stale } = operation
  const state = model.at(key, model.revision)
  const expected = (state?.revision ?? 1) - (stale ? 1 : 0)
  const allowed = kind === 'create' ? state === undefined : state !== undefined && !stale
  const bytes = Buffer.from(value)
  try {
    const revision = await (kind === 'create' ? store.create(key, bytes) : kind === 'update' ? store.update(key, bytes, expected) : store.delete(key, expected))
    if (!allowed || revision !== model.revision + 1) throw new Error(`${kind} ${key} should not have given ${revision}`)
    model.log.push({ revision, key, value: kind === 'delete' ? undefined : value })
  } catch (error) {
    if (allowed || !isStoreError(error)) throw error
  }
}

async function compare(store: Store, model: Model, operation: Extract<Operation, { back: number }>): Promise<void> {
  const revision = Math.max(1, model.revision - operation.back)
  if (operation.kind === 'compact') {
    await store.compact(revision)
    model.compacted = Math.max(model.compacted, revision)
  } else if (operation.kind === 'read') {
    if (revision < model.compacted) return void (await t.rejects(store.range('/', { revision }), { code: 'compacted' }))
    const keys: string[] = []
    for (let after: string | undefined; ; ) {
      const page = await store.range('/', { revision, limit: operation.limit, ...(after === undefined ? {} : { after }) })
      for (const entry of page.entries) {
        const expected = model.at(entry.key, revision)
        if (expected?.value !== Buffer.from(entry.value).toString() || expected.revision !== entry.modRevision) throw new Error(`wrong ${entry.key}`)
        keys.push(entry.key)
      }
      if (page.remaining === 0) break
      after = keys.at(-1)
    }
    if (keys.join() !== model.keys(revision).join()) throw new Error(`range ${keys.join()} is not ${model.keys(revision).join()}`)
  } else if (operation.kind === 'watch') {
    const changes: Change[] = []
    const expected = model.log.filter((change) => change.revision >= revision && change.key.startsWith('/a'))
    try {
      const watch = store.watch('/a', { fromRevision: revision, onChanges: (more) => changes.push(...more), onEnd: () => {} })
      await until(() => changes.length >= expected.length)
      watch.close()
    } catch (error) {
      if (revision > model.compacted || !isStoreError(error, 'compacted')) throw error
      return
    }
    if (changes.map((change) => change.revision).join() !== expected.map((change) => change.revision).join()) throw new Error('wrong history')
  }
}

/** Gives what comes over a connection the time to come; what does not come is then missed by the comparison. */
async function until(isThere: () => boolean): Promise<void> {
  for (let turn = 0; turn < 400 && !isThere(); turn++) await new Promise((resolve) => void setTimeout(resolve, 5))
}

async function run(open: () => Store, operations: readonly Operation[], durable: boolean): Promise<void> {
  let store = open()
  const model = new Model(await store.currentRevision(), store.compactedRevision)
  const live: number[] = []
  const listen = (): void => void store.watch('/', { fromRevision: model.revision + 1, onChanges: (more) => live.push(...more.map((change) => change.revision)), onEnd: () => {} })
  listen()
  for (const operation of operations) {
    if ('key' in operation) await write(store, model, operation)
    else if (operation.kind !== 'reopen') await compare(store, model, operation)
    else if (durable) {
      await store.close()
      store = open()
      // etcd is asked what it still has when it is used first.
      await store.currentRevision()
      listen()
    }
  }
  if ((await store.currentRevision()) !== model.revision) throw new Error('wrong revision')
  if (live.join() !== model.log.map((change) => change.revision).join()) throw new Error('the live watch missed or repeated changes')
  await store.close()
}

t.test('whatever is done to the memory store, it answers as the model does', async () => {
  await fc.assert(fc.asyncProperty(fc.array(operation, { maxLength: 60 }), (operations) => run(openMemoryStore, operations, false)), { numRuns: 200 })
})

t.test('whatever is done to the SQLite store, also reopened in between, it answers as the model does', async (t) => {
  const directory = t.testdir()
  let run_ = 0
  await fc.assert(
    fc.asyncProperty(fc.array(operation, { maxLength: 40 }), (operations) => {
      const mine = `${directory}/${run_++}`
      return run(() => openSqliteStore(mine), operations, true)
    }),
    { numRuns: 60 },
  )
})

t.test('whatever is done to the etcd store, also reopened in between, it answers as the model does', { skip: !hasEtcd && 'needs etcd (Debian: etcd-server)' }, async (t) => {
  const [member] = await startEtcd(t.testdir())
  if (member === undefined) throw new Error('Cannot test: there is no etcd')
  t.teardown(() => member.kill())
  let run_ = 0
  await fc.assert(
    fc.asyncProperty(fc.array(operation, { maxLength: 40 }), (operations) => {
      const root = `/run-${run_++}`
      return run(() => openEtcdStore({ endpoints: [member.url], root }), operations, true)
    }),
    { numRuns: 25 },
  )
})
