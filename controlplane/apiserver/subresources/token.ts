// TokenRequest: a token for a service account, bound to a pod, secret or node if wanted, good for a while.
import { checkNodeToken } from '../admission/node-restriction.ts'
import { jsonReply } from '../http.ts'
import type { Reply } from '../http.ts'
import type { TokenSubject } from '../authentication/service-account-tokens.ts'
import { isRecord, timestamp } from '../object.ts'
import { readKind } from '../routes/body.ts'
import { writeOptions } from '../routes/call.ts'
import type { Call } from '../routes/call.ts'
import { conflict, invalid, notFound } from '../status.ts'

const kind = { group: 'authentication.k8s.io', version: 'v1', kind: 'TokenRequest' }
const defaultSeconds = 3600
const secondsMin = 600
const secondsMax = 2 ** 32

const bindable: Readonly<Record<string, { readonly resource: string; readonly namespaced: boolean }>> = {
  Pod: { resource: 'pods', namespaced: true },
  Secret: { resource: 'secrets', namespaced: true },
  Node: { resource: 'nodes', namespaced: false },
}

export async function requestToken(call: Call): Promise<Reply> {
  const { serving, request, info, descriptor, user } = call
  const wanted = await readKind(request, kind)
  const spec = isRecord(wanted['spec']) ? wanted['spec'] : {}
  const account = await serving.reader.current(descriptor, info.namespace, info.name)
  const seconds = spec['expirationSeconds'] ?? defaultSeconds
  if (typeof seconds !== 'number' || !Number.isSafeInteger(seconds) || seconds < secondsMin || seconds > secondsMax) {
    throw invalid(kind, '', [{ field: 'spec.expirationSeconds', type: 'FieldValueInvalid', value: seconds, detail: 'may not specify a duration less than 10 minutes or more than 2^32 seconds' }])
  }
  const audiences = Array.isArray(spec['audiences']) ? spec['audiences'].map(String) : []
  const subject: TokenSubject = { namespace: info.namespace, account: { name: info.name, uid: account.object.metadata.uid ?? '' }, ...boundTo(call, spec['boundObjectRef']) }
  checkNodeToken(subject.pod === undefined ? undefined : serving.cache.named('pods')?.get(info.namespace, subject.pod.name)?.object, user)
  await serving.writer.admit({ operation: 'CREATE', descriptor, subresource: 'token', kind, namespace: info.namespace, name: info.name, object: wanted, old: undefined }, writeOptions(call))
  const { token, expires } = serving.tokens.issue(subject, audiences, seconds)
  return jsonReply(201, {
    ...wanted,
    metadata: { name: info.name, namespace: info.namespace, creationTimestamp: timestamp(serving.clock.now()) },
    spec: { ...spec, audiences: audiences.length === 0 ? [serving.tokens.issuer] : audiences, expirationSeconds: seconds },
    status: { token, expirationTimestamp: timestamp(expires) },
  })
}

/** The object whose end is the token's end; a pod's node comes with it. */
function boundTo({ serving, info }: Call, reference: unknown): Partial<TokenSubject> {
  if (!isRecord(reference)) return {}
  const objectKind = String(reference['kind'] ?? '')
  const bindableTo = Object.hasOwn(bindable, objectKind) ? bindable[objectKind] : undefined
  if (bindableTo === undefined) throw invalid(kind, '', [{ field: 'spec.boundObjectRef.kind', type: 'FieldValueNotSupported', value: objectKind, detail: 'supported values: "Pod", "Secret", "Node"' }])
  const name = String(reference['name'] ?? '')
  const lookup = (resource: string, namespace: string, name: string): { name: string; uid: string; object: Record<string, unknown> } | undefined => {
    const entry = serving.cache.named(resource)?.get(namespace, name)
    return entry === undefined ? undefined : { name, uid: entry.object.metadata.uid ?? '', object: entry.object }
  }
  const found = lookup(bindableTo.resource, bindableTo.namespaced ? info.namespace : '', name)
  if (found === undefined) throw notFound({ group: '', plural: bindableTo.resource }, name)
  const wanted = reference['uid']
  if (typeof wanted === 'string' && wanted !== '' && wanted !== found.uid) throw conflict({ group: '', plural: bindableTo.resource }, name, `the UID in the bound object reference (${wanted}) does not match the UID in record. The object might have been deleted and then recreated`)
  const bound = { name, uid: found.uid }
  if (objectKind === 'Secret') return { secret: bound }
  if (objectKind === 'Node') return { node: bound }
  const spec = found.object['spec']
  const nodeName = isRecord(spec) && typeof spec['nodeName'] === 'string' ? spec['nodeName'] : ''
  const node = nodeName === '' ? undefined : lookup('nodes', '', nodeName)
  return { pod: bound, ...(node === undefined ? {} : { node: { name: node.name, uid: node.uid } }) }
}
