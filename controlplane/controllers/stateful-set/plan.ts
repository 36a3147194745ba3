/** Pods with names of their own, made in order and ended in reverse (stateful_set_control.go). Pure. */
import type { IntOrString, PersistentVolumeClaim, Pod, PodTemplateSpec, StatefulSet, Volume } from '../../../api/types.ts'
import { availableInMs, isFinished, isReady, isTerminating, nextAvailableMs } from '../pod-state.ts'
import { hashOf, revisionHashLabel } from '../revisions.ts'
import { counts } from '../status.ts'

export type StatefulStatus = NonNullable<StatefulSet['status']>

/** A template and the revision that it is, by name and by the hash that its pods carry. */
export interface Version {
  readonly name: string
  readonly hash: string
  readonly template: PodTemplateSpec
}

export interface StatefulView {
  readonly set: StatefulSet
  /** All pods of the set. */
  readonly pods: readonly Pod[]
  /** What pods below the partition are made of. */
  readonly current: Version
  readonly update: Version
  /** In ms. */
  readonly now: number
}

export interface StatefulPlan {
  readonly create: readonly { readonly ordinal: number; readonly version: Version }[]
  readonly delete: readonly Pod[]
  readonly againAfterMs?: number
}

function ordinalOf({ metadata }: Pod): number {
  return Number(/-(\d+)$/.exec(metadata.name ?? '')?.[1] ?? -1)
}

function startOf({ spec }: StatefulSet): number {
  return spec.ordinals?.start ?? 0
}

function partitionOf({ spec }: StatefulSet): number {
  return spec.updateStrategy?.type === 'OnDelete' ? 0 : (spec.updateStrategy?.rollingUpdate?.partition ?? 0)
}

interface Places {
  /** One per wanted ordinal, in order. */
  readonly wanted: readonly { readonly ordinal: number; readonly pod: Pod | undefined }[]
  /** The highest first. */
  readonly condemned: readonly Pod[]
}

function placesOf({ set, pods }: StatefulView): Places {
  const start = startOf(set)
  const end = start + (set.spec.replicas ?? 1)
  const byOrdinal = new Map(pods.map((pod) => [ordinalOf(pod), pod]))
  const wanted = Array.from({ length: end - start }, (_, i) => ({ ordinal: start + i, pod: byOrdinal.get(start + i) }))
  const condemned = pods.filter((pod) => ordinalOf(pod) < start || ordinalOf(pod) >= end).sort((a, b) => ordinalOf(b) - ordinalOf(a))
  return { wanted, condemned }
}

export function planStateful(view: StatefulView): StatefulPlan {
  const { set, now } = view
  const again = nextAvailableMs(view.pods, set.spec.minReadySeconds ?? 0, now)
  const later = again === undefined ? {} : { againAfterMs: again }
  const places = placesOf(view)
  const step = planPlaces(view, places)
  if (step.create.length + step.delete.length > 0 || step.waits) return { create: step.create, delete: step.delete, ...later }
  return { create: [], delete: set.spec.updateStrategy?.type === 'OnDelete' ? [] : planUpdate(view, places), ...later }
}

/** Fills empty places, from the lowest; then removes what is beyond, from the highest. In order, one waits for the one before it. */
function planPlaces(view: StatefulView, { wanted, condemned }: Places): { create: StatefulPlan['create'][number][]; delete: Pod[]; waits: boolean } {
  const { set, now } = view
  const inOrder = set.spec.podManagementPolicy !== 'Parallel'
  const isAvailable = (pod: Pod): boolean => availableInMs(pod, set.spec.minReadySeconds ?? 0, now) === 0
  const step = { create: [] as StatefulPlan['create'][number][], delete: [] as Pod[], waits: false }
  for (const { ordinal, pod } of wanted) {
    if (pod === undefined) step.create.push({ ordinal, version: versionFor(view, ordinal) })
    else if (isTerminating(pod)) step.waits = true
    // Its name can only be taken by another when it is gone.
    else if (isFinished(pod)) step.delete.push(pod)
    else if (isAvailable(pod) || !inOrder) continue
    else step.waits = true
    if (inOrder) return step
  }
  const living = wanted.flatMap(({ pod }) => pod ?? [])
  const unhealthy = [...living, ...condemned].filter((pod) => !isReady(pod) || isTerminating(pod)).sort((a, b) => ordinalOf(a) - ordinalOf(b))[0]
  for (const pod of condemned) {
    if (isTerminating(pod)) {
      step.waits = true
      if (inOrder) return step
      continue
    }
    // Nothing healthy is taken away while something below it is not; that which is may go itself.
    if (inOrder && unhealthy !== undefined && unhealthy !== pod && !isReady(pod)) return { ...step, waits: true }
    step.delete.push(pod)
    if (inOrder) return step
  }
  return step
}

