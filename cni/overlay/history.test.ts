/** Whatever came before, and whatever others do between: what is there in the end is what is wanted, and nothing else. */
import { array, assert, boolean, constant, constantFrom, integer, oneof, property, record, uniqueArray } from 'fast-check'
import type { Arbitrary } from 'fast-check'
import t from 'tap'
import { FakeNetwork } from '../../netlink/test-support/fake-network.ts'
import { RouteSocket } from '../../netlink/route/index.ts'
import { applyOverlay } from './apply.ts'
import type { OverlayHave } from './have.ts'
import { planOverlay } from './plan.ts'
import { overlayRouteProtocol, vxlanLinkName, wantOverlay, wireguardLinkName } from './want.ts'
import type { Backend, Host, OverlayWant } from './want.ts'

interface Peer {
  readonly n: number
  /** Another address than it is known for, another pod range. */
  readonly address: number
  readonly range: number
  readonly near: boolean
  readonly dual: boolean
  /** Whether it has published a key. */
  readonly keyed: boolean
}

const peer = record<Peer>({ n: integer({ min: 2, max: 5 }), address: integer({ min: 2, max: 9 }), range: integer({ min: 2, max: 9 }), near: boolean(), dual: boolean(), keyed: boolean() })
/** Hosts have addresses and ranges of their own. */
const peers = uniqueArray(peer, { maxLength: 4, comparator: (a, b) => a.n === b.n || a.address === b.address || a.range === b.range })
const step = oneof(
  record({ kind: constant('cluster' as const), peers, backend: constantFrom<Backend>('vxlan', 'host-gw', 'direct', 'wireguard'), mtu: constantFrom(1400, 1500, 9000) }),
  record({ kind: constantFrom('deleteRoutes' as const, 'deleteNeighbours' as const, 'deleteEntries' as const, 'deleteLink' as const, 'linkDown' as const, 'deleteAddresses' as const) }),
)
type Step = Extract<typeof step extends Arbitrary<infer S> ? S : never, object>

function host({ n, address, range, near, dual, keyed }: Peer): Host {
  return {
    name: `node-${n}`, ...(keyed ? { publicKey: `key ${n}` } : {}), addresses: { ipv4: near ? `10.90.0.${address}` : `10.91.0.${address}` }, podCIDRs: [`10.244.${range}.0/24`, ...(dual ? [`fd00:10:244:${range}::/64`] : [])],
  }
}

class Place {
  readonly route = RouteSocket.over(new FakeNetwork().namespace())
  readonly #underlay: number

