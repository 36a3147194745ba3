import t from 'tap'
import type { Endpoint, EndpointSlice, Service } from '../api/types.ts'
import { parseChainName, wantNode, wantService } from './service.ts'
import type { NodeView, ServiceWant } from './service.ts'
import { families } from './families.ts'
import { endpoint, node1, service, slice } from './test-support/objects.ts'

/** `10.96.0.53 tcp 80 > n2: 10.244.0.5 8080, 10.244.1.5 8080` */
function lines({ targets }: ServiceWant): string[] {
  return [...targets].map(([id, { chain, endpoints }]) => `${id} > ${chain}${endpoints.length > 0 ? `: ${endpoints.join(', ')}` : ''}`)
}

function members(want: ServiceWant, set: string): string[] {
  return [...new Set([...want.members, ...[...want.targets.values()].flatMap(({ members }) => members)].filter((member) => member.set === set).map(({ key }) => key))].sort()
}

interface Case {
  readonly name: string
  readonly service: Service
  readonly slices: readonly EndpointSlice[]
  readonly node?: NodeView
  readonly expect: readonly string[]
  readonly problems?: readonly string[]
}

const two = [slice('web', ['10.244.0.5', '10.244.1.5'])]
const hinted = (text: string, hints: Endpoint['hints']): Endpoint => ({ ...endpoint(text), ...(hints === undefined ? {} : { hints }) })

