// The verbs: what clients may rely on when they read, write and watch.
import t from 'tap'
import type { Test } from 'tap'
import { FakeClock, systemClock } from '../../../api/clock.ts'
import type { ApiServer } from '../index.ts'
import { ask, pod, startTestServer } from '../test-support/server.ts'
import type { Answer } from '../test-support/server.ts'

const configMaps = '/api/v1/namespaces/default/configmaps'
const podsPath = '/api/v1/namespaces/default/pods'
const configMap = (name: string, data: Record<string, string> = {}, labels: Record<string, string> = {}): object => ({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, labels }, data })
const meta = ({ body }: Answer): Record<string, unknown> => body['metadata'] as Record<string, unknown>
const names = ({ body }: Answer): string[] => (body['items'] as { metadata: { name: string } }[]).map(({ metadata }) => metadata.name)

/** A watch whose events are read one by one. */
function watch(t: Test, server: ApiServer, path: string): { next: () => Promise<Record<string, unknown>>; rest: () => Promise<Record<string, unknown>[]> } {
  const abort = new AbortController()
  t.teardown(() => abort.abort())
  async function* events(): AsyncGenerator<Record<string, unknown>> {
    let text = ''
    for await (const piece of (await server.transport({ name: 'admin', groups: ['system:masters'] })({ method: 'GET', path, signal: abort.signal })).body) {
      text += Buffer.from(piece).toString()
      const lines = text.split('\n')
      text = lines.pop() ?? ''
      for (const line of lines) yield JSON.parse(line) as Record<string, unknown>
    }
  }
  const all = events()
  return {
    next: async () => (await all.next()).value as Record<string, unknown>,
    rest: async () => {
      const rest = []
      for await (const event of all) rest.push(event)
      return rest
    },
  }
}

t.test('an object is created, read, replaced and deleted, each time at a newer revision', async (t) => {
  const { server } = await startTestServer(t)
  const made = await ask(server, 'POST', configMaps, configMap('a', { x: '1' }))
  t.match(made, { status: 201, body: { kind: 'ConfigMap', apiVersion: 'v1', metadata: { name: 'a', namespace: 'default', uid: /.{36}/, creationTimestamp: /Z$/, resourceVersion: /^\d+$/ }, data: { x: '1' } } })
  t.match(await ask(server, 'POST', configMaps, configMap('a')), { status: 409, body: { reason: 'AlreadyExists', message: 'configmaps "a" already exists' } })
  t.same((await ask(server, 'GET', `${configMaps}/a`)).body, made.body)
  const next = await ask(server, 'PUT', `${configMaps}/a`, { ...made.body, data: { x: '2' } })
  t.ok(Number(meta(next)['resourceVersion']) > Number(meta(made)['resourceVersion']))
  t.match(await ask(server, 'PUT', `${configMaps}/a`, { ...made.body, data: { x: '3' } }), { status: 409, body: { reason: 'Conflict' } })
  t.match(await ask(server, 'PUT', `${configMaps}/b`, configMap('b')), { status: 404 })
  t.match(await ask(server, 'PUT', `${configMaps}/a`, configMap('b')), { status: 400, body: { message: /does not match the name on the URL/ } })
  t.match(await ask(server, 'DELETE', `${configMaps}/a`), { status: 200, body: { kind: 'Status', status: 'Success', details: { name: 'a', kind: 'configmaps', uid: meta(made)['uid'] } } })
  t.match(await ask(server, 'GET', `${configMaps}/a`), { status: 404, body: { reason: 'NotFound', details: { name: 'a', kind: 'configmaps' } } })
})

t.test('a generated name is new, and a dry run leaves nothing', async (t) => {
  const { server } = await startTestServer(t)
  const generated = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { generateName: 'gen-' } }
  const [one, two] = [await ask(server, 'POST', configMaps, generated), await ask(server, 'POST', configMaps, generated)]
  t.match(meta(one)['name'], /^gen-[a-z0-9]{5}$/)
  t.not(meta(one)['name'], meta(two)['name'])
  t.match(await ask(server, 'POST', `${configMaps}?dryRun=All`, configMap('dry')), { status: 201 })
  t.match(await ask(server, 'GET', `${configMaps}/dry`), { status: 404 })
  t.match(await ask(server, 'DELETE', `${configMaps}/${String(meta(one)['name'])}`, { dryRun: ['All'] }), { status: 200 })
  t.match(await ask(server, 'GET', `${configMaps}/${String(meta(one)['name'])}`), { status: 200 })
  t.match(await ask(server, 'POST', `${configMaps}?dryRun=Some`, configMap('dry')), { status: 400 })
})

