// Names, labels and annotations: what every kind's metadata must keep to.
// Formats: k8s.io/apimachinery/pkg/util/validation and pkg/api/validation/objectmeta.go.
import type { Random } from '../../../api/clock.ts'
import type { FieldError, ResourceDescriptor } from '../descriptor.ts'
import { isRecord } from '../object.ts'
import type { ApiObject } from '../object.ts'

const subdomain = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/
const qualifiedPart = /^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$/
const annotationsBytesMax = 256 * 1024

const subdomainRule =
  `a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character ` +
  `(e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')`

/** Letters that generated names end in: no vowels and no look-alikes (apimachinery's rand.String). */
const alphanums = 'bcdfghjklmnpqrstvwxz2456789'

/** Five random letters behind a prefix that is cut to leave room for them. */
export function generateName(prefix: string, random: Random): string {
  const suffix = Array.from({ length: 5 }, () => alphanums[Math.floor(random() * alphanums.length)]).join('')
  return prefix.slice(0, 58) + suffix
}

/** Groups whose names are only bound to be a path segment (`system:node`). */
const pathSegmentGroups = new Set(['rbac.authorization.k8s.io', 'apiregistration.k8s.io'])

export function validateMetadata(descriptor: ResourceDescriptor, object: ApiObject): FieldError[] {
  const { name = '', labels, annotations, finalizers } = object.metadata
  const errors: FieldError[] = []
  const bad = (field: string, detail: string, value: unknown): void => void errors.push({ field: `metadata.${field}`, type: 'FieldValueInvalid', detail, value })
  if (name === '') errors.push({ field: 'metadata.name', type: 'FieldValueRequired', detail: 'name or generateName is required' })
  else if (pathSegmentGroups.has(descriptor.group) || descriptor.kind === 'IPAddress') {
    if (name === '.' || name === '..' || /[/%]/.test(name)) bad('name', `may not be '.' or '..' and may not contain '/' or '%'`, name)
  } else if (!subdomain.test(name)) bad('name', subdomainRule, name)
  if (name.length > 253) bad('name', 'must be no more than 253 characters', name)
  for (const [field, map] of Object.entries({ labels, annotations })) {
    if (map === undefined) continue
    if (!isRecord(map)) errors.push({ field: `metadata.${field}`, type: 'FieldValueTypeInvalid', detail: 'must be a map of strings', value: map })
    else errors.push(...validateMap(`metadata.${field}`, map, field === 'labels'))
  }
  if (finalizers !== undefined && !(Array.isArray(finalizers) && finalizers.every((one) => typeof one === 'string'))) bad('finalizers', 'must be a list of strings', finalizers)
  errors.push(...validateOwners(object))
  return errors
}

function validateMap(field: string, map: Record<string, unknown>, isLabels: boolean): FieldError[] {
  const errors: FieldError[] = []
  const bad = (detail: string, value: unknown): void => void errors.push({ field, type: 'FieldValueInvalid', detail, value })
  let bytes = 0
  for (const [key, value] of Object.entries(map)) {
    if (typeof value !== 'string') {
      errors.push({ field: `${field}[${key}]`, type: 'FieldValueTypeInvalid', detail: 'must be a string', value })
      continue
    }
    bytes += Buffer.byteLength(key) + Buffer.byteLength(value)
    const keyError = qualifiedNameError(isLabels ? key : key.toLowerCase())
    if (keyError !== undefined) bad(keyError, key)
    if (isLabels && value !== '' && (value.length > 63 || !qualifiedPart.test(value))) {
      bad(
        `a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character, and be no more than 63 characters`,
        value,
      )
    }
  }
  if (!isLabels && bytes > annotationsBytesMax) errors.push({ field, type: 'FieldValueTooLong', detail: `may not be more than ${annotationsBytesMax} bytes` })
  return errors
}

function qualifiedNameError(key: string): string | undefined {
  const slash = key.indexOf('/')
  const prefix = slash < 0 ? undefined : key.slice(0, slash)
  const name = key.slice(slash + 1)
  if (prefix !== undefined && (prefix.length > 253 || !subdomain.test(prefix))) return `prefix part ${subdomainRule}`
  if (name.length > 0 && name.length <= 63 && qualifiedPart.test(name)) return undefined
  return `name part must consist of alphanumeric characters, '-', '_' or '.', must start and end with an alphanumeric character, and be no more than 63 characters`
}

function validateOwners(object: ApiObject): FieldError[] {
  const { ownerReferences } = object.metadata
  if (ownerReferences === undefined) return []
  if (!Array.isArray(ownerReferences)) return [{ field: 'metadata.ownerReferences', type: 'FieldValueTypeInvalid', detail: 'must be a list' }]
  const errors: FieldError[] = []
  ownerReferences.forEach((owner, i) => {
    for (const field of ['apiVersion', 'kind', 'name', 'uid'] as const) {
      if (typeof owner[field] === 'string' && owner[field] !== '') continue
      errors.push({ field: `metadata.ownerReferences[${i}].${field}`, type: 'FieldValueRequired', detail: `${field} must not be empty` })
    }
  })
  if (ownerReferences.filter((owner) => owner.controller === true).length > 1) {
    errors.push({ field: 'metadata.ownerReferences', type: 'FieldValueInvalid', detail: 'Only one reference can have Controller set to true', value: ownerReferences.length })
  }
  return errors
}
