import t from 'tap'
import type { Node } from '../../api/types.ts'
import { FakeNetwork } from '../../netlink/test-support/fake-network.ts'
import { RouteSocket } from '../../netlink/route/index.ts'
import { applyOverlay } from './apply.ts'
import type { OverlayHave } from './have.ts'
import { settleClaims } from './claims.ts'
import { planHostTable, wantHostTables } from './host-table.ts'
import { planOverlay } from './plan.ts'
import type { Operation } from './plan.ts'
import { overlayRouteProtocol, readHost, vxlanLinkName, wantOverlay } from './want.ts'
import type { Backend, Host, OverlayWant } from './want.ts'

function node(n: number, podCIDRs = [`10.244.${n}.0/24`], address = `10.90.0.${n}`): Node {
  return { metadata: { name: `node-${n}` }, spec: { podCIDRs }, status: { addresses: [{ type: 'InternalIP', address }] } }
}

interface Place {
  readonly route: RouteSocket
  readonly underlay: number
}

/** A host of the fake kernel with an underlay link. */
function makeHost(): Place {
  const network = new FakeNetwork()
  const route = RouteSocket.over(network.namespace())
  route.links.set('lo', { up: true })
  route.links.add({ kind: 'dummy', name: 'eth0', up: true })
  const underlay = route.links.get('eth0')?.index ?? 0
  route.addresses.add({ link: underlay, address: '10.90.0.1', prefixLength: 24 })
  return { route, underlay }
}

function want({ underlay }: Place, peers: readonly Node[], backend: Backend = 'vxlan', mtu = 1500): OverlayWant {
  return wantOverlay({ backend, own: readHost(node(1)), peers: peers.map(readHost), underlays: { ipv4: { link: underlay, mtu } }, onLink: new Set(peers.flatMap((peer) => readHost(peer).addresses.ipv4 ?? []).filter((address) => address.startsWith('10.90.0.'))), clusterDns: ['10.96.0.10'] })
}

function have({ route }: Place): OverlayHave {
  const vxlan = route.links.get(vxlanLinkName)
  const on = { link: vxlan?.index ?? 4711 }
  return {
    vxlan, checksumOffload: vxlan === undefined ? undefined : true, addresses: route.addresses.list(on), neighbours: route.neighbours.list(on), forwarding: route.fdb.list(on),
    wireguard: undefined, wireguardAddresses: [],
    routes: route.routes.list({ protocol: overlayRouteProtocol, table: 254 }),
    loopback: { link: 1, up: true, addresses: route.addresses.list({ link: 1 }) }, forwardingOn: { ipv4: true, ipv6: true },
  }
}

const kinds = (plan: readonly Operation[]): string[] => plan.map(({ kind }) => kind)

t.test('what was applied is what is wanted', async (t) => {
  const host = makeHost()
  const peers = [node(2), node(3)]
  const plan = planOverlay(want(host, peers), have(host))
  t.strictSame(kinds(plan), ['addAddress', 'addVxlan', 'addAddress', 'setNeighbour', 'setNeighbour', 'setForwardingEntry', 'setForwardingEntry', 'setRoute', 'setRoute', 'setRoute'])
  t.strictSame(applyOverlay(plan, host.route, undefined), [])
  t.strictSame(planOverlay(want(host, peers), have(host)), [], 'nothing is left to do')
})

const changes: readonly { title: string; peers?: Node[]; backend?: Backend; mtu?: number; kinds: string[] }[] = [
  { title: 'a peer more: an entry of each kind', peers: [node(2), node(3), node(4)], kinds: ['setNeighbour', 'setForwardingEntry', 'setRoute'] },
  { title: 'a peer less: its entries go', peers: [node(2)], kinds: ['deleteNeighbour', 'deleteForwardingEntry', 'deleteRoute'] },
  { title: 'a peer with another address: its forwarding entry only', peers: [node(2), node(3, undefined, '10.90.0.33')], kinds: ['deleteForwardingEntry', 'setForwardingEntry'] },
  { title: 'a peer with other pods', peers: [node(2), node(3, ['10.244.9.0/24'])], kinds: ['deleteNeighbour', 'setNeighbour', 'deleteRoute', 'setRoute'] },
  { title: 'a peer without pods or addresses yet', peers: [node(2), node(3), { metadata: { name: 'node-4' }, spec: {} }], kinds: [] },
  { title: 'another MTU below', mtu: 9000, kinds: ['setVxlan'] },
  { title: 'the other backend: no link, other next hops', backend: 'host-gw', kinds: ['deleteVxlan', 'setRoute', 'setRoute'] },
]

