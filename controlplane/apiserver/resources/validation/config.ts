// Config maps, secrets, namespaces and nodes (pkg/apis/core/validation).
import type { ConfigMap, Namespace, Node, Secret } from '../../../../api/types.ts'
import { equalJson } from '../../object.ts'
import { validateResourceList } from './containers.ts'
import type { FieldErrors } from './errors.ts'
import { configKey, dnsLabel, labelValue, qualifiedName } from './formats.ts'

/** `MaxSecretSize`, and the same for config maps. */
const bytesMax = 1024 * 1024

export function validateConfigMap({ data = {}, binaryData = {} }: ConfigMap, errors: FieldErrors): void {
  let bytes = 0
  for (const [key, value] of Object.entries(data)) {
    errors.each(`data[${key}]`, key, configKey(key))
    if (Object.hasOwn(binaryData, key)) errors.invalid(`data[${key}]`, key, 'duplicate of key present in binaryData')
    bytes += Buffer.byteLength(value)
  }
  for (const [key, value] of Object.entries(binaryData)) {
    errors.each(`binaryData[${key}]`, key, configKey(key))
    bytes += decodedLength(value)
  }
  if (bytes > bytesMax) errors.tooLong('', bytesMax)
}

function decodedLength(base64: string): number {
  return Math.floor((base64.replaceAll('=', '').length * 3) / 4)
}

/** What says that it never changes, never changes. */
export function validateImmutable(object: ConfigMap | Secret, old: ConfigMap | Secret, errors: FieldErrors): void {
  if (old.immutable !== true) return
  const why = 'field is immutable when `immutable` is set'
  if (object.immutable !== true) errors.forbidden('immutable', why)
  for (const field of ['data', 'binaryData'] as const) {
    const read = (of: ConfigMap | Secret): unknown => (of as ConfigMap)[field] ?? {}
    if (!equalJson(read(object), read(old))) errors.forbidden(field, why)
  }
}

const neededKeys: ReadonlyMap<string, readonly string[]> = new Map([
  ['kubernetes.io/tls', ['tls.crt', 'tls.key']],
  ['kubernetes.io/dockercfg', ['.dockercfg']],
  ['kubernetes.io/dockerconfigjson', ['.dockerconfigjson']],
  ['kubernetes.io/ssh-auth', ['ssh-privatekey']],
])

export function validateSecret({ metadata, type = '', data = {} }: Secret, errors: FieldErrors): void {
  let bytes = 0
  for (const [key, value] of Object.entries(data)) {
    errors.each(`data[${key}]`, key, configKey(key))
    bytes += decodedLength(value)
  }
  if (bytes > bytesMax) errors.tooLong('data', bytesMax)
  for (const key of neededKeys.get(type) ?? []) {
    if (!Object.hasOwn(data, key)) errors.required(`data[${key}]`)
    else if (key.startsWith('.docker') && !isJson(Buffer.from(data[key] ?? '', 'base64').toString())) errors.invalid(`data[${key}]`, '<secret contents redacted>', 'is not JSON')
  }
  if (type === 'kubernetes.io/basic-auth' && !Object.hasOwn(data, 'username') && !Object.hasOwn(data, 'password')) {
    errors.required('data[username]')
    errors.required('data[password]')
  }
  if (type === 'kubernetes.io/service-account-token' && (metadata.annotations?.['kubernetes.io/service-account.name'] ?? '') === '') {
    errors.required('metadata.annotations[kubernetes.io/service-account.name]')
  }
}

function isJson(text: string): boolean {
  try {
    return JSON.parse(text) !== undefined
  } catch {
    return false
  }
}

export function validateNamespace({ metadata, spec }: Namespace, errors: FieldErrors): void {
  errors.each('metadata.name', metadata.name, dnsLabel(metadata.name ?? ''))
  for (const [i, finalizer] of (spec?.finalizers ?? []).entries()) {
    errors.each(`spec.finalizers[${i}]`, finalizer, qualifiedName(finalizer))
    if (!finalizer.includes('/') && finalizer !== 'kubernetes') errors.invalid(`spec.finalizers[${i}]`, finalizer, 'name is neither a standard finalizer name nor is it fully qualified')
  }
}

const effects = ['NoExecute', 'NoSchedule', 'PreferNoSchedule']

export function validateNode({ spec, status }: Node, errors: FieldErrors): void {
  const seen = new Set<string>()
  for (const [i, { key = '', value = '', effect }] of (spec.taints ?? []).entries()) {
    const at = `spec.taints[${i}]`
    errors.each(`${at}.key`, key, qualifiedName(key))
    errors.each(`${at}.value`, value, labelValue(value))
    errors.oneOf(`${at}.effect`, effect, effects)
    if (seen.has(`${key}:${effect}`)) errors.duplicate(at, { key, value, effect })
    seen.add(`${key}:${effect}`)
  }
  for (const field of ['capacity', 'allocatable'] as const) {
    const standard = Object.fromEntries(Object.entries(status?.[field] ?? {}).filter(([name]) => name !== 'pods'))
    validateResourceList(standard, `status.${field}`, errors)
  }
}

/** A node keeps the range of addresses that it was given first. */
export function validateNodeUpdate({ spec }: Node, { spec: old }: Node, errors: FieldErrors): void {
  if ((old.podCIDRs ?? []).length > 0 && !equalJson(spec.podCIDRs, old.podCIDRs)) errors.forbidden('spec.podCIDRs', 'node updates may not change podCIDR except from "" to valid')
  if ((old.providerID ?? '') !== '' && spec.providerID !== old.providerID) errors.forbidden('spec.providerID', 'node updates may not change providerID except from "" to valid')
}
