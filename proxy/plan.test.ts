import * as fc from 'fast-check'
import t from 'tap'
import { nothing, slotsOf } from './have.ts'
import type { Have, Slots } from './have.ts'
import { applyTo, place, plan, singly } from './plan.ts'
import type { SingleChange } from './plan.ts'
import { sets } from './rules.ts'
import { frontendKey, parseFrontendId, parseChainName, wantService } from './service.ts'
import { node1, service, slice } from './test-support/objects.ts'
import type { Given } from './test-support/objects.ts'
import { Want } from './want.ts'

const fixedChains: readonly string[] = ['services']

function put(want: Want, name: string, given: Given | undefined, endpoints: readonly string[] = []): void {
  want.put(`default/${name}`, given === undefined ? undefined : wantService(`default/${name}`, service(name, given), [slice(name, endpoints)], node1))
}

function step(want: Want, have: Have): { have: Have; changes: readonly SingleChange[]; stale: ReturnType<typeof plan>['stale'] } {
  const { changes, stale } = plan(want, have, { fixedChains, touched: have.fresh ? undefined : want.take() })
  return { have: applyTo(have, changes), changes: changes.flatMap((change) => [...singly(change)]), stale }
}

const text = (change: SingleChange): string => ('key' in change ? `${change.kind} ${change.set} ${change.key}${change.kind === 'add' && change.data !== '' ? ` > ${change.data}` : ''}` : 'chain' in change ? `${change.kind} ${change.chain}` : change.kind)

function started(endpoints: readonly string[], given: Given = {}): { want: Want; have: Have } {
  const want = new Want()
  put(want, 'web', given, endpoints)
  const { have } = step(want, nothing())
  want.take()
  return { want, have }
}

t.test('from nothing the table is made, then all that is in it', async (t) => {
  const want = new Want()
  put(want, 'web', {}, ['10.244.0.5', '10.244.1.5'])
  t.strictSame(step(want, nothing()).changes.map(text), [
    'addTable', 'addChain n2',
    'add service4 10.96.0.53 tcp 80 > n2', 'add endpoint4 10.96.0.53 tcp 80 0 > 10.244.0.5 8080', 'add endpoint4 10.96.0.53 tcp 80 1 > 10.244.1.5 8080',
    'add cluster-ip4 10.96.0.53', 'add local4 10.244.0.5', 'add hairpin4 10.244.0.5 10.244.0.5',
  ])
})

t.test('nothing changes when nothing changed', async (t) => {
  const { want, have } = started(['10.244.0.5'])
  put(want, 'web', {}, ['10.244.0.5'])
  t.strictSame(step(want, have).changes, [])
  t.strictSame(plan(want, have, { fixedChains: [] }).changes, [])
})

t.test('one more endpoint is one more element, and the verdict', async (t) => {
  const { want, have } = started(['10.244.1.5', '10.244.1.7'])
  put(want, 'web', {}, ['10.244.1.5', '10.244.1.6', '10.244.1.7'])
  t.strictSame(step(want, have).changes.map(text), [
    'addChain n3', 'deleteChain n2', 'delete service4 10.96.0.53 tcp 80', 'add service4 10.96.0.53 tcp 80 > n3', 'add endpoint4 10.96.0.53 tcp 80 2 > 10.244.1.6 8080',
  ])
})

t.test('when the first of many goes, only the last takes its place', async (t) => {
  const endpoints = Array.from({ length: 250 }, (_, at) => `10.244.1.${at + 1}`)
  const { want, have } = started(endpoints)
  put(want, 'web', {}, endpoints.slice(1))
  const changes = step(want, have).changes.filter(({ kind }) => !kind.endsWith('Chain')).map(text)
  t.equal(changes.length, 5)
})

