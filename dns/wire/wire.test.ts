import * as fc from 'fast-check'
import packet from 'dns-packet'
import t from 'tap'
import { layoutOf } from './layouts.ts'
import type { Field, FieldKind } from './layouts.ts'
import {
  CLASS, TYPE, WireError, addressBytes, addressOfReverse, addressRecord, addressText, canonical, cnameRecord, decodeMessage, encodeMessage, isWithin, labelsOf, message,
  nameOf, ptrRecord, reverseName, soaRecord, srvRecord, txtRecord, typeName, typeNumber,
} from './index.ts'
import type { Message, ResourceRecord } from './index.ts'

const label = fc.uint8Array({ minLength: 1, maxLength: 12 }).map((bytes) => Buffer.from(bytes).toString('latin1'))
const name = fc.array(label, { maxLength: 6 }).map(nameOf)
const bytes = (min: number, max: number): fc.Arbitrary<Buffer> => fc.uint8Array({ minLength: min, maxLength: max }).map((array) => Buffer.from(array))
const u16 = fc.nat({ max: 0xffff })

const fields: Record<FieldKind, fc.Arbitrary<Field>> = {
  u8: fc.nat({ max: 0xff }), u16, u32: fc.nat({ max: 0xffffffff }), ipv4: bytes(4, 4), ipv6: bytes(16, 16), name, plainName: name,
  string: bytes(0, 40), strings: fc.array(bytes(0, 40), { minLength: 1, maxLength: 4 }), rest: bytes(0, 60),
}
const recordTypes = Object.values(TYPE).filter((type) => type !== TYPE.OPT)
const record: fc.Arbitrary<ResourceRecord> = fc.constantFrom(...recordTypes, 4711).chain((type) => fc.record({
  name, type: fc.constant(type), class: u16, ttl: fc.nat({ max: 0x7fffffff }), data: fc.tuple(...layoutOf(type).map((kind) => fields[kind])),
}))
const flag = fc.boolean()
const withEdns = fc.record({
  udpPayloadSize: u16, version: fc.nat({ max: 255 }), dnssecOk: flag, options: fc.array(fc.record({ code: u16, data: bytes(0, 20) }), { maxLength: 3 }),
})
const anyMessage: fc.Arbitrary<Message> = fc.record({
  id: u16, response: flag, opcode: fc.nat({ max: 15 }), authoritative: flag, truncated: flag, recursionDesired: flag, recursionAvailable: flag, authenticData: flag,
  checkingDisabled: flag, rcode: fc.nat({ max: 15 }), questions: fc.array(fc.record({ name, type: u16, class: u16 }), { maxLength: 2 }),
  answers: fc.array(record, { maxLength: 6 }), authorities: fc.array(record, { maxLength: 3 }), additionals: fc.array(record, { maxLength: 3 }),
}).chain((plain) => fc.option(withEdns, { nil: undefined }).map((edns) => (edns === undefined ? plain : { ...plain, edns })))

/** Names compare without case, and compression may lend one the case of another. */
function folded(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value, (_key, item: unknown) => (typeof item === 'string' ? canonical(item) : item)))
}

t.test('what is encoded decodes to the same message', (t) => {
  fc.assert(fc.property(anyMessage, (original) => {
    // Truncated messages lose their additional records by design.
    const sent = original.truncated ? { ...original, additionals: [] } : original
    t.same(folded(decodeMessage(encodeMessage(sent))), folded(sent))
  }), { numRuns: 300 })
  t.end()
})

t.test('decoding throws nothing but its own error, for any bytes', (t) => {
  fc.assert(fc.property(bytes(0, 300), (input) => onlyWireErrors(input)), { numRuns: 3000 })
  t.end()
})

t.test('decoding throws nothing but its own error, for damaged messages', (t) => {
  fc.assert(fc.property(anyMessage, fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 })), { maxLength: 8 }), fc.nat(), (original, damage, cut) => {
    const encoded = encodeMessage(original)
    for (const [at, value] of damage) encoded[at % encoded.length] = value
    onlyWireErrors(encoded)
    onlyWireErrors(encoded.subarray(0, cut % encoded.length))
  }), { numRuns: 600 })
  t.end()
})