t.test('patches of three kinds change what they name', async (t) => {
  const { server } = await startTestServer(t)
  await ask(server, 'POST', podsPath, pod('p', { containers: [{ name: 'a', image: 'x' }, { name: 'b', image: 'y' }] }))
  const patch = (type: string, body: unknown): Promise<Answer> => ask(server, 'PATCH', `${podsPath}/p`, body, { 'content-type': type })
  const images = ({ body }: Answer): string[] => (body['spec'] as { containers: { image: string }[] }).containers.map(({ image }) => image)
  t.same(images(await patch('application/strategic-merge-patch+json', { spec: { containers: [{ name: 'b', image: 'z' }] } })), ['x', 'z'])
  t.same(images(await patch('application/json-patch+json', [{ op: 'replace', path: '/spec/containers/0/image', value: 'w' }])), ['w', 'z'])
  t.match(meta(await patch('application/merge-patch+json', { metadata: { labels: { app: null, more: 'yes' } } }))['labels'], { more: 'yes', app: undefined })
  t.match(await patch('application/json-patch+json', [{ op: 'test', path: '/spec/nodeName', value: 'n' }]), { status: 422 })
  t.match(await patch('application/merge-patch+json', { metadata: { resourceVersion: '1' } }), { status: 409 })
  t.match(await patch('application/apply-patch+yaml', 'a: b'), { status: 422, body: { message: /fieldManager: Required value: is required for apply patch/ } })
  t.match(await patch('text/plain', 'x'), { status: 415 })
  t.match(await patch('application/merge-patch+json', '{'), { status: 400 })
})

t.test('unknown and repeated fields are refused, warned of or passed over, as the client asks', async (t) => {
  const { server } = await startTestServer(t)
  const text = '{"apiVersion":"v1","kind":"Pod","metadata":{"name":"NAME"},"spec":{"containers":[{"name":"a","image":"x","imagge":"y","image":"z"}]}}'
  const create = (validation: string, name: string): Promise<Answer> => ask(server, 'POST', `${podsPath}?fieldValidation=${validation}`, text.replace('NAME', name))
  t.match(await create('Strict', 'a'), { status: 400, body: { message: 'Pod in version "v1" cannot be handled as a Pod: strict decoding error: duplicate field "spec.containers[0].image", unknown field "spec.containers[0].imagge"' } })
  const warned = await create('Warn', 'b')
  t.match(warned, { status: 201, headers: { warning: '299 - "duplicate field \\"spec.containers[0].image\\"", 299 - "unknown field \\"spec.containers[0].imagge\\""' } })
  t.notMatch(warned.text, 'imagge')
  t.equal((await create('Ignore', 'c')).headers['warning'], undefined)
  t.match(await create('Sometimes', 'd'), { status: 400 })
  t.match(await ask(server, 'PATCH', `${podsPath}/b?fieldValidation=Strict`, { spec: { nodeNam: 'x' } }, { 'content-type': 'application/merge-patch+json' }), { status: 400, body: { message: /unknown field "spec.nodeNam"/ } })
})

