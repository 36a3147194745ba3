/** What is there: the host's and the pod's namespace, as far as one attachment is concerned. */
import { statSync } from 'node:fs'
import { NetlinkError, isNotFound } from '../../netlink/errors.ts'
import { Netns } from '../../netlink/netns.ts'
import { RouteSocket } from '../../netlink/route/index.ts'
import type { Link } from '../../netlink/route/index.ts'
import { readSysctl } from '../../netlink/sysctl.ts'
import { CniError } from '../protocol/error.ts'
import { gateways } from './want.ts'
import type { Family } from './want.ts'

export interface HostState {
  readonly hostLink: Link | undefined
  readonly podLink: Link | undefined
  readonly loopbackUp: boolean
  /** Families for which another link of the pod has the default route. */
  readonly defaultRoutes: ReadonlySet<Family>
  /** Whether the host has any way to the gateway that pods are told of: a default route does. */
  readonly gatewayRouted: boolean
  /** Whether the host routes at all. */
  readonly forwarding: Readonly<Record<Family, boolean>>
}

/** Both namespaces of an attachment, opened. */
export interface Places {
  readonly host: RouteSocket
  readonly pod: RouteSocket
  readonly podNetns: Netns
  [Symbol.dispose](): void
}

/** Opens the pod's namespace and sockets in both. `host` is left to its owner. */
export function openPlaces(host: RouteSocket, path: string): Places {
  const podNetns = openPodNetns(path)
  try {
    const pod = openInside(podNetns, path)
    return {
      host, pod, podNetns,
      [Symbol.dispose]() {
        pod.close()
        podNetns.close()
      },
    }
  } catch (error) {
    podNetns.close()
    throw error
  }
}

function openPodNetns(path: string): Netns {
  try {
    // a FIFO would block who opens it
    if (!statSync(path).isFile()) throw new CniError('invalidEnvironment', `Cannot use CNI_NETNS ${path}: it is not a network namespace`)
    return Netns.open(path)
  } catch (error) {
    if (isMissing(error)) throw new CniError('unknownContainer', `Cannot use CNI_NETNS ${path}: it does not exist`)
    throw error
  }
}

function isMissing(error: unknown): boolean {
  return isNotFound(error) || ['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')
}

function openInside(netns: Netns, path: string): RouteSocket {
  using here = Netns.current()
  if (here.inode === netns.inode) throw new CniError('invalidEnvironment', `Cannot use CNI_NETNS ${path}: it is the host's own namespace`)
  try {
    return RouteSocket.open({ netns })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EINVAL') throw new CniError('invalidEnvironment', `Cannot use CNI_NETNS ${path}: it is not a network namespace`)
    throw error
  }
}

export function readHostState({ host, pod }: Pick<Places, 'host' | 'pod'>, { hostLink, podLink }: { readonly hostLink: string; readonly podLink: string }): HostState {
  const link = pod.links.get(podLink)
  const defaults = pod.routes.list({ table: RT_TABLE_MAIN }).filter((route) => route.destination.endsWith('/0') && route.link !== link?.index)
  return {
    hostLink: host.links.get(hostLink),
    podLink: link,
    loopbackUp: pod.links.get('lo')?.up ?? false,
    defaultRoutes: new Set(defaults.map(({ family }) => family)),
    gatewayRouted: isRouted(host, gateways.ipv4),
    forwarding: { ipv4: isSet('ipv4/ip_forward'), ipv6: isSet('ipv6/conf/all/forwarding') },
  }
}

function isRouted(host: RouteSocket, address: string): boolean {
  try {
    return host.routes.get(address).type === 'unicast'
  } catch (error) {
    // no route, or one that refuses
    if (error instanceof NetlinkError) return false
    throw error
  }
}

const RT_TABLE_MAIN = 254

function isSet(path: string): boolean {
  try {
    return readSysctl(path) === '1'
  } catch (error) {
    if (isNotFound(error)) return false
    throw error
  }
}

/** MTU of the link of the host's default route; Ethernet's where there is none. */
export function defaultMtu(host: RouteSocket): number {
  const route = host.routes.list({ table: RT_TABLE_MAIN }).find(({ destination, link }) => destination.endsWith('/0') && link !== undefined)
  const link = route?.link === undefined ? undefined : host.links.get(route.link)
  return link?.mtu ?? 1500
}
