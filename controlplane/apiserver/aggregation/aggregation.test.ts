// Groups that another API server serves: found, described, asked for on the client's behalf, and told of when it is away.
import { request as httpsRequest } from 'node:https'
import { once } from 'node:events'
import type { Socket } from 'node:net'
import t from 'tap'
import type { Test } from 'tap'
import { systemClock } from '../../../api/clock.ts'
import { parseKubeconfig } from '../../../api/kubeconfig.ts'
import type { ApiServer } from '../index.ts'
import { startAggregatedServer } from '../test-support/aggregated-server.ts'
import type { AggregatedServer } from '../test-support/aggregated-server.ts'
import { ask, askOver, startTestServer } from '../test-support/server.ts'

type Json = Record<string, unknown>

const apiServices = '/apis/apiregistration.k8s.io/v1/apiservices'
const metrics = '/apis/metrics.k8s.io/v1beta1'
const pods = `${metrics}/namespaces/default/pods`
const v2 = { accept: 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json' }

async function until(what: () => Promise<boolean>): Promise<void> {
  while (!(await what())) await systemClock.sleep(10)
}

async function available(server: ApiServer): Promise<Json | undefined> {
  const { body } = await ask(server, 'GET', `${apiServices}/v1beta1.metrics.k8s.io`)
  return ((body['status'] as Json | undefined)?.['conditions'] as Json[] | undefined)?.[0]
}

async function reachable(t: Test): Promise<{ server: ApiServer; aggregated: AggregatedServer }> {
  const { server } = await startTestServer(t)
  const { body } = await ask(server, 'GET', '/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication')
  const aggregated = await startAggregatedServer((body['data'] as Record<string, string>)['requestheader-client-ca-file'] ?? '')
  t.teardown(() => aggregated.stop())
  // Endpoints may not be on the loopback interface, as Kubernetes has it: the name of a host may.
  await ask(server, 'POST', '/api/v1/namespaces/default/services', { metadata: { name: 'metrics' }, spec: { type: 'ExternalName', externalName: 'localhost', ports: [{ port: aggregated.port }] } })
  t.match(await ask(server, 'POST', apiServices, {
    metadata: { name: 'v1beta1.metrics.k8s.io' },
    spec: { group: 'metrics.k8s.io', version: 'v1beta1', groupPriorityMinimum: 100, versionPriority: 100, service: { namespace: 'default', name: 'metrics', port: aggregated.port }, caBundle: aggregated.caBundle },
  }), { status: 201 })
  await until(async () => (await available(server))?.['status'] === 'True')
  return { server, aggregated }
}

t.test('what this server serves itself is in the list, and follows definitions', async (t) => {
  const { server } = await startTestServer(t)
  t.match((await ask(server, 'GET', `${apiServices}/v1.apps`)).body, { spec: { group: 'apps', version: 'v1', groupPriorityMinimum: 17_800 }, status: { conditions: [{ type: 'Available', status: 'True', reason: 'Local' }] } })
  t.match((await ask(server, 'GET', `${apiServices}/v1.`)).body, { metadata: { labels: { 'kube-aggregator.kubernetes.io/automanaged': 'onstart' } } })
  const definition = { metadata: { name: 'widgets.example.com' }, spec: { group: 'example.com', scope: 'Namespaced', names: { plural: 'widgets', kind: 'Widget' }, versions: [{ name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: { type: 'object' } } }] } }
  await ask(server, 'POST', '/apis/apiextensions.k8s.io/v1/customresourcedefinitions', definition)
  const status = async (): Promise<number> => (await ask(server, 'GET', `${apiServices}/v1.example.com`)).status
  await until(async () => (await status()) === 200)
  await ask(server, 'DELETE', '/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.example.com')
  await until(async () => (await status()) === 404)
})

