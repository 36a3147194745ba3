/** Carries out a plan. What fails is told, and does not keep the rest from being done: a peer that cannot be reached is no reason to lose the others. */
import { setChecksumOffload } from '../../netlink/ethtool.ts'
import { isNotFound } from '../../netlink/errors.ts'
import type { Netns } from '../../netlink/netns.ts'
import type { RouteSocket } from '../../netlink/route/index.ts'
import { writeSysctl } from '../../netlink/sysctl.ts'
import { forwardingPaths } from './have.ts'
import type { Operation } from './plan.ts'
import { overlayRouteProtocol, vxlanId, vxlanLinkName, vxlanPort, wireguardLinkName } from './want.ts'

export interface Failure {
  readonly error: Error
  /** Whether it is about one peer only; else this host itself is not as it should be. */
  readonly ofPeer: boolean
}

const peerOperations: ReadonlySet<Operation['kind']> = new Set(['setNeighbour', 'deleteNeighbour', 'setForwardingEntry', 'deleteForwardingEntry', 'setRoute', 'deleteRoute'])

/** Returns what could not be done. */
export function applyOverlay(plan: readonly Operation[], route: RouteSocket, netns: Netns | undefined): Failure[] {
  const failures: Failure[] = []
  for (const operation of plan) {
    try {
      applyOperation(operation, route, netns)
    } catch (error) {
      // what was to go is gone
      if (!(operation.kind.startsWith('delete') && isNotFound(error))) failures.push({ error: error as Error, ofPeer: peerOperations.has(operation.kind) })
    }
  }
  return failures
}

function applyOperation(operation: Operation, route: RouteSocket, netns: Netns | undefined): void {
  switch (operation.kind) {
    case 'setForwarding':
      return writeSysctl(forwardingPaths[operation.family], 1, { netns })
    case 'setLoopbackUp':
      return route.links.set(operation.link, { up: true })
    case 'deleteVxlan':
      return route.links.delete(vxlanLinkName)
    case 'addVxlan': {
      const { mac, mtu, local, underlay } = operation.vxlan
      return route.links.add({ kind: 'vxlan', name: vxlanLinkName, mac, mtu, up: true, vxlan: { id: vxlanId, port: vxlanPort, local, link: underlay, learning: false } })
    }
    case 'setVxlan':
      return route.links.set(vxlanLinkName, operation.change)
    case 'deleteWireguard':
      return route.links.delete(wireguardLinkName)
    case 'setWireguard':
      return route.links.set(wireguardLinkName, operation.change)
    case 'computeChecksums':
      return setChecksumOffload(vxlanLinkName, false, { netns })
    case 'addAddress': {
      const { address, prefixLength, scope } = operation
      return route.addresses.replace({ link: operation.link ?? vxlanIndex(route), address, prefixLength, scope, noDad: true, noPrefixRoute: address.includes(':') })
    }
    case 'deleteAddress':
      return route.addresses.delete({ link: operation.link ?? vxlanIndex(route), address: operation.address, prefixLength: operation.prefixLength })
    case 'setNeighbour':
      return route.neighbours.replace({ link: vxlanIndex(route), address: operation.address, mac: operation.mac })
    case 'deleteNeighbour':
      return route.neighbours.delete({ link: vxlanIndex(route), address: operation.address })
    case 'setForwardingEntry':
      return route.fdb.replace({ link: vxlanIndex(route), mac: operation.mac, destination: operation.destination })
    case 'deleteForwardingEntry':
      return route.fdb.delete({ link: vxlanIndex(route), mac: operation.mac, destination: operation.destination })
    case 'setRoute': {
      const { destination, type, gateway, link, onlink, metric } = operation.route
      return route.routes.replace({ destination, type, gateway, onlink, metric, link: typeof link === 'string' ? indexOf(route, link) : link, protocol: overlayRouteProtocol })
    }
    case 'deleteRoute': {
      const { destination, type, gateway, link, metric } = operation.route
      return route.routes.delete({ destination, type, gateway, link: type === 'unreachable' ? undefined : link, metric, protocol: overlayRouteProtocol })
    }
  }
}

function vxlanIndex(route: RouteSocket): number {
  return indexOf(route, vxlanLinkName)
}

function indexOf(route: RouteSocket, name: string): number {
  const index = route.links.get(name)?.index
  if (index === undefined) throw new Error(`Cannot find link ${name}: it could not be made, or somebody removed it`)
  return index
}
