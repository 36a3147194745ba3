import 'reflect-metadata'
import { webcrypto } from 'node:crypto'
import { once } from 'node:events'
import { createServer, request } from 'node:http'
import type { IncomingMessage } from 'node:http'
import { request as tlsRequest } from 'node:https'
import type { AddressInfo } from 'node:net'
import { X509CertificateGenerator } from '@peculiar/x509'
import t from 'tap'
import { WebSocket, WebSocketServer } from 'ws'
import { systemClock } from '../../api/clock.ts'
import { silentLogger } from '../../api/log.ts'
import { FakeNftables } from '../../netlink/nftables/test-support/fake-nftables.ts'
import { startProxy } from '../index.ts'
import { SmallApi } from '../test-support/api.ts'
import { service, slice } from '../test-support/objects.ts'

async function certificateFor(host: string): Promise<{ readonly 'tls.crt': string; readonly 'tls.key': string }> {
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
  const certificate = await X509CertificateGenerator.createSelfSigned({ name: `CN=${host}`, keys, signingAlgorithm: algorithm })
  const key = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey)).toString('base64')
  const base64 = (text: string): string => Buffer.from(text).toString('base64')
  return { 'tls.crt': base64(certificate.toString('pem')), 'tls.key': base64(`-----BEGIN PRIVATE KEY-----\n${key}\n-----END PRIVATE KEY-----\n`) }
}

const backend = createServer((incoming, answer) => answer.end(`${incoming.headers.host ?? ''} ${incoming.url ?? ''} ${String(incoming.headers['x-forwarded-proto'])}`))
const sockets = new WebSocketServer({ server: backend })
sockets.on('connection', (socket) => socket.on('message', (data) => socket.send(`heard ${String(data)}`)))
await new Promise<void>((resolve) => void backend.listen(0, '127.0.0.1', resolve))
const { port } = backend.address() as AddressInfo

const api = new SmallApi()
api.putNode({ metadata: { name: 'node-1' }, spec: {}, status: { addresses: [{ type: 'InternalIP', address: '192.0.2.1' }] } })
api.putService(service('web', { ports: [{ name: 'http', port: 80 }] }))
api.putSlice(slice('web', [{ addresses: ['127.0.0.1'] }], { ports: [{ name: 'http', port }] }))
api.putService(service('closed', { clusterIP: '10.96.0.55' }))
api.putSlice(slice('closed', [{ addresses: ['127.0.0.1'] }], { ports: [{ port: 1 }] }))
api.putService(service('empty', { clusterIP: '10.96.0.54' }))
api.putSecret({ metadata: { name: 'shop', namespace: 'default' }, type: 'kubernetes.io/tls', data: await certificateFor('shop.example') })
const to = (name: string, key: { number: number } | { name: string }) => ({ service: { name, port: key } })
api.putIngress({
  metadata: { name: 'shop', namespace: 'default' },
  spec: {
    tls: [{ hosts: ['shop.example'], secretName: 'shop' }], defaultBackend: to('empty', { number: 80 }),
    rules: [{ host: 'shop.example', http: { paths: [{ path: '/', pathType: 'Prefix', backend: to('web', { name: 'http' }) }, { path: '/gone', pathType: 'Exact', backend: to('nobody', { number: 80 }) }, { path: '/closed', pathType: 'Prefix', backend: to('closed', { number: 80 }) }] } }],
  },
})
const proxy = await startProxy({
  client: api.client, nodeName: 'node-1', nftables: new FakeNftables(), clock: systemClock, random: Math.random, log: silentLogger, healthzBindAddress: 'none', ingress: [{ address: '127.0.0.1', port: 0 }],
})
t.teardown(async () => {
  await proxy.stop()
  sockets.close()
  backend.closeAllConnections()
  backend.close()
})
const at = Number(proxy.ingressAddresses[0]?.split(':')[1])

async function ask(host: string, path: string, secure = false): Promise<string> {
  const options = { host: '127.0.0.1', port: at, path, headers: { host }, servername: host, rejectUnauthorized: false, agent: false } as const
  const sent = secure ? tlsRequest(options) : request(options)
  sent.end()
  const [response] = (await once(sent, 'response')) as [IncomingMessage]
  return `${response.statusCode ?? 0} ${Buffer.concat(await response.toArray()).toString().trim()}`
}

t.test('a request goes to an endpoint of the service behind its host and path', async (t) => {
  t.equal(await ask('shop.example', '/a?b=c'), '200 shop.example /a?b=c http')
  t.equal(await ask('shop.example', '/gone'), '503 service default/nobody has no endpoints')
  t.equal(await ask('other.example', '/'), '503 service default/empty has no endpoints', 'the default backend')
})

t.test('TLS is served on the same address, with the certificate of the secret', async (t) => {
  t.equal(await ask('shop.example', '/', true), '200 shop.example / https')
  await t.rejects(ask('other.example', '/', true), 'no certificate')
  api.putSecret({ metadata: { name: 'shop', namespace: 'default' }, type: 'kubernetes.io/tls', data: await certificateFor('shop.example') })
  await systemClock.sleep(20)
  t.equal(await ask('shop.example', '/', true), '200 shop.example / https', 'a new one is taken as it comes')
})

t.test('WebSockets pass', async (t) => {
  const socket = new WebSocket(`ws://127.0.0.1:${at}/chat`, { headers: { host: 'shop.example' } })
  await once(socket, 'open')
  socket.send('hello')
  const [data] = (await once(socket, 'message')) as [Buffer]
  t.equal(String(data), 'heard hello')
  socket.close()
  await once(socket, 'close')
})

t.test('an endpoint that cannot be reached is 502, for a WebSocket as for a request', async (t) => {
  t.match(await ask('shop.example', '/closed'), /^502 default\/closed: .*ECONNREFUSED/)
  const refused = new WebSocket(`ws://127.0.0.1:${at}/closed`, { headers: { host: 'shop.example' } })
  const [error] = (await once(refused, 'error')) as [Error]
  t.equal(error.message, 'Unexpected server response: 502')
  for (const [path, status] of [['/gone', 503], ['/', 503]] as const) {
    const none = new WebSocket(`ws://127.0.0.1:${at}${path}`, { headers: { host: path === '/' ? 'other.example' : 'shop.example' } })
    t.equal(((await once(none, 'error')) as [Error])[0].message, `Unexpected server response: ${status}`)
  }
})

t.test('an ingress says where it is served', async (t) => {
  const status = async (): Promise<unknown> => {
    const list = (await api.client.raw({ method: 'GET', path: '/apis/networking.k8s.io/v1/ingresses' })) as { items: { status?: unknown }[] }
    return list.items[0]?.status
  }
  t.strictSame(await status(), { loadBalancer: { ingress: [{ ip: '127.0.0.1' }] } })
})

t.test('what is no ingress any more is 404', async (t) => {
  api.putIngress({ metadata: { name: 'shop', namespace: 'default' }, spec: { ingressClassName: 'nginx' } })
  await systemClock.sleep(20)
  t.equal(await ask('shop.example', '/'), '404 no ingress has this host and path')
})
