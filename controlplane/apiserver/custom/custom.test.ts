// Custom resources over requests: defined, served by the same path as built-in kinds, and gone with their definition.
import t from 'tap'
import type { Test } from 'tap'
import { systemClock } from '../../../api/clock.ts'
import type { ApiServer } from '../index.ts'
import { ask, startTestServer } from '../test-support/server.ts'
import type { Answer } from '../test-support/server.ts'

type Json = Record<string, unknown>

const definitions = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions'
const widgets = '/apis/example.com/v1/namespaces/default/widgets'

const spec = {
  type: 'object', required: ['size'],
  properties: {
    size: { type: 'integer', minimum: 1, maximum: 10 },
    color: { type: 'string', enum: ['red', 'blue'], default: 'red' },
    name: { type: 'string', pattern: '^[a-z]+$', maxLength: 5 },
    port: { 'x-kubernetes-int-or-string': true },
    limits: { type: 'object', additionalProperties: { type: 'integer' } },
    free: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
    parts: { type: 'array', 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['id'], items: { type: 'object', required: ['id'], properties: { id: { type: 'string' }, weight: { type: 'integer', default: 1 } } } },
  },
  'x-kubernetes-validations': [
    { rule: '!has(self.parts) || self.parts.size() <= self.size', message: 'no more parts than size' },
    { rule: 'self.color == oldSelf.color', messageExpression: '"color was " + oldSelf.color' },
  ],
}
const version = (name: string, more: Json = {}): Json => ({
  name, served: true, storage: name === 'v1', schema: { openAPIV3Schema: { type: 'object', properties: { spec, status: { type: 'object', properties: { ready: { type: 'boolean' }, replicas: { type: 'integer' } } } } } },
  subresources: { status: {}, scale: { specReplicasPath: '.spec.size', statusReplicasPath: '.status.replicas' } },
  additionalPrinterColumns: [{ name: 'Size', type: 'integer', jsonPath: '.spec.size' }, { name: 'Heavy', type: 'string', jsonPath: '.spec.parts[?(@.id=="b")].weight' }, { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' }],
  selectableFields: more['schema'] === undefined ? [{ jsonPath: '.spec.color' }] : [], ...more,
})
const definition = (versions: readonly Json[] = [version('v1')]): Json => ({
  apiVersion: 'apiextensions.k8s.io/v1', kind: 'CustomResourceDefinition', metadata: { name: 'widgets.example.com' },
  spec: { group: 'example.com', scope: 'Namespaced', names: { plural: 'widgets', kind: 'Widget', shortNames: ['wd'], categories: ['all'] }, versions },
})
const widget = (name: string, fields: Json, more: Json = {}): Json => ({ apiVersion: 'example.com/v1', kind: 'Widget', metadata: { name }, spec: fields, ...more })

async function until(what: () => Promise<boolean>): Promise<void> {
  while (!(await what())) await systemClock.sleep(5)
}

const isEstablished = ({ body }: Answer): boolean => (((body['status'] as Json | undefined)?.['conditions'] ?? []) as Json[]).some(({ type, status }) => type === 'Established' && status === 'True')

async function defined(t: Test, versions?: readonly Json[]): Promise<ApiServer> {
  const { server } = await startTestServer(t)
  t.match(await ask(server, 'POST', `${definitions}?fieldValidation=Strict`, definition(versions)), { status: 201 })
  await until(async () => isEstablished(await ask(server, 'GET', `${definitions}/widgets.example.com`)))
  return server
}

t.test('a definition is accepted, and its resource is in discovery and OpenAPI', async (t) => {
  const server = await defined(t)
  t.match((await ask(server, 'GET', `${definitions}/widgets.example.com`)).body, {
    spec: { names: { singular: 'widget', listKind: 'WidgetList' }, conversion: { strategy: 'None' } },
    status: { conditions: [{ type: 'NamesAccepted', status: 'True', reason: 'NoConflicts' }, { type: 'Established', status: 'True' }], acceptedNames: { plural: 'widgets' }, storedVersions: ['v1'] },
  })
  t.match((await ask(server, 'GET', '/apis/example.com/v1')).body, { resources: [{ name: 'widgets', singularName: 'widget', namespaced: true, kind: 'Widget', shortNames: ['wd'], categories: ['all'] }, { name: 'widgets/status' }, { name: 'widgets/scale', group: 'autoscaling' }] })
  t.match((await ask(server, 'GET', '/openapi/v3')).body, { paths: { 'apis/example.com/v1': { serverRelativeURL: /hash=/ } } })
  t.match((await ask(server, 'GET', '/openapi/v3/apis/example.com/v1')).body, { components: { schemas: { 'com.example.v1.Widget': { properties: { spec: { properties: { size: { type: 'integer' } } } }, 'x-kubernetes-group-version-kind': [{ kind: 'Widget' }] } } } })
  t.match((await ask(server, 'GET', '/openapi/v2')).body, { definitions: { 'com.example.v1.Widget': { properties: { spec: { type: 'object' } } } } })
})

t.test('objects are pruned, get defaults and are validated', async (t) => {
  const server = await defined(t)
  const made = await ask(server, 'POST', widgets, widget('a', { size: 2, lost: 1, parts: [{ id: 'a', lost: 2 }], free: { any: { thing: [1] } }, limits: { x: 1 }, port: '80' }, { status: { ready: true } }))
  t.match(made, { status: 201, headers: { warning: /unknown field \\"spec\.lost\\".*unknown field \\"spec\.parts\[0\]\.lost\\"/ } })
  t.same(made.body['spec'], { size: 2, color: 'red', parts: [{ id: 'a', weight: 1 }], free: { any: { thing: [1] } }, limits: { x: 1 }, port: '80' })
  t.notOk('status' in made.body)
  t.match(made.body['metadata'], { generation: 1 })
  t.match(await ask(server, 'POST', `${widgets}?fieldValidation=Strict`, widget('b', { size: 2, lost: 1 })), { status: 400, body: { message: /strict decoding error: unknown field "spec\.lost"/ } })
  for (const [fields, message] of [
    [{}, 'Widget.example.com "x" is invalid: spec.size: Required value'],
    [{ size: 11 }, /spec\.size: Invalid value: 11: spec\.size in body should be less than or equal to 10/],
    [{ size: 'x' }, /spec\.size: Invalid value: "string": spec\.size in body must be of type integer: "string"/],
    [{ size: 1, color: 'green' }, /spec\.color: Unsupported value: "green": supported values: "red", "blue"/],
    [{ size: 1, name: 'A' }, /spec\.name: Invalid value: "A": spec\.name in body should match '\^\[a-z\]\+\$'/],
    [{ size: 1, name: 'abcdef' }, /spec\.name: Too long/],
    [{ size: 2, parts: [{ id: 'a' }, { id: 'a' }] }, /spec\.parts\[1\]: Duplicate value: {"id":"a"}/],
    [{ size: 1, port: 1.5 }, /must be of type integer,string/],
    [{ size: 1, parts: [{ id: 'a' }, { id: 'b' }] }, /spec: Invalid value: "object": no more parts than size/],
  ] as const) t.match(await ask(server, 'POST', widgets, widget('x', fields)), { status: 422, body: { reason: 'Invalid', message } })
  t.match(await ask(server, 'POST', widgets, { ...widget('x', { size: 1 }), metadata: { name: 'x', labels: 7 } }), { status: 400 })
})

t.test('rules see what was before; status and scale are ways of their own', async (t) => {
  const server = await defined(t)
  const merge = { 'content-type': 'application/merge-patch+json' }
  await ask(server, 'POST', widgets, widget('a', { size: 2 }))
  t.match(await ask(server, 'PATCH', `${widgets}/a`, { spec: { color: 'blue' } }, merge), { status: 422, body: { message: /color was red/ } })
  t.match(await ask(server, 'PATCH', `${widgets}/a`, { spec: { size: 3 }, status: { ready: true } }, merge), { status: 200, body: { spec: { size: 3 }, metadata: { generation: 2 }, status: undefined } })
  t.match(await ask(server, 'PATCH', `${widgets}/a/status`, { spec: { size: 9 }, status: { ready: true, replicas: 1 } }, merge), { status: 200, body: { spec: { size: 3 }, metadata: { generation: 2 }, status: { ready: true } } })
  t.match(await ask(server, 'PATCH', `${widgets}/a/status`, { status: { ready: 'yes' } }, merge), { status: 422 })
  t.match(await ask(server, 'PATCH', `${widgets}/a/scale`, { spec: { replicas: 5 } }, merge), { status: 200, body: { kind: 'Scale', spec: { replicas: 5 }, status: { replicas: 1 } } })
  t.match(await ask(server, 'PATCH', `${widgets}/a`, {}, { 'content-type': 'application/strategic-merge-patch+json' }), { status: 415 })
})

t.test('columns, selectable fields and watches are those of the definition', async (t) => {
  const server = await defined(t)
  await ask(server, 'POST', widgets, widget('a', { size: 2, parts: [{ id: 'b', weight: 7 }] }))
  await ask(server, 'POST', widgets, widget('b', { size: 3, color: 'blue' }))
  const table = await ask(server, 'GET', widgets, undefined, { accept: 'application/json;as=Table;g=meta.k8s.io;v=v1' })
  t.match(table.body, { columnDefinitions: [{ name: 'Name' }, { name: 'Size', type: 'integer' }, { name: 'Heavy' }, { name: 'Age', type: 'date' }], rows: [{ cells: ['a', 2, '7', /s$/] }, { cells: ['b', 3, null, /s$/] }] })
  t.match((await ask(server, 'GET', `${widgets}?fieldSelector=spec.color%3Dblue`)).body, { kind: 'WidgetList', items: [{ metadata: { name: 'b' } }] })
  t.match(await ask(server, 'GET', `${widgets}?fieldSelector=spec.size%3D2`), { status: 400 })
  const seen = await ask(server, 'GET', `${widgets}?watch=1&timeoutSeconds=1&fieldSelector=spec.color%3Dred`)
  t.match(JSON.parse(seen.text.split('\n')[0] ?? ''), { type: 'ADDED', object: { metadata: { name: 'a' } } })
})

t.test('server-side apply goes by the list types of the schema', async (t) => {
  const server = await defined(t)
  const apply = (manager: string, fields: Json, more = ''): Promise<Answer> => ask(server, 'PATCH', `${widgets}/a?fieldManager=${manager}${more}`, widget('a', fields), { 'content-type': 'application/apply-patch+yaml' })
  await apply('one', { size: 4, parts: [{ id: 'a', weight: 1 }] })
  const both = await apply('two', { size: 4, parts: [{ id: 'b', weight: 2 }] })
  t.match(both.body['spec'], { parts: [{ id: 'a' }, { id: 'b' }] })
  t.match(await apply('two', { size: 4, parts: [{ id: 'a', weight: 3 }] }), { status: 409, body: { message: /\.spec\.parts\[id="a"\]\.weight/ } })
})

t.test('every version shows the same objects under its own name', async (t) => {
  const server = await defined(t, [version('v1beta1', { deprecated: true }), version('v1')])
  t.match((await ask(server, 'GET', '/apis/example.com')).body, { versions: [{ version: 'v1' }, { version: 'v1beta1' }], preferredVersion: { version: 'v1' } })
  const beta = widgets.replace('/v1/', '/v1beta1/')
  t.match(await ask(server, 'POST', beta, { ...widget('a', { size: 1 }), apiVersion: 'example.com/v1beta1' }), { status: 201, headers: { warning: /deprecated/ }, body: { apiVersion: 'example.com/v1beta1' } })
  const [old, now] = [await ask(server, 'GET', `${beta}/a`), await ask(server, 'GET', `${widgets}/a`)]
  t.same([old.body['apiVersion'], now.body['apiVersion']], ['example.com/v1beta1', 'example.com/v1'])
  t.same(old.body['metadata'], now.body['metadata'])
  t.match(await ask(server, 'PATCH', `${beta}/a`, { spec: { size: 2 } }, { 'content-type': 'application/merge-patch+json' }), { status: 200, body: { apiVersion: 'example.com/v1beta1', spec: { size: 2 } } })
  t.match((await ask(server, 'GET', beta)).body, { apiVersion: 'example.com/v1beta1', items: [{ apiVersion: 'example.com/v1beta1', spec: { size: 2 } }] })
})

t.test('what is not structural, or contradicts itself, is refused', async (t) => {
  const { server } = await startTestServer(t)
  const withSpec = (property: Json): Json => definition([version('v1', { schema: { openAPIV3Schema: { type: 'object', properties: { spec: property } } } })])
  for (const [body, message] of [
    [{ ...definition(), metadata: { name: 'other.example.com' } }, /must be spec\.names\.plural\+"\."\+spec\.group/],
    [definition([version('v1', { storage: false })]), /must have exactly one version marked as storage version/],
    [withSpec({ properties: {} }), /properties\[spec\]\.type: Required value/],
    [withSpec({ type: 'object', properties: { a: { type: 'array' } } }), /items: Required value/],
    [withSpec({ type: 'object', properties: { a: { type: 'integer', default: 'x' } } }), /default: Invalid value: "x"/],
    [withSpec({ type: 'string', pattern: '(' }), /must be a valid regular expression/],
    [withSpec({ type: 'object', 'x-kubernetes-validations': [{ rule: 'self.a ==' }] }), /compilation failed/],
    [withSpec({ type: 'object', 'x-kubernetes-validations': [{ rule: 'other.a' }] }), /compilation failed/],
    [withSpec({ type: 'object', anyOf: [{ type: 'object' }] }), /anyOf\[0\]\.type: Forbidden: must be empty to be structural/],
    [withSpec({ type: 'object', allOf: [{ properties: { a: { minimum: 1 } } }] }), /properties\[spec\]\.properties\[a\]: Required value: because it is defined in .*allOf\[0\]\.properties\[a\]/],
    [withSpec({ type: 'object', not: { default: {} } }), /not\.default: Forbidden: must be undefined to be structural/],
    [withSpec({ type: 'object', additionalProperties: false }), /additionalProperties cannot be set to false/],
    [withSpec({ type: 'array', uniqueItems: true, items: { type: 'string' } }), /uniqueItems cannot be set to true/],
    [withSpec({ type: 'array', 'x-kubernetes-list-type': 'set', items: { type: 'object' } }), /must be atomic as item of a list with x-kubernetes-list-type=set/],
    [withSpec({ type: 'array', 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['id'], items: { type: 'object', properties: { id: { type: 'string' } } } }), /must have a default or be a required property/],
    [withSpec({ type: 'string', 'x-kubernetes-int-or-string': true }), /must be empty if x-kubernetes-int-or-string is true/],
    [definition([version('v1', { selectableFields: [{ jsonPath: '.spec.parts' }] })]), /must point to a field of type string, boolean or integer/],
    [definition([version('v1', { selectableFields: [{ jsonPath: '.metadata.name' }] })]), /must not point to fields in metadata/],
  ] as const) t.match(await ask(server, 'POST', definitions, body), { status: 422, body: { message } })
})

t.test('what narrows types that are said elsewhere is structural', async (t) => {
  const { server } = await startTestServer(t)
  const port = { 'x-kubernetes-int-or-string': true, anyOf: [{ type: 'integer' }, { type: 'string' }] }
  const body = { type: 'object', properties: { a: { type: 'integer' }, b: { type: 'string' }, port }, oneOf: [{ required: ['a'] }, { required: ['b'], properties: { a: { minimum: 3 } } }], not: { properties: { b: { enum: ['no'] } } } }
  const made = await ask(server, 'POST', definitions, definition([version('v1', { schema: { openAPIV3Schema: { type: 'object', properties: { spec: body, metadata: { type: 'object', properties: { name: { type: 'string', maxLength: 10 } } } } } } })]))
  t.equal(made.status, 201, made.text.slice(0, 400))
})

t.test('a rule that would take too long is not run', async (t) => {
  const list = { type: 'array', maxItems: 100, items: { type: 'string', maxLength: 10 }, 'x-kubernetes-validations': [{ rule: 'self.all(a, self.all(b, self.all(c, a + b != c)))' }] }
  const server = await defined(t, [version('v1', { schema: { openAPIV3Schema: { type: 'object', properties: { spec: { type: 'object', properties: { list } } } } } })])
  t.match(await ask(server, 'POST', widgets, widget('a', { list: ['x'] })), { status: 201 })
  t.match(await ask(server, 'POST', widgets, widget('b', { list: Array.from({ length: 100 }, String) })), { status: 422, body: { message: /call cost exceeds limit for rule/ } })
})

t.test('properties whose names cannot be written in a rule have others there', async (t) => {
  const properties = { namespace: { type: 'string', maxLength: 10 }, 'a.b-c/d': { type: 'integer' }, some__thing: { type: 'integer' } }
  const rules = ["self.__namespace__ != 'forbidden'", 'self.a__dot__b__dash__c__slash__d > 1', 'self.some__underscores__thing > 1'].map((rule) => ({ rule }))
  const labels = { type: 'object', maxProperties: 5, additionalProperties: { type: 'string', maxLength: 10 }, 'x-kubernetes-validations': [{ rule: "!('a-b' in self) || self['a-b'] != 'no'" }] }
  // were the name not known, a text of any length would be reckoned with, and refused
  const list = { type: 'array', maxItems: 32, items: { type: 'object', properties: { namespace: { type: 'string', maxLength: 63 } } }, 'x-kubernetes-validations': [{ rule: 'self.all(a, self.all(b, a.__namespace__ == b.__namespace__))' }] }
  const server = await defined(t, [version('v1', { selectableFields: [], additionalPrinterColumns: [], subresources: {}, schema: { openAPIV3Schema: { type: 'object', properties: { spec: { type: 'object', properties: { ...properties, labels, list }, 'x-kubernetes-validations': rules } } } } })])
  const right = { namespace: 'x', 'a.b-c/d': 2, some__thing: 2, labels: { 'a-b': 'yes' }, list: [{ namespace: 'x' }] }
  t.match(await ask(server, 'POST', widgets, widget('a', right)), { status: 201 })
  for (const wrong of [{ namespace: 'forbidden' }, { 'a.b-c/d': 1 }, { some__thing: 1 }, { labels: { 'a-b': 'no' } }]) t.match(await ask(server, 'POST', widgets, widget('b', { ...right, ...wrong })), { status: 422, body: { message: /failed rule/ } })
})

t.test('what rules are reckoned to cost is bounded by what a request can hold, and a definition beyond that is refused', async (t) => {
  const nested = (rule: string): Json => ({ type: 'array', items: { type: 'object', properties: { list: { type: 'array', items: { type: 'object', properties: { a: { type: 'string' } }, 'x-kubernetes-validations': [{ rule }] } } } } })
  const withList = (list: Json): Json => definition([version('v1', { schema: { openAPIV3Schema: { type: 'object', properties: { spec: { type: 'object', properties: { list } } } } } })])
  const { server } = await startTestServer(t)
  t.match(await ask(server, 'POST', `${definitions}?dryRun=All`, withList(nested('has(self.a)'))), { status: 201 }, 'lists in lists hold no more than the request')
  t.match(await ask(server, 'POST', `${definitions}?dryRun=All`, withList(nested("self.a.contains('x')"))), { status: 422, body: { message: /items\.properties\[list\]\.items\.x-kubernetes-validations\[0\]\.rule: Forbidden: estimated rule cost exceeds budget by factor of/ } })
})

t.test('a second definition does not get names that are taken', async (t) => {
  const server = await defined(t)
  const { spec: one } = definition() as { spec: Json }
  await ask(server, 'POST', definitions, { ...definition(), metadata: { name: 'gadgets.example.com' }, spec: { ...one, names: { plural: 'gadgets', kind: 'Gadget', shortNames: ['wd'] } } })
  await until(async () => (await ask(server, 'GET', `${definitions}/gadgets.example.com`)).text.includes('NamesConflict'))
  t.match((await ask(server, 'GET', `${definitions}/gadgets.example.com`)).body, { status: { conditions: [{ type: 'NamesAccepted', status: 'False', message: '"wd" is already in use' }, { type: 'Established', status: 'False' }] } })
  t.match(await ask(server, 'GET', '/apis/example.com/v1/gadgets'), { status: 404 })
})

t.test('a definition takes its objects with it, and waits for those that are held', async (t) => {
  const server = await defined(t)
  await ask(server, 'POST', widgets, widget('a', { size: 1 }))
  await ask(server, 'POST', widgets, { ...widget('b', { size: 1 }), metadata: { name: 'b', finalizers: ['example.com/x'] } })
  await ask(server, 'DELETE', `${definitions}/widgets.example.com`)
  await until(async () => (await ask(server, 'GET', `${widgets}/a`)).status === 404)
  t.match((await ask(server, 'GET', `${definitions}/widgets.example.com`)).body, { status: { conditions: [{}, {}, { type: 'Terminating', status: 'True' }] } })
  await ask(server, 'PATCH', `${widgets}/b`, { metadata: { finalizers: null } }, { 'content-type': 'application/merge-patch+json' })
  await until(async () => (await ask(server, 'GET', `${definitions}/widgets.example.com`)).status === 404)
  await until(async () => (await ask(server, 'GET', '/apis/example.com/v1')).status === 404)
  t.notMatch((await ask(server, 'GET', '/openapi/v2')).text, /com\.example/)
})

t.test('after a restart what was defined is served at once', async (t) => {
  const { server, store } = await startTestServer(t)
  await ask(server, 'POST', definitions, definition())
  await until(async () => (await ask(server, 'POST', widgets, widget('a', { size: 1 }))).status === 201)
  await server.stop()
  const { server: next } = await startTestServer(t, { store })
  t.match(await ask(next, 'GET', `${widgets}/a`), { status: 200, body: { spec: { size: 1 } } })
})
