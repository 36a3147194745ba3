/** The difference between the overlay that is wanted and the one that is there. Pure. */
import type { Address, Link, Route } from '../../netlink/route/index.ts'
import { familyOf, vxlanLinkName, vxlanPort, vxlanId, wireguardLinkName } from './want.ts'
import type { Family, OverlayWant, WantedRoute } from './want.ts'
import type { OverlayHave } from './have.ts'

type Vxlan = NonNullable<OverlayWant['vxlan']>
type WireguardWant = NonNullable<OverlayWant['wireguard']>

/** Entries of the VXLAN link name no link: there is one, and its index may change while a plan is applied. */
export type Operation =
  | { readonly kind: 'setForwarding'; readonly family: Family }
  | { readonly kind: 'deleteVxlan' }
  | { readonly kind: 'addVxlan'; readonly vxlan: Vxlan }
  | { readonly kind: 'setVxlan'; readonly change: { readonly mac?: string; readonly mtu?: number; readonly up?: true } }
  | { readonly kind: 'computeChecksums' }
  | { readonly kind: 'deleteWireguard' }
  | { readonly kind: 'setWireguard'; readonly change: { readonly mtu?: number; readonly up?: true } }
  | { readonly kind: 'setLoopbackUp'; readonly link: number }
  | { readonly kind: 'addAddress' | 'deleteAddress'; readonly link?: number | undefined; readonly address: string; readonly prefixLength: number; readonly scope?: number | undefined }
  | { readonly kind: 'setNeighbour'; readonly address: string; readonly mac: string }
  | { readonly kind: 'deleteNeighbour'; readonly address: string }
  | { readonly kind: 'setForwardingEntry'; readonly mac: string; readonly destination: string }
  | { readonly kind: 'deleteForwardingEntry'; readonly mac: string; readonly destination?: string | undefined }
  | { readonly kind: 'setRoute'; readonly route: WantedRoute }
  | { readonly kind: 'deleteRoute'; readonly route: Route }

/** RT_SCOPE_HOST: an address that is never chosen as the source of what this host sends. */
const scopeHost = 254

export function planOverlay(want: OverlayWant, have: OverlayHave): Operation[] {
  const remake = want.vxlan !== undefined && have.vxlan !== undefined && !isSameTunnel(want.vxlan, have.vxlan)
  // with the link goes what hangs on it
  const present = remake ? { ...have, vxlan: undefined, addresses: [], neighbours: [], forwarding: [], routes: have.routes.filter(({ link }) => link !== have.vxlan?.index) } : have
  return [
    ...want.families.filter((family) => !have.forwardingOn[family]).map((family) => ({ kind: 'setForwarding', family } as const)),
    ...planLoopback(want, have),
    ...(have.vxlan !== undefined && (remake || want.vxlan === undefined) ? [{ kind: 'deleteVxlan' } as const] : []),
    ...(want.vxlan === undefined ? [] : planVxlan(want.vxlan, present)),
    ...(have.wireguard === undefined ? [] : want.wireguard === undefined ? [{ kind: 'deleteWireguard' } as const] : planWireguard(want.wireguard, have.wireguard, have.wireguardAddresses)),
    ...planRoutes(want, present),
  ]
}

/** What cannot be changed of a link that is there. */
function isSameTunnel(want: Vxlan, { kind, vxlan }: Link): boolean {
  return kind === 'vxlan' && vxlan?.id === vxlanId && vxlan.port === vxlanPort && !vxlan.learning && vxlan.local === want.local && vxlan.link === want.underlay
}

function planLoopback({ loopback }: OverlayWant, { loopback: have }: OverlayHave): Operation[] {
  const wrong = have.addresses.filter(({ address, scope }) => loopback.includes(address) && familyOf(address) === 'ipv4' && scope !== scopeHost)
  const right = have.addresses.filter((address) => !wrong.includes(address)).map(({ address }) => address)
  const place = (address: string): { link: number; address: string; prefixLength: number } => ({ link: have.link, address, prefixLength: familyOf(address) === 'ipv4' ? 32 : 128 })
  return [
    ...(have.up ? [] : [{ kind: 'setLoopbackUp', link: have.link } as const]),
    ...wrong.map(({ address, prefixLength }) => ({ kind: 'deleteAddress', link: have.link, address, prefixLength } as const)),
    ...loopback.filter((address) => !right.includes(address)).map((address) => ({ kind: 'addAddress', ...place(address), scope: scopeHost } as const)),
  ]
}

