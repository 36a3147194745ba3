import t from 'tap'
import { startMetrics } from './metrics.ts'

t.test('metrics are served to who reads, and a fault is told', async (t) => {
  let broken = false
  const metrics = await startMetrics({
    address: '127.0.0.1', port: 0, text: () => {
      if (broken) throw new Error('Cannot read the journal: it is corrupt')
      return 'up 1\n'
    },
  })
  const get = async (path: string, method = 'GET'): Promise<[number, string]> => {
    const response = await fetch(`http://127.0.0.1:${metrics.port}${path}`, { method })
    return [response.status, await response.text()]
  }
  t.strictSame(await get('/metrics'), [200, 'up 1\n'])
  t.match(await get('/other'), [404])
  t.match(await get('/metrics', 'POST'), [405])
  broken = true
  t.strictSame(await get('/metrics'), [500, 'Cannot read the journal: it is corrupt\n'])
  await t.rejects(startMetrics({ address: '127.0.0.1', port: metrics.port, text: () => '' }), /the port is in use; --metrics-bind-address/)
  await metrics.stop()
  await metrics.done
})
