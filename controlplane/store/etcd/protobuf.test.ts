import * as fc from 'fast-check'
import t from 'tap'
import { methods, watchResponse } from './messages.ts'
import { bool, bytes, int, Layout, many, one, text } from './protobuf.ts'

const inner = new Layout({ number: int(2) })
const outer = new Layout({ key: bytes(1), number: int(3), isSo: bool(4), words: text(5), one: one(6, inner), many: many(300, inner) })

await t.test('messages are as etcd writes them', async (t) => {
  const { request, reply } = methods.Txn
  const key = Buffer.from('a')
  // What etcdctl sends for `txn` with `mod("a") = "5"` and `put a b`.
  t.equal(request.encode({ compare: [{ result: 0, target: 2, key, mod_revision: 5 }], success: [{ request_put: { key, value: Buffer.from('b') } }] }).toString('hex'), '0a09080010021a01613005120812060a0161120162')
  // A header with cluster, member, revision 300 and term, and `succeeded`.
  t.match(reply.decode(Buffer.from('0a090801100218ac0220031001', 'hex')), { header: { revision: 300 }, succeeded: true, responses: [] })
})

await t.test('what is sent is read back, whatever it is', async (t) => {
  const whole = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER })
  const buffer = fc.uint8Array({ maxLength: 300 }).map((array) => Buffer.from(array))
  const message = fc.record({ key: buffer, number: whole, isSo: fc.boolean(), words: fc.string(), one: fc.option(fc.record({ number: whole }), { nil: undefined }), many: fc.array(fc.record({ number: whole })) })
  fc.assert(fc.property(message, (sent) => t.same(outer.decode(outer.encode(sent as never)), sent)), { numRuns: 200 })
  t.end()
})

await t.test('fields that are not known are skipped, and what is broken is refused in our words', async (t) => {
  t.same(new Layout({ key: bytes(1) }).decode(outer.encode({ key: Buffer.from('k'), number: 7, words: 'w', many: [{ number: 1 }] })), { key: Buffer.from('k') })
  fc.assert(fc.property(fc.uint8Array({ maxLength: 60 }), (array) => {
    try {
      watchResponse.decode(Buffer.from(array))
    } catch (error) {
      if (!(error as Error).message.startsWith('Cannot read what etcd sent: ')) throw error
    }
  }), { numRuns: 500 })
  t.throws(() => outer.decode(Buffer.from('18ffffffffffffffffff01', 'hex')), { message: /too large/ })
  t.end()
})
