// Volumes (pkg/apis/core/validation: ValidateVolumes).
import type { DownwardAPIFile, KeyToPath, Volume, VolumeProjection } from '../../../../api/types.ts'
import { validateFieldPath, validateReference } from './containers.ts'
import type { FieldErrors } from './errors.ts'
import { dnsLabel, relativePath } from './formats.ts'
import type { Sent } from './sent.ts'

export function validateVolumes(volumes: readonly Sent<Volume>[], path: string, errors: FieldErrors): void {
  const names = new Set<string>()
  for (const [i, volume] of volumes.entries()) {
    const at = `${path}[${i}]`
    const { name = '' } = volume
    if (name === '') errors.required(`${at}.name`)
    else errors.each(`${at}.name`, name, dnsLabel(name))
    if (names.has(name)) errors.duplicate(`${at}.name`, name)
    names.add(name)
    validateSource(volume, at, errors)
  }
}

function validateSource(volume: Sent<Volume>, at: string, errors: FieldErrors): void {
  const sources = Object.keys(volume).filter((field) => field !== 'name')
  if (sources.length === 0) errors.required(at, 'must specify a volume type')
  for (const extra of sources.slice(1)) errors.forbidden(`${at}.${extra}`, 'may not specify more than 1 volume type')
  const { hostPath, configMap, secret, downwardAPI, projected, persistentVolumeClaim } = volume
  if (hostPath !== undefined) {
    const { path = '', type = '' } = hostPath
    if (path === '') errors.required(`${at}.hostPath.path`)
    else if (path.split('/').includes('..')) errors.invalid(`${at}.hostPath.path`, path, `must not contain '..'`)
    if (!hostPathTypes.includes(type)) errors.unsupported(`${at}.hostPath.type`, type, hostPathTypes)
  }
  if (configMap !== undefined) {
    if ((configMap.name ?? '') === '') errors.required(`${at}.configMap.name`)
    validateItems(configMap.items, `${at}.configMap.items`, errors)
  }
  if (secret !== undefined) {
    if ((secret.secretName ?? '') === '') errors.required(`${at}.secret.secretName`)
    validateItems(secret.items, `${at}.secret.items`, errors)
  }
  for (const [field, source] of Object.entries({ configMap, secret, downwardAPI, projected })) validateMode(source?.defaultMode, `${at}.${field}.defaultMode`, errors)
  for (const [i, file] of (downwardAPI?.items ?? []).entries()) validateDownwardFile(file, `${at}.downwardAPI.items[${i}]`, errors)
  for (const [i, source] of (projected?.sources ?? []).entries()) validateProjection(source, `${at}.projected.sources[${i}]`, errors)
  if (persistentVolumeClaim !== undefined && (persistentVolumeClaim.claimName ?? '') === '') errors.required(`${at}.persistentVolumeClaim.claimName`)
}

const hostPathTypes = ['', 'DirectoryOrCreate', 'Directory', 'FileOrCreate', 'File', 'Socket', 'CharDevice', 'BlockDevice']

function validateProjection(source: Sent<VolumeProjection>, at: string, errors: FieldErrors): void {
  const given = Object.keys(source)
  if (given.length === 0) errors.required(at, 'must specify a projected source')
  for (const extra of given.slice(1)) errors.forbidden(`${at}.${extra}`, 'may not specify more than 1 volume type per source')
  const { secret, configMap, downwardAPI, serviceAccountToken } = source
  for (const [field, reference] of Object.entries({ secret, configMap })) {
    if (reference === undefined) continue
    if ((reference.name ?? '') === '') errors.required(`${at}.${field}.name`)
    else validateReference(reference.name, `${at}.${field}.name`, errors)
    validateItems(reference.items, `${at}.${field}.items`, errors)
  }
  for (const [i, file] of (downwardAPI?.items ?? []).entries()) validateDownwardFile(file, `${at}.downwardAPI.items[${i}]`, errors)
  if (serviceAccountToken === undefined) return
  validatePath(serviceAccountToken.path, `${at}.serviceAccountToken.path`, errors)
  const { expirationSeconds } = serviceAccountToken
  if (expirationSeconds !== undefined && expirationSeconds < 600) errors.invalid(`${at}.serviceAccountToken.expirationSeconds`, expirationSeconds, 'may not specify a duration less than 10 minutes')
}

function validateItems(items: readonly Sent<KeyToPath>[] | undefined, path: string, errors: FieldErrors): void {
  for (const [i, item] of (items ?? []).entries()) {
    if ((item.key ?? '') === '') errors.required(`${path}[${i}].key`)
    validatePath(item.path, `${path}[${i}].path`, errors)
    validateMode(item.mode, `${path}[${i}].mode`, errors)
  }
}

const volumeFields = ['metadata.annotations', 'metadata.labels', 'metadata.name', 'metadata.namespace', 'metadata.uid']

function validateDownwardFile(file: Sent<DownwardAPIFile>, at: string, errors: FieldErrors): void {
  validatePath(file.path, `${at}.path`, errors)
  validateMode(file.mode, `${at}.mode`, errors)
  if (file.fieldRef !== undefined && file.resourceFieldRef !== undefined) errors.invalid(at, 'resource', 'fieldRef and resourceFieldRef can not be specified simultaneously')
  else if (file.fieldRef !== undefined) validateFieldPath(file.fieldRef.fieldPath, `${at}.fieldRef.fieldPath`, volumeFields, errors)
  else if (file.resourceFieldRef === undefined) errors.required(at, 'one of fieldRef and resourceFieldRef is required')
}

function validatePath(path: string | undefined, at: string, errors: FieldErrors): void {
  if (path === undefined || path === '') errors.required(at)
  else errors.each(at, path, relativePath(path))
}

function validateMode(mode: number | undefined, at: string, errors: FieldErrors): void {
  if (mode !== undefined && (mode < 0 || mode > 0o777)) errors.invalid(at, mode, 'must be a number between 0 and 0777 (octal), both inclusive')
}