t.test('lists are selected, cut into pages of one revision, and shown as tables', async (t) => {
  const { server } = await startTestServer(t)
  for (const [name, tier] of [['a', 'x'], ['b', 'y'], ['c', 'x'], ['d', 'z']] as const) await ask(server, 'POST', configMaps, configMap(name, {}, { tier }))
  t.same(names(await ask(server, 'GET', `${configMaps}?labelSelector=${encodeURIComponent('tier in (x,z),!old')}`)), ['a', 'c', 'd'])
  t.same(names(await ask(server, 'GET', `${configMaps}?fieldSelector=metadata.name%3Db`)), ['b'])
  t.match(await ask(server, 'GET', `${configMaps}?fieldSelector=data.x%3Db`), { status: 400, body: { message: /field label not supported/ } })
  const first = await ask(server, 'GET', `${configMaps}?limit=2`)
  t.match(first.body, { kind: 'ConfigMapList', metadata: { remainingItemCount: 2 } })
  await ask(server, 'POST', configMaps, configMap('bb'))
  await ask(server, 'DELETE', `${configMaps}/d`)
  const second = await ask(server, 'GET', `${configMaps}?limit=5&continue=${String(meta(first)['continue'])}`)
  t.same([...names(first), ...names(second)], ['a', 'b', 'c', 'd'], 'as of the first page')
  t.equal(meta(second)['resourceVersion'], meta(first)['resourceVersion'])
  t.match(await ask(server, 'GET', `${configMaps}?continue=nonsense`), { status: 400 })
  const table = await ask(server, 'GET', configMaps, undefined, { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io,application/json' })
  t.match(table.body, { kind: 'Table', columnDefinitions: [{ name: 'Name' }, { name: 'Data' }, { name: 'Age' }], rows: [{ cells: ['a', 0] }, {}, {}, {}] })
  const partial = await ask(server, 'GET', configMaps, undefined, { accept: 'application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io' })
  t.match(partial.body, { kind: 'PartialObjectMetadataList', items: [{ kind: 'PartialObjectMetadata', metadata: { name: 'a' }, data: undefined }, {}, {}, {}] })
  t.match(await ask(server, 'GET', configMaps, undefined, { accept: 'text/html' }), { status: 406 })
  t.match(await ask(server, 'GET', `${configMaps}?resourceVersion=999999&timeoutSeconds=1`), { status: 504, body: { details: { causes: [{ reason: 'ResourceVersionTooLarge' }] } } })
})

t.test('a watch begins where it is told, and misses and repeats nothing', async (t) => {
  const { server } = await startTestServer(t)
  const before = await ask(server, 'POST', configMaps, configMap('a', {}, { keep: 'yes' }))
  await ask(server, 'PATCH', `${configMaps}/a`, { data: { n: '1' } }, { 'content-type': 'application/merge-patch+json' })
  const resumed = watch(t, server, `${configMaps}?watch=1&resourceVersion=${String(meta(before)['resourceVersion'])}&labelSelector=keep%3Dyes`)
  t.match(await resumed.next(), { type: 'MODIFIED', object: { data: { n: '1' } } })
  await ask(server, 'POST', configMaps, configMap('other'))
  await ask(server, 'PATCH', `${configMaps}/a`, { metadata: { labels: { keep: 'no' } } }, { 'content-type': 'application/merge-patch+json' })
  t.match(await resumed.next(), { type: 'DELETED', object: { data: { n: '1' }, metadata: { labels: { keep: 'yes' } } } }, 'what leaves the selection is shown as it was')
  await ask(server, 'PATCH', `${configMaps}/a`, { metadata: { labels: { keep: 'yes' } } }, { 'content-type': 'application/merge-patch+json' })
  t.match(await resumed.next(), { type: 'ADDED' })
  const gone = await ask(server, 'DELETE', `${configMaps}/a`)
  t.equal(gone.status, 200)
  t.match(await resumed.next(), { type: 'DELETED', object: { metadata: { name: 'a' } } })
  const streaming = watch(t, server, `${configMaps}?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true`)
  t.match(await streaming.next(), { type: 'ADDED', object: { metadata: { name: 'other' } } })
  t.match(await streaming.next(), { type: 'BOOKMARK', object: { kind: 'ConfigMap', metadata: { annotations: { 'k8s.io/initial-events-end': 'true' }, resourceVersion: /^\d+$/ } } })
})

t.test('a watch from before what is remembered is told to list anew', async (t) => {
  const { server, store } = await startTestServer(t)
  for (let n = 0; n < 3; n++) await ask(server, 'POST', configMaps, configMap(`c${n}`))
  await server.stop()
  await store.compact(await store.currentRevision())
  const { server: restarted } = await startTestServer(t, { store })
  t.match(await watch(t, restarted, `${configMaps}?watch=1&resourceVersion=2`).rest(), [{ type: 'ERROR', object: { code: 410, reason: 'Expired' } }])
  t.match(await watch(t, restarted, `${configMaps}?watch=1&timeoutSeconds=1&resourceVersion=0`).next(), { type: 'ADDED', object: { metadata: { name: 'c0' } } })
})

t.test('deletion waits for finalizers and grace, and keeps to preconditions', async (t) => {
  const { server } = await startTestServer(t)
  const held = await ask(server, 'POST', configMaps, { ...configMap('held'), metadata: { name: 'held', finalizers: ['example.com/wait'] } })
  t.match(await ask(server, 'DELETE', `${configMaps}/held`, { preconditions: { uid: 'another' } }), { status: 409 })
  t.match(await ask(server, 'DELETE', `${configMaps}/held`), { status: 200, body: { kind: 'ConfigMap', metadata: { deletionTimestamp: /Z$/ } } })
  await ask(server, 'PUT', `${configMaps}/held`, { ...held.body, metadata: { name: 'held' } })
  t.match(await ask(server, 'GET', `${configMaps}/held`), { status: 404 })
  await ask(server, 'POST', podsPath, pod('p', { nodeName: 'n', terminationGracePeriodSeconds: 7 }))
  t.match(await ask(server, 'DELETE', `${podsPath}/p`), { body: { metadata: { deletionGracePeriodSeconds: 7 } } })
  t.match(await ask(server, 'DELETE', `${podsPath}/p?gracePeriodSeconds=0`), { status: 200, body: { kind: 'Pod' } })
  t.match(await ask(server, 'GET', `${podsPath}/p`), { status: 404 })
  for (const name of ['a', 'b', 'c']) await ask(server, 'POST', configMaps, configMap(name, {}, { all: name === 'c' ? 'no' : 'yes' }))
  t.same(names(await ask(server, 'DELETE', `${configMaps}?labelSelector=all%3Dyes`)), ['a', 'b'])
  t.same(names(await ask(server, 'GET', configMaps)), ['c'])
})

t.test('a namespace that is going takes nothing new, and the first ones stay', async (t) => {
  const { server } = await startTestServer(t)
  await ask(server, 'POST', '/api/v1/namespaces', { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'short' } })
  t.match(await ask(server, 'DELETE', '/api/v1/namespaces/short'), { status: 200, body: { kind: 'Namespace', status: { phase: 'Terminating' } } })
  t.match(await ask(server, 'POST', '/api/v1/namespaces/short/configmaps', configMap('x')), { status: 403, body: { details: { causes: [{ reason: 'NamespaceTerminating' }] } } })
  t.match(await ask(server, 'PUT', '/api/v1/namespaces/short/finalize', { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'short' }, spec: { finalizers: [] } }), { status: 200 })
  t.match(await ask(server, 'GET', '/api/v1/namespaces/short'), { status: 404 })
  t.match(await ask(server, 'DELETE', '/api/v1/namespaces/kube-system'), { status: 403, body: { message: /may not be deleted/ } })
  t.match(await ask(server, 'POST', '/api/v1/namespaces/nowhere/configmaps', configMap('x')), { status: 404 })
})

