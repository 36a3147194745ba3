// exec, logs and proxies: through the API server to a kubelet that lets only the API server in.
import { once } from 'node:events'
import { createServer, request } from 'node:https'
import { createServer as createHttpServer } from 'node:http'
import type { IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { TLSSocket } from 'node:tls'
import t from 'tap'
import type { Test } from 'tap'
import { WebSocket, WebSocketServer } from 'ws'
import { httpsTransport } from '../../../api/https-transport.ts'
import { parseKubeconfig } from '../../../api/kubeconfig.ts'
import { nodes, pods } from '../../../api/resources.ts'
import type { Node, Pod } from '../../../api/types.ts'
import { CertificateAuthority } from '../pki/authority.ts'
import { openCredentials } from '../pki/credentials.ts'
import { ask, askOver, pod, startTestServer } from '../test-support/server.ts'
import type { TestServer } from '../test-support/server.ts'
import { unansweringPort } from '../test-support/unanswering.ts'

interface Kubelet {
  readonly port: number
  readonly requests: string[]
}

/** A kubelet that says what it is asked for, and echoes on WebSockets. */
async function kubelet(t: Test, dataDir: string): Promise<Kubelet> {
  const { authority } = await openCredentials({ dataDir, serverNames: [], now: () => Date.now() })
  const { certificate, key } = await authority.issue({ subject: { commonName: 'system:node:n1', organizations: ['system:nodes'] }, usages: ['server'], names: ['127.0.0.1'], validMs: 3_600_000 })
  const requests: string[] = []
  const who = (request: IncomingMessage): string => (request.socket as TLSSocket).getPeerCertificate().subject.CN as string
  const server = createServer({ cert: certificate, key, ca: authority.certificate, requestCert: true, rejectUnauthorized: true }, (request, response) => {
    requests.push(`${who(request)} ${request.method ?? ''} ${request.url ?? ''}`)
    if (request.url?.startsWith('/containerLogs') !== true) return void response.writeHead(404).end('no such path\n')
    response.writeHead(200, { 'content-type': 'text/plain' })
    response.write('one\n')
    if (request.url.includes('follow=true')) setTimeout(() => response.write('two\n'), 5)
    else response.end('two\n')
  })
  const sockets = new WebSocketServer({ noServer: true, handleProtocols: (protocols) => [...protocols][0] ?? false })
  server.on('upgrade', (request, socket, head) => {
    requests.push(`${who(request)} upgrade ${request.url ?? ''} ${request.headers.authorization ?? 'no authorization'}`)
    if (request.url?.includes('/refused') === true) return void socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 7\r\n\r\nrefused')
    sockets.handleUpgrade(request, socket, head, (socket) => socket.on('message', (data) => socket.send(data)))
  })
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return { port: (server.address() as AddressInfo).port, requests }
}

async function cluster(t: Test): Promise<TestServer & Kubelet> {
  const dataDir = t.testdir()
  const test = await startTestServer(t, { dataDir })
  const { port, requests } = await kubelet(t, dataDir)
  const status = { addresses: [{ type: 'InternalIP', address: '127.0.0.1' }], daemonEndpoints: { kubeletEndpoint: { Port: port } } } as Node['status']
  await test.client.create(nodes, { apiVersion: 'v1', kind: 'Node', metadata: { name: 'n1' }, spec: {}, ...(status === undefined ? {} : { status }) })
  for (const name of ['web', 'two', 'refused']) {
    const containers = name === 'two' ? [{ name: 'a', image: 'x' }, { name: 'b', image: 'x' }] : [{ name: 'main', image: 'x' }]
    await test.client.create(pods, { ...pod(name, { nodeName: 'n1', containers }), metadata: { name, namespace: 'default' } } as unknown as Pod)
  }
  await test.client.create(pods, { ...pod('waiting'), metadata: { name: 'waiting', namespace: 'default' } } as unknown as Pod)
  return { ...test, port, requests }
}

function openSocket(t: Test, { server }: TestServer, path: string, kubeconfig = server.adminKubeconfig()): Promise<{ socket: WebSocket; next: () => Promise<string> }> {
  const { ca, clientCert, clientKey } = parseKubeconfig(kubeconfig, { directory: '/' })
  const socket = new WebSocket(server.url.replace('https', 'wss') + path, ['v5.channel.k8s.io', 'v4.channel.k8s.io'], { ca: ca!, cert: clientCert!, key: clientKey! })
  t.teardown(() => socket.terminate())
  const received: string[] = []
  let wake = (): void => undefined
  socket.on('message', (data: Buffer) => {
    received.push(data.toString())
    wake()
  })
  const next = async (): Promise<string> => {
    while (received.length === 0) await new Promise<void>((resolve) => (wake = resolve))
    return received.shift()!
  }
  return new Promise((resolve, reject) => {
    socket.on('open', () => resolve({ socket, next }))
    socket.on('unexpected-response', (_request, response) => {
      let body = ''
      response.on('data', (chunk: Buffer) => (body += chunk.toString())).on('end', () => reject(new Error(`${response.statusCode ?? 0} ${body}`)))
    })
    socket.on('error', reject)
  })
}

t.test('exec is led to the kubelet of the pod, as the API server', async (t) => {
  const test = await cluster(t)
  const { socket, next } = await openSocket(t, test, '/api/v1/namespaces/default/pods/web/exec?command=sh&command=-c&command=echo+hi&stdin=true&stdout=true&tty=false')
  t.equal(socket.protocol, 'v5.channel.k8s.io')
  socket.send(Buffer.from('\0hello'))
  t.equal(await next(), '\0hello')
  t.same(test.requests, ['kube-apiserver-kubelet-client upgrade /exec/default/web/main?command=sh&command=-c&command=echo+hi&input=1&output=1 no authorization'])
})

t.test('a session that is asked for without an upgrade is told so', async (t) => {
  const test = await cluster(t)
  for (const subresource of ['exec', 'attach', 'portforward']) {
    for (const method of ['GET', 'POST']) t.match(await ask(test.server, method, `/api/v1/namespaces/default/pods/web/${subresource}`), { status: 400, body: { reason: 'BadRequest', message: 'Upgrade request required' } })
  }
})

t.test('who may only read begins no session', async (t) => {
  const test = await cluster(t)
  const rbac = '/apis/rbac.authorization.k8s.io/v1/namespaces/default'
  const role = (verbs: string[]): Record<string, unknown> => ({ metadata: { name: 'r' }, rules: [{ apiGroups: [''], resources: ['pods/exec', 'pods/attach', 'pods/portforward'], verbs }] })
  t.equal((await ask(test.server, 'POST', `${rbac}/roles`, role(['get']))).status, 201)
  t.equal((await ask(test.server, 'POST', `${rbac}/rolebindings`, { metadata: { name: 'b' }, roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'r' }, subjects: [{ kind: 'User', apiGroup: 'rbac.authorization.k8s.io', name: 'jane' }] })).status, 201)
  const jane = await test.server.kubeconfigFor({ user: 'jane', groups: [] })
  for (const subresource of ['exec', 'attach', 'portforward']) {
    await t.rejects(openSocket(t, test, `/api/v1/namespaces/default/pods/web/${subresource}?stdout=1`, jane), new RegExp(`403 .*cannot create resource .*pods/${subresource}`))
  }
  t.same(test.requests, [])
  await ask(test.server, 'PUT', `${rbac}/roles/r`, role(['get', 'create']))
  await openSocket(t, test, '/api/v1/namespaces/default/pods/web/exec?stdout=1', jane)
  t.match(test.requests, [/\/exec\/default\/web\/main/])
})

