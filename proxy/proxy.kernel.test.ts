/** Real packets through the kernel: clients, the host and endpoints are namespaces, see test-support/network.ts. */
import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import t from 'tap'
import { systemClock } from '../api/clock.ts'
import { createLogger } from '../api/log.ts'
import type { Node } from '../api/types.ts'
import { openNftables } from '../netlink/nftables/index.ts'
import { readSysctl } from '../netlink/sysctl.ts'
import { cleanupProxy, startProxy } from './index.ts'
import type { Proxy } from './index.ts'
import { whereTo } from './model.ts'
import { SmallApi } from './test-support/api.ts'
import { makeNetwork } from './test-support/network.ts'
import type { Peer } from './test-support/network.ts'
import { service, slice } from './test-support/objects.ts'

if (process.getuid?.() !== 0) {
  t.plan(0, 'packets through services: needs root')
  process.exit()
}

const node: Node = {
  metadata: { name: 'node-1' }, spec: { podCIDRs: ['10.244.0.0/24', 'fd00:10:244::/64'] },
  status: { addresses: [{ type: 'InternalIP', address: '192.0.2.1' }, { type: 'InternalIP', address: '2001:db8::1' }] },
}

const network = await makeNetwork()
t.teardown(() => network[Symbol.asyncDispose]())
const { podA, podB, remote, outside, onHost } = network
const api = new SmallApi()
api.putNode(node)
await Promise.all([podA.serve('tcp', 8080, 'a'), podB.serve('tcp', 8080, 'b'), remote.serve('tcp', 8080, 'remote'), podA.serve('udp', 5353, 'a'), podB.serve('udp', 5353, 'b'), remote.serve('udp', 5353, 'remote', '10.244.1.5'), onHost.serve('tcp', 7000, 'host')])

function start(): Promise<Proxy> {
  return startProxy({
    client: api.client, nodeName: 'node-1', netns: network.host, clock: systemClock, random: Math.random, healthzBindAddress: '127.0.0.1:0', serviceClusterIPRange: ['10.96.0.0/12', 'fd00:10:96::/112'],
    log: createLogger({ level: process.env['PROXY_LOG'] === undefined ? 'error' : 'debug' }),
  })
}

function nft(...words: string[]): string {
  return execFileSync('nsenter', [`--net=${network.hostPath}`, 'nft', ...words], { encoding: 'utf8' })
}

/** The table as nft lists it; elements, and chains that come and go, sorted, and without what passes with time. */
function listed(): string {
  const [first = '', ...blocks] = nft('list', 'table', 'inet', 'fairway-proxy').replace(/\n\}\n$/, '').split('\n\n')
  const counted = blocks.filter((block) => /^\tchain (?:[ni]\d|stick-)/.test(block)).toSorted()
  return `${[first, ...blocks.filter((block) => !counted.includes(block)), ...counted].join('\n\n')}\n}\n`.replaceAll(/ expires \w+/g, '')
    .replaceAll(/elements = \{ ([^}]*) \}/g, (_, text: string) => `elements = {\n${text.split(',').map((element) => `\t\t\t${element.trim()},\n`).toSorted().join('')}\t\t}`)
}

async function eventually(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  for (let attempt = 0; attempt < 200; attempt += 1) {
    if (await holds()) return
    await systemClock.sleep(10)
  }
  throw new Error(`never: ${what}`)
}

/** For what may not be there yet: a packet that was dropped is only sent again after a second. */
const quick = { timeoutMs: 50 }

/** Answers of some calls, each once. */
async function answers(call: () => Promise<string>, times = 24): Promise<string[]> {
  const heard = new Set<string>()
  for (let attempt = 0; attempt < times; attempt += 1) heard.add(await call())
  return [...heard].toSorted()
}

api.putService(service('web', { clusterIPs: ['10.96.0.53', 'fd00:10:96::53'], type: 'NodePort', ports: [{ port: 80, nodePort: 30080 }] }))
api.putSlice(slice('web', ['10.244.0.6', '10.244.1.5']))
api.putSlice(slice('web', ['fd00:10:244::6', 'fd00:10:244:1::5'], { name: 'web-6' }))
let proxy = await start()
t.teardown(() => proxy.stop())

