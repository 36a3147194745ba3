import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { FakeClock } from '../api/clock.ts'
import { HealthChecks } from './health-checks.ts'
import { startHealthServer } from './health.ts'
import type { Health } from './health.ts'

async function asked(url: string): Promise<[number, unknown]> {
  const response = await fetch(url)
  return [response.status, await response.json()]
}

t.test('health is what waits for the kernel, and whether the node stays', async (t) => {
  const clock = new FakeClock()
  let health: Health = { waitingSince: undefined, lastSync: undefined, nodeEligible: true }
  const server = await startHealthServer({ bindAddress: '127.0.0.1:0', clock, health: () => health })
  t.teardown(() => server.close())
  const both = async (): Promise<number[]> => Promise.all(['healthz', 'livez'].map(async (path) => (await asked(`http://${server.address}/${path}`))[0]))
  t.strictSame(await both(), [503, 503], 'nothing is in the kernel yet')
  health = { ...health, lastSync: clock.now() }
  t.strictSame(await both(), [200, 200])
  health = { ...health, waitingSince: clock.monotonicMs() }
  await clock.advance(59_000)
  t.strictSame(await both(), [200, 200], 'it has not waited long')
  await clock.advance(2_000)
  t.strictSame(await both(), [503, 503])
  health = { waitingSince: undefined, lastSync: clock.now(), nodeEligible: false }
  t.strictSame(await both(), [503, 200], 'balancers leave a node that goes, nobody ends its proxy')
  t.match((await asked(`http://${server.address}/healthz`))[1], { nodeEligible: false, lastUpdated: String, currentTime: String })
  t.strictSame(Object.keys((await asked(`http://${server.address}/livez`))[1] as object), ['lastUpdated', 'currentTime'])
})

t.test('a proxy that does not bring changes to the kernel answers no balancer that endpoints are here', async (t) => {
  let healthy = true
  const checks = new HealthChecks({ isHealthy: () => healthy, onFailure: (_, error) => t.fail(error.message) })
  t.teardown(() => checks.close())
  const port = 20_000 + (process.pid % 10_000)
  checks.set('default/web', { port, localEndpoints: 2 })
  t.strictSame(await asked(`http://127.0.0.1:${port}/`), [200, { service: { namespace: 'default', name: 'web' }, localEndpoints: 2, serviceProxyHealthy: true }])
  healthy = false
  t.strictSame(await asked(`http://127.0.0.1:${port}/`), [503, { service: { namespace: 'default', name: 'web' }, localEndpoints: 2, serviceProxyHealthy: false }])
})

t.test('a port that somebody else has is told, and taken once it is free', async (t) => {
  const other = createServer()
  await new Promise<void>((resolve) => void other.listen(0, resolve))
  const { port } = other.address() as AddressInfo
  const { promise, resolve } = Promise.withResolvers<string>()
  const checks = new HealthChecks({ isHealthy: () => true, onFailure: (service, { message }) => resolve(`${service}: ${message}`) })
  t.teardown(() => checks.close())
  checks.set('default/web', { port, localEndpoints: 1 })
  t.match(await promise, `default/web: Cannot answer health checks of service default/web on port ${port}: listen EADDRINUSE`)
  await new Promise<void>((resolve) => void other.close(() => resolve()))
  checks.again()
  t.equal((await asked(`http://127.0.0.1:${port}/`))[0], 200)
})