t.test('port-forward and attach go the same way, and a big message arrives whole', async (t) => {
  const test = await cluster(t)
  const forward = await openSocket(t, test, '/api/v1/namespaces/default/pods/web/portforward?ports=80')
  const big = 'x'.repeat(300_000)
  forward.socket.send(big)
  t.equal(await forward.next(), big)
  await openSocket(t, test, '/api/v1/namespaces/default/pods/two/attach?container=b&stdout=true')
  t.match(test.requests, [/\/portForward\/default\/web\?ports=80 /, /\/attach\/default\/two\/b\?output=1 /])
})

t.test('what cannot be connected is refused with a Status, and what the kubelet refuses is passed on', async (t) => {
  const test = await cluster(t)
  const cases: [path: string, refusal: RegExp][] = [
    ['/api/v1/namespaces/default/pods/none/exec?command=x', /404 .*pods \\"none\\" not found/],
    ['/api/v1/namespaces/default/pods/waiting/exec?command=x', /400 .*does not have a host assigned/],
    ['/api/v1/namespaces/default/pods/two/exec?command=x', /400 .*a container name must be specified for pod two, choose one of: \[a b\]/],
    ['/api/v1/namespaces/default/pods/web/exec?command=x&container=nope', /400 .*container nope is not valid for pod web/],
    ['/api/v1/namespaces/default/pods/web/log', /400/],
    ['/api/v1/namespaces/default/pods/refused/exec?command=x', /403 refused/],
  ]
  for (const [path, message] of cases) await t.rejects(openSocket(t, test, path), { message }, path)
  const stranger = new WebSocket(`${test.server.url.replace('https', 'wss')}/api/v1/namespaces/default/pods/web/exec`, { ca: test.server.caCertificate })
  const status = await new Promise((resolve) => stranger.on('unexpected-response', (_request, response) => resolve(response.statusCode)).on('error', () => undefined))
  t.equal(status, 401)
})

