/**
 * The fake kernel's routes, neighbours, forwarding entries and rules, with the kernel's checks and errnos.
 */
import { formatAddress, parseAddress } from '../addresses.ts'
import { errnoNumber } from '../errors.ts'
import { AF_INET } from '../ffi.ts'
import { RTNH_F_ONLINK, RT_SCOPE_LINK, RT_SCOPE_NOWHERE, RT_SCOPE_UNIVERSE, RT_TABLE_LOCAL, RT_TABLE_MAIN, routeTypes } from '../route/layouts.ts'
import type { NeighbourMessage, RouteMessage, RuleMessage } from '../route/layouts.ts'
import { NLM_F_APPEND, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE } from '../socket.ts'

/** Thrown within the fake kernel: becomes the NetlinkError of the request. */
export class Refusal extends Error {
  readonly errno: number
  readonly kernelMessage: string | undefined

  constructor(code: string, kernelMessage?: string) {
    super(code)
    this.errno = errnoNumber(code)
    this.kernelMessage = kernelMessage
  }
}

/** Whether an address lies in a prefix. */
function covers(prefix: string, length: number, address: string): boolean {
  const [a, b] = [parseAddress(prefix), parseAddress(address)]
  if (a.length !== b.length) return false
  for (let bit = 0; bit < length; bit += 8) {
    const mask = length - bit >= 8 ? 0xff : 0xff & (0xff << (8 - (length - bit)))
    if (((a[bit >> 3] ?? 0) & mask) !== ((b[bit >> 3] ?? 0) & mask)) return false
  }
  return true
}

/** The first address of the prefix that an address lies in. */
export function network(address: string, length: number): string {
  const bytes = parseAddress(address)
  return formatAddress(bytes.map((byte, i) => byte & (length >= (i + 1) * 8 ? 0xff : length <= i * 8 ? 0 : 0xff & (0xff << (8 - (length - i * 8))))))
}

/** What a new route needs to know of links. */
export interface LinkStates {
  isUp(index: number): boolean | undefined
}

const typeOf = (name: (typeof routeTypes)[number]): number => routeTypes.indexOf(name)
const refusals = new Map([[typeOf('unreachable'), 'EHOSTUNREACH'], [typeOf('blackhole'), 'EINVAL'], [typeOf('prohibit'), 'EACCES']])

/** Routing tables of both families. */
export class RouteTable {
  routes: RouteMessage[] = []
  readonly #links: LinkStates

  constructor(links: LinkStates) {
    this.#links = links
  }

  static any(family: number): string {
    return family === AF_INET ? '0.0.0.0' : '::'
  }

  /** Adds or replaces; returns what was stored, and what it replaced. */
  add(given: RouteMessage, flags: number): { readonly added: RouteMessage; readonly replaced: RouteMessage | undefined } {
    const route = this.#complete(given)
    const same = this.routes.findIndex((other) => key(other) === key(route))
    if (same >= 0 && flags & NLM_F_EXCL) throw new Refusal('EEXIST')
    if (same < 0 && !(flags & NLM_F_CREATE)) throw new Refusal('ENOENT')
    const replaced = same >= 0 && flags & NLM_F_REPLACE ? this.routes[same] : undefined
    if (replaced !== undefined) this.routes[same] = route
    else this.routes.push(route)
    return { added: route, replaced }
  }

  delete({ header, attributes }: RouteMessage): RouteMessage {
    const table = attributes.table ?? header.table
    const index = this.routes.findIndex(
      (route) =>
        route.header.family === header.family &&
        route.header.destinationLength === header.destinationLength &&
        (route.attributes.destination ?? RouteTable.any(header.family)) === (attributes.destination ?? RouteTable.any(header.family)) &&
        route.attributes.table === table &&
        (header.type === 0 || route.header.type === header.type) &&
        (header.protocol === 0 || route.header.protocol === header.protocol) &&
        (header.scope === RT_SCOPE_NOWHERE || header.family !== AF_INET || route.header.scope === header.scope) &&
        (['gateway', 'outputLink', 'source', 'priority'] as const).every((name) => attributes[name] === undefined || attributes[name] === route.attributes[name]),
    )
    const [removed] = index < 0 ? [] : this.routes.splice(index, 1)
    if (removed === undefined) throw new Refusal('ESRCH')
    return removed
  }

