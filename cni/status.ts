/** What `fairway cni status` shows: addresses in use by pod, what is free, and the peers. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { systemClock } from '../api/clock.ts'
import { parsePrefix } from '../netlink/addresses.ts'
import type { Netns } from '../netlink/netns.ts'
import { RouteSocket } from '../netlink/route/index.ts'
import type { Holding } from './ipam/entry.ts'
import type { RangeUse } from './metrics.ts'
import { Journal, journalNames } from './ipam/journal.ts'
import { addressNumber, parseRangeSets } from './ipam/ranges.ts'
import type { AddressRange } from './ipam/ranges.ts'
import { ask } from './overlay/reach.ts'
import type { Reach } from './overlay/reach.ts'
import { familyOf, gatewayOf, overlayRouteProtocol, peersFile, wireguardLinkName } from './overlay/want.ts'
import type { Host } from './overlay/want.ts'
import { defaultConfDir, defaultDataDir, networkConfigFile } from './paths.ts'
import { isObject } from './protocol/config.ts'

export interface CniStatusOptions {
  readonly dataDir?: string | undefined
  readonly confDir?: string | undefined
  /** The host's network namespace, when it is not the caller's. */
  readonly netns?: Netns | undefined
}

export interface NetworkStatus {
  readonly name: string
  /** Of the configuration list; none where that is not ours any more. */
  readonly ranges: readonly { readonly subnet: string; readonly used: number; readonly free: bigint }[]
  readonly addresses: readonly Holding[]
}

/** What of a peer's way is not there: the kernel's words for it. */
export type Missing = 'route' | 'link' | 'neighbour' | 'forwarding entry' | 'key'

export interface PeerStatus {
  /** Its name, where the overlay has written it down. */
  readonly node?: string | undefined
  readonly podCIDR: string
  /** The host's address. */
  readonly address?: string | undefined
  readonly link: string
  readonly mtu: number
  readonly missing: readonly Missing[]
  /** What came back when it was asked just now, by the way that pods take; not asked where something is missing. */
  readonly reach?: Reach | undefined
}

export interface CniStatus {
  readonly networks: readonly NetworkStatus[]
  readonly peers: readonly PeerStatus[]
}

/** Reads the journals of this host and the routes of its namespace, and asks the peers. Needs root, for all of it. */
export async function cniStatus(options: CniStatusOptions = {}): Promise<CniStatus> {
  return { networks: readNetworks(options), peers: await readPeers(options) }
}

/** How many addresses of each configured range are in use. */
export function rangeUse(options: Omit<CniStatusOptions, 'netns'> = {}): RangeUse[] {
  return readNetworks(options).flatMap(({ name, ranges }) => ranges.map((range) => ({ network: name, ...range })))
}

function readNetworks({ dataDir = defaultDataDir, confDir = defaultConfDir }: CniStatusOptions): NetworkStatus[] {
  const configured = readConfigured(join(confDir, networkConfigFile))
  const names = [...new Set([...(configured === undefined ? [] : [configured.name]), ...journalNames(dataDir)])]
  return names.map((name) => {
    const addresses = new Journal(dataDir, name).read().holdings()
    return { name, ranges: name === configured?.name ? configured.ranges.map((range) => countRange(range, addresses)) : [], addresses }
  })
}

function readConfigured(file: string): { readonly name: string; readonly ranges: readonly AddressRange[] } | undefined {
  if (!existsSync(file)) return undefined
  const list: unknown = JSON.parse(readFileSync(file, 'utf8'))
  const plugin: unknown = isObject(list) && Array.isArray(list['plugins']) ? list['plugins'][0] : undefined
  const ipam = isObject(plugin) ? plugin['ipam'] : undefined
  return isObject(list) && isObject(ipam) ? { name: String(list['name']), ranges: parseRangeSets(ipam).flat() } : undefined
}

function countRange({ subnet, family, first, last, gateway }: AddressRange, addresses: readonly Holding[]): NetworkStatus['ranges'][number] {
  const inside = addresses.filter(({ address }) => address.includes(':') === (family === 'ipv6')).map(({ address }) => addressNumber(address)).filter((number) => number >= first && number <= last)
  const size = last - first + 1n - (gateway >= first && gateway <= last ? 1n : 0n)
  return { subnet, used: inside.length, free: size - BigInt(inside.length) }
}

interface Way extends Omit<PeerStatus, 'reach'> {
  /** An address of the peer on that way. */
  readonly target?: string | undefined
}