for (const { title, peers = [node(2), node(3)], backend, mtu, kinds: expected } of changes) {
  t.test(title, async (t) => {
    const host = makeHost()
    applyOverlay(planOverlay(want(host, [node(2), node(3)]), have(host)), host.route, undefined)
    const next = want(host, peers, backend, mtu)
    const plan = planOverlay(next, have(host))
    // routes of a link that goes with it need no deletion, but may be deleted
    t.strictSame(kinds(plan).filter((kind) => !(backend === 'host-gw' && kind === 'deleteRoute')), expected)
    t.strictSame(applyOverlay(plan, host.route, undefined), [])
    t.strictSame(planOverlay(next, have(host)), [])
  })
}

t.test('direct: through the peer where it shares a link, by the tunnel else, each range for itself', async (t) => {
  const host = makeHost()
  const near = node(2, ['10.244.2.0/24', 'fd00:10:244:2::/64'])
  const far = node(3, undefined, '10.91.0.3')
  const wanted = want(host, [near, far], 'direct')
  t.strictSame(wanted.problems, [])
  t.equal(wanted.podMtu, 1450)
  t.match(wanted.routes, [
    { destination: '10.244.1.0/24', type: 'unreachable' },
    { destination: '10.244.2.0/24', gateway: '10.90.0.2', link: host.underlay },
    { destination: 'fd00:10:244:2::/64', link: vxlanLinkName },
    { destination: '10.244.3.0/24', gateway: '10.244.3.0', link: vxlanLinkName, onlink: true },
  ])
  t.strictSame(wanted.vxlan?.forwarding.map(({ destination }) => destination), ['10.90.0.2', '10.91.0.3'], 'the tunnel knows those only that need it')
  t.strictSame(applyOverlay(planOverlay(wanted, have(host)), host.route, undefined), [])
  t.strictSame(planOverlay(wanted, have(host)), [])
  const moved = want(host, [node(2), node(3)], 'direct')
  t.strictSame(kinds(planOverlay(moved, have(host))), ['deleteNeighbour', 'deleteNeighbour', 'deleteForwardingEntry', 'deleteForwardingEntry', 'deleteRoute', 'deleteRoute', 'setRoute'], 'a peer that has come nearer needs no tunnel any more')
  t.match(want(host, [far], 'host-gw').problems, ['node node-3 at 10.91.0.3 shares no link with this host'])
})

t.test('an underlay that is another makes another link', async (t) => {
  const host = makeHost()
  applyOverlay(planOverlay(want(host, [node(2)]), have(host)), host.route, undefined)
  host.route.links.add({ kind: 'dummy', name: 'eth1', up: true })
  const moved = want({ ...host, underlay: host.route.links.get('eth1')?.index ?? 0 }, [node(2)])
  const plan = planOverlay(moved, have(host))
  t.strictSame(kinds(plan).slice(0, 2), ['deleteVxlan', 'addVxlan'])
  t.strictSame(applyOverlay(plan, host.route, undefined), [])
  t.strictSame(planOverlay(moved, have(host)), [])
})

t.test('the address of cluster DNS is never a source', async (t) => {
  const host = makeHost()
  host.route.addresses.add({ link: 1, address: '10.96.0.10', prefixLength: 32, scope: 0 })
  t.match(planOverlay(want(host, []), have(host)), [{ kind: 'deleteAddress', address: '10.96.0.10' }, { kind: 'addAddress', address: '10.96.0.10', scope: 254 }])
})

t.test('a peer that cannot be reached keeps no other from being reached', async (t) => {
  const host = makeHost()
  t.strictSame(['vxlan', 'host-gw', 'direct'].flatMap((backend) => want(host, [{ ...node(3), status: {} }], backend as Backend).problems), [], 'it may not have said where it is yet')
  const noAddress: Node = { ...node(3), status: { addresses: [{ type: 'InternalIP', address: 'fd00::3' }] } }
  const wanted = want(host, [node(2), noAddress], 'host-gw')
  t.strictSame(wanted.problems, ['node node-3 has no address of the family of its pods 10.244.3.0/24'])
  t.match(wanted.routes, [{ destination: '10.244.1.0/24', type: 'unreachable' }, { destination: '10.244.2.0/24', gateway: '10.90.0.2' }])
  const failures = applyOverlay([{ kind: 'setRoute', route: { destination: '10.9.0.0/24', link: 4711, type: 'unicast' } }, ...planOverlay(wanted, have(host))], host.route, undefined)
  t.match(failures, [{ ofPeer: true, error: { message: /Cannot set route 10\.9\.0\.0\/24/ } }])
  t.ok(host.route.routes.list({ protocol: overlayRouteProtocol }).some(({ destination }) => destination === '10.244.2.0/24'))
})

