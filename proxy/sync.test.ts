import * as fc from 'fast-check'
import t from 'tap'
import { systemClock } from '../api/clock.ts'
import { silentLogger } from '../api/log.ts'
import { FakeNftables } from '../netlink/nftables/test-support/fake-nftables.ts'
import { table } from './rules.ts'
import { wantService } from './service.ts'
import { Sync } from './sync.ts'
import { node1, service, slice } from './test-support/objects.ts'
import { Want } from './want.ts'

interface Started {
  readonly nftables: FakeNftables
  readonly want: Want
  readonly sync: Sync
  readonly asked: () => number
}

function make(nftables: FakeNftables = new FakeNftables()): Started {
  let asked = 0
  const sync = new Sync({ nftables, fixed: {}, clock: systemClock, log: silentLogger, onMustSync: () => (asked += 1) })
  return { nftables, want: new Want(), sync, asked: () => asked }
}

function put(want: Want, endpoints: readonly string[], name = 'web', clusterIP = '10.96.0.53'): void {
  want.put(`default/${name}`, wantService(`default/${name}`, service(name, { clusterIP }), [slice(name, endpoints)], node1))
}

const elements = (nftables: FakeNftables, set: string): string[] => (nftables.list(table)?.sets.get(set)?.elements ?? []).map(({ key, data }) => `${key.join(' ')} > ${JSON.stringify(data)}`).toSorted()

t.test('the table is made in one transaction, and each change is one with only the difference', async (t) => {
  const { nftables, want, sync } = make()
  put(want, ['10.244.0.5', '10.244.1.5'])
  await sync.sync(want)
  t.equal(nftables.transactions.length, 1)
  t.strictSame(elements(nftables, 'endpoint4'), ['10.96.0.53 tcp 80 0 > ["10.244.0.5",8080]', '10.96.0.53 tcp 80 1 > ["10.244.1.5",8080]'])
  put(want, ['10.244.0.5', '10.244.1.6'])
  t.equal((await sync.sync(want)).changes, 2)
  t.strictSame(nftables.transactions.at(-1)?.map(({ kind }) => kind), ['deleteElements', 'addElements'])
  t.equal((await sync.sync(want)).changes, 0)
  t.equal(nftables.transactions.length, 2)
})

t.test('a table that is there is adopted without a transaction', async (t) => {
  const first = make()
  put(first.want, ['10.244.0.5', '10.244.1.5'])
  await first.sync.sync(first.want)
  first.sync.close()
  const nftables = first.nftables.another('fairway')
  const { want, sync } = make(nftables)
  put(want, ['10.244.0.5', '10.244.1.5'])
  t.equal((await sync.sync(want)).changes, 0)
  t.equal(nftables.transactions.length, 0)
})

t.test('what others do to their tables costs no reading; what they do to ours is mended', async (t) => {
  const { nftables, want, sync, asked } = make()
  put(want, ['10.244.0.5'])
  await sync.sync(want)
  const other = nftables.another()
  let reads = 0
  const list = nftables.list.bind(nftables)
  nftables.list = (id) => {
    reads += 1
    return list(id)
  }
  other.apply([{ kind: 'addTable', table: { family: 'ip', name: 'theirs' } }])
  put(want, ['10.244.0.6'])
  await sync.sync(want)
  t.strictSame(elements(nftables, 'endpoint4'), ['10.96.0.53 tcp 80 0 > ["10.244.0.6",8080]'])
  t.equal(reads, 1, 'by the test itself')
  t.equal(asked(), 0)
  other.apply([{ kind: 'deleteTable', table }])
  await systemClock.sleep(1)
  t.equal(asked(), 1)
  await sync.sync(want)
  t.strictSame(elements(nftables, 'endpoint4'), ['10.96.0.53 tcp 80 0 > ["10.244.0.6",8080]'])
})

