// Group apps and replication controllers (pkg/apis/apps/validation).
import { matchesLabelSelector } from '../../../../api/selectors.ts'
import type { DaemonSet, Deployment, IntOrString, LabelSelector, PodTemplateSpec, ReplicaSet, ReplicationController, StatefulSet } from '../../../../api/types.ts'
import { equalJson } from '../../object.ts'
import type { FieldErrors } from './errors.ts'
import { dnsSubdomain } from './formats.ts'
import { validateTemplate } from './pod-spec.ts'
import { isEmptySelector, validateLabelSelector } from './selectors.ts'

type Selecting = { selector?: LabelSelector; template: PodTemplateSpec; replicas?: number; minReadySeconds?: number; revisionHistoryLimit?: number }

/** Selector, template and counts: the same for everything that keeps pods running. */
function validateSelecting(spec: Selecting, what: string, errors: FieldErrors): void {
  for (const field of ['replicas', 'minReadySeconds', 'revisionHistoryLimit'] as const) errors.nonNegative(`spec.${field}`, spec[field])
  const { selector, template } = spec
  if (selector === undefined) errors.required('spec.selector')
  else {
    validateLabelSelector(selector, 'spec.selector', errors)
    if (isEmptySelector(selector)) errors.invalid('spec.selector', selector, `empty selector is invalid for ${what}`)
    else if (!matchesLabelSelector(selector, template.metadata?.labels)) {
      errors.invalid('spec.template.metadata.labels', template.metadata?.labels ?? {}, '`selector` does not match template `labels`')
    }
  }
  validateTemplate(template, 'spec.template', errors)
  const { restartPolicy = '', activeDeadlineSeconds } = template.spec
  if (restartPolicy !== 'Always') errors.unsupported('spec.template.spec.restartPolicy', restartPolicy, ['Always'])
  if (activeDeadlineSeconds !== undefined) errors.forbidden('spec.template.spec.activeDeadlineSeconds', `activeDeadlineSeconds in ${what === 'deployment' ? 'ReplicaSet' : what} is not Supported`)
}

export function validateDeployment({ spec }: Deployment, errors: FieldErrors): void {
  validateSelecting(spec, 'deployment', errors)
  const { strategy = {}, progressDeadlineSeconds, minReadySeconds = 0 } = spec
  errors.oneOf('spec.strategy.type', strategy.type, ['Recreate', 'RollingUpdate'])
  if (strategy.type === 'Recreate' && strategy.rollingUpdate !== undefined) errors.forbidden('spec.strategy.rollingUpdate', "may not be specified when strategy `type` is 'Recreate'")
  if (strategy.type === 'RollingUpdate') validateRollingUpdate(strategy.rollingUpdate ?? {}, 'spec.strategy.rollingUpdate', errors)
  errors.nonNegative('spec.progressDeadlineSeconds', progressDeadlineSeconds)
  if (progressDeadlineSeconds !== undefined && progressDeadlineSeconds <= minReadySeconds) errors.invalid('spec.progressDeadlineSeconds', progressDeadlineSeconds, 'must be greater than minReadySeconds')
}

function validateRollingUpdate({ maxSurge = 0, maxUnavailable = 0 }: { maxSurge?: IntOrString; maxUnavailable?: IntOrString }, path: string, errors: FieldErrors): void {
  validateCountOrPercent(maxUnavailable, `${path}.maxUnavailable`, errors)
  validateCountOrPercent(maxSurge, `${path}.maxSurge`, errors)
  if (isZero(maxUnavailable) && isZero(maxSurge)) errors.invalid(`${path}.maxUnavailable`, maxUnavailable, 'may not be 0 when `maxSurge` is 0')
  if (typeof maxUnavailable === 'string' && Number.parseInt(maxUnavailable, 10) > 100) errors.invalid(`${path}.maxUnavailable`, maxUnavailable, 'must not be greater than 100%')
}

function isZero(value: IntOrString): boolean {
  return value === 0 || value === '0%'
}

function validateCountOrPercent(value: IntOrString, path: string, errors: FieldErrors): void {
  if (typeof value === 'number') errors.nonNegative(path, value)
  else if (!/^[0-9]+%$/.test(value)) errors.invalid(path, value, `a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')`)
}

export function validateReplicaSet({ spec }: ReplicaSet, errors: FieldErrors): void {
  validateSelecting(spec, 'ReplicaSet', errors)
}

