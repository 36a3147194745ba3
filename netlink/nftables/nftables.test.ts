import assert from 'node:assert/strict'
import * as fc from 'fast-check'
import t from 'tap'
import { formatAddress, formatMac } from '../addresses.ts'
import { LayoutError, NetlinkError } from '../errors.ts'
import { compile } from './compile.ts'
import { decompile } from './decompile.ts'
import { readElements, writeElements } from './elements.ts'
import { fieldTypes, layoutOf, typeNumber, typesOf } from './field-types.ts'
import type { FieldType } from './field-types.ts'
import { fields } from './fields.ts'
import type { FieldName } from './fields.ts'
import {
  accept, add, and, assign, compare, constant, dnat, equal, goTo, has, increment, isIn, isStale, jhash, lacks, log, map, masquerade, notIn, or, random, redirect, reject, sameRule, sameSet, snat,
  update, vmap, xor,
} from './index.ts'
import type { Element, Expression, SetSpec, Statement, Value } from './index.ts'
import { elementsMessage, ruleMessage } from './layouts.ts'
import { encodeOperation } from './operations.ts'
import { commentOf, commentUserdata, setCommentOf, setUserdata } from './userdata.ts'
import { formatSpan, parseSpan } from './values.ts'

const octets = (length: number): fc.Arbitrary<Buffer> => fc.uint8Array({ minLength: length, maxLength: length }).map((value) => Buffer.from(value))
const types = Object.keys(fieldTypes) as FieldType[]
const fieldNames = Object.keys(fields) as FieldName[]

/** Values as they are read, of any type. */
function valueOf(type: FieldType): fc.Arbitrary<Value> {
  if (type === 'ifname') return fc.stringMatching(/^[a-z0-9.]{1,15}$/)
  if (type === 'ether_addr') return octets(6).map((value) => formatMac(value))
  const { bytes, read } = layoutOf(type)
  return octets(bytes).map((value) => read(value, 0))
}

const addressOf = (type: 'ipv4_addr' | 'ipv6_addr'): fc.Arbitrary<string> => octets(fieldTypes[type].bytes).map((value) => formatAddress(value))
const keyTypes = fc.array(fc.constantFrom(...types), { minLength: 1, maxLength: 5 })
const comment = fc.stringMatching(/^[ -~äöü]{0,60}$/)

/** A value, a prefix or a range of addresses, as they are read. */
const addressSpan = (type: 'ipv4_addr' | 'ipv6_addr'): fc.Arbitrary<Value> =>
  fc.tuple(octets(fieldTypes[type].bytes), octets(fieldTypes[type].bytes), fc.nat(fieldTypes[type].bytes * 8), fc.boolean()).map(([a, b, length, prefix]) => {
    const [first, last] = a.compare(b) < 0 ? [a, b] : [b, a]
    return formatSpan(type, prefix ? parseSpan(type, `${formatAddress(a)}/${length}`) ?? { first, last } : { first, last })
  })

const endpoint = { name: 'endpoint', key: ['ipv4_addr', 'inet_proto', 'inet_service', 'integer'], data: ['ipv4_addr', 'inet_service'] } as const satisfies SetSpec
const mark = { name: 'mark', key: ['ipv4_addr'], data: ['mark'], timeout: true, dynamic: true } as const satisfies SetSpec
const sets = new Map<string, SetSpec>([['endpoint', endpoint], ['mark', mark], ['addresses', { name: 'addresses', key: ['ipv4_addr'] }], ['ports', { name: 'ports', key: ['inet_proto', 'inet_service'], data: 'verdict' }]])

const comparison = fc.constantFrom(...fieldNames).chain((field): fc.Arbitrary<Statement> => {
  const { type } = fields[field]
  if (layoutOf(type).bits === true) return fc.tuple(fc.boolean(), valueOf(type)).filter(([, value]) => value !== 0).map(([any, value]) => (any ? has : lacks)(field, value))
  if (type === 'ipv4_addr' || type === 'ipv6_addr') return addressSpan(type).map((value) => equal(field, value))
  const numeric = layoutOf(type).bytes === 1 || layoutOf(type).byteOrder === 2
  return fc.tuple(fc.constantFrom(...(numeric ? ['==', '!=', '<', '<=', '>', '>='] as const : ['==', '!='] as const)), valueOf(type)).map(([operator, value]) => compare(field, operator, value))
})