t.test('its resources are in discovery and OpenAPI, its answers come on behalf of who asked', async (t) => {
  const { server, aggregated } = await reachable(t)
  t.match((await ask(server, 'GET', metrics)).body, { kind: 'APIResourceList', groupVersion: 'metrics.k8s.io/v1beta1' })
  t.match((await ask(server, 'GET', '/apis/metrics.k8s.io')).body, { kind: 'APIGroup', preferredVersion: { version: 'v1beta1' } })
  t.ok(((await ask(server, 'GET', '/apis')).body['groups'] as Json[]).some(({ name }) => name === 'metrics.k8s.io'))
  const items = (await ask(server, 'GET', '/apis', undefined, v2)).body['items'] as { metadata: { name: string }; versions: Json[] }[]
  t.match(items.find(({ metadata }) => metadata.name === 'metrics.k8s.io')?.versions, [{ freshness: 'Current', resources: [{ resource: 'nodes', scope: 'Cluster' }, { resource: 'pods', scope: 'Namespaced', responseKind: { kind: 'PodMetrics' }, subresources: [{ subresource: 'status' }] }] }])
  t.match((await ask(server, 'GET', '/openapi/v3')).body, { paths: { 'apis/metrics.k8s.io/v1beta1': { serverRelativeURL: /hash=/ } } })
  t.match((await ask(server, 'GET', '/openapi/v3/apis/metrics.k8s.io/v1beta1')).body, { components: { schemas: { 'io.example.metrics.PodMetrics': {} } } })
  const { body } = await ask(server, 'GET', '/openapi/v2')
  t.match(body, { definitions: { 'io.example.metrics.PodMetrics': {}, 'io.k8s.api.core.v1.Pod': {} }, paths: { '/apis/metrics.k8s.io/v1beta1/namespaces/{namespace}/pods': {} } })
  t.notOk('/apis/other/v1/' in (body['paths'] as Json), 'nobody describes what is not his')

  const jane = { name: 'jane', groups: ['system:masters', 'a b'], uid: '7', extra: { 'Example.com/Scope': ['x', 'y'] } }
  t.match(await ask(server, 'GET', `${pods}?limit=5`, undefined, { authorization: 'Bearer secret', 'x-remote-user': 'root', 'x-remote-extra-evil': 'x' }, jane), { status: 200, body: { kind: 'PodMetricsList' } })
  const seen = aggregated.seen.at(-1)
  t.match(seen, { method: 'GET', url: `${pods}?limit=5`, headers: { 'x-remote-user': 'jane', 'x-remote-uid': '7', 'x-remote-group': 'system:masters, a b, system:authenticated', 'x-remote-extra-example.com%2fscope': 'x, y' } })
  t.notOk('authorization' in (seen?.headers ?? {}) || 'x-remote-extra-evil' in (seen?.headers ?? {}))
  t.match(await ask(server, 'POST', pods, { metadata: { name: 'made' } }), { status: 201, body: { metadata: { name: 'made' } } })
  t.match(aggregated.seen.at(-1)?.body, /"made"/)
  t.match(await ask(server, 'GET', pods, undefined, {}, { name: 'nobody', groups: [] }), { status: 403, body: { message: /cannot list resource "pods" in API group "metrics.k8s.io"/ } })
})

t.test('a watch streams, and a connection is upgraded', async (t) => {
  const { server } = await reachable(t)
  const { body } = await server.transport({ name: 'a', groups: ['system:masters'] })({ method: 'GET', path: `${pods}?watch=1` })
  for await (const piece of body) {
    t.match(Buffer.from(piece).toString(), /"type":"ADDED"/)
    break
  }
  t.match(await askOver(t, server.adminKubeconfig(), 'GET', pods), { status: 200 }, 'over TLS too')
  const { ca, clientCert, clientKey } = parseKubeconfig(server.adminKubeconfig(), { directory: '/' })
  const outgoing = httpsRequest(`${server.url}${pods}/web/status`, { ca: ca!, cert: clientCert!, key: clientKey!, agent: false, headers: { connection: 'Upgrade', upgrade: 'echo', 'x-remote-user': 'root' } })
  outgoing.end()
  const [, socket, head] = (await once(outgoing, 'upgrade')) as [unknown, Socket, Buffer]
  let text = head.toString()
  socket.on('data', (chunk: Buffer) => (text += chunk.toString()))
  socket.write('ping')
  await until(async () => text.includes('ping'))
  t.equal(text, 'kubernetes-admin\nping')
  socket.destroy()
})

t.test('a server that is away is a condition and a 503, and stale in discovery', async (t) => {
  const { server, aggregated } = await reachable(t)
  await aggregated.stop()
  // Whatever changes of its service has it asked again at once.
  await ask(server, 'PATCH', '/api/v1/namespaces/default/services/metrics', { metadata: { labels: { a: 'b' } } }, { 'content-type': 'application/merge-patch+json' })
  await until(async () => (await available(server))?.['status'] === 'False')
  t.match(await available(server), { reason: 'FailedDiscoveryCheck', message: /failing or missing response from .*(ECONNREFUSED|ECONNRESET)/ })
  t.match(await ask(server, 'GET', pods), { status: 503, body: { kind: 'Status', reason: 'ServiceUnavailable', message: /currently unable to handle the request/ } })
  const items = (await ask(server, 'GET', '/apis', undefined, v2)).body['items'] as { metadata: { name: string }; versions: Json[] }[]
  t.match(items.find(({ metadata }) => metadata.name === 'metrics.k8s.io')?.versions, [{ freshness: 'Stale' }])
  await ask(server, 'DELETE', '/api/v1/namespaces/default/services/metrics')
  await until(async () => (await available(server))?.['reason'] === 'ServiceNotFound')
  await ask(server, 'DELETE', `${apiServices}/v1beta1.metrics.k8s.io`)
  await until(async () => (await ask(server, 'GET', '/apis/metrics.k8s.io')).status === 404)
})

t.test('whoever answers in its place is not believed', async (t) => {
  const { server, aggregated } = await reachable(t)
  const other = Buffer.from((await ask(server, 'GET', '/cacerts')).text).toString('base64')
  await ask(server, 'PATCH', `${apiServices}/v1beta1.metrics.k8s.io`, { spec: { caBundle: other } }, { 'content-type': 'application/merge-patch+json' })
  await until(async () => (await available(server))?.['status'] === 'False')
  t.match(await available(server), { message: /certificate/ })
  t.match(await ask(server, 'GET', pods), { status: 503 })
  t.same(aggregated.seen, [])
})
