// Limit ranges and resource quotas (pkg/apis/core/validation).
import { parseQuantity } from '../../../../api/quantity.ts'
import type { AnyObject, Resources } from '../../../../api/types.ts'
import { equalJson, isRecord } from '../../object.ts'
import type { FieldErrors } from './errors.ts'
import { qualifiedName } from './formats.ts'

type Json = Record<string, unknown>

function records(object: unknown, field: string): Json[] {
  const list = isRecord(object) ? object[field] : undefined
  return Array.isArray(list) ? list.filter(isRecord) : []
}

function resources(object: Json, field: string): Resources {
  return isRecord(object[field]) ? (object[field] as Resources) : {}
}

export function validateLimitRange({ spec }: { readonly spec?: unknown }, errors: FieldErrors): void {
  const seen = new Set<string>()
  for (const [i, item] of records(spec, 'limits').entries()) {
    const at = `spec.limits[${i}]`
    const type = typeof item['type'] === 'string' ? item['type'] : ''
    if (type === '') errors.required(`${at}.type`)
    else errors.each(`${at}.type`, type, qualifiedName(type))
    if (seen.has(type)) errors.duplicate(`${at}.type`, type)
    seen.add(type)
    if (type === 'Pod') {
      for (const field of ['default', 'defaultRequest'] as const) if (Object.keys(resources(item, field)).length > 0) errors.forbidden(`${at}.${field}`, "may not be specified when `type` is 'Pod'")
    }
    if (type === 'PersistentVolumeClaim' && resources(item, 'min')['storage'] === undefined && resources(item, 'max')['storage'] === undefined) errors.required(`${at}.limits`, 'either minimum or maximum storage value is required, but neither was provided')
    validateItem(item, type, at, errors)
  }
}

function validateItem(item: Json, type: string, at: string, errors: FieldErrors): void {
  const [min, max, usual, request, ratio] = ['min', 'max', 'default', 'defaultRequest', 'maxLimitRequestRatio'].map((field) => resources(item, field)) as [Resources, Resources, Resources, Resources, Resources]
  const order: [lower: Resources, upper: Resources, field: string, words: string][] = [
    [min, max, 'min', 'min value {a} is greater than max value {b}'],
    ...(type === 'Pod'
      ? []
      : ([
          [min, request, 'defaultRequest', 'min value {a} is greater than default request value {b}'],
          [request, max, 'defaultRequest', 'default request value {a} is greater than max value {b}'],
          [request, usual, 'defaultRequest', 'default request value {a} is greater than default limit value {b}'],
          [min, usual, 'default', 'min value {a} is greater than default value {b}'],
          [usual, max, 'default', 'default value {a} is greater than max value {b}'],
        ] as [Resources, Resources, string, string][])),
  ]
  for (const [lower, upper, field, words] of order) {
    for (const [name, a] of Object.entries(lower)) {
      const b = Object.hasOwn(upper, name) ? upper[name] : undefined
      if (b === undefined || parseQuantity(a) <= parseQuantity(b)) continue
      const shown = field === 'min' || words.startsWith('default') ? a : b
      errors.invalid(`${at}.${field}[${name}]`, shown, words.replace('{a}', String(a)).replace('{b}', String(b)))
    }
  }
  for (const [name, value] of Object.entries(ratio)) {
    if (parseQuantity(value) < 1) errors.invalid(`${at}.maxLimitRequestRatio[${name}]`, value, `ratio ${value} is less than 1`)
  }
}

const scopes = ['BestEffort', 'CrossNamespacePodAffinity', 'NotBestEffort', 'NotTerminating', 'PriorityClass', 'Terminating', 'VolumeAttributesClass']
const operators = ['DoesNotExist', 'Exists', 'In', 'NotIn']
const podOnly = new Set(['pods', 'count/pods', 'cpu', 'memory', 'requests.cpu', 'requests.memory', 'limits.cpu', 'limits.memory', 'ephemeral-storage', 'requests.ephemeral-storage', 'limits.ephemeral-storage'])
const standard = new Set([
  'cpu', 'memory', 'ephemeral-storage', 'requests.cpu', 'requests.memory', 'requests.storage', 'requests.ephemeral-storage', 'limits.cpu', 'limits.memory', 'limits.ephemeral-storage', 'pods', 'resourcequotas', 'services',
  'replicationcontrollers', 'secrets', 'persistentvolumeclaims', 'configmaps', 'services.nodeports', 'services.loadbalancers',
])