const uint32 = fc.integer({ min: 0, max: 0xffff_ffff })
const port = fc.integer({ min: 1, max: 65_535 })
const fixed = fc.constantFrom<Statement[]>(
  [accept], [goTo('n3')], [reject('tcp reset'), reject('icmp host-unreachable'), reject('icmpx no-route')], [vmap(['meta l4proto', 'th dport'], 'ports')],
  [isIn(['ip saddr'], 'addresses'), notIn([constant('ipv4_addr', '10.0.0.1')], 'addresses')], [masquerade({ port: '1000-2000', flags: ['random'] }), redirect({ port: 53 })],
  [dnat('ip', map(['ip daddr', 'meta l4proto', 'th dport', random(3)], endpoint))], [assign('ct mark', or('ct mark', 1)), assign('meta mark', map(['ip saddr'], mark))],
  [log(), log({ prefix: 'a b', level: 'debug' }), log({ group: 7 })], [{ kind: 'foreign', name: 'limit', data: '0c000100' }], [{ kind: 'counter' }, { kind: 'notrack' }],
)
const computed = fc.tuple(uint32, uint32, addressOf('ipv4_addr'), port).map(([a, b, address, number]): Statement[] => [
  equal(and('meta mark', a), (a & b) >>> 0 || 1), assign('meta mark', xor('ct mark', b)), assign('meta mark', a), equal(increment(number, 3), b),
  equal(jhash(['ip saddr', 'th sport'], { modulus: number, seed: a }), b), add('mark', ['ip saddr'], { data: [random(number)] }), update('mark', ['ip saddr'], { data: ['meta mark'], timeoutMs: number }),
  dnat('ip', { address, port: number }, ['persistent']), snat('ip', { address: '10.0.0.1-10.0.0.9', port: '5-9' }), snat('ip6', { address: 'fd00::1' }),
])

t.test('rules are read as they were written, through the bytes of their message', async (t) => {
  fc.assert(fc.property(fc.array(comparison, { maxLength: 4 }), fixed, computed, (compared, some, more) => {
    const statements = [...compared, ...more, ...some]
    const message = ruleMessage.encode({ header: { family: 2 }, attributes: { expressions: compile(statements) } })
    const expressions = ruleMessage.decode(message).attributes.expressions ?? []
    const foreign = statements.some(({ kind }) => kind === 'foreign')
    const read = decompile(expressions, { family: 'ip', sets }).statements
    if (foreign) assert.equal(read.every(({ kind }) => kind === 'foreign'), true)
    else assert.deepEqual(read, statements)
    assert.equal(sameRule({ statements: read }, { statements }), true)
  }), { numRuns: 300 })
  t.pass()
})

t.test('what is spelled otherwise is the same rule', (t) => {
  const same = (a: Statement[], b: Statement[]): boolean => sameRule({ statements: a }, { statements: b })
  t.equal(same([equal('ip6 daddr', 'FD00::0:1'), equal('meta l4proto', 6)], [equal('ip6 daddr', 'fd00::1'), equal('meta l4proto', 'tcp')]), true)
  t.equal(same([equal(and('meta mark', 0x4000), 0)], [lacks('meta mark', 0x4000)]), true)
  t.equal(same([has('ct state', 'related,established')], [has('ct state', 6)]), true)
  t.equal(same([equal('ip saddr', '10.1.2.3/8')], [equal('ip saddr', '10.0.0.0/8')]), true)
  t.equal(same([equal('ip saddr', '10.0.0.0/8')], [equal('ip saddr', '10.0.0.0/9')]), false)
  t.equal(sameRule({ statements: [], comment: 'a' }, { statements: [] }), false)
  t.equal(sameSet(mark, { ...mark, interval: false, size: undefined }), true)
  t.equal(sameSet(mark, { ...mark, data: ['integer'] }), false)
  t.equal(sameSet({ name: 'a', key: [] }, { name: 'a', key: [] }), false)
  t.end()
})

