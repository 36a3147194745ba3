// Turns, the audit log, and what a node may read: what happens on the way to every answer.
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import type { HttpRequest, Reply } from '../http.ts'
import { ask, pod, startTestServer } from '../test-support/server.ts'
import { Turns } from './turns.ts'

const info = (subresource = '') => ({ isResource: true, path: '/', verb: 'create', group: '', version: 'v1', resource: 'pods', subresource, namespace: '', name: '', rest: '' })
const by = (name: string) => ({ user: { name, groups: [] }, info: info() })
const reply: Reply = { status: 200, headers: {}, body: [] }
const request = (body: Promise<Buffer> = Promise.resolve(Buffer.alloc(0))): HttpRequest => ({ method: 'POST', path: '/', query: new URLSearchParams(), headers: {}, peer: {}, signal: new AbortController().signal, readBody: () => body })

t.test('a client that asks for much is waited for by nobody but itself', async (t) => {
  const turns = new Turns()
  const order: string[] = []
  const open: (() => void)[] = []
  const work = (name: string) => () => new Promise<Reply>((resolve) => {
    order.push(name)
    open.push(() => resolve(reply))
  })
  const noisy = Array.from({ length: 400 }, () => turns.take(by('noisy'), request(), work('noisy')))
  await new Promise((resolve) => setImmediate(resolve))
  const [busy] = [order.length]
  const quiet = turns.take(by('quiet'), request(), work('quiet'))
  await new Promise((resolve) => setImmediate(resolve))
  t.equal(busy, 64, 'one client has at most as many as it leaves free')
  t.equal(order.indexOf('quiet'), 64, 'another has its turn at once')
  const next = turns.take(by('third'), request(), work('third'))
  open.shift()?.()
  await new Promise((resolve) => setImmediate(resolve))
  t.equal(order.at(-1), 'third')
  await t.rejects(Promise.all(Array.from({ length: 200 }, () => turns.take(by('noisy'), request(), work('noisy')))), { code: 429 }, 'and beyond a limit it is told to come later')
  for (let turn = 0; turn < 1000 && open.length > 0; turn++) {
    open.shift()?.()
    await new Promise((resolve) => setImmediate(resolve))
  }
  await Promise.all([...noisy, quiet, next])
})

t.test('bodies that do not come take nobody\'s place', async (t) => {
  const turns = new Turns()
  const never = new Promise<Buffer>(() => undefined)
  for (let i = 0; i < 100; i++) void turns.take(by('slow'), request(never), () => Promise.resolve(reply))
  t.equal((await turns.take(by('quick'), request(), () => Promise.resolve(reply))).status, 200)
})

t.test('the audit log tells who asked for what and what was answered', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'fairway-audit-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const path = join(folder, 'audit.log')
  const { server } = await startTestServer(t, { audit: { path } })
  await ask(server, 'GET', '/api/v1/namespaces/default/secrets/none')
  await ask(server, 'GET', '/api/v1/namespaces/default/secrets', undefined, { 'user-agent': 'spy' }, { name: 'eve', groups: [] })
  await server.stop()
  const events = readFileSync(path, 'utf8').trim().split('\n').map((line) => JSON.parse(line) as Record<string, unknown>)
  t.match(events, [
    { kind: 'Event', apiVersion: 'audit.k8s.io/v1', level: 'Metadata', stage: 'ResponseComplete', verb: 'get', user: { username: 'admin' }, objectRef: { resource: 'secrets', namespace: 'default', name: 'none', apiVersion: 'v1' }, responseStatus: { code: 404 } },
    { verb: 'list', userAgent: 'spy', responseStatus: { code: 403 } },
  ])
  t.equal(statSync(path).mode & 0o777, 0o600)
})

