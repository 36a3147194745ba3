/**
 * Random histories of services and slices, in a kernel: after each change what the kernel has is what a fresh computation gives, and no
 * transaction replaced what had not changed. `PROXY_HISTORIES` says how many (the full run has 10,000), `PROXY_SEED` which.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import * as fc from 'fast-check'
import t from 'tap'
import { systemClock } from '../api/clock.ts'
import { silentLogger } from '../api/log.ts'
import type { EndpointSlice, Service } from '../api/types.ts'
import { Netns } from '../netlink/netns.ts'
import { openNftables } from '../netlink/nftables/index.ts'
import type { ElementSpec, Nftables, Operation } from '../netlink/nftables/index.ts'
import { nothing, readHave } from './have.ts'
import type { Have } from './have.ts'
import { applyTo, plan } from './plan.ts'
import { fixedChains, sets, table } from './rules.ts'
import { wantService } from './service.ts'
import type { ServiceWant } from './service.ts'
import { Sync } from './sync.ts'
import { endpoint, node1, service, slice } from './test-support/objects.ts'
import { Want } from './want.ts'

if (process.getuid?.() !== 0) {
  t.plan(0, 'random histories in the kernel: needs root')
  process.exit()
}

t.setTimeout(3_600_000)
const histories = Number(process.env['PROXY_HISTORIES'] ?? 150)
const seed = Number(process.env['PROXY_SEED'] ?? Date.now() % 1_000_000)

const directory = mkdtempSync(join(tmpdir(), 'fairway-random-'))
const path = join(directory, 'netns')
const netns = Netns.create(path)
const kernel = openNftables({ netns })
t.teardown(() => {
  kernel.close()
  netns.close()
  Netns.delete(path)
  rmSync(directory, { recursive: true })
})

/** A change of one object; `undefined` deletes it. */
type Change = { readonly kind: 'service'; readonly name: string; readonly service: Service | undefined } | { readonly kind: 'slice'; readonly name: string; readonly of: string; readonly slice: EndpointSlice | undefined }

const names = ['a', 'b', 'c', 'd'] as const
const four = ['10.244.0.5', '10.244.0.6', '10.244.1.5', '10.244.1.6', '10.244.1.7', '10.244.2.5', '203.0.113.9']
const six = ['fd00:10:244::5', 'fd00:10:244:1::5', 'fd00:10:244:1::6']
const anyPorts = fc.constantFrom<NonNullable<Service['spec']['ports']>>(
  [{ port: 80, nodePort: 30_080 }], [{ port: 81, nodePort: 30_081 }], [{ name: 'u', port: 53, protocol: 'UDP', nodePort: 30_053 }, { name: 't', port: 53, nodePort: 30_053 }], [{ port: 0 }, { name: 't', port: 132, protocol: 'SCTP' }],
)
const anyService = fc.record({
  clusterIPs: fc.constantFrom<string[]>(['10.96.0.1'], ['10.96.0.2'], ['10.96.0.3', 'fd00:10:96::3'], ['fd00:10:96::4'], ['None']),
  type: fc.constantFrom('ClusterIP' as const, 'NodePort' as const, 'LoadBalancer' as const), ports: anyPorts,
  internalTrafficPolicy: fc.constantFrom('Cluster' as const, 'Local' as const), externalTrafficPolicy: fc.constantFrom('Cluster' as const, 'Local' as const),
  sessionAffinity: fc.constantFrom('None' as const, 'ClientIP' as const), externalIPs: fc.subarray(['198.51.100.1', '2001:db8::7', 'nonsense']),
  loadBalancerSourceRanges: fc.subarray(['192.0.2.0/24', '192.0.0.0/16', '2001:db8::/32', 'nonsense']),
}).map((spec) => ({ ...spec, clusterIP: spec.clusterIPs[0] ?? '' }))
const anyEndpoints = fc.oneof(fc.subarray(four), fc.subarray(six), fc.constant(['10.244.0.5', 'fd00::1', '300.1.1.1']))
  .chain((texts) => fc.tuple(...texts.map((text) => fc.constantFrom('', '', '', '!', '~').map((state) => endpoint(`${state}${text}`)))))
const anyChange: fc.Arbitrary<Change> = fc.oneof(
  fc.record({
    name: fc.constantFrom(...names), spec: fc.option(anyService, { nil: undefined, freq: 6 }), created: fc.constantFrom('2026-01-01T00:00:00Z', '2026-01-02T00:00:00Z'), ingress: fc.constantFrom('198.51.100.8', '198.51.100.9'),
  }).map(({ name, spec, created, ingress }): Change => ({ kind: 'service', name, service: spec && { ...service(name, { ...spec, created }), status: { loadBalancer: { ingress: [{ ip: ingress }] } } } })),
  fc.record({ of: fc.constantFrom(...names), which: fc.constantFrom('1', '2'), endpoints: fc.option(anyEndpoints, { nil: undefined, freq: 6 }), ports: anyPorts })
    .map(({ of, which, endpoints, ports }): Change => ({ kind: 'slice', name: `${of}-${which}`, of, slice: endpoints && slice(of, endpoints, { name: `${of}-${which}`, ports: ports.map((port) => ({ ...port, port: port.port + 8000 })) }) })),
)

