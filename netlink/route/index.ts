/**
 * rtnetlink: links, addresses, routes, neighbours, forwarding entries and rules of one network namespace.
 *
 *     using route = RouteSocket.open({ netns })
 *     route.links.add({ kind: 'veth', name: 'pod1', up: true, peer: { name: 'eth0', netns: pod } })
 *     route.routes.add({ destination: '10.244.1.5/32', link: 7 })
 */
import { AF_BRIDGE, AF_INET } from '../ffi.ts'
import type { Listening, Message, SocketOptions } from '../socket.ts'
import { Addresses, readAddress } from './addresses.ts'
import type { Address } from './addresses.ts'
import {
  RTM_DELADDR, RTM_DELLINK, RTM_DELNEIGH, RTM_DELROUTE, RTM_DELRULE, RTM_NEWADDR, RTM_NEWLINK, RTM_NEWNEIGH, RTM_NEWNETCONF, RTM_NEWROUTE, RTM_NEWRULE,
  NETCONFA_IFINDEX_ALL, addressMessage, linkMessage, neighbourMessage, routeMessage, ruleMessage, settingMessage,
} from './layouts.ts'
import { Links, readLink } from './links.ts'
import type { Link } from './links.ts'
import { ForwardingEntries, Neighbours, readForwardingEntry, readNeighbour } from './neighbours.ts'
import type { ForwardingEntry, Neighbour } from './neighbours.ts'
import { Qdiscs } from './qdiscs.ts'
import { Routes, readRoute } from './routes.ts'
import type { Route } from './routes.ts'
import { Rules, readRule } from './rules.ts'
import type { Rule } from './rules.ts'
import { openRouteTransport } from './transport.ts'
import type { Family, RouteTransport } from './transport.ts'

export type { Address, AddressSpec } from './addresses.ts'
export type { Link, LinkChange, LinkSelector, LinkSpec, LinkStatistics, Vxlan, VxlanSpec } from './links.ts'
export type { ForwardingEntry, ForwardingSpec, Neighbour, NeighbourSpec, NeighbourState } from './neighbours.ts'
export type { TokenBucket } from './qdiscs.ts'
export type { NextHop, Route, RouteFilter, RouteSpec } from './routes.ts'
export type { Rule, RuleAction, RuleSpec } from './rules.ts'
export type { Family, RouteTransport } from './transport.ts'

/** RTNLGRP_* (include/uapi/linux/rtnetlink.h), by what one wants to hear of. Forwarding entries come with `neighbour`. */
const groupNumbers = { link: [1], neighbour: [3], address: [5, 9], route: [7, 11], rule: [8, 19], setting: [24, 25] } as const
export type RouteGroup = keyof typeof groupNumbers

/** Something changed. After `overrun` events were lost: list again. */
export type RouteEvent =
  | { readonly kind: 'link'; readonly change: 'new' | 'delete'; readonly link: Link }
  | { readonly kind: 'address'; readonly change: 'new' | 'delete'; readonly address: Address }
  | { readonly kind: 'route'; readonly change: 'new' | 'delete'; readonly route: Route }
  | { readonly kind: 'neighbour'; readonly change: 'new' | 'delete'; readonly neighbour: Neighbour }
  | { readonly kind: 'forwarding'; readonly change: 'new' | 'delete'; readonly entry: ForwardingEntry }
  | { readonly kind: 'rule'; readonly change: 'new' | 'delete'; readonly rule: Rule }
  | { readonly kind: 'setting'; readonly family: Family; /** index of the link; none where it is the setting for all */ readonly link?: number | undefined; readonly forwarding?: boolean | undefined }
  | { readonly kind: 'overrun' }

/** A route socket. Requests are synchronous; they throw NetlinkError. */
export class RouteSocket {
  readonly links: Links
  readonly addresses: Addresses
  readonly routes: Routes
  readonly neighbours: Neighbours
  readonly fdb: ForwardingEntries
  readonly rules: Rules
  readonly qdiscs: Qdiscs
  readonly #transport: RouteTransport

  private constructor(transport: RouteTransport) {
    this.#transport = transport
    this.links = new Links(transport)
    this.addresses = new Addresses(transport)
    this.routes = new Routes(transport)
    this.neighbours = new Neighbours(transport)
    this.fdb = new ForwardingEntries(transport)
    this.rules = new Rules(transport)
    this.qdiscs = new Qdiscs(transport)
  }

  /** Opens one to the kernel, in a namespace or the current one. */
  static open(options: Pick<SocketOptions, 'netns'> = {}): RouteSocket {
    return new RouteSocket(openRouteTransport(options))
  }

  /** Opens one to a fake kernel (see `test-support/`). */
  static over(transport: RouteTransport): RouteSocket {
    return new RouteSocket(transport)
  }

  /** Calls `handler` for each change from now on, until closed. The handler must not block. */
  listen(groups: readonly RouteGroup[], handler: (event: RouteEvent) => void): Listening {
    const numbers = groups.flatMap((group) => groupNumbers[group])
    return this.#transport.listen(
      numbers,
      (message) => {
        const event = readEvent(message)
        if (event !== undefined) handler(event)
      },
      () => handler({ kind: 'overrun' }),
    )
  }

  close(): void {
    this.#transport.close()
  }

  [Symbol.dispose](): void {
    this.close()
  }
}

function readEvent({ type, payload }: Message): RouteEvent | undefined {
  switch (type) {
    case RTM_NEWLINK:
    case RTM_DELLINK: {
      const message = linkMessage.decode(payload)
      // bridge ports are also announced in the bridge family, without being new or gone
      if (message.header.family === AF_BRIDGE) return undefined
      return { kind: 'link', change: type === RTM_NEWLINK ? 'new' : 'delete', link: readLink(message) }
    }
    case RTM_NEWADDR:
    case RTM_DELADDR:
      return { kind: 'address', change: type === RTM_NEWADDR ? 'new' : 'delete', address: readAddress(addressMessage.decode(payload)) }
    case RTM_NEWROUTE:
    case RTM_DELROUTE:
      return { kind: 'route', change: type === RTM_NEWROUTE ? 'new' : 'delete', route: readRoute(routeMessage.decode(payload)) }
    case RTM_NEWNEIGH:
    case RTM_DELNEIGH: {
      const message = neighbourMessage.decode(payload)
      const change = type === RTM_NEWNEIGH ? 'new' : 'delete'
      if (message.header.family === AF_BRIDGE) return { kind: 'forwarding', change, entry: readForwardingEntry(message) }
      return { kind: 'neighbour', change, neighbour: readNeighbour(message) }
    }
    case RTM_NEWRULE:
    case RTM_DELRULE:
      return { kind: 'rule', change: type === RTM_NEWRULE ? 'new' : 'delete', rule: readRule(ruleMessage.decode(payload)) }
    case RTM_NEWNETCONF: {
      const { header, attributes } = settingMessage.decode(payload)
      const link = attributes.link === NETCONFA_IFINDEX_ALL ? undefined : attributes.link
      return { kind: 'setting', family: header.family === AF_INET ? 'ipv4' : 'ipv6', link, forwarding: attributes.forwarding === undefined ? undefined : attributes.forwarding !== 0 }
    }
    default:
      return undefined
  }
}
