/** Affinity and anti-affinity between pods, and spreading over topology domains. */
import { matchesLabelSelector } from '../../api/selectors.ts'
import type { Namespace, Pod, PodAffinityTerm, TopologySpreadConstraint } from '../../api/types.ts'
import { matchesNode } from './node-affinity.ts'
import type { NodeState, Snapshot } from './snapshot.ts'
import { untolerated } from './taints.ts'

function namespaceMatches({ namespaces, namespaceSelector }: PodAffinityTerm, owner: Pod, other: Pod, all: readonly Namespace[]): boolean {
  const namespace = other.metadata.namespace ?? ''
  if (namespaces?.includes(namespace) === true) return true
  if (namespaceSelector !== undefined) return matchesLabelSelector(namespaceSelector, all.find((one) => one.metadata.name === namespace)?.metadata.labels)
  return (namespaces ?? []).length === 0 && namespace === owner.metadata.namespace
}

/** Whether `other` is one of those that a term of `owner` speaks of. */
function selects(term: PodAffinityTerm, owner: Pod, other: Pod, { namespaces }: Snapshot): boolean {
  return matchesLabelSelector(term.labelSelector, other.metadata.labels) && namespaceMatches(term, owner, other, namespaces)
}

function domain({ node }: NodeState, key: string): string | undefined {
  return node.metadata.labels?.[key]
}

/** How many pods in the node's domain a term selects; undefined where the node is in no domain. */
function selectedInDomain(term: PodAffinityTerm, owner: Pod, at: NodeState, snapshot: Snapshot): number | undefined {
  const here = domain(at, term.topologyKey)
  if (here === undefined) return undefined
  return snapshot.nodes.filter((node) => domain(node, term.topologyKey) === here).flatMap(({ pods }) => pods).filter((other) => selects(term, owner, other, snapshot)).length
}

export function satisfiesAffinity(pod: Pod, at: NodeState, snapshot: Snapshot): boolean {
  const terms = pod.spec.affinity?.podAffinity?.requiredDuringSchedulingIgnoredDuringExecution ?? []
  return terms.every((term) => {
    const count = selectedInDomain(term, pod, at, snapshot)
    if (count === undefined) return false
    if (count > 0) return true
    // The first pod of a group that wants to be near itself has to start somewhere.
    return selects(term, pod, pod, snapshot) && !snapshot.nodes.some(({ pods }) => pods.some((other) => selects(term, pod, other, snapshot)))
  })
}

/** Neither the pod's own anti-affinity nor that of a pod already there keeps them apart. */
export function satisfiesAntiAffinity(pod: Pod, at: NodeState, snapshot: Snapshot): boolean {
  const own = pod.spec.affinity?.podAntiAffinity?.requiredDuringSchedulingIgnoredDuringExecution ?? []
  if (own.some((term) => (selectedInDomain(term, pod, at, snapshot) ?? 0) > 0)) return false
  return !snapshot.nodes.some((node) => node.pods.some((other) => {
    const terms = other.spec.affinity?.podAntiAffinity?.requiredDuringSchedulingIgnoredDuringExecution ?? []
    return terms.some((term) => domain(node, term.topologyKey) !== undefined && domain(node, term.topologyKey) === domain(at, term.topologyKey) && selects(term, other, pod, snapshot))
  }))
}

/** Weighted count of preferred terms met, anti-affinity counting against. */
export function podPreference(pod: Pod, at: NodeState, snapshot: Snapshot): number {
  const { podAffinity, podAntiAffinity } = pod.spec.affinity ?? {}
  const weigh = (terms: readonly { weight: number; podAffinityTerm: PodAffinityTerm }[] = []): number =>
    terms.reduce((sum, { weight, podAffinityTerm }) => sum + weight * (selectedInDomain(podAffinityTerm, pod, at, snapshot) ?? 0), 0)
  return weigh(podAffinity?.preferredDuringSchedulingIgnoredDuringExecution) - weigh(podAntiAffinity?.preferredDuringSchedulingIgnoredDuringExecution)
}

/** Pods per domain that a constraint counts, over the nodes where the pod could be at all. */
function domainCounts(constraint: TopologySpreadConstraint, pod: Pod, { nodes }: Snapshot): Map<string, number> {
  const counts = new Map<string, number>()
  for (const state of nodes) {
    const key = domain(state, constraint.topologyKey)
    if (key === undefined || !matchesNode(pod, state.node)) continue
    const matching = state.pods.filter((other) => other.metadata.namespace === pod.metadata.namespace && other.metadata.deletionTimestamp === undefined && matchesLabelSelector(constraint.labelSelector, other.metadata.labels))
    counts.set(key, (counts.get(key) ?? 0) + matching.length)
  }
  return counts
}

/** By how much the node's domain would exceed the emptiest; undefined where the node is in no domain. */
function skewAt(constraint: TopologySpreadConstraint, pod: Pod, at: NodeState, snapshot: Snapshot): number | undefined {
  const key = domain(at, constraint.topologyKey)
  if (key === undefined) return undefined
  const counts = domainCounts(constraint, pod, snapshot)
  const self = matchesLabelSelector(constraint.labelSelector, pod.metadata.labels) ? 1 : 0
  return (counts.get(key) ?? 0) + self - Math.min(...counts.values())
}

export function satisfiesSpread(pod: Pod, at: NodeState, snapshot: Snapshot): boolean {
  const hard = (pod.spec.topologySpreadConstraints ?? []).filter(({ whenUnsatisfiable }) => whenUnsatisfiable === 'DoNotSchedule')
  return hard.every((constraint) => {
    const skew = skewAt(constraint, pod, at, snapshot)
    return skew !== undefined && skew <= constraint.maxSkew
  })
}

/** Soft constraints' skew, and without any constraint how many pods of the same owner are on the node already. */
export function crowding(pod: Pod, at: NodeState, snapshot: Snapshot): number {
  const constraints = pod.spec.topologySpreadConstraints ?? []
  if (constraints.length > 0) return constraints.reduce((sum, constraint) => sum + (skewAt(constraint, pod, at, snapshot) ?? snapshot.nodes.length), 0)
  const owner = pod.metadata.ownerReferences?.find(({ controller }) => controller === true)?.uid
  if (owner === undefined) return 0
  return at.pods.filter((other) => other.metadata.ownerReferences?.some(({ uid }) => uid === owner) === true).length
}

/** Taints that a pod would rather avoid. */
export function avoidedTaints(pod: Pod, { node }: NodeState): number {
  return untolerated(node.spec.taints, pod.spec.tolerations, ['PreferNoSchedule']).length
}
