/** Servers elsewhere that behave badly, by each way to ask them: what comes of it is a checked answer or a sentence, soon, and never a lie. */
import { randomInt } from 'node:crypto'
import t from 'tap'
import type { Test } from 'tap'
import { systemClock } from '../../api/clock.ts'
import { answerTo, elsewhere, kinds } from '../test-support/upstream.ts'
import type { Answer, Answering, Elsewhere, Kind } from '../test-support/upstream.ts'
import { RCODE, TYPE, decodeMessage } from '../wire/index.ts'
import type { Message } from '../wire/index.ts'
import { NetworkExchange } from './exchange.ts'

const name = 'a.quite.long.name.test.'
const question = { name, type: TYPE.A, class: 1, dnssecOk: false, checkingDisabled: false }
const timeoutMs = 500
const truth = Buffer.from([192, 0, 2, 7])

const swapCase = (text: string): string => text.replace(/[a-z]/gi, (letter) => (letter === letter.toLowerCase() ? letter.toUpperCase() : letter.toLowerCase()))
const bytewise = (bytes: Buffer): Uint8Array[] => Array.from(bytes, (byte) => Uint8Array.of(byte))

class Asking {
  readonly network = new NetworkExchange()
  readonly server: Elsewhere
  readonly signal: AbortSignal

  constructor(t: Test, server: Elsewhere, signal = new AbortController().signal) {
    this.server = server
    this.signal = signal
    t.teardown(() => this.network.close())
  }

  by(kind: Kind, asked = question): Promise<Message> {
    return this.network.ask(this.server.at[kind], asked, { clock: systemClock, randomInt: (max) => randomInt(max), timeoutMs, signal: this.signal })
  }
}

/** A way to answer; by UDP a question goes on to TCP when it was told to. */
const wrong: Readonly<Record<string, { readonly answer: (packet: Buffer) => Answer; readonly udp: RegExp; readonly stream: RegExp }>> = {
  'another id': { answer: (packet) => [answerTo(packet, { id: decodeMessage(packet).id ^ 1 })], udp: /no answer within/, stream: /not to the question/ },
  'another name': { answer: (packet) => [answerTo(packet, { questions: [{ name: 'evil.test.', type: TYPE.A, class: 1 }] })], udp: /no answer within/, stream: /not to the question/ },
  'another type': { answer: (packet) => [answerTo(packet, { questions: [{ ...decodeMessage(packet).questions[0], name, type: TYPE.AAAA, class: 1 }] })], udp: /no answer within/, stream: /not to the question/ },
  'another spelling': { answer: (packet) => [answerTo(packet, { questions: [{ name: swapCase(decodeMessage(packet).questions[0]?.name ?? ''), type: TYPE.A, class: 1 }] })], udp: /no answer within/, stream: /not to the question/ },
  'no question': { answer: (packet) => [answerTo(packet, { questions: [] })], udp: /no answer within/, stream: /not to the question/ },
  'the question itself': { answer: (packet) => [packet], udp: /no answer within/, stream: /not to the question/ },
  noise: { answer: () => [Buffer.alloc(300, 0xa5)], udp: /no answer within/, stream: /not to the question/ },
  'half an answer': { answer: (packet) => [answerTo(packet).subarray(0, 40)], udp: /no answer within/, stream: /not to the question/ },
  'something huge': { answer: () => [Buffer.alloc(50_000, 1), Buffer.alloc(15_000, 2)], udp: /no answer within/, stream: /not to the question/ },
  nothing: { answer: () => 'silence', udp: /no answer within/, stream: /no answer within/ },
  'the end': { answer: () => 'hang up', udp: /no answer within/, stream: /closed|ended|socket hang up|ECONNRESET|canceled/i },
}

t.test('what answers no question of ours is told apart, by UDP, TLS and HTTPS', async (t) => {
  await Promise.all(Object.entries(wrong).map(async ([what, { answer, udp, stream }]) => {
    const asking = new Asking(t, await elsewhere(t, answer))
    for (const kind of ['udp', 'tls', 'https'] as const) await t.rejects(asking.by(kind), kind === 'udp' ? udp : stream, `${what} by ${kind}`)
  }))
})

/** TCP is asked when UDP says that it was cut. */
const cutByUdp = (answering: Answering): Answering => (packet, kind) => (kind === 'udp' ? [answerTo(packet, { truncated: true, answers: [] })] : answering(packet, kind))

t.test('by TCP the same is told apart', async (t) => {
  await Promise.all(Object.entries(wrong).map(async ([what, { answer, stream }]) => t.rejects(new Asking(t, await elsewhere(t, cutByUdp(answer))).by('udp'), stream, what)))
})

