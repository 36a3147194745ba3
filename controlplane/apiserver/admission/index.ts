// What happens between preparation and validation, in Kubernetes' order: plugins that look at other objects.
import type { ResourceDescriptor, WriteContext } from '../descriptor.ts'
import type { ApiObject } from '../object.ts'
import { checkNamespace, checkNamespaceDeletion } from './namespace-lifecycle.ts'
import { admitPod } from './pod.ts'

export interface Admission {
  admitCreate(descriptor: ResourceDescriptor, object: ApiObject, context: WriteContext): void
  admitUpdate(descriptor: ResourceDescriptor, object: ApiObject, old: ApiObject, context: WriteContext): void
  checkDelete(descriptor: ResourceDescriptor, object: ApiObject, context: WriteContext): void
}

/** The plugins that are always on. */
export const admission: Admission = {
  admitCreate(descriptor, object, context) {
    checkNamespace(descriptor, object, context)
    if (descriptor.group === '' && descriptor.plural === 'pods') admitPod(object, context)
  },
  admitUpdate() {
    // Nothing here changes or refuses updates yet; webhooks and quota have their place here.
  },
  checkDelete(descriptor, object) {
    checkNamespaceDeletion(descriptor, object)
  },
}