t.test('a pod is bound once, and to the node that the scheduler saw it for', async (t) => {
  const { server } = await startTestServer(t)
  const made = await ask(server, 'POST', podsPath, pod('p'))
  const binding = (node: string, more: object = {}): object => ({ apiVersion: 'v1', kind: 'Binding', metadata: { name: 'p', ...more }, target: { kind: 'Node', name: node } })
  t.match(await ask(server, 'POST', `${podsPath}/p/binding`, binding('n', { uid: 'another' })), { status: 409 })
  t.match(await ask(server, 'POST', `${podsPath}/p/binding`, binding('')), { status: 422 })
  t.match(await ask(server, 'POST', `${podsPath}/p/binding`, binding('n1', { uid: meta(made)['uid'] })), { status: 201, body: { status: 'Success' } })
  t.match((await ask(server, 'GET', `${podsPath}/p`)).body, { spec: { nodeName: 'n1' }, status: { conditions: [{ type: 'PodScheduled', status: 'True' }] } })
  t.match(await ask(server, 'POST', `${podsPath}/p/binding`, binding('n2')), { status: 409, body: { message: /already assigned to node "n1"/ } })
  await ask(server, 'POST', podsPath, pod('q'))
  t.match(await ask(server, 'POST', '/api/v1/namespaces/default/bindings', { ...binding('n2'), metadata: { name: 'q' } }), { status: 201 })
})

t.test('an eviction keeps to the disruption budget', async (t) => {
  const { server } = await startTestServer(t)
  for (const name of ['a', 'b']) {
    await ask(server, 'POST', podsPath, { ...pod(name), metadata: { name, labels: { app: 'web' } } })
    await ask(server, 'PATCH', `${podsPath}/${name}/status`, { status: { phase: 'Running' } }, { 'content-type': 'application/merge-patch+json' })
  }
  const budgets = '/apis/policy/v1/namespaces/default/poddisruptionbudgets'
  await ask(server, 'POST', budgets, { apiVersion: 'policy/v1', kind: 'PodDisruptionBudget', metadata: { name: 'web' }, spec: { minAvailable: 1, selector: { matchLabels: { app: 'web' } } } })
  await ask(server, 'PATCH', `${budgets}/web/status`, { status: { disruptionsAllowed: 1, currentHealthy: 2, desiredHealthy: 1, expectedPods: 2 } }, { 'content-type': 'application/merge-patch+json' })
  const evict = (name: string): Promise<Answer> => ask(server, 'POST', `${podsPath}/${name}/eviction`, { apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name } })
  t.match(await evict('a'), { status: 201 })
  t.match(await evict('b'), { status: 429, body: { reason: 'TooManyRequests', details: { causes: [{ reason: 'DisruptionBudget' }] } } })
  t.match(await ask(server, 'GET', `${podsPath}/b`), { status: 200 })
})

