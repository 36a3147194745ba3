import t from 'tap'
import { systemClock } from '../api/clock.ts'
import { silentLogger } from '../api/log.ts'
import type { Node } from '../api/types.ts'
import { FakeNftables } from '../netlink/nftables/test-support/fake-nftables.ts'
import { explainService, startProxy } from './index.ts'
import { whereTo } from './model.ts'
import { table } from './rules.ts'
import { SmallApi } from './test-support/api.ts'
import { service, slice } from './test-support/objects.ts'

const node: Node = { metadata: { name: 'node-1' }, spec: { podCIDRs: ['10.244.0.0/24'] }, status: { addresses: [{ type: 'InternalIP', address: '192.0.2.1' }] } }

async function started(): Promise<{ api: SmallApi; nftables: FakeNftables; stop: () => Promise<void> }> {
  const api = new SmallApi()
  api.putNode(node)
  api.putService(service('web', { type: 'NodePort', ports: [{ name: 'http', port: 80, nodePort: 30080 }] }))
  api.putSlice(slice('web', ['10.244.0.5', '!10.244.1.5', '~10.244.1.6', '10.244.1.7'], { ports: [{ name: 'http', port: 8080 }] }))
  api.putService(service('empty', { clusterIP: '10.96.0.54' }))
  const nftables = new FakeNftables()
  const proxy = await startProxy({ client: api.client, nodeName: 'node-1', nftables, clock: systemClock, random: Math.random, log: silentLogger, healthzBindAddress: 'none' })
  return { api, nftables, stop: () => proxy.stop() }
}

t.test('a service is explained: frontends, elements of the kernel, and why endpoints are not used', async (t) => {
  const { api, nftables, stop } = await started()
  t.teardown(stop)
  t.equal(await explainService({ client: api.client, nodeName: 'node-1', nftables, service: 'default/web:http' }), `Service default/web, NodePort, as node node-1 has it

port http 80/TCP
  clusterIP 10.96.0.53 tcp 80 ─► one of 2 at random
    map service4: 10.96.0.53 . tcp . 80 : n2
    map endpoint4: 10.96.0.53 . tcp . 80 . 0 : 10.244.0.5 . 8080
    map endpoint4: 10.96.0.53 . tcp . 80 . 1 : 10.244.1.7 . 8080
  nodePort 192.0.2.1 tcp 30080 ─► one of 2 at random
    map service4: 192.0.2.1 . tcp . 30080 : n2
    map endpoint4: 192.0.2.1 . tcp . 30080 . 0 : 10.244.0.5 . 8080
    map endpoint4: 192.0.2.1 . tcp . 30080 . 1 : 10.244.1.7 . 8080
  nodePort 127.0.0.1 tcp 30080 ─► one of 2 at random
    map service4: 127.0.0.1 . tcp . 30080 : n2
    map endpoint4: 127.0.0.1 . tcp . 30080 . 0 : 10.244.0.5 . 8080
    map endpoint4: 127.0.0.1 . tcp . 30080 . 1 : 10.244.1.7 . 8080
  endpoint 10.244.0.5 port 8080, on this node: used
  endpoint 10.244.1.5 port 8080: not used, it is not ready
  endpoint 10.244.1.6 port 8080: not used, it is terminating and others are ready
  endpoint 10.244.1.7 port 8080: used
`)
  const primary = await explainService({ client: api.client, nodeName: 'node-1', nftables, service: 'web', nodePortAddresses: ['primary'], hostAddresses: [] })
  t.match(primary, 'nodePort 192.0.2.1 tcp 30080 ─►')
  t.notMatch(primary, '127.0.0.1', 'which is told of where the proxy serves it')
  nftables.another().apply([{ kind: 'deleteTable', table }])
  const broken = await explainService({ client: api.client, nodeName: 'node-1', nftables, service: 'web' })
  t.match(broken, 'the kernel has no table inet fairway-proxy')
  t.match(await explainService({ client: api.client, nodeName: 'node-1', nftables: new FakeNftables(), service: 'empty' }), 'refused: it has no endpoints')
  await t.rejects(explainService({ client: api.client, nodeName: 'node-1', nftables, service: 'web:81' }), { message: 'Cannot explain port 81 of service default/web: it has http 80/TCP' })
  await t.rejects(explainService({ client: api.client, nodeName: 'node-1', nftables, service: 'none' }), { message: /none/ })
})

