// What is there already when a schema changes, null, rules about what was before, and what rules may cost.
import t from 'tap'
import type { Test } from 'tap'
import { systemClock } from '../../../api/clock.ts'
import type { ApiServer } from '../index.ts'
import { ask, startTestServer } from '../test-support/server.ts'
import { itemBefore } from './schema.ts'

type Json = Record<string, unknown>

const definitions = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions'
const definitionPath = `${definitions}/widgets.example.com`
const widgets = '/apis/example.com/v1/namespaces/default/widgets'
const merge = { 'content-type': 'application/merge-patch+json' }

const definition = (properties: Json, more: Json = {}): Json => ({
  metadata: { name: 'widgets.example.com' },
  spec: {
    group: 'example.com', scope: 'Namespaced', names: { plural: 'widgets', kind: 'Widget' },
    versions: [{ name: 'v1', served: true, storage: true, subresources: { status: {} }, schema: { openAPIV3Schema: { type: 'object', properties: { spec: { type: 'object', properties, ...more }, status: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } } } } }],
  },
})
const widget = (name: string, spec: Json): Json => ({ metadata: { name }, spec })

async function until(what: () => Promise<boolean>): Promise<void> {
  while (!(await what())) await systemClock.sleep(5)
}

async function defined(t: Test, properties: Json, more: Json = {}): Promise<ApiServer> {
  const { server } = await startTestServer(t)
  const made = await ask(server, 'POST', definitions, definition(properties, more))
  t.equal(made.status, 201, made.text.slice(0, 500))
  await until(async () => (await ask(server, 'GET', widgets)).status === 200)
  return server
}

/** Another schema from now on; `mark` is a field that only it has. */
async function redefine(server: ApiServer, properties: Json, more: Json = {}): Promise<void> {
  const { body } = await ask(server, 'GET', definitionPath)
  await ask(server, 'PUT', definitionPath, { ...body, spec: definition({ ...properties, mark: { type: 'string' } }, more)['spec'] })
  await until(async () => (await ask(server, 'GET', '/openapi/v3/apis/example.com/v1')).text.includes('"mark"'))
}

const text = { type: 'string' }

t.test('what is stored is shown as the schema of now has it: with defaults, and without what it does not know', async (t) => {
  const server = await defined(t, { a: text, old: text })
  await ask(server, 'POST', widgets, widget('x', { a: 'b', old: 'c' }))
  const before = await ask(server, 'GET', `${widgets}/x`)
  const { body: watch } = await server.transport({ name: 'a', groups: ['system:masters'] })({ method: 'GET', path: `${widgets}?watch=1` })
  for await (const piece of watch) {
    t.match(Buffer.from(piece).toString(), /"old":"c"/)
    break
  }
  await redefine(server, { a: text, level: { type: 'integer', default: 3 } })
  const { body } = await ask(server, 'GET', `${widgets}/x`)
  t.same(body['spec'], { a: 'b', level: 3 })
  t.same((body['metadata'] as Json)['resourceVersion'], (before.body['metadata'] as Json)['resourceVersion'], 'nothing was written')
  t.match((await ask(server, 'GET', widgets)).body, { items: [{ spec: { level: 3 } }] })
  t.match(await ask(server, 'PATCH', `${widgets}/x`, [{ op: 'test', path: '/spec/level', value: 3 }], { 'content-type': 'application/json-patch+json' }), { status: 200 })
})

t.test('what was wrong before a schema became stricter may stay while it is unchanged', async (t) => {
  const parts = (items: Json): Json => ({ type: 'array', 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['id'], items: { type: 'object', required: ['id'], properties: { id: text, size: items } } })
  const server = await defined(t, { name: text, other: text, parts: parts({ type: 'integer' }), list: { type: 'array', items: text } })
  await ask(server, 'POST', widgets, widget('x', { name: 'LOUD', other: 'a', parts: [{ id: 'a', size: 100 }, { id: 'b', size: 1 }], list: ['LOUD'] }))
  const strict = { name: { ...text, pattern: '^[a-z]+$' }, other: { ...text, 'x-kubernetes-validations': [{ rule: 'self != "bad"' }] }, parts: parts({ type: 'integer', maximum: 10 }), list: { type: 'array', maxItems: 10, items: { ...text, maxLength: 20, pattern: '^[a-z]+$' } } }
  await redefine(server, strict, { 'x-kubernetes-validations': [{ rule: 'self.name != "LOUD"', message: 'not so loud' }] })
  const patch = (spec: Json): ReturnType<typeof ask> => ask(server, 'PATCH', `${widgets}/x`, { spec }, merge)
  t.match(await ask(server, 'PATCH', `${widgets}/x`, { metadata: { labels: { a: 'b' } } }, merge), { status: 200 })
  t.match(await ask(server, 'PATCH', `${widgets}/x/status`, { status: { ready: true } }, merge), { status: 200 })
  t.match(await patch({ other: 'b' }), { status: 422, body: { message: /spec: Invalid value: "object": not so loud/ } }, 'a rule of what changed is asked')
  t.match(await patch({ name: 'SHOUT' }), { status: 422, body: { message: /spec.name: Invalid value: "SHOUT": spec.name in body should match/ } })
  t.match(await patch({ name: 'quiet', parts: [{ id: 'a', size: 100 }, { id: 'b', size: 2 }] }), { status: 200 }, 'items are known by their keys')
  t.match(await patch({ parts: [{ id: 'a', size: 101 }] }), { status: 422, body: { message: /spec.parts\[0\].size/ } })
  t.match(await patch({ list: ['LOUD', 'b'] }), { status: 422, body: { message: /spec.list\[0\]/ } }, 'items of other lists are not')
  t.match(await ask(server, 'POST', widgets, widget('y', { name: 'LOUD' })), { status: 422 })
})

