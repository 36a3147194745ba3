/** Answers of other servers that are sent again as bytes: with the time that is left of them, and to nobody who asked for something else. */
import t from 'tap'
import { FakeClock } from '../../api/clock.ts'
import { silentLogger } from '../../api/log.ts'
import { Responder } from '../answers/responder.ts'
import { RCODE, TYPE, addressRecord, decodeMessage, encodeMessage, message } from '../wire/index.ts'
import type { Message } from '../wire/index.ts'
import { Forwarder } from './forwarder.ts'
import { Loops } from './loops.ts'

t.test('what was asked elsewhere is sent again as it stands for a second, then with the time that is left', async (t) => {
  const clock = new FakeClock()
  let asked = 0
  const handler = new Forwarder({
    zone: '.', upstreams: [{ address: '192.0.2.1', port: 53 }], loops: new Loops(() => 1), clock, randomInt: () => 0, log: silentLogger,
    exchange: async (_server, { name, dnssecOk }) => {
      asked += 1
      return message({ response: true, answers: [addressRecord(name, 10, Uint8Array.of(192, 0, 2, dnssecOk ? 2 : 1))] })
    },
  })
  const responder = new Responder({ handlers: () => [handler], recursionAvailable: () => true, random: () => 0, log: silentLogger })
  const ask = async (parts: Partial<Message> = {}): Promise<Message> => {
    const answered = await responder.respond(encodeMessage(message({ id: 7, recursionDesired: true, questions: [{ name: 'a.Test.', type: TYPE.A, class: 1 }], ...parts })), 'udp', Uint8Array.of(127, 0, 0, 1))
    return decodeMessage(answered ?? Buffer.alloc(0))
  }
  const withDnssec = { edns: { udpPayloadSize: 1232, version: 0, dnssecOk: true, options: [] } }
  await ask()
  t.equal((await ask()).answers[0]?.ttl, 10)
  const { hits } = responder.cache
  t.match(await ask({ id: 9 }), { id: 9, authoritative: false, questions: [{ name: 'a.Test.' }], answers: [{ name: 'a.Test.', ttl: 10 }] })
  t.equal(responder.cache.hits, hits + 1, 'as bytes')
  t.equal(handler.cache.hits, 2, 'and counted as what they are')
  t.equal((await ask({ recursionDesired: false })).rcode, RCODE.REFUSED)
  t.same((await ask(withDnssec)).answers[0]?.data[0], Buffer.from([192, 0, 2, 2]))
  t.same((await ask()).answers[0]?.data[0], Buffer.from([192, 0, 2, 1]))
  await clock.advance(3500)
  t.equal((await ask()).answers[0]?.ttl, 7)
  t.equal((await ask()).answers[0]?.ttl, 7)
  await clock.advance(500)
  t.equal((await ask()).answers[0]?.ttl, 6)
  await clock.advance(5000)
  t.equal(asked, 2)
  t.equal((await ask()).answers[0]?.ttl, 1, 'in its last tenth it is asked for anew')
  await clock.advance(1)
  t.equal(asked, 3)
  t.equal((await ask()).answers[0]?.ttl, 10)
})