t.test('an answer in single bytes is put together, an error of the server is handed on, a lie before the truth is passed over', async (t) => {
  const pieces = new Asking(t, await elsewhere(t, cutByUdp((packet) => bytewise(answerTo(packet)))))
  for (const kind of kinds) t.same((await pieces.by(kind)).answers[0]?.data[0], truth, kind)
  const failing = new Asking(t, await elsewhere(t, (packet) => [answerTo(packet, { rcode: RCODE.SERVFAIL, answers: [] })]))
  for (const kind of kinds) t.equal((await failing.by(kind)).rcode, RCODE.SERVFAIL, kind)
  const lying = new Asking(t, await elsewhere(t, (packet) => [answerTo(packet, { id: 0xffff ^ decodeMessage(packet).id }), answerTo(packet)]))
  t.same((await lying.by('udp')).answers[0]?.data[0], truth)
})

t.test('over HTTPS questions share a connection, and a new one is opened when the server has ended it', async (t) => {
  let isEnding = false
  const server = await elsewhere(t, (packet) => {
    if (!isEnding) return [answerTo(packet)]
    isEnding = false
    return 'hang up'
  })
  const asking = new Asking(t, server)
  await Promise.all([asking.by('https'), asking.by('https'), asking.by('https')])
  t.equal(server.sessions.length, 1)
  isEnding = true
  t.same((await asking.by('https')).answers[0]?.data[0], truth, 'asked again')
  t.equal(server.sessions.length, 2)
})

t.test('over HTTPS what is no DNS message is no answer, and what a cache has kept is so much older', async (t) => {
  const server = await elsewhere(t, (packet, kind) => {
    t.equal(kind === 'https' && decodeMessage(packet).id, 0, 'so that caches find it')
    return [answerTo(packet)]
  })
  const asking = new Asking(t, server)
  server.headers = { ':status': 503, 'content-type': 'application/dns-message' }
  await t.rejects(asking.by('https'), /status 503/)
  server.headers = { ':status': 200, 'content-type': 'text/html' }
  await t.rejects(asking.by('https'), /text\/html, not a DNS message/)
  server.headers = { ':status': 200, 'content-type': 'application/dns-message', age: '20' }
  t.equal((await asking.by('https')).answers[0]?.ttl, 40)
  const endless = new Asking(t, await elsewhere(t, () => [Buffer.alloc(40_000), Buffer.alloc(40_000)]))
  await t.rejects(endless.by('https'), /longer than any message/)
})

t.test('by HTTPS too, whoever cannot show the certificate is not believed', async (t) => {
  const server = await elsewhere(t, (packet) => [answerTo(packet)])
  const asking = new Asking(t, server)
  const { tls = { serverName: '' } } = server.at.https
  const options = { clock: systemClock, randomInt: (max: number) => randomInt(max), timeoutMs: 2000, signal: asking.signal }
  await t.rejects(asking.network.ask({ ...server.at.https, tls: { ...tls, serverName: 'other.example' } }, question, options), /Hostname\/IP does not match/)
  await t.rejects(asking.network.ask({ ...server.at.https, tls: { serverName: 'dns.example' } }, question, options), /self-signed|unable to (get|verify)/)
})

t.test('a question that nobody waits for any longer is taken back', async (t) => {
  const abort = new AbortController()
  const asking = new Asking(t, await elsewhere(t, () => 'silence'), abort.signal)
  const asked = kinds.map((kind) => t.rejects(asking.by(kind), /another server was faster/, kind))
  setTimeout(() => abort.abort(), 50)
  await Promise.all(asked)
})

t.test('a server of before EDNS is asked without it', async (t) => {
  const asking = new Asking(t, await elsewhere(t, (packet) => [decodeMessage(packet).edns === undefined ? answerTo(packet) : answerTo(packet, { rcode: RCODE.FORMERR, answers: [] })]))
  for (const kind of kinds) t.same((await asking.by(kind)).answers[0]?.data[0], truth, kind)
})

t.test('ports, ids and spellings cannot be foreseen', async (t) => {
  const ids = new Set<number>()
  const spellings = new Set<string>()
  const server = await elsewhere(t, (packet) => {
    const { id, questions } = decodeMessage(packet)
    ids.add(id)
    spellings.add(questions[0]?.name ?? '')
    return [answerTo(packet)]
  })
  const asking = new Asking(t, server)
  for (let n = 0; n < 200; n += 1) await asking.by('udp')
  const ports = new Set(server.fromPorts)
  t.ok(ports.size > 190, `${ports.size} ports`)
  t.ok(ids.size > 190, `${ids.size} ids`)
  t.ok(spellings.size > 190, `${spellings.size} spellings`)
  const steps = new Set(server.fromPorts.map((port, n) => port - (server.fromPorts[n - 1] ?? 0)))
  t.ok(steps.size > 100, `${steps.size} distances from one port to the next`)
})
