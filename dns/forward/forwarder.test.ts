import { randomInt } from 'node:crypto'
import { createSocket } from 'node:dgram'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { FakeClock, systemClock } from '../../api/clock.ts'
import { silentLogger } from '../../api/log.ts'
import type { Query, Reply } from '../answers/handler.ts'
import { RCODE, TYPE, addressRecord, decodeMessage, encodeMessage, message, soaRecord } from '../wire/index.ts'
import type { Message } from '../wire/index.ts'
import { NetworkExchange } from './exchange.ts'
import { Forwarder } from './forwarder.ts'
import { Loops } from './loops.ts'
import { Outside, parseStub } from './outside.ts'
import { parseResolvConf, parseUpstream } from './resolv-conf.ts'
import type { Exchange } from './upstream.ts'

const query = (name: string): Query => ({ question: { name, type: TYPE.A, class: 1 }, name, type: TYPE.A, recursionDesired: true, checkingDisabled: false, dnssecOk: false, transport: 'udp', client: Uint8Array.of(127, 0, 0, 1) })
const answer = (name: string, ttl = 60, rcode: number = RCODE.NOERROR): Message => message({ response: true, rcode, answers: rcode === RCODE.NOERROR ? [addressRecord(name, ttl, Uint8Array.of(192, 0, 2, 1))] : [] })
const upstreams = [1, 2].map((n) => ({ address: `192.0.2.${n}`, port: 53 }))

function forwarder(clock: FakeClock, ask: (server: string, name: string) => Promise<Message>, servers = upstreams): { handler: Forwarder; asked: string[] } {
  const asked: string[] = []
  const scripted: Exchange = ({ address }, { name }) => {
    // Others are probes for loops.
    if (name.endsWith('.test.')) asked.push(address)
    return ask(address, name)
  }
  return { asked, handler: new Forwarder({ zone: '.', upstreams: servers, exchange: scripted, loops: new Loops(() => 7), clock, randomInt: () => 0, log: silentLogger }) }
}

t.test('equal questions share one exchange, and the answer is kept for its TTL', async (t) => {
  const clock = new FakeClock()
  const { handler, asked } = forwarder(clock, async (_server, name) => answer(name))
  const [one, two] = await Promise.all([handler.handle(query('a.test.')), handler.handle(query('a.test.'))])
  t.same(one, two)
  t.equal(asked.length, 1)
  await clock.advance(10_000)
  t.equal((handler.handle(query('a.test.')) as Reply).answers[0]?.ttl, 50)
  await clock.advance(51_000)
  await handler.handle(query('a.test.'))
  t.equal(asked.length, 2)
})

t.test('a server that is late is overtaken, and one that fails is asked last', async (t) => {
  const clock = new FakeClock()
  const { handler, asked } = forwarder(clock, (server, name) => (server === '192.0.2.1' ? new Promise(() => undefined) : Promise.resolve(answer(name))))
  const late = handler.handle(query('a.test.'))
  await clock.advance(400)
  t.equal((await late as Reply).answers.length, 1)
  t.same(asked, ['192.0.2.1', '192.0.2.2'])
  const failing = forwarder(clock, async (server, name) => {
    if (server === '192.0.2.1') throw new Error('refused')
    return answer(name)
  })
  await failing.handler.handle(query('a.test.'))
  await failing.handler.handle(query('b.test.'))
  t.same(failing.asked, ['192.0.2.1', '192.0.2.2', '192.0.2.2'])
})

t.test('the server that answers fastest comes to be asked first, the others now and then, and one that says SERVFAIL last', async (t) => {
  const clock = new FakeClock()
  const takesMs: Record<string, number> = { '192.0.2.1': 40, '192.0.2.2': 10 }
  let failing = ''
  const { handler, asked } = forwarder(clock, async (server, name) => {
    await clock.sleep(takesMs[server] ?? 0)
    return answer(name, 60, server === failing ? RCODE.SERVFAIL : RCODE.NOERROR)
  })
  let n = 0
  const firstOf = async (count: number): Promise<Record<string, number>> => {
    const first: Record<string, number> = {}
    for (const last = n + count; n < last; n += 1) {
      const from = asked.length
      const answering = handler.handle(query(`name-${n}.test.`))
      await clock.advance(100)
      await answering
      first[asked[from] ?? ''] = (first[asked[from] ?? ''] ?? 0) + 1
    }
    return first
  }
  await firstOf(50)
  const { '192.0.2.1': slow = 0, '192.0.2.2': fast = 0 } = await firstOf(200)
  t.ok(fast > 150 && slow > 0, `${fast} and ${slow}`)
  takesMs['192.0.2.2'] = 45
  takesMs['192.0.2.1'] = 5
  await firstOf(50)
  t.ok(Number((await firstOf(100))['192.0.2.1']) > 75, 'and it is noticed when that changes')
  failing = '192.0.2.1'
  await firstOf(1)
  t.same(await firstOf(20), { '192.0.2.2': 20 })
})

