/**
 * How packets to a cluster DNS address get to the server of another host, with no translation: every host has the same address on `lo`, so it is enough to
 * route it there. While this host's own server is down
 *
 *     table local:  the entry that makes the address this host's own is gone (the address itself stays on `lo`)
 *     rules:        from PODS to ADDRESS → table 72, and the same for what this host itself sends
 *     table 72:     ADDRESS by way of the other host, as the overlay reaches its pods
 *     table main:   ADDRESS is unreachable, so that what other hosts send here does not come back to them
 */
import type { Route, RouteSocket, RouteSpec, Rule, RuleSpec } from '../../netlink/route/index.ts'
import { isExists, isNotFound } from '../../netlink/errors.ts'
import { familyOf, overlayRouteProtocol } from '../overlay/want.ts'

/** The owner of these routes and rules (RTPROT_*), and their table. */
export const dnsRouteProtocol = 72
const dnsTable = 72
const rulePriority = 5200
const RT_TABLE_MAIN = 254
const RT_TABLE_LOCAL = 255
const RT_SCOPE_UNIVERSE = 0

/** A way to another host. */
export interface Peer {
  readonly key: string
  readonly gateway: string
  readonly link: number
  readonly onlink: boolean
  /** What this host itself sends from: left to the kernel, that would be the cluster DNS address, which is on `lo` (RFC 6724, rule 1). */
  readonly source: string | undefined
}

export interface Surroundings {
  readonly peers: readonly Peer[]
  /** Ranges of this host's own pods. */
  readonly own: readonly string[]
}

/** The other hosts, from the overlay's routes: the kernel knows who there is, and how they are reached. The next in order is first, so that the load spreads. */
export function surroundings(route: RouteSocket, address: string): Surroundings {
  const routes = route.routes.list({ protocol: overlayRouteProtocol, table: RT_TABLE_MAIN, family: familyOf(address) })
  const own = routes.filter(({ type }) => type === 'unreachable').map(({ destination }) => destination)
  const others = routes.filter(({ type, gateway, link }) => type === 'unicast' && gateway !== undefined && link !== undefined).sort((a, b) => a.destination.localeCompare(b.destination))
  const first = others.findIndex(({ destination }) => destination.localeCompare(own[0] ?? '') > 0)
  const inOrder = first <= 0 ? others : [...others.slice(first), ...others.slice(0, first)]
  const sourceOn = (link: number): string | undefined => route.addresses.list({ link, family: familyOf(address) }).find(({ scope }) => scope === RT_SCOPE_UNIVERSE)?.address
  const peers = inOrder.map(({ gateway = '', link = 0, onlink }) => ({ key: `${gateway}%${link}`, gateway, link, onlink, source: sourceOn(link) }))
  return { peers: [...new Map(peers.map((peer) => [peer.key, peer])).values()], own }
}

/** The peer that is routed to; undefined: nobody, or the address is this host's own. */
export function routedPeer(route: RouteSocket, address: string): string | undefined {
  const found = route.routes.list({ protocol: dnsRouteProtocol, table: dnsTable }).find(({ destination }) => destination === prefixOf(address))
  return found?.gateway === undefined ? undefined : `${found.gateway}%${found.link ?? 0}`
}

interface Want {
  readonly isLocal: boolean
  readonly routes: readonly RouteSpec[]
  readonly rules: readonly RuleSpec[]
}

interface Have {
  readonly isLocal: boolean
  readonly routes: readonly Route[]
  readonly rules: readonly Rule[]
}

type Operation =
  | { readonly kind: 'addLocal' | 'deleteLocal' }
  | { readonly kind: 'addRoute' | 'deleteRoute'; readonly route: RouteSpec }
  | { readonly kind: 'addRule' | 'deleteRule'; readonly rule: RuleSpec }

/** Makes an address this host's own (no peer), or that of a peer. Returns what was done. */
export function place(route: RouteSocket, address: string, peer: Peer | undefined, own: readonly string[]): string[] {
  const lo = route.links.get('lo')?.index ?? 1
  const plan = planPlace(want(address, peer, own), have(route, address))
  for (const operation of plan) apply(route, { address, lo }, operation)
  return plan.map(({ kind }) => kind)
}

