// What may change in a pod once it is there (pkg/apis/core/validation: ValidatePodUpdate): images, the deadline,
// tolerations that are added, a grace period that was negative, and gates that fall away.
import type { Container, NodeSelectorTerm, Pod, PodSpec, Toleration } from '../../../../api/types.ts'
import { cloneJson, equalJson } from '../../object.ts'
import type { FieldErrors } from './errors.ts'

const mayChange =
  'pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,' +
  '`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)'

export function validatePodUpdate({ spec }: Pod, { spec: old }: Pod, errors: FieldErrors): void {
  validateCounts(spec, old, errors)
  validateDeadline(spec, old, errors)
  const tolerated = new Set((spec.tolerations ?? []).map(tolerationOf))
  if ((old.tolerations ?? []).some((toleration) => !tolerated.has(tolerationOf(toleration)))) errors.forbidden('spec.tolerations', 'existing toleration can not be modified except its tolerationSeconds')
  const gates = new Set((old.schedulingGates ?? []).map(({ name }) => name))
  if ((spec.schedulingGates ?? []).some(({ name }) => !gates.has(name))) errors.forbidden('spec.schedulingGates', 'only deletion is allowed, but found new scheduling gates')
  const isGated = (old.schedulingGates ?? []).length > 0
  if (isGated) validateNarrowed(spec, old, errors)
  if (!equalJson(fixed(spec, spec, isGated), fixed(old, spec, isGated))) errors.forbidden('spec', mayChange)
}

/** A toleration, whose seconds may change, as a key. */
function tolerationOf({ key, operator, value, effect }: Toleration): string {
  return JSON.stringify([key, operator, value, effect])
}

function validateCounts(spec: PodSpec, old: PodSpec, errors: FieldErrors): void {
  for (const field of ['containers', 'initContainers'] as const) {
    if ((spec[field] ?? []).length !== (old[field] ?? []).length) errors.forbidden(`spec.${field}`, 'pod updates may not add or remove containers')
  }
}

function validateDeadline(spec: PodSpec, old: PodSpec, errors: FieldErrors): void {
  const { activeDeadlineSeconds: now } = spec
  const { activeDeadlineSeconds: before } = old
  if (before === undefined) return
  if (now === undefined) errors.invalid('spec.activeDeadlineSeconds', null, 'must not update from a positive integer to nil value')
  else if (now > before) errors.invalid('spec.activeDeadlineSeconds', now, 'must be less than or equal to previous value')
}

const onlyAdditions = 'only additions are allowed (no mutations or deletions)'

/** A pod that waits at a gate, or leaves it by this update, may be narrowed to fewer nodes. */
function validateNarrowed(spec: PodSpec, old: PodSpec, errors: FieldErrors): void {
  const kept = Object.entries(old.nodeSelector ?? {}).every(([key, value]) => spec.nodeSelector?.[key] === value)
  if (!kept) errors.invalid('spec.nodeSelector', spec.nodeSelector ?? {}, onlyAdditions)
  const at = 'spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms'
  const before = old.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms
  const now = spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms ?? []
  if (before === undefined) return
  if (before.length !== now.length) errors.invalid(at, now, 'no additions/deletions to non-empty NodeSelectorTerms list are allowed')
  else before.forEach((term, i) => now[i] === undefined || extendsTerm(now[i], term) || errors.invalid(`${at}[${i}]`, now[i], onlyAdditions))
}

function extendsTerm(term: NodeSelectorTerm, old: NodeSelectorTerm): boolean {
  const fields = ['matchExpressions', 'matchFields'] as const
  // A term without requirements matches nothing, and goes on to.
  if (fields.every((field) => (old[field] ?? []).length === 0)) return equalJson(term, old)
  return fields.every((field) => equalJson((term[field] ?? []).slice(0, (old[field] ?? []).length), old[field] ?? []))
}

/** What must stay as it was: the spec, with everything that may change taken from `from`. */
function fixed(spec: PodSpec, from: PodSpec, isGated: boolean): PodSpec {
  const kept = cloneJson(spec)
  for (const field of ['containers', 'initContainers'] as const) {
    kept[field]?.forEach((container: Container, i) => {
      const image = from[field]?.[i]?.image
      if (image !== undefined) container.image = image
    })
  }
  for (const field of ['activeDeadlineSeconds', 'tolerations', 'schedulingGates'] as const) delete kept[field]
  if ((spec.terminationGracePeriodSeconds ?? 0) < 0) kept.terminationGracePeriodSeconds = 1
  if (isGated) {
    delete kept.nodeSelector
    kept.affinity ??= {}
    delete kept.affinity.nodeAffinity
  }
  return kept
}