t.test('SERVFAIL of one is not the last word, and failures are not kept', async (t) => {
  const clock = new FakeClock()
  const { handler, asked } = forwarder(clock, async (_server, name) => answer(name, 60, RCODE.SERVFAIL))
  t.equal((await handler.handle(query('a.test.')) as Reply).rcode, RCODE.SERVFAIL)
  await handler.handle(query('a.test.'))
  t.equal(asked.length, 4)
  const dead = forwarder(clock, async () => { throw new Error('Cannot ask') })
  t.match(await dead.handler.handle(query('a.test.')), { rcode: RCODE.SERVFAIL, extendedError: { code: 22 } })
})

t.test('an answer that is asked for often is fetched anew before its time is over', async (t) => {
  const clock = new FakeClock()
  const { handler, asked } = forwarder(clock, async (_server, name) => answer(name))
  await handler.handle(query('a.test.'))
  for (let n = 0; n < 3; n += 1) await handler.handle(query('a.test.'))
  await clock.advance(55_000)
  t.equal((handler.handle(query('a.test.')) as Reply).answers[0]?.ttl, 5, 'nobody waits')
  await clock.advance(10)
  t.equal(asked.length, 2)
  t.equal((handler.handle(query('a.test.')) as Reply).answers[0]?.ttl, 60)
})

t.test('what was true before serves on while nobody answers, and says that it is stale', async (t) => {
  const clock = new FakeClock()
  let isDead = false
  const { handler } = forwarder(clock, async (_server, name) => {
    if (isDead) throw new Error('Cannot ask')
    return answer(name)
  })
  await handler.handle(query('a.test.'))
  await clock.advance(61_000)
  isDead = true
  t.match(await handler.handle(query('a.test.')), { answers: [{ ttl: 30 }], extendedError: { code: 3 } })
  t.match(handler.handle(query('a.test.')), { answers: { length: 1 } }, 'at once when it has just failed')
  await clock.advance(31_000)
  isDead = false
  t.match(await handler.handle(query('a.test.')), { answers: [{ ttl: 60 }] })
  isDead = true
  await clock.advance(5_000_000)
  t.match(await handler.handle(query('a.test.')), { rcode: RCODE.SERVFAIL }, 'but not for ever')
})

t.test('a server that hangs makes nobody wait longer than two seconds for an old answer', async (t) => {
  const clock = new FakeClock()
  let isDead = false
  const { handler } = forwarder(clock, (_server, name) => (isDead ? new Promise(() => undefined) : Promise.resolve(answer(name))))
  await handler.handle(query('a.test.'))
  await clock.advance(61_000)
  isDead = true
  const waiting = handler.handle(query('a.test.'))
  await clock.advance(1900)
  t.match(await waiting, { answers: { length: 1 }, extendedError: { code: 3 } })
})

t.test('names that are not there are kept as long as their SOA says', async (t) => {
  const clock = new FakeClock()
  const { handler, asked } = forwarder(clock, async (_server, name) => message({ response: true, rcode: RCODE.NXDOMAIN, authorities: [soaRecord('test.', 600, { server: 'ns.test.', contact: 'x.test.', serial: 1, minimumSeconds: 20 })], questions: [{ name, type: 1, class: 1 }] }))
  await handler.handle(query('a.test.'))
  await clock.advance(19_000)
  t.match(handler.handle(query('a.test.')), { rcode: RCODE.NXDOMAIN, authorities: [{ ttl: 581 }] })
  t.equal(asked.length, 1)
  await clock.advance(2000)
  await handler.handle(query('a.test.'))
  t.equal(asked.length, 2)
})

