// Server-side apply and who owns what, over requests. The cases follow kube-apiserver's test/integration/apiserver/apply.
import t from 'tap'
import type { ApiServer } from '../index.ts'
import { ask, startTestServer } from '../test-support/server.ts'
import type { Answer } from '../test-support/server.ts'

const deployments = '/apis/apps/v1/namespaces/default/deployments'
const configMaps = '/api/v1/namespaces/default/configmaps'

type Json = Record<string, unknown>

const deployment = (containers: readonly Json[], spec: Json = {}): Json => ({
  apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'web', labels: { app: 'web' } },
  spec: { selector: { matchLabels: { app: 'web' } }, template: { metadata: { labels: { app: 'web' } }, spec: { containers } }, ...spec },
})
const configMap = (data: Json, metadata: Json = {}): Json => ({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'c', ...metadata }, data })

function applyTo(server: ApiServer, path: string, body: Json, manager: string, more = ''): Promise<Answer> {
  return ask(server, 'PATCH', `${path}?fieldManager=${manager}${more}`, body, { 'content-type': 'application/apply-patch+yaml' })
}

const containersOf = ({ body }: Answer): Json[] => (((body['spec'] as Json)['template'] as Json)['spec'] as Json)['containers'] as Json[]
const entriesOf = ({ body }: Answer): Json[] => ((body['metadata'] as Json)['managedFields'] ?? []) as Json[]
const ownedBy = (answer: Answer, manager: string): unknown => entriesOf(answer).find((entry) => entry['manager'] === manager)?.['fieldsV1']

t.test('an object is created by applying it; its fields belong to who applied them, and applying again changes nothing', async (t) => {
  const { server } = await startTestServer(t)
  const config = deployment([{ name: 'a', image: 'x', ports: [{ containerPort: 80 }] }], { replicas: 2 })
  const made = await applyTo(server, `${deployments}/web`, config, 'one')
  t.equal(made.status, 201)
  t.same(entriesOf(made).map(({ manager, operation, apiVersion, fieldsType, subresource }) => ({ manager, operation, apiVersion, fieldsType, subresource })), [{ manager: 'one', operation: 'Apply', apiVersion: 'apps/v1', fieldsType: 'FieldsV1', subresource: undefined }])
  t.same(ownedBy(made, 'one'), {
    'f:metadata': { 'f:labels': { 'f:app': {} } },
    'f:spec': {
      'f:replicas': {}, 'f:selector': {},
      'f:template': { 'f:metadata': { 'f:labels': { 'f:app': {} } }, 'f:spec': { 'f:containers': { 'k:{"name":"a"}': { '.': {}, 'f:name': {}, 'f:image': {}, 'f:ports': { 'k:{"containerPort":80,"protocol":"TCP"}': { '.': {}, 'f:containerPort': {} } } } } } },
    },
  })
  const again = await applyTo(server, `${deployments}/web`, config, 'one')
  t.equal(again.status, 200)
  t.same(again.body, made.body)
})

t.test('what others own is a conflict that names every field, until it is forced', async (t) => {
  const { server } = await startTestServer(t)
  await applyTo(server, `${deployments}/web`, deployment([{ name: 'a', image: 'x' }], { replicas: 2 }), 'one')
  const other = deployment([{ name: 'a', image: 'y' }], { replicas: 3 })
  t.match(await applyTo(server, `${deployments}/web`, other, 'two'), {
    status: 409,
    body: {
      reason: 'Conflict', message: 'Apply failed with 2 conflicts: conflicts with "one":\n- .spec.replicas\n- .spec.template.spec.containers[name="a"].image',
      details: { causes: [{ reason: 'FieldManagerConflict', message: 'conflict with "one"', field: '.spec.replicas' }, { field: '.spec.template.spec.containers[name="a"].image' }] },
    },
  })
  const forced = await applyTo(server, `${deployments}/web`, other, 'two', '&force=true')
  t.match(forced, { status: 200, body: { spec: { replicas: 3 } } })
  t.notMatch(JSON.stringify(ownedBy(forced, 'one')), /f:replicas|f:image/)
  t.match(await applyTo(server, `${deployments}/web`, deployment([{ name: 'a', image: 'y' }]), 'three'), { status: 200 }, 'to agree is no conflict')
  t.match(await ask(server, 'PATCH', `${deployments}/web?force=true`, {}, { 'content-type': 'application/merge-patch+json' }), { status: 422, body: { message: /may not be specified for non-apply patch/ } })
})

t.test('what is no longer applied goes, unless somebody else applies it or nobody ever did', async (t) => {
  const { server } = await startTestServer(t)
  const [a, b, c] = [{ name: 'a', image: 'x' }, { name: 'b', image: 'x' }, { name: 'c', image: 'x' }]
  await applyTo(server, `${deployments}/web`, deployment([a, b, c], { replicas: 2 }), 'one')
  await applyTo(server, `${deployments}/web`, deployment([{ name: 'c', image: 'x', env: [{ name: 'E', value: '1' }] }]), 'two')
  const left = await applyTo(server, `${deployments}/web`, deployment([a]), 'one')
  t.same(containersOf(left).map(({ name }) => name), ['a', 'c'])
  t.match(containersOf(left)[1], { image: 'x', env: [{ name: 'E', value: '1' }], imagePullPolicy: 'Always' })
  t.match(left.body['spec'], { replicas: 1 }, 'a default comes back')
})

