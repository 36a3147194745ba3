// Upgraded connections: the client's bytes go to the upstream and the upstream's to the client, whatever protocol
// the two agree on (WebSocket for kubectl 1.35, SPDY for older ones).
import { request as httpRequest } from 'node:http'
import type { IncomingMessage } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { isIP } from 'node:net'
import type { Socket } from 'node:net'
import type { Upstream } from '../http.ts'
import { StatusError } from '../status.ts'
import { limitConnecting } from './connect-timeout.ts'

/** Who the client is to us is not the upstream's business. */
export const keptBack = /^(authorization|host|impersonate-.*|cookie)$/
const bearerProtocol = /^base64url\.bearer\.authorization\.k8s\.io\./

/** Host and port as URLs and `Host` have them. */
export function authorityOf(host: string, port: number): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`
}

/** Connects to the upstream with the client's own request, and then passes bytes both ways until either ends. */
export function leadTo({ host, port, path, tls, headers }: Upstream, incoming: IncomingMessage, socket: Socket, head: Buffer): void {
  const options = { host, port, path, method: incoming.method ?? 'GET', headers: { ...upstreamHeaders(incoming, headers), host: authorityOf(host, port) }, agent: false as const }
  const outgoing = tls === undefined ? httpRequest(options) : httpsRequest({ ...options, ...(tls.ca === '' ? { rejectUnauthorized: false } : { ca: tls.ca, cert: tls.certificate, key: tls.key }), ...(tls.serverName === undefined || isIP(tls.serverName) !== 0 ? {} : { servername: tls.serverName }) })
  limitConnecting(outgoing)
  outgoing.on('error', (error) => refuseUpgrade(socket, new StatusError(503, 'ServiceUnavailable', `error trying to reach ${host}:${port}: ${error.message}`)))
  outgoing.on('upgrade', (response, upstream, upstreamHead) => {
    socket.write(headOf(response, `HTTP/1.1 101 ${response.statusMessage ?? 'Switching Protocols'}`))
    join(socket, upstream, head, upstreamHead)
  })
  // The upstream refuses: its answer is the client's.
  outgoing.on('response', (response) => {
    socket.write(headOf(response, `HTTP/1.1 ${response.statusCode ?? 502} ${response.statusMessage ?? ''}`, true))
    response.on('error', () => socket.destroy())
    response.pipe(socket)
  })
  socket.on('close', () => outgoing.destroy())
  outgoing.end()
}

/** Says over a connection that was to be upgraded why it is not. */
export function refuseUpgrade(socket: Socket, error: StatusError): void {
  if (!socket.writable) return
  const body = JSON.stringify(error.toStatus())
  socket.end(`HTTP/1.1 ${error.code} ${error.reason}\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`)
}

function join(client: Socket, upstream: Socket, head: Buffer, upstreamHead: Buffer): void {
  for (const socket of [client, upstream]) {
    socket.setTimeout(0)
    socket.setNoDelay(true)
    socket.on('error', () => socket.destroy())
  }
  if (head.length > 0) upstream.write(head)
  if (upstreamHead.length > 0) client.write(upstreamHead)
  client.pipe(upstream).pipe(client)
  client.on('close', () => upstream.destroy())
  upstream.on('close', () => client.destroy())
}

/** What is told on somebody's behalf (`x-remote-…`) is for us to say, not for the client. */
function upstreamHeaders({ headers }: IncomingMessage, told: Upstream['headers']): Record<string, string | string[]> {
  const kept: Record<string, string | string[]> = {}
  for (const [name, value] of Object.entries(headers)) {
    if (value === undefined || keptBack.test(name) || (told !== undefined && name.startsWith('x-remote-'))) continue
    kept[name] = name === 'sec-websocket-protocol' ? String(value).split(/,\s*/).filter((protocol) => !bearerProtocol.test(protocol)).join(', ') : value
  }
  return { ...kept, ...told }
}

function headOf({ rawHeaders }: IncomingMessage, first: string, close = false): string {
  const lines = [first]
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at] ?? ''
    if (close && /^(connection|transfer-encoding|keep-alive)$/i.test(name)) continue
    lines.push(`${name}: ${rawHeaders[at + 1] ?? ''}`)
  }
  if (close) lines.push('Connection: close')
  return `${lines.join('\r\n')}\r\n\r\n`
}
