/**
 * Questions over HTTPS (RFC 8484): one HTTP/2 connection to each server, with the questions side by side on it, kept while there are any. What is no DNS message, is too
 * long, or answers another question is no answer; a question that nobody waits for any longer is taken back.
 */
import { connect, constants } from 'node:http2'
import type { ClientHttp2Session, ClientHttp2Stream, IncomingHttpHeaders } from 'node:http2'
import type { Clock, Timer } from '../../api/clock.ts'
import { messageBytesMax } from '../wire/index.ts'
import type { Message } from '../wire/index.ts'
import { answerIn } from './asked.ts'
import type { Asked } from './asked.ts'
import { nameOf } from './upstream.ts'
import type { ExchangeOptions, Upstream } from './upstream.ts'
import { open } from './stream.ts'

const mediaType = 'application/dns-message'
/** A connection that nobody has used for so long is closed. */
const idleMs = 30_000

interface Kept {
  readonly session: ClientHttp2Session
  idle: Timer | undefined
}

export class HttpsConnections {
  readonly #kept = new Map<string, Kept>()

  /** Resolves to the checked answer. What was sent on a connection that the server had just closed is sent once more on another (RFC 9113 section 8.7). */
  async ask(upstream: Upstream, query: Buffer, asked: Asked, options: ExchangeOptions): Promise<Message> {
    const isNew = !this.#kept.has(nameOf(upstream))
    try {
      return await this.#askOnce(upstream, query, asked, options)
    } catch (error) {
      if (isNew || !(error instanceof ConnectionEnded) || options.signal.aborted) throw error
      return this.#askOnce(upstream, query, asked, options)
    }
  }

  close(): void {
    for (const [name, { session }] of this.#kept) {
      this.#forget(name, session)
      session.destroy()
    }
  }

  #askOnce(upstream: Upstream, query: Buffer, asked: Asked, { clock, timeoutMs, signal }: ExchangeOptions): Promise<Message> {
    const name = nameOf(upstream)
    return new Promise((resolve, reject) => {
      const session = this.#session(upstream, clock)
      const stream = session.request({
        ':method': 'POST', ':path': upstream.https?.path ?? '/', ':authority': authorityOf(upstream),
        'content-type': mediaType, 'content-length': String(query.length), accept: mediaType,
      })
      let isDone = false
      const end = (finish: () => void): void => {
        if (isDone) return
        isDone = true
        timer.cancel()
        signal.removeEventListener('abort', onAbort)
        if (!stream.closed) stream.close(constants.NGHTTP2_CANCEL)
        finish()
      }
      const fail = (why: string, Reason: new (message: string) => Error = Error): void => end(() => reject(new Reason(`Cannot ask ${name}: ${why}`)))
      const onAbort = (): void => fail('another server was faster')
      const timer = clock.setTimeout(() => {
        fail(`no answer within ${timeoutMs} ms`)
        // Nobody knows what has become of the connection: the next question opens another.
        this.#forget(name, session)
        session.close()
      }, timeoutMs)
      // When the connection fails, the questions on it say so without why.
      stream.once('error', (error) => fail(error.cause instanceof Error ? error.cause.message : error.message, session.closed || session.destroyed ? ConnectionEnded : Error))
      stream.once('close', () => fail('the server ended the question', session.closed || session.destroyed ? ConnectionEnded : Error))
      if (signal.aborted) return onAbort()
      signal.addEventListener('abort', onAbort, { once: true })
      void bodyOf(stream).then((read) => {
        const answer = typeof read === 'string' ? read : agedAnswer(read.body, asked, read.ageSeconds)
        if (typeof answer === 'string') fail(answer)
        else end(() => resolve(answer))
      })
      stream.end(query)
    })
  }

  #session(upstream: Upstream, clock: Clock): ClientHttp2Session {
    const name = nameOf(upstream)
    let kept = this.#kept.get(name)
    if (kept === undefined) {
      const session = connect(`https://${authorityOf(upstream)}`, { createConnection: () => open(upstream, 'h2', () => undefined) })
      kept = { session, idle: undefined }
      this.#kept.set(name, kept)
      for (const event of ['error', 'goaway', 'close'] as const) session.on(event, () => this.#forget(name, session))
    }
    const { session } = kept
    kept.idle?.cancel()
    kept.idle = clock.setTimeout(() => {
      this.#forget(name, session)
      session.close()
    }, idleMs)
    return session
  }

  #forget(name: string, session: ClientHttp2Session): void {
    const kept = this.#kept.get(name)
    if (kept?.session !== session) return
    kept.idle?.cancel()
    this.#kept.delete(name)
  }
}

/** The connection ended before there was an answer. */
class ConnectionEnded extends Error {}

interface Body {
  readonly body: Buffer
  readonly ageSeconds: number
}

/** The body of a good response, or why it is none. */
function bodyOf(stream: ClientHttp2Stream): Promise<Body | string> {
  return new Promise((resolve) => {
    const pieces: Buffer[] = []
    let size = 0
    let ageSeconds = 0
    stream.once('response', (headers: IncomingHttpHeaders & { readonly ':status'?: number }) => {
      if (headers[':status'] !== constants.HTTP_STATUS_OK) return resolve(`it answered with status ${headers[':status']}`)
      if (headers['content-type']?.split(';')[0]?.trim().toLowerCase() !== mediaType) return resolve(`it answered with ${headers['content-type'] ?? 'something'}, not a DNS message`)
      ageSeconds = /^\d{1,9}$/.test(headers.age ?? '') ? Number(headers.age) : 0
    })
    stream.on('data', (piece: Buffer) => {
      size += piece.length
      if (size > messageBytesMax) return resolve('its answer is longer than any message')
      pieces.push(piece)
    })
    stream.once('end', () => resolve(size === 0 ? 'it answered with nothing' : { body: Buffer.concat(pieces), ageSeconds }))
  })
}

/** What a cache on the way has kept for a while is the older by that (RFC 8484 section 5.1). */
function agedAnswer(packet: Buffer, asked: Asked, ageSeconds: number): Message | string {
  const answer = answerIn(packet, asked)
  if (answer === undefined) return 'the answer is not to the question'
  if (ageSeconds === 0) return answer
  const aged = (records: Message['answers']): Message['answers'] => records.map((record) => ({ ...record, ttl: Math.max(0, record.ttl - ageSeconds) }))
  return { ...answer, answers: aged(answer.answers), authorities: aged(answer.authorities) }
}

function authorityOf({ port, tls }: Upstream): string {
  const host = tls?.serverName ?? ''
  return `${host.includes(':') ? `[${host}]` : host}:${port}`
}
