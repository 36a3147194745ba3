import { deflateSync } from 'node:zlib'
import * as fc from 'fast-check'
import t from 'tap'
import { encodeFrame, FrameReader, HeaderCodec, headerDictionary } from './spdy.ts'
import type { SpdyFrame } from './spdy.ts'

const streamId = fc.integer({ min: 1, max: 0x7fff_ffff })
const bytes = fc.uint8Array({ maxLength: 200 }).map((data) => Buffer.from(data))
const frames: fc.Arbitrary<Exclude<SpdyFrame, { kind: 'other' }>> = fc.oneof(
  fc.record({ kind: fc.constant('data' as const), streamId, isLast: fc.boolean(), data: bytes }),
  fc.record({ kind: fc.constant('open' as const), streamId, isLast: fc.boolean(), block: bytes }),
  fc.record({ kind: fc.constant('reply' as const), streamId, block: bytes }),
  fc.record({ kind: fc.constant('reset' as const), streamId }),
  fc.record({ kind: fc.constant('ping' as const), id: fc.integer({ min: 0, max: 0xffff_ffff }) }),
)

t.test('frames come out as they went in, however the bytes are cut', (t) => {
  fc.assert(fc.property(fc.array(frames, { maxLength: 5 }), fc.integer({ min: 1, max: 50 }), (sent, size) => {
    const whole = Buffer.concat(sent.map(encodeFrame))
    const reader = new FrameReader()
    const read: SpdyFrame[] = []
    for (let at = 0; at < whole.length; at += size) read.push(...reader.push(whole.subarray(at, at + size)))
    t.same(read, sent)
  }), { numRuns: 50 })
  t.end()
})

t.test('what is no SPDY is refused', (t) => {
  t.throws(() => new FrameReader().push(Buffer.from([0x80, 2, 0, 1, 0, 0, 0, 0])), /another protocol/)
  t.throws(() => new FrameReader().push(Buffer.from('GET / HTTP/1.1\r\n\r\n').fill(0xff, 4, 8)), /another protocol/)
  t.end()
})

t.test('the dictionary is the one that every SPDY/3 peer has, by its checksum', (t) => {
  t.equal(deflateSync(Buffer.from('x'), { dictionary: headerDictionary }).subarray(2, 6).toString('hex'), 'e3c6a7c2')
  t.end()
})

t.test('header blocks are one stream in each direction', async (t) => {
  const [client, server] = [new HeaderCodec(), new HeaderCodec()]
  for (const headers of [{ streamtype: 'error', port: '80', requestid: '0' }, { streamtype: 'data', port: '80', requestid: '0' }, {}, { long: 'x'.repeat(100_000) }]) {
    t.same(await server.decode(await client.encode(headers)), headers)
  }
  await t.rejects(server.decode(await client.encode({ bomb: 'x'.repeat(8_000_000) })), /too large/)
  client.close()
  server.close()
})