class World {
  readonly services = new Map<string, Service>()
  readonly slices = new Map<string, { readonly of: string; readonly slice: EndpointSlice }>()

  /** Returns the service that is to be looked at. */
  apply(change: Change): string {
    if (change.kind === 'service') {
      if (change.service === undefined) this.services.delete(change.name)
      else this.services.set(change.name, change.service)
      return change.name
    }
    if (change.slice === undefined) this.slices.delete(change.name)
    else this.slices.set(change.name, { of: change.of, slice: change.slice })
    return change.of
  }

  want(name: string): ServiceWant | undefined {
    const given = this.services.get(name)
    return given && wantService(`default/${name}`, given, [...this.slices.values()].filter(({ of }) => of === name).map(({ slice }) => slice), node1)
  }
}

/** Without the order of endpoints, which is history. */
function state(have: Have): unknown {
  const named = (name: string): string[] => [...(have.sets.get(name) ?? [])].map(([key, data]) => `${key} > ${data}`).toSorted()
  const slots = [...have.slots].map(([map, byFrontend]) => [map, [...byFrontend].map(([frontend, endpoints]) => `${frontend} > ${endpoints.map(String).toSorted().join(', ')}`).toSorted()] as const).filter(([, frontends]) => frontends.length > 0)
  return { chains: [...have.chains].toSorted(), wrong: have.wrongChains.size, sets: Object.fromEntries([...sets.keys()].map((name) => [name, named(name)])), slots: Object.fromEntries(slots) }
}

const fixed = {}
const fixedNames = fixedChains(fixed).map(({ name }) => name)

function fresh(world: World): unknown {
  const want = new Want()
  for (const name of world.services.keys()) want.put(`default/${name}`, world.want(name))
  return state(applyTo({ ...nothing(), chains: new Set(fixedNames) }, plan(want, nothing(), { fixedChains: fixedNames }).changes))
}

const text = ({ key, data }: ElementSpec): string => `${key.join(' ')} > ${JSON.stringify(data)}`

/** Elements that one transaction takes away and puts back the same. */
function replaced(operations: readonly Operation[]): string[] {
  const gone = new Map<string, string>()
  const before = kernel.list(table)
  const found: string[] = []
  for (const operation of operations) {
    if (operation.kind === 'deleteElements') {
      for (const { key } of operation.elements) {
        const id = `${operation.set.name} ${key.join(' ')}`
        const had = before?.sets.get(operation.set.name)?.elements.find((element) => element.key.join(' ') === key.join(' '))
        if (had !== undefined) gone.set(id, text(had))
      }
    }
    if (operation.kind === 'addElements') for (const element of operation.elements) if (gone.get(`${operation.set.name} ${element.key.join(' ')}`) === text(element)) found.push(text(element))
  }
  return found
}

t.test(`after each change of ${histories} random histories, seed ${seed}`, { timeout: 3_600_000 }, async (t) => {
  let changes = 0
  await fc.assert(fc.asyncProperty(fc.array(anyChange, { minLength: 1, maxLength: 10 }), async (history) => {
    const world = new World()
    const want = new Want()
    const needless: string[] = []
    const watched: Nftables = { ...bound(kernel), apply: (operations, options) => {
      needless.push(...replaced(operations))
      return kernel.apply(operations, options)
    } }
    kernel.apply([{ kind: 'deleteTable', table, ifExists: true }])
    const sync = new Sync({ nftables: watched, fixed, clock: systemClock, log: silentLogger, onMustSync: () => undefined })
    try {
      for (const change of history) {
        const name = world.apply(change)
        want.put(`default/${name}`, world.want(name))
        await sync.sync(want)
        changes += 1
        const have = readHave(kernel.list(table), fixed)
        if (!isDeepStrictEqual(state(have), fresh(world))) throw new Error(`kernel ${JSON.stringify(state(have))}\nfresh ${JSON.stringify(fresh(world))}`)
        const still = await sync.sync(want)
        if (still.changes > 0) throw new Error(`${still.changes} changes where nothing changed`)
      }
      if (needless.length > 0) throw new Error(`replaced the same: ${needless.join(', ')}`)
    } finally {
      sync.close()
    }
  }), { numRuns: histories, seed })
  t.pass(`${changes} changes`)
})

function bound(nftables: Nftables): Nftables {
  return {
    generation: () => nftables.generation(), list: (id) => nftables.list(id), find: (id, set, keys) => nftables.find(id, set, keys), apply: (operations, options) => nftables.apply(operations, options),
    listen: (handler) => nftables.listen(handler), close: () => undefined, [Symbol.dispose]: () => undefined,
  }
}
