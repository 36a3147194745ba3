import { once } from 'node:events'
import { connect } from 'node:net'
import t from 'tap'
import { systemClock } from '../../api/clock.ts'
import { InformerSet } from '../../api/informer-set.ts'
import { silentLogger } from '../../api/log.ts'
import { SmallApi } from '../test-support/api.ts'
import { IngressController } from './index.ts'

const { client } = new SmallApi()
const informers = new InformerSet(client)
const controller = new IngressController({
  client, informers, slicesOf: () => [], place: () => ({ name: 'node-1' }), addresses: () => [], listen: [{ address: '127.0.0.1', port: 0 }],
  clock: systemClock, random: Math.random, log: silentLogger, headMs: 100,
})
informers.start()
await controller.start()
t.teardown(async () => {
  informers.stop()
  await controller.stop()
})
const port = Number(controller.listening[0]?.split(':')[1])

/** What a client hears that says this and then nothing, until it is hung up on. */
async function heardAfter(said: string | Buffer): Promise<string> {
  const socket = connect(port, '127.0.0.1')
  if (said.length > 0) socket.write(said)
  let heard = ''
  socket.on('data', (data) => (heard += String(data)))
  socket.on('error', () => socket.destroy())
  await once(socket, 'close')
  return heard.split('\r\n')[0] ?? ''
}

t.test('a client that does not finish what it says is not waited for', async (t) => {
  t.equal(await heardAfter(''), '')
  t.equal(await heardAfter('GET / HTTP/1.1\r\nHo'), 'HTTP/1.1 408 Request Timeout')
  // The head of a TLS record that never comes.
  t.equal(await heardAfter(Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00])), '')
})