  constructor() {
    this.route.links.set('lo', { up: true })
    this.route.links.add({ kind: 'dummy', name: 'eth0', up: true })
    this.#underlay = this.route.links.get('eth0')?.index ?? 0
    this.route.addresses.add({ link: this.#underlay, address: '10.90.0.1', prefixLength: 24 })
  }

  want(chosen: readonly Peer[], backend: Backend, mtu: number): OverlayWant {
    // whoever encrypts makes the link before anything else is looked at; that it is of another kind here makes no difference
    if (backend === 'wireguard' && this.route.links.get(wireguardLinkName) === undefined) this.route.links.add({ kind: 'dummy', name: wireguardLinkName })
    return wantOverlay({
      backend, peers: chosen.map(host), own: { name: 'node-1', addresses: { ipv4: '10.90.0.1' }, podCIDRs: ['10.244.1.0/24', 'fd00:10:244:1::/64'] }, clusterDns: ['10.96.0.10'],
      underlays: { ipv4: { link: this.#underlay, mtu } }, onLink: new Set(chosen.filter(({ near }) => near).flatMap((one) => host(one).addresses.ipv4 ?? [])),
    })
  }

  have(): OverlayHave {
    const vxlan = this.route.links.get(vxlanLinkName)
    const on = { link: vxlan?.index ?? 4711 }
    const wireguard = this.route.links.get(wireguardLinkName)
    return {
      wireguard, wireguardAddresses: this.route.addresses.list({ link: wireguard?.index ?? 4711 }), vxlan, checksumOffload: undefined, addresses: this.route.addresses.list(on), neighbours: this.route.neighbours.list(on), forwarding: this.route.fdb.list(on),
      routes: this.route.routes.list({ protocol: overlayRouteProtocol, table: 254 }),
      loopback: { link: 1, up: true, addresses: this.route.addresses.list({ link: 1 }) }, forwardingOn: { ipv4: true, ipv6: true },
    }
  }

  /** All that can be seen of it, without the link's number. */
  picture(): string {
    const { vxlan, wireguard, wireguardAddresses, addresses, neighbours, forwarding, routes, loopback } = this.have()
    const lines = [
      `link ${vxlan?.mtu} ${vxlan?.mac} ${vxlan?.up}`, `link ${wireguard?.mtu} ${wireguard?.up}`, ...[...addresses, ...wireguardAddresses, ...loopback.addresses].map(({ address }) => `address ${address}`),
      ...neighbours.map(({ address, mac }) => `neighbour ${address} ${mac}`), ...forwarding.map(({ mac, destination }) => `entry ${mac} ${destination}`),
      ...routes.map(({ destination, gateway, type, link }) => `${type} ${destination} ${gateway} ${link === vxlan?.index} ${link === wireguard?.index}`),
    ]
    return lines.sort().join('\n')
  }

  damage({ kind }: { readonly kind: Exclude<Step['kind'], 'cluster'> }): void {
    const { vxlan, wireguard, wireguardAddresses, routes, neighbours, forwarding, addresses } = this.have()
    if (kind === 'deleteRoutes') for (const { destination, protocol } of routes) this.route.routes.delete({ destination, protocol })
    if (wireguard !== undefined) {
      const { index: link } = wireguard
      if (kind === 'deleteAddresses') for (const { address, prefixLength } of wireguardAddresses) this.route.addresses.delete({ link, address, prefixLength })
      if (kind === 'deleteLink') this.route.links.delete(link)
      if (kind === 'linkDown') this.route.links.set(link, { up: false })
    }
    if (vxlan === undefined) return
    const { index: link } = vxlan
    if (kind === 'deleteNeighbours') for (const { address } of neighbours) this.route.neighbours.delete({ link, address })
    if (kind === 'deleteEntries') for (const { mac, destination } of forwarding) this.route.fdb.delete({ link, mac, destination })
    if (kind === 'deleteAddresses') for (const { address, prefixLength } of addresses) this.route.addresses.delete({ link, address, prefixLength })
    if (kind === 'deleteLink') this.route.links.delete(link)
    if (kind === 'linkDown') this.route.links.set(link, { up: false })
  }
}

t.test('any history ends as a new start would', (t) => {
  assert(property(array(step, { minLength: 1, maxLength: 8 }), peers, constantFrom<Backend>('vxlan', 'host-gw', 'direct', 'wireguard'), (history, last, backend) => {
    const place = new Place()
    for (const one of history) {
      if (one.kind !== 'cluster') place.damage(one)
      else applyOverlay(planOverlay(place.want(one.peers, one.backend, one.mtu), place.have()), place.route, undefined)
    }
    const want = place.want(last, backend, 1500)
    const failures = applyOverlay(planOverlay(want, place.have()), place.route, undefined)
    if (failures.length > 0) throw new AggregateError(failures.map(({ error }) => error), failures.map(({ error }) => error.message).join('; '))
    if (planOverlay(want, place.have()).length > 0) throw new Error(`something is left to do: ${JSON.stringify(planOverlay(want, place.have()))}`)
    const fresh = new Place()
    applyOverlay(planOverlay(fresh.want(last, backend, 1500), fresh.have()), fresh.route, undefined)
    if (place.picture() !== fresh.picture()) throw new Error(`${place.picture()} is not ${fresh.picture()}`)
  }), { numRuns: 150 })
  t.end()
})
