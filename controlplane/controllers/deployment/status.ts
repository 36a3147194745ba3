/** The status of a deployment: counts, and the three conditions that `kubectl rollout status` reads. Pure. */
import type { Condition, Deployment, DeploymentStatus, ReplicaSet } from '../../../api/types.ts'
import { conditionOf, counts, withoutCondition } from '../status.ts'
import { timestamp } from '../timestamp.ts'
import { boundsOf, total } from './rolling.ts'

/** What a pass over the deployment knows beside the sets. */
export interface Pass {
  readonly newSet: ReplicaSet | undefined
  readonly oldSets: readonly ReplicaSet[]
  /** The newest set is made in this very pass. */
  readonly created: boolean
  /** In ms. */
  readonly now: number
}

const deadlineDefault = 600
/** `progressDeadlineSeconds` of this means that there is none. */
const noDeadline = 2 ** 31 - 1

export function deploymentStatus(deployment: Deployment, pass: Pass): DeploymentStatus {
  const { metadata, status } = deployment
  const all = [...pass.oldSets, ...(pass.newSet === undefined ? [] : [pass.newSet])]
  const sum = (field: 'replicas' | 'readyReplicas' | 'availableReplicas' | 'terminatingReplicas'): number => all.reduce((sum, set) => sum + (set.status?.[field] ?? 0), 0)
  const numbers = {
    replicas: sum('replicas'),
    updatedReplicas: pass.newSet?.status?.replicas ?? 0,
    readyReplicas: sum('readyReplicas'),
    availableReplicas: sum('availableReplicas'),
    unavailableReplicas: Math.max(0, total(all) - sum('availableReplicas')),
    terminatingReplicas: sum('terminatingReplicas'),
  }
  const bare: DeploymentStatus = {
    ...(metadata.generation === undefined ? {} : { observedGeneration: metadata.generation }),
    ...counts(numbers),
    ...(status?.collisionCount === undefined ? {} : { collisionCount: status.collisionCount }),
  }
  let conditions = withAvailability(status?.conditions ?? [], deployment, numbers.availableReplicas, pass.now)
  conditions = withFailure(conditions, all, pass)
  return { ...bare, conditions: withProgress(conditions, deployment, bare, pass) }
}

/** Whether every pod is of the newest set and available, and the newest spec was seen. */
export function isComplete({ metadata, spec }: Deployment, status: DeploymentStatus | undefined): boolean {
  const replicas = spec.replicas ?? 1
  const { updatedReplicas = 0, replicas: have = 0, availableReplicas = 0, observedGeneration = 0 } = status ?? {}
  return updatedReplicas === replicas && have === replicas && availableReplicas === replicas && observedGeneration >= (metadata.generation ?? 0)
}

/** When the deadline for progress passes, in ms from now; undefined: nothing is awaited. */
export function deadlineInMs(deployment: Deployment, status: DeploymentStatus, now: number): number | undefined {
  const progressing = conditionOf(status.conditions, 'Progressing')
  const { progressDeadlineSeconds: seconds = deadlineDefault, paused } = deployment.spec
  if (progressing === undefined || progressing.status === 'False' || paused === true || seconds === noDeadline || isComplete(deployment, status)) return undefined
  // One more second: times in conditions are whole seconds.
  return Math.max(0, Date.parse(progressing.lastUpdateTime ?? '') + seconds * 1000 - now) + 1000
}

/** A condition of the same status and reason stays as it is. */
function withUpdated(conditions: readonly Condition[], condition: Condition, now: number, refresh = false): Condition[] {
  const present = conditionOf(conditions, condition.type)
  if (present?.status === condition.status && present.reason === condition.reason && !refresh) return [...conditions]
  const time = timestamp(now)
  const lastTransitionTime = present?.status === condition.status ? (present.lastTransitionTime ?? time) : time
  return [...withoutCondition(conditions, condition.type), { ...condition, lastUpdateTime: time, lastTransitionTime }]
}