async function readPeers({ dataDir = defaultDataDir, netns }: CniStatusOptions): Promise<PeerStatus[]> {
  const ways = readWays(dataDir, netns)
  return Promise.all(ways.map(async ({ target, ...way }) => ({
    ...way, reach: target === undefined || way.missing.length > 0 ? undefined : await ask(target, { clock: systemClock, netns }),
  })))
}

/** From the kernel: what packets would do. Names, addresses, and ranges without a route from what the overlay wrote. */
function readWays(dataDir: string, netns: Netns | undefined): Way[] {
  const file = join(dataDir, peersFile)
  const hosts = existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Host[]) : []
  using route = RouteSocket.open({ netns })
  const links = new Map(route.links.list().map((link) => [link.index, link]))
  const neighbours = route.neighbours.list()
  const entries = route.fdb.list()
  const ways = route.routes.list({ protocol: overlayRouteProtocol, type: 'unicast' }).map(({ destination, gateway, link: index }): Way => {
    const link = links.get(index ?? 0)
    const host = hosts.find(({ podCIDRs }) => podCIDRs.includes(destination))
    const common = { node: host?.name, podCIDR: destination, link: link?.name ?? '', mtu: link?.mtu ?? 0 }
    const down: Missing[] = link?.up === true ? [] : ['link']
    if (link?.name === wireguardLinkName) return { ...common, address: host?.addresses.ipv4 ?? host?.addresses.ipv6, missing: down, target: gatewayOf(destination) }
    if (link?.kind !== 'vxlan') return { ...common, address: gateway, missing: down, target: gateway }
    const mac = neighbours.find((neighbour) => neighbour.link === index && neighbour.address === gateway && neighbour.state === 'permanent')?.mac
    const remote = entries.find((entry) => entry.link === index && entry.mac === mac && mac !== undefined)?.destination
    const missing = [...down, ...(mac === undefined ? (['neighbour'] as const) : remote === undefined ? (['forwarding entry'] as const) : [])]
    return { ...common, address: remote ?? Object.values(host?.addresses ?? {})[0], missing, target: gatewayOf(destination) }
  })
  const encrypted = [...links.values()].some(({ name }) => name === wireguardLinkName)
  const routeless = hosts.flatMap(({ name, addresses, podCIDRs, publicKey }) => podCIDRs.filter((cidr) => !ways.some(({ podCIDR }) => podCIDR === cidr))
    .map((podCIDR): Way => ({ node: name, podCIDR, address: addresses[familyOf(podCIDR)] ?? Object.values(addresses)[0], link: '', mtu: 0, missing: [encrypted && publicKey === undefined ? 'key' : 'route'] })))
  return [...ways, ...routeless]
}

/** The status as a person reads it. */
export function formatCniStatus({ networks, peers }: CniStatus): string {
  const lines: string[] = []
  for (const { name, ranges, addresses } of networks) {
    lines.push(`network ${name}: ${addresses.length} addresses in use`)
    for (const { subnet, used, free } of ranges) lines.push(`  ${subnet}  ${used} used, ${free} free`)
    const rows = addresses.toSorted((a, b) => compareAddresses(a.address, b.address)).map(({ address, pod, containerId, ifname }) => [address, pod ?? '-', containerId.slice(0, 12), ifname])
    if (rows.length > 0) lines.push(...table([['ADDRESS', 'POD', 'CONTAINER', 'LINK'], ...rows]))
  }
  if (networks.length === 0) lines.push('no network: no address was ever given out here')
  const rows = peers.toSorted((a, b) => compareAddresses(parsePrefix(a.podCIDR).address, parsePrefix(b.podCIDR).address))
    .map(({ node, podCIDR, address, link, mtu, missing, reach }) => [
      node ?? '-', podCIDR, address ?? '-', link === '' ? '-' : link, mtu === 0 ? '-' : String(mtu), missing.length > 0 ? `no ${missing.join(', no ')}` : (reach ?? 'unknown'),
    ])
  if (rows.length > 0) lines.push('peers', ...table([['NODE', 'PODS', 'HOST', 'LINK', 'MTU', 'STATE'], ...rows]))
  return `${lines.join('\n')}\n`
}

function compareAddresses(a: string, b: string): number {
  return Number(a.includes(':')) - Number(b.includes(':')) || (addressNumber(a) < addressNumber(b) ? -1 : 1)
}

function table(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)))
  return rows.map((row) => `  ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ')}`.trimEnd())
}
