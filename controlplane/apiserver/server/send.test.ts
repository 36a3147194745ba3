// Answers to clients that take them slowly, or not at all.
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { ServerResponse } from 'node:http'
import { connect, createServer as createHttp2Server } from 'node:http2'
import type { Http2ServerResponse } from 'node:http2'
import { connect as connectTcp } from 'node:net'
import type { AddressInfo, Server } from 'node:net'
import { randomBytes } from 'node:crypto'
import t from 'tap'
import type { Test } from 'tap'
import { FakeClock } from '../../../api/clock.ts'
import { sendWhole } from './send.ts'

const piece = randomBytes(64 * 1024)
const piecesMax = 1000

/** A body of 64 MB that counts how much of it was made. */
function* body(made: { pieces: number }): Generator<Uint8Array> {
  for (; made.pieces < piecesMax; made.pieces++) yield piece
}

async function serve(t: Test, make: (respond: (_request: unknown, response: ServerResponse | Http2ServerResponse) => void) => Server, encoding: string): Promise<{ port: number; clock: FakeClock; made: { pieces: number }; over: Promise<void> }> {
  const clock = new FakeClock()
  const made = { pieces: 0 }
  const { promise: over, resolve } = Promise.withResolvers<void>()
  const server = make((_request, response) => void sendWhole({ status: 200, headers: {}, body: body(made) }, response, { isHead: false, acceptEncoding: encoding, clock }).then(resolve))
  await new Promise<void>((listening) => void server.listen(0, '127.0.0.1', listening))
  t.teardown(() => void server.close())
  return { port: (server.address() as AddressInfo).port, clock, made, over }
}

/** Waits until nothing more is made. */
async function settled(made: { pieces: number }): Promise<number> {
  for (let before = -1; before !== made.pieces; ) {
    before = made.pieces
    await new Promise((resolve) => void setTimeout(resolve, 50))
  }
  return made.pieces
}

for (const encoding of ['identity', 'gzip']) {
  t.test(`a client that takes nothing (${encoding}) holds little, and is given up after a minute`, async (t) => {
    const { port, clock, made, over } = await serve(t, createServer, encoding)
    const socket = connectTcp(port, '127.0.0.1').pause()
    t.teardown(() => void socket.destroy())
    socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n')
    while (made.pieces === 0) await new Promise((resolve) => void setTimeout(resolve, 5))
    t.ok((await settled(made)) < piecesMax / 2, `${made.pieces} pieces were made`)
    await clock.advance(60_000)
    await over
    t.ok(made.pieces < piecesMax)
  })
}

t.test('a client of HTTP/2 that takes nothing is given up too, and its connection goes on', async (t) => {
  const { port, clock, made, over } = await serve(t, createHttp2Server, 'identity')
  const session = connect(`http://127.0.0.1:${port}`)
  t.teardown(() => session.destroy())
  const stream = session.request({ ':path': '/' }).pause()
  stream.on('error', () => undefined)
  while (made.pieces === 0) await new Promise((resolve) => void setTimeout(resolve, 5))
  t.ok((await settled(made)) < piecesMax / 2, `${made.pieces} pieces were made`)
  await clock.advance(60_000)
  await over
  t.notOk(session.destroyed)
})

t.test('a client that takes it slowly gets all of it', async (t) => {
  const { port, made, over } = await serve(t, createServer, 'identity')
  const socket = connectTcp(port, '127.0.0.1')
  socket.write('GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
  let bytes = 0
  socket.on('data', (data: Buffer) => {
    bytes += data.length
    socket.pause()
    setImmediate(() => void socket.resume())
  })
  await once(socket, 'close')
  await over
  t.equal(made.pieces, piecesMax)
  t.ok(bytes > piecesMax * piece.length, `${bytes} bytes`)
})
