/** Ingresses of a cluster, from outside: hosts, paths, TLS, the default backend, WebSockets, and endpoints that do not answer. */
import 'reflect-metadata'
import { webcrypto } from 'node:crypto'
import { once } from 'node:events'
import { request } from 'node:http'
import type { IncomingMessage, RequestOptions } from 'node:http'
import { request as tlsRequest } from 'node:https'
import type { Socket } from 'node:net'
import { X509CertificateGenerator } from '@peculiar/x509'
import t from 'tap'
import { upCluster } from '../support/cluster.ts'

const cluster = await upCluster(t, 'e2e-ingress', ['--ingress'])
const [address = ''] = (await cluster.kubectl(['get', 'node', 'node-1', '-o', 'jsonpath={.status.addresses[?(@.type=="InternalIP")].address}'])).split(' ')

async function certificateFor(host: string): Promise<{ readonly certificate: string; readonly key: string }> {
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
  const certificate = await X509CertificateGenerator.createSelfSigned({ name: `CN=${host}`, keys, signingAlgorithm: algorithm })
  const key = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey)).toString('base64')
  return { certificate: certificate.toString('pem'), key: `-----BEGIN PRIVATE KEY-----\n${key}\n-----END PRIVATE KEY-----\n` }
}

const { certificate, key } = await certificateFor('shop.example')

/** A program that answers an upgrade, and then echoes. */
const echo = String.raw`printf '#!/bin/sh\nwhile read line; do [ "$line" = "$(printf "\\r")" ] && break; done\nprintf "HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\n\\r\\n"\nexec cat\n' > /echo; chmod +x /echo; exec nc -ll -p 9001 -e /echo`

function deployment(name: string, port: number, script: string): object[] {
  return [
    { apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name }, spec: { replicas: 1, selector: { matchLabels: { app: name } }, template: { metadata: { labels: { app: name } }, spec: { containers: [{ name: 'main', image: 'busybox:1', command: ['tini', '--', 'sh', '-c', script], readinessProbe: { tcpSocket: { port }, periodSeconds: 1 } }] } } } },
    { apiVersion: 'v1', kind: 'Service', metadata: { name }, spec: { selector: { app: name }, ports: [{ name: 'http', port: 80, targetPort: port }] } },
  ]
}

const page = (name: string): string => `mkdir -p /www/api; for at in /www /www/api; do echo ${name} > $at/index.html; done; exec httpd -f -p 8080 -h /www`
const to = (name: string): object => ({ service: { name, port: { name: 'http' } } })
const rule = (host: string | undefined, paths: readonly (readonly [string, 'Exact' | 'Prefix', string])[]): object => ({ ...(host === undefined ? {} : { host }), http: { paths: paths.map(([path, pathType, name]) => ({ path, pathType, backend: to(name) })) } })