export function validateReplicationController({ spec }: ReplicationController, errors: FieldErrors): void {
  errors.nonNegative('spec.replicas', spec.replicas)
  if (spec.template === undefined) errors.required('spec.template')
  else validateTemplate(spec.template, 'spec.template', errors)
  if (Object.keys(spec.selector ?? {}).length === 0) errors.required('spec.selector')
  else if (!matchesLabelSelector({ matchLabels: spec.selector ?? {} }, spec.template?.metadata?.labels)) {
    errors.invalid('spec.template.metadata.labels', spec.template?.metadata?.labels ?? {}, '`selector` does not match template `labels`')
  }
}

export function validateDaemonSet({ spec }: DaemonSet, errors: FieldErrors): void {
  validateSelecting(spec, 'daemonset', errors)
  errors.oneOf('spec.updateStrategy.type', spec.updateStrategy?.type, ['OnDelete', 'RollingUpdate'])
  if (spec.updateStrategy?.type === 'RollingUpdate') validateSurge(spec.updateStrategy.rollingUpdate ?? {}, errors)
}

/** A node has its new pod either before or after the old one went. */
function validateSurge({ maxSurge = 0, maxUnavailable = 0 }: { maxSurge?: IntOrString; maxUnavailable?: IntOrString }, errors: FieldErrors): void {
  const at = 'spec.updateStrategy.rollingUpdate'
  for (const [field, value] of Object.entries({ maxUnavailable, maxSurge })) {
    validateCountOrPercent(value, `${at}.${field}`, errors)
    if (typeof value === 'string' && Number.parseInt(value, 10) > 100) errors.invalid(`${at}.${field}`, value, 'must not be greater than 100%')
  }
  if (isZero(maxUnavailable) && isZero(maxSurge)) errors.required(`${at}.maxUnavailable`, 'cannot be 0 when maxSurge is 0')
  if (!isZero(maxUnavailable) && !isZero(maxSurge)) errors.invalid(`${at}.maxSurge`, maxSurge, 'may not be set when maxUnavailable is non-zero')
}

export function validateStatefulSet({ spec }: StatefulSet, errors: FieldErrors): void {
  validateSelecting({ ...spec, template: withClaims(spec) }, 'statefulset', errors)
  errors.oneOf('spec.podManagementPolicy', spec.podManagementPolicy, ['OrderedReady', 'Parallel'])
  errors.oneOf('spec.updateStrategy.type', spec.updateStrategy?.type, ['OnDelete', 'RollingUpdate'])
  errors.nonNegative('spec.updateStrategy.rollingUpdate.partition', spec.updateStrategy?.rollingUpdate?.partition)
  if ((spec.serviceName ?? '') !== '') errors.each('spec.serviceName', spec.serviceName, dnsSubdomain(spec.serviceName ?? ''))
}

/** The template as its pods are made from it: each claim of theirs is a volume, in the place of one that has its name. */
function withClaims({ template, volumeClaimTemplates = [] }: StatefulSet['spec']): PodTemplateSpec {
  const claims = volumeClaimTemplates.flatMap(({ metadata }) => metadata?.name ?? [])
  const others = (template.spec.volumes ?? []).filter(({ name }) => !claims.includes(name))
  const volumes = [...others, ...claims.map((name) => ({ name, persistentVolumeClaim: { claimName: name } }))]
  return volumes.length === 0 ? template : { ...template, spec: { ...template.spec, volumes } }
}

const statefulSetMayChange =
  "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"

export function validateStatefulSetUpdate({ spec }: StatefulSet, { spec: old }: StatefulSet, errors: FieldErrors): void {
  const fixed = (of: object): object => {
    const { replicas: _a, ordinals: _b, template: _c, updateStrategy: _d, revisionHistoryLimit: _e, persistentVolumeClaimRetentionPolicy: _f, minReadySeconds: _g, ...rest } = of as Record<string, unknown>
    return rest
  }
  if (!equalJson(fixed(spec), fixed(old))) errors.forbidden('spec', statefulSetMayChange)
}

/** The selector of a workload decides which pods are its own, and stays. */
export function validateSelectorUpdate({ spec }: { spec: { selector?: unknown } }, { spec: old }: { spec: { selector?: unknown } }, errors: FieldErrors): void {
  if (!equalJson(spec.selector, old.selector)) errors.immutable('spec.selector', spec.selector)
}
