import { readFileSync } from 'node:fs'
import { assert, nat, property, uint8Array } from 'fast-check'
import t from 'tap'
import { LayoutError } from './errors.ts'
import { encodeChange, readDevice, wireguardMessage } from './wireguard.ts'
import type { WireguardPeerChange } from './wireguard.ts'

/** What wg(8) 1.0.20210914 sends for the command in the file's first line: looking the family up, then the change. Whole messages, with their headers. */
const [lookUp = Buffer.alloc(0), change = Buffer.alloc(0)] = readFileSync(new URL('test-support/captures/wireguard.txt', import.meta.url), 'utf8')
  .split('\n').filter((line) => line !== '' && !line.startsWith('#')).map((line) => Buffer.from(line, 'hex'))
const headerBytes = 16
const key = (byte: number): string => Buffer.alloc(32, byte).toString('base64')

t.test('what wg sends is read from a capture', async (t) => {
  t.match(lookUp.toString('latin1'), /wireguard\0/)
  const { header, attributes } = wireguardMessage.decode(change.subarray(headerBytes))
  t.match(header, { command: 1, version: 1 })
  t.match(attributes, {
    name: 'fairway-wg', privateKey: key(0x11), listenPort: 51_820,
    peers: [
      {
        publicKey: key(0x22), flags: 2, endpoint: { address: '10.90.0.2', port: 51_820 }, keepaliveSeconds: 25,
        allowedIPs: [{ family: 2, address: '10.244.2.0', prefixLength: 24 }, { family: 10, address: 'fd00:10:244:2::', prefixLength: 64 }],
      },
      { publicKey: key(0x33), flags: 1 },
      { publicKey: key(0x44), flags: 2, endpoint: { address: 'fd00:90::3', port: 51_820 }, allowedIPs: [{ family: 2, address: '10.244.3.0', prefixLength: 24 }] },
    ],
  })
  t.equal(attributes.unknown, undefined)
})

t.test('the same change is sent as wg sends it, but for the keepalive that nobody asked for', async (t) => {
  const [ours = Buffer.alloc(0), ...more] = encodeChange('fairway-wg', {
    privateKey: key(0x11), listenPort: 51_820,
    peers: [
      { publicKey: key(0x22), endpoint: { address: '10.90.0.2', port: 51_820 }, allowedIPs: ['10.244.2.0/24', 'fd00:10:244:2::/64'] },
      { publicKey: key(0x33), remove: true },
      { publicKey: key(0x44), endpoint: { address: 'fd00:90::3', port: 51_820 }, allowedIPs: ['10.244.3.0/24'] },
    ],
  })
  t.strictSame(more, [])
  const [theirs, mine] = [change.subarray(headerBytes), ours].map((bytes) => wireguardMessage.decode(bytes))
  const [first, ...rest] = theirs?.attributes.peers ?? []
  const { keepaliveSeconds, ...asked } = first ?? {}
  t.equal(keepaliveSeconds, 25)
  t.strictSame(mine, { ...theirs, attributes: { ...theirs?.attributes, peers: [asked, ...rest] } })
  // an attribute of two bytes, with its header and padding
  t.equal(ours.length, change.length - headerBytes - 8)
})

t.test('a capture is written back without loss', async (t) => {
  const decoded = wireguardMessage.decode(change.subarray(headerBytes))
  const again = wireguardMessage.encode(decoded)
  t.strictSame(wireguardMessage.decode(again), decoded)
  t.equal(again.length, change.length - headerBytes)
})

/** The answer to WG_CMD_GET_DEVICE, as drivers/net/wireguard/netlink.c writes it: the first message has the device, a peer that did not fit goes on in the next. */
const attribute = (type: number, value: Buffer): Buffer => {
  const header = Buffer.alloc(4)
  header.writeUInt16LE(4 + value.length, 0)
  header.writeUInt16LE(type, 2)
  return Buffer.concat([header, value, Buffer.alloc((4 - (value.length & 3)) & 3)])
}
const nest = 0x8000
const little = (size: number, value: number): Buffer => {
  const bytes = Buffer.alloc(size)
  bytes.writeUIntLE(value, 0, Math.min(size, 6))
  return bytes
}
const range = (family: number, address: number[], length: number): Buffer => (
  attribute(nest, Buffer.concat([attribute(3, Buffer.from([length])), attribute(1, little(2, family)), attribute(2, Buffer.from(address))])))