t.test('scale is a view of replicas', async (t) => {
  const { server } = await startTestServer(t)
  const template = { metadata: { labels: { a: 'b' } }, spec: { containers: [{ name: 'c', image: 'x' }] } }
  const path = '/apis/apps/v1/namespaces/default/deployments'
  await ask(server, 'POST', path, { apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'd' }, spec: { replicas: 2, selector: { matchLabels: { a: 'b' } }, template } })
  t.match((await ask(server, 'GET', `${path}/d/scale`)).body, { kind: 'Scale', apiVersion: 'autoscaling/v1', spec: { replicas: 2 }, status: { replicas: 0, selector: 'a=b' } })
  t.match((await ask(server, 'PATCH', `${path}/d/scale`, { spec: { replicas: 5 } }, { 'content-type': 'application/merge-patch+json' })).body, { spec: { replicas: 5 } })
  t.match(await ask(server, 'GET', `${path}/d`), { body: { spec: { replicas: 5 }, metadata: { generation: 2 } } })
  t.match(await ask(server, 'PATCH', `${path}/d/scale`, { spec: { replicas: -1 } }, { 'content-type': 'application/merge-patch+json' }), { status: 422 })
})

t.test('a token of a service account opens the door over its TokenRequest', async (t) => {
  const { server } = await startTestServer(t)
  const path = '/api/v1/namespaces/default/serviceaccounts/default/token'
  const spec = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: { expirationSeconds: 600 } }
  const { body } = await ask(server, 'POST', path, spec)
  const { token } = body['status'] as { token: string }
  const review = await ask(server, 'POST', '/apis/authentication.k8s.io/v1/tokenreviews', { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenReview', spec: { token } })
  t.match(review.body, { status: { authenticated: true, user: { username: 'system:serviceaccount:default:default' } } })
  t.match(await ask(server, 'POST', path, { ...spec, spec: { expirationSeconds: 5 } }), { status: 422 })
  t.match(await ask(server, 'POST', path, { ...spec, spec: { boundObjectRef: { kind: 'Pod', name: 'none' } } }), { status: 404 })
})

t.test('what has had its time goes, and history is kept bounded', async (t) => {
  const clock = new FakeClock(systemClock.now())
  const { server, store } = await startTestServer(t, { clock })
  const event = (name: string): object => ({ apiVersion: 'v1', kind: 'Event', metadata: { name }, involvedObject: { kind: 'Pod', name: 'p', namespace: 'default' }, reason: 'R', message: 'm', type: 'Normal' })
  await ask(server, 'POST', '/api/v1/namespaces/default/events', event('old'))
  await clock.advance(3_000_000)
  await ask(server, 'POST', '/api/v1/namespaces/default/events', event('new'))
  await clock.advance(900_000)
  t.same(names(await ask(server, 'GET', '/api/v1/namespaces/default/events')), ['new'])
  t.ok(store.compactedRevision > 1)
  const token = (await server.joinToken()).split('::')[1]!
  const request = { apiVersion: 'certificates.k8s.io/v1', kind: 'CertificateSigningRequest', metadata: { name: 'old' }, spec: { request: Buffer.from('-----BEGIN CERTIFICATE REQUEST-----\nYQ==\n-----END CERTIFICATE REQUEST-----\n').toString('base64'), signerName: 'example.com/x', usages: ['client auth'] } }
  t.equal((await ask(server, 'POST', '/apis/certificates.k8s.io/v1/certificatesigningrequests', request)).status, 201)
  await clock.advance(86_700_000)
  t.match(await ask(server, 'GET', `/api/v1/namespaces/kube-system/secrets/bootstrap-token-${token.slice(0, 6)}`), { status: 404 })
  t.match(await ask(server, 'GET', '/apis/certificates.k8s.io/v1/certificatesigningrequests/old'), { status: 404 })
})

t.test('metrics count what was asked and answered', async (t) => {
  const { server } = await startTestServer(t)
  await ask(server, 'GET', `${configMaps}/none`)
  await ask(server, 'GET', `${configMaps}/none`)
  await ask(server, 'BREW', `${configMaps}/none`)
  const { text, status } = await ask(server, 'GET', '/metrics')
  t.equal(status, 200)
  t.match(text, /apiserver_request_total\{verb="GET",group="",version="v1",resource="configmaps",subresource="",code="404"\} 2/)
  t.match(text, /apiserver_resource_objects\{group="",resource="namespaces"\} 4/)
  t.match(text, /process_resident_memory_bytes/)
  t.notMatch(text, 'BREW')
})
