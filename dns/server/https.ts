/** DNS over HTTPS (RFC 8484): GET and POST of `/dns-query`, over HTTP/2 and HTTP/1.1. */
import { createSecureServer } from 'node:http2'
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2'
import type { Clock } from '../../api/clock.ts'
import { RCODE, TYPE, addressBytes, decodeMessage } from '../wire/index.ts'
import type { Certificate } from './certificate.ts'
import { openHouse } from './house.ts'
import type { StreamListener, TcpLimits } from './house.ts'
import type { OpenPlace } from './sockets.ts'
import type { Respond } from './udp.ts'

const path = '/dns-query'
const mediaType = 'application/dns-message'
/** As by UDP: longer questions do not exist. */
const questionBytesMax = 4096
/** Questions of one connection at a time. */
const streamsMax = 64
const idleMs = 10_000

export interface HttpsOptions extends TcpLimits {
  readonly clock: Clock
  readonly certificate: Certificate
  /** Told the status of every answer. */
  readonly onAnswer: (status: number) => void
}

/** A question that cannot be put, and with which status it is refused. */
class Refusal extends Error {
  readonly status: number

  constructor(status: number, message: string) {
    super(message)
    this.name = 'Refusal'
    this.status = status
  }
}

/** Answers on the connections that come to a socket. */
export async function listenHttps(place: OpenPlace, respond: Respond, { certificate, onAnswer, ...options }: HttpsOptions): Promise<StreamListener> {
  const { clock } = options
  const progress = new Map<string, () => void>()
  const sessions = new Set<{ close(): void }>()
  const server = createSecureServer({
    ...certificate.pair, allowHTTP1: true, settings: { maxConcurrentStreams: streamsMax, enablePush: false }, maxSessionMemory: 2, maxHeaderListPairs: 64,
  })
  server.on('session', (session) => {
    sessions.add(session)
    session.once('close', () => sessions.delete(session))
    session.on('error', () => session.destroy())
  })
  server.on('tlsClientError', (_error, socket) => void socket.destroy())
  server.on('request', (request, response) => void answer(request, response))
  certificate.onChange((pair) => server.setSecureContext(pair))

  async function answer(request: Http2ServerRequest, response: Http2ServerResponse): Promise<void> {
    response.on('error', () => response.destroy())
    const { remoteAddress = '', remotePort = 0 } = request.socket
    const onProgress = progress.get(`${remoteAddress} ${remotePort}`)
    const timer = clock.setTimeout(() => request.destroy(), options.idleMs ?? idleMs)
    try {
      const question = await questionOf(request)
      onProgress?.()
      const packet = await respond(question, addressBytes(remoteAddress) ?? new Uint8Array(4))
      if (packet === undefined) throw new Refusal(429, 'too many questions, or one that is none')
      onAnswer(200)
      response.writeHead(200, { 'content-type': mediaType, 'content-length': packet.length, 'cache-control': freshness(packet) }).end(packet)
      response.once('finish', () => onProgress?.())
    } catch (error) {
      const status = error instanceof Refusal ? error.status : 400
      onAnswer(status)
      if (!response.writableEnded) response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8', ...(status === 405 ? { allow: 'GET, POST' } : {}) }).end(`${(error as Error).message}\n`)
    } finally {
      timer.cancel()
    }
  }

  return openHouse(place, {
    ...options,
    welcome: (socket, client, onProgress) => {
      socket.on('error', () => socket.destroy())
      const key = `${client} ${socket.remotePort ?? 0}`
      const guest = {
        progressAtMs: clock.monotonicMs(),
        destroy: () => void socket.destroy(),
        leave: () => {
          for (const session of sessions) session.close()
          sessions.clear()
        },
      }
      progress.set(key, () => {
        guest.progressAtMs = clock.monotonicMs()
        onProgress()
      })
      socket.once('close', () => progress.delete(key))
      server.emit('connection', socket)
      return guest
    },
  })
}

async function questionOf(request: Http2ServerRequest): Promise<Buffer> {
  const url = new URL(request.url, 'https://dns')
  if (url.pathname !== path) throw new Refusal(404, `known is ${path}`)
  if (request.method === 'GET') {
    const text = url.searchParams.get('dns') ?? ''
    if (text === '' || !/^[A-Za-z0-9_-]+$/.test(text)) throw new Refusal(400, 'the parameter dns must be a question in base64url, without padding')
    if (text.length > questionBytesMax * 4 / 3) throw new Refusal(414, 'the question is too long')
    return Buffer.from(text, 'base64url')
  }
  if (request.method !== 'POST') throw new Refusal(405, 'questions come by GET or POST')
  if (request.headers['content-type']?.split(';')[0]?.trim() !== mediaType) throw new Refusal(415, `the content type must be ${mediaType}`)
  const pieces: Buffer[] = []
  let bytes = 0
  for await (const piece of request as AsyncIterable<Buffer>) {
    bytes += piece.length
    if (bytes > questionBytesMax) throw new Refusal(413, 'the question is too long')
    pieces.push(piece)
  }
  return Buffer.concat(pieces)
}

/** RFC 8484 section 5.1: no longer than the shortest TTL in the answer; of a negative one, than RFC 2308 says. */
function freshness(packet: Buffer): string {
  const { rcode, answers, authorities } = decodeMessage(packet)
  if (rcode !== RCODE.NOERROR && rcode !== RCODE.NXDOMAIN) return 'no-store'
  const ttls = (answers.length > 0 ? answers : authorities.filter(({ type }) => type === TYPE.SOA)).map(({ ttl }) => ttl)
  return ttls.length === 0 ? 'no-store' : `max-age=${Math.min(...ttls)}`
}
