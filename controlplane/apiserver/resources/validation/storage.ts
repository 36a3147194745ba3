// Volumes, claims, and classes of storage and priority (pkg/apis/core/validation, pkg/apis/storage/validation).
import { parseQuantity } from '../../../../api/quantity.ts'
import type { AnyObject, Quantity } from '../../../../api/types.ts'
import { valueAt } from '../../object.ts'
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
