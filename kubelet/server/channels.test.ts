import t from 'tap'
import type { OutputChunk, StreamSession } from '../runtime/runtime.ts'
import { decodeMessage, encodeMessage, exitStatus, joinSession } from './channels.ts'
import type { MessageConnection } from './channels.ts'

t.test('messages name their channel in their first byte', (t) => {
  t.same(decodeMessage(Buffer.from('\x00abc')), { kind: 'input', data: Buffer.from('abc') })
  t.same(decodeMessage(Buffer.from([255, 0])), { kind: 'endInput' })
  t.same(decodeMessage(Buffer.from('\x04{"Width":80,"Height":24}')), { kind: 'resize', columns: 80, rows: 24 })
  for (const odd of [Buffer.alloc(0), Buffer.from([9, 1]), Buffer.from([255, 7]), Buffer.from('\x04{}'), Buffer.from('\x04[')]) t.same(decodeMessage(odd), { kind: 'unknown' })
  t.same(encodeMessage('stderr', Buffer.from('x')), Buffer.from('\x02x'))
  t.end()
})

t.test('the exit code is told as kubectl reads it', (t) => {
  t.same(exitStatus(0), { metadata: {}, status: 'Success' })
  t.match(exitStatus(7), { status: 'Failure', reason: 'NonZeroExitCode', details: { causes: [{ reason: 'ExitCode', message: '7' }] } })
  t.end()
})

function sessionOf(output: AsyncIterable<OutputChunk>, taken: string[]): StreamSession {
  return {
    output,
    write: async (data) => void taken.push(data.toString()),
    endInput: () => void taken.push('end'),
    resize: async (columns, rows) => void taken.push(`${columns}x${rows}`),
    exitCode: async () => 3,
    close: () => void taken.push('close'),
  }
}

t.test('a session carries input in, output out, and the status at the end', async (t) => {
  const sent: string[] = []
  const taken: string[] = []
  let begin = (): void => {}
  const inputTaken = new Promise<void>((resolve) => (begin = resolve))
  let finish = (): void => {}
  const over = new Promise<void>((resolve) => (finish = resolve))
  const connection: MessageConnection = {
    messages: (async function* messages(): AsyncGenerator<Buffer> {
      yield Buffer.from('\x00hello')
      yield Buffer.from('\x04{"Width":80,"Height":24}')
      yield Buffer.from([255, 0])
      begin()
      await over
    })(),
    send: async (message) => void sent.push(message.toString()),
    close: () => finish(),
  }
  const output = (async function* chunks(): AsyncGenerator<OutputChunk> {
    await inputTaken
    yield { stream: 'stdout', data: Buffer.from('out') }
    yield { stream: 'stderr', data: Buffer.from('err') }
  })()
  await joinSession(connection, 'v5.channel.k8s.io', sessionOf(output, taken))
  t.same(sent.slice(0, 3), ['\x01', '\x01out', '\x02err'])
  t.equal(sent[3]?.[0], '\x03')
  t.match(sent[3], '"message":"3"')
  t.same(taken, ['hello', '80x24', 'end', 'close', 'close'])
})

t.test('a client that leaves ends the session', async (t) => {
  const taken: string[] = []
  let leave = (): void => {}
  const connection: MessageConnection = { messages: (async function* one(): AsyncGenerator<Buffer> {
    yield Buffer.from('\x00hello')
  })(), send: async () => {}, close: () => {} }
  const session = sessionOf((async function* endless(): AsyncGenerator<OutputChunk> {
    yield { stream: 'stdout', data: Buffer.from('out') }
    await new Promise<void>((resolve) => (leave = resolve))
  })(), taken)
  await joinSession(connection, 'v5.channel.k8s.io', { ...session, close: () => leave() })
  t.pass('it ended')
})
