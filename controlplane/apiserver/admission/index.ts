// What happens between preparation and storing, in Kubernetes' order: first those who may change an object, then, once it is valid,
// those who may only refuse it.
import { checkEscalation } from '../authorization/escalation.ts'
import type { WriteContext } from '../descriptor.ts'
import { cloneJson, equalJson, isRecord } from '../object.ts'
import type { ApiObject } from '../object.ts'
import { applyRuntimeClass, setStorageClass } from './classes.ts'
import { applyLimitDefaults, checkLimits } from './limit-ranger.ts'
import { applyPolicies } from './mutating-policies.ts'
import { checkNamespace, checkNamespaceDeletion } from './namespace-lifecycle.ts'
import { checkNodeWrite } from './node-restriction.ts'
import { admitPod, checkPriorityClass } from './pod.ts'
import type { PodAdmissionOptions } from './pod.ts'
import { checkPodSecurity } from './pod-security.ts'
import { checkPolicies } from './policies.ts'
import { Quotas } from './quota.ts'
import type { WriteQuota } from './quota.ts'
import type { Admission, AdmissionRequest } from './request.ts'
import { Rounds } from './rounds.ts'
import { Webhooks } from './webhooks.ts'
import type { WebhookOptions } from './webhooks.ts'

export interface AdmissionOptions extends PodAdmissionOptions, WebhookOptions {
  readonly writeQuota: WriteQuota
}

/** The plugins that are always on. */
export function createAdmission(options: AdmissionOptions): Admission {
  const webhooks = new Webhooks(options)
  const quotas = new Quotas(options.writeQuota)
  return {
    mutate(request) {
      mutateBuiltIn(request, options)
      const rounds = new Rounds()
      const asked = askToMutate(request, rounds, webhooks, options)
      return asked?.then(() => mutateAgain(request, rounds, webhooks, options))
    },
    validate(request) {
      validateBuiltIn(request, options)
      const asked = checkPolicies(request, options)?.then(() => webhooks.validate(request)) ?? webhooks.validate(request)
      return asked === undefined ? quotas.charge(request) : asked.then(() => quotas.charge(request))
    },
  }
}

/** Policies first, then webhooks. */
function askToMutate(request: AdmissionRequest, rounds: Rounds, webhooks: Webhooks, options: AdmissionOptions): Promise<void> | undefined {
  return applyPolicies(request, rounds, options)?.then(() => webhooks.mutate(request, rounds)) ?? webhooks.mutate(request, rounds)
}

/** When somebody has changed the object, the built-in plugins see it again, and those who want to. */
async function mutateAgain(request: AdmissionRequest, rounds: Rounds, webhooks: Webhooks, options: AdmissionOptions): Promise<void> {
  if (!rounds.isChanged) return
  const before = cloneJson(request.object)
  mutateBuiltIn(request, options)
  if (!equalJson(before, request.object)) rounds.changed(false)
  rounds.next()
  await askToMutate(request, rounds, webhooks, options)
}

function mutateBuiltIn(request: AdmissionRequest, options: AdmissionOptions): void {
  const { operation, descriptor, subresource, object, old, context } = request
  if (operation === 'DELETE' && old !== undefined) {
    checkNodeWrite(request)
    checkNamespaceDeletion(descriptor, old)
    return
  }
  if (object === undefined || operation === 'CONNECT' || request.kind !== descriptor) return
  if (operation === 'CREATE' && subresource === '') {
    checkNamespace(descriptor, object, context)
    applyLimitDefaults(request)
    if (descriptor.group === '' && descriptor.plural === 'pods') {
      admitPod(object, context, options)
      applyRuntimeClass(object, context)
    }
    if (descriptor.group === '' && descriptor.plural === 'persistentvolumeclaims') setStorageClass(object, context)
    if (descriptor.kind === 'CertificateSigningRequest') nameRequester(object, context)
  }
  checkNodeWrite(request)
}

function validateBuiltIn(request: AdmissionRequest, { authorizer }: AdmissionOptions): void {
  const { operation, descriptor, object, old, context } = request
  if (object === undefined || operation === 'CONNECT' || request.kind !== descriptor) return
  checkLimits(request)
  checkPodSecurity(request)
  if (descriptor.kind === 'PriorityClass' && descriptor.group === 'scheduling.k8s.io') checkPriorityClass(object, context)
  checkEscalation(authorizer, descriptor, object, old, context.user)
}

/** A request for a certificate says who made it; that is not the client's to say. */
function nameRequester(request: ApiObject, { user }: WriteContext): void {
  if (!isRecord(request['spec'])) return
  const { username: _username, uid: _uid, groups: _groups, extra: _extra, ...spec } = request['spec']
  const { name, uid, groups, extra } = user
  request['spec'] = { ...spec, username: name, groups: [...groups], ...(uid === undefined ? {} : { uid }), ...(extra === undefined ? {} : { extra: structuredClone(extra) }) }
}