const cases: readonly Case[] = [
  { name: 'a cluster IP leads to all ready endpoints', service: service('web'), slices: two, expect: ['10.96.0.53 tcp 80 > n2: 10.244.0.5 8080, 10.244.1.5 8080'] },
  { name: 'a service without slices is refused', service: service('web'), slices: [], expect: ['10.96.0.53 tcp 80 > refuse'] },
  { name: 'a service whose endpoints are not ready is refused', service: service('web'), slices: [slice('web', ['!10.244.0.5'])], expect: ['10.96.0.53 tcp 80 > refuse'] },
  { name: 'unknown readiness is readiness', service: service('web'), slices: [slice('web', [{ addresses: ['10.244.0.5'] }])], expect: ['10.96.0.53 tcp 80 > n1: 10.244.0.5 8080'] },
  {
    name: 'terminating endpoints that serve are used only when none is ready', service: service('web'), slices: [slice('web', ['~10.244.0.5', '10.244.1.5'])],
    expect: ['10.96.0.53 tcp 80 > n1: 10.244.1.5 8080'],
  },
  { name: 'with nothing ready, terminating endpoints that serve are used', service: service('web'), slices: [slice('web', ['~10.244.0.5', '!10.244.1.5'])], expect: ['10.96.0.53 tcp 80 > n1: 10.244.0.5 8080'] },
  {
    name: 'several slices are one service, and an endpoint in two of them is one endpoint', service: service('web'),
    slices: [slice('web', ['10.244.1.5', '!10.244.0.5'], { name: 'a' }), slice('web', ['10.244.0.5'], { name: 'b' })], expect: ['10.96.0.53 tcp 80 > n2: 10.244.0.5 8080, 10.244.1.5 8080'],
  },
  {
    name: 'ports find their slice port by name and protocol', service: service('web', { ports: [{ name: 'dns', port: 53, protocol: 'UDP' }, { name: 'dns-tcp', port: 53 }] }),
    slices: [slice('web', ['10.244.0.5'], { ports: [{ name: 'dns', port: 5353, protocol: 'UDP' }, { name: 'dns-tcp', port: 5354, protocol: 'TCP' }] }), slice('web', ['10.244.1.5'], { name: 'b', ports: [{ name: 'dns-tcp', port: 6000 }] })],
    expect: ['10.96.0.53 udp 53 > n1: 10.244.0.5 5353', '10.96.0.53 tcp 53 > n2: 10.244.0.5 5354, 10.244.1.5 6000'],
  },
  {
    name: 'two families have two frontends, each with endpoints of its own', service: service('web', { clusterIPs: ['10.96.0.53', 'fd00:10:96:0::0053'] }),
    slices: [...two, slice('web', ['fd00:10:244:1::5'], { name: 'six' })], expect: ['10.96.0.53 tcp 80 > n2: 10.244.0.5 8080, 10.244.1.5 8080', 'fd00:10:96::53 tcp 80 > n1: fd00:10:244:1::5 8080'],
  },
  {
    name: 'a node port is served on the addresses of its family', service: service('web', { type: 'NodePort', ports: [{ port: 80, nodePort: 30080 }] }), slices: two,
    node: { ...node1, nodePortAddresses: ['192.0.2.1', '127.0.0.1', '2001:db8::1'] },
    expect: ['10.96.0.53 tcp 80', '192.0.2.1 tcp 30080', '127.0.0.1 tcp 30080'].map((frontend) => `${frontend} > n2: 10.244.0.5 8080, 10.244.1.5 8080`),
  },
  {
    name: 'a local-only node port leads clients outside to endpoints here, and clients on this node anywhere',
    service: service('web', { type: 'NodePort', externalTrafficPolicy: 'Local', ports: [{ port: 80, nodePort: 30080 }] }), slices: two,
    expect: ['10.96.0.53 tcp 80 > n2: 10.244.0.5 8080, 10.244.1.5 8080', '192.0.2.1 tcp 30080 > n1: 10.244.0.5 8080', 'inside 192.0.2.1 tcp 30080 > i2: 10.244.0.5 8080, 10.244.1.5 8080'],
  },
  {
    name: 'a local-only node port without endpoints here drops clients outside', service: service('web', { type: 'NodePort', externalTrafficPolicy: 'Local', ports: [{ port: 80, nodePort: 30080 }] }),
    slices: [slice('web', ['10.244.1.5'])], expect: ['10.96.0.53 tcp 80 > n1: 10.244.1.5 8080', '192.0.2.1 tcp 30080 > drop', 'inside 192.0.2.1 tcp 30080 > i1: 10.244.1.5 8080'],
  },
  { name: 'a local-only cluster IP leads to endpoints here', service: service('web', { internalTrafficPolicy: 'Local' }), slices: two, expect: ['10.96.0.53 tcp 80 > n1: 10.244.0.5 8080'] },
  { name: 'a local-only cluster IP without endpoints here is dropped', service: service('web', { internalTrafficPolicy: 'Local' }), slices: [slice('web', ['10.244.1.5'])], expect: ['10.96.0.53 tcp 80 > drop'] },
  {
    name: 'external and balancer addresses are frontends of the service port, but not those that a balancer serves itself',
    service: { ...service('web', { type: 'LoadBalancer', externalIPs: ['198.51.100.1'] }), status: { loadBalancer: { ingress: [{ ip: '198.51.100.2' }, { ip: '198.51.100.3', ipMode: 'Proxy' }, { hostname: 'x' }] } } },
    slices: [slice('web', ['10.244.0.5'])], expect: ['10.96.0.53', '198.51.100.1', '198.51.100.2'].map((address) => `${address} tcp 80 > n1: 10.244.0.5 8080`),
  },
  { name: 'client affinity has chains of its own', service: service('web', { sessionAffinity: 'ClientIP', sessionAffinityConfig: { clientIP: { timeoutSeconds: 60 } } }), slices: two, expect: ['10.96.0.53 tcp 80 > n2-sticky: 10.244.0.5 8080, 10.244.1.5 8080'] },
  { name: 'client affinity lasts three hours unless it says', service: service('web', { sessionAffinity: 'ClientIP' }), slices: [], expect: ['10.96.0.53 tcp 80 > refuse'] },
  { name: 'hints keep traffic in the zone', service: service('web'), slices: [slice('web', [hinted('10.244.0.5', { forZones: [{ name: 'a' }] }), hinted('10.244.1.5', { forZones: [{ name: 'b' }] })])], expect: ['10.96.0.53 tcp 80 > n1: 10.244.0.5 8080'] },
  { name: 'hints do not count when an endpoint has none', service: service('web'), slices: [slice('web', [hinted('10.244.0.5', { forZones: [{ name: 'a' }] }), endpoint('10.244.1.5')])], expect: ['10.96.0.53 tcp 80 > n2: 10.244.0.5 8080, 10.244.1.5 8080'] },
  { name: 'hints for the node go before hints for the zone', service: service('web'), slices: [slice('web', ['10.244.0.5', '10.244.1.5'].map((text, at) => hinted(text, { forZones: [{ name: 'a' }], forNodes: [{ name: `node-${at + 1}` }] })))], expect: ['10.96.0.53 tcp 80 > n1: 10.244.0.5 8080'] },
  { name: 'headless services are none of the proxy\'s', service: service('web', { clusterIP: 'None', clusterIPs: ['None'] }), slices: two, expect: [] },
  { name: 'external names are none of the proxy\'s', service: service('web', { type: 'ExternalName', clusterIP: '' }), slices: two, expect: [] },
  { name: 'services of another proxy are none of this one\'s', service: service('web', { labels: { 'service.kubernetes.io/service-proxy-name': 'fairway-dns' } }), slices: two, expect: [] },
  {
    name: 'malformed endpoints are left out, and the others served', service: service('web'),
    slices: [slice('web', ['10.244.0.5', { addresses: ['10.244.0.300'] }, { addresses: ['fd00::1'] }, { addresses: [] }])], expect: ['10.96.0.53 tcp 80 > n1: 10.244.0.5 8080'],
    problems: ['slice web-1: "10.244.0.300" is no IPv4 address', 'slice web-1: "fd00::1" is no IPv4 address', 'slice web-1: "" is no IPv4 address'],
  },
  { name: 'a port out of range is left out', service: service('web', { ports: [{ port: 0 }, { name: 'b', port: 80 }] }), slices: [], expect: ['10.96.0.53 tcp 80 > refuse'], problems: ['port 0 is no port'] },
  { name: 'an endpoint port of nought is left out', service: service('web'), slices: [slice('web', ['10.244.0.5'], { ports: [{ port: 0 }] })], expect: ['10.96.0.53 tcp 80 > refuse'], problems: ['slice web-1: 0 is no port'] },
]