t.test('a pod reaches all endpoints by the cluster IP, and they see its own address', async (t) => {
  t.strictSame(await answers(() => podA.call('tcp', '10.96.0.53', 80)), ['b 10.244.0.5', 'remote 10.244.0.5'])
  t.strictSame(await answers(() => podA.call('tcp', 'fd00:10:96::53', 80)), ['b fd00:10:244::5', 'remote fd00:10:244::5'])
})

t.test('endpoints are chosen evenly', async (t) => {
  const counts = new Map<string, number>()
  for (let call = 0; call < 200; call += 1) {
    const answer = await podA.call('tcp', '10.96.0.53', 80)
    counts.set(answer, (counts.get(answer) ?? 0) + 1)
  }
  const chiSquare = [...counts.values()].reduce((sum, count) => sum + (count - 100) ** 2 / 100, 0)
  // With one degree of freedom larger by chance once in 10 million runs.
  t.ok(counts.size === 2 && chiSquare < 28.4, `chi-square ${chiSquare}`)
})

t.test('the host reaches them too', async (t) => {
  t.strictSame((await answers(() => onHost.call('tcp', '10.96.0.53', 80))).map((text) => text.split(' ')[0]), ['b', 'remote'])
})

t.test('a node port answers outside, on the host and on localhost; only where replies would not pass here the address is another', async (t) => {
  t.strictSame(await answers(() => outside.call('tcp', '192.0.2.1', 30080)), ['b 198.51.100.9', 'remote 192.0.2.1'])
  t.strictSame(await answers(() => outside.call('tcp', '2001:db8::1', 30080)), ['b 2001:db8:1::9', 'remote 2001:db8::1'])
  t.strictSame((await answers(() => onHost.call('tcp', '192.0.2.1', 30080))).map((text) => text.split(' ')[0]), ['b', 'remote'])
  t.strictSame((await answers(() => onHost.call('tcp', '127.0.0.1', 30080))).map((text) => text.split(' ')[0]), ['b', 'remote'])
  t.strictSame(await answers(() => podA.call('tcp', '192.0.2.1', 30080)), ['b 10.244.0.5', 'remote 10.244.0.5'])
})

t.test('an endpoint reaches itself through its own service', async (t) => {
  api.putService(service('self', { clusterIPs: ['10.96.0.54', 'fd00:10:96::54'] }))
  api.putSlice(slice('self', ['10.244.0.5']))
  api.putSlice(slice('self', ['fd00:10:244::5'], { name: 'self-6' }))
  await eventually('the service answers', async () => (await podA.call('tcp', '10.96.0.54', 80, quick)).startsWith('a '))
  t.match(await podA.call('tcp', 'fd00:10:96::54', 80), /^a /)
})

t.test('a service of the host\'s own network answers the host and pods', async (t) => {
  api.putService(service('host', { clusterIP: '10.96.0.55' }))
  api.putSlice(slice('host', [{ addresses: ['192.0.2.1'], nodeName: 'node-1' }], { ports: [{ port: 7000 }] }))
  await eventually('the service answers', async () => (await podA.call('tcp', '10.96.0.55', 80, quick)) === 'host 10.244.0.5')
  t.match(await onHost.call('tcp', '10.96.0.55', 80), /^host /)
})

t.test('what has no endpoints is refused at once, and so is a port that no service has; unknown addresses of the range are dropped', async (t) => {
  api.putService(service('empty', { clusterIPs: ['10.96.0.56', 'fd00:10:96::56'], type: 'NodePort', ports: [{ name: 't', port: 80, nodePort: 30081 }, { name: 'u', port: 80, protocol: 'UDP', nodePort: 30081 }] }))
  await eventually('refused', async () => (await podA.call('tcp', '10.96.0.56', 80, { timeoutMs: 100 })) === 'ECONNREFUSED')
  for (const peer of [podA, onHost]) {
    for (const protocol of ['tcp', 'udp'] as const) t.equal(await peer.call(protocol, '10.96.0.56', 80), 'ECONNREFUSED', protocol)
  }
  for (const protocol of ['tcp', 'udp'] as const) {
    t.equal(await podA.call(protocol, 'fd00:10:96::56', 80), 'ECONNREFUSED')
    t.equal(await outside.call(protocol, '192.0.2.1', 30081), 'ECONNREFUSED')
  }
  t.equal(await podA.call('tcp', '10.96.0.53', 81), 'ECONNREFUSED')
  t.equal(await podA.call('tcp', '10.96.77.77', 80, { timeoutMs: 300 }), 'timeout')
})

