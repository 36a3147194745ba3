// AdmissionReview: how a webhook is asked, and what of its answer counts (admission.k8s.io/v1, and v1beta1 for old ones).
import { randomUUID } from 'node:crypto'
import type { ResourceDescriptor } from '../descriptor.ts'
import { parseJson } from '../json.ts'
import { isRecord } from '../object.ts'
import type { ApiObject } from '../object.ts'
import { StatusError } from '../status.ts'
import type { AdmissionRequest, GroupVersionKind } from './request.ts'

type Json = Record<string, unknown>

/** The request as webhooks are told of it, and expressions name it. `as` is the resource whose rule matched, `objects` are of its version. */
export function reviewRequest(request: AdmissionRequest, as: ResourceDescriptor, objects: { readonly object: ApiObject | undefined; readonly old: ApiObject | undefined }): Json {
  const { descriptor, subresource, operation, namespace, name, context, origin } = request
  const { user } = context
  const kindOf = (of: GroupVersionKind): GroupVersionKind => ({ group: of.group, version: of.version, kind: of.kind })
  const resourceOf = ({ group, version, plural }: ResourceDescriptor): Json => ({ group, version, resource: plural })
  const asKind = request.kind === descriptor ? kindOf(as) : kindOf(request.kind)
  return {
    uid: randomUUID(),
    kind: asKind,
    resource: resourceOf(as),
    ...(subresource === '' ? {} : { subResource: subresource }),
    requestKind: kindOf(request.kind),
    requestResource: resourceOf(descriptor),
    ...(subresource === '' ? {} : { requestSubResource: subresource }),
    ...(name === '' ? {} : { name }),
    ...(namespace === '' ? {} : { namespace }),
    operation,
    userInfo: { username: user.name, ...(user.uid === undefined ? {} : { uid: user.uid }), groups: user.groups, ...(user.extra === undefined ? {} : { extra: user.extra }) },
    object: shownTo(objects.object, asKind),
    oldObject: shownTo(objects.old, asKind),
    dryRun: context.dryRun,
    options: origin === undefined || operation === 'CONNECT' ? null : { kind: optionKinds[operation], apiVersion: 'meta.k8s.io/v1', ...origin.options },
  }
}

const optionKinds = { CREATE: 'CreateOptions', UPDATE: 'UpdateOptions', DELETE: 'DeleteOptions' }

function shownTo(object: ApiObject | undefined, { group, version, kind }: GroupVersionKind): ApiObject | null {
  return object === undefined ? null : { ...object, kind, apiVersion: group === '' ? version : `${group}/${version}` }
}

const versions = ['v1', 'v1beta1']

export interface Review {
  readonly body: Json
  readonly uid: string
}

/** Undefined when a webhook accepts no version that is spoken here. */
export function reviewOf(accepted: readonly string[], request: Json): Review | undefined {
  const version = accepted.find((one) => versions.includes(one))
  const uid = randomUUID()
  return version === undefined ? undefined : { uid, body: { kind: 'AdmissionReview', apiVersion: `admission.k8s.io/${version}`, request: { ...request, uid } } }
}

export interface Verdict {
  readonly allowed: boolean
  /** A JSON Patch. */
  readonly patch: unknown
  readonly warnings: readonly string[]
  readonly annotations: readonly (readonly [key: string, value: string])[]
  readonly status: Json
}

/** Reads an answer; throws what is wrong with it. */
export function verdictOf(answer: unknown, { body, uid }: Review, mayPatch: boolean): Verdict {
  if (!isRecord(answer)) throw new Error('the answer is no AdmissionReview')
  const { apiVersion, kind, response } = answer
  const isV1 = body['apiVersion'] === 'admission.k8s.io/v1'
  if (isV1 && (apiVersion !== body['apiVersion'] || kind !== 'AdmissionReview')) throw new Error(`expected webhook response of ${String(body['apiVersion'])}, Kind=AdmissionReview, got ${String(apiVersion ?? '')}, Kind=${String(kind ?? '')}`)
  if (!isRecord(response)) throw new Error('webhook response was absent')
  if (isV1 && response['uid'] !== uid) throw new Error(`expected response.uid=${JSON.stringify(uid)}, got ${JSON.stringify(response['uid'] ?? '')}`)
  const { patch, patchType, warnings, auditAnnotations, status } = response
  const hasPatch = typeof patch === 'string' && patch !== ''
  if (hasPatch && !mayPatch) throw new Error('webhook response.patch is not allowed of a validating webhook')
  if (hasPatch && isV1 && patchType !== 'JSONPatch') throw new Error(`webhook response.patchType must be set to "JSONPatch" when response.patch is set, got ${JSON.stringify(patchType ?? '')}`)
  return {
    allowed: response['allowed'] === true,
    patch: hasPatch ? parseJson(Buffer.from(patch, 'base64').toString()) : undefined,
    warnings: Array.isArray(warnings) ? warnings.map(String) : [],
    annotations: isRecord(auditAnnotations) ? Object.entries(auditAnnotations).map(([key, value]) => [key, String(value)] as const) : [],
    status: isRecord(status) ? status : {},
  }
}

/** How a webhook's no reaches the client: with the webhook's own code, reason and details (webhook/errors.ToStatusErr). */
export function denial(webhook: string, { code, reason, message, details }: Json): StatusError {
  const who = `admission webhook ${JSON.stringify(webhook)} denied the request`
  const why = typeof message === 'string' && message !== '' ? `: ${message}` : typeof reason === 'string' && reason !== '' ? `: ${reason}` : ' without explanation'
  return new StatusError(typeof code === 'number' && code >= 400 && code < 600 ? code : 400, typeof reason === 'string' ? reason : '', who + why, isRecord(details) ? details : undefined)
}
