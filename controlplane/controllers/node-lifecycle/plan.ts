/** What a node's silence or its conditions make of it: conditions, taints, and how fast its pods may be driven off. Pure. */
import type { Condition, Node, Taint } from '../../../api/types.ts'
import { conditionOf } from '../status.ts'
import { timestamp } from '../timestamp.ts'

export type Health = 'ready' | 'not-ready' | 'unreachable' | 'new'

const notReadyKey = 'node.kubernetes.io/not-ready'
const unreachableKey = 'node.kubernetes.io/unreachable'
/** Conditions that keep new pods away while they hold, and the taint of each. */
const pressures: readonly (readonly [string, string])[] = [
  ['MemoryPressure', 'node.kubernetes.io/memory-pressure'],
  ['DiskPressure', 'node.kubernetes.io/disk-pressure'],
  ['PIDPressure', 'node.kubernetes.io/pid-pressure'],
  ['NetworkUnavailable', 'node.kubernetes.io/network-unavailable'],
]
const unschedulableKey = 'node.kubernetes.io/unschedulable'
const ours = new Set([notReadyKey, unreachableKey, unschedulableKey, ...pressures.map(([, key]) => key)])

export function healthOf({ status }: Node): Health {
  const ready = conditionOf(status?.conditions, 'Ready')
  if (ready === undefined) return 'new'
  return ready.status === 'True' ? 'ready' : ready.status === 'False' ? 'not-ready' : 'unreachable'
}

/** The conditions to write on a node that is silent: nothing of it is known any more. Empty: it says so already. */
export function silentConditions({ metadata, status }: Node, now: number): Condition[] {
  return ['Ready', 'MemoryPressure', 'DiskPressure', 'PIDPressure'].flatMap((type): Condition | [] => {
    const present = conditionOf(status?.conditions, type)
    if (present?.status === 'Unknown') return []
    const unknown = present === undefined
      ? { reason: 'NodeStatusNeverUpdated', message: 'Kubelet never posted node status.', lastHeartbeatTime: metadata.creationTimestamp ?? timestamp(now) }
      : { reason: 'NodeStatusUnknown', message: 'Kubelet stopped posting node status.' }
    return { ...present, type, status: 'Unknown', ...unknown, lastTransitionTime: timestamp(now) }
  })
}

/** Whether the node has a taint that drives pods off because of its health. */
export function isDriven({ spec }: Node): boolean {
  return (spec.taints ?? []).some(({ key, effect }) => effect === 'NoExecute' && (key === notReadyKey || key === unreachableKey))
}

/** The taints that the node is to have; undefined: those it has. `drive`: whether its pods are to be driven off. */
export function wantedTaints(node: Node, { drive, now }: { readonly drive: boolean; readonly now: number }): Taint[] | undefined {
  const health = healthOf(node)
  const wanted: Taint[] = []
  const key = health === 'unreachable' ? unreachableKey : health === 'ready' ? undefined : notReadyKey
  if (key !== undefined) wanted.push({ key, effect: 'NoSchedule' })
  if (key !== undefined && drive) wanted.push({ key, effect: 'NoExecute' })
  for (const [type, taint] of pressures) if (conditionOf(node.status?.conditions, type)?.status === 'True') wanted.push({ key: taint, effect: 'NoSchedule' })
  if (node.spec.unschedulable === true) wanted.push({ key: unschedulableKey, effect: 'NoSchedule' })

  const present = node.spec.taints ?? []
  const isSame = (a: Taint) => (b: Taint): boolean => a.key === b.key && a.effect === b.effect
  const isManaged = ({ key, effect }: Taint): boolean => ours.has(key) && (effect === 'NoSchedule' || (effect === 'NoExecute' && (key === notReadyKey || key === unreachableKey)))
  const kept = present.filter((taint) => !isManaged(taint) || wanted.some(isSame(taint)))
  const added = wanted.filter((taint) => !present.some(isSame(taint))).map((taint) => ({ ...taint, timeAdded: timestamp(now) }))
  return added.length === 0 && kept.length === present.length ? undefined : [...kept, ...added]
}

/** The zone in which nodes are taken to fail together. */
export function zoneOf({ metadata }: Node): string {
  const labels = metadata.labels ?? {}
  return `${labels['topology.kubernetes.io/region'] ?? ''}/${labels['topology.kubernetes.io/zone'] ?? ''}`
}

/** --unhealthy-zone-threshold, --large-cluster-size-threshold, and the time between two nodes of one zone (--node-eviction-rate, --secondary-node-eviction-rate). */
const unhealthyShare = 0.55
const largeZone = 50
const normalMs = 10_000
const slowMs = 100_000

/**
 * How long to wait between two nodes of a zone whose pods are driven off. Undefined: not at all, because it is more likely that we
 * are cut off than that so many nodes have died (node_lifecycle_controller.go ComputeZoneState).
 */
export function drivingIntervalMs(nodes: readonly Node[], zone: string): number | undefined {
  const isUp = (node: Node): boolean => healthOf(node) === 'ready'
  if (!nodes.some(isUp)) return undefined
  const inZone = nodes.filter((node) => zoneOf(node) === zone)
  const down = inZone.filter((node) => !isUp(node)).length
  const partly = down < inZone.length && down > 2 && down / inZone.length >= unhealthyShare
  if (!partly) return normalMs
  return inZone.length > largeZone ? slowMs : undefined
}
