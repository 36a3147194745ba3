/**
 * How local hosts are joined: a bridge in the switch's namespace, one veth from it to each host, and one to this machine.
 *
 *     machine  fairwayN 10.90.N.1 ──┐
 *     control-plane eth0 10.90.N.10 ┤ bridge, in the switch's namespace
 *     node-1        eth0 10.90.N.11 ┤ (its ports are named like the hosts)
 *     node-2        eth0 10.90.N.12 ┘
 *
 * With IPv6, fd00:10:90:N::1, ::10 and so on, beside those or instead of them.
 */
import { isExists, isNotFound } from '../../netlink/errors.ts'
import { Netns } from '../../netlink/netns.ts'
import { RouteSocket } from '../../netlink/route/index.ts'
import type { Link } from '../../netlink/route/index.ts'
import { writeSysctl } from '../../netlink/sysctl.ts'
import { rangesOf } from './addressing.ts'
import { balancerAddresses, hostAddresses, hostPlace } from './config.ts'
import type { ClusterConfigFile } from './config.ts'

const bridge = 'bridge'
const machinePort = 'machine'
/** Of the machine. */
const gatewayPlace = 1

/** The machine's own end. Named by number, since names of clusters may be longer than those of links. */
export function machineLink({ subnet }: Pick<ClusterConfigFile, 'subnet'>): string {
  return `fairway${subnet}`
}

/**
 * A host that is stopped and started again keeps its hardware address, as a real one does: its neighbours would otherwise send to the old one for
 * half a minute. 02 says that it is locally administered; the rest is the number of the network and the host's place in it.
 */
function macOf(config: ClusterConfigFile, host: string): string {
  return ['02', '46', '0a', '5a', ...[config.subnet, hostPlace(config, host)].map((number) => number.toString(16).padStart(2, '0'))].join(':')
}

function altName(cluster: string): string {
  return `fairway-${cluster}`
}

/** Ports of the bridge are named like their hosts, as far as 15 bytes go. */
function portName(host: string): string {
  return host.slice(0, 15)
}

/** Makes the bridge, and the machine's link to it. */
export function connectMachine(config: ClusterConfigFile, switchPid: number): void {
  using machine = Netns.current()
  using route = RouteSocket.open()
  const name = machineLink(config)
  inSwitch(switchPid, (ports) => {
    if (ports.links.get(bridge) === undefined) ports.links.add({ kind: 'bridge', name: bridge, up: true })
    try {
      ports.links.add({ kind: 'veth', name: machinePort, up: true, peer: { name, netns: machine } })
    } catch (error) {
      if (isExists(error)) throw new Error(`Cannot connect this machine to the cluster: a link ${name} is there already; another cluster or program made it`, { cause: error })
      throw error
    }
    const link = ports.links.get(bridge)?.index ?? 0
    ports.links.set(machinePort, { master: link })
    if ((config.controlPlanes ?? 1) === 1) return
    ports.links.set('lo', { up: true })
    for (const [at, { hostPrefixLength: prefixLength }] of rangesOf(config.ipFamily).entries()) ports.addresses.add({ link, address: balancerAddresses(config)[at] ?? '', prefixLength, noDad: true })
  })
  const link = route.links.get(name)?.index ?? 0
  route.links.addAltName(name, altName(config.name))
  const ranges = rangesOf(config.ipFamily)
  if (!ranges.some(({ family }) => family === 'ipv6')) withoutIpv6(name)
  route.links.set(name, { up: true })
  for (const { hostAddress, hostPrefixLength } of ranges) route.addresses.add({ link, address: hostAddress(config.subnet, gatewayPlace), prefixLength: hostPrefixLength, noDad: true })
}

/** Where a cluster has no IPv6, an address that the kernel adds by itself a second later would only surprise. */
function withoutIpv6(link: string): void {
  try {
    writeSysctl(`ipv6/conf/${link}/disable_ipv6`, 1)
  } catch (error) {
    if (!isNotFound(error)) throw error // a kernel without IPv6
  }
}

