/** The arithmetic of a rollout: how far each replica set may go up or down now (deployment/rolling.go, sync.go). Pure. */
import type { Deployment, IntOrString, ReplicaSet } from '../../../api/types.ts'
import { desiredAnnotation, maxAnnotation, sizeOf } from './replica-sets.ts'

/** By how many a set is to change. */
export interface Scaling {
  readonly set: ReplicaSet
  readonly to: number
}

/** A number, or a percentage of `total`. */
function resolve(value: IntOrString, total: number, round: (n: number) => number): number {
  if (typeof value === 'number') return value
  return value.endsWith('%') ? round((Number(value.slice(0, -1)) * total) / 100) : Number(value)
}

export interface Bounds {
  /** Pods of all sets together, at most. */
  readonly most: number
  /** Available pods, at least. */
  readonly least: number
}

export function boundsOf({ spec }: Deployment): Bounds {
  const replicas = spec.replicas ?? 1
  if (spec.strategy?.type === 'Recreate') return { most: replicas, least: replicas }
  const { maxSurge = '25%', maxUnavailable = '25%' } = spec.strategy?.rollingUpdate ?? {}
  const surge = resolve(maxSurge, replicas, Math.ceil)
  const unavailable = resolve(maxUnavailable, replicas, Math.floor)
  // Both may round to nothing; then one pod may go first, or nothing would ever move.
  return { most: replicas + surge, least: Math.max(0, replicas - (surge === 0 && unavailable === 0 ? 1 : unavailable)) }
}

export function total(sets: readonly ReplicaSet[]): number {
  return sets.reduce((sum, set) => sum + sizeOf(set), 0)
}

function available(sets: readonly ReplicaSet[]): number {
  return sets.reduce((sum, { status }) => sum + (status?.availableReplicas ?? 0), 0)
}

/** How large the newest set may be now. `have` is its present size. */
export function newSetSize(deployment: Deployment, have: number, oldSets: readonly ReplicaSet[]): number {
  const replicas = deployment.spec.replicas ?? 1
  if (have >= replicas || deployment.spec.strategy?.type === 'Recreate') return replicas
  const room = boundsOf(deployment).most - (total(oldSets) + have)
  return room <= 0 ? have : have + Math.min(room, replicas - have)
}

/** What old sets give up now: first pods that are not available anyway, then as many as the rest can be spared. */
export function shrinkOldSets(deployment: Deployment, newSet: ReplicaSet, oldSets: readonly ReplicaSet[]): Scaling[] {
  const { least } = boundsOf(deployment)
  const all = [...oldSets, newSet]
  const newUnavailable = Math.max(0, sizeOf(newSet) - (newSet.status?.availableReplicas ?? 0))
  let spare = total(all) - least - newUnavailable
  if (total(oldSets) === 0 || spare <= 0) return []
  const sizes = new Map(oldSets.map((set) => [set, sizeOf(set)]))
  const shrink = (set: ReplicaSet, by: number): void => void sizes.set(set, (sizes.get(set) ?? 0) - by)
  for (const set of byAge(oldSets)) {
    const unhealthy = Math.min(spare, sizeOf(set) - (set.status?.availableReplicas ?? 0))
    if (unhealthy <= 0) continue
    shrink(set, unhealthy)
    spare -= unhealthy
  }
  let dispensable = available(all) - least
  for (const set of byAge(oldSets)) {
    const less = Math.min(dispensable, sizes.get(set) ?? 0)
    if (less <= 0) continue
    shrink(set, less)
    dispensable -= less
  }
  return [...sizes].flatMap(([set, to]) => (to === sizeOf(set) ? [] : [{ set, to }]))
}

export function byAge(sets: readonly ReplicaSet[]): ReplicaSet[] {
  return [...sets].sort((a, b) => (a.metadata.creationTimestamp ?? '').localeCompare(b.metadata.creationTimestamp ?? '') || (a.metadata.name ?? '').localeCompare(b.metadata.name ?? ''))
}

/** What scaling the deployment itself does to its sets: in the middle of a rollout, all of them in proportion. */
export function scaleInProportion(deployment: Deployment, newSet: ReplicaSet | undefined, oldSets: readonly ReplicaSet[]): Scaling[] {
  const replicas = deployment.spec.replicas ?? 1
  const active = [...(newSet === undefined ? [] : [newSet]), ...oldSets].filter((set) => sizeOf(set) > 0)
  const only = active.length === 0 ? newSet ?? byAge(oldSets).at(-1) : active.length === 1 ? active[0] : undefined
  if (only !== undefined) return sizeOf(only) === replicas ? [] : [{ set: only, to: replicas }]
  if (newSet !== undefined && isSaturated(deployment, newSet)) return active.filter((set) => set !== newSet).map((set) => ({ set, to: 0 }))
  if (active.length === 0 || deployment.spec.strategy?.type === 'Recreate') return []
  const { most } = boundsOf(deployment)
  const change = (replicas > 0 ? most : 0) - total(active)
  // The largest first; of equal ones, growth goes to the newest and shrinking begins with the oldest.
  const aged = byAge(active)
  const ordered = (change > 0 ? aged.toReversed() : aged).sort((a, b) => sizeOf(b) - sizeOf(a))
  let changed = 0
  const sizes = ordered.map((set) => {
    const share = change === 0 ? 0 : clampTowards(proportion(deployment, set, most), change - changed)
    changed += share
    return { set, to: sizeOf(set) + share }
  })
  const [first, ...others] = sizes
  return first === undefined ? [] : [{ set: first.set, to: Math.max(0, first.to + change - changed) }, ...others]
}

function proportion({ spec, status }: Deployment, set: ReplicaSet, most: number): number {
  if ((spec.replicas ?? 1) === 0) return -sizeOf(set)
  const before = Number(set.metadata.annotations?.[maxAnnotation] ?? status?.replicas ?? 0)
  return before === 0 ? 0 : Math.round((sizeOf(set) * most) / before) - sizeOf(set)
}

function clampTowards(share: number, allowed: number): number {
  return allowed > 0 ? Math.min(share, allowed) : Math.max(share, allowed)
}

function isSaturated({ spec }: Deployment, set: ReplicaSet): boolean {
  const replicas = spec.replicas ?? 1
  return sizeOf(set) === replicas && Number(set.metadata.annotations?.[desiredAnnotation]) === replicas && set.status?.availableReplicas === replicas
}
