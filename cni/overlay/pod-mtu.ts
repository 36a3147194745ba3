/**
 * Pods that are there already get the new MTU too. One end of a pair is the host's; the other is in a namespace that nobody here has a name for, so it is looked for in those of all
 * processes: the link whose index and address are those that the host's end and its neighbour entry name. A pod that is not found stays as it is: the host
 * tells it which packets are too big.
 */
import { readdirSync, statSync } from 'node:fs'
import { setImmediate as otherWork } from 'node:timers/promises'
import { isNotFound } from '../../netlink/errors.ts'
import { Netns } from '../../netlink/netns.ts'
import { RouteSocket } from '../../netlink/route/index.ts'
import type { Link } from '../../netlink/route/index.ts'
import type { AttachmentId } from '../protocol/environment.ts'
import { hostLinkName } from '../plugin/want.ts'

/** Below it the kernel takes IPv6 from a link, with all its addresses (RFC 8200, section 5). */
const leastForIPv6 = 1280

interface Pair {
  readonly link: Link
  /** The pod's addresses on it, as the plugin told the host. */
  readonly macs: ReadonlySet<string | undefined>
}

/** Returns how many pods have it now, and how many have another still. */
export async function setPodMtu(host: RouteSocket, attachments: readonly AttachmentId[], mtu: number): Promise<{ readonly followed: number; readonly left: number }> {
  const pairs = stalePairs(host, attachments, mtu)
  const count = pairs.size
  const namespaces = count === 0 ? [] : processNamespaces()
  let followed = 0
  for (const path of namespaces) {
    if (pairs.size === 0) break
    followed += inNamespace(path, (pod) => {
      const ends = pod.links.list({ kind: 'veth' }).flatMap((end) => pairOf(end, pairs) ?? [])
      for (const { pair } of ends) pairs.delete(pair.link.index)
      return ends.filter(({ pair, end }) => setPair(host, pod, { pair: pair.link, end, mtu })).length
    })
    await otherWork()
  }
  return { followed, left: count - followed }
}

/** By the index of the host's end. What the pod's end has is the pod's own affair: it may have chosen less. */
function stalePairs(host: RouteSocket, attachments: readonly AttachmentId[], mtu: number): Map<number, Pair> {
  const names = new Set(attachments.map(hostLinkName))
  const stale = names.size === 0 ? [] : host.links.list({ kind: 'veth' }).filter((link) => names.has(link.name) && link.mtu !== mtu)
  const neighbours = stale.length === 0 ? [] : host.neighbours.list()
  return new Map(stale.map((link) => [link.index, { link, macs: new Set(neighbours.filter((one) => one.link === link.index && one.state === 'permanent').map(({ mac }) => mac)) }]))
}

function pairOf(end: Link, pairs: ReadonlyMap<number, Pair>): { readonly pair: Pair; readonly end: Link } | undefined {
  const pair = pairs.get(end.link ?? 0)
  return pair?.link.link === end.index && end.mac !== undefined && pair.macs.has(end.mac) ? { pair, end } : undefined
}

/** The end that sends is never the larger one. Returns false where it would do harm. */
function setPair(host: RouteSocket, pod: RouteSocket, { pair, end, mtu }: { readonly pair: Link; readonly end: Link; readonly mtu: number }): boolean {
  const limited = [host.qdiscs.list({ link: pair.index }), pod.qdiscs.list({ link: end.index })].some((disciplines) => disciplines.some(({ bucket }) => bucket !== undefined))
  // a bucket holds two packets of the size that it was made for, and lets none through that it cannot hold
  if (limited && mtu > 2 * pair.mtu) return false
  if (mtu < leastForIPv6 && pod.addresses.list({ link: end.index, family: 'ipv6' }).length > 0) return false
  const own = end.mtu === pair.mtu ? mtu : Math.min(end.mtu, mtu)
  const inPod = (): void => pod.links.set(end.index, { mtu: own })
  if (mtu < pair.mtu) inPod()
  host.links.set(pair.index, { mtu })
  if (mtu > pair.mtu) inPod()
  return true
}

/** A path for each namespace that a process is in. */
function processNamespaces(): string[] {
  const byInode = new Map<number, string>()
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    const path = `/proc/${pid}/ns/net`
    const inode = ifThere(() => statSync(path).ino)
    if (inode !== undefined && !byInode.has(inode)) byInode.set(inode, path)
  }
  return [...byInode.values()]
}

/** Nothing is done where the process, or the pod, has gone meanwhile. */
function inNamespace(path: string, act: (pod: RouteSocket) => number): number {
  return ifThere(() => {
    using netns = Netns.open(path)
    using pod = RouteSocket.open({ netns })
    return act(pod)
  }) ?? 0
}

function ifThere<T>(look: () => T): T | undefined {
  try {
    return look()
  } catch (error) {
    if (isNotFound(error) || ['ENOENT', 'ESRCH', 'EACCES'].includes((error as NodeJS.ErrnoException).code ?? '')) return undefined
    throw error
  }
}
