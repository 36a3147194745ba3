/** Fields of Services and EndpointSlices that choose, as packets see them; see test-support/network.ts. */
import { execFileSync } from 'node:child_process'
import t from 'tap'
import { systemClock } from '../api/clock.ts'
import { createLogger } from '../api/log.ts'
import type { Endpoint, Node, Service } from '../api/types.ts'
import { RouteSocket } from '../netlink/route/index.ts'
import { startProxy } from './index.ts'
import { SmallApi } from './test-support/api.ts'
import { makeNetwork } from './test-support/network.ts'
import { endpoint, service, slice } from './test-support/objects.ts'
import { RawListener, protocols, sctpInit, sctpInitAck, sendRaw, tcpSegment } from './test-support/raw-packets.ts'

if (process.getuid?.() !== 0) {
  t.plan(0, 'fields of services as packets see them: needs root')
  process.exit()
}

const node: Node = {
  metadata: { name: 'node-1', labels: { 'topology.kubernetes.io/zone': 'a' } }, spec: { podCIDRs: ['10.244.0.0/24', 'fd00:10:244::/64'] },
  status: { addresses: [{ type: 'InternalIP', address: '192.0.2.1' }, { type: 'InternalIP', address: '2001:db8::1' }] },
}

const network = await makeNetwork()
t.teardown(() => network[Symbol.asyncDispose]())
const { podA, podB, remote, outside, onHost, spaces } = network
const api = new SmallApi()
api.putNode(node)
await Promise.all([podA.serve('tcp', 8080, 'a'), podB.serve('tcp', 8080, 'b'), podB.serve('tcp', 9090, 'b9090'), remote.serve('tcp', 8080, 'remote'), onHost.serve('tcp', 30099, 'host'), onHost.serve('udp', 30099, 'host', '0.0.0.0')])
const proxy = await startProxy({
  client: api.client, nodeName: 'node-1', netns: network.host, clock: systemClock, random: Math.random, socketsEveryMs: 200, healthzBindAddress: 'none', serviceClusterIPRange: ['10.96.0.0/12'], metricsBindAddress: '127.0.0.1:0', traffic: true,
  nodePortAddresses: ['192.0.2.0/24', '198.51.100.0/24', '127.0.0.0/8'], log: createLogger({ level: process.env['PROXY_LOG'] === undefined ? 'error' : 'debug' }),
})
t.teardown(() => proxy.stop())

function nft(...words: string[]): string {
  return execFileSync('nsenter', [`--net=${network.hostPath}`, 'nft', ...words], { encoding: 'utf8' })
}

async function eventually(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  for (let attempt = 0; attempt < 300; attempt += 1) {
    if (await holds()) return
    await systemClock.sleep(10)
  }
  throw new Error(`never: ${what}`)
}

const quick = { timeoutMs: 50 }

async function answers(call: () => Promise<string>, times = 16): Promise<string[]> {
  const heard = new Set<string>()
  for (let attempt = 0; attempt < times; attempt += 1) heard.add((await call()).split(' ')[0] ?? '')
  return [...heard].toSorted()
}

const inKernel = (text: string): (() => boolean) => () => nft('list', 'map', 'inet', 'fairway-proxy', 'service4').includes(text)

t.test('SCTP: an association to a cluster IP and one to a node port reach an endpoint, and its answers come from there', async (t) => {
  api.putService(service('sctp', { type: 'NodePort', clusterIP: '10.96.1.1', ports: [{ port: 36_412, protocol: 'SCTP', nodePort: 30_412 }] }))
  api.putSlice(slice('sctp', ['10.244.0.6'], { ports: [{ port: 38_412, protocol: 'SCTP' }] }))
  await eventually('in the kernel', inKernel('10.96.1.1 . sctp . 36412 : goto n1'))
  using endpoint = new RawListener(spaces.get('pod-b')!, protocols.sctp)
  const clients = [{ space: 'pod-a', address: '10.244.0.5', to: '10.96.1.1', port: 36_412 }, { space: 'outside', address: '198.51.100.9', to: '192.0.2.1', port: 30_412 }]
  for (const { space, address, to, port } of clients) {
    using client = new RawListener(spaces.get(space)!, protocols.sctp)
    const [asked, answered]: [string[], string[]] = [[], []]
    await eventually('heard', () => {
      sendRaw(spaces.get(space)!, protocols.sctp, to, sctpInit(5000, port))
      asked.push(...endpoint.heard())
      return asked.length > 0
    })
    t.equal(asked[0], `${address}:5000 to 10.244.0.6:38412`)
    await eventually('answered', () => {
      sendRaw(spaces.get('pod-b')!, protocols.sctp, address, sctpInitAck(38_412, 5000))
      answered.push(...client.heard())
      return answered.length > 0
    })
    t.equal(answered[0], `${to}:${port} to ${address}:5000`)
  }
})

