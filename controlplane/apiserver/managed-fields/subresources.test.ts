// Server-side apply by way of subresources: each lets through its part, and its fields belong to who applied them there.
import t from 'tap'
import type { ApiServer } from '../index.ts'
import { ask, pod, startTestServer } from '../test-support/server.ts'
import type { Answer } from '../test-support/server.ts'

type Json = Record<string, unknown>

const deployments = '/apis/apps/v1/namespaces/default/deployments'
const pods = '/api/v1/namespaces/default/pods'
const requests = '/apis/certificates.k8s.io/v1/certificatesigningrequests'

function applyTo(server: ApiServer, path: string, body: Json, manager: string, more = ''): Promise<Answer> {
  return ask(server, 'PATCH', `${path}?fieldManager=${manager}${more}`, body, { 'content-type': 'application/apply-patch+yaml' })
}

const entryOf = ({ body }: Answer, manager: string): Json | undefined => (((body['metadata'] as Json)['managedFields'] ?? []) as Json[]).find((entry) => entry['manager'] === manager)

t.test('a scale is applied, conflicts with who applied the replicas, and is forced', async (t) => {
  const { server } = await startTestServer(t)
  const config = { apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'web' }, spec: { replicas: 2, selector: { matchLabels: { a: 'b' } }, template: { metadata: { labels: { a: 'b' } }, spec: { containers: [{ name: 'a', image: 'x' }] } } } }
  await applyTo(server, `${deployments}/web`, config, 'one')
  const scale = (replicas: number): Json => ({ apiVersion: 'autoscaling/v1', kind: 'Scale', metadata: { name: 'web', namespace: 'default' }, spec: { replicas } })
  t.match(await applyTo(server, `${deployments}/web/scale`, scale(5), 'two'), { status: 409, body: { message: 'Apply failed with 1 conflict: conflict with "one": .spec.replicas' } })
  t.match(await applyTo(server, `${deployments}/web/scale`, scale(2), 'two'), { status: 200, body: { kind: 'Scale', spec: { replicas: 2 } } }, 'the same value is shared')
  t.match(await applyTo(server, `${deployments}/web/scale`, scale(5), 'two', '&force=true'), { status: 200, body: { kind: 'Scale', spec: { replicas: 5 } } })
  const after = await ask(server, 'GET', `${deployments}/web`)
  t.match(after.body, { spec: { replicas: 5 }, metadata: { generation: 2 } })
  t.match(entryOf(after, 'two'), { operation: 'Apply', subresource: 'scale', apiVersion: 'apps/v1', fieldsV1: { 'f:spec': { 'f:replicas': {} } } })
  t.notMatch(JSON.stringify(entryOf(after, 'one')), 'f:replicas')
  t.match(await applyTo(server, `${deployments}/web/scale`, scale(-1), 'two', '&force=true'), { status: 422 })
  t.match(await applyTo(server, `${deployments}/none/scale`, { ...scale(1), metadata: { name: 'none' } }, 'two'), { status: 404 }, 'nothing is made by its scale')
})

t.test('ephemeral containers are added by applying them, and not taken away by applying less', async (t) => {
  const { server } = await startTestServer(t)
  await ask(server, 'POST', pods, pod('web'))
  const config = (names: readonly string[]): Json => ({ apiVersion: 'v1', kind: 'Pod', metadata: { name: 'web', labels: { mine: 'no' } }, spec: { ephemeralContainers: names.map((name) => ({ name, image: 'busybox:1' })) } })
  const made = await applyTo(server, `${pods}/web/ephemeralcontainers`, config(['debug']), 'me')
  t.match(made, { status: 200, body: { spec: { containers: [{ name: 'main' }], ephemeralContainers: [{ name: 'debug', image: 'busybox:1' }] } } })
  t.notOk('mine' in ((made.body['metadata'] as Json)['labels'] as Json), 'the rest of the pod is another way')
  t.match(entryOf(made, 'me'), { operation: 'Apply', subresource: 'ephemeralcontainers', fieldsV1: { 'f:spec': { 'f:ephemeralContainers': { 'k:{"name":"debug"}': {} } } } })
  t.match((await applyTo(server, `${pods}/web/ephemeralcontainers`, config(['debug', 'more']), 'me')).body, { spec: { ephemeralContainers: [{ name: 'debug' }, { name: 'more' }] } })
  t.match(await applyTo(server, `${pods}/web/ephemeralcontainers`, config([]), 'me'), { status: 400, body: { message: /may not be removed/ } })
})

t.test('resources are applied to containers that are there', async (t) => {
  const { server } = await startTestServer(t)
  await ask(server, 'POST', pods, pod('web', { containers: [{ name: 'main', image: 'busybox:1', resources: { requests: { cpu: '100m' } } }] }))
  const config = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'web' }, spec: { containers: [{ name: 'main', image: 'other', resources: { requests: { cpu: '200m' } } }] } }
  t.match(await applyTo(server, `${pods}/web/resize`, config, 'me'), { status: 409 })
  const made = await applyTo(server, `${pods}/web/resize`, config, 'me', '&force=true')
  t.match(made, { status: 200, body: { spec: { containers: [{ name: 'main', image: 'busybox:1', resources: { requests: { cpu: '200m' } } }] } } })
  t.match(entryOf(made, 'me'), { operation: 'Apply', subresource: 'resize' })
})

t.test('an approval is applied, condition by condition', async (t) => {
  const { server } = await startTestServer(t)
  const request = Buffer.from('-----BEGIN CERTIFICATE REQUEST-----\n-----END CERTIFICATE REQUEST-----\n').toString('base64')
  await ask(server, 'POST', requests, { metadata: { name: 'r' }, spec: { request, signerName: 'example.com/x', usages: ['client auth'] } })
  const config = { apiVersion: 'certificates.k8s.io/v1', kind: 'CertificateSigningRequest', metadata: { name: 'r' }, status: { certificate: 'eA==', conditions: [{ type: 'Approved', status: 'True', reason: 'Because', message: 'yes' }] } }
  const made = await applyTo(server, `${requests}/r/approval`, config, 'me')
  t.match(made, { status: 200, body: { status: { conditions: [{ type: 'Approved', reason: 'Because' }] } } })
  t.notOk('certificate' in (made.body['status'] as Json))
  t.match(entryOf(made, 'me'), { operation: 'Apply', subresource: 'approval' })
})
