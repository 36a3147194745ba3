/**
 * Routes from the control plane's host to pods, each range by way of its node: for the API server's `proxy` subresource. For a control plane on the
 * nodes' own link that is no node itself. Replies need nothing, since nodes know the way back.
 */
import { isIP } from 'node:net'
import type { Client } from '../../api/client.ts'
import type { Clock, Random } from '../../api/clock.ts'
import type { Component } from '../../api/component.ts'
import { InformerSet } from '../../api/informer-set.ts'
import type { Logger } from '../../api/log.ts'
import { nodes } from '../../api/resources.ts'
import type { Node } from '../../api/types.ts'
import { WorkQueue } from '../../api/work-queue.ts'
import { RouteSocket } from '../../netlink/route/index.ts'

export interface PodRoutesOptions {
  readonly client: Client
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
}

/** Says in the kernel's table who made a route; the plugin has 70, the overlay 71. */
const routeProtocol = 72
const mainTable = 254

/** Pod ranges and the node addresses of their families that lead to them. Pure. */
export function wantPodRoutes(all: readonly Node[]): ReadonlyMap<string, string> {
  return new Map(all.flatMap(({ spec, status }) => {
    const addresses = status?.addresses?.filter(({ type, address }) => type === 'InternalIP' && isIP(address) !== 0).map(({ address }) => address) ?? []
    return (spec.podCIDRs ?? [spec.podCIDR ?? '']).flatMap((range) => {
      const gateway = addresses.find((address) => address.includes(':') === range.includes(':'))
      return gateway === undefined || range === '' ? [] : [[range, gateway] as const]
    })
  }))
}

/** Keeps the routes as the Nodes say. */
export function startPodRoutes({ client, clock, random, log }: PodRoutesOptions): Component {
  const informers = new InformerSet(client, { clock, random, log })
  const informer = informers.informer(nodes)
  const route = RouteSocket.open()
  const reconcile = async (): Promise<void> => {
    if (!informer.hasSynced()) return
    const want = wantPodRoutes(informer.list())
    const have = route.routes.list({ table: mainTable, protocol: routeProtocol })
    for (const { destination, gateway } of have) if (want.get(destination) !== gateway) route.routes.delete({ destination, protocol: routeProtocol })
    const kept = new Set(have.filter(({ destination, gateway }) => want.get(destination) === gateway).map(({ destination }) => destination))
    for (const [destination, gateway] of want) if (!kept.has(destination)) route.routes.add({ destination, gateway, protocol: routeProtocol })
  }
  const queue = new WorkQueue({ clock, random, reconcile, onError: (error) => log.warn('cannot route to the pods of a node, trying again', { error }) })
  informer.onChange(() => queue.add('routes'))
  informers.start()
  void informers.synced.then(() => queue.add('routes'))
  const { promise: done, resolve } = Promise.withResolvers<void>()
  return {
    done,
    stop: async () => {
      informers.stop()
      await queue.stop()
      route.close()
      resolve()
    },
  }
}
