/** One step of a rollout: which replica sets to make, resize, annotate and forget, and what the status says. Pure. */
import type { Deployment, DeploymentStatus, ReplicaSet } from '../../../api/types.ts'
import { equalJson } from '../canonical.ts'
import { boundsOf, byAge, newSetSize, scaleInProportion, shrinkOldSets } from './rolling.ts'
import type { Scaling } from './rolling.ts'
import { buildNewSet, desiredAnnotation, findNewSet, newSetAnnotations, revisionAnnotation, revisionOf, sizeAnnotations, sizeOf } from './replica-sets.ts'
import { deadlineInMs, deploymentStatus, isComplete } from './status.ts'

export type Operation =
  | { readonly kind: 'create'; readonly set: ReplicaSet }
  /** `set` is as it shall be; it had `from` replicas. */
  | { readonly kind: 'update'; readonly set: ReplicaSet; readonly from: number }
  | { readonly kind: 'delete'; readonly set: ReplicaSet }
  /** Writes the revision on the deployment itself. */
  | { readonly kind: 'annotate'; readonly revision: string }

export interface RolloutPlan {
  readonly operations: readonly Operation[]
  readonly status: DeploymentStatus
  /** When to look again though nothing changed. */
  readonly againAfterMs?: number
}

export interface Rollout {
  readonly deployment: Deployment
  /** All replica sets that are its own. */
  readonly sets: readonly ReplicaSet[]
  /** Whether pods of old sets still run: `Recreate` waits for them. */
  readonly oldPodsRun: boolean
  /** In ms. */
  readonly now: number
}

export function planRollout({ deployment, sets, oldPodsRun, now }: Rollout): RolloutPlan {
  const { spec, metadata } = deployment
  const aged = byAge(sets)
  const present = findNewSet(deployment, aged)
  const oldSets = aged.filter((set) => set !== present)
  if (metadata.deletionTimestamp !== undefined) return { operations: [], status: deploymentStatus(deployment, { newSet: present, oldSets, created: false, now }) }

  const holds = spec.paused === true || isScaled(deployment, sets)
  const scalings = holds ? scaleInProportion(deployment, present, oldSets) : rolloutStep(deployment, present, oldSets, oldPodsRun)
  const made = present === undefined && !holds && mayCreate(deployment, oldSets, oldPodsRun) ? makeNewSet(deployment, oldSets) : undefined
  const operations: Operation[] = made === undefined ? [] : [{ kind: 'create', set: made }]
  const wanted = aged.map((set) => wantedSet(deployment, set, { isNew: set === present, oldSets, to: scalings.find((scaling) => scaling.set === set)?.to, holds }))
  wanted.forEach((set, i) => {
    const have = aged[i]
    if (have !== undefined && !equalJson(set, have)) operations.push({ kind: 'update', set, from: sizeOf(have) })
  })
  const newest = made ?? wanted[aged.findIndex((set) => set === present)]
  const revision = newest?.metadata.annotations?.[revisionAnnotation]
  if (revision !== undefined && revision !== metadata.annotations?.[revisionAnnotation]) operations.push({ kind: 'annotate', revision })

  const status = deploymentStatus(deployment, { newSet: present ?? made, oldSets, created: made !== undefined, now })
  if (spec.paused === true || isComplete(deployment, status)) operations.push(...forgotten(deployment, oldSets))
  const againAfterMs = deadlineInMs(deployment, status, now)
  return { operations, status, ...(againAfterMs === undefined ? {} : { againAfterMs }) }
}

/** Whether the deployment's size was changed since its sets were last sized. */
function isScaled({ spec }: Deployment, sets: readonly ReplicaSet[]): boolean {
  return sets.some((set) => {
    const desired = set.metadata.annotations?.[desiredAnnotation]
    return sizeOf(set) > 0 && desired !== undefined && Number(desired) !== (spec.replicas ?? 1)
  })
}

function mayCreate({ spec }: Deployment, oldSets: readonly ReplicaSet[], oldPodsRun: boolean): boolean {
  return spec.strategy?.type !== 'Recreate' || (!oldPodsRun && oldSets.every((set) => sizeOf(set) === 0))
}

function makeNewSet(deployment: Deployment, oldSets: readonly ReplicaSet[]): ReplicaSet {
  const annotations = { ...newSetAnnotations(deployment, {}, oldSets), ...sizeAnnotations(deployment.spec.replicas ?? 1, boundsOf(deployment).most) }
  return buildNewSet(deployment, annotations, newSetSize(deployment, 0, oldSets))
}

/** The newest set grows as far as it may; when it cannot, the old ones give way. */
function rolloutStep(deployment: Deployment, newSet: ReplicaSet | undefined, oldSets: readonly ReplicaSet[], oldPodsRun: boolean): Scaling[] {
  if (deployment.spec.strategy?.type === 'Recreate') {
    const running = oldSets.filter((set) => sizeOf(set) > 0)
    if (running.length > 0) return running.map((set) => ({ set, to: 0 }))
    return oldPodsRun || newSet === undefined ? [] : [{ set: newSet, to: deployment.spec.replicas ?? 1 }]
  }
  if (newSet === undefined) return []
  const to = newSetSize(deployment, sizeOf(newSet), oldSets)
  return to === sizeOf(newSet) ? shrinkOldSets(deployment, newSet, oldSets) : [{ set: newSet, to }]
}

interface Sizing {
  readonly isNew: boolean
  readonly oldSets: readonly ReplicaSet[]
  readonly to: number | undefined
  readonly holds: boolean
}

function wantedSet(deployment: Deployment, set: ReplicaSet, { isNew, oldSets, to, holds }: Sizing): ReplicaSet {
  const { minReadySeconds, replicas = 1 } = deployment.spec
  const size = to ?? sizeOf(set)
  const isSized = to !== undefined || (isNew && !holds) || (holds && size > 0)
  const present = set.metadata.annotations ?? {}
  const annotations = {
    ...(isNew ? newSetAnnotations(deployment, present, oldSets) : present),
    ...(isSized ? sizeAnnotations(replicas, boundsOf(deployment).most) : {}),
  }
  const spec = { ...set.spec, replicas: size, ...(isNew && minReadySeconds !== undefined ? { minReadySeconds } : {}) }
  return { ...set, metadata: { ...set.metadata, annotations }, spec }
}

/** Old sets beyond the history limit, once nothing of them is left. */
function forgotten({ spec }: Deployment, oldSets: readonly ReplicaSet[]): Operation[] {
  const { revisionHistoryLimit = 10 } = spec
  const empty = oldSets.filter(({ metadata, spec, status }) => spec.replicas === 0 && (status?.replicas ?? 0) === 0
    && metadata.deletionTimestamp === undefined && (status?.observedGeneration ?? 0) >= (metadata.generation ?? 0))
  const surplus = Math.max(0, oldSets.filter(({ metadata }) => metadata.deletionTimestamp === undefined).length - revisionHistoryLimit)
  return [...empty].sort((a, b) => revisionOf(a) - revisionOf(b)).slice(0, surplus).map((set) => ({ kind: 'delete', set }))
}
