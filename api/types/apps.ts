/** Groups apps and batch, as far as Fairway's parts read or write them. */
import type { ObjectReference, PersistentVolumeClaim, PodTemplateSpec } from './core.ts'
import type { Condition, IntOrString, KubeObject, LabelSelector } from './meta.ts'

export interface DeploymentSpec {
  replicas?: number
  selector: LabelSelector
  template: PodTemplateSpec
  strategy?: { type?: 'RollingUpdate' | 'Recreate'; rollingUpdate?: { maxSurge?: IntOrString; maxUnavailable?: IntOrString } }
  minReadySeconds?: number
  revisionHistoryLimit?: number
  progressDeadlineSeconds?: number
  paused?: boolean
}

export interface DeploymentStatus {
  observedGeneration?: number
  replicas?: number
  updatedReplicas?: number
  readyReplicas?: number
  availableReplicas?: number
  unavailableReplicas?: number
  terminatingReplicas?: number
  collisionCount?: number
  conditions?: Condition[]
}

export interface Deployment extends KubeObject {
  spec: DeploymentSpec
  status?: DeploymentStatus
}

export interface ReplicaSetSpec {
  replicas?: number
  minReadySeconds?: number
  selector: LabelSelector
  template: PodTemplateSpec
}

export interface ReplicaSetStatus {
  replicas?: number
  fullyLabeledReplicas?: number
  readyReplicas?: number
  availableReplicas?: number
  terminatingReplicas?: number
  observedGeneration?: number
  conditions?: Condition[]
}

export interface ReplicaSet extends KubeObject {
  spec: ReplicaSetSpec
  status?: ReplicaSetStatus
}

export interface DaemonSetSpec {
  selector: LabelSelector
  template: PodTemplateSpec
  updateStrategy?: { type?: 'RollingUpdate' | 'OnDelete'; rollingUpdate?: { maxSurge?: IntOrString; maxUnavailable?: IntOrString } }
  minReadySeconds?: number
  revisionHistoryLimit?: number
}

export interface DaemonSetStatus {
  currentNumberScheduled?: number
  numberMisscheduled?: number
  desiredNumberScheduled?: number
  numberReady?: number
  updatedNumberScheduled?: number
  numberAvailable?: number
  numberUnavailable?: number
  observedGeneration?: number
  collisionCount?: number
  conditions?: Condition[]
}

export interface DaemonSet extends KubeObject {
  spec: DaemonSetSpec
  status?: DaemonSetStatus
}

export interface StatefulSet extends KubeObject {
  spec: {
    replicas?: number
    selector: LabelSelector
    template: PodTemplateSpec
    serviceName?: string
    podManagementPolicy?: 'OrderedReady' | 'Parallel'
    updateStrategy?: { type?: 'RollingUpdate' | 'OnDelete'; rollingUpdate?: { partition?: number; maxUnavailable?: IntOrString } }
    minReadySeconds?: number
    revisionHistoryLimit?: number
    /** The number of the first pod; default 0. */
    ordinals?: { start?: number }
    persistentVolumeClaimRetentionPolicy?: { whenDeleted?: 'Retain' | 'Delete'; whenScaled?: 'Retain' | 'Delete' }
    volumeClaimTemplates?: PersistentVolumeClaim[]
  }
  status?: {
    observedGeneration?: number
    replicas?: number
    readyReplicas?: number
    currentReplicas?: number
    updatedReplicas?: number
    availableReplicas?: number
    currentRevision?: string
    updateRevision?: string
    collisionCount?: number
    conditions?: Condition[]
  }
}

export interface ControllerRevision extends KubeObject {
  data?: unknown
  revision: number
}

export interface PodFailureRule {
  action: 'Count' | 'FailIndex' | 'FailJob' | 'Ignore'
  onExitCodes?: { containerName?: string; operator: 'In' | 'NotIn'; values?: number[] }
  onPodConditions?: { type: string; status?: string }[]
}

export interface JobSpec {
  parallelism?: number
  completions?: number
  activeDeadlineSeconds?: number
  backoffLimit?: number
  backoffLimitPerIndex?: number
  maxFailedIndexes?: number
  podFailurePolicy?: { rules?: PodFailureRule[] }
  successPolicy?: unknown
  managedBy?: string
  selector?: LabelSelector
  manualSelector?: boolean
  template: PodTemplateSpec
  ttlSecondsAfterFinished?: number
  completionMode?: 'NonIndexed' | 'Indexed'
  suspend?: boolean
  podReplacementPolicy?: string
}

export interface Job extends KubeObject {
  spec: JobSpec
  status?: {
    conditions?: Condition[]
    startTime?: string
    completionTime?: string
    active?: number
    succeeded?: number
    failed?: number
    ready?: number
    terminating?: number
    /** Of an indexed job: `0-2,5`. */
    completedIndexes?: string
    uncountedTerminatedPods?: { succeeded?: string[]; failed?: string[] }
  }
}

export interface CronJob extends KubeObject {
  spec: {
    schedule: string
    timeZone?: string
    startingDeadlineSeconds?: number
    concurrencyPolicy?: 'Allow' | 'Forbid' | 'Replace'
    suspend?: boolean
    jobTemplate: { metadata?: KubeObject['metadata']; spec: JobSpec }
    successfulJobsHistoryLimit?: number
    failedJobsHistoryLimit?: number
  }
  status?: { active?: ObjectReference[]; lastScheduleTime?: string; lastSuccessfulTime?: string }
}
