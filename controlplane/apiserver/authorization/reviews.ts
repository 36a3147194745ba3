// Questions about who may: the reviews of authorization.k8s.io and authentication.k8s.io (`kubectl auth can-i`, `whoami`).
// They are answered and never stored.
import type { PolicyRule } from '../../../api/types.ts'
import type { UserInfo } from '../descriptor.ts'
import { jsonReply } from '../http.ts'
import type { Reply } from '../http.ts'
import { isRecord, timestamp } from '../object.ts'
import type { ApiObject } from '../object.ts'
import { readKind } from '../routes/body.ts'
import { writeOptions } from '../routes/call.ts'
import type { Call } from '../routes/call.ts'
import { badRequest, noSuchPath } from '../status.ts'
import type { Attributes } from './rbac.ts'

type Json = Record<string, unknown>

/** Answers a create of a kind that is not stored. */
export async function review(call: Call): Promise<Reply> {
  const { descriptor, request, serving } = call
  const object = await readKind(request, descriptor)
  const spec = isRecord(object['spec']) ? object['spec'] : {}
  const answer = answers[descriptor.kind]
  if (answer === undefined) throw noSuchPath()
  await serving.writer.admit({ operation: 'CREATE', descriptor, subresource: '', kind: descriptor, namespace: call.info.namespace, name: object.metadata.name ?? '', object, old: undefined }, writeOptions(call))
  const { metadata: _metadata, ...rest } = object
  return jsonReply(201, { ...rest, metadata: { creationTimestamp: timestamp(serving.clock.now()) }, status: answer(call, spec, object) })
}

const answers: Readonly<Record<string, (call: Call, spec: Json, object: ApiObject) => Json>> = {
  SelfSubjectAccessReview: (call, spec) => decide(call, call.user, spec),
  SubjectAccessReview: (call, spec) => decide(call, userOf(spec), spec),
  LocalSubjectAccessReview: (call, spec) => {
    const namespace = isRecord(spec['resourceAttributes']) ? spec['resourceAttributes']['namespace'] : undefined
    if (namespace !== call.info.namespace) throw badRequest(`spec.resourceAttributes.namespace must match metadata.namespace (${call.info.namespace})`)
    return decide(call, userOf(spec), spec)
  },
  SelfSubjectRulesReview: rules,
  SelfSubjectReview: ({ user }) => ({ userInfo: withUsername(user) }),
  TokenReview: reviewToken,
}

function decide({ serving }: Call, user: UserInfo, spec: Json): Json {
  const allowed = serving.authorizer.isAllowed(user, attributesOf(spec))
  return { allowed, ...(allowed ? {} : { reason: 'no RBAC rule allows it' }) }
}

function attributesOf(spec: Json): Attributes {
  const { resourceAttributes, nonResourceAttributes } = spec
  const text = (from: Json, field: string): string => (typeof from[field] === 'string' ? from[field] : '')
  if (isRecord(resourceAttributes)) {
    const read = (field: string): string => text(resourceAttributes, field)
    return { verb: read('verb'), group: read('group'), resource: read('resource'), subresource: read('subresource'), namespace: read('namespace'), name: read('name'), path: '' }
  }
  if (!isRecord(nonResourceAttributes)) throw badRequest('exactly one of nonResourceAttributes or resourceAttributes must be specified')
  return { verb: text(nonResourceAttributes, 'verb'), group: '', resource: '', subresource: '', namespace: '', name: '', path: text(nonResourceAttributes, 'path') }
}

function userOf(spec: Json): UserInfo {
  const groups = Array.isArray(spec['groups']) ? spec['groups'].map(String) : []
  if (typeof spec['user'] !== 'string' && groups.length === 0) throw badRequest('at least one of user or group must be specified')
  return { name: typeof spec['user'] === 'string' ? spec['user'] : '', groups }
}

function rules({ serving, user }: Call, spec: Json): Json {
  const all = serving.authorizer.rules(user, typeof spec['namespace'] === 'string' ? spec['namespace'] : '')
  const isPath = (rule: PolicyRule): boolean => rule.nonResourceURLs !== undefined
  return {
    resourceRules: all.filter((rule) => !isPath(rule)),
    nonResourceRules: all.filter(isPath).map(({ verbs, nonResourceURLs }) => ({ verbs, nonResourceURLs })),
    incomplete: false,
  }
}

function reviewToken({ serving }: Call, spec: Json): Json {
  const audiences = Array.isArray(spec['audiences']) ? spec['audiences'].map(String) : [serving.tokens.issuer]
  const user = typeof spec['token'] === 'string' ? serving.authenticator.userOf(spec['token'], audiences) : undefined
  return user === undefined ? { authenticated: false, error: 'the token is not valid' } : { authenticated: true, user: withUsername(user), audiences }
}

function withUsername({ name, uid, groups, extra }: UserInfo): Json {
  return { username: name, groups, ...(uid === undefined ? {} : { uid }), ...(extra === undefined ? {} : { extra }) }
}
