/**
 * Port-forwarding. kubectl opens one WebSocket and in it speaks SPDY: for each connection a stream for its data and one for what went wrong.
 * Other clients name ports in the query and have two channels (data, error) for each in `v4.channel.k8s.io`.
 */
import { once } from 'node:events'
import type { Duplex } from 'node:stream'
import type { Logger } from '../../api/log.ts'
import type { MessageConnection } from './channels.ts'
import { encodeFrame, FrameReader, HeaderCodec } from './spdy.ts'
import type { SpdyFrame } from './spdy.ts'

export type ConnectToPort = (port: number) => Promise<Duplex>

/** A stream's data frame is at most this long, so that streams take turns. */
const chunkBytesMax = 32 * 1024

class TunnelStream {
  readonly id: number
  readonly headers: Readonly<Record<string, string>>
  connection: Duplex | undefined
  /** Data that came while the connection was being made. */
  readonly early: Buffer[] = []
  endedEarly = false

  constructor(id: number, headers: Readonly<Record<string, string>>) {
    this.id = id
    this.headers = headers
  }
}

class Tunnel {
  readonly #client: MessageConnection
  readonly #connect: ConnectToPort
  readonly #log: Logger
  readonly #headers = new HeaderCodec()
  readonly #streams = new Map<number, TunnelStream>()

  constructor(client: MessageConnection, connect: ConnectToPort, log: Logger) {
    this.#client = client
    this.#connect = connect
    this.#log = log
  }

  async run(): Promise<void> {
    const reader = new FrameReader()
    try {
      for await (const message of this.#client.messages) {
        for (const frame of reader.push(message)) await this.#take(frame)
      }
    } catch (error) {
      this.#log.info('a port-forward ended', { error })
    } finally {
      for (const { connection } of this.#streams.values()) connection?.destroy()
      this.#headers.close()
      this.#client.close()
    }
  }

  async #take(frame: SpdyFrame): Promise<void> {
    if (frame.kind === 'ping') await this.#client.send(encodeFrame(frame))
    else if (frame.kind === 'open') await this.#open(frame.streamId, frame.block)
    else if (frame.kind === 'reset') this.#forget(frame.streamId)
    else if (frame.kind === 'data') await this.#input(frame.streamId, frame.data, frame.isLast)
  }

  async #open(streamId: number, block: Buffer): Promise<void> {
    const stream = new TunnelStream(streamId, await this.#headers.decode(block))
    this.#streams.set(streamId, stream)
    await this.#client.send(encodeFrame({ kind: 'reply', streamId, block: await this.#headers.encode({}) }))
    if (stream.headers['streamtype'] === 'data') void this.#serve(stream)
  }

  #forget(streamId: number): void {
    this.#streams.get(streamId)?.connection?.destroy()
    this.#streams.delete(streamId)
  }

  async #input(streamId: number, data: Buffer, isLast: boolean): Promise<void> {
    const stream = this.#streams.get(streamId)
    if (stream === undefined || stream.headers['streamtype'] !== 'data') return
    const { connection } = stream
    if (connection === undefined) {
      stream.early.push(data)
      stream.endedEarly ||= isLast
      return
    }
    if (data.length > 0 && connection.writable && !connection.write(data)) await Promise.race([once(connection, 'drain'), once(connection, 'close')])
    if (isLast && connection.writable) connection.end()
  }

  async #serve(stream: TunnelStream): Promise<void> {
    const port = Number(stream.headers['port'])
    const { requestid } = stream.headers
    const errors = [...this.#streams.values()].find(({ headers }) => headers['streamtype'] === 'error' && headers['requestid'] === requestid)
    let complaint = ''
    try {
      const connection = await this.#connect(port)
      stream.connection = connection
      for (const data of stream.early) connection.write(data)
      if (stream.endedEarly) connection.end()
      for await (const data of connection as AsyncIterable<Buffer>) {
        for (let at = 0; at < data.length; at += chunkBytesMax) await this.#send(stream.id, data.subarray(at, at + chunkBytesMax), false)
      }
    } catch (error) {
      complaint = `error forwarding port ${port}: ${(error as Error).message}`
    }
    await this.#send(stream.id, Buffer.alloc(0), true)
    if (errors !== undefined) await this.#send(errors.id, Buffer.from(complaint), true)
    stream.connection?.destroy()
    this.#streams.delete(stream.id)
    if (errors !== undefined) this.#streams.delete(errors.id)
  }

  async #send(streamId: number, data: Buffer, isLast: boolean): Promise<void> {
    if (this.#streams.has(streamId)) await this.#client.send(encodeFrame({ kind: 'data', streamId, isLast, data }))
  }
}

/** Serves kubectl's tunnel until the client leaves. */
export function forwardTunnel(client: MessageConnection, connect: ConnectToPort, log: Logger): Promise<void> {
  return new Tunnel(client, connect, log).run()
}

/** Serves the channels of the named ports until all connections or the client are at their end. */
export async function forwardChannels(client: MessageConnection, ports: readonly number[], connect: ConnectToPort): Promise<void> {
  const connections = new Map<number, Duplex>()
  /** Data that came while its connection was being made. */
  const early = new Map<number, Buffer[]>()
  const forward = async (port: number, channel: number): Promise<void> => {
    const numbered = (at: number, data: Buffer): Promise<void> => client.send(Buffer.concat([Buffer.from([at]), data]))
    const name = Buffer.alloc(2)
    name.writeUInt16LE(port)
    // Both channels begin with the port that they are for.
    await numbered(channel, name)
    await numbered(channel + 1, name)
    try {
      const connection = await connect(port)
      connections.set(channel, connection)
      for (const data of early.get(channel) ?? []) connection.write(data)
      for await (const data of connection as AsyncIterable<Buffer>) await numbered(channel, data)
    } catch (error) {
      await numbered(channel + 1, Buffer.from(`error forwarding port ${port}: ${(error as Error).message}`))
    }
  }
  const all = Promise.all(ports.map((port, index) => forward(port, 2 * index))).finally(() => client.close())
  for await (const message of client.messages) {
    const channel = message[0] ?? 255
    const data = message.subarray(1)
    const connection = connections.get(channel)
    if (connection === undefined) early.set(channel, [...(early.get(channel) ?? []), data])
    else if (connection.writable && !connection.write(data)) await Promise.race([once(connection, 'drain'), once(connection, 'close')])
  }
  for (const connection of connections.values()) connection.destroy()
  await all
}