t.test('elements are read as they were written, however many', async (t) => {
  const written = keyTypes.chain((key) => fc.record({
    key: fc.constant(key),
    elements: fc.array(fc.record({
      key: fc.tuple(...key.map(valueOf)), data: fc.tuple(addressOf('ipv6_addr'), port), timeoutMs: fc.integer({ min: 1, max: 2 ** 40 }), comment,
    }, { requiredKeys: ['key', 'data'], noNullPrototype: true }), { maxLength: 20 }),
  }))
  fc.assert(fc.property(written, fc.integer({ min: 1, max: 40 }), ({ key, elements }, times) => {
    const set: SetSpec = { name: 'some', key, data: ['ipv6_addr', 'inet_service'] }
    const many = Array.from({ length: times }, () => elements).flat()
    const messages = [...writeElements(2, 'table', set, many)]
    const read = messages.flatMap(({ payload }) => readElements(elementsMessage.decode(payload).attributes.elements ?? [], set))
    assert.deepEqual(read, many)
    assert.equal(messages.every(({ payload }) => payload.length < 0xffff), true)
  }), { numRuns: 100 })
  t.pass()
})

t.test('prefixes and ranges are read as they were written', async (t) => {
  const intervals = fc.constantFrom('ipv4_addr' as const, 'ipv6_addr' as const).chain((type) => fc.record({ type: fc.constant(type), value: addressSpan(type) }))
  const read = (set: SetSpec, key: Value[]): Element[] => [...writeElements(2, 'table', set, [{ key }])].flatMap(({ payload }) => readElements(elementsMessage.decode(payload).attributes.elements ?? [], set))
  fc.assert(fc.property(intervals, ({ type, value }) => {
    assert.deepEqual(read({ name: 'one', key: [type], interval: true }, [value]), [{ key: [value] }])
    assert.deepEqual(read({ name: 'three', key: ['inet_service', type, 'inet_proto'], interval: true }, ['8000-8080', value, 'tcp']), [{ key: ['8000-8080', value, 'tcp'] }])
  }), { numRuns: 200 })
  t.pass()
})

t.test('nothing that a message may hold makes reading fail but by a LayoutError', async (t) => {
  const garbage = fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes))
  const expressions = ruleMessage.encode({ header: { family: 2 }, attributes: { expressions: compile([dnat('ip', map(['ip daddr', 'meta l4proto', 'th dport', random(3)], endpoint)), equal('ip saddr', '10.0.0.0/8'), has('ct state', 'new')]) } })
  const decode = (bytes: Buffer): void => {
    try {
      decompile(ruleMessage.decode(bytes).attributes.expressions ?? [], { family: 'ip', sets })
      for (const set of [endpoint, { ...endpoint, interval: true }, { name: 'ranges', key: ['ipv4_addr'], interval: true } as const]) readElements(elementsMessage.decode(bytes).attributes.elements ?? [], set)
    } catch (error) {
      if (!(error instanceof LayoutError)) throw error
    }
  }
  const elements = [...writeElements(2, 'table', endpoint, [{ key: ['10.96.0.1', 'tcp', 443, 0], data: ['10.244.0.1', 6443], timeoutMs: 5, comment: 'one' }])][0]?.payload ?? Buffer.alloc(1)
  fc.assert(fc.property(garbage, decode), { numRuns: 200 })
  for (const whole of [expressions, elements]) {
    fc.assert(fc.property(fc.nat(whole.length - 1), fc.nat(255), (at, byte) => {
      const bent = Buffer.from(whole)
      bent[at] = byte
      decode(bent)
    }), { numRuns: 500 })
  }
  t.pass()
})