t.test('source ranges are explained', async (t) => {
  const { api, nftables, stop } = await started()
  t.teardown(stop)
  const explained = async (loadBalancerSourceRanges: string[]): Promise<string> => {
    const balanced = service('balanced', { clusterIP: '10.96.0.57', type: 'LoadBalancer', loadBalancerSourceRanges })
    api.putService({ ...balanced, status: { loadBalancer: { ingress: [{ ip: '203.0.113.80' }] } } })
    return explainService({ client: api.client, nodeName: 'node-1', nftables, service: 'balanced' })
  }
  t.match(await explained(['192.0.2.0/24', '10.0.0.0/8']), 'loadBalancer 203.0.113.80 tcp 80 ─► refused: it has no endpoints, for clients of 192.0.2.0/24, 10.0.0.0/8 alone\n')
  t.match(await explained(['nonsense']), 'for no client: no source range can be read')
  t.notMatch(await explained([]), 'for clients of')
})

t.test('the model says where packets go', async (t) => {
  const { nftables, stop } = await started()
  t.teardown(stop)
  const ruleset = nftables.list(table)!
  const fates = (source: string, destination: string, port: number): string[] => whereTo(ruleset, { source, destination, protocol: 'tcp', port, hostAddresses: ['192.0.2.1'] })
    .map((fate) => (fate.kind === 'endpoint' ? `${fate.address}:${fate.port}${fate.masqueraded ? ' masqueraded' : ''}` : fate.kind === 'rejected' ? fate.with : fate.kind))
  const cases: readonly (readonly [string, string, string, number, readonly string[]])[] = [
    ['a pod to a cluster IP', '10.244.0.9', '10.96.0.53', 80, ['10.244.0.5:8080', '10.244.1.7:8080']],
    ['an endpoint to itself', '10.244.0.5', '10.96.0.53', 80, ['10.244.0.5:8080 masqueraded', '10.244.1.7:8080']],
    ['the host to a cluster IP', '192.0.2.1', '10.96.0.53', 80, ['10.244.0.5:8080', '10.244.1.7:8080 masqueraded']],
    ['outside to a cluster IP', '198.51.100.9', '10.96.0.53', 80, ['10.244.0.5:8080', '10.244.1.7:8080 masqueraded']],
    ['outside to a node port', '198.51.100.9', '192.0.2.1', 30080, ['10.244.0.5:8080', '10.244.1.7:8080 masqueraded']],
    ['a pod to a node port', '10.244.0.9', '192.0.2.1', 30080, ['10.244.0.5:8080', '10.244.1.7:8080']],
    ['localhost to a node port', '127.0.0.1', '127.0.0.1', 30080, ['10.244.0.5:8080 masqueraded', '10.244.1.7:8080 masqueraded']],
    ['somebody else\'s localhost', '198.51.100.9', '127.0.0.1', 30080, ['untouched']],
    ['no endpoints', '10.244.0.9', '10.96.0.54', 80, ['tcp reset']],
    ['a port without a service', '10.244.0.9', '10.96.0.53', 81, ['tcp reset']],
    ['no service at all', '10.244.0.9', '203.0.113.1', 80, ['untouched']],
  ]
  for (const [name, source, destination, port, expected] of cases) t.strictSame(fates(source, destination, port), expected, name)
})

t.test('the older of two services with one address is served, and the other is told', async (t) => {
  const { api, stop } = await started()
  api.putService(service('late', { created: '2026-03-01T00:00:00Z' }))
  while (api.events.length === 0) await systemClock.sleep(5)
  t.match(api.events, [{ reason: 'NotServed', type: 'Warning', involvedObject: { name: 'late' }, message: 'Not served on node-1: 10.96.0.53 tcp 80 belongs to default/web' }])
  await stop()
})

t.test('what a hint or a policy keeps from being used is told with its reason', async (t) => {
  const { api, nftables, stop } = await started()
  t.teardown(stop)
  const explained = (name: string): Promise<string> => explainService({ client: api.client, nodeName: 'node-1', nftables, service: name })
  api.putService(service('near', { clusterIP: '10.96.0.60' }))
  api.putSlice(slice('near', [{ addresses: ['10.244.0.5'], nodeName: 'node-1', hints: { forNodes: [{ name: 'node-1' }] } }, { addresses: ['10.244.1.5'], nodeName: 'node-2', hints: { forNodes: [{ name: 'node-2' }], forZones: [{ name: 'b' }] } }]))
  t.match(await explained('near'), '10.244.1.5 port 8080: not used, its hints are for node node-2, zone b, and this node is node-1')
  api.putService(service('local', { clusterIP: '10.96.0.61', internalTrafficPolicy: 'Local' }))
  api.putSlice(slice('local', ['10.244.0.5', '10.244.1.5']))
  t.match(await explained('local'), '10.244.1.5 port 8080: not used, it is not on this node, and internalTrafficPolicy is Local')
})
