import t from 'tap'
import { RCODE, TYPE, addressRecord, decodeMessage, encodeMessage, message, soaRecord, txtRecord } from '../wire/index.ts'
import type { Message, ResourceRecord } from '../wire/index.ts'
import { Validity } from '../zone/validity.ts'
import { AnswerCache } from './answer-cache.ts'
import { reply } from './handler.ts'
import { readPlain } from './plain-query.ts'
import type { PlainQuery } from './plain-query.ts'

const query = (name: string, type: number = TYPE.A, edns = false): Buffer => encodeMessage(message({
  id: 7, recursionDesired: true, questions: [{ name, type, class: 1 }], ...(edns ? { edns: { udpPayloadSize: 4096, version: 0, dnssecOk: false, options: [] } } : {}),
}))

function plainOf(packet: Buffer): PlainQuery {
  const plain = readPlain(packet)
  if (plain === undefined) throw new Error('Cannot test: the query is not plain')
  return plain
}

class Kept {
  readonly cache: AnswerCache

  constructor(bytesMax = 2 ** 25) {
    this.cache = new AnswerCache({ payloadSize: 1232, random: () => 0.5, bytesMax })
  }

  set(name: string, type: number, answers: readonly ResourceRecord[], { rcode = RCODE.NOERROR, validity = new Validity() }: { rcode?: number; validity?: Validity } = {}): void {
    const authorities = answers.length === 0 ? [soaRecord('cluster.local.', 5, { server: 'ns.', contact: 'x.', serial: 1, minimumSeconds: 5 })] : []
    const whole = encodeMessage(message({ response: true, authoritative: true, rcode, questions: [{ name, type, class: 1 }], answers, authorities }))
    this.cache.set(plainOf(query(name, type)), reply({ rcode, answers, authorities, validity: [validity] }), whole, Buffer.alloc(0))
  }

  get(name: string, type: number = TYPE.A, bytesMax = 65_535, edns = false): Message | undefined {
    const packet = query(name, type, edns)
    const hit = this.cache.get(packet, plainOf(packet), bytesMax)
    return hit === undefined ? undefined : decodeMessage(hit)
  }
}

const addresses = (name: string, count: number): ResourceRecord[] => Array.from({ length: count }, (_, n) => addressRecord(name, 5, Uint8Array.of(10, 0, n >> 8, n & 255)))

t.test('a hit has the id and the case of its own query, and ends with what it rests on', (t) => {
  const kept = new Kept()
  const validity = new Validity()
  kept.set('web.Test.', TYPE.A, addresses('web.Test.', 1), { validity })
  t.match(kept.get('WEB.test.'), { id: 7, recursionDesired: true, authoritative: true, questions: [{ name: 'WEB.test.' }], answers: [{ name: 'WEB.test.' }] })
  t.equal(kept.get('web.test.', TYPE.AAAA), undefined)
  t.equal(kept.get('wex.test.'), undefined)
  validity.end()
  t.equal(kept.get('web.test.'), undefined)
  t.end()
})

t.test('addresses that do not all fit are cut from what is kept, and say so', (t) => {
  const kept = new Kept()
  kept.set('big.test.', TYPE.A, addresses('big.test.', 300))
  for (const edns of [false, true]) {
    const cut = kept.get('big.test.', TYPE.A, edns ? 1232 : 512, edns)
    t.match(cut, { truncated: true, answers: { length: edns ? 74 : 30 } })
    t.equal(cut?.edns === undefined, !edns, 'OPT is kept')
    t.equal(new Set(cut?.answers.map(({ data }) => Buffer.from(data[0] as Uint8Array).toString('hex'))).size, cut?.answers.length, 'each once')
    t.equal(cut?.answers.every(({ name }) => name === 'big.test.'), true)
  }
  const whole = kept.get('big.test.')
  t.match(whole, { truncated: false, answers: { length: 300 } })
  t.same(whole?.answers[0]?.data, [Buffer.from([10, 0, 0, 150])], 'from any one on')
  kept.set('odd.test.', TYPE.TXT, Array.from({ length: 40 }, (_, n) => txtRecord('odd.test.', 5, `number ${n}`)))
  t.equal(kept.get('odd.test.', TYPE.TXT, 512), undefined, 'others are written anew')
  t.end()
})

t.test('an answer that does not fit is known to be there, until it ends: it is not written whole again', (t) => {
  const kept = new Kept()
  const validity = new Validity()
  const texts = Array.from({ length: 40 }, (_, n) => txtRecord('long.test.', 5, `a text of more than a few bytes, number ${n}`))
  const has = (name: string): boolean => kept.cache.has(plainOf(query(name, TYPE.TXT)))
  t.notOk(has('long.test.'))
  kept.set('long.test.', TYPE.TXT, texts, { validity })
  t.equal(kept.get('long.test.', TYPE.TXT, 512), undefined)
  t.ok(has('LONG.test.'))
  t.notOk(has('lonh.test.'))
  validity.end()
  t.notOk(has('long.test.'))
  t.end()
})

t.test('what is kept is bounded by bytes, the oldest goes first, and names that are not there push out none that are', (t) => {
  const kept = new Kept(8 * 2 ** 18)
  kept.set('web.test.', TYPE.A, addresses('web.test.', 1))
  for (let n = 0; n < 5000; n += 1) kept.set(`made-up-${n}.test.`, TYPE.A, [], { rcode: RCODE.NXDOMAIN })
  t.ok(kept.cache.bytes <= 9 * 2 ** 18)
  t.ok(kept.cache.size < 5000)
  t.ok(kept.get('web.test.'))
  t.equal(kept.get('made-up-0.test.'), undefined)
  t.ok(kept.get('made-up-4999.test.'))
  for (let n = 0; n < 50; n += 1) kept.set(`big-${n}.test.`, TYPE.A, addresses('big.test.', 4000))
  t.ok(kept.cache.bytes <= 9 * 2 ** 18)
  t.equal(kept.get('big-0.test.'), undefined)
  t.equal(kept.get('big-49.test.')?.answers.length, 4000)
  t.end()
})

t.test('an answer that changes takes the place of the one before', (t) => {
  const kept = new Kept()
  for (let n = 0; n < 20_000; n += 1) kept.set('web.test.', TYPE.A, addresses('web.test.', 1))
  t.ok(kept.cache.bytes <= 2 ** 20)
  t.end()
})
