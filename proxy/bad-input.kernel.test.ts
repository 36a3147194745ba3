/** What no API server should hand out: it is left out with an event that names the object, and the rest is served. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { systemClock } from '../api/clock.ts'
import { silentLogger } from '../api/log.ts'
import type { EndpointSlice, Service } from '../api/types.ts'
import { Netns } from '../netlink/netns.ts'
import { openNftables } from '../netlink/nftables/index.ts'
import { startProxy } from './index.ts'
import { sets, table } from './rules.ts'
import { SmallApi } from './test-support/api.ts'
import { endpoint, service, slice } from './test-support/objects.ts'

if (process.getuid?.() !== 0) {
  t.plan(0, 'bad input: needs root')
  process.exit()
}

t.setTimeout(120_000)
const directory = mkdtempSync(join(tmpdir(), 'fairway-bad-'))
const path = join(directory, 'netns')
const netns = Netns.create(path)
const nftables = openNftables({ netns })
const api = new SmallApi()
api.putNode({ metadata: { name: 'node-1' }, spec: {}, status: { addresses: [{ type: 'InternalIP', address: '192.0.2.1' }, { type: 'InternalIP', address: 'nonsense' }] } })
const proxy = await startProxy({ client: api.client, nodeName: 'node-1', netns, clock: systemClock, random: Math.random, log: silentLogger, healthzBindAddress: 'none' })
t.teardown(async () => {
  await proxy.stop()
  nftables.close()
  netns.close()
  Netns.delete(path)
  rmSync(directory, { recursive: true })
})

async function eventually(what: string, holds: () => boolean): Promise<void> {
  for (let attempt = 0; attempt < 1000; attempt += 1) {
    if (holds()) return
    await systemClock.sleep(10)
  }
  throw new Error(`never: ${what}`)
}

function elements(set: string): number {
  return nftables.list(table)?.sets.get(set)?.elements.length ?? 0
}

const frontends = (): string[] => (nftables.list(table)?.sets.get('service4')?.elements ?? []).map(({ key, data }) => `${key.join(' ')} > ${JSON.stringify(data)}`)
const said = (name: string): string[] => api.events.filter(({ involvedObject, reason }) => involvedObject.name === name && reason === 'NotServed').map(({ message }) => message ?? '')

interface Bad {
  readonly name: string
  readonly service: Service
  readonly slices: readonly EndpointSlice[]
  /** What is in the kernel of it all the same. */
  readonly served: string
  readonly told: RegExp
}

