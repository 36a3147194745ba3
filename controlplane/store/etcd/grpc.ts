// gRPC over HTTP/2, as much as etcd needs: calls of one message each way, and streams. One connection a member, made when it is
// needed and made anew when it is gone. https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
import { connect, constants } from 'node:http2'
import type { ClientHttp2Session, ClientHttp2Stream, IncomingHttpHeaders, SecureClientSessionOptions } from 'node:http2'
import type { Clock, Timer } from '../../../api/clock.ts'

/** grpc/codes: those that are asked for here. */
export const status = { cancelled: 1, unknown: 2, deadlineExceeded: 4, unavailable: 14 } as const

export class GrpcError extends Error {
  readonly code: number

  constructor(code: number, message: string) {
    super(message)
    this.name = 'GrpcError'
    this.code = code
  }
}

export interface GrpcStream {
  write(message: Buffer): void
  /** We have nothing more to say. */
  end(): void
  cancel(): void
}

interface StreamEvents {
  readonly onMessage: (message: Buffer) => void
  /** Told once, also after `cancel`; without an error when the member ended it in order. */
  readonly onEnd: (error: GrpcError | undefined) => void
}

const windowBytes = 16 * 2 ** 20
/** A member that went without a word is noticed; etcd refuses pings more often than every 5 s. */
const pingEveryMs = 10_000
const pingTimeoutMs = 3000
const connectTimeoutMs = 3000

/** One member of etcd. */
export class GrpcEndpoint {
  readonly #url: string
  readonly #tls: SecureClientSessionOptions
  readonly #clock: Clock
  #session: ClientHttp2Session | undefined
  #streams = 0

  constructor(url: string, tls: SecureClientSessionOptions, clock: Clock) {
    this.#url = url
    this.#tls = tls
    this.#clock = clock
  }

  call(path: string, request: Buffer, timeoutMs: number): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      let reply: Buffer | undefined
      const timer = this.#clock.setTimeout(() => end(new GrpcError(status.deadlineExceeded, `no answer from ${this.#url} within ${timeoutMs / 1000} s`)), timeoutMs)
      const stream = this.#open(path, {
        onMessage: (message) => (reply = message),
        onEnd: (error) => {
          timer.cancel()
          if (error === undefined && reply !== undefined) resolve(reply)
          else reject(error ?? new GrpcError(status.unavailable, `${this.#url} answered nothing`))
        },
      })
      const end = (error: GrpcError): void => {
        reject(error)
        stream.close(constants.NGHTTP2_CANCEL)
      }
      stream.end(framed(request))
    })
  }

  stream(path: string, events: StreamEvents): GrpcStream {
    const stream = this.#open(path, events)
    return { write: (message) => void stream.write(framed(message)), end: () => void stream.end(), cancel: () => stream.close(constants.NGHTTP2_CANCEL) }
  }

  close(): void {
    this.#session?.destroy()
  }

  #open(path: string, { onMessage, onEnd }: StreamEvents): ClientHttp2Stream {
    // `hasleader`: a member that has lost its leader ends watches and calls instead of keeping them silent (clientv3.WithRequireLeader).
    const stream = this.#connected().request({ ':method': 'POST', ':path': path, 'content-type': 'application/grpc', te: 'trailers', hasleader: 'true' })
    let isOk = false
    let failure: GrpcError | undefined
    const readStatus = (headers: IncomingHttpHeaders): void => {
      const code = headers['grpc-status']
      // An error costs as much as the rest of a call: none is made of what went well.
      if (code === '0') isOk = true
      else if (code !== undefined) failure = new GrpcError(Number(code), decodeURIComponent(String(headers['grpc-message'] ?? '')))
      else if (headers[':status'] !== undefined && Number(headers[':status']) !== 200) failure = new GrpcError(status.unavailable, `${this.#url} answered with HTTP status ${String(headers[':status'])}`)
    }
    this.#streams++
    stream.on('response', readStatus)
    stream.on('trailers', readStatus)
    stream.on('data', messagesTo(onMessage))
    stream.on('error', (error: Error) => (failure ??= new GrpcError(status.unavailable, `${this.#url}: ${error.message}`)))
    stream.on('close', () => {
      this.#streams--
      onEnd(failure ?? (isOk ? undefined : new GrpcError(status.unavailable, `${this.#url} ended the call`)))
    })
    return stream
  }

  #connected(): ClientHttp2Session {
    const present = this.#session
    if (present !== undefined && !present.closed && !present.destroyed) return present
    const session = connect(this.#url, { ...this.#tls, settings: { initialWindowSize: windowBytes, enablePush: false } })
    this.#session = session
    const late = this.#clock.setTimeout(() => session.destroy(new Error('the connection was not made in time')), connectTimeoutMs)
    session.on('connect', () => {
      late.cancel()
      session.setLocalWindowSize(windowBytes)
      this.#keepAlive(session)
    })
    // Its streams are told by their own events, and the next call connects anew.
    session.on('error', () => session.destroy())
    session.on('close', () => late.cancel())
    return session
  }

  #keepAlive(session: ClientHttp2Session): void {
    let timer: Timer
    const next = (): void => {
      timer = this.#clock.setTimeout(ask, pingEveryMs)
    }
    const ask = (): void => {
      // Without a stream etcd takes pings for an attack.
      if (this.#streams === 0) return next()
      timer = this.#clock.setTimeout(() => session.destroy(new Error('the member does not answer')), pingTimeoutMs)
      session.ping(() => {
        timer.cancel()
        if (!session.destroyed) next()
      })
    }
    next()
    session.once('close', () => timer.cancel())
  }
}

/** A message is preceded by a byte for its compression (none) and its length in four. */
function framed(message: Buffer): Buffer {
  const frame = Buffer.allocUnsafe(5 + message.length)
  frame[0] = 0
  frame.writeUInt32BE(message.length, 1)
  message.copy(frame, 5)
  return frame
}

/** Puts messages together from the pieces that come. */
function messagesTo(onMessage: (message: Buffer) => void): (chunk: Buffer) => void {
  let pieces: Buffer[] = []
  let length = 0
  return (chunk) => {
    pieces.push(chunk)
    length += chunk.length
    if (length < 5) return
    let head = pieces[0] as Buffer
    if (head.length < 5) pieces = [(head = Buffer.concat(pieces))]
    if (length < 5 + head.readUInt32BE(1)) return
    let rest = pieces.length === 1 ? head : Buffer.concat(pieces)
    while (rest.length >= 5) {
      const end = 5 + rest.readUInt32BE(1)
      if (rest.length < end) break
      onMessage(rest.subarray(5, end))
      rest = rest.subarray(end)
    }
    pieces = rest.length === 0 ? [] : [rest]
    length = rest.length
  }
}