function want(address: string, peer: Peer | undefined, own: readonly string[]): Want {
  if (peer === undefined) return { isLocal: true, routes: [], rules: [] }
  const destination = prefixOf(address)
  const { gateway, link, onlink, source } = peer
  const rule = { priority: rulePriority, to: destination, table: dnsTable, protocol: dnsRouteProtocol }
  return {
    isLocal: false,
    routes: [{ destination, type: 'unreachable', table: RT_TABLE_MAIN, protocol: dnsRouteProtocol }, { destination, gateway, link, onlink, source, table: dnsTable, protocol: dnsRouteProtocol }],
    rules: [...own.map((from) => ({ ...rule, from })), { ...rule, inputLink: 'lo' }],
  }
}

function have(route: RouteSocket, address: string): Have {
  const destination = prefixOf(address)
  const family = familyOf(address)
  return {
    isLocal: route.routes.list({ table: RT_TABLE_LOCAL, family, type: 'local' }).some((one) => one.destination === destination),
    routes: route.routes.list({ protocol: dnsRouteProtocol, family }).filter((one) => one.destination === destination),
    rules: route.rules.list({ family }).filter(({ protocol, to }) => protocol === dnsRouteProtocol && to === destination),
  }
}

/** The way out is there before the address stops being this host's own, and goes after it is again. Pure. */
function planPlace(wanted: Want, present: Have): Operation[] {
  const isSameRoute = (want: RouteSpec, one: Route): boolean => want.table === one.table && (want.type ?? 'unicast') === one.type && (want.type === 'unreachable' || (want.gateway === one.gateway && want.link === one.link))
  const isSameRule = (want: RuleSpec, one: Rule): boolean => want.from === one.from && want.inputLink === one.inputLink && want.table === one.table && want.priority === one.priority
  const stale = [
    ...present.rules.filter((one) => !wanted.rules.some((want) => isSameRule(want, one))).map((rule) => ({ kind: 'deleteRule', rule: specOf(rule) } as const)),
    ...present.routes.filter((one) => !wanted.routes.some((want) => isSameRoute(want, one))).map((route) => ({ kind: 'deleteRoute', route } as const)),
  ]
  const missing = [
    ...wanted.routes.filter((want) => !present.routes.some((one) => isSameRoute(want, one))).map((route) => ({ kind: 'addRoute', route } as const)),
    ...wanted.rules.filter((want) => !present.rules.some((one) => isSameRule(want, one))).map((rule) => ({ kind: 'addRule', rule } as const)),
  ]
  const local: Operation[] = wanted.isLocal === present.isLocal ? [] : [{ kind: wanted.isLocal ? 'addLocal' : 'deleteLocal' }]
  return wanted.isLocal ? [...local, ...stale] : [...stale, ...missing, ...local]
}

function specOf({ priority, table, from, to, inputLink, protocol }: Rule): RuleSpec {
  return { priority, table, from, to, inputLink, protocol }
}

function apply(route: RouteSocket, { address, lo }: { readonly address: string; readonly lo: number }, operation: Operation): void {
  const isV4 = familyOf(address) === 'ipv4'
  const local: RouteSpec = { destination: prefixOf(address), type: 'local', link: lo, table: RT_TABLE_LOCAL, protocol: 2, ...(isV4 ? { source: address } : {}) }
  try {
    switch (operation.kind) {
      case 'addLocal': return route.routes.replace(local)
      case 'deleteLocal': return route.routes.delete({ destination: local.destination, type: 'local', table: RT_TABLE_LOCAL })
      case 'addRoute': return route.routes.replace(operation.route)
      case 'deleteRoute': {
        const { destination, type, table, protocol } = operation.route
        return route.routes.delete({ destination, type, table, protocol })
      }
      case 'addRule': return route.rules.add(operation.rule)
      case 'deleteRule': return route.rules.delete(operation.rule)
    }
  } catch (error) {
    // What was to be done is done.
    if (!isExists(error) && !isNotFound(error)) throw error
  }
}

function prefixOf(address: string): string {
  return `${address}/${familyOf(address) === 'ipv4' ? 32 : 128}`
}
