// Volumes, claims, and classes of storage and priority (pkg/apis/core/validation, pkg/apis/storage/validation).
import { parseQuantity } from '../../../../api/quantity.ts'
import type { AnyObject, Quantity } from '../../../../api/types.ts'
import { equalJson, isRecord, valueAt } from '../../object.ts'
import type { FieldErrors } from './errors.ts'

const accessModes = ['ReadOnlyMany', 'ReadWriteMany', 'ReadWriteOnce', 'ReadWriteOncePod']

function validateAccessModes(object: AnyObject, errors: FieldErrors): void {
  const modes = valueAt(object, '.spec.accessModes')
  if (!Array.isArray(modes) || modes.length === 0) errors.required('spec.accessModes', 'at least 1 access mode is required')
  else for (const mode of modes) if (!accessModes.includes(String(mode))) errors.unsupported('spec.accessModes', mode, accessModes)
}

function validateAmount(amount: unknown, path: string, errors: FieldErrors): void {
  if (amount === undefined) errors.required(path)
  else if (parseQuantity(amount as Quantity) <= 0) errors.invalid(path, String(amount), 'must be greater than zero')
}

export function validateVolume(volume: AnyObject, errors: FieldErrors): void {
  validateAccessModes(volume, errors)
  validateAmount(valueAt(volume, '.spec.capacity.storage'), 'spec.capacity[storage]', errors)
  errors.oneOf('spec.persistentVolumeReclaimPolicy', valueAt(volume, '.spec.persistentVolumeReclaimPolicy') as string | undefined, ['Delete', 'Recycle', 'Retain'])
}

export function validateClaim(claim: AnyObject, errors: FieldErrors): void {
  validateAccessModes(claim, errors)
  validateAmount(valueAt(claim, '.spec.resources.requests.storage'), 'spec.resources[storage]', errors)
}

export function validateStorageClass({ provisioner, reclaimPolicy, volumeBindingMode }: AnyObject, errors: FieldErrors): void {
  if (provisioner === undefined || provisioner === '') errors.required('provisioner')
  errors.oneOf('reclaimPolicy', reclaimPolicy as string | undefined, ['Delete', 'Retain'])
  errors.oneOf('volumeBindingMode', volumeBindingMode as string | undefined, ['Immediate', 'WaitForFirstConsumer'])
}

export function validateStorageClassUpdate(object: AnyObject, old: AnyObject, errors: FieldErrors): void {
  for (const field of ['parameters', 'provisioner', 'reclaimPolicy']) if (!equalJson(object[field], old[field])) errors.forbidden(field, `updates to ${field} are forbidden.`)
  if (object['volumeBindingMode'] !== old['volumeBindingMode']) errors.immutable('volumeBindingMode', object['volumeBindingMode'])
}

/** Of a claim's spec, what may come or grow later. */
const laterOfClaim = new Set(['resources', 'volumeName', 'volumeAttributesClassName', 'storageClassName'])

export function validateClaimUpdate(claim: AnyObject, old: AnyObject, errors: FieldErrors): void {
  const lasting = (object: AnyObject): Record<string, unknown> => Object.fromEntries(Object.entries(isRecord(object['spec']) ? object['spec'] : {}).filter(([field]) => !laterOfClaim.has(field)))
  const isChanged = (field: string): boolean => valueAt(old, `.spec.${field}`) !== undefined && valueAt(old, `.spec.${field}`) !== valueAt(claim, `.spec.${field}`)
  if (!equalJson(lasting(claim), lasting(old)) || isChanged('volumeName') || isChanged('storageClassName')) {
    errors.forbidden('spec', 'spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims')
  }
  const [wanted, present] = [claim, old].map((object) => valueAt(object, '.spec.resources.requests.storage'))
  if (wanted !== undefined && present !== undefined && parseQuantity(wanted as Quantity) < parseQuantity(present as Quantity)) errors.forbidden('spec.resources.requests.storage', 'field can not be less than status.capacity')
}

/** Of a volume's spec, what is not where it lies. */
const notTheSource = new Set(['accessModes', 'capacity', 'claimRef', 'mountOptions', 'nodeAffinity', 'persistentVolumeReclaimPolicy', 'storageClassName', 'volumeAttributesClassName', 'volumeMode'])

export function validateVolumeUpdate(volume: AnyObject, old: AnyObject, errors: FieldErrors): void {
  const source = (object: AnyObject): Record<string, unknown> => Object.fromEntries(Object.entries(isRecord(object['spec']) ? object['spec'] : {}).filter(([field]) => !notTheSource.has(field)))
  if (!equalJson(source(volume), source(old))) errors.forbidden('spec.persistentvolumesource', 'spec.persistentvolumesource is immutable after creation')
  if (valueAt(volume, '.spec.volumeMode') !== valueAt(old, '.spec.volumeMode')) errors.immutable('spec.volumeMode', valueAt(volume, '.spec.volumeMode'))
}

/** `HighestUserDefinablePriority`. */
const priorityMax = 1_000_000_000
const systemClasses = new Set(['system-cluster-critical', 'system-node-critical'])

export function validatePriorityClass({ metadata, value, preemptionPolicy }: AnyObject, errors: FieldErrors): void {
  const { name = '' } = metadata
  if (name.startsWith('system-') && !systemClasses.has(name)) errors.forbidden('metadata.name', 'priority class names with \'system-\' prefix are reserved for system use only')
  else if (!systemClasses.has(name) && (value as number) > priorityMax) errors.forbidden('value', `maximum allowed value of a user defined priority is ${priorityMax}`)
  errors.oneOf('preemptionPolicy', preemptionPolicy as string | undefined, ['Never', 'PreemptLowerPriority'])
}

export function validatePriorityClassUpdate({ value, preemptionPolicy }: AnyObject, old: AnyObject, errors: FieldErrors): void {
  if (value !== old['value']) errors.forbidden('value', 'may not be changed in an update.')
  if (preemptionPolicy !== old['preemptionPolicy']) errors.immutable('preemptionPolicy', preemptionPolicy)
}