for (const { name, service, slices, node = node1, expect, problems = [] } of cases) {
  t.test(name, async (t) => {
    const want = wantService('default/web', service, slices, node)
    t.strictSame(lines(want), expect)
    t.strictSame(want.problems, problems)
  })
}

t.test('endpoints on this node answer through it and may reach themselves', async (t) => {
  const want = wantService('default/web', service('web'), [slice('web', ['10.244.0.5', '10.244.1.5', '203.0.113.9'])], node1)
  t.strictSame(members(want, 'local4'), ['10.244.0.5'])
  t.strictSame(members(want, 'hairpin4'), ['10.244.0.5 10.244.0.5', '203.0.113.9 203.0.113.9'])
  t.strictSame(members(want, 'cluster-ip4'), ['10.96.0.53'])
  t.strictSame(members(want, 'external4'), [])
})

t.test('source ranges bind balancer addresses only, and only outermost prefixes are kept', async (t) => {
  const balanced: Service = {
    ...service('web', { type: 'LoadBalancer', externalIPs: ['198.51.100.1'], loadBalancerSourceRanges: ['203.0.113.7/24', '203.0.113.0/25', 'fd00::/8', 'nonsense'] }),
    status: { loadBalancer: { ingress: [{ ip: '198.51.100.2' }] } },
  }
  const want = wantService('default/web', balanced, two, node1)
  t.strictSame(members(want, 'ranged4'), ['198.51.100.2 tcp 80'])
  t.strictSame(members(want, 'source-range4'), ['198.51.100.2 tcp 80 203.0.113.0/24'])
  t.strictSame(members(want, 'external4'), ['198.51.100.1 tcp 80', '198.51.100.2 tcp 80'])
  t.strictSame(want.problems, ['source range "nonsense" is no prefix'])
})

t.test('without known pod ranges everyone keeps their address to a cluster IP', async (t) => {
  t.strictSame(members(wantNode({ ...node1, podCIDRs: [] }, families), 'inside4'), ['0.0.0.0/0'])
  t.strictSame(members(wantNode({ ...node1, podCIDRs: [] }, families), 'pod-range4'), [])
  t.strictSame(members(wantNode(node1, families), 'inside4'), ['10.244.0.0/24'])
  t.strictSame(members(wantNode(node1, families), 'service-range4'), ['10.96.0.0/12'])
})

t.test('names of chains that come and go are read back', async (t) => {
  t.strictSame(parseChainName('n12'), { kind: 'spread', count: 12, inside: false, sticky: false })
  t.strictSame(parseChainName('i3-sticky'), { kind: 'spread', count: 3, inside: true, sticky: true })
  t.strictSame(parseChainName('stick-60'), { kind: 'stick', seconds: 60 })
  for (const other of ['n0', 'n', 'refuse', 'n2-sticky-60', 'stick-0', 'services']) t.equal(parseChainName(other), undefined)
})
