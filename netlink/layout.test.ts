import assert from 'node:assert/strict'
import * as fc from 'fast-check'
import t from 'tap'
import { canonicalAddress, formatAddress, formatMac, parseAddress, parseMac, parsePrefix } from './addresses.ts'
import { LayoutError } from './errors.ts'
import {
  NLA_F_NESTED, Writer, address, arrayOf, attributes, be16, be32, be64, byteArray, bytes, codec, cstring, flag, i32, ipv4, ipv6, mac, message, nested,
  string, struct, u16, u32, u64, u8,
} from './layout.ts'
import type { Codec, Decoded } from './layout.ts'

const header = struct({ family: u8, pad: u8, type: u16, index: i32, flags: u32, cookie: u64, port: be16, length: be32, total: be64, key: byteArray(3), source: ipv4, six: ipv6 })

type Tree = { readonly name?: string | undefined; readonly children?: readonly Tree[] | undefined }
const tree: Codec<Tree> = nested<Tree, Tree>(() => attributes({ name: [1, cstring], children: [2, arrayOf(tree)] }))

const inner = attributes({ kind: [1, cstring], data: [2, bytes] })
const table = attributes({
  name: [3, cstring], label: [4, string], mtu: [5, u32], present: [6, flag], info: [7, inner], names: [8, arrayOf(cstring, { type: 53 })],
  local: [9, address], hardware: [10, mac], port: [11, be16], count: [12, u64],
})
const whole = message(struct({ family: u8 }), table)

const text = fc.string({ unit: 'grapheme', maxLength: 20 }).filter((value) => !value.includes('\0') && value.isWellFormed())
const octets = (length: number): fc.Arbitrary<Buffer> => fc.uint8Array({ minLength: length, maxLength: length }).map((value) => Buffer.from(value))
const ip = fc.oneof(octets(4), octets(16)).map((value) => formatAddress(value))
const uint32 = fc.integer({ min: 0, max: 0xffffffff })

const headers = fc.record({
  family: fc.nat(255), pad: fc.nat(255), type: fc.nat(65535), index: fc.integer(), flags: uint32, cookie: fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
  port: fc.nat(65535), length: uint32, total: fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }), key: octets(3),
  source: octets(4).map((value) => formatAddress(value)), six: octets(16).map((value) => formatAddress(value)),
}, { noNullPrototype: true })

const tables = fc.record(
  {
    name: text, label: text, mtu: uint32, present: fc.constant(true), port: fc.nat(65535), count: fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
    info: fc.record({ kind: text, data: fc.uint8Array({ maxLength: 30 }).map((value) => Buffer.from(value)) }, { requiredKeys: [], noNullPrototype: true }),
    names: fc.array(text, { maxLength: 4 }),
    local: ip,
    hardware: octets(6).map((value) => formatMac(value)),
    unknown: fc.array(fc.record({ type: fc.integer({ min: 100, max: 0x3fff }), data: fc.uint8Array({ maxLength: 9 }).map((value) => Buffer.from(value)) }, { noNullPrototype: true }), { minLength: 1, maxLength: 3 }),
  },
  { requiredKeys: [], noNullPrototype: true },
)

t.test('what a structure writes it reads back', async () => {
  fc.assert(fc.property(headers, (value) => {
    const encoded = header.encode(value)
    assert.equal(encoded.length, header.size)
    assert.deepEqual(header.decode(encoded), value)
  }), { numRuns: 200 })
  t.pass()
})

t.test('what a table of attributes writes it reads back, unknown ones too', async (t) => {
  fc.assert(fc.property(tables, fc.nat(255), (value, family) => {
    const encoded = whole.encode({ header: { family }, attributes: value })
    assert.equal(encoded.length % 4, 0)
    assert.deepEqual(whole.decode(encoded), { header: { family }, attributes: value })
  }), { numRuns: 300 })
  t.pass()
})

t.test('tables that hold themselves are read back', async (t) => {
  const value: Tree = { name: 'a', children: [{ name: 'b', children: [{}, { name: 'c' }] }] }
  t.strictSame(tree.decode(tree.encode(value)), value)
})

