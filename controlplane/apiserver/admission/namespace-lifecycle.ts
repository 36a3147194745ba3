// NamespaceLifecycle: nothing is created in a namespace that is not there or is going, and three namespaces stay.
import type { ResourceDescriptor, WriteContext } from '../descriptor.ts'
import type { ApiObject } from '../object.ts'
import { forbidden, notFound } from '../status.ts'

const immortal = new Set(['default', 'kube-system', 'kube-public'])
const namespaces = { group: '', plural: 'namespaces' }

export function checkNamespace(descriptor: ResourceDescriptor, object: ApiObject, context: WriteContext): void {
  if (!descriptor.namespaced || descriptor.virtual === true) return
  const name = object.metadata.namespace ?? ''
  const namespace = context.lookup('namespaces', undefined, name)
  if (namespace === undefined) throw notFound(namespaces, name)
  if (namespace.metadata.deletionTimestamp === undefined) return
  throw forbidden(descriptor, object.metadata.name ?? '', `unable to create new content in namespace ${name} because it is being terminated`, [
    { reason: 'NamespaceTerminating', message: `namespace ${name} is being terminated`, field: 'metadata.namespace' },
  ])
}

export function checkNamespaceDeletion(descriptor: ResourceDescriptor, object: ApiObject): void {
  const name = object.metadata.name ?? ''
  if (descriptor.group === '' && descriptor.plural === 'namespaces' && immortal.has(name)) {
    throw forbidden(namespaces, name, 'this namespace may not be deleted')
  }
}
