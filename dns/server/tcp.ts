/**
 * A TCP listener: length-prefixed messages, several at a time on one connection (RFC 7766). What a client owes is a whole question, or to take its
 * answers: one that does neither for a while is let go, however many single bytes it sends. A full house lets go whoever has been idle longest.
 */
import { createServer } from 'node:net'
import type { Server, Socket } from 'node:net'
import type { Clock } from '../../api/clock.ts'
import { addressBytes } from '../wire/index.ts'
import type { Respond } from './udp.ts'

/** RFC 7766 section 6.2.3: a few seconds; resolvers that ask again open another. */
const idleMs = 10_000
const sweepMs = 1000
const connectionsMax = 1000
/** Connections of one client address: a stub resolver needs one or two. */
const connectionsPerClientMax = 100
/** Questions of one connection that wait for an answer; more are read when some have gone. */
const pipelinedMax = 128
const unsentBytesMax = 1024 * 1024

export interface TcpListener {
  readonly port: number
  close(): Promise<void>
}

/** Who may be connected; the defaults are for a cluster's DNS server. */
export interface TcpLimits {
  readonly idleMs?: number
  readonly connectionsMax?: number
  readonly connectionsPerClientMax?: number
}

export interface TcpOptions extends TcpLimits {
  readonly clock: Clock
}

/** Listens and answers; rejects when the address cannot be had. */
export async function listenTcp({ address, port }: { readonly address: string; readonly port: number }, respond: Respond, options: TcpOptions): Promise<TcpListener> {
  const house = new House(respond, options)
  const server = createServer({ noDelay: true }, (socket) => house.admit(socket))
  await listening(server, address, port)
  const bound = server.address()
  return {
    port: typeof bound === 'object' && bound !== null ? bound.port : port,
    close: () => new Promise((resolve) => {
      server.close(() => resolve())
      house.close()
    }),
  }
}

/** The connections that are open, and who has to go when there are too many. */
class House {
  readonly #respond: Respond
  readonly #options: TcpOptions
  /** Those that made progress last stand at the end. */
  readonly #open = new Set<Connection>()
  #sweeping = false
  #closed = false

  constructor(respond: Respond, options: TcpOptions) {
    this.#respond = respond
    this.#options = options
  }

  admit(socket: Socket): void {
    const client = socket.remoteAddress ?? ''
    const { connectionsMax: most = connectionsMax, connectionsPerClientMax: mostOfOne = connectionsPerClientMax, clock } = this.#options
    const own = [...this.#open].filter((connection) => connection.client === client)
    if (own.length >= mostOfOne) own[0]?.destroy()
    else if (this.#open.size >= most) this.#open.values().next().value?.destroy()
    const connection = new Connection(socket, { client, respond: this.#respond, clock, onProgress: () => this.#touch(connection) })
    this.#open.add(connection)
    socket.once('close', () => this.#open.delete(connection))
    connection.start()
    this.#sweep()
  }

  close(): void {
    this.#closed = true
    for (const connection of this.#open) connection.destroy()
  }

  #touch(connection: Connection): void {
    if (this.#open.delete(connection)) this.#open.add(connection)
  }

  /** Lets those go that owe something for too long; looks again as long as anyone is there. */
  #sweep(): void {
    if (this.#sweeping || this.#closed) return
    const { clock, idleMs: most = idleMs } = this.#options
    this.#sweeping = true
    clock.setTimeout(() => {
      this.#sweeping = false
      const since = clock.monotonicMs() - most
      for (const connection of this.#open) if (connection.progressAtMs <= since) connection.destroy()
      if (this.#open.size > 0) this.#sweep()
    }, Math.min(sweepMs, most))
  }
}

function listening(server: Server, address: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen({ host: address, port, ipv6Only: true }, () => {
      server.removeListener('error', reject)
      resolve()
    })
  })
}

interface ConnectionOptions {
  readonly client: string
  readonly respond: Respond
  readonly clock: Clock
  readonly onProgress: () => void
}

class Connection {
  readonly client: string
  /** When the last question was whole, or the last answer was taken. */
  progressAtMs: number
  readonly #socket: Socket
  readonly #options: ConnectionOptions
  readonly #address: Uint8Array
  #pieces: Buffer[] = []
  #received: Buffer = Buffer.alloc(0)
  #receivedBytes = 0
  #waiting = 0

  constructor(socket: Socket, options: ConnectionOptions) {
    this.client = options.client
    this.#socket = socket
    this.#options = options
    this.#address = addressBytes(options.client) ?? new Uint8Array(4)
    this.progressAtMs = options.clock.monotonicMs()
  }

  start(): void {
    const socket = this.#socket
    // A reset says that the client has gone; 'close' follows.
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
    this.#join()
    while (this.#received.length >= 2 && !socket.destroyed) {
      const isBusy = this.#waiting >= pipelinedMax || socket.writableLength > unsentBytesMax
      if (isBusy) {
        socket.pause()
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
    socket.resume()
  }

  async #later(promised: Promise<Buffer | undefined>): Promise<void> {
    this.#waiting += 1
    const answer = await promised
    this.#waiting -= 1
    this.#write(answer)
    this.#next()
  }

  /** A question that gets no answer ends the connection: what follows it could not be told apart. */
  #write(answer: Buffer | undefined): void {
    if (this.#socket.destroyed) return
    if (answer === undefined) {
      this.#socket.destroy()
      return
    }
    // Who leaves answers lying makes none.
    if (this.#socket.writableLength === 0) this.#progress()
    const framed = Buffer.allocUnsafe(2 + answer.length)
    framed.writeUInt16BE(answer.length)
    framed.set(answer, 2)
    this.#socket.write(framed)
  }
}