t.test('a packet that belongs to no connection is not let through: its receiver would reset somebody', async (t) => {
  using listener = new RawListener(spaces.get('outside')!, protocols.tcp)
  const segment = (flags: number, sourcePort: number): void => {
    const addresses = { source: '10.244.0.5', destination: '198.51.100.9' }
    sendRaw(spaces.get('pod-a')!, protocols.tcp, addresses.destination, tcpSegment({ ...addresses, sourcePort, port: 7777, flags }))
  }
  segment(2 | 16, 6001) // SYN and ACK: an answer to nobody
  const heard: string[] = []
  await eventually('a first packet arrives', () => {
    segment(2, 6002)
    heard.push(...listener.heard())
    return heard.length > 0
  })
  t.strictSame([...new Set(heard)], ['10.244.0.5:6002 to 198.51.100.9:7777'])
})

t.test('an address that its balancer serves by itself is left to it, another one is served here', async (t) => {
  const balanced: Service = { ...service('balanced', { clusterIP: '10.96.1.2', type: 'LoadBalancer' }), status: { loadBalancer: { ingress: [{ ip: '203.0.113.1', ipMode: 'Proxy' }, { ip: '203.0.113.2', ipMode: 'VIP' }] } } }
  api.putService(balanced)
  api.putSlice(slice('balanced', ['10.244.0.6']))
  await eventually('VIP', async () => (await podA.call('tcp', '203.0.113.2', 80, quick)).startsWith('b '))
  t.not((await podA.call('tcp', '203.0.113.1', 80, { timeoutMs: 150 })).split(' ')[0], 'b')
})

t.test('external addresses are reached from outside and from pods', async (t) => {
  api.putService(service('external', { clusterIP: '10.96.1.3', externalIPs: ['203.0.113.3'] }))
  api.putSlice(slice('external', ['10.244.0.6']))
  await eventually('from outside', async () => (await outside.call('tcp', '203.0.113.3', 80, quick)) === 'b 198.51.100.9')
  t.equal(await podA.call('tcp', '203.0.113.3', 80), 'b 10.244.0.5')
})

t.test('a target port by name may be another one on each pod', async (t) => {
  api.putService(service('named', { clusterIP: '10.96.1.4', ports: [{ port: 80, targetPort: 'http' }] }))
  api.putSlice(slice('named', ['10.244.1.5']))
  api.putSlice(slice('named', ['10.244.0.6'], { name: 'named-2', ports: [{ port: 9090 }] }))
  await eventually('in the kernel', inKernel('10.96.1.4 . tcp . 80 : goto n2'))
  t.strictSame(await answers(() => podA.call('tcp', '10.96.1.4', 80)), ['b9090', 'remote'])
})

t.test('hints: this node before this zone, this zone before others', async (t) => {
  const hinted = (text: string, hints: Endpoint['hints']): Endpoint => ({ ...endpoint(text), ...(hints === undefined ? {} : { hints }) })
  const zones = (here: string, there: string): Endpoint[] => [hinted('10.244.0.6', { forZones: [{ name: here }] }), hinted('10.244.1.5', { forZones: [{ name: there }] })]
  api.putService(service('near', { clusterIP: '10.96.1.5', trafficDistribution: 'PreferSameZone' }))
  for (const [name, endpoints, expected] of [
    ['PreferSameZone', zones('b', 'a'), ['remote']],
    ['no zone is ours', zones('b', 'c'), ['b', 'remote']],
    ['PreferSameNode', [hinted('10.244.0.6', { forZones: [{ name: 'a' }], forNodes: [{ name: 'node-1' }] }), hinted('10.244.1.5', { forZones: [{ name: 'a' }], forNodes: [{ name: 'node-2' }] })], ['b']],
  ] as const) {
    api.putSlice(slice('near', endpoints))
    await eventually(`${name} in the kernel`, inKernel(`10.96.1.5 . tcp . 80 : goto n${expected.length}`))
    await systemClock.sleep(20)
    t.strictSame(await answers(() => podA.call('tcp', '10.96.1.5', 80)), expected, name)
  }
})

