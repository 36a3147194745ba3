import { createSocket } from 'node:dgram'
import t from 'tap'
import { data, start, web } from '../test-support/started.ts'
import { TYPE, encodeMessage, message } from '../wire/index.ts'

t.test('servers elsewhere that are dead delay no name of the cluster, however many wait for them', async (t) => {
  const silent = createSocket('udp4')
  const asker = createSocket('udp4')
  await new Promise<void>((resolve) => silent.bind(0, '127.0.0.1', resolve))
  t.teardown(() => {
    silent.close()
    asker.close()
  })
  const { ask, server, port } = await start(t, { services: [web] }, { upstreams: [{ address: '127.0.0.1', port: silent.address().port }] })
  await server.ready
  let answered = 0
  let arrived = 0
  asker.on('message', () => (answered += 1))
  silent.on('message', () => (arrived += 1))
  for (let id = 0; id < 300; id += 1) asker.send(encodeMessage(message({ id, recursionDesired: true, questions: [{ name: `name-${id}.example.`, type: TYPE.A, class: 1 }] })), port, '127.0.0.1')
  for (let n = 0; n < 100; n += 1) {
    t.same(data(await ask('web.default.svc.cluster.local')), ['10.96.0.7'])
    t.equal((await ask(`missing-${n}.default.svc.cluster.local`)).rcode, 'NXDOMAIN')
  }
  t.ok(arrived > 100, `${arrived} questions are under way`)
  t.equal(answered, 0, 'all the others still wait')
})
