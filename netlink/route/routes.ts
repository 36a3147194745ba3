/**
 * Routes.
 */
import { parsePrefix } from '../addresses.ts'
import { AF_INET, AF_INET6 } from '../ffi.ts'
import type { Encodable } from '../layout.ts'
import { isNotFound } from '../errors.ts'
import type { Message } from '../socket.ts'
import { NLM_F_APPEND, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE } from '../socket.ts'
import {
  RTM_DELROUTE, RTM_F_CLONED, RTM_GETROUTE, RTM_NEWROUTE, RTNH_F_ONLINK, RTPROT_STATIC, RT_SCOPE_HOST, RT_SCOPE_LINK,
  RT_SCOPE_NOWHERE, RT_SCOPE_UNIVERSE, RT_TABLE_COMPAT, RT_TABLE_MAIN, nextHopAttributes, routeMessage, routeTypes, rtnexthop,
} from './layouts.ts'
import type { RouteMessage, RouteType, routeAttributes } from './layouts.ts'
import { familyNumber, familyOf } from './transport.ts'
import type { Family, RouteTransport } from './transport.ts'

/** One way of a route with several. */
export interface NextHop {
  readonly gateway?: string | undefined
  /** index of the link */
  readonly link?: number | undefined
  /** from 1 */
  readonly weight: number
  readonly onlink: boolean
}

/** A route as the kernel has it. */
export interface Route {
  readonly family: Family
  /** `10.244.1.0/24`; the default route is `0.0.0.0/0` or `::/0` */
  readonly destination: string
  readonly type: RouteType
  readonly gateway?: string | undefined
  /** index of the link it leaves by */
  readonly link?: number | undefined
  /** the gateway is reached on the link although no route says so */
  readonly onlink: boolean
  /** RT_SCOPE_* */
  readonly scope: number
  readonly table: number
  /** who made it: RTPROT_*, so that owners can tell their routes apart */
  readonly protocol: number
  readonly metric?: number | undefined
  /** the source address that is preferred on it */
  readonly source?: string | undefined
  readonly mtu?: number | undefined
  readonly multipath?: readonly NextHop[] | undefined
  /** RTM_F_* and RTNH_F_* */
  readonly flags: number
}

/** A route to be made or removed. Type unicast, table main and protocol static are assumed. */
export interface RouteSpec {
  readonly destination: string
  readonly type?: RouteType | undefined
  readonly gateway?: string | undefined
  readonly link?: number | undefined
  readonly onlink?: boolean | undefined
  /** if left out: host for local routes, link for routes without gateway, else global */
  readonly scope?: number | undefined
  readonly table?: number | undefined
  readonly protocol?: number | undefined
  readonly metric?: number | undefined
  readonly source?: string | undefined
  readonly mtu?: number | undefined
  readonly multipath?: readonly { readonly gateway?: string | undefined; readonly link?: number | undefined; readonly weight?: number | undefined; readonly onlink?: boolean | undefined }[] | undefined
}

export interface RouteFilter {
  readonly family?: Family | undefined
  readonly table?: number | undefined
  readonly protocol?: number | undefined
  readonly link?: number | undefined
  readonly type?: RouteType | undefined
}

/** The `routes` part of a route socket. */
export class Routes {
  readonly #transport: RouteTransport

  constructor(transport: RouteTransport) {
    this.#transport = transport
  }

  /** Routes of every table unless one is named. */
  list(filter: RouteFilter = {}): Route[] {
    const families = filter.family === undefined ? [AF_INET, AF_INET6] : [familyNumber(filter.family)]
    return families.flatMap((family) => this.#list(family, filter))
  }

  #list(family: number, filter: RouteFilter): Route[] {
    const payload = routeMessage.encode({
      header: { family, protocol: filter.protocol, type: filter.type === undefined ? 0 : routeTypes.indexOf(filter.type) },
      attributes: { outputLink: filter.link, table: filter.table },
    })
    return this.#dump(payload)
      .map(({ payload }) => readRoute(routeMessage.decode(payload)))
      .filter((route) => (route.flags & RTM_F_CLONED) === 0 && matches(route, filter))
  }

