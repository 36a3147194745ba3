/** What this host's network to the others is to look like, from the Nodes. Pure. */
import { createHash } from 'node:crypto'
import type { Node } from '../../api/types.ts'
import { canonicalAddress, parsePrefix } from '../../netlink/addresses.ts'
import { readKey } from './wireguard/keys.ts'

/** `direct` is `host-gw` where peers share a link, and `vxlan` elsewhere. `wireguard` encrypts. */
export type Backend = 'vxlan' | 'host-gw' | 'direct' | 'wireguard'
export type Family = 'ipv4' | 'ipv6'

/** The owner of the overlay's routes (RTPROT_*), beside that of the plugin's. */
export const overlayRouteProtocol = 71
export const vxlanLinkName = 'fairway-vxlan'
export const vxlanId = 1
/** IANA's; Linux' own default is older. */
export const vxlanPort = 4789
/** Outer IPv4 (20) or IPv6 (40), UDP (8), VXLAN (8), inner Ethernet (14): RFC 7348. */
const vxlanOverhead = { ipv4: 50, ipv6: 70 } as const

export const wireguardLinkName = 'fairway-wg'
/** WireGuard's own default. */
const wireguardPort = 51_820
/** Outer IPv4 (20) or IPv6 (40), UDP (8), WireGuard's header (16) and authentication tag (16). */
const wireguardOverhead = { ipv4: 60, ipv6: 80 } as const
/** Where a Node says with which key its host encrypts: 32 bytes in base64. */
export const publicKeyAnnotation = 'fairway.dev/wireguard-public-key'
/**
 * Behind every route through an encrypted link there is one that refuses: whenever the link is not there packets go nowhere, rather than by the default
 * route, as they are.
 */
const refusalMetric = 65_535

/** The peers by name, for `fairway cni status`: the kernel knows their addresses only. */
export const peersFile = 'peers.json'

/** A host of the cluster, as far as its Node says where it and its pods are. */
export interface Host {
  readonly name: string
  readonly addresses: Readonly<Partial<Record<Family, string>>>
  readonly podCIDRs: readonly string[]
  /** What its Node says of it, if that is a key. */
  readonly publicKey?: string | undefined
  /** When its Node was made. */
  readonly created?: string | undefined
}

/** The link that carries an address of this host. */
export interface Underlay {
  readonly link: number
  readonly mtu: number
}

export interface WantedRoute {
  readonly destination: string
  /** Which link: by its name, or the underlay by its index; none of an unreachable route. */
  readonly link?: string | number | undefined
  readonly gateway?: string | undefined
  readonly onlink?: boolean | undefined
  readonly type: 'unicast' | 'unreachable'
  /** Left out, the kernel's default. */
  readonly metric?: number | undefined
}

/** What of the encrypted link is neither address nor route. */
export interface WantedTunnel {
  readonly port: number
  readonly peers: readonly { readonly publicKey: string; readonly endpoint: { readonly address: string; readonly port: number }; readonly allowedIPs: readonly string[] }[]
}

export interface OverlayWant {
  readonly vxlan: {
    readonly mac: string
    readonly mtu: number
    readonly local: string
    readonly underlay: number
    /** Checksums of what is sent are computed before it is encapsulated; else that is left as it is. */
    readonly computeChecksums: boolean
    readonly addresses: readonly string[]
    readonly neighbours: readonly { readonly address: string; readonly mac: string }[]
    readonly forwarding: readonly { readonly mac: string; readonly destination: string }[]
  } | undefined
  readonly wireguard: (WantedTunnel & { readonly mtu: number; readonly local: string; readonly addresses: readonly string[] }) | undefined
  readonly routes: readonly WantedRoute[]
  /** Cluster DNS addresses of this host. */
  readonly loopback: readonly string[]
  readonly families: readonly Family[]
  /** MTU of pods. */
  readonly podMtu: number
  /** Peers that cannot be reached as things are. */
  readonly problems: readonly string[]
}

export function familyOf(address: string): Family {
  return address.includes(':') ? 'ipv6' : 'ipv4'
}

function canonical(prefix: string): string | undefined {
  try {
    const { address, prefixLength } = parsePrefix(prefix)
    return `${address}/${prefixLength}`
  } catch (error) {
    if ((error as Error).name === 'LayoutError') return undefined
    throw error
  }
}

/** What a Node says of its host. Addresses that are none are left out: the API server checks them, but another's may not. */
export function readHost({ metadata, spec, status }: Node): Host {
  const cidrs = spec.podCIDRs ?? (spec.podCIDR === undefined ? [] : [spec.podCIDR])
  const addresses: Partial<Record<Family, string>> = {}
  for (const { type, address } of status?.addresses ?? []) {
    const valid = canonical(address)
    if (type === 'InternalIP' && valid !== undefined && !address.includes('/')) addresses[familyOf(address)] ??= canonicalAddress(address)
  }
  const publicKey = readKey(metadata.annotations?.[publicKeyAnnotation])
  const { name = '', creationTimestamp: created } = metadata
  return { name, addresses, podCIDRs: cidrs.flatMap((cidr) => canonical(cidr) ?? []), ...(publicKey === undefined ? {} : { publicKey }), ...(created === undefined ? {} : { created }) }
}