t.test('UDP: the client keeps its endpoint, moves when that one goes, and is not stuck to what was before the service', async (t) => {
  const client = { sourcePort: 4000, timeoutMs: 150 }
  t.equal(await podA.call('udp', '10.96.0.57', 53, client), 'timeout', 'nobody is there')
  api.putService(service('dns', { clusterIP: '10.96.0.57', ports: [{ port: 53, protocol: 'UDP' }] }))
  api.putSlice(slice('dns', ['10.244.0.6'], { ports: [{ port: 5353, protocol: 'UDP' }] }))
  await eventually('the service answers the same client', async () => (await podA.call('udp', '10.96.0.57', 53, client)) === 'b 10.244.0.5')
  api.putSlice(slice('dns', ['10.244.0.6', '10.244.1.5'], { ports: [{ port: 5353, protocol: 'UDP' }] }))
  await eventually('the kernel has both', () => nft('list', 'map', 'inet', 'fairway-proxy', 'endpoint4').includes('10.96.0.57 . udp . 53 . 1'))
  t.strictSame(await answers(() => podA.call('udp', '10.96.0.57', 53, client), 4), ['b 10.244.0.5'])
  t.strictSame(await answers(() => podA.call('udp', '10.96.0.57', 53), 16), ['b 10.244.0.5', 'remote 10.244.0.5'])
  api.putSlice(slice('dns', ['10.244.1.5'], { ports: [{ port: 5353, protocol: 'UDP' }] }))
  await eventually('the client moves', async () => (await podA.call('udp', '10.96.0.57', 53, client)) === 'remote 10.244.0.5')
})

t.test('TCP: connections to a draining endpoint go on, and those to a removed one end within a second', async (t) => {
  api.putService(service('drain', { clusterIP: '10.96.0.58' }))
  api.putSlice(slice('drain', ['10.244.0.6']))
  await eventually('the service answers', async () => (await podA.call('tcp', '10.96.0.58', 80, quick)) === 'b 10.244.0.5')
  await podA.open('long', '10.96.0.58', 80)
  api.putSlice(slice('drain', ['~10.244.0.6', '10.244.1.5']))
  await eventually('new connections go elsewhere', async () => (await podA.call('tcp', '10.96.0.58', 80)).startsWith('remote'))
  // As long as connections to a removed endpoint may take to be found.
  await systemClock.sleep(700)
  t.equal(await podA.say('long', 'still'), 'still')
  api.putSlice(slice('drain', ['10.244.1.5']))
  let answer = ''
  await eventually('the connection ends', async () => (answer = await podA.say('long', 'gone')) !== 'gone')
  t.equal(answer, 'ECONNRESET')
})

t.test('client affinity: a client stays where it went, until that endpoint goes', async (t) => {
  api.putService(service('sticky', { clusterIPs: ['10.96.0.59', 'fd00:10:96::59'], sessionAffinity: 'ClientIP' }))
  api.putSlice(slice('sticky', ['10.244.0.6', '10.244.1.5']))
  api.putSlice(slice('sticky', ['fd00:10:244::6', 'fd00:10:244:1::5'], { name: 'sticky-6' }))
  await eventually('the service answers', async () => /^(b|remote) /.test(await podA.call('tcp', '10.96.0.59', 80, quick)))
  for (const [address, others] of [['10.96.0.59', ['10.244.0.6', '10.244.1.5']], ['fd00:10:96::59', ['fd00:10:244::6', 'fd00:10:244:1::5']]] as const) {
    const first = await answers(() => podA.call('tcp', address, 80), 12)
    t.equal(first.length, 1, String(first))
    const [stays, name] = first[0]?.startsWith('b ') === true ? [others[1], 'remote'] : [others[0], 'b']
    api.putSlice(slice('sticky', [stays], address.includes(':') ? { name: 'sticky-6' } : {}))
    await eventually('the client moves', async () => (await podA.call('tcp', address, 80)).startsWith(name))
    api.putSlice(slice('sticky', others, address.includes(':') ? { name: 'sticky-6' } : {}))
    await systemClock.sleep(50)
    t.equal((await answers(() => podA.call('tcp', address, 80), 12)).length, 1)
  }
})