t.test('logs come as they are written, and stop when the client goes', async (t) => {
  const test = await cluster(t)
  const read = await askOver(t, test.server.adminKubeconfig(), 'GET', '/api/v1/namespaces/default/pods/web/log?tailLines=5&timestamps=true&pretty=true')
  t.match(read, { status: 200, text: 'one\ntwo\n' })
  t.match(test.requests.at(-1), /\/containerLogs\/default\/web\/main\?timestamps=true&tailLines=5$/)
  const transport = httpsTransport(parseKubeconfig(test.server.adminKubeconfig(), { directory: '/' }))
  t.teardown(() => transport.close())
  const { body } = await transport({ method: 'GET', path: '/api/v1/namespaces/default/pods/web/log?follow=true' })
  let seen = ''
  for await (const piece of body) {
    seen += Buffer.from(piece).toString()
    if (seen === 'one\ntwo\n') break
  }
  t.equal(seen, 'one\ntwo\n')
  t.match(await ask(test.server, 'GET', '/api/v1/namespaces/default/pods/waiting/log'), { status: 200, text: '' })
})

t.test('a kubelet that is away, or is another, is a sentence', async (t) => {
  const test = await cluster(t)
  const impostor = await CertificateAuthority.create('other', () => Date.now())
  const { certificate, key } = await impostor.issue({ subject: { commonName: 'x' }, usages: ['server'], names: ['127.0.0.1'], validMs: 60_000 })
  const server = createServer({ cert: certificate, key }, (_request, response) => void response.end('stolen'))
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => void server.close())
  const pointTo = (port: number): Promise<Node> => test.client.patch(nodes, { name: 'n1', subresource: 'status' }, { status: { daemonEndpoints: { kubeletEndpoint: { Port: port } } } }, { type: 'merge' })
  await pointTo((server.address() as AddressInfo).port)
  t.match(await ask(test.server, 'GET', '/api/v1/namespaces/default/pods/web/log'), { status: 503, body: { reason: 'ServiceUnavailable', message: /Cannot reach the kubelet at 127.0.0.1:\d+: .*(certificate|signature)/ } })
  await pointTo(1)
  t.match(await ask(test.server, 'GET', '/api/v1/namespaces/default/pods/web/log'), { status: 503, body: { message: /ECONNREFUSED/ } })
})