  /** A table that nothing was ever put into does not exist, and so is empty. */
  #dump(payload: Uint8Array): readonly Message[] {
    try {
      return this.#transport.dump(RTM_GETROUTE, 0, payload, { operation: 'list', object: 'routes' })
    } catch (error) {
      if (isNotFound(error)) return []
      throw error
    }
  }

  /** EEXIST if there is one to that destination with that metric in that table already. */
  add(spec: RouteSpec): void {
    this.#new('add', NLM_F_CREATE | NLM_F_EXCL, spec)
  }

  /** Adds it, in place of one with the same destination, metric and table. */
  replace(spec: RouteSpec): void {
    this.#new('set', NLM_F_CREATE | NLM_F_REPLACE, spec)
  }

  /** Adds it beside others to the same destination. */
  append(spec: RouteSpec): void {
    this.#new('append', NLM_F_CREATE | NLM_F_APPEND, spec)
  }

  /** Removes the first route that has all that the spec says; a protocol, scope or type left out matches any. ESRCH if there is none. */
  delete(spec: RouteSpec): void {
    const payload = encodeRoute(spec, { protocol: 0, scope: RT_SCOPE_NOWHERE, type: 0 })
    this.#transport.request(RTM_DELROUTE, 0, payload, { operation: 'delete', object: describeRoute(spec) })
  }

  /** The route that a packet to `destination` would take now. ENETUNREACH, or the words of the route that refuses. */
  get(destination: string, options: { readonly from?: string; readonly mark?: number; readonly link?: number; readonly inputLink?: number } = {}): Route {
    const family = familyOf(destination)
    const bits = family === AF_INET ? 32 : 128
    const payload = routeMessage.encode({
      header: { family, destinationLength: bits, ...(options.from === undefined ? {} : { sourceLength: bits }) },
      attributes: { destination, from: options.from, outputLink: options.link, inputLink: options.inputLink, mark: options.mark },
    })
    const [answer] = this.#transport.request(RTM_GETROUTE, 0, payload, { operation: 'find', object: `route to ${destination}` })
    if (answer === undefined) throw new TypeError(`Cannot find route to ${destination}: the kernel answered nothing`)
    return readRoute(routeMessage.decode(answer.payload))
  }

  #new(operation: string, flags: number, spec: RouteSpec): void {
    const type = spec.type ?? 'unicast'
    const multiple = spec.multipath !== undefined
    const scope = type === 'local' ? RT_SCOPE_HOST : type === 'unicast' && spec.gateway === undefined && !multiple ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE
    const payload = encodeRoute(spec, { protocol: RTPROT_STATIC, scope, type: routeTypes.indexOf(type) })
    this.#transport.request(RTM_NEWROUTE, flags, payload, { operation, object: describeRoute(spec) })
  }
}

/** `10.42.1.0/24 via 10.42.1.0 on link 7`, for messages. */
function describeRoute(spec: RouteSpec): string {
  const type = spec.type === undefined || spec.type === 'unicast' ? '' : `${spec.type} `
  const via = spec.gateway === undefined ? '' : ` via ${spec.gateway}`
  const on = spec.link === undefined ? '' : ` on link ${spec.link}`
  const table = spec.table === undefined || spec.table === RT_TABLE_MAIN ? '' : ` in table ${spec.table}`
  return `route ${type}${spec.destination}${via}${on}${table}`
}

function matches(route: Route, filter: RouteFilter): boolean {
  return (
    (filter.table === undefined || route.table === filter.table) &&
    (filter.protocol === undefined || route.protocol === filter.protocol) &&
    (filter.link === undefined || route.link === filter.link) &&
    (filter.type === undefined || route.type === filter.type)
  )
}

function encodeRoute(spec: RouteSpec, assumed: { protocol: number; scope: number; type: number }): Buffer {
  const { address, prefixLength } = parsePrefix(spec.destination)
  const family = familyOf(address)
  const table = spec.table ?? RT_TABLE_MAIN
  const attributes: Encodable<typeof routeAttributes> = {
    ...(prefixLength === 0 ? {} : { destination: address }),
    gateway: spec.gateway,
    outputLink: spec.link,
    priority: spec.metric,
    source: spec.source,
    table,
    ...(spec.mtu === undefined ? {} : { metrics: { mtu: spec.mtu } }),
    ...(spec.multipath === undefined ? {} : { multipath: Buffer.concat(spec.multipath.map(encodeNextHop)) }),
  }
  return routeMessage.encode({
    header: {
      family,
      destinationLength: prefixLength,
      table: table < 256 ? table : RT_TABLE_COMPAT,
      protocol: spec.protocol ?? assumed.protocol,
      scope: spec.scope ?? assumed.scope,
      type: spec.type === undefined ? assumed.type : routeTypes.indexOf(spec.type),
      flags: spec.onlink === true ? RTNH_F_ONLINK : 0,
    },
    attributes,
  })
}

function encodeNextHop(hop: NonNullable<RouteSpec['multipath']>[number]): Buffer {
  const body = nextHopAttributes.encode({ gateway: hop.gateway })
  const header = rtnexthop.encode({ length: rtnexthop.size + body.length, flags: hop.onlink === true ? RTNH_F_ONLINK : 0, hops: (hop.weight ?? 1) - 1, index: hop.link })
  return Buffer.concat([header, body])
}

function readNextHops(data: Buffer): NextHop[] {
  const hops: NextHop[] = []
  let offset = 0
  while (offset + rtnexthop.size <= data.length) {
    const { length, flags, hops: weight, index } = rtnexthop.read(data, offset, data.length)
    if (length < rtnexthop.size) break
    const { gateway } = nextHopAttributes.read(data, offset + rtnexthop.size, Math.min(offset + length, data.length))
    hops.push({ gateway, link: index, weight: weight + 1, onlink: (flags & RTNH_F_ONLINK) !== 0 })
    offset += (length + 3) & ~3
  }
  return hops
}

/** A route from its message. */
export function readRoute({ header, attributes }: RouteMessage): Route {
  const any = header.family === AF_INET ? '0.0.0.0' : '::'
  return {
    family: header.family === AF_INET ? 'ipv4' : 'ipv6',
    destination: `${attributes.destination ?? any}/${header.destinationLength}`,
    type: routeTypes[header.type] ?? 'unspecified',
    gateway: attributes.gateway,
    link: attributes.outputLink,
    onlink: (header.flags & RTNH_F_ONLINK) !== 0,
    scope: header.scope,
    table: attributes.table ?? header.table,
    protocol: header.protocol,
    metric: attributes.priority,
    source: attributes.source,
    mtu: attributes.metrics?.mtu,
    multipath: attributes.multipath === undefined ? undefined : readNextHops(attributes.multipath),
    flags: header.flags,
  }
}
