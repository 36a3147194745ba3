import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { Netns } from '../netns.ts'
import { routeCases } from '../test-support/route-cases.ts'
import { writeSysctl } from '../sysctl.ts'
import { RouteSocket } from './index.ts'
import type { RouteEvent } from './index.ts'

if (process.getuid?.() !== 0) {
  t.plan(0, 'route sockets against the kernel: needs root')
  process.exit()
}

interface Namespaces {
  readonly paths: { readonly host: string; readonly pod: string }
  readonly host: RouteSocket
  readonly pod: RouteSocket
  readonly hostNetns: Netns
  readonly podNetns: Netns
  [Symbol.dispose](): void
}

function makeNamespaces(): Namespaces {
  const directory = mkdtempSync(join(tmpdir(), 'fairway-route-'))
  const paths = { host: join(directory, 'host'), pod: join(directory, 'pod') }
  const [hostNetns, podNetns] = [Netns.create(paths.host), Netns.create(paths.pod)]
  const [host, pod] = [RouteSocket.open({ netns: hostNetns }), RouteSocket.open({ netns: podNetns })]
  host.links.set('lo', { up: true })
  return {
    paths, host, pod, hostNetns, podNetns,
    [Symbol.dispose]() {
      for (const open of [host, pod, hostNetns, podNetns]) open.close()
      for (const path of Object.values(paths)) Netns.delete(path)
      rmSync(directory, { recursive: true })
    },
  }
}

function ip(path: string, ...args: string[]): Record<string, unknown>[] {
  return JSON.parse(execFileSync('nsenter', [`--net=${path}`, 'ip', '-j', '-d', ...args], { encoding: 'utf8' }) || '[]') as Record<string, unknown>[]
}

for (const { title, run, expected } of routeCases) {
  t.test(`kernel: ${title}`, async (t) => {
    using namespaces = makeNamespaces()
    t.strictSame(run(namespaces), expected)
  })
}

t.test('ip sees what was made', async (t) => {
  using namespaces = makeNamespaces()
  const { host, paths, podNetns } = namespaces
  host.links.add({ kind: 'veth', name: 'pod1', up: true, mtu: 1450, mac: '02:00:00:00:00:01', peer: { name: 'eth0', netns: podNetns } })
  host.links.add({ kind: 'vxlan', name: 'vx', up: true, vxlan: { id: 7, local: '192.0.2.1', port: 8472, ttl: 9 } })
  const veth = host.links.get('pod1')?.index ?? -1
  const vxlan = host.links.get('vx')?.index ?? -1
  host.addresses.add({ link: veth, address: 'fd00::1', prefixLength: 64, noDad: true, noPrefixRoute: true })
  host.routes.add({ destination: '10.244.2.0/24', gateway: '10.244.2.0', link: vxlan, onlink: true, protocol: 71, mtu: 1300, metric: 5 })
  host.routes.add({ destination: '10.7.0.0/16', multipath: [{ gateway: '10.0.0.3', link: vxlan, weight: 2, onlink: true }, { gateway: '10.0.0.4', link: vxlan, onlink: true }] })
  host.neighbours.add({ link: vxlan, address: '10.244.2.0', mac: '02:00:00:00:02:00' })
  host.rules.add({ priority: 100, mark: 0x4000, mask: 0x4000, from: '10.244.0.0/16', table: 1000 })
  t.match(ip(paths.host, 'link', 'show', 'pod1'), [{ mtu: 1450, address: '02:00:00:00:00:01', linkinfo: { info_kind: 'veth' } }])
  t.match(ip(paths.host, 'link', 'show', 'vx'), [{ linkinfo: { info_kind: 'vxlan', info_data: { id: 7, local: '192.0.2.1', port: 8472, ttl: 9, learning: false } } }])
  t.match(ip(paths.host, '-6', 'addr', 'show', 'pod1')[0]?.['addr_info'], [{ local: 'fd00::1', prefixlen: 64, nodad: true, noprefixroute: true }])
  t.match(ip(paths.host, 'route', 'show', 'dev', 'vx', '10.244.2.0/24'), [{ dst: '10.244.2.0/24', gateway: '10.244.2.0', protocol: '71', flags: ['onlink'], metric: 5, metrics: [{ mtu: 1300 }] }])
  t.match(ip(paths.host, 'route', 'show', '10.7.0.0/16'), [{ nexthops: [{ gateway: '10.0.0.3', weight: 2 }, { gateway: '10.0.0.4', weight: 1 }] }])
  t.match(host.routes.list({ table: 254 }).find(({ destination }) => destination === '10.7.0.0/16')?.multipath, [{ gateway: '10.0.0.3', weight: 2, onlink: true }, { gateway: '10.0.0.4', weight: 1 }])
  t.match(ip(paths.host, 'neigh', 'show', 'dev', 'vx'), [{ dst: '10.244.2.0', lladdr: '02:00:00:00:02:00', state: ['PERMANENT'] }])
  t.match(ip(paths.host, 'rule', 'show', 'priority', '100'), [{ priority: 100, src: '10.244.0.0', srclen: 16, fwmark: '0x4000', fwmask: '0x4000', table: '1000' }])
})

