import { once } from 'node:events'
import { createServer, request } from 'node:https'
import type { Server } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import t from 'tap'
import { systemClock } from '../../api/clock.ts'
import { silentLogger } from '../../api/log.ts'
import { CertificateAuthority } from '../../controlplane/apiserver/pki/authority.ts'
import { startBalancer } from './index.ts'

const authority = await CertificateAuthority.create('test-ca', () => Date.now())
const { certificate: cert, key } = await authority.issue({ subject: { commonName: 'test' }, usages: ['server'], names: ['127.0.0.1'], validMs: 3_600_000 })

/** A server that says its name, and at /hang nothing. */
async function named(name: string): Promise<{ readonly server: Server; readonly url: string; ready: boolean; kill(): void }> {
  const sockets = new Set<Socket>()
  const one = { ready: true }
  const server = createServer({ cert, key }, ({ url }, response) => {
    if (url === '/readyz') response.writeHead(one.ready ? 200 : 503).end()
    else if (url !== '/hang') response.end(name)
  })
  server.on('connection', (socket: Socket) => sockets.add(socket))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const kill = (): void => {
    server.close()
    for (const socket of sockets) socket.destroy()
  }
  return Object.assign(one, { server, url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`, kill })
}

function ask(port: number, path = '/'): Promise<string> {
  return new Promise((resolve, reject) => {
    request({ host: '127.0.0.1', port, path, ca: authority.certificate, agent: false }, (response) => {
      response.once('data', (text: Buffer) => resolve(text.toString()))
    }).on('error', reject).end()
  })
}

/** Who answers; `cut` for those whose connection was. */
async function asked(port: number, times: number): Promise<Set<string>> {
  const answers = await Promise.allSettled(Array.from({ length: times }, () => ask(port)))
  return new Set(answers.map((answer) => (answer.status === 'fulfilled' ? answer.value : 'cut')))
}

await t.test('connections go to servers that are ready, and are cut when theirs is not any more', async (t) => {
  const [a, b] = await Promise.all([named('a'), named('b')])
  const balancer = await startBalancer({ listen: [{ address: '127.0.0.1', port: 0 }], servers: [a.url, b.url], clock: systemClock, log: silentLogger })
  const [port = 0] = balancer.ports
  t.teardown(async () => {
    await balancer.stop()
    for (const one of [a, b]) one.kill()
  })
  t.same(await asked(port, 6), new Set(['a', 'b']), 'in turn')
  const hanging = Promise.allSettled([ask(port, '/hang'), ask(port, '/hang')])
  a.ready = false
  // One of the two hangs at a, and the other at b.
  while ([...(await asked(port, 4))].join() !== 'b') await systemClock.sleep(20)
  b.kill()
  t.same((await hanging).map(({ status }) => status), ['rejected', 'rejected'], 'those under way are told')
  a.ready = true
  t.same(await asked(port, 4), new Set(['a']), 'one that refuses connections is passed over at once')
  a.kill()
  t.same(await asked(port, 1), new Set(['cut']))
})
