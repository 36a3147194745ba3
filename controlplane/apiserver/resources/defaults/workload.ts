// Defaults of the groups apps and batch, and of replication controllers (pkg/apis/apps/v1/defaults.go and the like).
import type { CronJob, DaemonSet, Deployment, Job, ReplicaSet, ReplicationController, StatefulSet } from '../../../../api/types.ts'
import { isRecord } from '../../object.ts'
import { defaultTemplate } from './pod-spec.ts'

/** An empty spec in place of none: what Go has where a spec is no pointer. */
function specOf<T extends { spec: object }>(object: T): T['spec'] {
  return (object.spec ??= {})
}

export function defaultDeployment(deployment: Deployment): void {
  const spec = specOf(deployment)
  spec.replicas ??= 1
  spec.revisionHistoryLimit ??= 10
  spec.progressDeadlineSeconds ??= 600
  const strategy = (spec.strategy ??= {})
  strategy.type ??= 'RollingUpdate'
  if (strategy.type === 'RollingUpdate') strategy.rollingUpdate = { maxUnavailable: '25%', maxSurge: '25%', ...strategy.rollingUpdate }
  defaultTemplate(spec)
}

export function defaultReplicaSet(set: ReplicaSet): void {
  const spec = specOf(set)
  spec.replicas ??= 1
  defaultTemplate(spec)
}

export function defaultReplicationController(controller: ReplicationController): void {
  const spec = specOf(controller)
  spec.replicas ??= 1
  const { metadata } = defaultTemplate(spec)
  const labels = metadata?.labels ?? {}
  if (Object.keys(labels).length === 0) return
  if (Object.keys(spec.selector ?? {}).length === 0) spec.selector = { ...labels }
  if (Object.keys(controller.metadata.labels ?? {}).length === 0) controller.metadata.labels = { ...labels }
}

export function defaultDaemonSet(set: DaemonSet): void {
  const spec = specOf(set)
  spec.revisionHistoryLimit ??= 10
  const strategy = (spec.updateStrategy ??= {})
  strategy.type ??= 'RollingUpdate'
  if (strategy.type === 'RollingUpdate') strategy.rollingUpdate = { maxUnavailable: 1, maxSurge: 0, ...strategy.rollingUpdate }
  defaultTemplate(spec)
}

export function defaultStatefulSet(set: StatefulSet): void {
  const spec = specOf(set)
  spec.replicas ??= 1
  spec.revisionHistoryLimit ??= 10
  spec.podManagementPolicy ??= 'OrderedReady'
  const strategy = (spec.updateStrategy ??= {})
  strategy.type ??= 'RollingUpdate'
  if (strategy.type === 'RollingUpdate') strategy.rollingUpdate = { partition: 0, ...strategy.rollingUpdate }
  spec.persistentVolumeClaimRetentionPolicy = { whenDeleted: 'Retain', whenScaled: 'Retain', ...spec.persistentVolumeClaimRetentionPolicy }
  for (const claim of spec.volumeClaimTemplates ?? []) {
    if (isRecord(claim)) defaultClaim(claim)
  }
  defaultTemplate(spec)
}

/** A persistent volume claim, or the template of one. */
export function defaultClaim(claim: Record<string, unknown>): void {
  const spec = (claim['spec'] ??= {}) as Record<string, unknown>
  spec['volumeMode'] ??= 'Filesystem'
  const status = (claim['status'] ??= {}) as Record<string, unknown>
  status['phase'] ??= 'Pending'
}

export function defaultJob(job: Job): void {
  const spec = specOf(job)
  // Neither given: one pod that has to succeed. Only one given: as many at a time, or one at a time.
  if (spec.completions === undefined && spec.parallelism === undefined) spec.completions = 1
  spec.parallelism ??= 1
  spec.backoffLimit ??= spec.backoffLimitPerIndex === undefined ? 6 : 2 ** 31 - 1
  spec.completionMode ??= 'NonIndexed'
  spec.suspend ??= false
  spec.manualSelector ??= false
  spec.podReplacementPolicy ??= spec.podFailurePolicy === undefined ? 'TerminatingOrFailed' : 'Failed'
  const { metadata } = defaultTemplate(spec)
  if (metadata?.labels !== undefined && Object.keys(job.metadata.labels ?? {}).length === 0) job.metadata.labels = { ...metadata.labels }
}

export function defaultCronJob(job: CronJob): void {
  const spec = specOf(job)
  spec.concurrencyPolicy ??= 'Allow'
  spec.suspend ??= false
  spec.successfulJobsHistoryLimit ??= 3
  spec.failedJobsHistoryLimit ??= 1
  const template = (spec.jobTemplate ??= { spec: { template: { spec: { containers: [] } } } })
  defaultTemplate((template.spec ??= { template: { spec: { containers: [] } } }))
}
