// What happens between preparation and validation, in Kubernetes' order: plugins that look at other objects.
import { checkEscalation } from '../authorization/escalation.ts'
import type { Authorizer } from '../authorization/rbac.ts'
import type { ResourceDescriptor, WriteContext } from '../descriptor.ts'
import { isRecord } from '../object.ts'
import type { ApiObject } from '../object.ts'
import { applyRuntimeClass, setStorageClass } from './classes.ts'
import { checkNamespace, checkNamespaceDeletion } from './namespace-lifecycle.ts'
import { checkNodeWrite } from './node-restriction.ts'
import { admitPod } from './pod.ts'
import type { PodAdmissionOptions } from './pod.ts'

export interface Admission {
  admitCreate(descriptor: ResourceDescriptor, object: ApiObject, context: WriteContext): void
  /** Of updates of every part, the status included. */
  admitUpdate(descriptor: ResourceDescriptor, object: ApiObject, old: ApiObject, context: WriteContext): void
  checkDelete(descriptor: ResourceDescriptor, object: ApiObject, context: WriteContext): void
}

export interface AdmissionOptions extends PodAdmissionOptions {
  readonly authorizer: Authorizer
}

/** The plugins that are always on. */
export function createAdmission(options: AdmissionOptions): Admission {
  const { authorizer } = options
  return {
    admitCreate(descriptor, object, context) {
      checkNamespace(descriptor, object, context)
      if (descriptor.group === '' && descriptor.plural === 'pods') {
        admitPod(object, context, options)
        applyRuntimeClass(object, context)
      }
      if (descriptor.group === '' && descriptor.plural === 'persistentvolumeclaims') setStorageClass(object, context)
      if (descriptor.kind === 'CertificateSigningRequest') nameRequester(object, context)
      checkNodeWrite(descriptor, object, undefined, context.user)
      checkEscalation(authorizer, descriptor, object, undefined, context.user)
    },
    admitUpdate(descriptor, object, old, context) {
      checkNodeWrite(descriptor, object, old, context.user)
      checkEscalation(authorizer, descriptor, object, old, context.user)
    },
    checkDelete(descriptor, object, context) {
      checkNodeWrite(descriptor, object, object, context.user)
      checkNamespaceDeletion(descriptor, object)
    },
  }
}

/** A request for a certificate says who made it; that is not the client's to say. */
function nameRequester(request: ApiObject, { user }: WriteContext): void {
  if (!isRecord(request['spec'])) return
  const { username: _username, uid: _uid, groups: _groups, extra: _extra, ...spec } = request['spec']
  const { name, uid, groups, extra } = user
  request['spec'] = { ...spec, username: name, groups: [...groups], ...(uid === undefined ? {} : { uid }), ...(extra === undefined ? {} : { extra: structuredClone(extra) }) }
}