t.test('what ip makes is read', async (t) => {
  using namespaces = makeNamespaces()
  const { host, paths } = namespaces
  ip(paths.host, 'link', 'add', 'br0', 'mtu', '1300', 'type', 'bridge')
  ip(paths.host, 'link', 'set', 'br0', 'up')
  ip(paths.host, 'addr', 'add', '10.5.0.1/24', 'brd', '+', 'dev', 'br0')
  ip(paths.host, 'route', 'add', '10.6.0.0/16', 'via', '10.5.0.2', 'src', '10.5.0.1', 'table', '300', 'mtu', '1200')
  ip(paths.host, 'route', 'add', 'prohibit', 'fd09::/64')
  const index = host.links.get('br0')?.index
  t.match(host.links.get('br0'), { kind: 'bridge', mtu: 1300, up: true })
  t.match(host.addresses.list({ link: index ?? -1, family: 'ipv4' }), [{ address: '10.5.0.1', prefixLength: 24, broadcast: '10.5.0.255' }])
  t.match(host.routes.list({ table: 300 }), [{ destination: '10.6.0.0/16', gateway: '10.5.0.2', source: '10.5.0.1', mtu: 1200, link: index }])
  t.match(host.routes.list({ type: 'prohibit' }), [{ destination: 'fd09::/64' }])
})

t.test('listeners hear of changes made by anyone', async (t) => {
  using namespaces = makeNamespaces()
  const { host, paths } = namespaces
  const events: RouteEvent[] = []
  const heard = Promise.withResolvers<void>()
  const listening = host.listen(['link', 'address', 'route', 'neighbour', 'setting'], (event) => {
    events.push(event)
    if (event.kind === 'link' && event.change === 'delete') heard.resolve()
  })
  ip(paths.host, 'link', 'add', 'br0', 'type', 'bridge')
  ip(paths.host, 'link', 'set', 'br0', 'up')
  ip(paths.host, 'addr', 'add', '10.5.0.1/24', 'dev', 'br0')
  writeSysctl('ipv4/ip_forward', 1, { netns: namespaces.hostNetns })
  writeSysctl('ipv6/conf/all/forwarding', 1, { netns: namespaces.hostNetns })
  ip(paths.host, 'link', 'delete', 'br0')
  await heard.promise
  listening.close()
  t.ok(events.some((event) => event.kind === 'link' && event.change === 'new' && event.link.name === 'br0' && event.link.up))
  t.ok(events.some((event) => event.kind === 'address' && event.change === 'new' && event.address.address === '10.5.0.1'))
  t.ok(events.some((event) => event.kind === 'route' && event.change === 'new' && event.route.destination === '10.5.0.0/24'))
  t.ok(events.some((event) => event.kind === 'address' && event.change === 'delete'))
  for (const family of ['ipv4', 'ipv6']) t.ok(events.some((event) => event.kind === 'setting' && event.family === family && event.link === undefined && event.forwarding === true))
})