t.test('client affinity ends when it was not used for its time', async (t) => {
  api.putService(service('short', { clusterIP: '10.96.1.6', sessionAffinity: 'ClientIP', sessionAffinityConfig: { clientIP: { timeoutSeconds: 1 } } }))
  api.putSlice(slice('short', ['10.244.0.6', '10.244.1.5']))
  await eventually('in the kernel', inKernel('10.96.1.6 . tcp . 80 : goto n2-sticky'))
  t.equal((await answers(() => podA.call('tcp', '10.96.1.6', 80))).length, 1)
  await eventually('the client may go to the other', async () => {
    const before = (await podA.call('tcp', '10.96.1.6', 80)).split(' ')[0]
    await systemClock.sleep(1050)
    return (await podA.call('tcp', '10.96.1.6', 80)).split(' ')[0] !== before
  })
})

t.test('endpoints that are published before they are ready are used: the slices say that they are', async (t) => {
  api.putService(service('early', { clusterIP: '10.96.1.7', publishNotReadyAddresses: true }))
  api.putSlice(slice('early', [{ ...endpoint('10.244.0.6'), conditions: { ready: true, serving: false, terminating: false } }]))
  await eventually('used', async () => (await podA.call('tcp', '10.96.1.7', 80, quick)).startsWith('b '))
  t.pass('used')
})

t.test('while all endpoints terminate, those that still serve are used; then ready ones only', async (t) => {
  api.putService(service('ending', { clusterIP: '10.96.1.8' }))
  api.putSlice(slice('ending', ['~10.244.0.6', '!10.244.1.5']))
  await eventually('used', async () => (await podA.call('tcp', '10.96.1.8', 80, quick)).startsWith('b '))
  api.putSlice(slice('ending', ['~10.244.0.6', '10.244.1.5']))
  await eventually('the ready one', async () => (await podA.call('tcp', '10.96.1.8', 80)).startsWith('remote '))
  t.strictSame(await answers(() => podA.call('tcp', '10.96.1.8', 80)), ['remote'])
  api.putSlice(slice('ending', ['!10.244.0.6', '!10.244.1.5']))
  await eventually('refused', async () => (await podA.call('tcp', '10.96.1.8', 80)) === 'ECONNREFUSED')
})

t.test('node ports are served on the addresses that were chosen, and on no other', async (t) => {
  api.putService(service('port', { clusterIPs: ['10.96.1.9', 'fd00:10:96::9'], type: 'NodePort', ports: [{ port: 80, nodePort: 30100 }] }))
  api.putSlice(slice('port', ['10.244.0.6']))
  api.putSlice(slice('port', ['fd00:10:244::6'], { name: 'port-6' }))
  await eventually('the first', async () => (await outside.call('tcp', '192.0.2.1', 30100, quick)).startsWith('b '))
  t.match(await outside.call('tcp', '198.51.100.1', 30100), /^b /, 'another address of the host in a chosen range')
  t.match(await onHost.call('tcp', '127.0.0.1', 30100), /^b /)
  t.equal(await outside.call('tcp', '2001:db8::1', 30100), 'ECONNREFUSED', 'no range has it')
})

t.test('an address that the host gets later serves them too, and one that it loses no more', async (t) => {
  using route = RouteSocket.open({ netns: network.host })
  const address = { link: route.links.get('outside')!.index, address: '198.51.100.77', prefixLength: 24 }
  route.addresses.add(address)
  await eventually('the new one', async () => (await outside.call('tcp', '198.51.100.77', 30100, quick)).startsWith('b '))
  route.addresses.delete(address)
  await eventually('it is gone', () => !nft('list', 'map', 'inet', 'fairway-proxy', 'service4').includes('198.51.100.77'))
  t.match(await outside.call('tcp', '198.51.100.1', 30100), /^b /)
})

