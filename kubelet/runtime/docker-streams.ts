/** Docker's streams: multiplexed output, events as lines, sessions over a hijacked connection. */
import { Duplex } from 'node:stream'
import type { OutputChunk, StreamSession } from './runtime.ts'

/**
 * Takes apart the output of a container without a terminal.
 *
 *     | stream (1) | 0 0 0 | length (4, big endian) | data |      1 stdout, 2 stderr
 */
export async function* demultiplex(source: AsyncIterable<Buffer | string>): AsyncGenerator<OutputChunk> {
  let pending: Buffer[] = []
  let bytes = 0
  for await (const piece of source) {
    const buffer = typeof piece === 'string' ? Buffer.from(piece) : piece
    pending.push(buffer)
    bytes += buffer.length
    if (bytes < 8) continue
    let whole = pending.length === 1 ? buffer : Buffer.concat(pending, bytes)
    while (whole.length >= 8) {
      const length = whole.readUInt32BE(4)
      if (whole.length < 8 + length) break
      if (length > 0) yield { stream: whole[0] === 2 ? 'stderr' : 'stdout', data: whole.subarray(8, 8 + length) }
      whole = whole.subarray(8 + length)
    }
    pending = whole.length === 0 ? [] : [whole]
    bytes = whole.length
  }
}

/** Output of a container with a terminal: all of it is stdout. */
export async function* undivided(source: AsyncIterable<Buffer | string>): AsyncGenerator<OutputChunk> {
  for await (const piece of source) yield { stream: 'stdout', data: typeof piece === 'string' ? Buffer.from(piece) : piece }
}

/** The JSON values of a stream with one on each line. */
export async function* jsonLines(source: AsyncIterable<Buffer | string>): AsyncGenerator<unknown> {
  let rest = ''
  for await (const piece of source) {
    rest += piece.toString()
    const lines = rest.split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) if (line.trim() !== '') yield JSON.parse(line)
  }
  if (rest.trim() !== '') yield JSON.parse(rest)
}

interface SessionOptions {
  readonly tty: boolean
  readonly resize: (columns: number, rows: number) => Promise<void>
  readonly exitCode: () => Promise<number | undefined>
}

/** A session over the connection that the engine hijacked for an exec or an attach. */
export function sessionOver(connection: Duplex, { tty, resize, exitCode }: SessionOptions): StreamSession {
  connection.on('error', () => connection.destroy())
  return {
    output: tty ? undivided(connection) : demultiplex(connection),
    write: (data) =>
      new Promise((resolve, reject) => {
        if (!connection.writable) resolve()
        else connection.write(data, (error) => (error ? reject(error) : resolve()))
      }),
    endInput: () => {
      if (connection.writable) connection.end()
    },
    resize,
    exitCode,
    close: () => {
      connection.destroy()
    },
  }
}

async function settle(work: Promise<void>, done: (error?: Error | null) => void): Promise<void> {
  try {
    await work
    done()
  } catch (error) {
    done(error as Error)
  }
}

/** A session's stdin and stdout as one connection; what it says on stderr explains a failure. */
export function connectionOver(session: StreamSession, what: string): Duplex {
  let complaint = ''
  const duplex = new Duplex({
    allowHalfOpen: true,
    read: () => {},
    write: (data: Buffer, _encoding, done) => {
      void settle(session.write(data), done)
    },
    final: (done) => {
      session.endInput()
      done()
    },
    destroy: (error, done) => {
      session.close()
      done(error)
    },
  })
  const pump = async (): Promise<void> => {
    for await (const { stream, data } of session.output) {
      if (stream === 'stderr') complaint += data.toString()
      else duplex.push(data)
    }
    const code = await session.exitCode()
    if (code !== 0 && code !== undefined) throw new Error(`Cannot reach ${what}: ${complaint.trim() || `exit code ${code}`}`)
    duplex.push(null)
  }
  pump().catch((error: unknown) => duplex.destroy(error as Error))
  return duplex
}
