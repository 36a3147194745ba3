/** Servers that lead back here: one question stays one, is answered soon with what is wrong, and the cluster's names go on. */
import { createSocket } from 'node:dgram'
import t from 'tap'
import type { Test } from 'tap'
import { FakeClock } from '../../api/clock.ts'
import { silentLogger } from '../../api/log.ts'
import type { Query } from '../answers/handler.ts'
import { overUdp, start, web, data } from '../test-support/started.ts'
import { OPTION_EDE, RCODE, TYPE, addressRecord, decodeMessage, encodeMessage, message } from '../wire/index.ts'
import type { Message } from '../wire/index.ts'
import { Forwarder } from './forwarder.ts'
import { Loops } from './loops.ts'
import { Outside } from './outside.ts'
import type { Exchange } from './upstream.ts'

/** A server elsewhere that hands every question to `port.to`, changed by `change`, and its answer back. */
async function relay(t: Test, change: (packet: Buffer) => Buffer = (packet) => packet): Promise<{ at: { address: string; port: number }; to: number; handed: number }> {
  const socket = createSocket('udp4')
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve))
  t.teardown(() => socket.close())
  const state = { at: { address: '127.0.0.1', port: socket.address().port }, to: 0, handed: 0 }
  socket.on('message', (packet, from) => {
    state.handed += 1
    const { id, questions } = decodeMessage(packet)
    void overUdp(state.to, change(packet)).then((answer) => {
      const { edns: _edns, ...rest } = decodeMessage(answer)
      socket.send(encodeMessage({ ...rest, rcode: rest.rcode & 0xf, id, questions }), from.port, from.address)
    }, () => undefined)
  })
  return state
}

const withoutOptions = (packet: Buffer): Buffer => {
  const { edns: _edns, ...rest } = decodeMessage(packet)
  return encodeMessage(rest)
}
const withoutAll = (packet: Buffer): Buffer => {
  const { edns: _edns, questions, ...rest } = decodeMessage(packet)
  return encodeMessage({ ...rest, questions: questions.map((question) => ({ ...question, name: question.name.toLowerCase() })) })
}

async function asked(port: number, name: string): Promise<{ answer: Message; why: string; ms: number }> {
  const began = performance.now()
  const answer = decodeMessage(await overUdp(port, encodeMessage(message({ id: 1, recursionDesired: true, questions: [{ name, type: TYPE.A, class: 1 }], edns: { udpPayloadSize: 1232, version: 0, dnssecOk: false, options: [] } }))))
  const why = Buffer.from(answer.edns?.options.find(({ code }) => code === OPTION_EDE)?.data.subarray(2) ?? []).toString()
  return { answer, why, ms: performance.now() - began }
}

for (const [what, change] of [['as they are', undefined], ['without their options', withoutOptions], ['without options and spelling', withoutAll]] as const) {
  t.test(`a server that hands our questions back ${what} is found out, and each stays one`, async (t) => {
    const between = await relay(t, change)
    const { server, port, ask } = await start(t, { services: [web] }, { upstreams: [between.at] })
    between.to = port
    await server.ready
    // The probe of the start is through.
    await new Promise((resolve) => setTimeout(resolve, 100))
    for (let n = 0; n < 5; n += 1) {
      const { answer, ms } = await asked(port, `a-name-that-is-long-enough-${n}.example.`)
      t.equal(answer.rcode, RCODE.SERVFAIL)
      t.ok(ms < 4500, `after ${Math.round(ms)} ms`)
    }
    t.match(await asked(port, 'another.example.'), { answer: { rcode: RCODE.SERVFAIL }, why: /there is a loop/ })
    // Two probes at most, and each question once, by UDP or again by TCP or without EDNS.
    t.ok(between.handed <= 20, `${between.handed} questions between them`)
    t.same(data(await ask('web.default.svc.cluster.local')), ['10.96.0.7'])
  })
}

t.test('two Fairway servers that forward to each other find out', async (t) => {
  const there = await relay(t)
  const first = await start(t, {}, { upstreams: [there.at] })
  const second = await start(t, {}, { upstreams: [{ address: '127.0.0.1', port: first.port }] })
  there.to = second.port
  await Promise.all([first.server.ready, second.server.ready])
  const { answer, ms } = await asked(first.port, 'b.example.')
  t.equal(answer.rcode, RCODE.SERVFAIL)
  t.ok(ms < 2000, `after ${Math.round(ms)} ms`)
  t.ok(there.handed <= 10, `${there.handed} questions between them`)
})

