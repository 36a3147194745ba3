import { PassThrough } from 'node:stream'
import * as fc from 'fast-check'
import t from 'tap'
import { connectionOver, demultiplex, jsonLines } from './docker-streams.ts'
import type { OutputChunk, StreamSession } from './runtime.ts'

async function* cut(whole: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < whole.length; at += size) yield whole.subarray(at, at + size)
}

async function all<T>(source: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = []
  for await (const item of source) found.push(item)
  return found
}

const chunk = fc.record({ stream: fc.constantFrom('stdout' as const, 'stderr' as const), data: fc.uint8Array({ minLength: 1, maxLength: 100 }).map((data) => Buffer.from(data)) })

t.test('multiplexed output comes apart as it was put together, however the bytes are cut', async (t) => {
  await fc.assert(fc.asyncProperty(fc.array(chunk, { maxLength: 6 }), fc.integer({ min: 1, max: 40 }), async (chunks, size) => {
    const whole = Buffer.concat(chunks.flatMap(({ stream, data }) => {
      const head = Buffer.from([stream === 'stdout' ? 1 : 2, 0, 0, 0, 0, 0, 0, 0])
      head.writeUInt32BE(data.length, 4)
      return [head, data]
    }))
    t.same(await all(demultiplex(cut(whole, size))), chunks)
  }), { numRuns: 40 })
})

t.test('JSON comes by lines', async (t) => {
  t.same(await all(jsonLines(cut(Buffer.from('{"a":1}\n\n{"b":"é"}\n{"c":3}'), 1000))), [{ a: 1 }, { b: 'é' }, { c: 3 }])
})

t.test('a connection over a session says why it failed', async (t) => {
  const output = async function* complaint(): AsyncGenerator<OutputChunk> {
    yield { stream: 'stdout', data: Buffer.from('some') }
    yield { stream: 'stderr', data: Buffer.from('refused\n') }
  }
  const session: StreamSession = { output: output(), write: async () => {}, endInput: () => {}, resize: async () => {}, exitCode: async () => 1, close: () => {} }
  const connection = connectionOver(session, 'port 81')
  const read = new PassThrough()
  connection.pipe(read)
  await t.rejects(new Promise((_resolve, reject) => connection.on('error', reject)), { message: 'Cannot reach port 81: refused' })
  t.equal((read.read() as Buffer).toString(), 'some')
})