  /** Longest prefix first, then lowest metric, in the local and then the main table. */
  lookup(address: string, scopeMin = RT_SCOPE_UNIVERSE): RouteMessage | undefined {
    const usable = this.routes.filter(({ header, attributes }) => {
      const destination = attributes.destination ?? RouteTable.any(header.family)
      return header.scope >= scopeMin && covers(destination, header.destinationLength, address)
    })
    for (const table of [RT_TABLE_LOCAL, RT_TABLE_MAIN]) {
      const found = usable
        .filter((route) => route.attributes.table === table)
        .sort((a, b) => b.header.destinationLength - a.header.destinationLength || (a.attributes.priority ?? 0) - (b.attributes.priority ?? 0))
      if (found[0] !== undefined) return found[0]
    }
    return undefined
  }

  /** RTM_GETROUTE of one address. */
  resolve(address: string): RouteMessage {
    const route = this.lookup(address)
    if (route === undefined) throw new Refusal('ENETUNREACH')
    const refusal = refusals.get(route.header.type)
    if (refusal !== undefined) throw new Refusal(refusal)
    const bits = parseAddress(address).length * 8
    return { header: { ...route.header, destinationLength: bits, flags: 0x200 }, attributes: { ...route.attributes, destination: address, priority: undefined } }
  }

  #complete({ header, attributes }: RouteMessage): RouteMessage {
    const v4 = header.family === AF_INET
    const table = attributes.table ?? header.table
    let outputLink = attributes.outputLink
    if (attributes.destination !== undefined && network(attributes.destination, header.destinationLength) !== attributes.destination) {
      throw new Refusal('EINVAL', v4 ? 'Invalid prefix for given prefix length' : undefined)
    }
    const up = outputLink === undefined ? true : this.#links.isUp(outputLink)
    if (up === undefined) throw new Refusal('ENODEV')
    const forwards = header.type === typeOf('unicast')
    if (forwards && !up) throw new Refusal('ENETDOWN', v4 ? 'Device for nexthop is not up' : 'Nexthop device is not up')
    if (attributes.gateway !== undefined && !(header.flags & RTNH_F_ONLINK)) {
      const via = this.lookup(attributes.gateway, RT_SCOPE_LINK)
      const reached = v4 ? via : this.lookup(attributes.gateway)
      if (reached === undefined || reached.header.type !== typeOf('unicast') || (reached.attributes.gateway !== undefined) || (outputLink !== undefined && reached.attributes.outputLink !== outputLink)) {
        throw v4 ? new Refusal('ENETUNREACH', 'Nexthop has invalid gateway') : new Refusal('EHOSTUNREACH')
      }
      outputLink ??= reached.attributes.outputLink
    }
    if (forwards && outputLink === undefined && attributes.multipath === undefined) throw new Refusal('ENODEV')
    const priority = attributes.priority ?? (v4 ? undefined : 1024)
    return { header: { ...header, table: table < 256 ? table : 252, ...(v4 ? {} : { scope: RT_SCOPE_UNIVERSE }) }, attributes: { ...attributes, outputLink, table, priority } }
  }
}

function key({ header, attributes }: RouteMessage): string {
  return [header.family, attributes.table ?? header.table, attributes.destination ?? '', header.destinationLength, attributes.priority ?? 0].join(' ')
}

/** A neighbour cache, and apart from it the proxy entries. Those have the same keys. */
export class NeighbourTable {
  entries: NeighbourMessage[] = []

  add(request: NeighbourMessage, flags: number): NeighbourMessage {
    return put(this.entries, request, flags, (other) => other.header.index === request.header.index && other.attributes.destination === request.attributes.destination)
  }