/**
 * The MAC of a host's VXLAN link: derived from the node's name, so that every host knows every other's without anybody writing it anywhere, and
 * so that a host that was made anew is reached at once. 40 bits: two of 1,000 hosts meet in one of two million clusters.
 */
function vtepMac(nodeName: string): string {
  return `02:${createHash('sha256').update(`fairway vtep ${nodeName}`).digest('hex').slice(0, 10).match(/../g)?.join(':') ?? ''}`
}

/** The address of a host in its own pod range: nobody else's there, and so what other hosts send to and see. */
export function gatewayOf(podCIDR: string): string {
  return parsePrefix(podCIDR).address
}

/** IPv6 wants next hops that are link-local (RFC 4861): derived from the MAC as the kernel would (RFC 4291, appendix A). */
function linkLocal(mac: string): string {
  const bytes = mac.split(':').map((byte) => Number.parseInt(byte, 16))
  const eui = [(bytes[0] ?? 0) ^ 2, bytes[1], bytes[2], 0xff, 0xfe, bytes[3], bytes[4], bytes[5]].map((byte) => (byte ?? 0).toString(16).padStart(2, '0'))
  return canonicalAddress(`fe80::${eui.join('').match(/..../g)?.join(':') ?? ''}`)
}

export interface WantOptions {
  readonly backend: Backend
  readonly own: Host
  readonly peers: readonly Host[]
  /** By this host's own addresses. */
  readonly underlays: Readonly<Partial<Record<Family, Underlay>>>
  /** Those of the peers' addresses that are reached without a router; `vxlan` does not ask. */
  readonly onLink?: ReadonlySet<string> | undefined
  /** The network below does not get checksums right. */
  readonly computeChecksums?: boolean | undefined
  readonly clusterDns: readonly string[]
}

/** A host that joins is known before it has said where it is: that is no problem yet. */
function isPlaced({ addresses }: Host): boolean {
  return Object.keys(addresses).length > 0
}

/** The family of the tunnel: IPv4 where this host has it. */
function tunnelFamily({ addresses }: Host): Family {
  return addresses.ipv4 === undefined ? 'ipv6' : 'ipv4'
}

export function wantOverlay(options: WantOptions): OverlayWant {
  const { own, clusterDns } = options
  const families = [...new Set(own.podCIDRs.map((cidr) => familyOf(cidr)))]
  const backend = byBackend[options.backend](options)
  // what is in our range and is no pod is nowhere: without this it would go to the default route, and perhaps come back
  const unreachable = own.podCIDRs.map((destination) => ({ destination, type: 'unreachable' } as const))
  return { wireguard: undefined, ...backend, routes: [...unreachable, ...backend.routes], loopback: clusterDns, families }
}

type BackendWant = Pick<OverlayWant, 'vxlan' | 'routes' | 'podMtu' | 'problems'> & Partial<Pick<OverlayWant, 'wireguard'>>

function wantVxlan({ own, peers, underlays, computeChecksums = false }: WantOptions): BackendWant {
  const family = tunnelFamily(own)
  const underlay = underlays[family]
  const local = own.addresses[family]
  if (underlay === undefined || local === undefined) throw new Error(`Cannot make a VXLAN link: this host's address ${local ?? '(its Node has none)'} is on none of its links`)
  const mtu = underlay.mtu - vxlanOverhead[family]
  const reachable = peers.flatMap((peer) => {
    const address = peer.addresses[family]
    return address === undefined ? [] : [{ ...peer, address, mac: vtepMac(peer.name) }]
  })
  const gateways = reachable.flatMap(({ mac, podCIDRs }) => podCIDRs.map((destination) => ({ destination, mac, gateway: familyOf(destination) === 'ipv4' ? gatewayOf(destination) : linkLocal(mac) })))
  return {
    vxlan: {
      mac: vtepMac(own.name), mtu, local, underlay: underlay.link, computeChecksums,
      addresses: own.podCIDRs.map(gatewayOf),
      neighbours: [...new Map(gateways.map(({ gateway, mac }) => [gateway, { address: gateway, mac }])).values()],
      forwarding: reachable.map(({ mac, address }) => ({ mac, destination: address })),
    },
    routes: gateways.map(({ destination, gateway }) => ({ destination, gateway, link: vxlanLinkName, onlink: true, type: 'unicast' })),
    podMtu: mtu,
    problems: peers.filter((peer) => peer.addresses[family] === undefined && isPlaced(peer)).map(({ name }) => `node ${name} has no ${family === 'ipv4' ? 'IPv4' : 'IPv6'} address`),
  }
}

