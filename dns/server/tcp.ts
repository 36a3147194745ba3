/** A TCP listener: length-prefixed messages, several at a time on one connection (RFC 7766). Idle and slow clients are let go. */
import { createServer } from 'node:net'
import type { Server, Socket } from 'node:net'
import type { Respond } from './udp.ts'

/** RFC 7766 section 6.2.3: a few seconds; resolvers that ask again open another. */
const idleMs = 10_000
const connectionsMax = 1000
/** Questions of one connection that wait for an answer; more are read when some have gone. */
const pipelinedMax = 128
const unsentBytesMax = 1024 * 1024

export interface TcpListener {
  readonly port: number
  close(): Promise<void>
}

/** Listens and answers; rejects when the address cannot be had. */
export async function listenTcp({ address, port }: { readonly address: string; readonly port: number }, respond: Respond): Promise<TcpListener> {
  const open = new Set<Socket>()
  const server = createServer({ noDelay: true }, (socket) => {
    open.add(socket)
    socket.once('close', () => open.delete(socket))
    new Connection(socket, respond).start()
  })
  server.maxConnections = connectionsMax
  await listening(server, address, port)
  const bound = server.address()
  return {
    port: typeof bound === 'object' && bound !== null ? bound.port : port,
    close: () => new Promise((resolve) => {
      server.close(() => resolve())
      for (const socket of open) socket.destroy()
    }),
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

class Connection {
  readonly #socket: Socket
  readonly #respond: Respond
  #received: Buffer = Buffer.alloc(0)
  #waiting = 0

  constructor(socket: Socket, respond: Respond) {
    this.#socket = socket
    this.#respond = respond
  }

  start(): void {
    const socket = this.#socket
    socket.setTimeout(idleMs, () => socket.destroy())
    // A reset says that the client has gone; 'close' follows.
    socket.on('error', () => socket.destroy())
    socket.on('data', (data: Buffer) => {
      this.#received = this.#received.length === 0 ? data : Buffer.concat([this.#received, data])
      this.#next()
    })
    socket.on('drain', () => this.#next())
  }

  /** Takes the questions that are whole, as long as their answers are taken too. */
  #next(): void {
    const socket = this.#socket
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
      const answer = this.#respond(packet)
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
    const length = Buffer.alloc(2)
    length.writeUInt16BE(answer.length)
    this.#socket.cork()
    this.#socket.write(length)
    this.#socket.write(answer)
    this.#socket.uncork()
  }
}
