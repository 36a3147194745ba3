// The door: TLS, who comes in, and what survives a restart.
import { connect } from 'node:http2'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { createHash, X509Certificate } from 'node:crypto'
import { statSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { Client } from '../../api/client.ts'
import { httpsTransport } from '../../api/https-transport.ts'
import { parseKubeconfig } from '../../api/kubeconfig.ts'
import { configMaps } from '../../api/resources.ts'
import { ask, askOver, startTestServer } from './test-support/server.ts'

t.test('strangers get health, version and the CA, and nothing else', async (t) => {
  const { server } = await startTestServer(t)
  const stranger = (path: string, token = ''): ReturnType<typeof askOver> => askOver(t, server.adminKubeconfig(), 'GET', path, undefined, token)
  for (const path of ['/livez', '/readyz', '/healthz']) t.equal((await stranger(path)).text, 'ok', path)
  t.equal((await stranger('/readyz?verbose')).text, '[+]ping ok\n[+]etcd ok\nreadyz check passed\n')
  t.equal((await stranger('/livez?verbose')).text, '[+]ping ok\nlivez check passed\n')
  t.match((await stranger('/version')).body, { major: '1', minor: '35' })
  t.equal((await stranger('/cacerts')).text, server.caCertificate)
  for (const path of ['/api', '/apis', '/api/v1/pods', '/api/v1/namespaces/kube-system/secrets', '/openapi/v2', '/metrics', '/nowhere']) {
    t.match(await stranger(path), { status: 401, body: { kind: 'Status', reason: 'Unauthorized', code: 401 } }, path)
  }
  for (const token of ['nonsense', 'abcdef.0123456789abcdef', 'e30.e30.e30']) t.equal((await stranger('/api/v1/pods', token)).status, 401, token)
})

t.test('a client certificate names user and groups', async (t) => {
  const { server } = await startTestServer(t)
  const review = { apiVersion: 'authentication.k8s.io/v1', kind: 'SelfSubjectReview' }
  const path = '/apis/authentication.k8s.io/v1/selfsubjectreviews'
  const kubeconfig = await server.kubeconfigFor({ user: 'jane', groups: ['devs', 'ops'] })
  t.match((await askOver(t, kubeconfig, 'POST', path, review)).body, { status: { userInfo: { username: 'jane', groups: ['devs', 'ops', 'system:authenticated'] } } })
  t.match(await askOver(t, kubeconfig, 'GET', '/api/v1/namespaces/default/pods'), {
    status: 403,
    body: { reason: 'Forbidden', message: 'pods is forbidden: User "jane" cannot list resource "pods" in API group "" in the namespace "default"' },
  })
})

t.test('a certificate of another authority is no certificate', async (t) => {
  const { server } = await startTestServer(t)
  const { server: other } = await startTestServer(t)
  const config = parseKubeconfig(other.adminKubeconfig(), { directory: '/' })
  const transport = httpsTransport({ ...config, server: server.url, ca: server.caCertificate })
  t.teardown(async () => transport.close())
  t.equal((await transport({ method: 'GET', path: '/api/v1/secrets' })).status, 401)
})

t.test('the server shows its names, and both HTTP versions are spoken', async (t) => {
  const { server } = await startTestServer(t, { advertiseAddress: '192.0.2.7' })
  const socket = connectTls({ host: '127.0.0.1', port: server.port, ca: server.caCertificate, ALPNProtocols: ['http/1.1'] })
  await new Promise((resolve) => socket.once('secureConnect', resolve))
  const certificate = new X509Certificate(socket.getPeerCertificate().raw)
  for (const name of ['kubernetes.default.svc', 'localhost']) t.ok(certificate.checkHost(name), name)
  for (const address of ['192.0.2.7', '10.96.0.1', '127.0.0.1']) t.ok(certificate.checkIP(address), address)
  socket.destroy()
  const { clientCert, clientKey } = parseKubeconfig(server.adminKubeconfig(), { directory: '/' })
  const session = connect(server.url, { ca: server.caCertificate, cert: clientCert!, key: clientKey! })
  const stream = session.request({ ':path': '/api/v1/namespaces?watch=1' })
  const first = await new Promise<Buffer>((resolve) => stream.once('data', resolve))
  t.match(JSON.parse(first.toString().split('\n')[0]!), { type: 'ADDED', object: { kind: 'Namespace' } })
  const closed = new Promise((resolve) => session.once('close', resolve))
  await server.stop()
  await closed
})

t.test('a restart on the same directory has the same credentials, which only root can read', async (t) => {
  const dataDir = t.testdir()
  const first = await startTestServer(t, { dataDir })
  const [kubeconfig, token] = [first.server.adminKubeconfig(), await first.server.joinToken()]
  await first.server.stop()
  const second = await startTestServer(t, { dataDir, store: first.store, port: first.server.port })
  t.equal(second.server.adminKubeconfig(), kubeconfig)
  t.equal(await second.server.joinToken(), token)
  t.equal(token.slice(0, 67), `FW1${createHash('sha256').update(new X509Certificate(second.server.caCertificate).raw).digest('hex')}`)
  for (const file of readdirSync(join(dataDir, 'pki'))) t.equal(statSync(join(dataDir, 'pki', file)).mode & 0o777, 0o600, file)
})

t.test('a new address gives the server a new certificate and leaves all others', async (t) => {
  const dataDir = t.testdir()
  const first = await startTestServer(t, { dataDir })
  await first.server.stop()
  const second = await startTestServer(t, { dataDir, advertiseAddress: '192.0.2.9' })
  const socket = connectTls({ host: '127.0.0.1', port: second.server.port, ca: first.server.caCertificate })
  await new Promise((resolve) => socket.once('secureConnect', resolve))
  t.ok(new X509Certificate(socket.getPeerCertificate().raw).checkIP('192.0.2.9'))
  socket.destroy()
})

t.test('a port in use is one sentence', async (t) => {
  const taken = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => taken.once('listening', resolve))
  t.teardown(async () => void taken.close())
  const { port } = taken.address() as AddressInfo
  await t.rejects(startTestServer(t, { port }), { message: new RegExp(`^Cannot listen on 127.0.0.1 port ${port}: the port is in use by another program; [^\n]+$`) })
  await t.rejects(startTestServer(t, { bind: '192.0.2.1' }), { message: /this machine has no such address/ })
})