t.test('Local policies keep traffic here, with the client\'s address', async (t) => {
  api.putService(service('local', { clusterIP: '10.96.0.60', type: 'NodePort', externalTrafficPolicy: 'Local', internalTrafficPolicy: 'Local', ports: [{ port: 80, nodePort: 30082 }] }))
  api.putSlice(slice('local', ['10.244.0.6', '10.244.1.5']))
  await eventually('the service answers', async () => (await podA.call('tcp', '10.96.0.60', 80, quick)) === 'b 10.244.0.5')
  t.strictSame(await answers(() => podA.call('tcp', '10.96.0.60', 80)), ['b 10.244.0.5'])
  t.strictSame(await answers(() => outside.call('tcp', '192.0.2.1', 30082)), ['b 198.51.100.9'])
  t.strictSame((await answers(() => podA.call('tcp', '192.0.2.1', 30082))).map((text) => text.split(' ')[0]), ['b', 'remote'], 'clients on the node may go anywhere')
  api.putSlice(slice('local', ['10.244.1.5']))
  await eventually('dropped outside', async () => (await outside.call('tcp', '192.0.2.1', 30082, { timeoutMs: 100 })) === 'timeout')
  t.equal(await podA.call('tcp', '10.96.0.60', 80, { timeoutMs: 100 }), 'timeout')
})

t.test('a balancer can ask whether the node has endpoints', async (t) => {
  api.putService(service('checked', { clusterIP: '10.96.0.63', type: 'LoadBalancer', externalTrafficPolicy: 'Local', healthCheckNodePort: 32000 }))
  api.putSlice(slice('checked', ['10.244.0.6', '10.244.1.5', '!10.244.0.5']))
  const ask = (): Promise<string> => outside.call('http', '192.0.2.1', 32000, quick)
  await eventually('the check answers', async () => (await ask()) === '200 {"service":{"namespace":"default","name":"checked"},"localEndpoints":1,"serviceProxyHealthy":true}')
  api.putSlice(slice('checked', ['10.244.1.5']))
  await eventually('no endpoints here', async () => (await ask()).startsWith('503 '))
  api.deleteService('checked')
  await eventually('no check any more', async () => (await ask()) === 'ECONNREFUSED')
  t.pass('answered')
})

t.test('a balancer\'s source ranges let in whom they name', async (t) => {
  const balanced = service('balanced', { clusterIP: '10.96.0.61', type: 'LoadBalancer', loadBalancerSourceRanges: ['203.0.113.0/24'], ports: [{ port: 80 }] })
  api.putService({ ...balanced, status: { loadBalancer: { ingress: [{ ip: '203.0.113.80' }] } } })
  api.putSlice(slice('balanced', ['10.244.0.6']))
  await eventually('in the kernel', () => nft('list', 'map', 'inet', 'fairway-proxy', 'service4').includes('203.0.113.80'))
  t.equal(await outside.call('tcp', '203.0.113.80', 80, { timeoutMs: 100 }), 'timeout')
  t.equal(await onHost.call('tcp', '203.0.113.80', 80, { timeoutMs: 100 }), 'timeout', 'the host is not among them')
  api.putService({ ...balanced, spec: { ...balanced.spec, loadBalancerSourceRanges: ['203.0.113.0/24', '198.51.100.0/24'] }, status: { loadBalancer: { ingress: [{ ip: '203.0.113.80' }] } } })
  await eventually('let in', async () => (await outside.call('tcp', '203.0.113.80', 80, { timeoutMs: 100 })) === 'b 198.51.100.9')
  t.match(await onHost.call('tcp', '203.0.113.80', 80), /^b /, 'now it is')
})

