/**
 * DNS over TCP and over TLS: length-prefixed messages, several at a time on one connection (RFC 7766, RFC 7858). What a client owes is a whole question,
 * or to take its answers: one that does neither for a while is let go, however many single bytes it sends (see `house.ts`).
 */
import type { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import type { SecureContext } from 'node:tls'
import type { Clock } from '../../api/clock.ts'
import { addressBytes } from '../wire/index.ts'
import { openHouse } from './house.ts'
import type { Guest, StreamListener, TcpLimits } from './house.ts'
import type { OpenPlace } from './sockets.ts'
import type { Respond } from './udp.ts'

/** Questions of one connection that wait for an answer; more are read when some have gone. */
const pipelinedMax = 128
const unsentBytesMax = 1024 * 1024
/** Questions of one connection that are answered before others get their turn: one that asks without end delays nobody. */
const questionsPerTurn = 16
/** RFC 7858 section 3.1: nobody has to say it; who does is understood. */
const applicationProtocol = 'dot'

export interface TcpOptions extends TcpLimits {
  readonly clock: Clock
  /** With TLS: the certificate for the next connection. */
  readonly secure?: (() => SecureContext) | undefined
}

/** Answers on the connections that come to a socket. */
export function listenTcp(place: OpenPlace, respond: Respond, { secure, ...options }: TcpOptions): Promise<StreamListener> {
  const { clock } = options
  return openHouse(place, {
    ...options,
    welcome: (socket, client, onProgress) => {
      // A reset says that the client has gone; 'close' follows.
      socket.on('error', () => socket.destroy())
      const stream = secure === undefined ? socket : new TLSSocket(socket, { isServer: true, secureContext: secure(), ALPNProtocols: [applicationProtocol] })
      const connection = new Connection(stream, { client, respond, clock, onProgress })
      connection.start()
      return connection
    },
  })
}

interface ConnectionOptions {
  readonly client: string
  readonly respond: Respond
  readonly clock: Clock
  readonly onProgress: () => void
}

class Connection implements Guest {
  progressAtMs: number
  readonly #socket: Socket
  readonly #options: ConnectionOptions
  readonly #address: Uint8Array
  #pieces: Buffer[] = []
  #received: Buffer = Buffer.alloc(0)
  #receivedBytes = 0
  #waiting = 0
  /** Answers of this turn, which go out together. */
  #outgoing: Buffer[] = []
  /** Goes on in the next turn of the event loop. */
  #resting = false
  #answered = false
  #leaving = false

  constructor(socket: Socket, options: ConnectionOptions) {
    this.#socket = socket
    this.#options = options
    this.#address = addressBytes(options.client) ?? new Uint8Array(4)
    this.progressAtMs = options.clock.monotonicMs()
  }

  start(): void {
    const socket = this.#socket
    socket.on('error', () => socket.destroy())
    socket.on('data', (data: Buffer) => this.#take(data))
    socket.on('drain', () => {
      this.#progress()
      this.#next()
    })
  }

  destroy(): void {
    this.#socket.destroy()
  }

  leave(): void {
    this.#leaving = true
    this.#leaveIfIdle()
  }

  /** Who has just come is about to ask. */
  #leaveIfIdle(): void {
    if (this.#leaving && this.#answered && this.#waiting === 0 && this.#receivedBytes === 0) this.#socket.end()
  }

  #progress(): void {
    this.progressAtMs = this.#options.clock.monotonicMs()
    this.#options.onProgress()
  }

  /** Pieces are joined once there is enough of them for a question: single bytes cost no copy of what is there. */
  #take(data: Buffer): void {
    this.#pieces.push(data)
    this.#receivedBytes += data.length
    const wanted = this.#received.length >= 2 ? 2 + this.#received.readUInt16BE() : 2
    if (this.#receivedBytes < wanted) return
    this.#join()
    this.#next()
  }

  #join(): void {
    if (this.#pieces.length > 0) this.#received = Buffer.concat([this.#received, ...this.#pieces])
    this.#pieces = []
  }

  /** Takes the questions that are whole, as long as their answers are taken too. */
  #next(): void {
    const socket = this.#socket
    if (this.#resting) return
    this.#join()
    for (let taken = 0; this.#received.length >= 2 && !socket.destroyed; taken += 1) {
      const isBusy = this.#waiting >= pipelinedMax || socket.writableLength > unsentBytesMax
      if (isBusy || taken === questionsPerTurn) {
        this.#flush()
        socket.pause()
        if (!isBusy) this.#rest()
        return
      }
      const end = 2 + this.#received.readUInt16BE()
      if (this.#received.length < end) break
      const packet = this.#received.subarray(2, end)
      this.#received = this.#received.subarray(end)
      this.#receivedBytes = this.#received.length
      const answer = this.#options.respond(packet, this.#address)
      if (answer instanceof Promise) void this.#later(answer)
      else this.#write(answer)
    }
    this.#flush()
    this.#leaveIfIdle()
    socket.resume()
  }

  #rest(): void {
    this.#resting = true
    setImmediate(() => {
      this.#resting = false
      this.#next()
    })
  }

  async #later(promised: Promise<Buffer | undefined>): Promise<void> {
    this.#waiting += 1
    const answer = await promised
    this.#waiting -= 1
    this.#write(answer)
    this.#flush()
    this.#next()
  }

  /** A question that gets no answer ends the connection: what follows it could not be told apart. */
  #write(answer: Buffer | undefined): void {
    if (this.#socket.destroyed || this.#socket.writableEnded) return
    if (answer === undefined) {
      this.#socket.destroy()
      return
    }
    this.#answered = true
    const framed = Buffer.allocUnsafe(2 + answer.length)
    framed.writeUInt16BE(answer.length)
    framed.set(answer, 2)
    this.#outgoing.push(framed)
  }

  #flush(): void {
    const [first] = this.#outgoing
    if (first === undefined || this.#socket.destroyed) return
    // Who leaves answers lying makes no progress.
    if (this.#socket.writableLength === 0) this.#progress()
    this.#socket.write(this.#outgoing.length === 1 ? first : Buffer.concat(this.#outgoing))
    this.#outgoing = []
  }
}