t.test('null is a value where the schema says so, and nothing elsewhere', async (t) => {
  const server = await defined(t, { may: { type: 'string', nullable: true }, not: text, other: { type: 'string', default: 'd' }, both: { type: 'string', nullable: true, default: 'd' }, list: { type: 'array', items: text }, map: { type: 'object', additionalProperties: { type: 'string', nullable: true } }, free: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } })
  const made = await ask(server, 'POST', widgets, { metadata: { name: 'x', creationTimestamp: null }, spec: { may: null, not: null, other: null, both: null, map: { a: null }, free: { a: null } } })
  t.equal(made.status, 201, made.text.slice(0, 300))
  t.same(made.body['spec'], { may: null, other: 'd', both: null, map: { a: null }, free: { a: null } })
  t.same((await ask(server, 'GET', `${widgets}/x`)).body['spec'], made.body['spec'])
  t.match(await ask(server, 'POST', widgets, widget('y', { list: [null] })), { status: 422, body: { message: /spec.list\[0\] in body must be of type string: "null"/ } })
})

t.test('a rule may ask whether there was anything before', async (t) => {
  const rules = [
    { rule: 'oldSelf.hasValue() || self.size <= 3', optionalOldSelf: true, message: 'begin small' },
    { rule: 'oldSelf.optMap(o, o.size).orValue(0) <= self.size', optionalOldSelf: true, message: 'only grow' },
    { rule: 'self.size != 13', reason: 'FieldValueForbidden', fieldPath: '.size', messageExpression: '"not " + string(self.size)' },
  ]
  const server = await defined(t, { size: { type: 'integer' } }, { 'x-kubernetes-validations': rules })
  t.match(await ask(server, 'POST', widgets, widget('x', { size: 4 })), { status: 422, body: { message: /spec: Invalid value: "object": begin small/ } })
  t.match(await ask(server, 'POST', widgets, widget('x', { size: 3 })), { status: 201 })
  t.match(await ask(server, 'PATCH', `${widgets}/x`, { spec: { size: 5 } }, merge), { status: 200 })
  t.match(await ask(server, 'PATCH', `${widgets}/x`, { spec: { size: 2 } }, merge), { status: 422, body: { message: /only grow/ } })
  t.match(await ask(server, 'PATCH', `${widgets}/x`, { spec: { size: 13 } }, merge), { status: 422, body: { details: { causes: [{ field: 'spec.size', reason: 'FieldValueForbidden', message: /not 13/ }] } } })
})

t.test('a rule that could cost too much is refused, and says what bounds it', async (t) => {
  const { server } = await startTestServer(t)
  const list = (more: Json, rule: string): Json => ({ list: { type: 'array', items: text, ...more, 'x-kubernetes-validations': [{ rule }] } })
  const nested = 'self.all(a, self.all(b, a == b))'
  t.match(await ask(server, 'POST', definitions, definition(list({}, nested))), { status: 422, body: { details: { causes: [{ field: 'spec.versions[0].schema.openAPIV3Schema.properties[spec].properties[list].x-kubernetes-validations[0].rule', reason: 'FieldValueForbidden', message: /estimated rule cost exceeds budget by factor of more than 100x \(try simplifying the rule, or adding maxItems/ }] } } })
  t.match(await ask(server, 'POST', definitions, definition(list({ maxItems: 20, items: { ...text, maxLength: 5 } }, nested))), { status: 201 })
  const sets = (maxItems: number): Json => list({ maxItems, items: { ...text, maxLength: 5 } }, 'sets.equivalent(self, self)')
  t.match(await ask(server, 'POST', `${definitions}?dryRun=All`, definition(sets(100_000))), { status: 422, body: { message: /estimated rule cost exceeds budget by factor of more than 100x/ } })
  const many = { type: 'array', items: { type: 'object', properties: list({ maxItems: 20, items: { ...text, maxLength: 5 } }, nested) } }
  t.match(await ask(server, 'POST', definitions, definition({ many })), { status: 422, body: { message: /estimated rule cost exceeds budget/ } }, 'what stands in a list is there often')
})

t.test('the groups of Kubernetes need its approval', async (t) => {
  const { server } = await startTestServer(t)
  const { spec } = definition({}) as { spec: Json }
  const protectedOne = (annotations: Json): Json => ({ metadata: { name: 'widgets.example.k8s.io', annotations }, spec: { ...spec, group: 'example.k8s.io' } })
  t.match(await ask(server, 'POST', definitions, protectedOne({})), { status: 422, body: { message: /api-approved.kubernetes.io/ } })
  t.match(await ask(server, 'POST', definitions, protectedOne({ 'api-approved.kubernetes.io': 'https://github.com/kubernetes/kubernetes/pull/1' })), { status: 201 })
  await until(async () => (await ask(server, 'GET', `${definitions}/widgets.example.k8s.io`)).text.includes('KubernetesAPIApprovalPolicyConformant'))
})

t.test('the items of long lists are found again in time', { timeout: 10_000 }, (t) => {
  const list = Array.from({ length: 50_000 }, (_, i) => ({ id: `i${i}`, at: i }))
  const schema = { type: 'array', 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['id'] } as const
  t.ok(list.toReversed().every(({ id, at }) => itemBefore(schema, { value: list }, { id })?.value === list[at]))
  t.equal(itemBefore(schema, { value: list }, { id: 'none' }), undefined)
  t.end()
})
