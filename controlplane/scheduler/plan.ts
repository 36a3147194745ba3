/** The decision: which node a pod goes to, or why it goes to none. Pure. */
import type { Random } from '../../api/clock.ts'
import type { Pod } from '../../api/types.ts'
import { matchesNode, nodePreference } from './node-affinity.ts'
import { avoidedTaints, crowding, podPreference, satisfiesAffinity, satisfiesAntiAffinity, satisfiesSpread } from './pod-affinity.ts'
import { hostPorts, podRequests, portsConflict } from './requests.ts'
import type { Amounts } from './requests.ts'
import type { NodeState, Snapshot } from './snapshot.ts'
import { untolerated } from './taints.ts'

export type Decision = { readonly node: string } | { readonly node?: undefined; readonly message: string }

/** Says why a node cannot take a pod, in Kubernetes' words; nothing when it can. */
type Filter = (pod: Pod, at: NodeState, snapshot: Snapshot) => string[]

const unschedulableTaint = { key: 'node.kubernetes.io/unschedulable', effect: 'NoSchedule' } as const

/** Only resources that are asked for count; a sum of fractions must not fail for its last bit. */
function lacking(wanted: Amounts, { allocatable, used }: NodeState): string[] {
  return Object.keys(wanted).filter((name) => (wanted[name] ?? 0) > 0 && (used[name] ?? 0) + (wanted[name] ?? 0) > (allocatable[name] ?? 0) + 1e-9)
}

const filters: readonly Filter[] = [
  (pod, { node }) => (node.spec.unschedulable === true && untolerated([unschedulableTaint], pod.spec.tolerations, ['NoSchedule']).length > 0 ? ['node(s) were unschedulable'] : []),
  (pod, { node }) => untolerated(node.spec.taints, pod.spec.tolerations, ['NoSchedule', 'NoExecute']).slice(0, 1).map(({ key, value = '' }) => `node(s) had untolerated taint(s) {${key}: ${value}}`),
  (pod, { node }) => (matchesNode(pod, node) ? [] : ["node(s) didn't match Pod's node affinity/selector"]),
  (pod, { ports }) => (hostPorts(pod).some((wanted) => ports.some((taken) => portsConflict(wanted, taken))) ? ["node(s) didn't have free ports for the requested pod ports"] : []),
  (pod, at) => lacking(podRequests(pod), at).map((name) => (name === 'pods' ? 'Too many pods' : `Insufficient ${name}`)),
  (pod, at, snapshot) => (satisfiesAffinity(pod, at, snapshot) ? [] : ["node(s) didn't match pod affinity rules"]),
  (pod, at, snapshot) => (satisfiesAntiAffinity(pod, at, snapshot) ? [] : ["node(s) didn't match pod anti-affinity rules"]),
  (pod, at, snapshot) => (satisfiesSpread(pod, at, snapshot) ? [] : ["node(s) didn't match pod topology spread constraints"]),
]

/** How well a node suits, before weighting; larger is better after `sign`. Each is scaled to 0..100 over the candidates. */
const scores: readonly { readonly weight: number; readonly of: (pod: Pod, at: NodeState, snapshot: Snapshot) => number }[] = [
  { weight: 3, of: (pod, at) => -avoidedTaints(pod, at) },
  { weight: 2, of: (pod, { node }) => nodePreference(pod, node) },
  { weight: 2, of: podPreference },
  { weight: 2, of: (pod, at, snapshot) => -crowding(pod, at, snapshot) },
  { weight: 1, of: freeShare },
  { weight: 1, of: balance },
]

function shares(pod: Pod, { allocatable, used }: NodeState): number[] {
  const wanted = podRequests(pod)
  return ['cpu', 'memory'].map((name) => ((used[name] ?? 0) + (wanted[name] ?? 0)) / Math.max(allocatable[name] ?? 0, 1e-9))
}

/** LeastAllocated: the mean free share of CPU and memory, with the number of pods to tell apart what asks for nothing. */
function freeShare(pod: Pod, at: NodeState): number {
  const [cpu = 0, memory = 0] = shares(pod, at)
  const pods = at.pods.length / Math.max(at.allocatable['pods'] ?? 110, 1)
  return 1 - (cpu + memory + pods) / 3
}

/** BalancedAllocation: CPU and memory used up alike. */
function balance(pod: Pod, at: NodeState): number {
  const [cpu = 0, memory = 0] = shares(pod, at)
  return 1 - Math.abs(cpu - memory)
}

/** Scales values to 0..100, the best 100; equal values all alike. */
function normalise(values: readonly number[]): number[] {
  const least = Math.min(...values)
  const most = Math.max(...values)
  return values.map((value) => (most === least ? 100 : ((value - least) / (most - least)) * 100))
}

/** Chooses among the nodes that pass every filter the best by score; `random` breaks ties. */
export function planPod(pod: Pod, snapshot: Snapshot, random: Random): Decision {
  const reasons = new Map<string, number>()
  const candidates = snapshot.nodes.filter((at) => {
    for (const filter of filters) {
      const found = filter(pod, at, snapshot)
      for (const reason of found) reasons.set(reason, (reasons.get(reason) ?? 0) + 1)
      if (found.length > 0) return false
    }
    return true
  })
  if (candidates.length === 0) return { message: explain(snapshot.nodes.length, reasons) }
  const totals = candidates.map(() => 0)
  for (const { weight, of } of scores) {
    normalise(candidates.map((at) => of(pod, at, snapshot))).forEach((score, i) => (totals[i] = (totals[i] ?? 0) + weight * score))
  }
  const best = Math.max(...totals)
  const tied = candidates.filter((_, i) => (totals[i] ?? 0) > best - 1e-6)
  const chosen = tied[Math.floor(random() * tied.length)] ?? candidates[0]
  return { node: chosen?.name ?? '' }
}

function explain(nodes: number, reasons: ReadonlyMap<string, number>): string {
  if (nodes === 0) return 'no nodes available to schedule pods'
  return `0/${nodes} nodes are available: ${[...reasons].map(([reason, count]) => `${count} ${reason}`).sort().join(', ')}.`
}