t.test('a name goes to the servers of the closest zone', async (t) => {
  const clock = new FakeClock()
  const asked: string[] = []
  const scripted: Exchange = async ({ address }, { name }) => {
    asked.push(address)
    return answer(name)
  }
  const outside = new Outside({ zones: [{ zone: '.', upstreams: upstreams.slice(0, 1) }, parseStub('corp.example=192.0.2.8,192.0.2.9:54'), parseStub('eu.corp.example=192.0.2.7')], forwarder: (stub) => new Forwarder({ ...stub, exchange: scripted, loops: new Loops(() => 7), clock, randomInt: () => 0, log: silentLogger }) })
  for (const name of ['a.corp.example.', 'a.eu.corp.example.', 'corp.example.', 'acorp.example.', 'other.']) await outside.handle(query(name))
  t.same(asked, ['192.0.2.8', '192.0.2.7', '192.0.2.8', '192.0.2.1', '192.0.2.1'])
  const alone = new Outside({ zones: [parseStub('corp.example=192.0.2.8')], forwarder: () => forwarder(clock, async (_server, name) => answer(name)).handler })
  t.equal(alone.handle(query('other.')), undefined)
  for (const wrong of ['corp.example', '=192.0.2.1', 'corp.example=', 'corp.example=host']) t.throws(() => parseStub(wrong), /Cannot use/)
})

t.test('over the network: lies are not taken, a cut answer comes by TCP', async (t) => {
  const tcp = createServer((socket) => {
    socket.on('data', (data: Buffer) => {
      const { id, questions } = decodeMessage(data.subarray(2))
      const whole = encodeMessage(message({ id, response: true, questions, answers: [addressRecord(questions[0]?.name ?? '', 60, Uint8Array.of(192, 0, 2, 7))] }))
      socket.end(Buffer.concat([Buffer.from([whole.length >> 8, whole.length & 0xff]), whole]))
    })
  }).listen(0, '127.0.0.1')
  await new Promise((resolve) => tcp.once('listening', resolve))
  const { port } = tcp.address() as AddressInfo
  const udp = createSocket('udp4').bind(port, '127.0.0.1')
  t.teardown(() => {
    tcp.close()
    udp.close()
  })
  await new Promise((resolve) => udp.once('listening', resolve))
  udp.on('message', (data, from) => {
    const { id, questions } = decodeMessage(data)
    const [question] = questions
    const lie = (parts: Partial<Message>): Buffer => encodeMessage(message({ id, response: true, questions, answers: [addressRecord('evil.', 60, Uint8Array.of(6, 6, 6, 6))], ...parts }))
    udp.send(lie({ id: id ^ 1 }), from.port, from.address)
    udp.send(lie({ questions: [{ name: 'evil.', type: 1, class: 1 }] }), from.port, from.address)
    udp.send(encodeMessage(message({ id, response: true, truncated: true, questions: question === undefined ? [] : [question] })), from.port, from.address)
  })
  const options = { clock: systemClock, randomInt: (max: number) => randomInt(max), timeoutMs: 3000, signal: new AbortController().signal }
  const read = await new NetworkExchange().ask({ address: '127.0.0.1', port }, { name: 'a.quite.long.name.test.', type: TYPE.A, class: 1, dnssecOk: false, checkingDisabled: false }, options)
  t.same(read.answers[0]?.data[0], Buffer.from([192, 0, 2, 7]))
})

t.test('name servers are read from resolv.conf and from arguments', (t) => {
  t.same(parseResolvConf('# x\nnameserver 10.0.0.1\nsearch a\n nameserver fe80::1%eth0\nnameserver nonsense\n'), [{ address: '10.0.0.1', port: 53 }, { address: 'fe80::1%eth0', port: 53 }])
  t.same(parseUpstream('10.0.0.1:5353'), { address: '10.0.0.1', port: 5353 })
  t.same(parseUpstream('[fd00::1]:54'), { address: 'fd00::1', port: 54 })
  t.same(parseUpstream('fd00::1'), { address: 'fd00::1', port: 53 })
  for (const wrong of ['', 'host', '10.0.0.1:0', '10.0.0.1:99999', '10.0.0.300']) t.throws(() => parseUpstream(wrong), /Cannot use name server/)
  t.end()
})
