// A pod's spec, also inside templates (pkg/apis/core/validation: ValidatePodSpec).
import type { PodSpec, PodTemplateSpec, Toleration, TopologySpreadConstraint } from '../../../../api/types.ts'
import { validateContainers, validateReference } from './containers.ts'
import type { FieldErrors } from './errors.ts'
import { dnsLabel, dnsSubdomain, ipAddress, labelValue, qualifiedName } from './formats.ts'
import { validateAffinity, validateLabels, validateLabelSelector } from './selectors.ts'
import { validateVolumes } from './volumes.ts'
import type { Sent } from './sent.ts'

export function validateTemplate({ metadata, spec }: PodTemplateSpec, path: string, errors: FieldErrors): void {
  validateLabels(metadata?.labels, `${path}.metadata.labels`, errors)
  for (const key of Object.keys(metadata?.annotations ?? {})) errors.each(`${path}.metadata.annotations`, key, qualifiedName(key.toLowerCase()))
  if ((spec.ephemeralContainers ?? []).length > 0) errors.forbidden(`${path}.spec.ephemeralContainers`, 'ephemeral containers not allowed in pod template')
  validatePodSpec(spec, `${path}.spec`, errors)
}

export function validatePodSpec(spec: PodSpec, path: string, errors: FieldErrors): void {
  validateVolumes(spec.volumes ?? [], `${path}.volumes`, errors)
  validateContainers(spec, path, errors)
  errors.oneOf(`${path}.restartPolicy`, spec.restartPolicy, ['Always', 'OnFailure', 'Never'])
  validateNames(spec, path, errors)
  validateTimes(spec, path, errors)
  validateDns(spec, path, errors)
  validateHost(spec, path, errors)
  validatePlacement(spec, path, errors)
}

function validateNames(spec: PodSpec, path: string, errors: FieldErrors): void {
  for (const field of ['serviceAccountName', 'nodeName', 'priorityClassName', 'runtimeClassName'] as const) {
    const name = spec[field] ?? ''
    if (name !== '') errors.each(`${path}.${field}`, name, dnsSubdomain(name))
  }
  for (const field of ['hostname', 'subdomain'] as const) {
    const name = spec[field] ?? ''
    if (name !== '') errors.each(`${path}.${field}`, name, dnsLabel(name))
  }
  for (const [i, { name }] of (spec.imagePullSecrets ?? []).entries()) validateReference(name, `${path}.imagePullSecrets[${i}].name`, errors)
  for (const [i, { conditionType }] of (spec.readinessGates ?? []).entries()) errors.each(`${path}.readinessGates[${i}].conditionType`, conditionType, qualifiedName(conditionType ?? ''))
}

function validateTimes(spec: PodSpec, path: string, errors: FieldErrors): void {
  const { activeDeadlineSeconds, terminationGracePeriodSeconds } = spec
  errors.nonNegative(`${path}.terminationGracePeriodSeconds`, terminationGracePeriodSeconds)
  if (activeDeadlineSeconds !== undefined && (activeDeadlineSeconds < 1 || activeDeadlineSeconds > 2 ** 31 - 1)) {
    errors.invalid(`${path}.activeDeadlineSeconds`, activeDeadlineSeconds, 'must be between 1 and 2147483647, inclusive')
  }
}

const nameserversMax = 3
const searchesMax = 32

function validateDns({ dnsPolicy, dnsConfig }: PodSpec, path: string, errors: FieldErrors): void {
  errors.oneOf(`${path}.dnsPolicy`, dnsPolicy, ['ClusterFirstWithHostNet', 'ClusterFirst', 'Default', 'None'])
  const { nameservers = [], searches = [], options = [] } = dnsConfig ?? {}
  const at = `${path}.dnsConfig`
  if (dnsPolicy === 'None' && nameservers.length === 0) {
    errors.required(dnsConfig === undefined ? at : `${at}.nameservers`, dnsConfig === undefined ? 'must provide `dnsConfig` when `dnsPolicy` is None' : 'must provide at least one DNS nameserver when `dnsPolicy` is None')
  }
  if (nameservers.length > nameserversMax) errors.invalid(`${at}.nameservers`, nameservers, `must not have more than ${nameserversMax} nameservers`)
  nameservers.forEach((address, i) => errors.each(`${at}.nameservers[${i}]`, address, ipAddress(address)))
  if (searches.length > searchesMax) errors.invalid(`${at}.searches`, searches, `must not have more than ${searchesMax} search paths`)
  for (const [i, search] of searches.entries()) {
    const name = search.replace(/\.$/, '').replaceAll('_', '-')
    if (search !== '.') errors.each(`${at}.searches[${i}]`, search, dnsSubdomain(name))
  }
  options.forEach(({ name = '' }, i) => {
    if (name === '') errors.required(`${at}.options[${i}]`, 'must not be empty')
  })
}