function wantHostGateway(options: WantOptions): BackendWant {
  const { own, peers, underlays } = options
  const routes: WantedRoute[] = []
  const problems: string[] = []
  for (const peer of peers) {
    for (const destination of peer.podCIDRs) {
      const route = directRoute(options, peer, destination)
      if (typeof route !== 'string') routes.push(route)
      else if (isPlaced(peer)) problems.push(route)
    }
  }
  const mtus = [...new Set(own.podCIDRs.map((cidr) => familyOf(cidr)))].flatMap((family) => underlays[family]?.mtu ?? [])
  if (mtus.length === 0) throw new Error(`Cannot route to other hosts: this host's addresses ${Object.values(own.addresses).join(', ') || '(its Node has none)'} are on none of its links`)
  return { vxlan: undefined, routes, podMtu: Math.min(...mtus), problems }
}

/** The route through the peer itself, or why there can be none. */
function directRoute({ underlays, onLink }: WantOptions, { name, addresses }: Host, destination: string): WantedRoute | string {
  const family = familyOf(destination)
  const gateway = addresses[family]
  const underlay = underlays[family]
  if (gateway === undefined) return `node ${name} has no address of the family of its pods ${destination}`
  if (underlay === undefined) return `this host has no address on a link through which to reach ${gateway}`
  if (onLink?.has(gateway) !== true) return `node ${name} at ${gateway} shares no link with this host`
  return { destination, gateway, link: underlay.link, type: 'unicast' }
}

/**
 * Each range of a peer for itself: where hosts have IPv4 only, IPv6 pods go through the tunnel. Pods have the tunnel's MTU, since any peer may be behind
 * a router later.
 */
function wantDirect(options: WantOptions): BackendWant {
  const direct = new Map<string, WantedRoute>()
  for (const peer of options.peers) {
    for (const destination of peer.podCIDRs) {
      const route = directRoute(options, peer, destination)
      if (typeof route !== 'string') direct.set(destination, route)
    }
  }
  const tunnelled = options.peers.map((peer) => ({ ...peer, podCIDRs: peer.podCIDRs.filter((cidr) => !direct.has(cidr)) })).filter(({ podCIDRs }) => podCIDRs.length > 0)
  const tunnel = wantVxlan({ ...options, peers: tunnelled })
  return { ...tunnel, routes: [...direct.values(), ...tunnel.routes] }
}

/** A peer without a key of its own is not reached at all: the refusing route is all that it has. */
function wantWireguard({ own, peers, underlays }: WantOptions): BackendWant {
  const family = tunnelFamily(own)
  const underlay = underlays[family]
  const local = own.addresses[family]
  if (underlay === undefined || local === undefined) throw new Error(`Cannot make a WireGuard link: this host's address ${local ?? '(its Node has none)'} is on none of its links`)
  const owners = Map.groupBy([own, ...peers].filter(({ publicKey }) => publicKey !== undefined), ({ publicKey }) => publicKey)
  const problems: string[] = []
  const reachable = peers.flatMap(({ name, addresses, podCIDRs, publicKey }) => {
    const address = addresses[family]
    if (Object.keys(addresses).length === 0) return []
    if (address === undefined) problems.push(`node ${name} has no ${family === 'ipv4' ? 'IPv4' : 'IPv6'} address`)
    else if (publicKey === undefined) problems.push(`node ${name} has published no key to encrypt with`)
    else if (owners.get(publicKey)?.[0]?.name !== name) problems.push(`node ${name} has published the key of ${owners.get(publicKey)?.[0]?.name}`)
    else return [{ publicKey, endpoint: { address, port: wireguardPort }, allowedIPs: podCIDRs }]
    return []
  })
  const mtu = underlay.mtu - wireguardOverhead[family]
  return {
    vxlan: undefined,
    wireguard: { mtu, local, port: wireguardPort, addresses: own.podCIDRs.map(gatewayOf), peers: reachable },
    routes: [
      ...reachable.flatMap(({ allowedIPs }) => allowedIPs.map((destination) => ({ destination, link: wireguardLinkName, type: 'unicast' } as const))),
      ...peers.flatMap(({ podCIDRs }) => podCIDRs.map((destination) => ({ destination, type: 'unreachable', metric: refusalMetric } as const))),
    ],
    podMtu: mtu,
    problems,
  }
}

const byBackend: Readonly<Record<Backend, (options: WantOptions) => BackendWant>> = { vxlan: wantVxlan, 'host-gw': wantHostGateway, direct: wantDirect, wireguard: wantWireguard }