t.test('endpoints keep their index', async (t) => {
  t.strictSame(place(['a', 'b', 'c'], ['c', 'b', 'a']), ['c', 'b', 'a'])
  t.strictSame(place(['b', 'c'], ['a', 'b', 'c']), ['c', 'b'])
  t.strictSame(place(['a', 'b'], [undefined, 'a']), ['b', 'a'])
  t.strictSame(place([], ['a']), [])
})

t.test('of two services with one cluster IP the older is served, and the other when it goes', async (t) => {
  const { want, have } = started(['10.244.1.5'])
  put(want, 'aaa', { created: '2026-02-01T00:00:00Z' }, ['10.244.1.9'])
  t.strictSame(want.lost('default/aaa'), [{ frontend: '10.96.0.53 tcp 80', to: 'default/web' }])
  const after = step(want, have)
  t.strictSame(after.changes, [])
  put(want, 'web', undefined)
  t.strictSame(step(want, after.have).changes.map(text), ['delete endpoint4 10.96.0.53 tcp 80 0', 'add endpoint4 10.96.0.53 tcp 80 0 > 10.244.1.9 8080'])
})

t.test('what somebody put into the table goes, what somebody took away comes back', async (t) => {
  const { want, have } = started(['10.244.1.5'])
  have.sets.get('service4')?.set('10.96.7.7 tcp 1', 'n1')
  have.sets.get('local4')?.set('10.0.0.1', '')
  have.slots.set('endpoint4', new Map([['10.96.9.9 tcp 1', ['10.0.0.1 1']]]))
  const broken: Have = { ...have, chains: new Set(['n7']), wrongChains: new Set(['n1', 'theirs']), foreignSets: new Set(['blue']) }
  t.strictSame(plan(want, broken, { fixedChains }).changes.flatMap((change) => [...singly(change)].map(text)).toSorted(), [
    'add endpoint4 10.96.0.53 tcp 80 0 > 10.244.1.5 8080', 'addChain services', 'delete endpoint4 10.96.9.9 tcp 1 0', 'delete local4 10.0.0.1', 'delete service4 10.96.7.7 tcp 1',
    'deleteChain n7', 'deleteChain theirs', 'deleteSet', 'mendChain n1',
  ])
})

t.test('connections to forget', async (t) => {
  const frontend = { address: '10.96.0.53', port: 80 }
  const to = (address: string) => ({ originalDestination: frontend, replySource: { address, port: 8080 } })
  const cases: readonly { name: string; protocol: 'UDP' | 'TCP'; from: readonly string[]; to: readonly string[] | undefined; forget: readonly object[] }[] = [
    { name: 'a removed TCP endpoint', protocol: 'TCP', from: ['10.244.1.5', '10.244.1.6'], to: ['10.244.1.6'], forget: [to('10.244.1.5')] },
    { name: 'a TCP endpoint that is draining goes on', protocol: 'TCP', from: ['10.244.1.5', '10.244.1.6'], to: ['~10.244.1.5', '10.244.1.6'], forget: [] },
    { name: 'a TCP endpoint that was draining has gone', protocol: 'TCP', from: ['~10.244.1.5', '10.244.1.6'], to: ['10.244.1.6'], forget: [to('10.244.1.5')] },
    { name: 'connections outlive their service', protocol: 'TCP', from: ['10.244.1.5'], to: undefined, forget: [] },
    { name: 'a UDP endpoint that is draining gets no more', protocol: 'UDP', from: ['10.244.1.5', '10.244.1.6'], to: ['~10.244.1.5', '10.244.1.6'], forget: [to('10.244.1.5')] },
    { name: 'a UDP service that goes', protocol: 'UDP', from: ['10.244.1.5'], to: undefined, forget: [to('10.244.1.5')] },
    { name: 'a UDP service that gets its first endpoint', protocol: 'UDP', from: [], to: ['10.244.1.5'], forget: [{ originalDestination: frontend, replySource: frontend }] },
    { name: 'one more endpoint', protocol: 'UDP', from: ['10.244.1.5'], to: ['10.244.1.5', '10.244.1.6'], forget: [] },
  ]
  for (const { name, protocol, from, to: next, forget } of cases) {
    const ports = [{ port: 80, protocol }]
    const want = new Want()
    const putPort = (endpoints: readonly string[] | undefined): void => want.put('default/web', endpoints && wantService('default/web', service('web', { ports }), [slice('web', endpoints, { ports: [{ port: 8080, protocol }] })], node1))
    putPort(from)
    const { have } = step(want, nothing())
    want.take()
    putPort(next)
    t.strictSame(step(want, have).stale, forget.map((filter) => ({ protocol: protocol.toLowerCase(), ...filter })), name)
  }
})

