/** What is there: the overlay's links, routes, neighbours and forwarding entries, read back from the kernel. */
import { isChecksumOffloaded } from '../../netlink/ethtool.ts'
import type { Netns } from '../../netlink/netns.ts'
import type { Address, ForwardingEntry, Link, Neighbour, Route, RouteSocket } from '../../netlink/route/index.ts'
import { readSysctl } from '../../netlink/sysctl.ts'
import { NetlinkError, isNotFound, isUnsupported } from '../../netlink/errors.ts'
import { overlayRouteProtocol, vxlanLinkName, wireguardLinkName } from './want.ts'
import type { Family, Host, Underlay } from './want.ts'

export interface OverlayHave {
  readonly vxlan: Link | undefined
  /** Whether the VXLAN link leaves checksums to those below; undefined where there is none, or it cannot tell. */
  readonly checksumOffload: boolean | undefined
  readonly addresses: readonly Address[]
  readonly neighbours: readonly Neighbour[]
  readonly forwarding: readonly ForwardingEntry[]
  /** The encrypted link, and its addresses. */
  readonly wireguard: Link | undefined
  readonly wireguardAddresses: readonly Address[]
  /** The overlay's own. */
  readonly routes: readonly Route[]
  readonly loopback: { readonly link: number; readonly up: boolean; readonly addresses: readonly Address[] }
  readonly forwardingOn: Readonly<Record<Family, boolean>>
}

export const forwardingPaths = { ipv4: 'ipv4/ip_forward', ipv6: 'ipv6/conf/all/forwarding' } as const

export function readOverlay(route: RouteSocket, netns: Netns | undefined): OverlayHave {
  const vxlan = route.links.get(vxlanLinkName)
  const on = vxlan === undefined ? undefined : { link: vxlan.index }
  const wireguard = route.links.get(wireguardLinkName)
  const lo = route.links.get('lo')
  return {
    vxlan,
    checksumOffload: vxlan === undefined ? undefined : readOffload(netns),
    addresses: on === undefined ? [] : route.addresses.list(on),
    neighbours: on === undefined ? [] : route.neighbours.list(on),
    forwarding: on === undefined ? [] : route.fdb.list(on),
    wireguard,
    wireguardAddresses: wireguard === undefined ? [] : route.addresses.list({ link: wireguard.index }),
    routes: route.routes.list({ protocol: overlayRouteProtocol, table: RT_TABLE_MAIN }),
    loopback: { link: lo?.index ?? 1, up: lo?.up ?? false, addresses: route.addresses.list({ link: lo?.index ?? 1 }) },
    forwardingOn: { ipv4: isOn(forwardingPaths.ipv4, netns), ipv6: isOn(forwardingPaths.ipv6, netns) },
  }
}

export const RT_TABLE_MAIN = 254

function readOffload(netns: Netns | undefined): boolean | undefined {
  try {
    return isChecksumOffloaded(vxlanLinkName, { netns })
  } catch (error) {
    if (isUnsupported(error) || isNotFound(error)) return undefined
    throw error
  }
}

function isOn(path: string, netns: Netns | undefined): boolean {
  try {
    return readSysctl(path, { netns }) === '1'
  } catch (error) {
    if (isNotFound(error)) return false
    throw error
  }
}

/** The links that carry this host's addresses. */
export function findUnderlays(route: RouteSocket, { addresses }: Host): Partial<Record<Family, Underlay>> {
  const present = route.addresses.list()
  const underlays: Partial<Record<Family, Underlay>> = {}
  for (const family of ['ipv4', 'ipv6'] as const) {
    const found = present.find(({ address }) => address === addresses[family])
    const link = found === undefined ? undefined : route.links.get(found.link)
    if (link !== undefined) underlays[family] = { link: link.index, mtu: link.mtu }
  }
  return underlays
}

/** Those of the peers' addresses that the kernel reaches on the link of this host's own address, with no router between. */
export function findOnLink(route: RouteSocket, underlays: Readonly<Partial<Record<Family, Underlay>>>, peers: readonly Host[]): Set<string> {
  const found = new Set<string>()
  for (const { addresses } of peers) {
    for (const [family, address] of Object.entries(addresses) as [Family, string][]) {
      if (underlays[family] !== undefined && isOnLink(route, address, underlays[family].link)) found.add(address)
    }
  }
  return found
}

function isOnLink(route: RouteSocket, address: string, link: number): boolean {
  try {
    const towards = route.routes.get(address)
    return towards.type === 'unicast' && towards.gateway === undefined && towards.link === link
  } catch (error) {
    if (error instanceof NetlinkError) return false // no route at all: a prohibition, or the link is down
    throw error
  }
}
