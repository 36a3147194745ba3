// Label selectors, node selectors and affinity (apimachinery metav1/validation, pkg/apis/core/validation).
import type { Affinity, LabelSelector, NodeSelectorTerm, PodAffinityTerm } from '../../../../api/types.ts'
import type { FieldErrors } from './errors.ts'
import { dnsLabel, labelValue, qualifiedName } from './formats.ts'
import type { Sent } from './sent.ts'

export function validateLabels(labels: Readonly<Record<string, string>> | undefined, path: string, errors: FieldErrors): void {
  for (const [key, value] of Object.entries(labels ?? {})) {
    errors.each(path, key, qualifiedName(key))
    errors.each(path, value, labelValue(value))
  }
}

export function validateLabelSelector(selector: Sent<LabelSelector> | undefined, path: string, errors: FieldErrors): void {
  validateLabels(selector?.matchLabels, `${path}.matchLabels`, errors)
  for (const [i, { key = '', operator, values = [] }] of (selector?.matchExpressions ?? []).entries()) {
    const at = `${path}.matchExpressions[${i}]`
    if (operator === 'In' || operator === 'NotIn') {
      if (values.length === 0) errors.required(`${at}.values`, "must be specified when `operator` is 'In' or 'NotIn'")
    } else if (operator === 'Exists' || operator === 'DoesNotExist') {
      if (values.length > 0) errors.forbidden(`${at}.values`, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'")
    } else errors.invalid(`${at}.operator`, operator ?? '', 'not a valid selector operator')
    errors.each(`${at}.key`, key, qualifiedName(key))
    values.forEach((value, j) => errors.each(`${at}.values[${j}]`, value, labelValue(value)))
  }
}

export function isEmptySelector({ matchLabels = {}, matchExpressions = [] }: LabelSelector): boolean {
  return Object.keys(matchLabels).length === 0 && matchExpressions.length === 0
}

export function validateAffinity({ nodeAffinity, podAffinity, podAntiAffinity }: Sent<Affinity>, path: string, errors: FieldErrors): void {
  const required = nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution
  if (required !== undefined) {
    const at = `${path}.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms`
    if ((required.nodeSelectorTerms ?? []).length === 0) errors.required(at, 'must have at least one node selector term')
    for (const [i, term] of (required.nodeSelectorTerms ?? []).entries()) validateNodeTerm(term, `${at}[${i}]`, errors)
  }
  for (const [i, { weight, preference }] of (nodeAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? []).entries()) {
    const at = `${path}.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[${i}]`
    validateWeight(weight, `${at}.weight`, errors)
    validateNodeTerm(preference ?? {}, `${at}.preference`, errors)
  }
  for (const [field, affinity] of Object.entries({ podAffinity, podAntiAffinity })) {
    for (const [i, term] of (affinity?.requiredDuringSchedulingIgnoredDuringExecution ?? []).entries()) {
      validatePodTerm(term, `${path}.${field}.requiredDuringSchedulingIgnoredDuringExecution[${i}]`, errors)
    }
    for (const [i, { weight, podAffinityTerm }] of (affinity?.preferredDuringSchedulingIgnoredDuringExecution ?? []).entries()) {
      const at = `${path}.${field}.preferredDuringSchedulingIgnoredDuringExecution[${i}]`
      validateWeight(weight, `${at}.weight`, errors)
      validatePodTerm(podAffinityTerm ?? { topologyKey: '' }, `${at}.podAffinityTerm`, errors)
    }
  }
}

function validateWeight(weight: number | undefined, path: string, errors: FieldErrors): void {
  if (weight === undefined || weight < 1 || weight > 100) errors.invalid(path, weight ?? 0, 'must be in the range 1-100')
}

function validateNodeTerm({ matchExpressions = [], matchFields = [] }: Sent<NodeSelectorTerm>, path: string, errors: FieldErrors): void {
  for (const [i, { key = '', operator, values = [] }] of matchExpressions.entries()) {
    const at = `${path}.matchExpressions[${i}]`
    switch (operator) {
      case 'In':
      case 'NotIn':
        if (values.length === 0) errors.required(`${at}.values`, "must be specified when `operator` is 'In' or 'NotIn'")
        break
      case 'Exists':
      case 'DoesNotExist':
        if (values.length > 0) errors.forbidden(`${at}.values`, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'")
        break
      case 'Gt':
      case 'Lt':
        if (values.length !== 1) errors.required(`${at}.values`, "must be specified single value when `operator` is 'Lt' or 'Gt'")
        break
      default:
        errors.invalid(`${at}.operator`, operator ?? '', 'not a valid selector operator')
    }
    errors.each(`${at}.key`, key, qualifiedName(key))
  }
  for (const [i, { key, values = [] }] of matchFields.entries()) {
    if (key !== 'metadata.name') errors.invalid(`${path}.matchFields[${i}].key`, key ?? '', 'not a valid field selector key')
    if (values.length !== 1) errors.required(`${path}.matchFields[${i}].values`, "must be only one value when `operator` is 'In' or 'NotIn' for node field selector")
  }
}

function validatePodTerm({ labelSelector, namespaceSelector, namespaces = [], topologyKey = '' }: Sent<PodAffinityTerm>, path: string, errors: FieldErrors): void {
  validateLabelSelector(labelSelector, `${path}.labelSelector`, errors)
  validateLabelSelector(namespaceSelector, `${path}.namespaceSelector`, errors)
  for (const name of namespaces) errors.each(`${path}.namespace`, name, dnsLabel(name))
  if (topologyKey === '') errors.required(`${path}.topologyKey`, 'can not be empty')
  else errors.each(`${path}.topologyKey`, topologyKey, qualifiedName(topologyKey))
}