function onlyWireErrors(input: Uint8Array): void {
  try {
    decodeMessage(input)
  } catch (error) {
    if (!(error instanceof WireError)) throw error
  }
}

const ip = (text: string): Uint8Array => addressBytes(text) ?? new Uint8Array()
const sample = message({
  id: 7, response: true, authoritative: true, questions: [{ name: 'Web.Default.svc.cluster.local.', type: TYPE.A, class: CLASS.IN }],
  answers: [
    addressRecord('web.default.svc.cluster.local.', 5, ip('10.96.0.1')), addressRecord('web.default.svc.cluster.local.', 5, ip('fd00::1')),
    srvRecord('_http._tcp.web.default.svc.cluster.local.', 5, { priority: 0, weight: 50, port: 80, target: 'web.default.svc.cluster.local.' }),
    cnameRecord('ext.default.svc.cluster.local.', 5, 'example.com.'), ptrRecord('1.0.96.10.in-addr.arpa.', 5, 'web.default.svc.cluster.local.'),
    txtRecord('dns-version.cluster.local.', 5, '1.1.0'),
  ],
  authorities: [soaRecord('cluster.local.', 5, { server: 'ns.dns.cluster.local.', contact: 'hostmaster.cluster.local.', serial: 9, minimumSeconds: 5 })],
})

t.test('dns-packet reads what is written here', (t) => {
  const read = packet.decode(encodeMessage(sample))
  t.equal(read.questions?.[0]?.name, 'Web.Default.svc.cluster.local')
  t.match(read.answers, [
    { type: 'A', data: '10.96.0.1' }, { type: 'AAAA', data: 'fd00::1' }, { type: 'SRV', data: { weight: 50, port: 80, target: 'web.default.svc.cluster.local' } },
    { type: 'CNAME', data: 'example.com' }, { type: 'PTR', data: 'Web.Default.svc.cluster.local' }, { type: 'TXT', data: [Buffer.from('1.1.0')] },
  ])
  t.match(read.authorities, [{ type: 'SOA', data: { mname: 'ns.dns.cluster.local', serial: 9, minimum: 5 } }])
  t.end()
})

t.test('what dns-packet writes is read here', (t) => {
  const host = fc.stringMatching(/^[a-z0-9]{1,10}(\.[a-z0-9-]{1,10}){0,3}$/)
  const answer = fc.oneof(
    fc.tuple(host, fc.ipV4()).map(([name, data]) => ({ type: 'A' as const, name, ttl: 3, data })),
    fc.tuple(host, host).map(([name, data]) => ({ type: 'CNAME' as const, name, ttl: 3, data })),
    fc.tuple(host, host, u16).map(([name, target, port]) => ({ type: 'SRV' as const, name, ttl: 3, data: { port, target, priority: 1, weight: 2 } })),
    fc.tuple(host, host, u16).map(([name, exchange, preference]) => ({ type: 'MX' as const, name, ttl: 3, data: { exchange, preference } })),
  )
  fc.assert(fc.property(fc.array(answer, { maxLength: 8 }), (answers) => {
    const read = decodeMessage(packet.encode({ type: 'response', id: 5, questions: [{ name: 'q', type: 'A' }], answers }))
    t.equal(read.answers.length, answers.length)
    for (const [index, { name, type, data }] of answers.entries()) {
      const got = read.answers[index]
      t.equal(got?.name, `${name}.`)
      t.equal(typeName(got?.type ?? 0), type)
      if (type === 'A') t.equal(addressText(got?.data[0] as Uint8Array), data)
      if (type === 'SRV') t.same(got?.data, [1, 2, data.port, `${data.target}.`])
    }
  }), { numRuns: 200 })
  t.end()
})

t.test('a name is written once and pointed to afterwards', (t) => {
  const one = encodeMessage({ ...sample, answers: sample.answers.slice(0, 1), authorities: [] })
  t.equal(one.length, 12 + 31 + 4 + 16)
  t.end()
})