const dump = (...attributes: readonly Buffer[]): ReturnType<typeof wireguardMessage.decode> => wireguardMessage.decode(Buffer.concat([Buffer.from([0, 1, 0, 0]), ...attributes]))

t.test("a device is read from the messages of the kernel's dump", async (t) => {
  const peer = (...more: readonly Buffer[]): Buffer => attribute(nest, Buffer.concat([attribute(1, Buffer.alloc(32, 0x22)), ...more]))
  const device = readDevice([
    dump(
      attribute(6, little(2, 51_820)), attribute(7, little(4, 0)), attribute(1, little(4, 7)), attribute(2, Buffer.from('fairway-wg\0')),
      attribute(3, Buffer.alloc(32, 0x11)), attribute(4, Buffer.alloc(32, 0x12)),
      attribute(8 | nest, peer(
        attribute(2, Buffer.alloc(32)), attribute(6, Buffer.concat([little(8, 1_700_000_000), little(8, 5)])), attribute(5, little(2, 0)),
        attribute(8, little(8, 100)), attribute(7, little(8, 4_294_967_296)), attribute(10, little(4, 1)),
        attribute(4, Buffer.from([2, 0, 0xca, 0x6c, 10, 90, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0])), attribute(9 | nest, range(2, [10, 244, 2, 0], 24)),
      )),
    ),
    dump(attribute(8 | nest, peer(attribute(9 | nest, range(10, [0xfd, 0, 0, 0x10, 2, 0x44, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0], 64))))),
  ])
  t.strictSame(device, {
    privateKey: key(0x11), listenPort: 51_820,
    peers: [{
      publicKey: key(0x22), endpoint: { address: '10.90.0.2', port: 51_820 }, allowedIPs: ['10.244.2.0/24', 'fd00:10:244:2::/64'],
      lastHandshakeSeconds: 1_700_000_000, receivedBytes: 4_294_967_296n, sentBytes: 100n,
    }],
  })
})

t.test('many peers are sent in several messages, none of which is too long for an attribute', async (t) => {
  const peers: WireguardPeerChange[] = Array.from({ length: 1000 }, (_, n) => {
    const publicKey = Buffer.alloc(32)
    publicKey.writeUInt16BE(n, 0)
    return { publicKey: publicKey.toString('base64'), endpoint: { address: 'fd00:90::3', port: 51_820 }, allowedIPs: [`10.${n >> 8}.${n & 255}.0/24`, `fd00:10:244:${n.toString(16)}::/64`] }
  })
  const messages = encodeChange('fairway-wg', { privateKey: key(1), listenPort: 1, peers })
  t.equal(messages.length, 8)
  t.ok(messages.every(({ length }) => length < 65_536))
  const decoded = messages.map((one) => wireguardMessage.decode(one).attributes)
  t.strictSame(decoded.flatMap((one) => one.peers ?? []).map(({ publicKey }) => publicKey), peers.map(({ publicKey }) => publicKey))
  t.strictSame(decoded.map(({ privateKey, name }) => [privateKey, name]), decoded.map((_, index) => [index === 0 ? key(1) : undefined, 'fairway-wg']), 'the key in the first, the name in all')
})

t.test('what is no device is refused with words, never with another error', async () => {
  assert(property(uint8Array({ maxLength: 300 }), nat(3), (noise, cut) => {
    for (const bytes of [Buffer.from(noise), Buffer.concat([change.subarray(headerBytes, headerBytes + 40 * cut), noise])]) {
      try {
        readDevice([wireguardMessage.decode(bytes)])
      } catch (error) {
        if (!(error instanceof LayoutError)) throw error
      }
    }
  }))
})
