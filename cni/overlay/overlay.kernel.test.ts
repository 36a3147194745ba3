import { existsSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { FakeClock, systemClock } from '../../api/clock.ts'
import { isChecksumOffloaded, setChecksumOffload } from '../../netlink/ethtool.ts'
import type { Netns } from '../../netlink/netns.ts'
import { openNftables } from '../../netlink/nftables/index.ts'
import { readSysctl, writeSysctl } from '../../netlink/sysctl.ts'
import { CniMetrics } from '../metrics.ts'
import { cniStatus, formatCniStatus } from '../status.ts'
import type { CniStatus } from '../status.ts'
import { addressOf } from '../test-support/host.ts'
import type { TestHost } from '../test-support/host.ts'
import { Underlay, configOf, eventually, podCIDRs } from '../test-support/underlay.ts'
import { hostTableId, hostTableName } from './host-table.ts'
import { overlayRouteProtocol, vxlanLinkName } from './want.ts'

if (process.getuid?.() !== 0) {
  t.plan(0, 'the overlay against the kernel: needs root')
  process.exit()
}

/** Listens in a namespace, lets a pod of `from` send a line there by TCP, and returns it with the address that it came from. */
async function sendLine(from: TestHost, place: Netns, address: string): Promise<{ line: string; source: string }> {
  const { promise, resolve } = Promise.withResolvers<{ line: string; source: string }>()
  const server = createServer((socket) => {
    const source = socket.remoteAddress ?? ''
    socket.on('data', (data) => resolve({ line: data.toString().trim(), source }))
    socket.on('error', () => resolve({ line: '', source }))
  })
  place.run(() => void server.listen(7777))
  const sent = await from.run('a', 'busybox', 'sh', '-c', `echo over tcp | busybox timeout 5 busybox nc -w 1 ${address} 7777`)
  if (sent.status !== 0) resolve({ line: sent.stderr, source: '' })
  server.close()
  return promise
}

for (const backend of ['vxlan', 'host-gw'] as const) {
  t.test(`pods of two hosts reach each other by ${backend}`, async (t) => {
    await using underlay = new Underlay()
    const [one, two] = [underlay.addHost(1), underlay.addHost(2)]
    await Promise.all([underlay.start(one, backend), underlay.start(two, backend)])
    one.addPod('a')
    two.addPod('b')
    const [a, b] = [await one.add('a', configOf(one)), await two.add('b', configOf(two))]
    t.match([a.status, b.status], [0, 0], a.stdout + b.stdout)
    t.equal((a.object['interfaces'] as { mtu: number }[])[1]?.mtu, backend === 'vxlan' ? 1450 : 1500)
    t.match(await one.run('a', 'ping', '-c', '1', '-W', '2', addressOf(b)), { status: 0 }, 'pod to pod')
    t.match(await one.run('a', 'ping', '-c', '1', '-W', '2', '-s', '4000', addressOf(b)), { status: 0 }, 'in fragments')
    if (backend === 'vxlan') {
      const [here, there] = [one, two].map(({ route }) => route.links.get(vxlanLinkName))
      t.match(here, { mac: /^02:/, mtu: 1450, vxlan: { port: 4789, learning: false, local: '10.90.0.1' } })
      t.not(here?.mac, there?.mac, 'each host has a MAC of its own')
    }
    if (backend === 'vxlan') t.match(await one.run('a', 'ping', '-c', '1', '-W', '2', 'fd00:10:244:2::2'), { status: 0 }, 'pod to pod by IPv6')
    t.match(await one.run(undefined, 'ping', '-c', '1', '-W', '2', addressOf(b)), { status: 0 }, 'host to pod of the other')
    t.match(await sendLine(one, two.pod('b'), addressOf(b)), { line: 'over tcp' })
    t.match(await one.run('a', 'ping', '-c', '1', '-W', '2', '10.244.1.77'), { status: 1, stdout: /Unreachable/ }, 'an address of no pod')
  })
}

t.test('over an IPv6 network too', async (t) => {
  await using underlay = new Underlay('ipv6')
  const [one, two] = [underlay.addHost(1), underlay.addHost(2)]
  await Promise.all([underlay.start(one, 'vxlan'), underlay.start(two, 'vxlan')])
  one.addPod('a')
  two.addPod('b')
  const [a, b] = [await one.add('a', configOf(one)), await two.add('b', configOf(two))]
  t.equal((a.object['interfaces'] as { mtu: number }[])[1]?.mtu, 1430)
  t.match(await one.run('a', 'ping', '-c', '1', '-W', '2', addressOf(b)), { status: 0 })
  t.match(await one.run('a', 'ping', '-c', '1', '-W', '2', 'fd00:10:244:2::2'), { status: 0 })
  t.match(await one.run('a', 'ping', '-c', '1', '-W', '2', 'fd00:90::2'), { status: 0 }, 'the other host')
  await underlay.stop(one)
  await underlay.start(one, 'vxlan')
  t.match(await one.run('a', 'ping', '-c', '1', '-W', '2', addressOf(b)), { status: 0 }, 'after a restart')
})

t.test('what others delete comes back', async (t) => {
  await using underlay = new Underlay()
  const [one] = [underlay.addHost(1), underlay.addHost(2)]
  await underlay.start(one, 'vxlan')
  const { route } = one
  const link = (): number => route.links.get(vxlanLinkName)?.index ?? 0
  const whole = (): boolean => route.routes.list({ protocol: overlayRouteProtocol }).length === 4 && route.fdb.list({ link: link() }).length === 1 && route.neighbours.list({ link: link() }).filter(({ state }) => state === 'permanent').length === 2
  t.ok(whole())
  await one.run(undefined, 'ip', 'route', 'flush', 'proto', String(overlayRouteProtocol))
  t.ok(await eventually(whole), 'routes')
  await one.run(undefined, 'ip', 'neigh', 'flush', 'nud', 'permanent', 'dev', vxlanLinkName)
  t.ok(await eventually(whole), 'neighbours')
  await one.run(undefined, 'bridge', 'fdb', 'del', route.fdb.list({ link: link() })[0]?.mac ?? '', 'dst', '10.90.0.2', 'dev', vxlanLinkName)
  t.ok(await eventually(whole), 'forwarding entries')
  await one.run(undefined, 'ip', 'link', 'set', vxlanLinkName, 'down')
  t.ok(await eventually(whole), 'the link set down')
  await one.run(undefined, 'ip', 'link', 'del', vxlanLinkName)
  t.ok(await eventually(whole), 'the link itself')
  await one.run(undefined, 'ip', 'addr', 'flush', 'dev', vxlanLinkName)
  t.ok(await eventually(() => route.addresses.list({ link: link(), family: 'ipv4' }).length === 1), 'its address')
  await one.run(undefined, 'ip', 'link', 'set', 'eth0', 'mtu', '1400')
  t.ok(await eventually(() => route.links.get(vxlanLinkName)?.mtu === 1350), 'the MTU follows')
  t.ok(await eventually(() => configOf(one)['mtu'] === 1350), 'that of pods too')
  await one.run(undefined, 'ip', 'addr', 'del', '10.96.0.10/32', 'dev', 'lo')
  t.ok(await eventually(() => route.addresses.list({ link: 1 }).some(({ address }) => address === '10.96.0.10')), 'the address of cluster DNS')
  for (const path of ['ipv4/ip_forward', 'ipv6/conf/all/forwarding']) {
    writeSysctl(path, 0, { netns: one.netns })
    t.ok(await eventually(() => readSysctl(path, { netns: one.netns }) === '1'), path)
  }
  using nftables = openNftables({ netns: one.netns })
  const rules = (): number => nftables.list(hostTableId('ipv4'))?.chains.get('postrouting')?.rules.length ?? 0
  await one.run(undefined, 'nft', 'flush', 'chain', 'ip', hostTableName, 'postrouting')
  t.ok(await eventually(() => rules() === 1), 'rules')
  await one.run(undefined, 'nft', 'delete', 'table', 'ip', hostTableName)
  t.ok(await eventually(() => rules() === 1), 'the table')
})

t.test('a pod that sends from an address that is not its own is not heard', async (t) => {
  await using underlay = new Underlay()
  const one = underlay.addHost(1)
  await underlay.start(one, 'vxlan')
  for (const name of ['a', 'b']) {
    one.addPod(name)
    t.match(await one.add(name, configOf(one)), { status: 0 })
  }
  // as some distributions have it
  writeSysctl('ipv4/conf/all/rp_filter', 2, { netns: one.netns })
  // one that nobody has, and another pod's
  one.addPod('c')
  t.match(await one.add('c', configOf(one)), { status: 0 })
  await one.run('a', 'sh', '-c', 'ip addr add 10.244.1.4/32 dev eth0; ip addr add fd00:10:244:1::4/128 dev eth0 nodad; ip addr add 10.244.1.99/32 dev eth0; ip addr add fd00:10:244:1::99/128 dev eth0 nodad')
  const heard = async (): Promise<number> => {
    const { stdout } = await one.run('b', 'sh', '-c', "sed -n 's/^Icmp6InEchos *//p' /proc/net/snmp6; awk '/^Icmp:/ { value = $10 } END { print value }' /proc/net/snmp")
    return stdout.trim().split('\n').reduce((sum, line) => sum + Number(line), 0)
  }
  const before = await heard()
  for (const [from, to] of [['10.244.1.99', '10.244.1.3'], ['10.244.1.4', '10.244.1.3'], ['fd00:10:244:1::99', 'fd00:10:244:1::3'], ['fd00:10:244:1::4', 'fd00:10:244:1::3']] as const) {
    await one.run('a', 'ping', '-c', '2', '-i', '0.2', '-W', '1', '-I', from, to)
    t.equal(await heard(), before, from)
  }
  for (const to of ['10.244.1.3', 'fd00:10:244:1::3']) t.match(await one.run('a', 'ping', '-c', '1', '-W', '1', to), { status: 0 }, 'from its own it is')
  t.equal(await heard(), before + 2)
})

t.test('pods leave the cluster with the address of their host, and each other with their own', async (t) => {
  await using underlay = new Underlay()
  const [one, two] = [underlay.addHost(1), underlay.addHost(2)]
  await Promise.all([underlay.start(one, 'vxlan'), underlay.start(two, 'vxlan')])
  one.addPod('a')
  two.addPod('b')
  const [a, b] = [await one.add('a', configOf(one)), await two.add('b', configOf(two))]
  t.match(await sendLine(one, two.pod('b'), addressOf(b)), { source: addressOf(a) }, 'another pod sees the pod')
  t.match(await sendLine(one, two.netns, '10.90.0.2'), { source: '10.90.0.1' }, 'another host sees the host')
  t.match(await sendLine(one, one.netns, '10.96.0.10'), { source: addressOf(a) }, 'cluster DNS of the own host sees the pod')
  const tracked = (await one.run(undefined, 'conntrack', '-L')).stdout
  t.notMatch(tracked, '10.96.0.10', 'and is not tracked')
  t.match(tracked, addressOf(b), 'what goes through the tunnel is')
  t.notMatch(tracked, 'dport=4789', 'once')
  const rules = (await one.run(undefined, 'nft', 'list', 'table', 'ip', hostTableName)).stdout
  t.match(rules, 'ip saddr 10.244.1.0/24 ip daddr != @pods masquerade')
  t.match(rules, /elements = \{ 10\.244\.1\.0\/24,\s+10\.244\.2\.0\/24 \}/)
  t.match(rules, /hook prerouting priority raw; policy accept;\s+ip daddr 10\.90\.0\.1 udp dport 4789 notrack\s/)
  t.match(rules, /hook output priority raw; policy accept;\s+ip saddr 10\.90\.0\.1 udp dport 4789 notrack\s+ip daddr 10\.96\.0\.10 notrack\s+ip saddr 10\.96\.0\.10 notrack/)
})

t.test('peers that go or move are followed, and a restart adopts what is there', async (t) => {
  await using underlay = new Underlay()
  const [one] = [underlay.addHost(1), underlay.addHost(2), underlay.addHost(3)]
  await underlay.start(one, 'vxlan')
  const { route } = one
  const link = route.links.get(vxlanLinkName)?.index ?? 0
  const destinations = (): string => route.fdb.list({ link }).map(({ destination = '' }) => destination).sort().join(' ')
  t.equal(destinations(), '10.90.0.2 10.90.0.3')
  underlay.nodes.set('node-2', '10.90.0.22', podCIDRs(2))
  t.ok(await eventually(() => destinations() === '10.90.0.22 10.90.0.3'), 'a host has another address')
  underlay.nodes.delete('node-3')
  t.ok(await eventually(() => destinations() === '10.90.0.22'), 'a host left')
  t.strictSame(route.routes.list({ protocol: overlayRouteProtocol, family: 'ipv4' }).map(({ destination }) => destination).toSorted(), ['10.244.1.0/24', '10.244.2.0/24'])

  await underlay.stop(one)
  t.equal(destinations(), '10.90.0.22', 'stopping leaves everything in place')
  underlay.nodes.set('node-2', '10.90.0.2', podCIDRs(2))
  await underlay.start(one, 'vxlan')
  t.equal(destinations(), '10.90.0.2', 'what changed meanwhile is mended')
  t.equal(route.links.get(vxlanLinkName)?.index, link, 'on the same link')
  await underlay.stop(one)
  await underlay.start(one, 'host-gw')
  t.equal(route.links.get(vxlanLinkName), undefined, 'the other backend takes over')
  t.match(route.routes.list({ protocol: overlayRouteProtocol, family: 'ipv4', type: 'unicast' }), [{ destination: '10.244.2.0/24', gateway: '10.90.0.2' }])
})

t.test('a host waits for its pod range', async (t) => {
  await using underlay = new Underlay()
  const one = underlay.addHost(1)
  underlay.nodes.set('node-1', '10.90.0.1', [])
  const starting = underlay.start(one, 'vxlan')
  await systemClock.sleep(100)
  t.equal(existsSync(join(one.folder, 'conf')), false)
  underlay.nodes.set('node-1', '10.90.0.1', podCIDRs(1))
  await starting
  t.match(configOf(one), { mtu: 1450, ipam: { ranges: [[{ subnet: '10.244.1.0/24' }], [{ subnet: 'fd00:10:244:1::/64' }]] } })
})

t.test('status says of each peer what is missing, and whether it answers', async (t) => {
  await using underlay = new Underlay()
  const [one, two] = [underlay.addHost(1), underlay.addHost(2), underlay.addHost(3)]
  const metrics = new CniMetrics()
  await Promise.all([underlay.start(one, 'vxlan', { metrics }), underlay.start(two, 'vxlan')])
  await two.run(undefined, 'nft', 'add table inet t; add chain inet t i { type filter hook input priority 0; }; add rule inet t i ip6 daddr fd00:10:244:2:: udp dport 33434 drop')
  const status = (): Promise<CniStatus> => cniStatus({ dataDir: one.dataDir, confDir: join(one.folder, 'conf'), netns: one.netns })
  const { peers } = await status()
  t.match(peers.toSorted((a, b) => a.podCIDR.localeCompare(b.podCIDR)), [
    { node: 'node-2', podCIDR: '10.244.2.0/24', address: '10.90.0.2', link: vxlanLinkName, mtu: 1450, missing: [], reach: 'reachable' },
    { node: 'node-3', podCIDR: '10.244.3.0/24', address: '10.90.0.3', missing: [], reach: 'silent' },
    { node: 'node-2', podCIDR: 'fd00:10:244:2::/64', missing: [], reach: 'datagrams lost' },
    { node: 'node-3', podCIDR: 'fd00:10:244:3::/64', missing: [], reach: 'silent' },
  ])
  t.match(formatCniStatus(await status()), /node-2 +10\.244\.2\.0\/24 +10\.90\.0\.2 +fairway-vxlan +1450 +reachable\n/)
  await one.run(undefined, 'ip', 'route', 'flush', 'proto', String(overlayRouteProtocol))
  t.ok(await eventually(() => /repairs_total\{operation="setRoute"\} [1-9]/.test(metrics.text([]))), 'repairs are counted')
  t.match(metrics.text([]), /fairway_overlay_peers 2\n/)

  await underlay.stop(one)
  await one.run(undefined, 'ip', 'route', 'del', '10.244.2.0/24')
  const link = one.route.links.get(vxlanLinkName)?.index ?? 0
  for (const { mac } of one.route.fdb.list({ link }).filter(({ destination }) => destination === '10.90.0.3')) one.route.fdb.delete({ link, mac })
  one.route.neighbours.delete({ link, address: one.route.routes.list({ protocol: overlayRouteProtocol }).find(({ destination }) => destination === 'fd00:10:244:2::/64')?.gateway ?? '' })
  const broken = (await status()).peers
  const missing = (podCIDR: string): readonly string[] => broken.find((peer) => peer.podCIDR === podCIDR)?.missing ?? ['']
  t.strictSame(missing('10.244.2.0/24'), ['route'])
  t.strictSame(missing('10.244.3.0/24'), ['forwarding entry'])
  t.strictSame(missing('fd00:10:244:2::/64'), ['neighbour'])
  t.match(formatCniStatus(await status()), /node-2 +10\.244\.2\.0\/24 +10\.90\.0\.2 +- +- +no route\n/)
})

t.test('a network card that does not fill in checksums is found, and the kernel computes them', async (t) => {
  await using underlay = new Underlay()
  const [one, two] = [underlay.addHost(1), underlay.addHost(2)]
  const clock = new FakeClock()
  const metrics = new CniMetrics()
  await Promise.all([underlay.start(one, 'vxlan', { clock, metrics }), underlay.start(two, 'vxlan')])
  // what the kernel leaves in the field for the card to finish: the sum of addresses, protocol 17 and the length 24
  await two.run(undefined, 'nft', 'add table ip card; add chain ip card i { type filter hook prerouting priority -500; }; add rule ip card i iifname fairway-vxlan udp dport 33434 @th,48,16 0x1911 drop')
  const offloaded = (): boolean => isChecksumOffloaded(vxlanLinkName, { netns: one.netns })
  const passes = async (condition: () => boolean): Promise<boolean> => eventually(async () => {
    await clock.advance(1000)
    return condition()
  })
  t.equal(offloaded(), true)
  t.equal((await cniStatus({ dataDir: one.dataDir, netns: one.netns })).peers.find(({ podCIDR }) => podCIDR === '10.244.2.0/24')?.reach, 'datagrams lost', 'echoes arrive, datagrams do not')
  t.ok(await passes(() => !offloaded() && metrics.text([]).includes('computes_checksums 1')), 'found')
  t.ok(await passes(() => metrics.text([]).includes('ranges{state="datagrams lost"} 0')), 'and cured')
  await one.run(undefined, 'ip', 'link', 'del', vxlanLinkName)
  t.ok(await passes(() => one.route.links.get(vxlanLinkName) !== undefined && !offloaded()), 'of a link made anew too')
  setChecksumOffload(vxlanLinkName, true, { netns: one.netns })
  t.ok(await passes(() => !offloaded()), 'and when somebody turns it on again')
})
