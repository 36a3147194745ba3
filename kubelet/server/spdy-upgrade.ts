/**
 * Upgrades to SPDY/3.1, which kubectl spoke before 1.29 and others speak still (k8s.io/streaming, pkg/httpstream/spdy). Each of stdin, stdout, stderr, error and
 * resize is a stream that the client opens, named by its header `streamtype`; here they become the channels of channels.ts.
 *
 *     client  Upgrade: SPDY/3.1, X-Stream-Protocol-Version: v4.channel.k8s.io, …
 *     server  101, X-Stream-Protocol-Version: the one that is spoken
 */
import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import type { Clock, Timer } from '../../api/clock.ts'
import { channelNumbers, closeChannel } from './channels.ts'
import type { MessageConnection } from './channels.ts'
import { RequestError } from './pod-lookup.ts'
import { encodeFrame, FrameReader, HeaderCodec } from './spdy.ts'
import type { SpdyFrame } from './spdy.ts'

/** A stream's data frame is at most this long, so that streams take turns. */
const chunkBytesMax = 32 * 1024
/** As kube's kubelet: how long a client may take to open the streams that it asked for. */
const openTimeoutMs = 30_000

const versionHeader = 'x-stream-protocol-version'

export function isSpdy({ headers }: IncomingMessage): boolean {
  return (headers.upgrade ?? '').toLowerCase() === 'spdy/3.1'
}

/** The first of the client's versions that is served; one that names none speaks the oldest. Throws a 403 where there is none. */
export function chooseVersion({ headers }: IncomingMessage, served: readonly string[]): string {
  const offered = [headers[versionHeader] ?? ''].flat().flatMap((list) => list.split(',')).map((name) => name.trim()).filter((name) => name !== '')
  const chosen = offered.length === 0 ? (served.at(-1) ?? '') : offered.find((name) => served.includes(name))
  if (chosen !== undefined) return chosen
  throw new RequestError(403, 'Forbidden', `unable to upgrade: unable to negotiate protocol: client supports [${offered.join(', ')}], server accepts [${served.join(', ')}]`)
}

/** Answers the upgrade. What is spoken from then on is SPDY. */
export function acceptSpdy(socket: Duplex, head: Buffer, version: string): void {
  socket.write(`HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: ${version}\r\n\r\n`)
  if (head.length > 0) socket.unshift(head)
}

/** The bytes of a socket as messages, for those who cut them into frames themselves. */
export function bytesOf(socket: Duplex): MessageConnection {
  return { messages: socket as AsyncIterable<Buffer>, send: (message) => written(socket, message), close: () => void socket.end() }
}

async function written(socket: Duplex, data: Buffer): Promise<void> {
  if (!socket.writable || socket.write(data)) return
  const left = new AbortController()
  await Promise.race([once(socket, 'drain', left), once(socket, 'close', left)]).finally(() => left.abort())
}

type StreamName = keyof typeof channelNumbers

/** The streams of an exec or attach as channels. A client that does not open those it asked for in time is cut off. */
export class SpdyChannels implements MessageConnection {
  readonly messages: AsyncIterable<Buffer>
  readonly #socket: Duplex
  readonly #headers = new HeaderCodec()
  readonly #channels = new Map<number, number>()
  readonly #opened: ReadonlyMap<number, PromiseWithResolvers<number>>
  readonly #timer: Timer
  #missing: number

  constructor(socket: Duplex, expected: readonly StreamName[], clock: Clock) {
    this.#socket = socket
    this.#opened = new Map(expected.map((name) => [channelNumbers[name], Promise.withResolvers<number>()]))
    this.#missing = expected.length
    this.#timer = clock.setTimeout(() => void socket.destroy(), openTimeoutMs)
    this.messages = this.#read()
  }

  async send(message: Buffer): Promise<void> {
    const opened = this.#opened.get(message[0] ?? 0)
    if (opened === undefined || message.length === 1) return
    const streamId = await opened.promise
    if (streamId === gone) return
    for (let at = 1; at < message.length; at += chunkBytesMax) {
      await written(this.#socket, encodeFrame({ kind: 'data', streamId, isLast: false, data: message.subarray(at, at + chunkBytesMax) }))
    }
  }

  /** Ends every stream that goes to the client, then the connection. */
  close(): void {
    if (!this.#socket.writable) return
    for (const [streamId, channel] of this.#channels) {
      if (channel !== channelNumbers.stdin && channel !== channelNumbers.resize) this.#socket.write(encodeFrame({ kind: 'data', streamId, isLast: true, data: Buffer.alloc(0) }))
    }
    this.#socket.end()
  }

  async *#read(): AsyncGenerator<Buffer> {
    const reader = new FrameReader()
    try {
      for await (const bytes of this.#socket as AsyncIterable<Buffer>) {
        for (const frame of reader.push(bytes)) yield* await this.#take(frame)
      }
    } catch {
      // A connection that breaks, or that speaks something else, has no reader any more: the end of the messages tells it.
      this.#socket.destroy()
    } finally {
      this.#timer.cancel()
      this.#headers.close()
      for (const { resolve } of this.#opened.values()) resolve(gone)
    }
  }

  async #take(frame: SpdyFrame): Promise<Buffer[]> {
    switch (frame.kind) {
      case 'ping':
        await written(this.#socket, encodeFrame(frame))
        return []
      case 'open':
        return this.#open(frame.streamId, frame.isLast, await this.#headers.decode(frame.block))
      case 'data':
        return this.#input(frame.streamId, frame.isLast, frame.data)
      case 'reset':
        this.#channels.delete(frame.streamId)
        return []
      default:
        return []
    }
  }

  async #open(streamId: number, isLast: boolean, headers: Readonly<Record<string, string>>): Promise<Buffer[]> {
    const name = headers['streamtype'] ?? ''
    const channel = Object.hasOwn(channelNumbers, name) ? channelNumbers[name as StreamName] : undefined
    if (channel === undefined || [...this.#channels.values()].includes(channel)) {
      await written(this.#socket, encodeFrame({ kind: 'reset', streamId }))
      return []
    }
    this.#channels.set(streamId, channel)
    await written(this.#socket, encodeFrame({ kind: 'reply', streamId, block: await this.#headers.encode({}) }))
    const opened = this.#opened.get(channel)
    if (opened !== undefined && --this.#missing === 0) this.#timer.cancel()
    opened?.resolve(streamId)
    return isLast ? endOf(channel) : []
  }

  #input(streamId: number, isLast: boolean, data: Buffer): Buffer[] {
    const channel = this.#channels.get(streamId)
    if (channel === undefined) return []
    const message = data.length === 0 ? [] : [Buffer.concat([Buffer.from([channel]), data])]
    return isLast ? [...message, ...endOf(channel)] : message
  }
}

/** What stands for the number of a stream that does not come any more. */
const gone = -1

function endOf(channel: number): Buffer[] {
  return channel === channelNumbers.stdin ? [Buffer.from([closeChannel, channel])] : []
}