const query = (name: string, parts: Partial<Query> = {}): Query => ({ question: { name, type: TYPE.A, class: 1 }, name: name.toLowerCase(), type: TYPE.A, recursionDesired: true, checkingDisabled: false, dnssecOk: false, transport: 'udp', client: Uint8Array.of(127, 0, 0, 1), ...parts })

t.test('a server that leads back is not asked, the others are, and it is again when it no longer leads back', async (t) => {
  const clock = new FakeClock()
  const loops = new Loops((max) => Math.floor(Math.random() * max))
  let isLooping = true
  const asked: string[] = []
  const scripted: Exchange = async ({ address }, { name, trail }) => {
    if (name.endsWith('.test.')) asked.push(address)
    if (address === '192.0.2.1' && isLooping) {
      const back = await outside.handle(query(name, { trail }))
      return message({ response: true, rcode: back?.rcode ?? 0 })
    }
    return message({ response: true, answers: [addressRecord(name, 1, Uint8Array.of(192, 0, 2, 9))] })
  }
  const outside = new Outside({
    zones: [{ zone: '.', upstreams: [1, 2].map((n) => ({ address: `192.0.2.${n}`, port: 53 })) }],
    forwarder: (stub) => new Forwarder({ ...stub, exchange: scripted, loops, clock, randomInt: (max) => Math.floor(Math.random() * max), log: silentLogger }),
  })
  outside.start()
  await clock.advance(1)
  t.match(await outside.handle(query('a.test.')), { rcode: RCODE.NOERROR, answers: { length: 1 } })
  t.same(asked, ['192.0.2.2'])
  t.same(outside.forwarders[0]?.forwarder.servers.map(({ leadsBack }) => leadsBack), [true, false])
  isLooping = false
  await clock.advance(31_000)
  t.same(outside.forwarders[0]?.forwarder.servers.map(({ leadsBack }) => leadsBack), [false, false])
  outside.stop()
})

t.test('our own mark, spelling and probes are known again, and nobody else is taken for us', (t) => {
  const one = new Loops((max) => Math.floor(Math.random() * max))
  const other = new Loops((max) => Math.floor(Math.random() * max))
  const long = 'AName.Of.Many.Letters.Example.'
  const lower = { name: long.toLowerCase(), spelling: long.toLowerCase() }
  t.notOk(one.isOurs(lower))
  t.ok(one.isOurs({ ...lower, trail: other.onward(one.onward()) }), 'through another')
  t.notOk(one.isOurs({ ...lower, trail: other.onward() }))
  t.notOk(one.isOurs({ ...lower, trail: Uint8Array.of(1, 2, 3) }), 'what is no mark is none')
  t.ok(one.isOurs({ ...lower, trail: Buffer.alloc(16 * 8) }), 'too many are a loop of others')
  one.begin(long)
  t.ok(one.isOurs({ name: lower.name, spelling: long }))
  t.notOk(one.isOurs(lower))
  one.end(long)
  t.notOk(one.isOurs({ name: lower.name, spelling: long }))
  one.begin('ab.c.')
  t.notOk(one.isOurs({ name: 'ab.c.', spelling: 'ab.c.' }), 'a spelling of few letters is hit by chance')
  const probe = one.probe('x.y.')
  t.ok(one.isOurs({ name: 'x.y.', spelling: 'x.y.' }))
  t.ok(probe.ended())
  t.notOk(one.isOurs({ name: 'x.y.', spelling: 'x.y.' }))
  t.end()
})

t.test('at most so many questions wait for other servers at once', async (t) => {
  const clock = new FakeClock()
  const hanging: Exchange = () => new Promise(() => undefined)
  const handler = new Forwarder({ zone: '.', upstreams: [{ address: '192.0.2.1', port: 53 }], exchange: hanging, loops: new Loops(() => 1), clock, randomInt: () => 0, log: silentLogger })
  for (let n = 0; n < 1000; n += 1) t.ok(handler.handle(query(`name-${n}.test.`)) instanceof Promise)
  t.match(handler.handle(query('one-more.test.')), { rcode: RCODE.SERVFAIL, extendedError: { text: '1000 questions wait for other servers already' } })
  t.ok(handler.handle(query('name-7.test.')) instanceof Promise, 'who asks what is asked already waits with them')
})
