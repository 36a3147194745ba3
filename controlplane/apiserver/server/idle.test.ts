import { connect } from 'node:http2'
import type { ClientHttp2Session } from 'node:http2'
import { once } from 'node:events'
import t from 'tap'
import { FakeClock } from '../../../api/clock.ts'
import { parseKubeconfig } from '../../../api/kubeconfig.ts'
import { startTestServer } from '../test-support/server.ts'

t.test('a connection over which nothing is asked for three minutes is closed, one with a watch is not', async (t) => {
  const clock = new FakeClock(Date.now())
  const { server } = await startTestServer(t, { clock })
  const { ca, clientCert, clientKey } = parseKubeconfig(server.adminKubeconfig(), { directory: '/' })
  const open = async (): Promise<ClientHttp2Session> => {
    const session = connect(server.url, { ca, cert: clientCert, key: clientKey } as Parameters<typeof connect>[1])
    t.teardown(() => session.destroy())
    await once(session, 'remoteSettings')
    return session
  }
  const ask = async (session: ClientHttp2Session, path: string): Promise<number | undefined> => {
    const stream = session.request({ ':path': path })
    stream.resume().on('error', () => undefined) // a watch ends with its session
    const [headers] = (await once(stream, 'response')) as [{ ':status'?: number }]
    return headers[':status']
  }
  const [idle, busy, watching] = [await open(), await open(), await open()]
  t.equal(await ask(busy, '/version'), 200)
  t.equal(await ask(watching, '/api/v1/pods?watch=1&allowWatchBookmarks=true'), 200)
  await clock.advance(100_000)
  t.equal(await ask(busy, '/version'), 200)
  const gone = once(idle, 'close')
  await clock.advance(100_000)
  await gone
  t.strictSame([busy.closed, watching.closed], [false, false])
  const left = once(busy, 'close')
  await clock.advance(100_000)
  await left
  t.equal(watching.closed, false)
  t.equal(await ask(watching, '/version'), 200)
})