t.test('the proxy of a pod passes method, path, body and answer', async (t) => {
  const test = await cluster(t)
  const backend = createHttpServer((request, response) => {
    let body = ''
    request.on('data', (chunk: Buffer) => (body += chunk.toString())).on('end', () => response.writeHead(418, { 'x-mine': 'yes' }).end(`${request.method ?? ''} ${request.url ?? ''} ${body} ${request.headers['authorization'] ?? 'anonymous'}`))
  })
  await new Promise<void>((resolve) => void backend.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    backend.closeAllConnections()
    backend.close()
  })
  const { port } = backend.address() as AddressInfo
  await test.client.patch(pods, { namespace: 'default', name: 'web', subresource: 'status' }, { status: { podIP: '127.0.0.1', podIPs: [{ ip: '127.0.0.1' }] } }, { type: 'merge' })
  const answer = await askOver(t, test.server.adminKubeconfig(), 'POST', `/api/v1/namespaces/default/pods/web:${port}/proxy/a/b%20c?d=e`, 'hello')
  t.match(answer, { status: 418, text: 'POST /a/b%20c?d=e hello anonymous', headers: { 'x-mine': 'yes' } })
  t.match(await askOver(t, test.server.adminKubeconfig(), 'GET', '/api/v1/namespaces/default/pods/web:1/proxy/'), { status: 503, body: { message: /error trying to reach service: .*ECONNREFUSED/ } })
  t.match(await ask(test.server, 'GET', '/api/v1/namespaces/default/services/kubernetes:https/proxy/'), { status: 503, body: { message: /no endpoints available/ } })
})

t.test('the proxy of pods and services carries WebSockets, and says when nobody is there', async (t) => {
  const test = await cluster(t)
  const backend = createHttpServer()
  const sockets = new WebSocketServer({ server: backend, handleProtocols: (protocols) => [...protocols][0] ?? false })
  sockets.on('connection', (socket, request) => socket.on('message', (data: Buffer) => socket.send(`${request.url ?? ''} ${data.toString()}`)))
  await new Promise<void>((resolve) => void backend.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    for (const socket of sockets.clients) socket.terminate()
    backend.close()
  })
  const { port } = backend.address() as AddressInfo
  await test.client.patch(pods, { namespace: 'default', name: 'web', subresource: 'status' }, { status: { podIP: '127.0.0.1', podIPs: [{ ip: '127.0.0.1' }] } }, { type: 'merge' })
  await ask(test.server, 'POST', '/api/v1/namespaces/default/services', { metadata: { name: 'echo' }, spec: { ports: [{ name: 'ws', port: 80, targetPort: port }] } })
  // By the store, for loopback is no address that the API would take.
  const slice = { kind: 'EndpointSlice', apiVersion: 'discovery.k8s.io/v1', metadata: { name: 'echo-1', namespace: 'default', labels: { 'kubernetes.io/service-name': 'echo' } }, addressType: 'IPv4', ports: [{ name: 'ws', port }], endpoints: [{ addresses: ['127.0.0.1'], conditions: { ready: true } }] }
  await test.store.create('/registry/discovery.k8s.io/endpointslices/default/echo-1', Buffer.from(JSON.stringify(slice)))
  for (const target of [`pods/web:${port}`, 'services/echo:ws']) {
    const { socket, next } = await openSocket(t, test, `/api/v1/namespaces/default/${target}/proxy/live?a=b`)
    socket.send('hello')
    t.equal(await next(), '/live?a=b hello', target)
  }
  await t.rejects(openSocket(t, test, '/api/v1/namespaces/default/pods/web:1/proxy/live'), /^503 .*ECONNREFUSED.*"reason":"ServiceUnavailable"/)
  await t.rejects(openSocket(t, test, '/api/v1/namespaces/default/services/kubernetes:https/proxy/live'), /503 .*no endpoints available/)
  await test.client.patch(nodes, { name: 'n1', subresource: 'status' }, { status: { daemonEndpoints: { kubeletEndpoint: { Port: 1 } } } }, { type: 'merge' })
  await t.rejects(openSocket(t, test, '/api/v1/namespaces/default/pods/web/exec?command=x&stdout=1'), /503 .*ECONNREFUSED/)
})

