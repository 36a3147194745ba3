/** Carries out a plan in two namespaces. Should an operation fail, what those before it made is taken back. */
import { isExists, isNotFound } from '../../netlink/errors.ts'
import type { RouteSocket } from '../../netlink/route/index.ts'
import { writeSysctl } from '../../netlink/sysctl.ts'
import { CniError } from '../protocol/error.ts'
import type { Places } from './have.ts'
import type { Operation } from './plan.ts'
import { podRouteProtocol } from './want.ts'

const RT_TABLE_LOCAL = 255
/** Before the main table (32766). */
const podRulePriority = 1000

/** Everything that a plan makes hangs on its pair of links and goes with it. */
export function applyPlan(plan: readonly Operation[], places: Places): void {
  const indexes = new Map<string, number>()
  const made: string[] = []
  try {
    for (const operation of plan) {
      applyOperation(operation, places, indexes)
      if (operation.kind === 'addVeth') made.push(operation.hostLink)
    }
  } catch (error) {
    takeBack(made, places, error)
    throw error
  }
}

function takeBack(links: readonly string[], { host }: Places, cause: unknown): void {
  for (const link of links) {
    try {
      host.links.delete(link)
    } catch (error) {
      throw new AggregateError([cause, error], `${(cause as Error).message}; and then ${(error as Error).message}`, { cause: error })
    }
  }
}

function applyOperation(operation: Operation, places: Places, indexes: Map<string, number>): void {
  if (operation.kind === 'addVeth') return addVeth(operation, places)
  const { where } = operation
  if (operation.kind === 'writeSetting') return writeSetting(operation, places)
  const route = where === 'host' ? places.host : places.pod
  if (operation.kind === 'addRule') return addRule(operation, route)
  const link = indexOf(route, `${where} ${operation.link}`, operation.link, indexes)
  switch (operation.kind) {
    case 'setUp':
      return route.links.set(link, { up: true })
    case 'addAddress':
      // nobody else can have it: detecting duplicates would only delay
      return route.addresses.replace({ link, address: operation.address, prefixLength: operation.prefixLength, noDad: true, noPrefixRoute: operation.address.includes(':') })
    case 'addLoopbackRoute':
      // of several routes to one address each needs a metric of its own
      return route.routes.replace({ link, destination: '::1/128', type: 'local', table: RT_TABLE_LOCAL, metric: link, protocol: podRouteProtocol })
    case 'limitRate':
      return route.qdiscs.limit(link, operation.bucket)
    case 'addNeighbour':
      return route.neighbours.replace({ link, address: operation.address, mac: operation.mac })
    case 'addRoute': {
      const { destination, gateway, protocol, mtu, metric, table } = operation
      return route.routes.replace({ link, destination, gateway, onlink: gateway === undefined ? undefined : true, protocol, mtu, metric, table })
    }
  }
}

/** Rules do not go with a link, so that one may be left of an attachment that had the same address. */
function addRule({ from, table }: Extract<Operation, { kind: 'addRule' }>, route: RouteSocket): void {
  try {
    route.rules.add({ priority: podRulePriority, from, table, protocol: podRouteProtocol })
  } catch (error) {
    if (!isExists(error)) throw error
  }
}

/** Removes the rules of a pod whose links are gone: nothing is left in their tables. */
export function removeOrphanedRules(pod: RouteSocket): void {
  for (const { family, priority, from, table, protocol } of pod.rules.list()) {
    if (protocol !== podRouteProtocol || pod.routes.list({ family, table }).length > 0) continue
    try {
      pod.rules.delete({ family, priority, from, table, protocol })
    } catch (error) {
      if (!isNotFound(error)) throw error
    }
  }
}

function addVeth({ hostLink, hostMac, podLink, podMac, mtu }: Extract<Operation, { kind: 'addVeth' }>, { host, podNetns }: Places): void {
  try {
    host.links.add({ kind: 'veth', name: hostLink, mac: hostMac, mtu, up: true, peer: { name: podLink, mac: podMac, mtu, netns: podNetns } })
  } catch (error) {
    if (isExists(error)) throw new CniError('exists', `Cannot attach: link ${hostLink} of the host or ${podLink} of the container is there already`)
    throw error
  }
}

function writeSetting({ where, path, value, optional }: Extract<Operation, { kind: 'writeSetting' }>, { podNetns }: Places): void {
  try {
    writeSysctl(path, value, where === 'host' ? {} : { netns: podNetns })
  } catch (error) {
    if (!(optional && isNotFound(error))) throw error
  }
}

function indexOf(route: RouteSocket, key: string, name: string, indexes: Map<string, number>): number {
  const known = indexes.get(key) ?? route.links.get(name)?.index
  if (known === undefined) throw new CniError('kernel', `Cannot find link ${name}: somebody removed it`)
  indexes.set(key, known)
  return known
}

/** Removes a link, and with a host's end all of its attachment; one that is gone is fine. The event loop goes on meanwhile. */
export async function removeLink(route: RouteSocket, name: string | number): Promise<void> {
  try {
    await route.links.deleteInThread(name)
  } catch (error) {
    if (!isNotFound(error)) throw error
  }
}
