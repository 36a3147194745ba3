/** Pods that nobody will ever clean up. Pure. */
import type { Node, Pod } from '../../../api/types.ts'
import { conditionOf } from '../status.ts'
import { isFinished, isTerminating } from '../pod-state.ts'

export interface Waste {
  readonly pod: Pod
  /** For the pod's DisruptionTarget condition; undefined: it has ended anyway. */
  readonly message?: string
}

/** `gone`: names of nodes that are known not to exist. `finishedMax`: how many finished pods may stay. */
export function planWaste(pods: readonly Pod[], nodes: ReadonlyMap<string, Node>, { gone, finishedMax }: { readonly gone: ReadonlySet<string>; readonly finishedMax: number }): Waste[] {
  const waste: Waste[] = []
  for (const pod of pods) {
    const nodeName = pod.spec.nodeName ?? ''
    if (gone.has(nodeName)) waste.push({ pod, message: 'PodGC: node no longer exists' })
    else if (isTerminating(pod) && nodeName === '') waste.push({ pod })
    else if (isTerminating(pod) && isOutOfService(nodes.get(nodeName))) waste.push({ pod, message: 'PodGC: node is out of service' })
  }
  const finished = pods.filter((pod) => isFinished(pod) && !waste.some((other) => other.pod === pod))
  const surplus = Math.max(0, finished.length - finishedMax)
  const oldest = finished.sort((a, b) => (a.metadata.creationTimestamp ?? '').localeCompare(b.metadata.creationTimestamp ?? '')).slice(0, surplus)
  return [...waste, ...oldest.map((pod) => ({ pod }))]
}

/** Someone vouches that a node that does not answer is really off (KEP-2268). */
function isOutOfService(node: Node | undefined): boolean {
  const isDown = conditionOf(node?.status?.conditions, 'Ready')?.status !== 'True'
  return node !== undefined && isDown && (node.spec.taints ?? []).some(({ key }) => key === 'node.kubernetes.io/out-of-service')
}
