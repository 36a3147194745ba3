/** What a proxy does where the API server lets it read less than it asks for. */
import t from 'tap'
import { Client } from '../api/client.ts'
import { FakeClock, systemClock } from '../api/clock.ts'
import { createLogger } from '../api/log.ts'
import type { ApiResponse } from '../api/transport.ts'
import { FakeNftables } from '../netlink/nftables/test-support/fake-nftables.ts'
import { startProxy } from './index.ts'
import type { Proxy, ProxyOptions } from './index.ts'
import { table } from './rules.ts'
import { SmallApi } from './test-support/api.ts'
import { service, slice } from './test-support/objects.ts'

const forbidden = (resource: string): ApiResponse => ({
  status: 403, headers: {}, body: (async function* () { yield Buffer.from(JSON.stringify({ kind: 'Status', code: 403, reason: 'Forbidden', message: `${resource} is forbidden` })) })(),
})

interface Started {
  readonly proxy: Proxy
  readonly frontends: () => string[]
  readonly said: readonly string[]
  readonly clock: FakeClock
  /** From now on it may. */
  allow(): void
}

/** A proxy of an API server with one service that has a node port, and that keeps a resource to itself. */
async function startWithout(resource: string, options: Partial<ProxyOptions> = {}): Promise<Started> {
  const api = new SmallApi()
  api.putNode({ metadata: { name: 'node-1' }, spec: {}, status: { addresses: [{ type: 'InternalIP', address: '192.0.2.1' }] } })
  api.putService(service('web', { clusterIP: '10.96.0.53', type: 'NodePort', ports: [{ port: 80, nodePort: 30080 }] }))
  api.putSlice(slice('web', ['10.244.0.5']))
  let isAllowed = false
  const client = new Client((request) => (!isAllowed && request.path.includes(`/${resource}`) ? Promise.resolve(forbidden(resource)) : api.transport(request)))
  const nftables = new FakeNftables()
  const said: string[] = []
  const clock = new FakeClock()
  const starting = startProxy({ client, nodeName: 'node-1', clock, random: () => 0, log: createLogger({ level: 'warn', write: (line) => said.push(line) }), nftables, healthzBindAddress: 'none', ...options })
  let proxy: Proxy | undefined
  for (let turn = 0; turn < 100; turn += 1) {
    await clock.advance(100)
    proxy = await Promise.race([starting, systemClock.sleep(1).then(() => undefined)])
    if (proxy !== undefined) break
  }
  if (proxy === undefined) throw new Error(`the proxy did not start: ${said.join('')}`)
  return { proxy, clock, said, frontends: () => (nftables.list(table)?.sets.get('service4')?.elements ?? []).map(({ key }) => key.join(' ')).toSorted(), allow: () => void (isAllowed = true) }
}

t.test('without its node it serves all but the node\'s own addresses, says so, and takes them when it may read them', async (t) => {
  const { proxy, frontends, said, clock, allow } = await startWithout('nodes')
  t.strictSame(frontends(), ['10.96.0.53 tcp 80', '127.0.0.1 tcp 30080'])
  t.match(said.join(''), /may not read its node/)
  allow()
  for (let turn = 0; turn < 200 && frontends().length < 3; turn += 1) await clock.advance(100)
  t.strictSame(frontends(), ['10.96.0.53 tcp 80', '127.0.0.1 tcp 30080', '192.0.2.1 tcp 30080'])
  await proxy.stop()
})

t.test('without ingresses it serves services, and listens for those that come', async (t) => {
  const { proxy, frontends, said } = await startWithout('ingresses', { ingress: [{ address: '127.0.0.1', port: 0 }] })
  t.strictSame(frontends(), ['10.96.0.53 tcp 80', '127.0.0.1 tcp 30080', '192.0.2.1 tcp 30080'])
  t.match(said.join(''), /resource=ingresses/)
  t.equal(proxy.ingressAddresses.length, 1)
  await proxy.stop()
})