t.test('a node reads the secrets and config maps that its own pods refer to, by name, and no others', async (t) => {
  const { server } = await startTestServer(t)
  for (const name of ['mine', 'pulled', 'other']) await ask(server, 'POST', '/api/v1/namespaces/default/secrets', { apiVersion: 'v1', kind: 'Secret', metadata: { name } })
  for (const name of ['settings', 'more']) await ask(server, 'POST', '/api/v1/namespaces/default/configmaps', { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name } })
  const containers = [{ name: 'main', image: 'x', env: [{ name: 'A', valueFrom: { configMapKeyRef: { name: 'settings', key: 'a', optional: true } } }] }]
  t.equal((await ask(server, 'POST', '/api/v1/namespaces/default/pods', pod('p', { nodeName: 'one', containers, imagePullSecrets: [{ name: 'pulled' }], volumes: [{ name: 'v', secret: { secretName: 'mine' } }] }))).status, 201)
  const node = (name: string) => ({ name: `system:node:${name}`, groups: ['system:nodes'] })
  const status = async (path: string, name = 'one'): Promise<number> => (await ask(server, 'GET', `/api/v1/namespaces/default/${path}`, undefined, {}, node(name))).status
  t.equal(await status('secrets/mine'), 200)
  t.equal(await status('secrets/pulled'), 200)
  t.equal(await status('configmaps/settings'), 200)
  t.equal(await status('secrets?fieldSelector=metadata.name%3Dmine'), 200)
  t.equal(await status('secrets/other'), 403)
  t.equal(await status('configmaps/more'), 403)
  t.equal(await status('secrets'), 403)
  t.equal(await status('secrets?fieldSelector=metadata.name%3Dother'), 403)
  t.equal(await status('secrets?fieldSelector=metadata.name%21%3Dmine'), 403)
  t.equal(await status('secrets/mine', 'two'), 403)
  t.equal(await status('pods'), 200)
})

t.test('a node, which may serve ingresses, reads the certificates that they name', async (t) => {
  const { server } = await startTestServer(t)
  for (const name of ['shop', 'unnamed', 'theirs']) await ask(server, 'POST', '/api/v1/namespaces/default/secrets', { apiVersion: 'v1', kind: 'Secret', metadata: { name }, type: 'kubernetes.io/tls', data: { 'tls.crt': 'eA==', 'tls.key': 'eA==' } })
  await ask(server, 'POST', '/api/v1/namespaces/default/secrets', { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'password' } })
  const backend = { service: { name: 'web', port: { number: 80 } } }
  const { status } = await ask(server, 'POST', '/apis/networking.k8s.io/v1/namespaces/default/ingresses', { apiVersion: 'networking.k8s.io/v1', kind: 'Ingress', metadata: { name: 'site' }, spec: { defaultBackend: backend, tls: ['shop', 'password', 'later'].map((secretName) => ({ secretName })) } })
  t.equal(status, 201)
  await ask(server, 'POST', '/apis/networking.k8s.io/v1/namespaces/default/ingresses', { apiVersion: 'networking.k8s.io/v1', kind: 'Ingress', metadata: { name: 'elsewhere' }, spec: { ingressClassName: 'nginx', defaultBackend: backend, tls: [{ secretName: 'theirs' }] } })
  const read = async (name: string): Promise<number> => (await ask(server, 'GET', `/api/v1/namespaces/default/secrets?fieldSelector=metadata.name%3D${name}`, undefined, {}, { name: 'system:node:one', groups: ['system:nodes'] })).status
  t.strictSame([await read('shop'), await read('later'), await read('unnamed'), await read('password')], [200, 200, 403, 403])
  t.equal(await read('theirs'), 403, 'another controller serves it')
})

t.test('a node gets tokens only for pods that run on it', async (t) => {
  const { server } = await startTestServer(t)
  await ask(server, 'POST', '/api/v1/namespaces/default/serviceaccounts', { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'robot' } })
  const { body } = await ask(server, 'POST', '/api/v1/namespaces/default/pods', pod('p', { nodeName: 'one', serviceAccountName: 'robot', containers: [{ name: 'main', image: 'x' }] }))
  const { uid } = body['metadata'] as { uid: string }
  const boundObjectRef = { kind: 'Pod', apiVersion: 'v1', name: 'p', uid }
  const ofNode = async (name: string, spec: object): Promise<number> =>
    (await ask(server, 'POST', '/api/v1/namespaces/default/serviceaccounts/robot/token', { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: { audiences: [], expirationSeconds: 3600, ...spec } }, {}, { name: `system:node:${name}`, groups: ['system:nodes'] })).status
  t.equal(await ofNode('one', { boundObjectRef }), 201)
  t.equal(await ofNode('two', { boundObjectRef }), 403)
  t.equal(await ofNode('one', {}), 403)
})

t.test('those who verify tokens find issuer and keys', async (t) => {
  const { server } = await startTestServer(t)
  t.match((await ask(server, 'GET', '/.well-known/openid-configuration')).body, { issuer: /^https:/, jwks_uri: /\/openid\/v1\/jwks$/ })
  const jwks = await ask(server, 'GET', '/openid/v1/jwks')
  t.match(jwks.body, { keys: [{ kty: 'EC', use: 'sig', alg: 'ES256', crv: 'P-256', kid: /./, x: /./, y: /./ }] })
  t.equal(jwks.headers['content-type'], 'application/jwk-set+json')
})
