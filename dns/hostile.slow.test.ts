/**
 * What comes from anybody: 20,000 hostile packets by default, `FAIRWAY_FUZZ=10000000` for the long run (docs/dns.md has its result), and connections
 * that are slow, many, or silent.
 */
import { connect } from 'node:net'
import type { Socket } from 'node:net'
import packet from 'dns-packet'
import t from 'tap'
import { FakeClock } from '../api/clock.ts'
import { RateLimit } from './server/rate-limit.ts'
import { client, offline } from './test-support/offline.ts'
import { hostilePacket, seeded } from './test-support/packets.ts'
import { specificationCluster, specificationQuestions } from './test-support/specification.ts'
import { overTcp, start, web } from './test-support/started.ts'
import { CLASS, TYPE, decodeHeader, decodeMessage, encodeMessage, message, typeNumber } from './wire/index.ts'

const count = Number(process.env['FAIRWAY_FUZZ'] ?? 20_000)
const edns = { udpPayloadSize: 4096, version: 0, dnssecOk: false, options: [] }

const good = specificationQuestions.trim().split('\n').filter((line) => !line.startsWith('#')).flatMap((line) => {
  const [name = '', type = ''] = line.split(' ')
  const questions = [{ name: name.endsWith('.') ? name : `${name}.svc.cluster.local.`, type: typeNumber(type) ?? 0, class: CLASS.IN }]
  return [encodeMessage(message({ id: 7, recursionDesired: true, questions })), encodeMessage(message({ id: 8, questions, edns }))]
})

t.test('no packet fails the server, and no answer is malformed or longer than it may be', { timeout: count > 20_000 ? 0 : 30_000 }, async (t) => {
  const { names, responder } = await offline(specificationCluster)
  t.teardown(() => names.stop())
  const random = seeded(20_261_124)
  const wrong: string[] = []
  const heapBefore = process.memoryUsage().heapUsed
  let answers = 0
  for (let round = 0; round < count; round += 1) {
    const asked = hostilePacket(random, good)
    const answer = await responder.respond(asked, 'udp', client)
    if (answer === undefined) continue
    answers += 1
    const fault = faultOf(asked, answer)
    if (fault !== undefined) wrong.push(`${fault}: ${asked.toString('hex')}`)
  }
  t.same(wrong.slice(0, 5), [])
  t.equal(responder.counts.failed, 0, 'nothing failed inside')
  t.ok(answers > count / 10, `${answers} of ${count} got an answer`)
  t.ok(responder.cache.size <= 120_000, 'what is kept is bounded')
  t.ok(process.memoryUsage().heapUsed - heapBefore < 200 * 2 ** 20, 'and so is the heap')
})

/** What is wrong with an answer; undefined when nothing is. */
function faultOf(asked: Buffer, answer: Buffer): string | undefined {
  if (answer.length > 1232) return `${answer.length} bytes`
  const header = decodeHeader(answer)
  if (!header.response) return 'it is a question'
  if (answer.readUInt16BE(0) !== asked.readUInt16BE(0)) return 'another id'
  let read
  try {
    read = decodeMessage(answer)
  } catch (error) {
    return `malformed (${(error as Error).message})`
  }
  try {
    packet.decode(answer)
  } catch (error) {
    return `malformed to dns-packet (${(error as Error).message})`
  }
  let question
  try {
    question = decodeMessage(asked)
  } catch {
    return header.rcode === 1 || header.rcode === 4 ? undefined : `rcode ${header.rcode} for what cannot be read`
  }
  if (question.edns === undefined && answer.length > 512) return `${answer.length} bytes without EDNS`
  if (read.questions.length > 0 && read.questions[0]?.name !== question.questions[0]?.name) return 'another question'
  return undefined
}