t.test('the whole table, as nft lists it', async (t) => {
  const file = new URL('test-support/typical.nft', import.meta.url)
  // Indices tell what was before; these begin anew.
  api.putSlice(slice('sticky', []))
  api.putSlice({ ...slice('sticky', [], { name: 'sticky-6' }), addressType: 'IPv6' })
  await eventually('the sticky service is empty', () => (nft('list', 'table', 'inet', 'fairway-proxy').match(/(?:10\.96\.0\.59|fd00:10:96::59) . tcp . 80 : goto refuse/g) ?? []).length === 2)
  api.putSlice(slice('sticky', ['10.244.0.6', '10.244.1.5']))
  api.putSlice(slice('sticky', ['fd00:10:244::6', 'fd00:10:244:1::5'], { name: 'sticky-6' }))
  await eventually('and has two endpoints again', () => (nft('list', 'table', 'inet', 'fairway-proxy').match(/goto n2-sticky/g) ?? []).length === 2)
  const table = listed().replaceAll(/(affinity[46] \{[^}]*?)\n\t\telements = \{[^}]*\}/g, '$1')
  if (process.argv.includes('--update')) writeFileSync(file, table)
  t.equal(table, readFileSync(file, 'utf8'))
})

t.test('the model says the same as the packets', async (t) => {
  using nftables = openNftables({ netns: network.host })
  const ruleset = nftables.list({ family: 'inet', name: 'fairway-proxy' })
  if (ruleset === undefined) throw new Error('no table')
  const names: Readonly<Record<string, string>> = { '10.244.0.6': 'b', '10.244.0.5': 'a', '10.244.1.5': 'remote', 'fd00:10:244::6': 'b', 'fd00:10:244:1::5': 'remote', '192.0.2.1': 'host' }
  const hostAddresses = ['192.0.2.1', '2001:db8::1', '198.51.100.1']
  const cases: readonly (readonly [Peer, string, string, number])[] = [
    [podA, '10.244.0.5', '10.96.0.53', 80], [podA, '10.244.0.5', '10.96.0.54', 80], [podA, '10.244.0.5', '10.96.0.56', 80], [podA, '10.244.0.5', '10.96.0.60', 80], [podA, '10.244.0.5', '192.0.2.1', 30082],
    [podA, 'fd00:10:244::5', 'fd00:10:96::53', 80], [podA, '10.244.0.5', '10.96.0.53', 81], [podA, '10.244.0.5', '10.96.77.77', 80], [outside, '198.51.100.9', '192.0.2.1', 30080],
    [outside, '198.51.100.9', '192.0.2.1', 30081], [outside, '198.51.100.9', '192.0.2.1', 30082], [outside, '198.51.100.9', '203.0.113.80', 80], [outside, '2001:db8:1::9', '2001:db8::1', 30080],
  ]
  for (const [peer, source, destination, port] of cases) {
    const fates = whereTo(ruleset, { source, destination, protocol: 'tcp', port, hostAddresses }).map((fate) => {
      if (fate.kind === 'rejected') return 'ECONNREFUSED'
      if (fate.kind !== 'endpoint') return 'timeout'
      return `${names[fate.address]} ${fate.masqueraded ? 'another' : source}`
    })
    const heard = await answers(async () => (await peer.call('tcp', destination, port, { timeoutMs: 100 })).replace(/ (?!another)(\S+)$/, (_, seen: string) => ` ${seen === source ? seen : 'another'}`), fates.length * 6)
    t.strictSame(heard, [...new Set(fates)].toSorted(), `${source} to ${destination} ${port}`)
  }
})

t.test('a restart adopts what is there: open connections go on, and nothing is written', async (t) => {
  t.match(await podA.open('through', '10.96.0.53', 80), /10\.244\.0\.5/)
  const before = listed()
  await proxy.stop()
  t.match(await podA.call('tcp', '10.96.0.53', 80), / 10\.244\.0\.5/, 'services go on without it')
  using nftables = openNftables({ netns: network.host })
  const generation = nftables.generation()
  proxy = await start()
  t.equal(nftables.generation(), generation)
  t.equal(listed(), before)
  t.equal(await podA.say('through', 'still'), 'still')
})

