/** From what is wanted and what is there to what is to be done. Pure. */
import type { TokenBucket } from '../../netlink/route/index.ts'
import { gatewayMac, gateways, podRouteProtocol } from './want.ts'
import type { Attachment, Family } from './want.ts'
import type { HostState } from './have.ts'

/** `where`: in the host's namespace or in the pod's. Links are named, for their indexes come to be as the plan is applied. */
export type Operation =
  | { readonly kind: 'addVeth'; readonly hostLink: string; readonly hostMac: string; readonly podLink: string; readonly podMac: string; readonly mtu: number }
  | { readonly kind: 'setUp'; readonly where: 'pod'; readonly link: string }
  | { readonly kind: 'addAddress'; readonly where: 'host' | 'pod'; readonly link: string; readonly address: string; readonly prefixLength: number }
  | { readonly kind: 'addNeighbour'; readonly where: 'host' | 'pod'; readonly link: string; readonly address: string; readonly mac: string }
  | { readonly kind: 'addRoute'; readonly where: 'host' | 'pod'; readonly link: string; readonly destination: string; readonly gateway?: string | undefined; readonly protocol?: number | undefined; readonly mtu?: number | undefined; readonly metric?: number | undefined; readonly table?: number | undefined }
  | { readonly kind: 'addLoopbackRoute'; readonly where: 'host'; readonly link: string }
  | { readonly kind: 'addRule'; readonly where: 'pod'; readonly from: string; readonly table: number }
  | { readonly kind: 'limitRate'; readonly where: 'host' | 'pod'; readonly link: string; readonly bucket: TokenBucket }
  | { readonly kind: 'writeSetting'; readonly where: 'host' | 'pod'; readonly path: string; readonly value: number | string; readonly optional: boolean }

const wholeLength = { ipv4: 32, ipv6: 128 } as const

export function planAttach(want: Attachment, have: HostState): Operation[] {
  const { hostLink, podLink, podMac, mtu, addresses, routes, rules, bandwidth, settings, translation } = want
  const families = [...new Set(addresses.map(({ family }) => family))]
  return [
    ...families.flatMap((family) => planForwarding(family, have)),
    { kind: 'addVeth', hostLink, hostMac: gatewayMac, podLink, podMac, mtu },
    ...planHostSettings(hostLink, families, translation.mappings.length > 0),
    ...planGateways(hostLink, families, have),
    ...(isAskedAtLoopback(want) ? [{ kind: 'addLoopbackRoute', where: 'host', link: hostLink } as const] : []),
    ...(have.loopbackUp ? [] : [{ kind: 'setUp', where: 'pod', link: 'lo' } as const]),
    // container engines turn IPv6 off in namespaces that they think have none
    ...(families.includes('ipv6') ? ['lo', podLink].map((link) => ({ kind: 'writeSetting', where: 'pod', path: `ipv6/conf/${link}/disable_ipv6`, value: 0, optional: false } as const)) : []),
    { kind: 'setUp', where: 'pod', link: podLink },
    // before any gateway: in a namespace that never had an address the kernel takes none
    ...addresses.map(({ family, address }) => ({ kind: 'addAddress', where: 'pod', link: podLink, address, prefixLength: wholeLength[family] } as const)),
    ...families.map((family) => ({ kind: 'addNeighbour', where: 'pod', link: podLink, address: gateways[family], mac: gatewayMac } as const)),
    ...routes.map(({ dst, gw, mtu, priority, table }) => ({ kind: 'addRoute', where: 'pod', link: podLink, destination: dst, gateway: gw, mtu, metric: priority, table } as const)),
    ...rules.map(({ from, table }) => ({ kind: 'addRule', where: 'pod', from, table } as const)),
    ...settings.map(({ path, value }) => ({ kind: 'writeSetting', where: 'pod', path, value, optional: false } as const)),
    ...(bandwidth.toPod === undefined ? [] : [{ kind: 'limitRate', where: 'host', link: hostLink, bucket: bandwidth.toPod } as const]),
    ...(bandwidth.fromPod === undefined ? [] : [{ kind: 'limitRate', where: 'pod', link: podLink, bucket: bandwidth.fromPod } as const]),
    // last, for from now on packets come
    ...addresses.flatMap(({ family, address }) => [
      { kind: 'addNeighbour', where: 'host', link: hostLink, address, mac: podMac } as const,
      { kind: 'addRoute', where: 'host', link: hostLink, destination: `${address}/${wholeLength[family]}`, protocol: podRouteProtocol } as const,
    ]),
  ]
}

/**
 * Whether somebody may ask for a port of it at ::1. What answers then is for an address that the kernel looks for on the link that the packet came by, and finds on
 * `lo` only: so that link gets a route to it as well. Packets that say ::1 themselves, from a pod, are dropped before any of this.
 */
export function isAskedAtLoopback({ translation: { addresses, mappings } }: Pick<Attachment, 'translation'>): boolean {
  return addresses.some(({ family }) => family === 'ipv6') && mappings.some(({ families }) => families.includes('ipv6'))
}

/**
 * The pod knows its gateway's link address. Should it forget (another plugin of the chain changes the link's own), it can ask: IPv6 of the host's end, IPv4 by
 * `proxy_arp`, for which the host has to have some way to the address that nobody has.
 */
function planGateways(hostLink: string, families: readonly Family[], have: HostState): Operation[] {
  return [
    ...(families.includes('ipv6') ? [{ kind: 'addAddress', where: 'host', link: hostLink, address: gateways.ipv6, prefixLength: 64 } as const] : []),
    ...(families.includes('ipv4') && !have.gatewayRouted ? [{ kind: 'addRoute', where: 'host', link: 'lo', destination: `${gateways.ipv4}/32`, protocol: podRouteProtocol } as const] : []),
  ]
}

function planForwarding(family: Family, { forwarding }: HostState): Operation[] {
  if (forwarding[family]) return []
  return [{ kind: 'writeSetting', where: 'host', path: family === 'ipv4' ? 'ipv4/ip_forward' : 'ipv6/conf/all/forwarding', value: 1, optional: false }]
}

function planHostSettings(link: string, families: readonly Family[], hasPorts: boolean): Operation[] {
  const setting = (path: string, value: number): Operation => ({ kind: 'writeSetting', where: 'host', path, value, optional: true })
  return [
    // a pod sends from its own addresses only
    setting(`ipv4/conf/${link}/rp_filter`, 1),
    // should the pod lose its neighbour entry, it is answered
    setting(`ipv4/conf/${link}/proxy_arp`, 1),
    // a pod that reaches itself through a service is sent back by its own link, which is no reason to tell it of a better way
    ...(families.includes('ipv4') ? ['all', link].map((name) => setting(`ipv4/conf/${name}/send_redirects`, 0)) : []),
    // who asks at a port of 127.0.0.1 is led to the pod
    ...(hasPorts && families.includes('ipv4') ? [setting(`ipv4/conf/${link}/route_localnet`, 1)] : []),
    // without IPv6 the host's end needs no link-local address, routes and groups
    ...(families.includes('ipv6') ? [] : [setting(`ipv6/conf/${link}/disable_ipv6`, 1)]),
  ]
}
