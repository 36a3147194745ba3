// Classes, drivers and what is known of them, attachments and revisions (pkg/apis/storage, node, networking and apps: validation).
import { isQuantity, parseQuantity } from '../../../../api/quantity.ts'
import type { AnyObject } from '../../../../api/types.ts'
import { equalJson, isRecord, valueAt } from '../../object.ts'
import type { FieldErrors } from './errors.ts'
import { dnsLabel, dnsSubdomain } from './formats.ts'
import { validateLabelSelector } from './selectors.ts'

function textAt(object: unknown, path: string): string {
  const value = valueAt(object, path)
  return typeof value === 'string' ? value : ''
}

export function validateRuntimeClass(object: AnyObject, errors: FieldErrors): void {
  const handler = textAt(object, '.handler')
  if (handler === '') errors.required('handler')
  else errors.each('handler', handler, dnsLabel(handler))
}

export function validateRuntimeClassUpdate(object: AnyObject, old: AnyObject, errors: FieldErrors): void {
  if (object['handler'] !== old['handler']) errors.immutable('handler', object['handler'])
}

export function validateIngressClass(object: AnyObject, errors: FieldErrors): void {
  const controller = textAt(object, '.spec.controller')
  if (controller !== '' && !/^[a-z0-9]([-a-z0-9.]*[a-z0-9])?\/[A-Za-z0-9/\-._~%!$&'()*+,;=:]+$/.test(controller)) errors.invalid('spec.controller', controller, 'must be a domain-prefixed path (such as "acme.io/foo")')
  const parameters = valueAt(object, '.spec.parameters')
  if (!isRecord(parameters)) return
  for (const field of ['kind', 'name']) if (textAt(parameters, `.${field}`) === '') errors.required(`spec.parameters.${field}`)
  const [scope, namespace] = [textAt(parameters, '.scope'), valueAt(parameters, '.namespace')]
  if (scope !== 'Cluster' && scope !== 'Namespace') errors.unsupported('spec.parameters.scope', scope, ['Cluster', 'Namespace'])
  else if (scope === 'Namespace' && namespace === undefined) errors.required('spec.parameters.namespace', `\`parameters.scope\` is set to 'Namespace'`)
  else if (scope === 'Cluster' && namespace !== undefined) errors.forbidden('spec.parameters.namespace', `\`parameters.scope\` is set to 'Cluster'`)
}

export function validateIngressClassUpdate(object: AnyObject, old: AnyObject, errors: FieldErrors): void {
  if (valueAt(object, '.spec.controller') !== valueAt(old, '.spec.controller')) errors.immutable('spec.controller', valueAt(object, '.spec.controller'))
}

export function validateCSIDriver(object: AnyObject, errors: FieldErrors): void {
  const modes = valueAt(object, '.spec.volumeLifecycleModes')
  for (const mode of Array.isArray(modes) ? modes : []) if (mode !== 'Persistent' && mode !== 'Ephemeral') errors.unsupported('spec.volumeLifecycleModes', mode, ['Ephemeral', 'Persistent'])
  const policy = valueAt(object, '.spec.fsGroupPolicy')
  if (policy !== undefined) errors.oneOf('spec.fsGroupPolicy', String(policy), ['File', 'None', 'ReadWriteOnceWithFSType'])
  const requests = valueAt(object, '.spec.tokenRequests')
  const audiences = Array.isArray(requests) ? requests.map((request) => textAt(request, '.audience')) : []
  audiences.forEach((audience, i) => {
    if (audiences.indexOf(audience) !== i) errors.duplicate(`spec.tokenRequests[${i}].audience`, audience)
  })
}

export function validateCSIDriverUpdate(object: AnyObject, old: AnyObject, errors: FieldErrors): void {
  for (const field of ['attachRequired', 'volumeLifecycleModes']) if (!equalJson(valueAt(object, `.spec.${field}`), valueAt(old, `.spec.${field}`))) errors.immutable(`spec.${field}`, valueAt(object, `.spec.${field}`))
}

export function validateCSINode(object: AnyObject, errors: FieldErrors): void {
  const drivers = valueAt(object, '.spec.drivers')
  const names = Array.isArray(drivers) ? drivers.map((driver) => textAt(driver, '.name')) : []
  names.forEach((name, i) => {
    const at = `spec.drivers[${i}]`
    if (name === '') errors.required(`${at}.name`)
    else errors.each(`${at}.name`, name, dnsSubdomain(name.toLowerCase()))
    if (names.indexOf(name) !== i) errors.duplicate(`${at}.name`, name)
    if (textAt((drivers as unknown[])[i], '.nodeID') === '') errors.required(`${at}.nodeID`)
  })
}

export function validateCapacity(object: AnyObject, errors: FieldErrors): void {
  if (textAt(object, '.storageClassName') === '') errors.required('storageClassName')
  validateLabelSelector(isRecord(object['nodeTopology']) ? object['nodeTopology'] : undefined, 'nodeTopology', errors)
  for (const field of ['capacity', 'maximumVolumeSize']) {
    const amount = object[field]
    if (typeof amount === 'string' && isQuantity(amount) && parseQuantity(amount) < 0) errors.invalid(field, amount, 'must be greater than or equal to 0')
  }
}

export function validateCapacityUpdate(object: AnyObject, old: AnyObject, errors: FieldErrors): void {
  for (const field of ['nodeTopology', 'storageClassName']) if (!equalJson(object[field], old[field])) errors.immutable(field, object[field])
}

export function validateAttachment(object: AnyObject, errors: FieldErrors): void {
  if (textAt(object, '.spec.attacher') === '') errors.required('spec.attacher')
  if (textAt(object, '.spec.nodeName') === '') errors.required('spec.nodeName')
  const sources = ['inlineVolumeSpec', 'persistentVolumeName'].filter((field) => valueAt(object, `.spec.source.${field}`) !== undefined)
  if (sources.length === 0) errors.required('spec.source', 'must specify exactly one of inlineVolumeSpec and persistentVolumeName')
  else if (sources.length > 1) errors.forbidden('spec.source', 'must specify exactly one of inlineVolumeSpec and persistentVolumeName')
}

export function validateAttachmentUpdate(object: AnyObject, old: AnyObject, errors: FieldErrors): void {
  if (!equalJson(object['spec'], old['spec'])) errors.invalid('spec', object['spec'], 'field is immutable')
}

export function validateRevision(object: AnyObject, errors: FieldErrors): void {
  if (typeof object['revision'] === 'number') errors.nonNegative('revision', object['revision'])
}

export function validateRevisionUpdate(object: AnyObject, old: AnyObject, errors: FieldErrors): void {
  if (!equalJson(object['data'], old['data'])) errors.immutable('data', object['data'])
}