  delete(request: NeighbourMessage): NeighbourMessage {
    const index = this.entries.findIndex((other) => other.header.index === request.header.index && other.attributes.destination === request.attributes.destination)
    const [removed] = index < 0 ? [] : this.entries.splice(index, 1)
    if (removed === undefined) throw new Refusal('ENOENT')
    return removed
  }
}

function put(entries: NeighbourMessage[], request: NeighbourMessage, flags: number, same: (other: NeighbourMessage) => boolean): NeighbourMessage {
  const index = entries.findIndex(same)
  if (index >= 0 && flags & NLM_F_EXCL) throw new Refusal('EEXIST')
  if (index < 0 && !(flags & NLM_F_CREATE)) throw new Refusal('ENOENT')
  if (index >= 0) entries[index] = request
  else entries.push(request)
  return request
}

const ALL_ZERO = '00:00:00:00:00:00'

/** The forwarding tables of VXLAN links (drivers/net/vxlan/vxlan_core.c). */
export class ForwardingTable {
  entries: NeighbourMessage[] = []

  /** Returns undefined where nothing changed. */
  add(request: NeighbourMessage, flags: number): NeighbourMessage | undefined {
    const { mac, destination } = request.attributes
    if (destination === undefined) throw new Refusal('EINVAL')
    const index = this.entries.findIndex((other) => sameMac(other, request))
    const manifold = mac === ALL_ZERO || (Number.parseInt(mac?.slice(0, 2) ?? '0', 16) & 1) === 1
    if (index < 0) {
      if (!(flags & NLM_F_CREATE)) throw new Refusal('ENOENT')
      this.entries.push(request)
      return request
    }
    if (flags & NLM_F_EXCL) throw new Refusal('EEXIST')
    if (flags & NLM_F_REPLACE) {
      if (manifold) throw new Refusal('EOPNOTSUPP', 'Cannot replace non-unicast fdb entries')
      this.entries[index] = request
      return request
    }
    if (!(flags & NLM_F_APPEND) || !manifold || this.entries.some((other) => sameMac(other, request) && other.attributes.destination === destination)) return undefined
    this.entries.push(request)
    return request
  }

  delete(request: NeighbourMessage): NeighbourMessage[] {
    const { destination } = request.attributes
    const removed = this.entries.filter((entry) => sameMac(entry, request) && (destination === undefined || entry.attributes.destination === destination))
    if (removed.length === 0) throw new Refusal('ENOENT')
    this.entries = this.entries.filter((entry) => !removed.includes(entry))
    return removed
  }
}

function sameMac(a: NeighbourMessage, b: NeighbourMessage): boolean {
  return a.header.index === b.header.index && a.attributes.mac === b.attributes.mac
}

/** Policy rules; what is compared is what a request names. */
export class RuleTable {
  rules: RuleMessage[] = []

  add(request: RuleMessage): RuleMessage {
    if (this.rules.some((rule) => same(rule, request))) throw new Refusal('EEXIST')
    const mask = request.attributes.mark === undefined ? undefined : (request.attributes.mask ?? 0xffffffff)
    const rule = { header: request.header, attributes: { ...request.attributes, mask, table: request.attributes.table ?? request.header.table } }
    this.rules.push(rule)
    this.rules.sort((a, b) => (a.attributes.priority ?? 0) - (b.attributes.priority ?? 0))
    return rule
  }

  delete(request: RuleMessage): RuleMessage {
    const index = this.rules.findIndex((rule) => same(rule, request))
    const [removed] = index < 0 ? [] : this.rules.splice(index, 1)
    if (removed === undefined) throw new Refusal('ENOENT')
    return removed
  }
}

function same(rule: RuleMessage, request: RuleMessage): boolean {
  return (
    rule.header.family === request.header.family &&
    rule.header.action === request.header.action &&
    rule.header.sourceLength === request.header.sourceLength &&
    rule.header.destinationLength === request.header.destinationLength &&
    (['from', 'to', 'mark', 'mask', 'priority', 'table', 'inputLink', 'outputLink', 'protocol'] as const).every(
      (name) => request.attributes[name] === undefined || request.attributes[name] === rule.attributes[name],
    )
  )
}
