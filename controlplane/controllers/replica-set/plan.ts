/** How many pods to make, and which to delete; and what the status says. Pure. */
import { matchesLabels } from '../../../api/selectors.ts'
import type { Condition, Pod, ReplicaSet, ReplicaSetStatus } from '../../../api/types.ts'
import { conditionOf, counts, withCondition, withoutCondition } from '../status.ts'
import { timestamp } from '../timestamp.ts'
import { availableInMs, isActive, isReady, isTerminating, readySince } from '../pod-state.ts'

/** No more pods than this are made or deleted in one pass (replica_set.go BurstReplicas). */
const burstMax = 500

export interface ReplicaPlan {
  readonly create: number
  readonly delete: readonly Pod[]
}

/** `related`: the active pods of all replica sets of the same owner, to delete where they crowd. */
export function planReplicas({ spec }: ReplicaSet, pods: readonly Pod[], related: readonly Pod[] = pods): ReplicaPlan {
  const active = pods.filter(isActive)
  const missing = (spec.replicas ?? 1) - active.length
  if (missing >= 0) return { create: Math.min(missing, burstMax), delete: [] }
  return { create: 0, delete: inDeletionOrder(active, related).slice(0, Math.min(-missing, burstMax)) }
}

const phaseOrder: Readonly<Record<string, number>> = { Pending: 0, Unknown: 1, Running: 2 }

/** The pods to be missed least first (controller_utils.go ActivePodsWithRanks). */
export function inDeletionOrder(pods: readonly Pod[], related: readonly Pod[]): Pod[] {
  const onNode = new Map<string, number>()
  for (const { spec } of related) if (spec.nodeName !== undefined) onNode.set(spec.nodeName, (onNode.get(spec.nodeName) ?? 0) + 1)
  const crowd = ({ spec }: Pod): number => onNode.get(spec.nodeName ?? '') ?? 0
  const byTurn: readonly ((a: Pod, b: Pod) => number)[] = [
    (a, b) => Number((a.spec.nodeName ?? '') !== '') - Number((b.spec.nodeName ?? '') !== ''),
    (a, b) => (phaseOrder[a.status?.phase ?? 'Pending'] ?? 0) - (phaseOrder[b.status?.phase ?? 'Pending'] ?? 0),
    (a, b) => Number(isReady(a)) - Number(isReady(b)),
    (a, b) => deletionCost(a) - deletionCost(b),
    (a, b) => crowd(b) - crowd(a),
    (a, b) => (readySince(b) ?? 0) - (readySince(a) ?? 0),
    (a, b) => restarts(b) - restarts(a),
    (a, b) => (b.metadata.creationTimestamp ?? '').localeCompare(a.metadata.creationTimestamp ?? ''),
  ]
  return [...pods].sort((a, b) => {
    for (const compare of byTurn) {
      const order = compare(a, b)
      if (order !== 0) return order
    }
    return 0
  })
}

function deletionCost({ metadata }: Pod): number {
  const cost = Number(metadata.annotations?.['controller.kubernetes.io/pod-deletion-cost'] ?? 0)
  return Number.isNaN(cost) ? 0 : cost
}

function restarts({ status }: Pod): number {
  return Math.max(0, ...(status?.containerStatuses ?? []).map(({ restartCount }) => restartCount))
}

export interface Failure {
  readonly reason: 'FailedCreate' | 'FailedDelete'
  readonly message: string
}

/** `now` in ms; `failure` is what went wrong in this pass. */
export function replicaSetStatus({ metadata, spec, status }: ReplicaSet, pods: readonly Pod[], now: number, failure?: Failure): ReplicaSetStatus {
  const active = pods.filter(isActive)
  const labels = spec.template.metadata?.labels ?? {}
  const conditions = failureCondition(status?.conditions ?? [], now, failure)
  return {
    replicas: active.length,
    ...counts({
      fullyLabeledReplicas: active.filter((pod) => matchesLabels(labels, pod.metadata.labels)).length,
      readyReplicas: active.filter(isReady).length,
      availableReplicas: active.filter((pod) => availableInMs(pod, spec.minReadySeconds ?? 0, now) === 0).length,
      terminatingReplicas: pods.filter(isTerminating).length,
    }),
    ...(metadata.generation === undefined ? {} : { observedGeneration: metadata.generation }),
    ...(conditions.length === 0 ? {} : { conditions }),
  }
}

function failureCondition(conditions: readonly Condition[], now: number, failure: Failure | undefined): Condition[] {
  if (failure === undefined) return withoutCondition(conditions, 'ReplicaFailure')
  if (conditionOf(conditions, 'ReplicaFailure') !== undefined) return [...conditions]
  return withCondition(conditions, { type: 'ReplicaFailure', status: 'True', ...failure }, timestamp(now))
}