function versionFor({ set, current, update }: StatefulView, ordinal: number): Version {
  return ordinal < startOf(set) + partitionOf(set) ? current : update
}

function resolve(value: IntOrString, total: number): number {
  return typeof value === 'number' ? value : value.endsWith('%') ? Math.floor((Number(value.slice(0, -1)) * total) / 100) : Number(value)
}

/** Replaces pods of another template from the highest ordinal down to the partition, as many at a time as may be missing. */
function planUpdate({ set, update, now }: StatefulView, { wanted }: Places): Pod[] {
  const { maxUnavailable = 1 } = set.spec.updateStrategy?.rollingUpdate ?? {}
  const first = startOf(set) + partitionOf(set)
  const isUp = (pod: Pod): boolean => !isTerminating(pod) && availableInMs(pod, set.spec.minReadySeconds ?? 0, now) === 0
  let spare = Math.max(1, resolve(maxUnavailable, wanted.length)) - wanted.filter(({ pod }) => pod === undefined || !isUp(pod)).length
  const replaced: Pod[] = []
  for (const { ordinal, pod } of wanted.toReversed()) {
    if (ordinal < first || pod === undefined) continue
    const isOld = hashOf(pod) !== update.hash
    // One that does not work already is not missed.
    if (isOld && !isTerminating(pod) && !isUp(pod)) replaced.push(pod)
    else if (isOld && !isTerminating(pod) && spare > 0) {
      replaced.push(pod)
      spare -= 1
    }
    if (replaced.length > 0 && spare <= 0) break
  }
  return replaced
}

/** The pod of an ordinal: its name is its hostname, and its claims are its own. */
export function statefulPod({ metadata: { name: setName = '' }, spec }: StatefulSet, pod: Pod, { ordinal, version }: StatefulPlan['create'][number]): Pod {
  const name = `${setName}-${ordinal}`
  const claims: Volume[] = (spec.volumeClaimTemplates ?? []).map(({ metadata }) => ({ name: metadata.name ?? '', persistentVolumeClaim: { claimName: `${metadata.name ?? ''}-${name}` } }))
  const { generateName: _, ...metadata } = pod.metadata
  const others = (pod.spec.volumes ?? []).filter((volume) => !claims.some((claim) => claim.name === volume.name))
  return {
    ...pod,
    metadata: { ...metadata, name, labels: { ...metadata.labels, 'statefulset.kubernetes.io/pod-name': name, 'apps.kubernetes.io/pod-index': String(ordinal), [revisionHashLabel]: version.hash } },
    spec: {
      ...pod.spec, hostname: name, ...(spec.serviceName === undefined || spec.serviceName === '' ? {} : { subdomain: spec.serviceName }),
      ...(claims.length + others.length === 0 ? {} : { volumes: [...others, ...claims] }),
    },
  }
}

export function claimsOf(set: StatefulSet, ordinal: number): PersistentVolumeClaim[] {
  const { namespace, name = '' } = set.metadata
  return (set.spec.volumeClaimTemplates ?? []).map(({ metadata, spec }) => ({
    apiVersion: 'v1', kind: 'PersistentVolumeClaim',
    metadata: { name: `${metadata.name ?? ''}-${name}-${ordinal}`, ...(namespace === undefined ? {} : { namespace }), labels: { ...metadata.labels, ...set.spec.selector.matchLabels } },
    ...(spec === undefined ? {} : { spec }),
  }))
}

export function statefulStatus(view: StatefulView): StatefulStatus {
  const { set, pods, current, update, now } = view
  const replicas = set.spec.replicas ?? 1
  const living = pods.filter((pod) => !isFinished(pod))
  const of = (version: Version): number => living.filter((pod) => !isTerminating(pod) && hashOf(pod) === version.hash).length
  const ready = living.filter(isReady).length
  const updated = of(update)
  // When all are of the new template and ready, it is the current one.
  const isRolled = set.spec.updateStrategy?.type !== 'OnDelete' && updated === replicas && living.length === replicas && ready === replicas
  const shown = isRolled ? update : current
  return {
    replicas: living.length, availableReplicas: living.filter((pod) => availableInMs(pod, set.spec.minReadySeconds ?? 0, now) === 0).length,
    ...counts({ readyReplicas: ready, currentReplicas: of(shown), updatedReplicas: updated }),
    currentRevision: shown.name, updateRevision: update.name, collisionCount: set.status?.collisionCount ?? 0,
    ...(set.metadata.generation === undefined ? {} : { observedGeneration: set.metadata.generation }),
  }
}