export function validateQuota({ spec, status }: AnyObject, errors: FieldErrors): void {
  const quota = isRecord(spec) ? spec : {}
  validateAmounts(resources(quota, 'hard'), 'spec.hard', errors)
  validateScopes(quota, errors)
  for (const field of ['hard', 'used'] as const) if (isRecord(status)) validateAmounts(resources(status, field), `status.${field}`, errors)
}

function validateAmounts(list: Resources, at: string, errors: FieldErrors): void {
  for (const [name, quantity] of Object.entries(list)) {
    const here = `${at}[${name}]`
    errors.each(here, name, qualifiedName(name))
    if (!name.includes('/') && !standard.has(name) && !/^(?:requests\.)?hugepages-/.test(name)) errors.invalid(here, name, 'must be a standard resource for quota')
    const value = parseQuantity(quantity)
    if (value < 0) errors.invalid(here, String(quantity), 'must be greater than or equal to 0')
    else if (!/cpu|memory|storage/.test(name) && !Number.isInteger(value)) errors.invalid(here, String(quantity), 'must be an integer')
  }
}

function validateScopes(quota: Json, errors: FieldErrors): void {
  const hard = Object.keys(resources(quota, 'hard'))
  const given = Array.isArray(quota['scopes']) ? quota['scopes'].map(String) : []
  const requirements = isRecord(quota['scopeSelector']) ? records(quota['scopeSelector'], 'matchExpressions') : []
  const all = [...given.map((scope) => ({ scope, at: 'spec.scopes' })), ...requirements.map(({ scopeName }, i) => ({ scope: typeof scopeName === 'string' ? scopeName : '', at: `spec.scopeSelector.matchExpressions[${i}].scopeName` }))]
  for (const { scope, at } of all) {
    if (!scopes.includes(scope)) errors.invalid(at, scope, 'unsupported scope')
    else for (const name of hard) if (scope === 'BestEffort' ? name !== 'pods' : !podOnly.has(name) && !/^(?:requests|limits)\./.test(name)) errors.invalid(at, scope, 'unsupported scope applied to resource')
  }
  for (const [a, b] of [['BestEffort', 'NotBestEffort'], ['Terminating', 'NotTerminating']] as const) {
    if (all.some(({ scope }) => scope === a) && all.some(({ scope }) => scope === b)) errors.invalid('spec.scopes', given, 'conflicting scopes')
  }
  for (const [i, { operator, values, scopeName }] of requirements.entries()) {
    const at = `spec.scopeSelector.matchExpressions[${i}]`
    const count = Array.isArray(values) ? values.length : 0
    if (typeof operator !== 'string' || !operators.includes(operator)) errors.invalid(`${at}.operator`, operator ?? '', 'not a valid selector operator')
    else if ((operator === 'In' || operator === 'NotIn') && count === 0) errors.required(`${at}.values`, "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector")
    else if ((operator === 'Exists' || operator === 'DoesNotExist') && count > 0) errors.invalid(`${at}.values`, values, "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector")
    if (scopeName !== 'PriorityClass' && scopeName !== 'VolumeAttributesClass' && operator !== 'Exists') errors.invalid(`${at}.operator`, operator ?? '', "must be 'Exist' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity")
  }
}

/** What a quota counts stays: what it has counted would not fit any more. */
export function validateQuotaUpdate({ spec }: AnyObject, { spec: old }: AnyObject, errors: FieldErrors): void {
  const sorted = (of: unknown): unknown[] => (isRecord(of) && Array.isArray(of['scopes']) ? of['scopes'].map(String).toSorted() : [])
  if (!equalJson(sorted(spec), sorted(old))) errors.invalid('spec.scopes', isRecord(spec) ? spec['scopes'] : undefined, 'field is immutable')
}
