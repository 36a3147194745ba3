import t from 'tap'
import { ApiError } from './client.ts'
import type { Client } from './client.ts'
import { FakeClock } from './clock.ts'
import type { Component } from './component.ts'
import { startElected } from './leader-election.ts'
import { silentLogger } from './log.ts'
import type { Lease } from './types.ts'

/** One Lease with a revision, as an API server keeps it; `away` are those whom it does not answer. */
function leaseServer() {
  let lease: Lease | undefined
  let revision = 0
  const away = new Map<string, 'refuses' | 'silent'>()
  const clientOf = (identity: string): Client => {
    const answer = async <T>(work: () => T): Promise<T> => {
      if (away.get(identity) === 'refuses') throw new Error('ECONNREFUSED')
      if (away.get(identity) === 'silent') await new Promise(() => undefined)
      return work()
    }
    const fail = (code: number, reason: string): never => {
      throw new ApiError(code, { code, reason, message: reason, status: 'Failure' }, 'change the lease')
    }
    return {
      get: () => answer(() => lease === undefined ? fail(404, 'NotFound') : structuredClone(lease)),
      create: (_resource: unknown, made: Lease) => answer(() => {
        if (lease !== undefined) fail(409, 'AlreadyExists')
        lease = { ...structuredClone(made), metadata: { ...made.metadata, resourceVersion: String(++revision) } }
      }),
      update: (_resource: unknown, changed: Lease) => answer(() => {
        if (changed.metadata.resourceVersion !== lease?.metadata.resourceVersion) fail(409, 'Conflict')
        lease = { ...structuredClone(changed), metadata: { ...changed.metadata, resourceVersion: String(++revision) } }
      }),
    } as unknown as Client
  }
  return { clientOf, away, spec: () => lease?.spec }
}

function candidates(names: readonly string[]) {
  const server = leaseServer()
  const clock = new FakeClock()
  const leading = new Set<string>()
  const elections = new Map<string, Component>()
  const run = (identity: string): void => {
    const start = async (): Promise<Component> => {
      const { promise, resolve } = Promise.withResolvers<void>()
      leading.add(identity)
      return { done: promise, stop: async () => (leading.delete(identity), resolve()) }
    }
    elections.set(identity, startElected({ client: server.clientOf(identity), clock, random: () => 0.5, log: silentLogger, name: 'kube-scheduler', identity, start }))
  }
  for (const name of names) run(name)
  /** In steps, so that what one second leads to is over before the next. */
  const pass = async (seconds: number): Promise<void> => {
    for (let i = 0; i < seconds; i++) {
      await clock.advance(1000)
      if (leading.size > 1) throw new Error(`Cannot have two leaders: ${[...leading].join()}`)
    }
  }
  return { ...server, clock, leading, elections, run, pass }
}

await t.test('one of several leads, and goes on as long as it renews', async (t) => {
  const { pass, leading, elections, spec } = candidates(['a', 'b', 'c'])
  await pass(60)
  t.same([...leading], ['a'])
  t.match(spec(), { holderIdentity: 'a', leaseDurationSeconds: 15, leaseTransitions: 0, renewTime: /^2026-01-01T00:0[01]:\d\d\.\d{6}Z$/ })
  await Promise.all([...elections.values()].map((one) => one.stop()))
  t.equal(leading.size, 0)
})

await t.test('a leader that cannot renew stops before another one begins', async (t) => {
  for (const how of ['refuses', 'silent'] as const) {
    const { pass, leading, away, elections, spec } = candidates(['a', 'b'])
    await pass(5)
    t.same([...leading], ['a'])
    away.set('a', how)
    await pass(12)
    t.same([...leading], [], `${how}: it has given up after ten seconds`)
    await pass(10)
    t.same([...leading], ['b'], 'and the other leads after fifteen and a try')
    t.match(spec(), { holderIdentity: 'b', leaseTransitions: 1 })
    away.delete('a')
    await pass(10)
    t.same([...leading], ['b'], 'who comes back looks on')
    await elections.get('b')?.stop()
  }
})

await t.test('one that ends in order is not waited for, and one that comes back by its name need not wait', async (t) => {
  const { pass, leading, elections, run, spec } = candidates(['a', 'b'])
  await pass(5)
  await elections.get('a')?.stop()
  t.equal(spec()?.holderIdentity, '')
  await pass(3)
  t.same([...leading], ['b'])
  leading.clear()
  run('b')
  await pass(1)
  t.same([...leading], ['b'], 'as after kill -9')
})