t.test('the proxy of a node comes to the kubelet as the API server, and only to the kubelet that the authority knows', async (t) => {
  const test = await cluster(t)
  t.match(await askOver(t, test.server.adminKubeconfig(), 'GET', '/api/v1/nodes/n1/proxy/containerLogs/a/b/c?tailLines=1'), { status: 200, text: 'one\ntwo\n' })
  t.match(test.requests, ['kube-apiserver-kubelet-client GET /containerLogs/a/b/c?tailLines=1'])
  const impostor = await CertificateAuthority.create('other', () => Date.now())
  const { certificate, key } = await impostor.issue({ subject: { commonName: 'x' }, usages: ['server'], names: ['127.0.0.1'], validMs: 60_000 })
  const server = createServer({ cert: certificate, key }, (_request, response) => void response.end('stolen'))
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => void server.close())
  await test.client.patch(nodes, { name: 'n1', subresource: 'status' }, { status: { daemonEndpoints: { kubeletEndpoint: { Port: (server.address() as AddressInfo).port } } } }, { type: 'merge' })
  t.match(await askOver(t, test.server.adminKubeconfig(), 'GET', '/api/v1/nodes/n1/proxy/healthz'), { status: 503, body: { message: /error trying to reach service: 127.0.0.1:\d+: .*(certificate|signature)/ } })
})

t.test('the proxy gives up an address that does not answer, and says which', async (t) => {
  const test = await cluster(t)
  const port = await unansweringPort(t)
  await test.client.patch(pods, { namespace: 'default', name: 'web', subresource: 'status' }, { status: { podIP: '127.0.0.1', podIPs: [{ ip: '127.0.0.1' }] } }, { type: 'merge' })
  const answer = await askOver(t, test.server.adminKubeconfig(), 'GET', `/api/v1/namespaces/default/pods/web:${port}/proxy/`)
  t.match(answer, { status: 503, body: { message: `error trying to reach service: 127.0.0.1:${port}: no connection within 5 s` } })
})

t.test('what a client tells the API server of itself stays here, also with an Expect', async (t) => {
  const test = await cluster(t)
  const backend = createHttpServer((request, response) => void response.end(JSON.stringify(request.headers)))
  await new Promise<void>((resolve) => void backend.listen(0, '127.0.0.1', resolve))
  t.teardown(() => void backend.close())
  await test.client.patch(pods, { namespace: 'default', name: 'web', subresource: 'status' }, { status: { podIP: '127.0.0.1', podIPs: [{ ip: '127.0.0.1' }] } }, { type: 'merge' })
  const { ca, clientCert, clientKey } = parseKubeconfig(test.server.adminKubeconfig(), { directory: '/' })
  const path = `/api/v1/namespaces/default/pods/web:${(backend.address() as AddressInfo).port}/proxy/`
  const outgoing = request(test.server.url + path, { method: 'POST', ca: ca!, cert: clientCert!, key: clientKey!, agent: false, headers: { cookie: 'a=b', expect: '100-continue', 'x-mine': 'yes' } })
  const [response] = (await once(outgoing.end('body'), 'response')) as [IncomingMessage]
  const seen = JSON.parse((await response.toArray()).join('')) as Record<string, string>
  t.match(seen, { 'x-mine': 'yes' })
  t.notOk('cookie' in seen)
})