function withAvailability(conditions: readonly Condition[], deployment: Deployment, available: number, now: number): Condition[] {
  const condition: Condition = available >= boundsOf(deployment).least
    ? { type: 'Available', status: 'True', reason: 'MinimumReplicasAvailable', message: 'Deployment has minimum availability.' }
    : { type: 'Available', status: 'False', reason: 'MinimumReplicasUnavailable', message: 'Deployment does not have minimum availability.' }
  return withUpdated(conditions, condition, now)
}

/** What the newest set, or else any, could not do. */
function withFailure(conditions: readonly Condition[], sets: readonly ReplicaSet[], { newSet, now }: Pass): Condition[] {
  const failures = [newSet, ...sets].flatMap((set) => conditionOf(set?.status?.conditions, 'ReplicaFailure') ?? [])
  const [failure] = failures
  if (failure === undefined) return withoutCondition(conditions, 'ReplicaFailure')
  const { reason = '', message = '' } = failure
  return withUpdated(conditions, { type: 'ReplicaFailure', status: failure.status, reason, message }, now)
}

function withProgress(conditions: readonly Condition[], deployment: Deployment, status: DeploymentStatus, pass: Pass): Condition[] {
  const { spec, metadata } = deployment
  const { progressDeadlineSeconds: seconds = deadlineDefault } = spec
  const present = conditionOf(conditions, 'Progressing')
  const condition = (status: Condition['status'], reason: string, message: string): Condition => ({ type: 'Progressing', status, reason, message })
  if (spec.paused === true) {
    return present?.reason === 'ProgressDeadlineExceeded' ? [...conditions] : withUpdated(conditions, condition('Unknown', 'DeploymentPaused', 'Deployment is paused'), pass.now)
  }
  if (metadata.deletionTimestamp !== undefined || seconds === noDeadline) return [...conditions]
  const name = pass.newSet === undefined ? `Deployment "${metadata.name ?? ''}"` : `ReplicaSet "${pass.newSet.metadata.name ?? ''}"`
  if (pass.created) return withUpdated(conditions, condition('True', 'NewReplicaSetCreated', `Created new replica set "${pass.newSet?.metadata.name ?? ''}"`), pass.now)
  if (present?.reason === 'DeploymentPaused') return withUpdated(conditions, condition('Unknown', 'DeploymentResumed', 'Deployment is resumed'), pass.now)
  // Once through, replicas that come and go are no progress.
  if (present?.reason === 'NewReplicaSetAvailable' && (status.replicas ?? 0) === (status.updatedReplicas ?? 0)) return [...conditions]
  if (isComplete(deployment, status)) return withUpdated(conditions, condition('True', 'NewReplicaSetAvailable', `${name} has successfully progressed.`), pass.now)
  if (hasProgressed(deployment.status ?? {}, status)) return withUpdated(conditions, condition('True', 'ReplicaSetUpdated', `${name} is progressing.`), pass.now, true)
  if (present === undefined) {
    return pass.newSet === undefined ? [...conditions] : withUpdated(conditions, condition('True', 'FoundNewReplicaSet', `Found new replica set "${pass.newSet.metadata.name ?? ''}"`), pass.now)
  }
  const late = present.reason !== 'NewReplicaSetAvailable' && Date.parse(present.lastUpdateTime ?? '') + seconds * 1000 < pass.now
  return late ? withUpdated(conditions, condition('False', 'ProgressDeadlineExceeded', `${name} has timed out progressing.`), pass.now) : [...conditions]
}

function hasProgressed(before: DeploymentStatus, now: DeploymentStatus): boolean {
  const old = ({ replicas = 0, updatedReplicas = 0 }: DeploymentStatus): number => replicas - updatedReplicas
  return (now.updatedReplicas ?? 0) > (before.updatedReplicas ?? 0) || old(now) < old(before)
    || (now.readyReplicas ?? 0) > (before.readyReplicas ?? 0) || (now.availableReplicas ?? 0) > (before.availableReplicas ?? 0)
}
