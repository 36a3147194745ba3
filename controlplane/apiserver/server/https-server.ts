// The door to the outside: HTTP/2, HTTP/1.1 and upgrades on one TLS port. Turns what comes in into requests for the
// handler, and its replies into what goes out.
import { createSecureServer } from 'node:http2'
import type { Http2SecureServer, Http2ServerRequest, Http2ServerResponse, ServerHttp2Session } from 'node:http2'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import type { Clock, Timer } from '../../../api/clock.ts'
import type { Logger } from '../../../api/log.ts'
import type { UserInfo } from '../descriptor.ts'
import { jsonReply } from '../http.ts'
import type { Handler, HttpRequest, Peer, Reply, Sink, UpgradeHandler } from '../http.ts'
import type { Credential } from '../pki/authority.ts'
import { StatusError } from '../status.ts'
import { forward } from './forward.ts'
import { sendWhole } from './send.ts'
import { leadTo, refuseUpgrade } from './upgrade.ts'

export interface HttpsServerOptions {
  readonly bind: string
  /** 0: whichever is free. */
  readonly port: number
  readonly credential: Credential
  /** PEM of the authority whose client certificates are believed. */
  readonly clientCa: string
  readonly handle: Handler
  readonly upgrade: UpgradeHandler
  readonly clock: Clock
  readonly log: Logger
}

export interface HttpsServer {
  readonly port: number
  /** No new requests; those under way have `graceMs` to end. */
  stop(graceMs: number): Promise<void>
}

type Incoming = IncomingMessage | Http2ServerRequest
type Outgoing = ServerResponse | Http2ServerResponse

/** A client that does not finish its TLS handshake, its headers or its body in time is cut off. */
const handshakeTimeoutMs = 10_000
const headersTimeoutMs = 20_000
const bodyTimeoutMs = 60_000
/** A client that has not taken the end of a stream in time is cut off. */
const lastBytesTimeoutMs = 60_000
/** Longer than clients keep idle connections, so that it is they who close them. */
const keepAliveTimeoutMs = 180_000
const streamsMax = 1000
const headerBytesMax = 64 * 1024

/** Starts listening. Fails with a sentence when the port is taken or the address is none of this machine's. */
export async function startHttpsServer(options: HttpsServerOptions): Promise<HttpsServer> {
  const { bind, port, credential, clientCa } = options
  const server = createSecureServer({
    allowHTTP1: true,
    cert: credential.certificate,
    key: credential.key,
    ca: clientCa,
    requestCert: true,
    // Clients without a certificate may have a token: who they are is decided per request.
    rejectUnauthorized: false,
    minVersion: 'TLSv1.2',
    handshakeTimeout: handshakeTimeoutMs,
    maxHeaderSize: headerBytesMax,
    headersTimeout: headersTimeoutMs,
    requestTimeout: 0,
    keepAliveTimeout: keepAliveTimeoutMs,
    settings: { maxConcurrentStreams: streamsMax },
  } as Parameters<typeof createSecureServer>[0])
  const connections = new Connections(server, options.clock)
  server.on('request', (incoming: Incoming, outgoing: Outgoing) => void serve(options, incoming, outgoing))
  server.on('upgrade', (incoming: IncomingMessage, socket: Socket, head: Buffer) => void serveUpgrade(options, incoming, socket, head))
  await listening(server, bind, port)
  server.on('error', (error) => options.log.error('the HTTPS server failed', { error }))
  return { port: (server.address() as AddressInfo).port, stop: (graceMs) => connections.stop(graceMs) }
}

function listening(server: Http2SecureServer, bind: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => reject(new Error(listenFailure(error, bind, port), { cause: error })))
    server.listen({ host: bind, port }, () => {
      server.removeAllListeners('error')
      resolve()
    })
  })
}

function listenFailure({ code, message }: NodeJS.ErrnoException, bind: string, port: number): string {
  const what = `Cannot listen on ${bind} port ${port}`
  if (code === 'EADDRINUSE') return `${what}: the port is in use by another program; end that one, or choose another with --port`
  if (code === 'EADDRNOTAVAIL') return `${what}: this machine has no such address; choose another with --bind`
  return code === 'EACCES' ? `${what}: only root may; choose a port above 1023 with --port` : `${what}: ${message}`
}

/** What is connected, so that stopping leaves nothing open. */
class Connections {
  readonly #server: Http2SecureServer
  readonly #clock: Clock
  readonly #sockets = new Set<Socket>()
  readonly #sessions = new Set<ServerHttp2Session>()
  /** HTTP/1.1 connections, each with the number of its requests under way. */
  readonly #plain = new Map<Socket, number>()
  #stopping = false