t.test('stopping ends watches and refuses what comes after', async (t) => {
  const { server } = await startTestServer(t)
  const transport = httpsTransport(parseKubeconfig(server.adminKubeconfig(), { directory: '/' }))
  t.teardown(async () => transport.close())
  const client = new Client(transport)
  const watch = client.watch(configMaps, { resourceVersion: '0' })
  const ended = (async () => {
    for await (const _event of watch) t.pass('an event')
  })()
  await client.list(configMaps)
  await server.stop()
  await ended
  t.match(await ask(server, 'GET', '/api/v1/pods'), { status: 503, body: { reason: 'ServiceUnavailable' } })
})

t.test('bodies beyond the limit and paths that make no sense are refused with a Status', async (t) => {
  const { server } = await startTestServer(t)
  const big = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'big' }, data: { a: 'x'.repeat(3_200_000) } }
  t.match(await askOver(t, server.adminKubeconfig(), 'POST', '/api/v1/namespaces/default/configmaps', big), { status: 413, body: { reason: 'RequestEntityTooLarge' } })
  for (const [path, status] of [['/api/v1/%E0%A4%A', 400], ['/api/v2/pods', 404], ['/apis/nope.io/v1/things', 404], ['/api/v1/nonsense', 404], ['/api/v1/namespaces/default/nodes', 404], ['/apis//v1', 404]] as const) {
    t.match(await ask(server, 'GET', path), { status, body: { kind: 'Status', status: 'Failure' } }, path)
  }
  t.match(await ask(server, 'DELETE', '/version'), { status: 404 })
})