function validateHost(spec: PodSpec, path: string, errors: FieldErrors): void {
  for (const [i, { ip, hostnames = [] }] of (spec.hostAliases ?? []).entries()) {
    errors.each(`${path}.hostAliases[${i}].ip`, ip ?? '', ipAddress(ip ?? ''))
    for (const name of hostnames) errors.each(`${path}.hostAliases[${i}].hostnames`, name, dnsSubdomain(name))
  }
  if (spec.shareProcessNamespace === true && spec.hostPID === true) errors.invalid(`${path}.shareProcessNamespace`, true, 'ShareProcessNamespace and HostPID cannot both be enabled')
  for (const [i, { name = '' }] of (spec.securityContext?.sysctls ?? []).entries()) {
    const at = `${path}.securityContext.sysctls[${i}].name`
    if (name === '') errors.required(at)
    else if (!/^[a-z0-9]([-_a-z0-9]*[a-z0-9])?([./][a-z0-9]([-_a-z0-9]*[a-z0-9])?)*$/.test(name)) errors.invalid(at, name, 'must have at most 253 characters and match regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$')
  }
}

function validatePlacement(spec: PodSpec, path: string, errors: FieldErrors): void {
  validateLabels(spec.nodeSelector, `${path}.nodeSelector`, errors)
  if (spec.affinity !== undefined) validateAffinity(spec.affinity, `${path}.affinity`, errors)
  for (const [i, toleration] of (spec.tolerations ?? []).entries()) validateToleration(toleration, `${path}.tolerations[${i}]`, errors)
  for (const [i, constraint] of (spec.topologySpreadConstraints ?? []).entries()) validateSpread(constraint, `${path}.topologySpreadConstraints[${i}]`, errors)
}

function validateSpread({ maxSkew = 0, topologyKey = '', whenUnsatisfiable, labelSelector }: Sent<TopologySpreadConstraint>, at: string, errors: FieldErrors): void {
  if (maxSkew <= 0) errors.invalid(`${at}.maxSkew`, maxSkew, 'must be greater than zero')
  if (topologyKey === '') errors.required(`${at}.topologyKey`, 'can not be empty')
  errors.oneOf(`${at}.whenUnsatisfiable`, whenUnsatisfiable, ['DoNotSchedule', 'ScheduleAnyway'])
  validateLabelSelector(labelSelector, `${at}.labelSelector`, errors)
}

function validateToleration({ key = '', operator = 'Equal', value = '', effect, tolerationSeconds }: Sent<Toleration>, at: string, errors: FieldErrors): void {
  if (key !== '') errors.each(`${at}.key`, key, qualifiedName(key))
  else if (operator !== 'Exists') errors.invalid(`${at}.operator`, operator, 'operator must be Exists when `key` is empty, which means "match all values and all keys"')
  if (tolerationSeconds !== undefined && effect !== 'NoExecute') errors.invalid(`${at}.effect`, effect ?? '', "effect must be 'NoExecute' when `tolerationSeconds` is set")
  if (operator === 'Equal') errors.each(`${at}.operator`, value, labelValue(value))
  else if (operator !== 'Exists') errors.unsupported(`${at}.operator`, operator, ['Equal', 'Exists'])
  else if (value !== '') errors.invalid(`${at}.operator`, value, "value must be empty when `operator` is 'Exists'")
  if (effect !== undefined && (effect as string) !== '') errors.oneOf(`${at}.effect`, effect, ['NoSchedule', 'PreferNoSchedule', 'NoExecute'])
}