await cluster.kubectl(['apply', '-f', '-'], {
  input: JSON.stringify({
    apiVersion: 'v1', kind: 'List', items: [
      ...deployment('shop', 8080, page('shop')), ...deployment('other', 8080, page('other')), ...deployment('echo', 9001, echo),
      // What is sent to an address of the service range that no service has is dropped: an endpoint that does not answer.
      { apiVersion: 'v1', kind: 'Service', metadata: { name: 'silent' }, spec: { ports: [{ name: 'http', port: 80 }] } },
      { apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice', metadata: { name: 'silent', labels: { 'kubernetes.io/service-name': 'silent' } }, addressType: 'IPv4', ports: [{ name: 'http', port: 80 }], endpoints: [{ addresses: ['10.111.111.111'] }] },
      { apiVersion: 'v1', kind: 'Service', metadata: { name: 'closed' }, spec: { ports: [{ name: 'http', port: 80 }] } },
      { apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice', metadata: { name: 'closed', labels: { 'kubernetes.io/service-name': 'closed' } }, addressType: 'IPv4', ports: [{ name: 'http', port: 1 }], endpoints: [{ addresses: [address] }] },
      { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'shop-tls' }, type: 'kubernetes.io/tls', stringData: { 'tls.crt': certificate, 'tls.key': key } },
      {
        apiVersion: 'networking.k8s.io/v1', kind: 'Ingress', metadata: { name: 'site' },
        spec: {
          tls: [{ hosts: ['shop.example'], secretName: 'shop-tls' }], defaultBackend: to('other'),
          rules: [rule('shop.example', [['/', 'Prefix', 'shop'], ['/api', 'Prefix', 'other'], ['/only', 'Exact', 'other'], ['/chat', 'Prefix', 'echo'], ['/silent', 'Prefix', 'silent'], ['/closed', 'Prefix', 'closed']]), rule('*.example.org', [['/', 'Prefix', 'shop']])],
        },
      },
    ],
  }),
})
for (const name of ['shop', 'other', 'echo']) await cluster.kubectl(['rollout', 'status', `deployment/${name}`, '--timeout=60s'], { timeoutMs: 70_000 })

function options(host: string, path: string): RequestOptions & { readonly servername: string; readonly rejectUnauthorized: boolean } {
  return { host: address, path, headers: { host }, agent: false, servername: host, rejectUnauthorized: false }
}

async function ask(host: string, path: string, secure = false): Promise<string> {
  const sent = secure ? tlsRequest({ ...options(host, path), port: 80 }) : request({ ...options(host, path), port: 80 })
  sent.end()
  const [response] = (await once(sent, 'response')) as [IncomingMessage]
  return `${response.statusCode ?? 0} ${Buffer.concat(await response.toArray()).toString().trim()}`
}

async function upgrade(path: string): Promise<{ readonly status: number; readonly socket?: Socket }> {
  const sent = request({ ...options('shop.example', path), port: 80, headers: { host: 'shop.example', connection: 'Upgrade', upgrade: 'websocket', 'sec-websocket-version': '13', 'sec-websocket-key': Buffer.alloc(16).toString('base64') } })
  sent.end()
  const [{ statusCode = 0 }, socket] = (await Promise.race([once(sent, 'upgrade'), once(sent, 'response')])) as [IncomingMessage, Socket | undefined]
  return { status: statusCode, ...(socket === undefined ? {} : { socket }) }
}

t.test('what was just written is served soon, and says where', async (t) => {
  let last = ''
  for (let waitedMs = 0; waitedMs < 15_000 && last !== '200 shop'; waitedMs += 100) {
    last = await ask('shop.example', '/')
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  t.equal(last, '200 shop')
  t.ok((await cluster.kubectl(['get', 'ingress', 'site'])).includes(address))
})

t.test('hosts and paths say which service', async (t) => {
  const asked = { 'shop.example/': '200 shop', 'shop.example/index.html': '200 shop', 'shop.example/api/': '200 other', 'shop.example/apis': '404', 'shop.example/only': '404', 'one.example.org/': '200 shop', 'else.example/': '200 other' }
  for (const [url, answer] of Object.entries(asked)) {
    const at = url.indexOf('/')
    const said = await ask(url.slice(0, at), url.slice(at))
    t.equal(said.slice(0, answer.length), answer, `${url}: ${said}`)
  }
})

t.test('TLS with the certificate of a Secret; a new one is taken as it comes', async (t) => {
  t.equal(await ask('shop.example', '/', true), '200 shop')
  const serial = async (): Promise<string> => {
    const sent = tlsRequest({ ...options('shop.example', '/'), port: 80 })
    sent.end()
    const [response] = (await once(sent, 'response')) as [IncomingMessage]
    response.resume()
    return (response.socket as unknown as { getPeerX509Certificate(): { serialNumber: string } }).getPeerX509Certificate().serialNumber
  }
  const before = await serial()
  const next = await certificateFor('shop.example')
  await cluster.kubectl(['patch', 'secret', 'shop-tls', '--patch', JSON.stringify({ stringData: { 'tls.crt': next.certificate, 'tls.key': next.key } })])
  let after = before
  for (let waitedMs = 0; waitedMs < 5000 && after === before; waitedMs += 100) {
    after = await serial()
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  t.not(after, before)
})

t.test('a WebSocket is carried both ways', async (t) => {
  const { status, socket } = await upgrade('/chat')
  t.equal(status, 101)
  socket?.write('there and back')
  t.equal(String(((await once(socket as Socket, 'data')) as [Buffer])[0]), 'there and back')
  socket?.destroy()
})

t.test('an endpoint that refuses is 502, one that does not answer 504, for requests and WebSockets', { timeout: 60_000 }, async (t) => {
  t.match(await ask('shop.example', '/closed'), /^502 /)
  t.equal((await upgrade('/closed')).status, 502)
  const [silent, socket] = await Promise.all([ask('shop.example', '/silent'), upgrade('/silent')])
  t.match(silent, /^504 /)
  t.equal(socket.status, 504)
})