function slots({ slots: maps }: Have): unknown {
  return [...maps].flatMap(([map, byFrontend]) => [...byFrontend].map(([frontend, endpoints]) => `${map} ${frontend} > ${endpoints.map(String).toSorted().join(', ')}`)).toSorted()
}

/** The state that the kernel has, without the order of endpoints, which is history. */
function state(have: Have): unknown {
  const named = (name: string): unknown => [...(have.sets.get(name) ?? [])].map(([key, data]) => `${key} > ${data}`).toSorted()
  return { chains: [...have.chains].toSorted(), sets: Object.fromEntries([...sets.keys()].map((name) => [name, named(name)])), slots: slots(have) }
}

const endpointTexts = Array.from({ length: 6 }, (_, at) => `10.244.${at % 2}.${at + 1}`)
const changeOfOne = fc.record({
  name: fc.constantFrom('a', 'b', 'c'),
  given: fc.option(fc.record({
    clusterIP: fc.constantFrom('10.96.0.1', '10.96.0.2'), created: fc.constantFrom('2026-01-01T00:00:00Z', '2026-01-02T00:00:00Z'),
    type: fc.constantFrom('ClusterIP' as const, 'NodePort' as const), externalTrafficPolicy: fc.constantFrom('Cluster' as const, 'Local' as const), sessionAffinity: fc.constantFrom('None' as const, 'ClientIP' as const),
    ports: fc.constantFrom(80, 81).map((port) => [{ port, nodePort: 30_000 + port }]),
  }), { nil: undefined }),
  endpoints: fc.uniqueArray(fc.constantFrom(...endpointTexts), { maxLength: 6 }),
})

t.test('after any changes the kernel has what a fresh computation gives, with indices without gaps, and no needless change', async (t) => {
  fc.assert(fc.property(fc.array(changeOfOne, { maxLength: 25 }), (sequence) => {
    const want = new Want()
    let have = step(want, nothing()).have
    const last = new Map<string, (typeof sequence)[number]>()
    for (const change of sequence) {
      put(want, change.name, change.given, change.endpoints)
      last.set(change.name, change)
      const before = new Map([...have.sets, ...have.slots].map(([name, elements]) => [name, new Map<string, string | Slots>(elements)]))
      const done = step(want, have)
      have = done.have
      for (const item of done.changes) if (item.kind === 'add' && (before.get(item.set)?.get(item.key) === item.data || before.get(item.set)?.get(item.key.replace(/ \d+$/, ''))?.[Number(/\d+$/.exec(item.key)?.[0])] === item.data)) return false
    }
    const fresh = new Want()
    for (const { name, given, endpoints } of last.values()) put(fresh, name, given, endpoints)
    t.strictSame(state(have), state(applyTo(nothing(), plan(fresh, nothing(), { fixedChains }).changes)))
    for (const [key, chain] of have.sets.get('service4') ?? []) {
      const parsed = parseChainName(chain)
      const count = parsed?.kind === 'spread' ? parsed.count : 0
      const slots = slotsOf(have, 'endpoint4', key)
      if (slots.length !== count || slots.includes(undefined)) return false
    }
    return plan(want, have, { fixedChains: [] }).changes.length === 0 && frontendKey(parseFrontendId('inside ::1 udp 5')) === '::1 udp 5'
  }), { numRuns: 300 })
})