t.test('any bytes are read or refused with a layout error', async (t) => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 64 }), (data) => {
    for (const layout of [header, whole, tree, table]) {
      try {
        layout.decode(data)
      } catch (error) {
        if (!(error instanceof LayoutError)) throw error
      }
    }
  }), { numRuns: 3000 })
  t.pass()
})

t.test('attributes lie as the kernel expects them', async (t) => {
  const encoded = table.encode({ name: 'lo', mtu: 1500, info: { kind: 'x' }, present: false })
  t.equal(encoded.toString('hex'), [
    '0700', '0300', '6c6f0000', // "lo", NUL and one byte of padding
    '0800', '0500', 'dc050000',
    '0c00', '0780', '0600', '0100', '7800', '0000', // NLA_F_NESTED is set, a length leaves out only its own padding
  ].join(''))
  t.equal(NLA_F_NESTED, 0x8000)
})

t.test('flags on types do not hide an attribute', async (t) => {
  t.strictSame(attributes({ port: [1, be16] }).decode(Buffer.from('060001400035', 'hex')), { port: 53 })
})

t.test('an attribute of 64 KiB and more is refused', async (t) => {
  t.throws(() => attributes({ data: [1, bytes] }).encode({ data: new Uint8Array(65532) }), { message: 'Cannot encode attribute 1: 65536 bytes, more than 65535' })
})

t.test('values that do not fit are refused by name', async (t) => {
  t.throws(() => u16.encode(70_000), LayoutError)
  t.throws(() => ipv4.encode('fd00::1'), LayoutError)
  t.throws(() => cstring.encode('a\0b'), LayoutError)
  t.throws(() => byteArray(2).encode(new Uint8Array(3)), LayoutError)
  t.throws(() => u32.decode(new Uint8Array(3)), { message: 'Cannot decode value: 3 bytes, not 4' })
})

t.test('a layout of one\'s own takes part', async (t) => {
  const doubled = codec<number>({ read: (data, start) => data.readUInt8(start) / 2, write: (out, value) => void out.buffer.writeUInt8(value * 2, out.reserve(1)) })
  const own = attributes({ half: [1, doubled] })
  const value: Decoded<typeof own> = own.decode(own.encode({ half: 21 }))
  t.equal(value.half, 21)
})

t.test('a writer grows and stays zero where nothing was written', async (t) => {
  const out = new Writer(4)
  out.append(Buffer.from([1, 2, 3, 4, 5]))
  out.reserve(3)
  t.equal(out.bytes().toString('hex'), '0102030405000000')
})

t.test('addresses are written as RFC 5952 says and read leniently', async (t) => {
  for (const [given, canonical] of [
    ['0:0:0:0:0:0:0:0', '::'], ['2001:DB8::0001', '2001:db8::1'], ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'], ['2001:0:0:1:0:0:0:1', '2001:0:0:1::1'],
    ['::ffff:10.0.0.1', '::ffff:10.0.0.1'], ['1::', '1::'], ['fe80::1', 'fe80::1'], ['10.0.0.1', '10.0.0.1'],
  ] as const) t.equal(canonicalAddress(given), canonical)
  for (const wrong of ['', '1.2.3', '1.2.3.256', '01.2.3.4', '1.2.3.4.5', ':::', '1::2::3', '1:2:3:4:5:6:7', '1:2:3:4:5:6:7:8:9', '12345::', 'g::', '1:2:3:4:5:6:7:8::']) {
    t.throws(() => parseAddress(wrong), LayoutError, wrong)
  }
  fc.assert(fc.property(fc.oneof(octets(4), octets(16)), (value) => Buffer.from(parseAddress(formatAddress(value))).equals(value)))
})

t.test('prefixes and link addresses are checked', async (t) => {
  t.strictSame(parsePrefix('10.0.0.1'), { address: '10.0.0.1', prefixLength: 32 })
  t.strictSame(parsePrefix('fd00::/56'), { address: 'fd00::', prefixLength: 56 })
  t.throws(() => parsePrefix('10.0.0.0/33'), LayoutError)
  t.throws(() => parsePrefix('10.0.0.0/'), LayoutError)
  t.throws(() => parseMac('02:00'.repeat(2)), LayoutError)
  t.equal(formatMac(parseMac('02:00:0a:0B:0c:0d')), '02:00:0a:0b:0c:0d')
})
