import { once } from 'node:events'
import { createServer as createHttp2Server } from 'node:http2'
import type { ServerHttp2Stream } from 'node:http2'
import { createServer } from 'node:net'
import type { AddressInfo, Server, Socket } from 'node:net'
import t from 'tap'
import { FakeClock, systemClock } from '../../../api/clock.ts'
import type { Clock } from '../../../api/clock.ts'
import { GrpcEndpoint } from './grpc.ts'

interface Test {
  teardown(callback: () => unknown): void
}

async function endpointOf(t: Test, server: Server, clock: Clock, scheme = 'http'): Promise<GrpcEndpoint> {
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => sockets.add(socket))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const endpoint = new GrpcEndpoint(`${scheme}://127.0.0.1:${(server.address() as AddressInfo).port}`, {}, clock)
  t.teardown(() => {
    endpoint.close()
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return endpoint
}

/** A member that answers as told. */
function answering(answer: (stream: ServerHttp2Stream, body: Buffer) => void): Server {
  const server = createHttp2Server()
  server.on('stream', (stream: ServerHttp2Stream) => {
    const pieces: Buffer[] = []
    stream.on('error', () => stream.destroy())
    stream.on('data', (piece: Buffer) => pieces.push(piece))
    stream.on('end', () => answer(stream, Buffer.concat(pieces)))
  })
  return server
}

function reply(stream: ServerHttp2Stream, pieces: readonly Buffer[], trailers: Record<string, string>): void {
  stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true })
  stream.on('wantTrailers', () => stream.sendTrailers(trailers))
  for (const piece of pieces) stream.write(piece)
  stream.end()
}

const frame = (text: string): Buffer => Buffer.concat([Buffer.of(0, 0, 0, 0, text.length), Buffer.from(text)])

/** A host that lost its plug after it was connected to: it speaks HTTP/2 for a moment, and then says nothing more. */
const silent = (): Server => createServer((socket) => {
  socket.on('error', () => socket.destroy())
  socket.write(Buffer.of(0, 0, 0, 4, 0, 0, 0, 0, 0))
})

await t.test('a call has its answer, or the words of the refusal', async (t) => {
  const endpoint = await endpointOf(t, answering((stream, body) => {
    if (stream.sentHeaders === undefined && body.toString('latin1').endsWith('no')) stream.respond({ ':status': 200, 'grpc-status': '9', 'grpc-message': 'etcdserver: %22no%22' }, { endStream: true })
    else reply(stream, [frame(`heard ${body.subarray(5).toString()}`)], { 'grpc-status': '0' })
  }), systemClock)
  t.equal((await endpoint.call('/a/b', Buffer.from('yes'), 5000)).toString(), 'heard yes')
  await t.rejects(endpoint.call('/a/b', Buffer.from('no'), 5000), { code: 9, message: 'etcdserver: "no"' })
  await t.rejects((await endpointOf(t, answering((stream) => reply(stream, [], { 'grpc-status': '0' })), systemClock)).call('/a/b', Buffer.alloc(0), 5000), { code: 14, message: /answered nothing/ })
  await t.rejects((await endpointOf(t, answering((stream) => stream.respond({ ':status': 502 }, { endStream: true })), systemClock)).call('/a/b', Buffer.alloc(0), 5000), { code: 14, message: /HTTP status 502/ })
  await t.rejects(new GrpcEndpoint('http://127.0.0.1:1', {}, systemClock).call('/a/b', Buffer.alloc(0), 5000), { code: 14, message: /ECONNREFUSED/ })
})

await t.test('messages are put together whatever the pieces they come in', async (t) => {
  const whole = Buffer.concat([frame('one'), frame(''), frame('three'), frame('x'.repeat(200))])
  for (const size of [1, 3, 7, 100, whole.length]) {
    const endpoint = await endpointOf(t, answering((stream) => reply(stream, Array.from({ length: Math.ceil(whole.length / size) }, (_, i) => whole.subarray(i * size, (i + 1) * size)), { 'grpc-status': '0' })), systemClock)
    const messages: string[] = []
    const error = await new Promise((resolve) => {
      const stream = endpoint.stream('/a/b', { onMessage: (message) => messages.push(message.toString()), onEnd: resolve })
      stream.write(Buffer.from('begin'))
      stream.end()
    })
    t.equal(error, undefined)
    t.same(messages.map(({ length }) => length), [3, 0, 5, 200], `in pieces of ${size}`)
  }
})

await t.test('a member that says nothing more is given up: calls after their time, streams after a ping', async (t) => {
  const clock = new FakeClock()
  const endpoint = await endpointOf(t, silent(), clock)
  const ended = new Promise((resolve) => void endpoint.stream('/watch', { onMessage: () => undefined, onEnd: resolve }))
  const called = endpoint.call('/a/b', Buffer.alloc(0), 5000)
  called.catch(() => undefined)
  // Until it is connected, and the first ping is due.
  while (clock.waiting < 2) await new Promise((resolve) => void setTimeout(resolve, 5))
  await new Promise((resolve) => void setTimeout(resolve, 50))
  await clock.advance(5000)
  await t.rejects(called, { code: 4, message: /no answer from .* within 5 s/ })
  await clock.advance(8100)
  t.match(await ended, { code: 14, message: /does not answer|ended the call|canceled|cancelled/i })
})

await t.test('one that takes the connection and is never heard of is not waited for long', async (t) => {
  const clock = new FakeClock()
  const endpoint = await endpointOf(t, createServer((socket) => void socket.on('error', () => socket.destroy())), clock, 'https')
  const called = endpoint.call('/a/b', Buffer.alloc(0), 60_000)
  const refused = t.rejects(called, { code: 14 })
  await new Promise((resolve) => void setTimeout(resolve, 50))
  await clock.advance(3100)
  await refused
})
