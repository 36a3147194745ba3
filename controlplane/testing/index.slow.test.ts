// What 'fairway/testing' promises: quick, whole, and gone afterwards; and the example that shows how.
import { spawnSync } from 'node:child_process'
import t from 'tap'
import { startApiServer } from 'fairway/testing'
import { httpsTransport } from '../../api/https-transport.ts'
import { parseKubeconfig } from '../../api/kubeconfig.ts'

t.test('several servers at once are strangers to each other, and are gone when they stop', async (t) => {
  const first = await startApiServer()
  await using second = await startApiServer()
  t.not(first.url, second.url)
  const status = async (kubeconfig: string): Promise<number> => {
    const transport = httpsTransport(parseKubeconfig(kubeconfig, { directory: '/' }))
    try {
      return (await transport({ method: 'GET', path: '/api/v1/secrets' })).status
    } finally {
      transport.close()
    }
  }
  t.equal(await status(first.kubeconfig), 200)
  t.equal(await status(await second.kubeconfigFor({ user: 'jane' })), 403)
  await first.stop()
  await t.rejects(status(first.kubeconfig))
})

t.test('the example of a controller under test passes', (t) => {
  const example = new URL('../../examples/operator-test.ts', import.meta.url).pathname
  const { status, stdout } = spawnSync(process.execPath, ['--test', example], { encoding: 'utf8', timeout: 60_000, env: { ...process.env, NODE_TEST_CONTEXT: undefined, NODE_OPTIONS: '' } })
  t.equal(status, 0, stdout)
  t.end()
})