t.test('a node port that takes clients from a program of the host is told', async (t) => {
  t.match(await outside.call('tcp', '192.0.2.1', 30099), /^host /)
  api.putService(service('greedy', { clusterIP: '10.96.1.10', type: 'NodePort', ports: [{ name: 't', port: 80, nodePort: 30099 }, { name: 'u', port: 80, protocol: 'UDP', nodePort: 30099 }] }))
  api.putSlice(slice('greedy', ['10.244.0.6'], { ports: [{ name: 't', port: 8080 }] }))
  await eventually('an event', () => api.events.some(({ reason }) => reason === 'SocketHidden'))
  const messages = api.events.filter(({ reason }) => reason === 'SocketHidden').map(({ message, involvedObject }) => `${involvedObject.name}: ${message}`)
  t.match(messages, [/^greedy: Clients of node-1 itself are taken: .*192\.0\.2\.1 tcp 30099 hides what listens on :: port 30099/])
  t.match(messages, [/192\.0\.2\.1 udp 30099 hides what listens on 0\.0\.0\.0 port 30099/])
  t.match(await outside.call('tcp', '192.0.2.1', 30099), /^b /)
})

t.test('and so is one that begins to listen when the service is there', async (t) => {
  api.putService(service('first', { clusterIP: '10.96.1.12', type: 'NodePort', ports: [{ port: 80, nodePort: 30098 }] }))
  await eventually('in the kernel', inKernel('10.96.1.12 . tcp . 80'))
  const told = (): boolean => api.events.some(({ reason, message = '', involvedObject }) => reason === 'SocketHidden' && involvedObject.name === 'first' && message.includes('tcp 30098 hides what listens on :: port 30098'))
  t.notOk(told())
  await onHost.serve('tcp', 30098, 'late')
  await eventually('an event', told)
  t.pass('told')
})

t.test('what went through each service is counted, connections that ended and such that are open', async (t) => {
  api.putService(service('counted', { clusterIP: '10.96.1.11', ports: [{ name: 'http', port: 80 }] }))
  api.putSlice(slice('counted', ['10.244.0.6'], { ports: [{ name: 'http', port: 8080 }] }))
  await eventually('in the kernel', inKernel('10.96.1.11 . tcp . 80 : goto n1'))
  for (let call = 0; call < 5; call += 1) t.match(await podA.call('tcp', '10.96.1.11', 80), /^b /)
  await podA.open('counted', '10.96.1.11', 80)
  const read = async (): Promise<string> => (await fetch(`http://${proxy.metricsAddress}/metrics`)).text()
  const text = await read()
  t.match(text, 'fairway_proxy_service_connections_total{namespace="default",service="counted",port="http"} 6')
  const [bytesIn = 0, bytesOut = 0] = ['in', 'out'].map((direction) => Number(new RegExp(`fairway_proxy_service_bytes_total\\{namespace="default",service="counted",port="http",direction="${direction}"\\} (\\d+)`).exec(text)?.[1]))
  t.ok(bytesIn > 6 * 100 && bytesOut > 6 * 100, `${bytesIn} and ${bytesOut} bytes`)
  // a handshake alone is 3 packets of 40 bytes; what ends is counted once
  execFileSync('nsenter', [`--net=${network.hostPath}`, 'conntrack', '-D', '-p', 'tcp', '--orig-dst', '10.96.1.11'], { stdio: 'ignore' })
  await eventually('still 6', async () => (await read()).includes('service="counted",port="http"} 6'))
  api.deleteService('counted')
  await eventually('no more spoken of', async () => !(await read()).includes('service="counted"'))
})

t.test('what the proxy did is counted under the names that kube-proxy gives it', async (t) => {
  const given = slice('sctp', ['10.244.0.6', '10.244.1.5'], { ports: [{ port: 38_412, protocol: 'SCTP' }] })
  api.putSlice({ ...given, metadata: { ...given.metadata, annotations: { 'endpoints.kubernetes.io/last-change-trigger-time': new Date(Date.now() - 400).toISOString() } } })
  await eventually('in the kernel', inKernel('10.96.1.1 . sctp . 36412 : goto n2'))
  const text = await (await fetch(`http://${proxy.metricsAddress}/metrics`)).text()
  t.match(text, 'kubeproxy_network_programming_duration_seconds_bucket{le="0.25"} 0\n')
  t.match(text, /kubeproxy_network_programming_duration_seconds_count 1\n/)
  t.match(text, /kubeproxy_sync_proxy_rules_duration_seconds_count [1-9]/)
  t.match(text, /kubeproxy_sync_proxy_rules_endpoint_changes_total [1-9]/)
  t.match(text, /kubeproxy_sync_proxy_rules_nftables_sync_failures_total 0/)
  t.equal(await (await fetch(`http://${proxy.metricsAddress}/proxyMode`)).text(), 'nftables')
})
