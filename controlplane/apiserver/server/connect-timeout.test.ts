import { once } from 'node:events'
import { createServer, request } from 'node:http'
import type { IncomingMessage } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { createServer as createTcpServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { unansweringPort } from '../test-support/unanswering.ts'
import { limitConnecting } from './connect-timeout.ts'

t.test('an address that does not answer, and one that does not answer in TLS, are given up', async (t) => {
  const silent = createTcpServer((socket) => t.teardown(() => void socket.destroy())).listen(0, '127.0.0.1')
  t.teardown(() => void silent.close())
  await once(silent, 'listening')
  const unanswering = await unansweringPort(t)
  for (const [ask, port] of [[request, unanswering], [httpsRequest, (silent.address() as AddressInfo).port]] as const) {
    const outgoing = ask({ host: '127.0.0.1', port, agent: false })
    limitConnecting(outgoing, 50)
    await t.rejects(once(outgoing.end(), 'response'), { message: 'no connection within 0.05 s' })
  }
})

t.test('who has answered the call may take its time', async (t) => {
  const server = createServer((_request, response) => void setTimeout(() => response.end('late'), 60)).listen(0, '127.0.0.1')
  t.teardown(() => void server.close())
  await once(server, 'listening')
  const outgoing = request({ host: '127.0.0.1', port: (server.address() as AddressInfo).port, agent: false })
  // From within the event that brings the socket, too.
  outgoing.once('socket', () => limitConnecting(outgoing, 30))
  const [response] = (await once(outgoing.end(), 'response')) as [IncomingMessage]
  t.equal((await response.toArray()).join(''), 'late')
})