const claimed: readonly { title: string; claims: Node[]; problems: string[]; routes: string[] }[] = [
  { title: 'the range of another', claims: [node(2), node(3, ['10.244.2.0/24'])], problems: ["node node-3 has pods 10.244.2.0/24, but 10.244.2.0/24 is node node-2's"], routes: ['10.244.2.0/24'] },
  { title: 'a part of it', claims: [node(2), node(3, ['10.244.2.128/25', '10.244.3.0/24'])], problems: ["node node-3 has pods 10.244.2.128/25, but 10.244.2.0/24 is node node-2's"], routes: ['10.244.2.0/24', '10.244.3.0/24'] },
  { title: "this host's own", claims: [node(2, ['10.244.0.0/16'])], problems: ["node node-2 has pods 10.244.0.0/16, but 10.244.1.0/24 is node node-1's"], routes: [] },
  { title: 'everything', claims: [node(2, ['0.0.0.0/0', '10.244.2.0/24'])], problems: ["node node-2 has pods 0.0.0.0/0, but 10.90.0.1/32 is node node-1's"], routes: ['10.244.2.0/24'] },
  { title: 'the address of another host', claims: [node(2), node(3, ['10.90.0.2/32'])], problems: ["node node-3 has pods 10.90.0.2/32, but 10.90.0.2/32 is node node-2's"], routes: ['10.244.2.0/24'] },
]
for (const { title, claims, problems, routes } of claimed) {
  t.test(`a host that claims ${title} is not followed, and said to`, async (t) => {
    const host = makeHost()
    const settled = settleClaims(readHost(node(1)), claims.map(readHost))
    t.strictSame(settled.problems, problems)
    const wanted = wantOverlay({ backend: 'vxlan', own: readHost(node(1)), peers: settled.peers, underlays: { ipv4: { link: host.underlay, mtu: 1500 } }, clusterDns: [] })
    t.strictSame(wanted.routes.map(({ destination }) => destination), ['10.244.1.0/24', ...routes])
    t.strictSame(applyOverlay(planOverlay(wanted, have(host)), host.route, undefined), [])
    t.strictSame(planOverlay(wanted, have(host)), [], 'nothing is left to do, ever')
  })
}

t.test('of two that claim the same the older Node has it, whatever they are called', async (t) => {
  const made = (n: number, created: string): Host => ({ ...readHost(node(n, ['10.244.9.0/24'])), created })
  const { peers } = settleClaims(readHost(node(1)), [made(2, '2026-11-24T10:00:01Z'), made(3, '2026-11-24T10:00:00Z')])
  t.match(peers, [{ name: 'node-3', podCIDRs: ['10.244.9.0/24'] }, { name: 'node-2', podCIDRs: [] }])
  t.equal(readHost({ ...node(2), metadata: { name: 'node-2', creationTimestamp: '2026-11-24T10:00:00Z' } }).created, '2026-11-24T10:00:00Z')
})

t.test('what a Node says is not trusted', async (t) => {
  t.match(readHost({ metadata: { name: 'x' }, spec: { podCIDRs: ['10.244.1.0/24', 'nonsense', '10.0.0.0/99'] }, status: { addresses: [{ type: 'InternalIP', address: 'x' }, { type: 'InternalIP', address: 'FD00::0:1' }] } }), {
    podCIDRs: ['10.244.1.0/24'], addresses: { ipv6: 'fd00::1' },
  })
})

t.test('the host table: made whole, then by element', async (t) => {
  const options = { own: readHost(node(1)), peers: [readHost(node(2))], clusterDns: ['10.96.0.10'] }
  const table = wantHostTables(options).get('ipv4')
  t.equal(wantHostTables(options).get('ipv6'), undefined)
  t.match(wantHostTables({ ...options, tunnel: { address: '10.90.0.1', port: 4789 } }).get('ipv4')?.chains.map(({ rules }) => rules.length), [1, 3, 3, 1], 'with a tunnel')
  t.match(wantHostTables({ ...options, tunnel: { address: 'fd00:90::1', port: 4789 } }).get('ipv6')?.chains.map(({ rules }) => rules.length), [0, 1, 1, 0], 'of the other family')
  t.strictSame(planHostTable('ipv4', table, undefined).map(({ kind }) => kind), ['deleteTable', 'addTable', 'addSet', 'addElements', 'addChain', 'addRule', 'addChain', 'addRule', 'addRule', 'addChain', 'addRule', 'addRule', 'addChain', 'addRule'])
  const chains = new Map(table?.chains.map(({ chain, rules }, handle) => [chain.name, { ...chain, handle, rules: rules.map((rule) => ({ ...rule, handle: 1 })) }]))
  const present = { table: table!.table, generation: 1, chains, sets: new Map([['pods', { ...table!.pods, handle: 9, elements: table!.elements }]]) }
  t.strictSame(planHostTable('ipv4', table, present), [])
  const later = wantHostTables({ ...options, peers: [readHost(node(3))] }).get('ipv4')
  t.match(planHostTable('ipv4', later, present), [{ kind: 'deleteElements', elements: [{ key: ['10.244.2.0/24'] }] }, { kind: 'addElements', elements: [{ key: ['10.244.3.0/24'] }] }])
  t.match(planHostTable('ipv4', table, { ...present, chains: new Map() })[0], { kind: 'deleteTable', ifExists: true })
  t.match(planHostTable('ipv6', undefined, present), [{ kind: 'deleteTable' }])
})