t.test('so many changes that nobody listens meanwhile: what others did to the table then is mended too', async (t) => {
  const { nftables, want, sync, asked } = make()
  const listen = nftables.listen.bind(nftables)
  let listening = 0
  let atApply: number | undefined
  nftables.listen = (handler) => {
    if (atApply !== undefined) nftables.another().apply([{ kind: 'flushSet', table, set: 'endpoint4' }])
    listening += 1
    const subscription = listen(handler)
    return { close: () => { listening -= 1; subscription.close() } }
  }
  const apply = nftables.apply.bind(nftables)
  nftables.apply = (operations, options) => {
    atApply = listening
    return apply(operations, options)
  }
  for (let at = 0; at < 500; at += 1) put(want, ['10.244.0.5'], `web-${at}`, `10.97.${at >> 8}.${at & 255}`)
  await sync.sync(want)
  t.equal(atApply, 0)
  t.equal(listening, 1)
  t.equal(asked(), 1)
  await sync.sync(want)
  t.equal(elements(nftables, 'endpoint4').length, 500)
})

t.test('a chain that somebody put among ours goes, and so does a table with our name and other sets', async (t) => {
  const { nftables, want, sync } = make()
  const other = nftables.another()
  other.apply([{ kind: 'addTable', table }, { kind: 'addSet', table, set: { name: 'service4', key: ['mark'] } }])
  put(want, ['10.244.0.5'])
  await sync.sync(want)
  t.strictSame(elements(nftables, 'service4'), ['10.96.0.53 tcp 80 > {"verdict":"goto","chain":"n1"}'])
  other.apply([{ kind: 'addChain', table, chain: { name: 'blue' } }, { kind: 'addSet', table, set: { name: 'green', key: ['mark'] } }])
  await systemClock.sleep(1)
  await sync.sync(want)
  t.equal(nftables.list(table)?.chains.has('blue'), false)
  t.equal(nftables.list(table)?.sets.has('green'), false)
})

t.test('after a refusal everything is compared', async (t) => {
  const { nftables, want, sync } = make()
  put(want, ['10.244.0.5'])
  await sync.sync(want)
  const apply = nftables.apply.bind(nftables)
  nftables.apply = () => { throw new Error('no memory') }
  put(want, ['10.244.0.6'])
  await t.rejects(sync.sync(want), { message: 'no memory' })
  nftables.apply = apply
  t.equal((await sync.sync(want)).changes > 0, true)
  t.strictSame(elements(nftables, 'endpoint4'), ['10.96.0.53 tcp 80 0 > ["10.244.0.6",8080]'])
})

const anyChange = fc.record({
  name: fc.constantFrom('a', 'b', 'c'),
  spec: fc.option(fc.record({
    clusterIPs: fc.constantFrom('10.96.0.1', '10.96.0.2', 'fd00:10:96::1').map((address) => [address]), type: fc.constantFrom('NodePort' as const, 'LoadBalancer' as const),
    externalTrafficPolicy: fc.constantFrom('Cluster' as const, 'Local' as const), sessionAffinity: fc.constantFrom('None' as const, 'ClientIP' as const),
    ports: fc.constantFrom(80, 81).map((port) => [{ port, nodePort: 30_000 + port }]), loadBalancerSourceRanges: fc.subarray(['192.0.2.0/24', '192.0.0.0/16', '203.0.113.0/24']),
  }), { nil: undefined }),
  endpoints: fc.subarray(['10.244.0.5', '10.244.0.6', '10.244.1.5', '10.244.1.6', '~10.244.1.7']),
})

t.test('after any history, who comes to the table finds nothing to change', async (t) => {
  await fc.assert(fc.asyncProperty(fc.array(anyChange, { maxLength: 12 }), async (history) => {
    const { nftables, want, sync } = make()
    for (const { name, spec, endpoints } of history) {
      const key = `default/${name}`
      const status = { loadBalancer: { ingress: [{ ip: '198.51.100.1' }] } }
      want.put(key, spec && wantService(key, { ...service(name, { ...spec, clusterIP: spec.clusterIPs[0] ?? '' }), status }, [slice(name, endpoints)], node1))
      await sync.sync(want)
    }
    sync.close()
    const next = make(nftables.another('fairway'))
    for (const { name, spec, endpoints } of new Map(history.map((change) => [change.name, change])).values()) {
      const key = `default/${name}`
      next.want.put(key, spec && wantService(key, { ...service(name, { ...spec, clusterIP: spec.clusterIPs[0] ?? '' }), status: { loadBalancer: { ingress: [{ ip: '198.51.100.1' }] } } }, [slice(name, endpoints)], node1))
    }
    const { changes } = await next.sync.sync(next.want)
    return changes === (history.length === 0 ? changes : 0)
  }), { numRuns: 60 })
  t.pass('nothing')
})