t.test('a listener whose buffer is full is told that it missed something', async (t) => {
  using namespaces = makeNamespaces()
  const { host } = namespaces
  const overrun = Promise.withResolvers<void>()
  const listening = host.listen(['route'], (event) => {
    if (event.kind === 'overrun') overrun.resolve()
  })
  // nothing is read while this loop holds the thread
  for (let i = 0; i < 40_000; i++) {
    const destination = `10.${i & 7}.0.0/16`
    host.routes.replace({ destination, link: 1, metric: 1, mtu: 1000 + i % 7 })
  }
  await overrun.promise
  listening.close()
  t.pass('the overrun was reported')
})

t.test('thousands of routes are listed whole', async (t) => {
  using namespaces = makeNamespaces()
  const { host } = namespaces
  for (let i = 0; i < 5_000; i++) host.routes.add({ destination: `10.${i >> 8}.${i & 255}.0/24`, link: 1, protocol: 70 })
  t.equal(host.routes.list({ protocol: 70 }).length, 5_000)
  t.equal(new Set(host.routes.list({ protocol: 70, family: 'ipv4' }).map(({ destination }) => destination)).size, 5_000)
})

t.test('links are removed in threads, several at a time', async (t) => {
  using namespaces = makeNamespaces()
  const { host, hostNetns, podNetns } = namespaces
  for (let i = 0; i < 8; i++) host.links.add({ kind: 'veth', name: `pod${i}`, up: true, peer: { name: `eth${i}`, netns: podNetns } })
  await Promise.all(Array.from({ length: 8 }, async (_, i) => {
    using route = RouteSocket.open({ netns: hostNetns })
    await route.links.deleteInThread(`pod${i}`)
  }))
  t.equal(host.links.list({ kind: 'veth' }).length, 0)
  await t.rejects(host.links.deleteInThread('pod0'), { message: 'Cannot delete link pod0: ENODEV' })
})

t.test('statistics count bytes', async (t) => {
  using namespaces = makeNamespaces()
  t.match(namespaces.host.links.get('lo')?.statistics, { rxBytes: BigInt, txPackets: BigInt })
})

t.test('a link sends no faster than it may', async (t) => {
  using namespaces = makeNamespaces()
  const { host, pod, paths, podNetns } = namespaces
  host.links.add({ kind: 'veth', name: 'pod1', up: true, peer: { name: 'eth0', netns: podNetns } })
  const link = host.links.get('pod1')?.index ?? -1
  pod.links.set('eth0', { up: true })
  t.match(host.qdiscs.list({ link }), [{ kind: 'noqueue', bucket: undefined }])
  host.qdiscs.limit(link, { bytesPerSecond: 1_250_000, burstBytes: 65_536, limitBytes: 96_000 })
  t.match(JSON.parse(execFileSync('nsenter', [`--net=${paths.host}`, 'tc', '-j', 'qdisc', 'show', 'dev', 'pod1'], { encoding: 'utf8' })), [{ kind: 'tbf', root: true, options: { rate: 1_250_000 } }])
  t.match(host.qdiscs.list({ link }), [{ link, kind: 'tbf', bucket: { bytesPerSecond: 1_250_000, limitBytes: 96_000 } }])
  host.qdiscs.limit(link, { bytesPerSecond: 12_500_000_000, burstBytes: 1_000_000, limitBytes: 1_000_000 })
  t.match(host.qdiscs.list({ link }), [{ bucket: { bytesPerSecond: 12_500_000_000 } }], 'beyond 32 bits')
  host.qdiscs.clear(link)
  host.qdiscs.clear(link)
  t.match(host.qdiscs.list({ link }), [{ kind: 'noqueue' }])
  t.throws(() => host.qdiscs.limit(9999, { bytesPerSecond: 1, burstBytes: 1, limitBytes: 1 }), { message: /Cannot limit rate of link 9999 to 1 bytes\/s: ENODEV/ })
})