t.test('types in concatenation have nft\'s number', async (t) => {
  t.equal(typeNumber(['ipv4_addr', 'inet_proto', 'inet_service']), 0x730d)
  t.strictSame(typesOf(0x730d), ['ipv4_addr', 'inet_proto', 'inet_service'])
  t.equal(typesOf(0x3f), undefined)
  fc.assert(fc.property(keyTypes, (key) => assert.deepEqual(typesOf(typeNumber(key)), key)))
})

t.test('comments and the types of sets are in what nft keeps for itself', async (t) => {
  fc.assert(fc.property(comment, (text) => {
    assert.equal(commentOf(commentUserdata(text)), text)
    assert.equal(setCommentOf(setUserdata({ ...endpoint, comment: text })), text)
  }))
  t.throws(() => commentUserdata('x'.repeat(255)), TypeError)
})

t.test('what cannot be written is refused in words', (t) => {
  const rule = (...statements: Statement[]) => () => compile(statements)
  t.throws(rule(equal('ip saddr', '10.0.0.256')), { message: 'Cannot write "10.0.0.256" as ipv4_addr' })
  t.throws(rule(equal('ip saddr', '010.0.0.1')), { message: 'Cannot write "010.0.0.1" as ipv4_addr' })
  t.throws(rule(equal('th dport', 65_536)), { message: 'Cannot write 65536 as inet_service' })
  t.throws(rule(equal('th dport', '90-80')), { message: 'Cannot write range 90-80: it ends before it begins' })
  t.throws(rule(equal('ip saddr', '10.0.0.0/33')), { message: 'Cannot write prefix length 33 of ipv4_addr: not 0 to 32' })
  t.throws(rule(compare('meta iif', '<', 5)), { message: 'Cannot compile rule: iface_index is compared for being equal only' })
  t.throws(rule(compare('th dport', '<', '5-7')), { message: 'Cannot compile rule: a range is compared with == or !=, not <' })
  t.throws(rule(equal(and('ip saddr', 1), 1)), { message: 'Cannot compile rule: ipv4_addr has no bits to compute with' })
  t.throws(rule(isIn(Array.from({ length: 5 }, (): Expression => 'ip6 saddr'), 'addresses')), { message: 'Cannot compile rule: a statement needs more than 64 bytes of registers' })
  t.throws(rule(dnat('ip', map(['ip saddr'], mark))), { message: 'Cannot compile rule: map mark holds mark, not ipv4_addr and perhaps inet_service' })
  t.throws(() => map(['ip saddr'], { name: 'ports', data: 'verdict' }), { message: 'Cannot compute with map ports: it holds verdicts' })
  const table = { family: 'ip', name: 't' } as const
  const write = (set: SetSpec, ...keys: Value[][]) => () => [...encodeOperation({ kind: 'addSet', table, set }), ...encodeOperation({ kind: 'addElements', table, set, elements: keys.map((key) => ({ key })) })]
  t.throws(write({ name: 's', key: [] }), { message: 'Cannot write set s: its key has no field' })
  t.throws(write({ name: 's', key: Array.from({ length: 6 }, () => 'mark' as const) }), { message: 'Cannot write set s: more than 5 fields' })
  t.throws(write({ name: 's', key: ['mark'], interval: true }), { message: 'Cannot write set s: intervals of mark have no order' })
  t.throws(write({ name: 's', key: ['mark', 'mark'] }, [1]), { message: 'Cannot write 1 as mark . mark: 1 fields, not 2' })
  t.throws(write({ name: 's', key: ['ipv4_addr'] }, ['10.0.0.0/8']), { message: 'Cannot write "10.0.0.0/8" as ipv4_addr' })
  t.end()
})

t.test('only ERESTART says that the generation is another', (t) => {
  t.equal(isStale(new NetlinkError('apply', 'transaction', 85)), true)
  t.equal(isStale(new NetlinkError('apply', 'transaction', 16)), false)
  t.equal(isStale(new Error('ERESTART')), false)
  t.end()
})
