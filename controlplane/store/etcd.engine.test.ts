// What only etcd can do to us: members that die, restart and are compacted by others; TLS.
import { mkdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { openEtcdStore } from './etcd/index.ts'
import type { Change, Store } from './index.ts'
import { CertificateAuthority } from '../apiserver/pki/authority.ts'
import { hasEtcd, startEtcd } from './test-support/etcd.ts'
import type { Member } from './test-support/etcd.ts'

const options = { skip: !hasEtcd && 'needs etcd (Debian: etcd-server)' }
/** Writes a test makes through the failures; FAIRWAY_SOAK=1 makes it twenty times as many. */
const writesMin = process.env['FAIRWAY_SOAK'] === '1' ? 40_000 : 1200

t.setTimeout(process.env['FAIRWAY_SOAK'] === '1' ? 900_000 : 280_000)

interface Soak {
  readonly acknowledged: Map<string, number>
  readonly seen: Change[]
  readonly ends: unknown[]
  stop(): Promise<void>
}

/** Writers that never stop, and a watch that writes down all it is told. Refused and unanswered writes are not counted. */
async function soak(store: Store): Promise<Soak> {
  const acknowledged = new Map<string, number>()
  const seen: Change[] = []
  const ends: unknown[] = []
  const from = (await store.currentRevision()) + 1
  store.watch('/registry/', { fromRevision: from, onChanges: (changes) => seen.push(...changes), onEnd: (error) => ends.push(error) })
  const stopping = new AbortController()
  const lane = async (number: number): Promise<void> => {
    for (let i = 0; !stopping.signal.aborted; i++) {
      const key = `/registry/core/things/lane-${number}/${i}`
      try {
        const created = await store.create(key, Buffer.from(`${i}`))
        acknowledged.set(key, created)
        acknowledged.set(key, await store.update(key, Buffer.from(`${i} again`), created))
      } catch (error) {
        // Nobody was told that it happened: it may have, or not.
        if (!(error instanceof Error && /etcd/.test(error.message))) throw error
      }
    }
  }
  const lanes = Promise.all(Array.from({ length: 16 }, (_, number) => lane(number)))
  return {
    acknowledged, seen, ends,
    stop: async () => {
      stopping.abort()
      await lanes
    },
  }
}

async function until(isSo: () => boolean, ms = 30_000): Promise<void> {
  for (const end = Date.now() + ms; !isSo(); ) {
    if (Date.now() > end) throw new Error('Cannot go on: what was waited for did not happen')
    await new Promise((resolve) => void setTimeout(resolve, 10))
  }
}

/** Until so many writes were acknowledged. However slow the machine is: given up only when none is for half a minute. */
async function untilWritten({ acknowledged }: Soak, count: number): Promise<void> {
  while (acknowledged.size <= count) {
    const before = acknowledged.size
    await until(() => acknowledged.size > before)
  }
}

async function check(t: Tap.Test, store: Store, { acknowledged, seen, ends }: Soak): Promise<void> {
  const { entries } = await store.range('/registry/')
  const there = new Map(entries.map((entry) => [entry.key, entry.modRevision]))
  t.same([...acknowledged].filter(([key, revision]) => (there.get(key) ?? 0) < revision), [], 'no acknowledged write is lost')
  await until(() => (seen.at(-1)?.revision ?? 0) >= Math.max(...there.values()))
  t.same(ends, [], 'the watch goes on')
  const revisions = seen.map((change) => change.revision)
  t.same(revisions, [...new Set(revisions)].sort((a, b) => a - b), 'every revision once and in order')
  t.same([...there].filter(([key, revision]) => !seen.some((change) => change.key === key && change.revision === revision)).slice(0, 3), [], 'and all of what is there was told')
}

declare namespace Tap {
  interface Test {
    testdir(): string
    teardown(callback: () => unknown): void
    same(found: unknown, wanted: unknown, message: string): void
  }
}

async function members(t: Tap.Test, count: number): Promise<Member[]> {
  const all = await startEtcd(t.testdir(), count)
  t.teardown(() => Promise.all(all.map((member) => member.kill())))
  return all
}

t.test('kill -9 of the only member amid concurrent writes loses nothing acknowledged, and the watch goes on', options, async (t) => {
  const [member] = (await members(t, 1)) as [Member]
  const store = openEtcdStore({ endpoints: [member.url] })
  t.teardown(() => store.close())
  const running = await soak(store)
  let newest = 0
  for (const share of [0.4, 0.8]) {
    await untilWritten(running, writesMin * share * 0.5)
    await member.kill()
    await member.start()
    const current = await store.currentRevision()
    t.ok(current > newest, 'revisions grow')
    newest = current
  }
  await untilWritten(running, writesMin * 0.5)
  await running.stop()
  await check(t, store, running)
})

t.test('the loss of one of three members, whichever, is got over', options, async (t) => {
  const all = await members(t, 3)
  const store = openEtcdStore({ endpoints: all.map((member) => member.url) })
  t.teardown(() => store.close())
  const running = await soak(store)
  for (const member of all) {
    const before = running.acknowledged.size
    await untilWritten(running, before + writesMin * 0.1)
    await member.kill()
    const without = running.acknowledged.size
    await untilWritten(running, without + writesMin * 0.1)
    await member.start()
  }
  await running.stop()
  await check(t, store, running)
})

t.test('without a majority, writes and reads say so in a sentence', options, async (t) => {
  const store = openEtcdStore({ endpoints: ['http://127.0.0.1:1'], clock: impatient })
  await t.rejects(store.create('/registry/a', Buffer.from('x')), { code: 'io', message: /^Cannot reach etcd: .*; is it running, and has it a majority of its members\?$/ })
  await store.close()
})

/** A clock by which every wait is over at once, and a second passes with each look at it. */
const impatient = { now: () => 0, monotonicMs: () => (seconds += 1) * 1000, setTimeout: () => ({ cancel: () => undefined }), sleep: () => Promise.resolve() }
let seconds = 0

t.test('a watch from before what somebody else compacted ends with the reason; keys of others pass it by', options, async (t) => {
  const [member] = (await members(t, 1)) as [Member]
  const [mine, theirs] = [openEtcdStore({ endpoints: [member.url] }), openEtcdStore({ endpoints: [member.url], root: '/theirs' })]
  t.teardown(() => Promise.all([mine.close(), theirs.close()]))
  await mine.create('/registry/a', Buffer.from('1'))
  const seen: Change[] = []
  let progress = 0
  mine.watch('/registry/', { fromRevision: 2, onChanges: (changes) => seen.push(...changes), onProgress: (revision) => (progress = revision), onEnd: () => undefined })
  let revision = await theirs.create('/registry/a', Buffer.from('not mine'))
  for (let i = 0; i < 5; i++) revision = await theirs.update('/registry/a', Buffer.from(`${i}`), revision)
  await until(() => progress === revision)
  t.equal(seen.length, 1)
  t.equal(Buffer.from((await mine.get('/registry/a'))?.value ?? []).toString(), '1')
  await theirs.compact(revision)
  const ends: { code?: string }[] = []
  mine.watch('/registry/', { fromRevision: 3, onChanges: () => t.fail('nothing can be told'), onEnd: (error) => ends.push(error) })
  await until(() => ends.length > 0)
  t.match(ends, [{ code: 'compacted' }])
  t.equal(mine.compactedRevision, revision)
  const late = openEtcdStore({ endpoints: [member.url] })
  await late.currentRevision()
  t.equal(late.compactedRevision, revision, 'one that comes later finds out what is gone')
  await late.close()
})

t.test('compaction keeps the database of etcd from growing with every update', options, async (t) => {
  const folder = t.testdir()
  const [member] = await startEtcd(folder)
  if (member === undefined) throw new Error('Cannot test: there is no etcd')
  t.teardown(() => member.kill())
  const store = openEtcdStore({ endpoints: [member.url] })
  const size = (): number => statSync(join(folder, 'm0/member/snap/db')).size
  let revision = await store.create('/a', Buffer.alloc(2000))
  const rounds = async (count: number): Promise<void> => {
    for (let round = 0; round < count; round++) {
      for (let i = 0; i < 500; i++) revision = await store.update('/a', Buffer.alloc(2000, i), revision)
      await store.compact(revision)
    }
  }
  await rounds(4)
  const early = size()
  await rounds(8)
  t.ok(size() <= 1.5 * early, `${early} bytes after 4 MB of updates, ${size()} after 12`)
  await store.defragment()
  t.ok(size() < 200_000, `${size()} bytes once it is defragmented`)
  await store.close()
})

t.test('etcd behind TLS is reached with a certificate, and not without', options, async (t) => {
  const folder = t.testdir({ pki: {} })
  const authority = await CertificateAuthority.create('etcd-ca', () => Date.now())
  const issue = (commonName: string, usage: 'client' | 'server') => authority.issue({ subject: { commonName }, usages: [usage, 'client'], names: ['127.0.0.1'], validMs: 3_600_000 })
  const write = (name: string, text: string): string => {
    const file = join(folder, 'pki', name)
    writeFileSync(file, text)
    return file
  }
  mkdirSync(join(folder, 'data'))
  const [server, client] = [await issue('etcd', 'server'), await issue('fairway', 'client')]
  const caFile = write('ca.pem', authority.certificate)
  const [member] = (await startEtcd(join(folder, 'data'), 1, ['--client-cert-auth', '--trusted-ca-file', caFile, '--cert-file', write('server.pem', server.certificate), '--key-file', write('server.key', server.key)])) as [Member]
  t.teardown(() => member.kill())
  const store = openEtcdStore({ endpoints: [member.url], caFile, certFile: write('client.pem', client.certificate), keyFile: write('client.key', client.key) })
  t.equal(await store.create('/registry/a', Buffer.from('x')), 2)
  const stranger = openEtcdStore({ endpoints: [member.url], caFile, clock: impatient })
  await t.rejects(stranger.currentRevision(), { code: 'io' })
  await Promise.all([store.close(), stranger.close()])
})