const good = slice('x', ['10.244.0.5'])
const of = (name: string, given: EndpointSlice): EndpointSlice => ({ ...given, metadata: { ...given.metadata, name: `${name}-1`, labels: { 'kubernetes.io/service-name': name } } })
const cases: readonly Bad[] = [
  {
    name: 'wrong-family', service: service('wrong-family', { clusterIP: '10.96.2.1' }),
    slices: [slice('wrong-family', [endpoint('10.244.0.5'), { addresses: ['fd00::5'] }])], served: '10.96.2.1 tcp 80 > {"verdict":"goto","chain":"n1"}', told: /slice wrong-family-1: "fd00::5" is no IPv4 address/,
  },
  {
    name: 'duplicate', service: service('duplicate', { clusterIP: '10.96.2.1', created: '2026-06-01T00:00:00Z', ports: [{ port: 80 }, { name: 'b', port: 81 }] }),
    slices: [of('duplicate', { ...good, ports: [{ name: 'b', port: 1 }] })], served: '10.96.2.1 tcp 81 > {"verdict":"goto","chain":"n1"}', told: /10\.96\.2\.1 tcp 80 belongs to default\/wrong-family/,
  },
  {
    name: 'port-0', service: service('port-0', { clusterIP: '10.96.2.2', ports: [{ name: 'zero', port: 0 }, { name: 'b', port: 81 }, { name: 'c', port: 70_000 }] }),
    slices: [of('port-0', { ...good, ports: [{ name: 'b', port: 1 }] })], served: '10.96.2.2 tcp 81 > {"verdict":"goto","chain":"n1"}', told: /port zero 0 is no port; port c 70000 is no port/,
  },
  {
    name: 'nulls', service: { ...service('nulls', { clusterIP: '10.96.2.3' }), status: null } as unknown as Service,
    slices: [
      of('nulls', { ...good, endpoints: [{ addresses: ['10.244.0.5'], conditions: null, hints: null }, { addresses: null }, { addresses: [7] }] } as unknown as EndpointSlice),
      { ...of('nulls', { ...good, endpoints: null, ports: null }), metadata: { ...good.metadata, name: 'nulls-2', labels: { 'kubernetes.io/service-name': 'nulls' } } },
    ],
    served: '10.96.2.3 tcp 80 > {"verdict":"goto","chain":"n1"}', told: /slice nulls-1: "" is no IPv4 address; slice nulls-1: 7 is no IPv4 address/,
  },
  {
    name: 'garbage-annotations', service: { ...service('garbage-annotations', { clusterIP: '10.96.2.4', externalIPs: ['999.1.1.1'] }), metadata: { ...service('garbage-annotations').metadata, annotations: { 'service.kubernetes.io/topology-mode': '\u0000', 'service.beta.kubernetes.io/x': '{' } } },
    slices: [of('garbage-annotations', { ...good, metadata: { ...good.metadata, annotations: { 'endpoints.kubernetes.io/last-change-trigger-time': 'yesterday' } } })],
    served: '10.96.2.4 tcp 80 > {"verdict":"goto","chain":"n1"}', told: /externalIP "999\.1\.1\.1" is no address/,
  },
]

for (const { name, service, slices, served, told } of cases) {
  t.test(`${name}: left out with an event, the rest is served`, async (t) => {
    api.putService(service)
    for (const each of slices) api.putSlice(each)
    await eventually(`${served} in the kernel`, () => frontends().includes(served))
    await eventually('an event', () => said(name).some((message) => told.test(message)))
    t.ok(said(name).every((message) => message.length <= 1024))
  })
}

t.test('a service that is none at all keeps nobody from being served', async (t) => {
  api.putService({ ...service('none'), spec: { clusterIP: '10.96.2.9', ports: 5 } } as unknown as Service)
  api.putService(service('after', { clusterIP: '10.96.2.5' }))
  await eventually('the next', () => frontends().includes('10.96.2.5 tcp 80 > {"verdict":"goto","chain":"refuse"}'))
  await eventually('an event', () => said('none').some((message) => message.includes('it cannot be understood')))
  t.pass('told')
})

t.test('100,000 endpoints in one service, and one change of them', { timeout: 60_000 }, async (t) => {
  const address = (at: number): string => `10.${128 + (at >> 16)}.${(at >> 8) & 255}.${at & 255}`
  const part = (which: number, from = which * 1000): EndpointSlice => slice('huge', Array.from({ length: 1000 }, (_, at) => ({ addresses: [address(from + at)], nodeName: 'node-2' })), { name: `huge-${which}` })
  for (let which = 0; which < 100; which += 1) api.putSlice(part(which))
  api.putService(service('huge', { clusterIP: '10.96.2.6' }))
  const last = (): boolean => nftables.find(table, sets.get('endpoint4')!, [['10.96.2.6', 'tcp', 80, 99_999]]).length === 1
  await eventually('in the kernel', last)
  const before = elements('endpoint4')
  api.putSlice(part(7, 200_000))
  const generation = nftables.generation()
  await eventually('changed', () => nftables.generation() !== generation)
  t.equal(elements('endpoint4'), before)
  t.strictSame(said('huge'), [])
  t.ok(frontends().includes('10.96.2.5 tcp 80 > {"verdict":"goto","chain":"refuse"}'))
})