t.test('neither restarts nor changes of other services cost a connection', async (t) => {
  api.putService(service('other', { clusterIP: '10.96.0.62' }))
  let over = false
  const failures: string[] = []
  let calls = 0
  const callers = [podA, podB, outside, onHost].map(async (peer) => {
    for (;;) {
      if (over) return
      const answer = await (peer === outside ? peer.call('tcp', '192.0.2.1', 30080) : peer.call('tcp', '10.96.0.53', 80))
      calls += 1
      if (!/^(b|remote) /.test(answer)) failures.push(answer)
    }
  })
  for (let turn = 0; turn < 10; turn += 1) {
    for (let change = 0; change < 5; change += 1) {
      api.putSlice(slice('other', Array.from({ length: (turn + change) % 4 }, (_, at) => `10.244.1.${100 + at + change}`)))
      await systemClock.sleep(4)
    }
    await proxy.stop()
    proxy = await start()
  }
  over = true
  await Promise.all(callers)
  t.strictSame(failures, [])
  t.ok(calls > 50, `${calls} connections`)
})

t.test('what happened while it was away is caught up', async (t) => {
  await proxy.stop()
  api.putSlice(slice('web', ['10.244.0.6']))
  api.deleteService('self')
  proxy = await start()
  t.strictSame(await answers(() => podA.call('tcp', '10.96.0.53', 80)), ['b 10.244.0.5'])
  t.equal(await podA.call('tcp', '10.96.0.54', 80, { timeoutMs: 100 }), 'timeout')
})

t.test('what others do to the table is mended, and their tables are left alone', async (t) => {
  nft('add', 'table', 'ip', 'theirs')
  nft('add', 'chain', 'ip', 'theirs', 'c')
  nft('delete', 'table', 'inet', 'fairway-proxy')
  await eventually('the table is back', async () => (await podA.call('tcp', '10.96.0.53', 80, { timeoutMs: 100 })) === 'b 10.244.0.5')
  nft('flush', 'chain', 'inet', 'fairway-proxy', 'services')
  await eventually('the rules are back', async () => (await podA.call('tcp', '10.96.0.53', 80, { timeoutMs: 100 })) === 'b 10.244.0.5')
  nft('delete', 'element', 'inet', 'fairway-proxy', 'endpoint4', '{ 10.96.0.53 . tcp . 80 . 0 }')
  await eventually('the element is back', async () => (await podA.call('tcp', '10.96.0.53', 80, { timeoutMs: 100 })) === 'b 10.244.0.5')
  nft('add', 'rule', 'inet', 'fairway-proxy', 'services', 'drop')
  nft('add', 'element', 'inet', 'fairway-proxy', 'cluster-ip4', '{ 10.96.99.99 }')
  await eventually('what was added is gone', () => !/10\.96\.99\.99|^\t\tdrop/m.test(nft('list', 'table', 'inet', 'fairway-proxy')))
  t.match(nft('list', 'tables'), /table ip theirs/)
})

t.test('health is served', async (t) => {
  const response = await fetch(`http://${proxy.healthzAddress}/healthz`)
  t.equal(response.status, 200)
  t.match(await response.json(), { nodeEligible: true })
  api.putNode({ ...node, spec: { ...node.spec, taints: [{ key: 'ToBeDeletedByClusterAutoscaler', effect: 'NoSchedule' }] } })
  await eventually('a node that is about to go is left by balancers', async () => (await fetch(`http://${proxy.healthzAddress}/healthz`)).status === 503)
  t.equal((await fetch(`http://${proxy.healthzAddress}/livez`)).status, 200, 'and its proxy is alive')
  t.equal(await (await fetch(`http://${proxy.healthzAddress}/proxyMode`)).text(), 'nftables')
})

t.test('cleaning up leaves nothing of the proxy', async (t) => {
  await proxy.stop()
  t.equal(readSysctl('ipv4/conf/all/route_localnet', { netns: network.host }), '1')
  t.equal(cleanupProxy({ netns: network.host }), true)
  t.equal(readSysctl('ipv4/conf/all/route_localnet', { netns: network.host }), '0', 'nobody else reaches 127.0.0.1')
  t.equal(cleanupProxy({ netns: network.host }), false)
  t.equal(nft('list', 'tables').trim(), 'table ip theirs')
})