/** Takes the machine's link away, known by its second name or, where `up` was killed before it had one, by the number. */
export function disconnectMachine(cluster: string, subnet: number | undefined): void {
  using route = RouteSocket.open()
  const isOurs = (link: Link): boolean => link.altNames.includes(altName(cluster)) || (subnet !== undefined && link.name === machineLink({ subnet }) && link.altNames.length === 0)
  for (const { index } of route.links.list({ kind: 'veth' }).filter(isOurs)) {
    try {
      route.links.delete(index)
    } catch (error) {
      // It went with the switch's namespace.
      if (!isNotFound(error)) throw error
    }
  }
}

/** Plugs a new host in: its `eth0`, address, and default route. */
export function connectHost(config: ClusterConfigFile, switchPid: number, { host, pid }: { readonly host: string; readonly pid: number }): void {
  using namespace = Netns.open({ pid })
  inSwitch(switchPid, (ports) => {
    const port = portName(host)
    // A port of a host that was stopped goes with its namespace, but not at once.
    if (ports.links.get(port) !== undefined) ports.links.delete(port)
    ports.links.add({ kind: 'veth', name: port, up: true, peer: { name: 'eth0', netns: namespace, mac: macOf(config, host) } })
    ports.links.set(port, { master: ports.links.get(bridge)?.index })
  })
  using route = RouteSocket.open({ netns: namespace })
  route.links.set('lo', { up: true })
  route.links.set('eth0', { up: true })
  const link = route.links.get('eth0')?.index ?? 0
  const addresses = hostAddresses(config, host)
  for (const [at, { family, hostAddress, hostPrefixLength, anywhere, serviceRange }] of rangesOf(config.ipFamily).entries()) {
    const gateway = hostAddress(config.subnet, gatewayPlace)
    route.addresses.add({ link, address: addresses[at] ?? '', prefixLength: hostPrefixLength, noDad: true })
    if (config.outbound === true && family === 'ipv4') route.routes.add({ destination: anywhere, gateway, link })
    else {
      // What leads nowhere fails at once, instead of after a time-out. Services are looked up here before they are translated.
      route.routes.add({ destination: anywhere, type: 'unreachable' })
      route.routes.add({ destination: serviceRange, gateway, link })
    }
  }
}

/** Unplugs a host's cable, or plugs it in again. */
export function setCable(switchPid: number, host: string, plugged: boolean): void {
  inSwitch(switchPid, (ports) => ports.links.set(portName(host), { up: plugged }))
}

/** Whether a host's cable is plugged in; false where there is no such port. */
export function isPlugged(switchPid: number, host: string): boolean {
  return inSwitch(switchPid, (ports) => ports.links.get(portName(host))?.up === true)
}

function inSwitch<T>(switchPid: number, fn: (ports: RouteSocket) => T): T {
  using namespace = Netns.open({ pid: switchPid })
  using ports = RouteSocket.open({ netns: namespace })
  return fn(ports)
}

/** The first N for which nothing on this machine uses 10.90.N.0/24 or is meant to. */
export function freeSubnet(taken: ReadonlySet<number>): number {
  using route = RouteSocket.open()
  const used = route.routes.list({ family: 'ipv4' }).map(({ destination }) => destination).filter((destination) => destination !== '0.0.0.0/0')
  for (let subnet = 0; subnet < 256; subnet += 1) {
    const taking = taken.has(subnet) || used.some((prefix) => overlaps(prefix, `10.90.${subnet}.0/24`)) || route.links.get(machineLink({ subnet })) !== undefined
    if (!taking) return subnet
  }
  throw new Error('Cannot find a free network: all of 10.90.0.0/16 is in use on this machine')
}

/** Whether two IPv4 prefixes have an address in common. */
export function overlaps(one: string, other: string): boolean {
  const [a, b] = [one, other].map((prefix) => {
    const [address = '', length = '32'] = prefix.split('/')
    return { bits: address.split('.').reduce((sum, octet) => sum * 256 + Number(octet), 0), length: Number(length) }
  }) as [{ bits: number; length: number }, { bits: number; length: number }]
  const size = 2 ** (32 - Math.min(a.length, b.length))
  return Math.floor(a.bits / size) === Math.floor(b.bits / size)
}