  constructor(server: Http2SecureServer, clock: Clock) {
    this.#server = server
    this.#clock = clock
    server.on('connection', (socket: Socket) => {
      socket.setNoDelay(true)
      // Notices within a minute a client that went without a word.
      socket.setKeepAlive(true, 30_000)
      this.#sockets.add(socket)
      socket.once('close', () => this.#sockets.delete(socket))
    })
    server.on('session', (session: ServerHttp2Session) => {
      this.#sessions.add(session)
      session.once('close', () => this.#sessions.delete(session))
      // A broken connection is the client's affair; its streams are told by their own events.
      session.on('error', () => session.destroy())
      this.#closeWhenIdle(session)
    })
    server.on('secureConnection', (socket: TLSSocket) => {
      if (socket.alpnProtocol === 'h2') return
      this.#plain.set(socket, 0)
      socket.once('close', () => this.#plain.delete(socket))
    })
    server.on('request', (incoming: Incoming, outgoing: Outgoing) => {
      if (incoming.httpVersionMajor >= 2) return
      const { socket } = incoming
      this.#count(socket, 1)
      outgoing.once('close', () => this.#count(socket, -1))
    })
    server.on('tlsClientError', (_error, socket: Socket) => socket.destroy())
  }

  /** What HTTP/1.1 connections have of Node: who asks nothing for a while is told that we go (GOAWAY). */
  #closeWhenIdle(session: ServerHttp2Session): void {
    const begin = (): Timer => this.#clock.setTimeout(() => session.close(), keepAliveTimeoutMs)
    let idle = begin()
    let streams = 0
    session.on('stream', (stream) => {
      streams += 1
      idle.cancel()
      stream.once('close', () => {
        streams -= 1
        if (streams === 0 && !session.closed) idle = begin()
      })
    })
    session.once('close', () => idle.cancel())
  }

  #count(socket: Socket, change: number): void {
    const active = this.#plain.get(socket)
    if (active === undefined) return
    this.#plain.set(socket, active + change)
    if (this.#stopping && active + change === 0) socket.end()
  }

  async stop(graceMs: number): Promise<void> {
    const closed = new Promise<void>((resolve) => void this.#server.close(() => resolve()))
    this.#stopping = true
    for (const session of this.#sessions) session.close()
    for (const [socket, active] of this.#plain) if (active === 0) socket.destroy()
    const timer = this.#clock.setTimeout(() => {
      for (const session of this.#sessions) session.destroy()
      for (const socket of this.#sockets) socket.destroy()
    }, graceMs)
    await closed
    timer.cancel()
  }
}

/** Every request ends with it; made once, for an error costs as much as the rest of the end. */
const clientGone = new Error('the client has gone')

async function serve(options: HttpsServerOptions, incoming: Incoming, outgoing: Outgoing): Promise<void> {
  const abort = new AbortController()
  outgoing.on('close', () => abort.abort(clientGone))
  // Writing to a client that has gone is no failure of ours.
  outgoing.on('error', () => abort.abort(clientGone))
  try {
    const reply = await options.handle(requestOf(incoming, abort.signal, options.clock))
    if (reply.forward === undefined) await send(reply, incoming, outgoing, options.clock)
    else await forward(reply.forward, incoming as IncomingMessage, outgoing as ServerResponse, (error) => void send(jsonReply(error.code, error.toStatus()), incoming, outgoing, options.clock))
  } catch (error) {
    options.log.error('a reply could not be sent', { path: incoming.url, error })
    if (incoming.httpVersionMajor < 2) incoming.socket.destroy()
    else (outgoing as Http2ServerResponse).stream.close()
  }
}

async function serveUpgrade(options: HttpsServerOptions, incoming: IncomingMessage, socket: Socket, head: Buffer): Promise<void> {
  const abort = new AbortController()
  socket.on('close', () => abort.abort())
  socket.on('error', () => socket.destroy())
  try {
    leadTo(await options.upgrade(requestOf(incoming, abort.signal, options.clock)), incoming, socket, head)
  } catch (error) {
    refuseUpgrade(socket, error instanceof StatusError ? error : new StatusError(500, 'InternalError', (error as Error).message))
  }
}

function requestOf(incoming: Incoming, signal: AbortSignal, clock: Clock): HttpRequest {
  const url = incoming.url ?? '/'
  const mark = url.indexOf('?')
  return {
    method: incoming.method ?? 'GET',
    path: mark < 0 ? url : url.slice(0, mark),
    query: new URLSearchParams(mark < 0 ? '' : url.slice(mark + 1)),
    headers: incoming.headers as Record<string, string | undefined>,
    peer: peerOf(incoming),
    signal,
    readBody: (bytesMax) => readBody(incoming, bytesMax, clock),
  }
}

/** Who a connection's certificate speaks for is read once a connection. */
const peers = new WeakMap<object, Peer>()

function peerOf(incoming: Incoming): Peer {
  const socket = incoming.socket as TLSSocket
  const connection = ('stream' in incoming ? incoming.stream.session : undefined) ?? socket
  const known = peers.get(connection)
  if (known !== undefined) return known
  const user = socket.authorized ? userOf(socket) : undefined
  const peer: Peer = { ...(user === undefined ? {} : { user }), address: socket.remoteAddress ?? '' }
  peers.set(connection, peer)
  return peer
}

/** The subject of a verified client certificate: CN is the user, each O a group. */
function userOf(socket: TLSSocket): UserInfo | undefined {
  const subject = socket.getPeerCertificate().subject as { CN?: string | string[]; O?: string | string[] } | undefined
  const [name] = [subject?.CN ?? []].flat()
  return name === undefined || name === '' ? undefined : { name, groups: [...[subject?.O ?? []].flat(), 'system:authenticated'] }
}

function readBody(incoming: Incoming, bytesMax: number, clock: Clock): Promise<Buffer> {
  const tooLarge = (): StatusError => new StatusError(413, 'RequestEntityTooLarge', `Request entity too large: limit is ${bytesMax} bytes`)
  if (Number(incoming.headers['content-length'] ?? 0) > bytesMax) return Promise.reject(tooLarge())
  return new Promise((resolve, reject) => {
    let chunks: Buffer[] = []
    let length = 0
    const refuse = (error: Error): void => {
      timer.cancel()
      // Neither what has come is kept nor what comes still, for the client may leave its request open for ever.
      length = Infinity
      chunks = []
      reject(error)
    }
    const timer = clock.setTimeout(() => refuse(new StatusError(408, 'Timeout', `the body did not arrive within ${bodyTimeoutMs / 1000} s`)), bodyTimeoutMs)
    incoming.on('data', (chunk: Buffer) => {
      length += chunk.length
      if (length <= bytesMax) chunks.push(chunk)
      else if (length !== Infinity) refuse(tooLarge())
    })
    incoming.on('end', () => {
      timer.cancel()
      resolve(chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks))
    })
    incoming.on('error', refuse)
    incoming.on('aborted', () => refuse(new StatusError(400, 'BadRequest', 'the client went away before its body had arrived')))
  })
}

async function send(reply: Reply, incoming: Incoming, outgoing: Outgoing, clock: Clock): Promise<void> {
  const { body } = reply
  const isHead = incoming.method === 'HEAD'
  if (typeof body !== 'function') return sendWhole({ ...reply, body }, outgoing, { isHead, acceptEncoding: incoming.headers['accept-encoding'], clock })
  const response = outgoing as ServerResponse
  response.writeHead(reply.status, reply.headers)
  if (isHead) response.end()
  else body(sinkOf(outgoing, clock))
}

function sinkOf(outgoing: Outgoing, clock: Clock): Sink {
  const response = outgoing as ServerResponse
  // HTTP/2's own stream knows what is still to be sent, and takes it at once; the compatible response before it does neither.
  const stream = ('stream' in outgoing ? outgoing.stream : response) as ServerResponse
  // What the stream itself would say costs as much as a write, and there are a thousand to an event.
  let [isOpen, isFull] = [true, false]
  stream.once('close', () => (isOpen = false))
  // The client learns that its watch stands before there is anything to tell.
  response.flushHeaders()
  return {
    write: (chunk) => {
      if (isOpen && !stream.write(chunk)) isFull = true
    },
    get pendingBytes() {
      if (isFull) isFull = stream.writableLength > 0
      return isFull ? stream.writableLength : 0
    },
    drained: () => (stream.writableNeedDrain ? new Promise((resolve) => void stream.once('drain', resolve).once('close', resolve)) : Promise.resolve()),
    end: () => {
      if (isOpen) stream.end()
      isOpen = false
      if (stream.writableLength === 0) return
      // What waits is held for a client that may never take it.
      const timer = clock.setTimeout(() => void stream.destroy(), lastBytesTimeoutMs)
      stream.once('close', () => timer.cancel())
    },
  }
}