t.test('pointers that loop, lead forward or out of the message are refused', (t) => {
  const header = Buffer.from('000101000001000000000000', 'hex')
  for (const name of ['c00c', 'c00e', 'ffff', '0161c00c', 'c0', '4061', '8000', '3f61']) {
    t.throws(() => decodeMessage(Buffer.concat([header, Buffer.from(name, 'hex'), Buffer.from('00010001', 'hex')])), WireError, name)
  }
  t.throws(() => decodeMessage(Buffer.alloc(3)), WireError)
  t.end()
})

t.test('a message is cut at whole records, keeps OPT, and says so', (t) => {
  const answers = Array.from({ length: 100 }, (_, index) => addressRecord('web.default.svc.cluster.local.', 5, Uint8Array.of(10, 0, 0, index)))
  const edns = { udpPayloadSize: 1232, version: 0, dnssecOk: false, options: [] }
  const cut = encodeMessage({ ...sample, answers, edns }, { bytesMax: 512 })
  const read = decodeMessage(cut)
  t.ok(cut.length <= 512 && cut.length > 480)
  t.equal(read.truncated, true)
  t.equal(read.authorities.length, 0)
  t.same(read.edns, edns)
  const additional = encodeMessage({ ...sample, answers: [], authorities: [], additionals: answers, edns }, { bytesMax: 512 })
  t.equal(decodeMessage(additional).truncated, false, 'additional records go without TC')
  t.throws(() => encodeMessage(sample, { bytesMax: 20 }), WireError)
  t.end()
})

t.test('what has no wire form is refused', (t) => {
  for (const name of ['a..b.', `${'a'.repeat(64)}.`, 'abcdefg.'.repeat(32), 'a\\', '\\999.', 'ü€.']) t.throws(() => labelsOf(name), WireError, name)
  t.throws(() => encodeMessage(message({ rcode: 16 })), WireError)
  t.throws(() => encodeMessage(message({ answers: [{ name: '.', type: TYPE.A, class: 1, ttl: 1, data: ['x'] }] })), WireError)
  t.end()
})

t.test('names compare by ASCII letters and whole labels', (t) => {
  t.equal(canonical('A.B'), 'a.b.')
  t.ok(isWithin('a.cluster.local.', 'cluster.local.'))
  t.notOk(isWithin('acluster.local.', 'cluster.local.'))
  t.notOk(isWithin('a\\.cluster.local.', 'cluster.local.'))
  t.ok(isWithin('x.', '.'))
  t.same(labelsOf('a\\.b\\032c.d.'), ['a.b c', 'd'])
  t.end()
})

t.test('addresses go to text, bytes and reverse names and back', (t) => {
  for (const text of ['0.0.0.0', '10.96.0.10', '::', '::1', 'fd00:10:96::a', '2001:db8::1:0:0:1', '1:2:3:4:5:6:7:8', '1:0:3:4:5:6:7:8']) {
    const address = ip(text)
    t.equal(addressText(address), text)
    t.same(addressOfReverse(reverseName(address)), address)
  }
  t.equal(addressBytes('::ffff:1.2.3.4')?.length, 16)
  for (const text of ['', '1.2.3', '01.2.3.4', 'fe80::1%eth0', 'x']) t.equal(addressBytes(text), undefined, text)
  for (const text of ['1.2.3.in-addr.arpa.', '256.1.1.1.in-addr.arpa.', '01.1.1.1.in-addr.arpa.', 'a.ip6.arpa.', 'x.']) t.equal(addressOfReverse(text), undefined, text)
  t.end()
})

t.test('types have names and numbers', (t) => {
  t.equal(typeNumber('srv'), 33)
  t.equal(typeNumber('TYPE4711'), 4711)
  t.equal(typeNumber('TYPE99999'), undefined)
  t.equal(typeNumber('nothing'), undefined)
  t.equal(typeName(4711), 'TYPE4711')
  t.end()
})
