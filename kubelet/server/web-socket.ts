/** Takes WebSocket upgrades, and reads and writes their messages with back pressure. */
import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { WebSocketServer } from 'ws'
import type { WebSocket } from 'ws'
import type { MessageConnection } from './channels.ts'

/** kubectl's port-forward: SPDY/3.1 inside WebSocket messages. */
export const tunnelProtocol = 'SPDY/3.1+portforward.k8s.io'

/** Messages that wait for their reader; with more, the client is made to wait. */
const pendingMax = 16

/** The subprotocols that a client offers, in its order. */
function offeredProtocols(request: IncomingMessage): string[] {
  return (request.headers['sec-websocket-protocol'] ?? '').split(',').map((name) => name.trim()).filter((name) => name !== '')
}

export function isWebSocket(request: IncomingMessage): boolean {
  return (request.headers.upgrade ?? '').toLowerCase() === 'websocket'
}

const servers = new Map<string, WebSocketServer>()

function serverFor(protocol: string): WebSocketServer {
  const known = servers.get(protocol)
  if (known !== undefined) return known
  const server = new WebSocketServer({ noServer: true, clientTracking: false, perMessageDeflate: false, handleProtocols: () => protocol })
  // A name with a slash is no token of RFC 9110, and refused by the library: it is kept from it, and said in the answer all the same.
  if (protocol === tunnelProtocol) server.on('headers', (headers) => headers.push(`Sec-WebSocket-Protocol: ${protocol}`))
  servers.set(protocol, server)
  return server
}

/** The protocol that both sides speak, empty for a client that offers none; undefined where there is none. */
export function chooseProtocol(request: IncomingMessage, supported: readonly string[]): string | undefined {
  const offered = offeredProtocols(request)
  return offered.length === 0 ? '' : supported.find((name) => offered.includes(name))
}

/** Answers the upgrade with the protocol. */
export function acceptWebSocket(request: IncomingMessage, socket: Duplex, head: Buffer, protocol: string): Promise<MessageConnection> {
  if (protocol === tunnelProtocol) delete request.headers['sec-websocket-protocol']
  return new Promise((resolve) => {
    serverFor(protocol).handleUpgrade(request, socket, head, (webSocket) => resolve(connectionOf(webSocket, protocol.includes('base64') ? asText : asBytes)))
  })
}

/** How messages look on the wire. */
interface Form {
  readonly decode: (data: Buffer) => Buffer
  readonly encode: (message: Buffer) => Buffer | string
}

const asBytes: Form = { decode: (data) => data, encode: (message) => message }

/** The channel as a character from `0` on, then base64. */
const asText: Form = {
  decode: (data) => Buffer.concat([Buffer.from([Math.max(0, (data[0] ?? 0x30) - 0x30)]), Buffer.from(data.subarray(1).toString('latin1'), 'base64')]),
  encode: (message) => `${String.fromCharCode(0x30 + (message[0] ?? 0))}${message.subarray(1).toString('base64')}`,
}

function connectionOf(webSocket: WebSocket, { decode, encode }: Form): MessageConnection {
  const pending: Buffer[] = []
  let closed = false
  let wake = (): void => {}
  webSocket.on('message', (data: Buffer) => {
    pending.push(decode(data))
    if (pending.length > pendingMax) webSocket.pause()
    wake()
  })
  webSocket.on('close', () => {
    closed = true
    wake()
  })
  // A connection that breaks is closed: that is told above.
  webSocket.on('error', () => webSocket.terminate())
  async function* messages(): AsyncGenerator<Buffer> {
    for (;;) {
      const message = pending.shift()
      if (message !== undefined) {
        if (pending.length === 0) webSocket.resume()
        yield message
      } else if (closed) return
      else await new Promise<void>((resolve) => (wake = resolve))
    }
  }
  return {
    messages: messages(),
    send: (message) =>
      new Promise((resolve) => {
        // What cannot be sent any more has no reader: the loop over `messages` ends the session.
        webSocket.send(encode(message), () => resolve())
      }),
    close: () => webSocket.close(1000),
  }
}

/** Refuses an upgrade with an ordinary answer. */
export async function refuseUpgrade(socket: Duplex, status: number, text: string, body: string): Promise<void> {
  socket.end(`HTTP/1.1 ${status} ${text}\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`)
  await once(socket, 'close')
}
