// A small aggregated API server of a test's own: metrics.k8s.io/v1beta1, which `kubectl top` asks for. It believes the front proxy, and
// nobody else, on whose behalf a request is.
import { createServer } from 'node:https'
import type { Server } from 'node:https'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { systemClock } from '../../../api/clock.ts'
import { CertificateAuthority } from '../pki/authority.ts'

const group = 'metrics.k8s.io'
const groupVersion = `${group}/v1beta1`
const window = { timestamp: '2026-01-01T00:00:00Z', window: '15s' }
const metrics = (name: string, more: object): object => ({ kind: 'PodMetrics', apiVersion: groupVersion, metadata: { name, namespace: 'default' }, ...window, ...more })
const web = metrics('web', { containers: [{ name: 'main', usage: { cpu: '250m', memory: '64Mi' } }] })
const usage = { cpu: '500m', memory: '1Gi' }

const swagger = {
  swagger: '2.0', info: { title: 'metrics', version: '1' },
  paths: { [`/apis/${groupVersion}/namespaces/{namespace}/pods`]: { get: { responses: {} } }, '/apis/other/v1/': { get: { responses: {} } } },
  definitions: { 'io.example.metrics.PodMetrics': { type: 'object', 'x-kubernetes-group-version-kind': [{ group, version: 'v1beta1', kind: 'PodMetrics' }] } },
}

export interface AggregatedServer {
  readonly port: number
  /** PEM in base64, as an APIService has it. */
  readonly caBundle: string
  /** On whose behalf the last requests were, as the front proxy said it. */
  readonly seen: { readonly method: string; readonly url: string; readonly headers: IncomingMessage['headers']; readonly body: string }[]
  stop(): Promise<void>
}

/** Listens as the service `default/metrics`. `frontProxyCa` and the name in its certificate are those of the config map extension-apiserver-authentication. */
export async function startAggregatedServer(frontProxyCa: string, port = 0): Promise<AggregatedServer> {
  const authority = await CertificateAuthority.create('metrics-ca', () => systemClock.now())
  const { certificate, key } = await authority.issue({ subject: { commonName: 'metrics' }, usages: ['server'], names: ['metrics.default.svc'], validMs: 3_600_000 })
  const seen: AggregatedServer['seen'] = []
  const server = createServer({ cert: certificate, key, ca: frontProxyCa, requestCert: true, rejectUnauthorized: false }, (request, response) => void answer(request, response, seen))
  server.on('upgrade', (request, socket) => {
    socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n${String(request.headers['x-remote-user'])}\n`)
    socket.pipe(socket)
  })
  await listen(server, port)
  return {
    port: (server.address() as AddressInfo).port,
    caBundle: Buffer.from(authority.certificate).toString('base64'),
    seen,
    stop: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => void server.close(resolve))
    },
  }
}

function listen(server: Server, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, '127.0.0.1', resolve)
  })
}

async function answer(request: IncomingMessage, response: ServerResponse, seen: AggregatedServer['seen']): Promise<void> {
  const { method = '', url = '', headers } = request
  const socket = request.socket as TLSSocket
  const send = (status: number, value: unknown): void => void response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value))
  if (!socket.authorized || socket.getPeerCertificate().subject.CN !== 'front-proxy-client') return send(401, { kind: 'Status', apiVersion: 'v1', status: 'Failure', reason: 'Unauthorized', code: 401 })
  const body = (await request.toArray()).join('')
  const path = url.replace(/\?.*$/, '')
  if (headers['x-remote-user'] !== 'system:kube-aggregator') seen.push({ method, url, headers, body })
  switch (path.replace(`/apis/${groupVersion}`, '')) {
    case '':
      return send(200, {
        kind: 'APIResourceList', apiVersion: 'v1', groupVersion,
        resources: [
          { name: 'nodes', singularName: '', namespaced: false, kind: 'NodeMetrics', verbs: ['get', 'list'] },
          { name: 'pods', singularName: '', namespaced: true, kind: 'PodMetrics', verbs: ['get', 'list', 'watch', 'create'] },
          { name: 'pods/status', singularName: '', namespaced: true, kind: 'PodMetrics', verbs: ['get'] },
        ],
      })
    case '/nodes':
      return send(200, { kind: 'NodeMetricsList', apiVersion: groupVersion, metadata: {}, items: [{ metadata: { name: 'n1' }, ...window, usage }] })
    case '/namespaces/default/pods':
      if (method === 'POST') return send(201, { ...web, metadata: { name: 'made', namespace: 'default' } })
      if (!/watch=(1|true)/.test(url)) return send(200, { kind: 'PodMetricsList', apiVersion: groupVersion, metadata: {}, items: [web] })
      response.writeHead(200, { 'content-type': 'application/json' }).write(`${JSON.stringify({ type: 'ADDED', object: web })}\n`)
      // The rest of a watch comes when the client asks for something else meanwhile.
      return
    case '/openapi/v2':
      return send(200, swagger)
  }
  if (path === `/openapi/v3/apis/${groupVersion}`) return send(200, { openapi: '3.0.0', info: swagger.info, paths: {}, components: { schemas: swagger.definitions } })
  return send(404, { kind: 'Status', apiVersion: 'v1', status: 'Failure', reason: 'NotFound', message: `there is no ${path}`, code: 404 })
}
