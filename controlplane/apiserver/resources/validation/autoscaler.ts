// Horizontal pod autoscalers (pkg/apis/autoscaling/validation).
import { parseQuantity } from '../../../../api/quantity.ts'
import type { AnyObject } from '../../../../api/types.ts'
import { isRecord, valueAt } from '../../object.ts'
import type { FieldErrors } from './errors.ts'

type Json = Record<string, unknown>

export function validateAutoscaler(autoscaler: AnyObject, errors: FieldErrors): void {
  const [least, most] = [Number(valueAt(autoscaler, '.spec.minReplicas') ?? 1), Number(valueAt(autoscaler, '.spec.maxReplicas') ?? 0)]
  if (least < 1) errors.invalid('spec.minReplicas', least, 'must be greater than or equal to 1')
  if (most < 1) errors.invalid('spec.maxReplicas', most, 'must be greater than 0')
  else if (most < least) errors.invalid('spec.maxReplicas', most, 'must be greater than or equal to `minReplicas`')
  validateReference(valueAt(autoscaler, '.spec.scaleTargetRef'), 'spec.scaleTargetRef', errors)
  const metrics = valueAt(autoscaler, '.spec.metrics')
  if (Array.isArray(metrics)) metrics.filter(isRecord).forEach((metric, i) => validateMetric(metric, `spec.metrics[${i}]`, errors))
  for (const direction of ['scaleUp', 'scaleDown']) {
    const rules = valueAt(autoscaler, `.spec.behavior.${direction}`)
    if (isRecord(rules)) validateRules(rules, `spec.behavior.${direction}`, errors)
  }
}

function validateReference(reference: unknown, at: string, errors: FieldErrors): void {
  for (const field of ['kind', 'name']) {
    const value = isRecord(reference) ? reference[field] : undefined
    if (value === undefined || value === '') errors.required(`${at}.${field}`)
    else if (typeof value === 'string' && /[/%]|^\.\.?$/.test(value)) errors.invalid(`${at}.${field}`, value, "may not be '.' or '..', or contain '/' or '%'")
  }
}

/** The field of a metric for each of its types. */
const sources: Readonly<Record<string, string>> = { ContainerResource: 'containerResource', External: 'external', Object: 'object', Pods: 'pods', Resource: 'resource' }

function validateMetric(metric: Json, at: string, errors: FieldErrors): void {
  const { type } = metric
  if (typeof type !== 'string' || type === '') {
    errors.required(`${at}.type`, 'must specify a metric source type')
    return
  }
  const field = sources[type]
  if (field === undefined) {
    errors.unsupported(`${at}.type`, type, Object.keys(sources))
    return
  }
  for (const other of Object.values(sources)) if (other !== field && metric[other] !== undefined) errors.forbidden(`${at}.${other}`, 'must populate the given metric source only')
  const source = metric[field]
  if (isRecord(source)) validateSource(type, source, `${at}.${field}`, errors)
  else errors.required(`${at}.${field}`, 'must populate information for the given metric source')
}

function validateSource(type: string, source: Json, at: string, errors: FieldErrors): void {
  if (type === 'Resource' || type === 'ContainerResource') {
    if ((source['name'] ?? '') === '') errors.required(`${at}.name`, 'must specify a resource name')
  } else if ((valueAt(source, '.metric.name') ?? '') === '') errors.required(`${at}.metric.name`)
  if (type === 'ContainerResource' && (source['container'] ?? '') === '') errors.required(`${at}.container`, 'must specify a container')
  if (type === 'Object') validateReference(source['describedObject'], `${at}.describedObject`, errors)
  const target = isRecord(source['target']) ? source['target'] : {}
  validateTarget(target, `${at}.target`, errors)
  const needed: Readonly<Record<string, readonly string[]>> = {
    Resource: ['averageUtilization', 'averageValue'], ContainerResource: ['averageUtilization', 'averageValue'], Pods: ['averageValue'], Object: ['value', 'averageValue'], External: ['value', 'averageValue'],
  }
  const given = (needed[type] ?? []).filter((field) => target[field] !== undefined)
  if (given.length === 0) errors.required(`${at}.target.${needed[type]?.[0] ?? ''}`, 'must set a target')
  else if (given.length > 1) errors.forbidden(`${at}.target.${given[1] ?? ''}`, `may not set both ${given.join(' and ')}`)
}

function validateTarget(target: Json, at: string, errors: FieldErrors): void {
  const { type, averageUtilization } = target
  if (typeof type !== 'string' || type === '') errors.required(`${at}.type`, 'must specify a metric target type')
  else if (!['AverageValue', 'Utilization', 'Value'].includes(type)) errors.invalid(`${at}.type`, type, 'must be either Utilization, Value, or AverageValue')
  for (const field of ['value', 'averageValue']) {
    const value = target[field]
    if ((typeof value === 'string' || typeof value === 'number') && !(parseQuantity(value) > 0)) errors.invalid(`${at}.${field}`, value, 'must be positive')
  }
  if (typeof averageUtilization === 'number' && averageUtilization < 1) errors.invalid(`${at}.averageUtilization`, averageUtilization, 'must be greater than 0')
}

const stabilizationSecondsMax = 3600
const periodSecondsMax = 1800

function validateRules({ stabilizationWindowSeconds: window, selectPolicy, policies }: Json, at: string, errors: FieldErrors): void {
  if (typeof window === 'number') {
    errors.nonNegative(`${at}.stabilizationWindowSeconds`, window)
    if (window > stabilizationSecondsMax) errors.invalid(`${at}.stabilizationWindowSeconds`, window, `must be less than or equal to ${stabilizationSecondsMax}`)
  }
  if (typeof selectPolicy === 'string' && !['Disabled', 'Max', 'Min'].includes(selectPolicy)) errors.unsupported(`${at}.selectPolicy`, selectPolicy, ['Disabled', 'Max', 'Min'])
  const list = Array.isArray(policies) ? policies.filter(isRecord) : []
  if (list.length === 0) errors.required(`${at}.policies`, 'must specify at least one Policy')
  for (const [i, { type, value, periodSeconds }] of list.entries()) {
    const policy = `${at}.policies[${i}]`
    if (type !== 'Pods' && type !== 'Percent') errors.unsupported(`${policy}.type`, type ?? '', ['Percent', 'Pods'])
    if (!(Number(value ?? 0) > 0)) errors.invalid(`${policy}.value`, value ?? 0, 'must be greater than zero')
    if (!(Number(periodSeconds ?? 0) > 0)) errors.invalid(`${policy}.periodSeconds`, periodSeconds ?? 0, 'must be greater than zero')
    else if (Number(periodSeconds) > periodSecondsMax) errors.invalid(`${policy}.periodSeconds`, periodSeconds, `must be less than or equal to ${periodSecondsMax}`)
  }
}
