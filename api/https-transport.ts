/** The transport to an API server elsewhere: HTTPS with kept-alive connections. */
import { Agent, request as httpsRequest } from 'node:https'
import type { IncomingMessage } from 'node:http'
import type { ClusterConfig } from './kubeconfig.ts'
import type { ApiRequest, ApiResponse, Transport } from './transport.ts'

/** No connection within this: the server is not there. */
const connectTimeoutMs = 10_000
/** A request that is no watch and has sent no byte for this long is given up. */
const idleTimeoutMs = 60_000

/** A transport that checks the server against the configured CA and shows the configured certificate or token. `close` ends idle connections. */
export function httpsTransport(config: ClusterConfig): Transport & { close(): void } {
  const base = new URL(config.server)
  const agent = new Agent({
    keepAlive: true,
    keepAliveMsecs: 15_000,
    ...(config.ca === undefined ? {} : { ca: config.ca }),
    ...(config.clientCert === undefined ? {} : { cert: config.clientCert }),
    ...(config.clientKey === undefined ? {} : { key: config.clientKey }),
    ...(config.tlsServerName === undefined ? {} : { servername: config.tlsServerName }),
    ...(config.insecureSkipTlsVerify === true ? { rejectUnauthorized: false } : {}),
  })
  const send = (request: ApiRequest): Promise<ApiResponse> => sendOver(agent, base, config, request)
  return Object.assign(send, { close: () => agent.destroy() })
}

function sendOver(agent: Agent, base: URL, config: ClusterConfig, { method, path, headers, body, signal }: ApiRequest): Promise<ApiResponse> {
  const isWatch = /[?&]watch=(true|1)|[?&]follow=true/.test(path)
  const token = typeof config.token === 'function' ? config.token() : config.token
  return new Promise((resolve, reject) => {
    const outgoing = httpsRequest({
      agent, method,
      host: base.hostname.replace(/^\[|\]$/g, ''),
      port: base.port === '' ? 443 : Number(base.port),
      path: base.pathname.replace(/\/$/, '') + path,
      headers: {
        'user-agent': 'fairway',
        ...headers,
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...(body === undefined ? {} : { 'content-length': Buffer.byteLength(body) }),
      },
      ...(signal === undefined ? {} : { signal }),
    })
    outgoing.setTimeout(connectTimeoutMs, () => outgoing.destroy(new Error(`Cannot reach ${base.origin}: no answer within ${connectTimeoutMs / 1000} s`)))
    outgoing.on('error', reject)
    outgoing.on('socket', (socket) => {
      // Notices within half a minute a peer that went without a word; kernels wait hours by default.
      socket.setKeepAlive(true, 15_000)
      socket.setNoDelay(true)
    })
    outgoing.on('response', (response) => {
      outgoing.setTimeout(isWatch ? 0 : idleTimeoutMs)
      resolve({ status: response.statusCode ?? 0, headers: headersOf(response), body: response })
    })
    outgoing.end(body)
  })
}

function headersOf(response: IncomingMessage): Record<string, string> {
  return Object.fromEntries(Object.entries(response.headers).map(([name, value]) => [name, Array.isArray(value) ? value.join(', ') : String(value)]))
}