t.test('a client that asks too much is told to come by TCP, at no more bytes than it sent, and others are not kept waiting', (t) => {
  const clock = new FakeClock()
  const limit = new RateLimit(10, clock)
  const allowed = (address: Uint8Array): number => Array.from({ length: 50 }, () => limit.allows(address)).filter(Boolean).length
  const v6 = (subnet: number, host: number): Uint8Array => Uint8Array.from({ length: 16 }, (_, index) => (index === 0 ? 0xfd : index === 7 ? subnet : index === 15 ? host : 0))
  t.equal(allowed(client), 10)
  t.equal(allowed(Uint8Array.of(10, 0, 0, 1)), 10, 'another client has its own')
  t.equal(allowed(v6(1, 1)), 10)
  t.equal(allowed(v6(1, 2)), 0, 'addresses of one /64 are one client')
  t.equal(allowed(v6(2, 1)), 10)
  return clock.advance(500).then(() => t.equal(allowed(client), 5, 'and time gives more'))
})

t.test('over the limit every second question gets an empty answer with TC, the size of the question', async (t) => {
  const { port, server } = await start(t, { services: [web] }, { rateLimit: 1 })
  await server.ready
  const { createSocket } = await import('node:dgram')
  const socket = createSocket('udp4')
  t.teardown(() => socket.close())
  const answers: Buffer[] = []
  socket.on('message', (answer) => answers.push(answer))
  const query = packet.encode({ type: 'query', id: 9, questions: [{ name: 'web.default.svc.cluster.local', type: 'A' }] })
  for (let n = 0; n < 11; n += 1) socket.send(query, port, '127.0.0.1')
  await new Promise((resolve) => setTimeout(resolve, 100))
  t.equal(answers.length, 6)
  const cut = answers.filter((answer) => packet.decode(answer).flag_tc === true)
  t.equal(cut.length, 5)
  for (const answer of cut) t.equal(answer.length, query.length)
})

const query = packet.streamEncode({ type: 'query', id: 4711, questions: [{ name: 'web.default.svc.cluster.local', type: 'A' }] })
const opened = async (port: number): Promise<Socket> => {
  const socket = connect(port, '127.0.0.1')
  await new Promise((resolve) => socket.once('connect', resolve))
  return socket
}
const ended = (socket: Socket): Promise<unknown> => new Promise((resolve) => socket.on('error', () => undefined).once('close', resolve))

t.test('a question in single bytes is answered, one that never gets whole is not waited for', async (t) => {
  const { port, server } = await start(t, { services: [web] }, { tcp: { idleMs: 300 } })
  await server.ready
  const patient = await opened(port)
  const answer = new Promise<Buffer>((resolve) => patient.once('data', resolve))
  for (const byte of query) patient.write(Uint8Array.of(byte))
  t.equal(packet.decode((await answer).subarray(2)).rcode, 'NOERROR')
  const slow = await opened(port)
  let sent = 0
  const dripping = setInterval(() => slow.write(query.subarray(sent % 20, (sent++ % 20) + 1)), 20)
  await Promise.all([ended(slow), ended(patient)])
  clearInterval(dripping)
  t.ok(sent > 5, 'although it sent byte after byte')
})

t.test('who takes no answers is let go, and the server does not hoard them', async (t) => {
  const { port, server } = await start(t, { services: [web] }, { tcp: { idleMs: 300 } })
  await server.ready
  const deaf = await opened(port)
  deaf.pause()
  const many = Buffer.concat(Array.from({ length: 5000 }, () => query))
  const closed = ended(deaf)
  const pushing = setInterval(() => deaf.write(many), 5)
  await closed
  clearInterval(pushing)
  t.equal(packet.decode(await overTcp(port, query)).rcode, 'NOERROR')
})

t.test('a full house lets go whoever has been idle longest, and a client that opens too many its own', async (t) => {
  const { port, server } = await start(t, { services: [web] }, { tcp: { connectionsMax: 20, connectionsPerClientMax: 30 } })
  await server.ready
  const idle: Socket[] = []
  for (let n = 0; n < 60; n += 1) idle.push(await opened(port))
  const closed = new Set<Socket>()
  for (const socket of idle) socket.on('error', () => undefined).once('close', () => closed.add(socket))
  t.equal(packet.decode(await overTcp(port, query)).rcode, 'NOERROR', 'and there is room for the next')
  await new Promise((resolve) => setTimeout(resolve, 50))
  t.ok(closed.has(idle[0] as Socket) || (idle[0] as Socket).destroyed)
  t.notOk((idle.at(-1) as Socket).destroyed)
  for (const socket of idle) socket.destroy()
})

