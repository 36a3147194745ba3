import t from 'tap'
import { SystemCallError } from './errors.ts'
import {
  AF_INET, AF_UNIX, SOCK_DGRAM, SOCK_NONBLOCK, SOCK_SEQPACKET, accept, addressOf, bind, close, connectTo, listen, receive, receiveDescriptors, receiveMany, sendDescriptors, sendMany, socket, socketName, waitReadable,
  watchReadable,
} from './ffi.ts'

const MMSGHDR_BYTES = 64

/** An array of struct mmsghdr over one buffer and one sockaddr_in each: what recvmmsg and sendmmsg take. */
function makeBatch(payloads: readonly Buffer[], addresses: readonly Buffer[]): { readonly headers: Buffer; readonly keep: readonly Buffer[] } {
  const headers = Buffer.alloc(MMSGHDR_BYTES * payloads.length)
  const keep = payloads.map((payload, i) => {
    const iovec = Buffer.alloc(16)
    iovec.writeBigUInt64LE(addressOf(payload), 0)
    iovec.writeBigUInt64LE(BigInt(payload.length), 8)
    const address = addresses[i]
    if (address === undefined) throw new TypeError('Cannot make batch: an address is missing')
    const at = i * MMSGHDR_BYTES
    headers.writeBigUInt64LE(addressOf(address), at)
    headers.writeUInt32LE(address.length, at + 8)
    headers.writeBigUInt64LE(addressOf(iovec), at + 16)
    headers.writeBigUInt64LE(1n, at + 24)
    return iovec
  })
  return { headers, keep: [...keep, ...payloads, ...addresses] }
}

function openUdp(): { readonly fd: number; readonly name: Buffer } {
  const fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0)
  const address = Buffer.alloc(16)
  address.writeUInt16LE(AF_INET)
  address.set([127, 0, 0, 1], 4)
  bind(fd, address)
  return { fd, name: socketName(fd) }
}

t.test('datagrams go and come in batches, and the event loop tells when', async (t) => {
  const [from, to] = [openUdp(), openUdp()]
  const readable = Promise.withResolvers<void>()
  const watch = watchReadable(to.fd, () => readable.resolve())
  const outgoing = makeBatch(['one', 'two', 'three'].map((text) => Buffer.from(text)), [to.name, to.name, to.name])
  t.equal(sendMany(from.fd, outgoing.headers, 3), 3)
  await readable.promise
  watch.close()
  watch.close()
  const [payloads, addresses] = [0, 1].map(() => Array.from({ length: 8 }, () => Buffer.alloc(16))) as [Buffer[], Buffer[]]
  const incoming = makeBatch(payloads, addresses)
  t.equal(receiveMany(to.fd, incoming.headers, 8), 3)
  const texts = payloads.slice(0, 3).map((payload, i) => payload.toString('utf8', 0, incoming.headers.readUInt32LE(i * MMSGHDR_BYTES + 56)))
  t.strictSame(texts, ['one', 'two', 'three'])
  t.equal(addresses[0]?.readUInt16BE(2), from.name.readUInt16BE(2))
  t.equal(receiveMany(to.fd, incoming.headers, 8), 0)
  t.equal(receive(to.fd, Buffer.alloc(4)), undefined)
  t.equal(waitReadable(to.fd, 1), false)
  t.equal(outgoing.keep.length + incoming.keep.length, 9 + 24)
  close(from.fd)
  close(to.fd)
})

t.test('a failed call throws what was tried and the errno\'s name', async (t) => {
  t.throws(() => close(-1), { name: 'SystemCallError', message: 'Cannot close descriptor -1: EBADF', code: 'EBADF', errno: 9 })
  t.throws(() => socket(9999, 0, 0), SystemCallError)
})

t.test('an open socket is handed on, and what waits in it is still there', (t) => {
  const name = Buffer.concat([Buffer.from([AF_UNIX, 0, 0]), Buffer.from(`fairway-ffi-test-${process.pid}`)])
  const listening = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0)
  bind(listening, name)
  listen(listening, 1)
  t.equal(accept(listening), undefined)
  const taker = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0)
  connectTo(taker, name, 'the giver')
  const giver = accept(listening) ?? -1
  t.equal(receiveDescriptors(taker, 100, 4), undefined)
  const [from, to] = [openUdp(), openUdp()]
  sendMany(from.fd, makeBatch([Buffer.from('waits')], [to.name]).headers, 1)
  sendDescriptors(giver, Buffer.from('here'), [to.fd, from.fd])
  close(to.fd)
  const { data, descriptors } = receiveDescriptors(taker, 100, 4) ?? { data: Buffer.alloc(0), descriptors: [] }
  t.equal(data.toString(), 'here')
  t.equal(descriptors.length, 2)
  const received = Buffer.alloc(100)
  t.equal(received.toString('latin1', 0, receive(descriptors[0] ?? -1, received)), 'waits')
  close(giver)
  t.equal(receiveDescriptors(taker, 100, 4)?.data.length, 0)
  for (const fd of [taker, listening, from.fd, ...descriptors]) close(fd)
  t.end()
})