function planVxlan(want: Vxlan, { vxlan, checksumOffload, addresses, neighbours, forwarding }: OverlayHave): Operation[] {
  const plan: Operation[] = []
  if (vxlan === undefined) plan.push({ kind: 'addVxlan', vxlan: want })
  else {
    const change = { ...(vxlan.mac === want.mac ? {} : { mac: want.mac }), ...(vxlan.mtu === want.mtu ? {} : { mtu: want.mtu }), ...(vxlan.up ? {} : { up: true } as const) }
    if (Object.keys(change).length > 0) plan.push({ kind: 'setVxlan', change })
  }
  if (want.computeChecksums && (vxlan === undefined || checksumOffload === true)) plan.push({ kind: 'computeChecksums' })
  const own = addresses.filter(({ address }) => !address.startsWith('fe80:'))
  for (const { address, prefixLength } of own) if (!want.addresses.includes(address)) plan.push({ kind: 'deleteAddress', address, prefixLength })
  for (const address of want.addresses) if (!own.some((one) => one.address === address)) plan.push({ kind: 'addAddress', address, prefixLength: familyOf(address) === 'ipv4' ? 32 : 128 })

  // an entry of a peer that is there no more goes before another takes its place
  const permanent = new Map(neighbours.filter(({ state }) => state === 'permanent').map(({ address, mac }) => [address, mac]))
  const wantedNeighbours = new Map(want.neighbours.map(({ address, mac }) => [address, mac]))
  for (const address of permanent.keys()) if (!wantedNeighbours.has(address)) plan.push({ kind: 'deleteNeighbour', address })
  for (const [address, mac] of wantedNeighbours) if (permanent.get(address) !== mac) plan.push({ kind: 'setNeighbour', address, mac })

  const entries = new Map(want.forwarding.map(({ mac, destination }) => [mac, destination]))
  for (const { mac, destination } of forwarding) {
    if (!entries.has(mac)) plan.push({ kind: 'deleteForwardingEntry', mac, destination })
  }
  const byMac = Map.groupBy(forwarding, ({ mac }) => mac)
  for (const [mac, destination] of entries) {
    const present = byMac.get(mac) ?? []
    if (present.length === 1 && present[0]?.destination === destination) continue
    if (present.length > 0) plan.push({ kind: 'deleteForwardingEntry', mac })
    plan.push({ kind: 'setForwardingEntry', mac, destination })
  }
  return plan
}

/** Of a link that is there: it is made, and told keys and peers, by other ways. */
function planWireguard(want: WireguardWant, { index, mtu, up }: Link, addresses: readonly Address[]): Operation[] {
  const change = { ...(mtu === want.mtu ? {} : { mtu: want.mtu }), ...(up ? {} : { up: true } as const) }
  const own = addresses.filter(({ address }) => !address.startsWith('fe80:'))
  return [
    ...(Object.keys(change).length === 0 ? [] : [{ kind: 'setWireguard', change } as const]),
    ...own.filter(({ address }) => !want.addresses.includes(address)).map(({ address, prefixLength }) => ({ kind: 'deleteAddress', link: index, address, prefixLength } as const)),
    ...want.addresses.filter((address) => !own.some((one) => one.address === address))
      .map((address) => ({ kind: 'addAddress', link: index, address, prefixLength: familyOf(address) === 'ipv4' ? 32 : 128 } as const)),
  ]
}

function planRoutes(want: OverlayWant, { routes, vxlan, wireguard }: OverlayHave): Operation[] {
  const indices = new Map([[vxlanLinkName, vxlan?.index], [wireguardLinkName, wireguard?.index]])
  const isSame = (wanted: WantedRoute, { type, gateway, link }: Route): boolean =>
    wanted.type === type && (type === 'unreachable' || (wanted.gateway === gateway && (typeof wanted.link === 'string' ? indices.get(wanted.link) : wanted.link) === link))
  // a refusal stands behind the route to the same range
  const metrics = new Set(want.routes.map(({ metric }) => metric))
  const keyOf = (destination: string, metric: number | undefined): string => `${destination} ${metrics.has(metric) ? metric : undefined}`
  const byDestination = new Map(want.routes.map((route) => [keyOf(route.destination, route.metric), route]))
  const kept = new Set<WantedRoute>()
  const plan: Operation[] = []
  for (const route of routes) {
    const wanted = byDestination.get(keyOf(route.destination, route.metric))
    if (wanted !== undefined && !kept.has(wanted) && isSame(wanted, route)) kept.add(wanted)
    else plan.push({ kind: 'deleteRoute', route })
  }
  // there can be none through a link that could not be made: that is said where it was tried
  const possible = want.routes.filter(({ link }) => link !== wireguardLinkName || wireguard !== undefined)
  for (const route of possible) if (!kept.has(route)) plan.push({ kind: 'setRoute', route })
  return plan
}
