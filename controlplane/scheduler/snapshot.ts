/** The cluster as one scheduling decision sees it: nodes with what runs on them. */
import { parseQuantity } from '../../api/quantity.ts'
import type { Namespace, Node, Pod } from '../../api/types.ts'
import { hostPorts, podRequests } from './requests.ts'
import type { Amounts, HostPort } from './requests.ts'

export interface NodeState {
  readonly node: Node
  readonly name: string
  readonly allocatable: Amounts
  readonly pods: readonly Pod[]
  readonly used: Amounts
  readonly ports: readonly HostPort[]
}

export interface Snapshot {
  readonly nodes: readonly NodeState[]
  readonly namespaces: readonly Namespace[]
}

/** A pod that has ended holds nothing any more. */
export function isFinished(pod: Pod): boolean {
  return pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed'
}

/** `assigned` gives, by pod key, nodes of pods whose binding is under way and not yet in the cache. */
export function takeSnapshot(nodes: readonly Node[], pods: readonly Pod[], namespaces: readonly Namespace[], assigned: (pod: Pod) => string | undefined): Snapshot {
  const byNode = new Map<string, Pod[]>()
  for (const pod of pods) {
    const nodeName = pod.spec.nodeName ?? assigned(pod)
    if (nodeName === undefined || nodeName === '' || isFinished(pod)) continue
    byNode.set(nodeName, [...(byNode.get(nodeName) ?? []), pod])
  }
  return { namespaces, nodes: nodes.map((node) => nodeState(node, byNode.get(node.metadata.name ?? '') ?? [])) }
}

function nodeState(node: Node, pods: readonly Pod[]): NodeState {
  const used: Record<string, number> = {}
  for (const pod of pods) {
    for (const [name, amount] of Object.entries(podRequests(pod))) used[name] = (used[name] ?? 0) + amount
  }
  const quantities = node.status?.allocatable ?? node.status?.capacity ?? {}
  return {
    node, pods, used,
    name: node.metadata.name ?? '',
    allocatable: Object.fromEntries(Object.entries(quantities).map(([name, quantity]) => [name, parseQuantity(quantity)])),
    ports: pods.flatMap(hostPorts),
  }
}