t.test('several questions on one connection are answered, each under its own id', async (t) => {
  const { port, server } = await start(t, { services: [web] })
  await server.ready
  const socket = await opened(port)
  t.teardown(() => socket.destroy())
  socket.write(Buffer.concat(Array.from({ length: 300 }, (_, id) => packet.streamEncode({ type: 'query', id, questions: [{ name: `web${id % 3 === 0 ? '' : 'x'}.default.svc.cluster.local`, type: 'A' }] }))))
  const ids = new Set<number>()
  let received = Buffer.alloc(0)
  await new Promise<void>((resolve) => {
    socket.on('data', (data: Buffer) => {
      received = Buffer.concat([received, data])
      while (received.length >= 2 && received.length >= 2 + received.readUInt16BE()) {
        const end = 2 + received.readUInt16BE()
        ids.add(decodeMessage(received.subarray(2, end)).id)
        received = received.subarray(end)
      }
      if (ids.size === 300) resolve()
    })
  })
  t.equal(ids.size, 300)
})

t.test('questions that are none are refused in the words of the RFCs', async (t) => {
  const { names, responder } = await offline(specificationCluster)
  t.teardown(() => names.stop())
  const ask = async (parts: Parameters<typeof message>[0]): Promise<ReturnType<typeof decodeMessage>> => {
    const answer = await responder.respond(encodeMessage(message({ id: 5, ...parts })), 'udp', client)
    return decodeMessage(answer ?? new Uint8Array())
  }
  const name = 'wEb.dEfaUlt.SVC.cluster.LOCAL.'
  const questions = [{ name, type: TYPE.A as number, class: CLASS.IN as number }]
  t.match(await ask({ questions: [...questions, ...questions] }), { rcode: 1, answers: [] }, 'two questions: FORMERR')
  t.match(await ask({ questions: [] }), { rcode: 1 }, 'none: FORMERR')
  t.match(await ask({ questions, edns: { ...edns, version: 1 } }), { rcode: 16, edns: { version: 0 }, answers: [] }, 'another EDNS: BADVERS with ours')
  t.match(await ask({ questions: [{ name, type: TYPE.A, class: CLASS.CH }] }), { rcode: 5 }, 'another class: REFUSED')
  t.match(await ask({ questions: [{ name, type: TYPE.AXFR, class: CLASS.IN }] }), { rcode: 5 }, 'a transfer: REFUSED')
  t.match(await ask({ questions: [{ name, type: TYPE.ANY, class: CLASS.IN }] }), { answers: { length: 1 } }, 'ANY: one record')
  t.match(await ask({ opcode: 5, questions }), { rcode: 4, opcode: 5 }, 'an update: NOTIMP')
  t.match(await ask({ questions: [{ name, type: 65_280, class: CLASS.IN }] }), { rcode: 0, answers: [] }, 'an unknown type: no data')
  t.match(await ask({ questions }), { questions: [{ name }], answers: [{ name }] }, 'the case of the question comes back')
  t.match(await ask({ questions, edns }), { edns: { udpPayloadSize: 1232 } }, 'and EDNS says what we take')
  const cookie = { ...edns, options: [{ code: 10, data: Buffer.alloc(8) }] }
  t.match(await ask({ questions, edns: cookie }), { rcode: 0, answers: { length: 1 } }, 'options that are not known are passed over')
  t.match(await ask({ questions: [{ name: 'a\\.b\\\\.cluster.local.', type: TYPE.A, class: CLASS.IN }] }), { rcode: 3 }, 'absurd labels are names that are not there')
})