t.test('sets, maps and whole lists keep what others put there', async (t) => {
  const { server } = await startTestServer(t)
  await applyTo(server, `${configMaps}/c`, configMap({ a: '1' }, { finalizers: ['x.io/a'], labels: { one: '1' } }), 'one')
  const both = await applyTo(server, `${configMaps}/c`, configMap({ b: '2' }, { finalizers: ['x.io/b'], labels: { two: '2' } }), 'two')
  t.match(both.body, { data: { a: '1', b: '2' }, metadata: { finalizers: ['x.io/a', 'x.io/b'], labels: { one: '1', two: '2' } } })
  t.match(ownedBy(both, 'two'), { 'f:metadata': { 'f:finalizers': { 'v:"x.io/b"': {} } } })
  const less = await applyTo(server, `${configMaps}/c`, configMap({}, { labels: { one: '1' } }), 'one')
  t.same([less.body['data'], (less.body['metadata'] as Json)['finalizers']], [{ b: '2' }, ['x.io/b']])
})

t.test('ordinary writes own what they change; what they remove has no owner', async (t) => {
  const { server } = await startTestServer(t)
  const made = await ask(server, 'POST', configMaps, configMap({ a: '1', b: '2' }), { 'user-agent': 'editor/1.0 (linux)' })
  t.match(entriesOf(made), [{ manager: 'editor', operation: 'Update', apiVersion: 'v1', time: /Z$/, fieldsV1: { 'f:data': { '.': {}, 'f:a': {}, 'f:b': {} } } }])
  const patched = await ask(server, 'PATCH', `${configMaps}/c?fieldManager=other`, { data: { a: '3', b: null } }, { 'content-type': 'application/merge-patch+json' })
  t.same([ownedBy(patched, 'editor'), ownedBy(patched, 'other')], [{ 'f:data': {} }, { 'f:data': { 'f:a': {} } }])
  t.match(await applyTo(server, `${configMaps}/c`, configMap({ a: '4' }), 'one'), { status: 409, body: { message: 'Apply failed with 1 conflict: conflict with "other" using v1: .data.a' } })
})

t.test('a status is applied by its subresource only, and the two do not touch each other', async (t) => {
  const { server } = await startTestServer(t)
  await applyTo(server, `${deployments}/web`, { ...deployment([{ name: 'a', image: 'x' }]), status: { replicas: 9 } }, 'one')
  const status = await applyTo(server, `${deployments}/web/status`, { apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'web', labels: { app: 'changed' } }, spec: { replicas: 7 }, status: { replicas: 3 } }, 'one')
  t.match(status, { status: 200, body: { metadata: { labels: { app: 'web' } }, spec: { replicas: 1 }, status: { replicas: 3 } } })
  t.same(entriesOf(status).map(({ subresource, fieldsV1 }) => [subresource, Object.keys(fieldsV1 as Json)]), [[undefined, ['f:metadata', 'f:spec']], ['status', ['f:status']]])
  t.match(await applyTo(server, `${deployments}/none/status`, { apiVersion: 'apps/v1', kind: 'Deployment', status: {} }, 'one'), { status: 404 })
})

t.test('what cannot be applied is refused', async (t) => {
  const { server } = await startTestServer(t)
  const path = `${deployments}/web`
  t.match(await applyTo(server, path, deployment([{ name: 'a', image: 'x' }, { name: 'a', image: 'y' }]), 'one'), { status: 400, body: { message: /duplicate entries for key/ } })
  t.match(await applyTo(server, path, deployment([{ image: 'x' }]), 'one'), { status: 400, body: { message: /associative list with keys has an element that omits key field "name"/ } })
  t.match(await applyTo(server, `${configMaps}/c`, configMap({}, { managedFields: [] }), 'one'), { status: 400, body: { message: 'metadata.managedFields must be nil' } })
  t.match(await applyTo(server, `${configMaps}/c`, configMap({}, { uid: 'u' }), 'one'), { status: 409, body: { message: /uid mismatch/ } })
  t.match(await applyTo(server, `${configMaps}/c`, configMap({}), 'x'.repeat(200)), { status: 422 })
  await applyTo(server, `${configMaps}/c`, configMap({}), 'one')
  t.match(await applyTo(server, `${configMaps}/c`, configMap({}, { resourceVersion: '1' }), 'one'), { status: 409, body: { message: /the object has been modified/ } })
})

t.test('managedFields can be reset; an object without them gets them by the first apply', async (t) => {
  const { server } = await startTestServer(t)
  await ask(server, 'POST', configMaps, configMap({ a: '1' }))
  const reset = await ask(server, 'PATCH', `${configMaps}/c`, { metadata: { managedFields: [{}] } }, { 'content-type': 'application/merge-patch+json' })
  t.same(entriesOf(reset), [])
  t.match(await applyTo(server, `${configMaps}/c`, configMap({ a: '2' }), 'one'), { status: 409, body: { message: 'Apply failed with 1 conflict: conflict with "before-first-apply" using v1: .data.a' } })
})

t.test('more than ten updaters are told apart no longer', async (t) => {
  const { server } = await startTestServer(t)
  await ask(server, 'POST', `${configMaps}?fieldManager=m0`, configMap({ k0: '' }))
  let last: Answer | undefined
  for (let i = 1; i <= 12; i++) last = await ask(server, 'PATCH', `${configMaps}/c?fieldManager=m${i}`, { data: { [`k${i}`]: '' } }, { 'content-type': 'application/merge-patch+json' })
  const managers = entriesOf(last as Answer).map(({ manager }) => manager)
  t.equal(managers.length, 10)
  t.ok(managers.includes('ancient-changes'))
})
