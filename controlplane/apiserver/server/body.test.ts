// Bodies that do not end: refused in time, and not kept although the client leaves its request open.
import { connect } from 'node:http2'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import t from 'tap'
import { FakeClock } from '../../../api/clock.ts'
import { parseKubeconfig } from '../../../api/kubeconfig.ts'
import { startTestServer } from '../test-support/server.ts'

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void
const pause = (ms: number): Promise<void> => new Promise((resolve) => void setTimeout(resolve, ms))
const count = 30
const bytesEach = 2_000_000

t.test('a body that does not end is refused after a minute, and nothing of it is kept', async (t) => {
  const clock = new FakeClock(Date.now())
  const { server } = await startTestServer(t, { clock })
  const { ca, clientCert, clientKey } = parseKubeconfig(server.adminKubeconfig(), { directory: '/' })
  const before = process.memoryUsage().arrayBuffers
  const body = Buffer.alloc(bytesEach, 32)
  const answers = Array.from({ length: count }, () => {
    const session = connect(server.url, { ca, cert: clientCert, key: clientKey } as Parameters<typeof connect>[1])
    t.teardown(() => session.destroy())
    const stream = session.request({ ':method': 'POST', ':path': '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews', 'content-type': 'application/json' }, { endStream: false })
    stream.write(body)
    stream.resume()
    return new Promise<number | undefined>((resolve, reject) => void stream.once('error', reject).once('response', (headers) => resolve(headers[':status'])))
  })
  const held = (): number => process.memoryUsage().arrayBuffers - before
  for (let turn = 0; turn < 100 && held() < (count * bytesEach) / 2; turn++) await pause(20)
  await pause(200)
  t.ok(held() > (count * bytesEach) / 2, `${held()} bytes are held while there is hope`)
  await clock.advance(61_000)
  t.strictSame(new Set(await Promise.all(answers)), new Set([408]))
  for (let turn = 0; turn < 50 && held() > 10_000_000; turn++) {
    collect()
    await pause(20)
  }
  t.ok(held() < 10_000_000, `${held()} bytes are held afterwards`)
})
