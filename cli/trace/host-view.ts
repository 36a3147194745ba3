/** What one host's kernel would do with a packet, read from its network namespaces. Nothing is changed in them. */
import { readFileSync, readdirSync, readlinkSync } from 'node:fs'
import { policyTable } from '../../cni/policy/plan.ts'
import { NetlinkError } from '../../netlink/errors.ts'
import { Netns } from '../../netlink/netns.ts'
import { openNftables } from '../../netlink/nftables/index.ts'
import type { Ruleset, TableId } from '../../netlink/nftables/index.ts'
import { RouteSocket } from '../../netlink/route/index.ts'
import { table } from '../../proxy/rules.ts'
import { hostSockets } from '../../proxy/sockets.ts'
import type { ListeningSocket } from '../../proxy/sockets.ts'
import { connectFrom, resolveFrom } from './attempt.ts'
import type { Connected, Resolved } from './attempt.ts'

/** Where a host's kernel sends packets to an address. */
export type Way =
  /** To a pod of this host. */
  | { readonly kind: 'pod'; readonly link: string; readonly up: boolean }
  /** Through a tunnel; `peer` is the other host's own address. */
  | { readonly kind: 'tunnel'; readonly link: string; readonly mtu: number; readonly peer: string | undefined; readonly missing: readonly string[] }
  | { readonly kind: 'routed'; readonly link: string; readonly mtu: number; readonly gateway: string | undefined }
  /** It is the host's own. */
  | { readonly kind: 'own' }
  | { readonly kind: 'none'; readonly why: string }

/** A network namespace on a host: a pod's, or the host's own. */
export interface NamespaceView {
  readonly sockets: () => readonly ListeningSocket[]
  readonly connect: (address: string, port: number) => Promise<Connected>
  readonly resolve: (name: string, server: string) => Promise<Resolved>
}

export interface HostView {
  readonly addresses: readonly string[]
  readonly wayTo: (address: string) => Way
  /** The proxy's table; undefined where there is none. */
  readonly serviceTable: () => Ruleset | undefined
  /** That of network policies; undefined where no pod of the host is isolated. */
  readonly policyTable: () => Ruleset | undefined
  /** The host's own namespace. */
  readonly own: NamespaceView
  /** That of the pod with this address; undefined where no process is in such a one. */
  readonly pod: (address: string) => NamespaceView | undefined
}

/** Looks at the host whose first process is `init`. */
export function viewHost(init: number): HostView {
  using netns = Netns.open({ pid: init })
  using route = RouteSocket.open({ netns })
  const addresses = route.addresses.list().map(({ address }) => address)
  return {
    addresses,
    wayTo: (address) => inNetns(init, (socket) => wayTo(socket, address)),
    serviceTable: () => readTable(init, table),
    policyTable: () => readTable(init, policyTable),
    own: viewNamespace(init),
    pod: (address) => {
      const pid = namespaceProcesses(init).find((candidate) => hasAddress(candidate, address))
      return pid === undefined ? undefined : viewNamespace(pid)
    },
  }
}

function viewNamespace(pid: number): NamespaceView {
  return {
    sockets: () => {
      using netns = Netns.open({ pid })
      return hostSockets(netns).sockets
    },
    connect: (address, port) => connectFrom(pid, address, port),
    resolve: (name, server) => resolveFrom(pid, name, server),
  }
}

function inNetns<T>(pid: number, read: (socket: RouteSocket) => T): T {
  using netns = Netns.open({ pid })
  using socket = RouteSocket.open({ netns })
  return read(socket)
}

function readTable(pid: number, id: TableId): Ruleset | undefined {
  using netns = Netns.open({ pid })
  using nftables = openNftables({ netns })
  return nftables.list(id)
}

function wayTo(socket: RouteSocket, address: string): Way {
  try {
    const { type, link: index, gateway } = socket.routes.get(address)
    if (type === 'local') return { kind: 'own' }
    const link = socket.links.list().find((one) => one.index === index)
    if (link === undefined) return { kind: 'none', why: `its route is of type ${type}` }
    const { name, mtu, up } = link
    if (link.kind === 'veth' && gateway === undefined && socket.addresses.list({ link: link.index }).every(({ scope }) => scope !== RT_SCOPE_UNIVERSE)) return { kind: 'pod', link: name, up }
    if (link.kind !== 'vxlan') return { kind: 'routed', link: name, mtu, gateway }
    const mac = socket.neighbours.list({ link: link.index }).find((neighbour) => neighbour.address === (gateway ?? address))?.mac
    const peer = mac === undefined ? undefined : socket.fdb.list({ link: link.index }).find((entry) => entry.mac === mac)?.destination
    const missing = [...(up ? [] : ['link that is up']), ...(mac === undefined ? ['neighbour'] : []), ...(peer === undefined ? ['forwarding entry'] : [])]
    return { kind: 'tunnel', link: name, mtu, peer, missing }
  } catch (error) {
    if (error instanceof NetlinkError) return { kind: 'none', why: error.message }
    throw error
  }
}

/** include/uapi/linux/rtnetlink.h: an address that others may use; a pod's link on the host has none such. */
const RT_SCOPE_UNIVERSE = 0

function hasAddress(pid: number, address: string): boolean {
  try {
    return inNetns(pid, (socket) => socket.addresses.list().some((one) => one.address === address))
  } catch (error) {
    if (['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) return false // it ended while we looked
    throw error
  }
}

/** One process for each network namespace below a process, its own left out. */
function namespaceProcesses(init: number): number[] {
  const seen = new Map<string, number>()
  const own = namespaceName(init)
  const waiting = childrenOf(init)
  for (let pid = waiting.pop(); pid !== undefined; pid = waiting.pop()) {
    const name = namespaceName(pid)
    if (name !== undefined && name !== own) seen.set(name, pid)
    waiting.push(...childrenOf(pid))
  }
  return [...seen.values()]
}

function namespaceName(pid: number): string | undefined {
  return readOf(() => readlinkSync(`/proc/${pid}/ns/net`))
}

/** Of all its threads: an engine starts containers from any of them. */
function childrenOf(pid: number): number[] {
  const threads = readOf(() => readdirSync(`/proc/${pid}/task`)) ?? []
  return threads.flatMap((thread) => (readOf(() => readFileSync(`/proc/${pid}/task/${thread}/children`, 'latin1')) ?? '').split(' ').filter((word) => word.trim() !== '').map(Number))
}

function readOf<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch (error) {
    if (['ENOENT', 'ESRCH', 'EACCES'].includes((error as NodeJS.ErrnoException).code ?? '')) return undefined // it ended while we looked
    throw error
  }
}
