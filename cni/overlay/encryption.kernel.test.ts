/** Hosts that encrypt what their pods say to each other, by a program where the kernel has no WireGuard. All pairs of three hosts are in `three-hosts.kernel.test.ts`. */
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { Client } from '../../api/client.ts'
import { systemClock } from '../../api/clock.ts'
import { createLogger, silentLogger } from '../../api/log.ts'
import { CniMetrics } from '../metrics.ts'
import { answersEcho } from '../../netlink/reach.ts'
import { openNftables } from '../../netlink/nftables/index.ts'
import { Wireguard } from '../../netlink/wireguard.ts'
import { cniStatus, formatCniStatus } from '../status.ts'
import { addressOf } from '../test-support/host.ts'
import type { TestHost } from '../test-support/host.ts'
import { ask, serve } from '../test-support/talk.ts'
import { Underlay, configOf, podCIDRs, wireguardOf } from '../test-support/underlay.ts'
import { Wire } from '../test-support/wire.ts'
import { hostTableId } from './host-table.ts'
import { startOverlay } from './index.ts'
import { overlayRouteProtocol, publicKeyAnnotation, vxlanLinkName, wireguardLinkName } from './want.ts'
import type { Backend, Family } from './want.ts'

if (process.getuid?.() !== 0) {
  t.plan(0, 'encryption between hosts: needs root')
  process.exit()
}
const byKernel = Wireguard.open()
byKernel?.close()

interface Pair {
  readonly underlay: Underlay
  readonly one: TestHost
  readonly two: TestHost
  /** Addresses of pod `a` on the first, `b` on the second. */
  readonly a: readonly string[]
  readonly b: readonly string[]
}

/** Two hosts with a pod each. */
async function makePair(underlay: Underlay, backend: Backend = 'wireguard'): Promise<Pair> {
  const [one, two] = [underlay.addHost(1), underlay.addHost(2)]
  await Promise.all([underlay.start(one, backend), underlay.start(two, backend)])
  const attach = async (host: TestHost, name: string): Promise<string[]> => {
    host.addPod(name)
    const { object } = await host.add(name, configOf(host))
    return ((object['ips'] ?? []) as readonly { readonly address: string }[]).map(({ address }) => address.split('/')[0] ?? '')
  }
  return { underlay, one, two, a: await attach(one, 'a'), b: await attach(two, 'b') }
}

/** What is waited for here is another program's doing. */
async function soon(condition: () => boolean | Promise<boolean>): Promise<boolean> {
  for (let waited = 0; waited < 200; waited++) {
    if (await condition()) return true
    await systemClock.sleep(50)
  }
  return false
}

const reaches = ({ one, b }: Pair): Promise<boolean> => answersEcho(b[0] ?? '', { netns: one.pod('a'), signal: AbortSignal.timeout(300) })
const pidOf = (host: TestHost): number => Number(readFileSync(join(host.folder, 'encrypt.pid'), 'utf8'))
const isRunning = (pid: number): boolean => existsSync(`/proc/${pid}/ns/net`)

for (const { title, families, backend } of [
  { title: 'over IPv4, by WireGuard', families: ['ipv4'], backend: 'wireguard' },
  { title: 'over IPv6, by WireGuard', families: ['ipv6'], backend: 'wireguard' },
  { title: 'over IPv4, by VXLAN', families: ['ipv4'], backend: 'vxlan' },
] as const satisfies readonly { title: string; families: readonly Family[]; backend: Backend }[]) {
  const encrypted = backend === 'wireguard'
  t.test(`what pods say to each other ${encrypted ? 'cannot' : 'can'} be read between the hosts, ${title}`, async (t) => {
    await using underlay = new Underlay(...families)
    const { one, two, b } = await makePair(underlay, backend)
    using wire = new Wire(underlay.netns)
    const marker = randomBytes(16).toString('hex')
    using _server = await serve(two, 'b', marker, 7000)
    for (const address of b) {
      t.match(await ask(one, 'a', 'tcp', address, 7000), marker, `TCP to ${address}`)
      t.match(await ask(one, 'a', 'udp', address, 7000), marker, `UDP to ${address}`)
      t.match(await one.run('a', 'ping', '-c', '1', '-W', '5', '-s', '1300', '-p', marker, address), { status: 0 }, `ICMP to ${address}`)
    }
    const frames = wire.heard()
    const readable = frames.filter((frame) => frame.includes(marker) || frame.includes(Buffer.from(marker, 'hex')))
    t.equal(readable.length > 0, !encrypted)
    // an address of a pod in any place of a frame is a header that can be read
    const pods = [Buffer.from([10, 244, 2, 2]), Buffer.from('fd000010024400020000000000000002', 'hex')]
    t.equal(frames.some((frame) => pods.some((address) => frame.includes(address))), !encrypted)
    t.ok(frames.length > 20, 'and something was said')
    const mtu = encrypted ? (families[0] === 'ipv4' ? 1440 : 1420) : 1450
    t.equal(configOf(one)['mtu'], mtu)
    t.equal(one.route.links.get(encrypted ? wireguardLinkName : vxlanLinkName)?.mtu, mtu)
  })
}

t.test('the key is on disk for root alone, its public half at the Node, and the kernel or the program has exactly the peers', async (t) => {
  await using underlay = new Underlay()
  const { one, two } = await makePair(underlay)
  t.equal(statSync(join(one.dataDir, 'wireguard.key')).mode & 0o777, 0o600)
  t.match(underlay.nodes.annotationsOf('node-1')[publicKeyAnnotation], /^[A-Za-z0-9+/]{43}=$/)
  const show = async (host: TestHost): Promise<string> => (await host.run(undefined, 'unshare', '--mount', 'sh', '-c', `mount --bind ${join(host.folder, 'run')} /run && wg show ${wireguardLinkName} dump`)).stdout
  const rows = (await show(one)).trim().split('\n').map((row) => row.split('\t'))
  t.strictSame(rows.map((row) => row[0] ?? '').slice(1), [underlay.nodes.annotationsOf('node-2')[publicKeyAnnotation]])
  t.strictSame(rows[1]?.slice(2, 4), ['10.90.0.2:51820', podCIDRs(2).join(',')], 'as wg(8) sees it')
  underlay.nodes.delete('node-2')
  t.ok(await soon(async () => (await show(one)).trim().split('\n').length === 1), 'a peer that leaves is forgotten')
  t.strictSame(one.route.routes.list({ protocol: overlayRouteProtocol }).map(({ destination }) => destination).toSorted(), [...podCIDRs(1)].toSorted(), 'with its routes, refusals too')
  t.equal(two.route.links.get(wireguardLinkName)?.up, true)
})

t.test('what others break comes back', async (t) => {
  await using underlay = new Underlay()
  const metrics = new CniMetrics()
  const pair = await makePair(underlay)
  const { one } = pair
  await underlay.stop(one)
  await underlay.start(one, 'wireguard', { metrics })
  const links = (): number | undefined => one.route.links.get(wireguardLinkName)?.index
  t.ok(await soon(() => reaches(pair)))
  const damages: Readonly<Record<string, () => Promise<unknown> | void>> = {
    'the program is killed': () => (byKernel === undefined ? void process.kill(pidOf(one), 'SIGKILL') : undefined),
    'the link is deleted': () => one.run(undefined, 'ip', 'link', 'del', wireguardLinkName),
    'the link is set down': () => one.run(undefined, 'ip', 'link', 'set', wireguardLinkName, 'down'),
    'its addresses are flushed': () => one.run(undefined, 'ip', 'addr', 'flush', 'dev', wireguardLinkName),
    'its MTU is changed': () => one.run(undefined, 'ip', 'link', 'set', wireguardLinkName, 'mtu', '576'),
    'routes are flushed': () => one.run(undefined, 'ip', 'route', 'flush', 'proto', String(overlayRouteProtocol)),
    'the peer is removed': () => one.run(undefined, 'unshare', '--mount', 'sh', '-c', `mount --bind ${join(one.folder, 'run')} /run && wg set ${wireguardLinkName} peer ${underlay.nodes.annotationsOf('node-2')[publicKeyAnnotation]} remove`),
    'the key at the Node is overwritten': () => underlay.nodes.annotate('node-1', { [publicKeyAnnotation]: randomBytes(32).toString('base64') }),
    'the key at the Node is removed': () => underlay.nodes.annotate('node-1', { [publicKeyAnnotation]: null }),
  }
  const published = underlay.nodes.annotationsOf('node-1')[publicKeyAnnotation]
  for (const [title, damage] of Object.entries(damages)) {
    await damage()
    t.ok(await soon(async () => (await reaches(pair)) && links() !== undefined && one.route.links.get(wireguardLinkName)?.mtu === 1440 && underlay.nodes.annotationsOf('node-1')[publicKeyAnnotation] === published), title)
  }
  t.match(metrics.text([]), /fairway_overlay_repairs_total\{operation="setTunnelPeer"\} [1-9]/)
  if (byKernel === undefined) t.match(metrics.text([]), /fairway_overlay_repairs_total\{operation="addTunnel"\} [1-9]/)
})

t.test('a peer without a key is not reached in clear text, and status says so; with its key it is reached', async (t) => {
  await using underlay = new Underlay()
  const { one } = await makePair(underlay)
  const three = underlay.addHost(3)
  // one that does not encrypt, and would take what it is sent
  await underlay.start(three, 'host-gw')
  three.addPod('c')
  const c = addressOf(await three.add('c', configOf(three)))
  t.ok(await soon(() => one.route.routes.list({ protocol: overlayRouteProtocol }).some(({ destination }) => destination === '10.244.3.0/24')))
  using wire = new Wire(underlay.netns)
  t.match(await one.run('a', 'ping', '-c', '1', '-W', '1', c), { status: 1, stdout: /Unreachable/ })
  t.equal(wire.heard().some((frame) => frame.includes(Buffer.from([10, 244, 3, 2]))), false, 'nothing left the host, by the default route neither')
  const status = await cniStatus({ dataDir: one.dataDir, confDir: join(one.folder, 'conf'), netns: one.netns })
  t.match(formatCniStatus(status), /node-3 +10\.244\.3\.0\/24 +10\.90\.0\.3 +.*no key/)
  t.match(formatCniStatus(status), /node-2 +10\.244\.2\.0\/24 +10\.90\.0\.2 +fairway-wg +1440 +reachable/)
  await underlay.stop(three)
  await underlay.start(three, 'wireguard')
  t.ok(await soon(() => answersEcho(c, { netns: one.pod('a'), signal: AbortSignal.timeout(300) })))
})

t.test('whoever says in clear text that it is a pod of another host is not believed', async (t) => {
  await using underlay = new Underlay()
  const { one, a } = await makePair(underlay)
  // a host that is none of the cluster's, with the address of a pod of it
  const stranger = underlay.addHost(9)
  underlay.nodes.delete('node-9')
  await stranger.run(undefined, 'sh', '-c', `ip addr add 10.244.2.77/32 dev lo; ip route add 10.244.1.0/24 via 10.90.0.1 src 10.244.2.77`)
  using tried = await serve(one, 'a', 'a', 7000)
  const arrives = async (): Promise<boolean> => {
    using wire = new Wire(one.pod('a'))
    await stranger.run(undefined, 'ping', '-c', '1', '-W', '1', a[0] ?? '')
    return wire.heard().some((frame) => frame.includes(Buffer.from([10, 244, 2, 77])))
  }
  t.equal(await arrives(), false)
  using nftables = openNftables({ netns: one.netns })
  await underlay.stop(one)
  nftables.apply([{ kind: 'deleteTable', table: hostTableId('ipv4') }])
  t.equal(await arrives(), true, 'without the rule it is')
  t.ok(tried)
})

t.test('an agent that was killed leaves its program, which the next one takes over; one that stops ends it, and nothing goes out in clear text meanwhile', { skip: byKernel !== undefined }, async (t) => {
  await using underlay = new Underlay()
  const pair = await makePair(underlay)
  const { one } = pair
  await underlay.stop(one)
  t.equal(isRunning(pidOf(one)), false)
  t.equal(one.route.links.get(wireguardLinkName), undefined)
  using wire = new Wire(underlay.netns)
  t.match(await one.run('a', 'ping', '-c', '1', '-W', '1', pair.b[0] ?? ''), { status: 1, stdout: /Unreachable/ })
  t.equal(wire.heard().some((frame) => frame.includes(Buffer.from([10, 244, 2, 2]))), false)

  const { program } = wireguardOf(one)
  const orphan = spawn('nsenter', [`--net=${one.pathOf(undefined)}`, program, '-f', wireguardLinkName], { stdio: 'ignore' })
  t.ok(await soon(() => one.route.links.get(wireguardLinkName) !== undefined))
  const gone = once(orphan, 'exit')
  await underlay.start(one, 'wireguard')
  t.equal(pidOf(one), orphan.pid, 'no other was started')
  t.ok(await soon(() => reaches(pair)))
  orphan.kill('SIGKILL')
  t.ok(await soon(async () => (await reaches(pair)) && pidOf(one) !== orphan.pid), 'and when that is killed there is another')
  await gone
})

t.test('another backend takes over: link, program and published key go', async (t) => {
  await using underlay = new Underlay()
  const pair = await makePair(underlay)
  const { one, two } = pair
  const pids = byKernel === undefined ? [one, two].map(pidOf) : []
  await Promise.all([underlay.stop(one), underlay.stop(two)])
  await Promise.all([underlay.start(one, 'vxlan'), underlay.start(two, 'vxlan')])
  t.ok(await soon(() => reaches(pair)))
  t.equal(one.route.links.get(wireguardLinkName), undefined)
  t.strictSame(pids.filter(isRunning), [])
  t.strictSame(underlay.nodes.annotationsOf('node-1'), {})
  t.strictSame(one.route.routes.list({ protocol: overlayRouteProtocol, type: 'unreachable' }).map(({ destination }) => destination).toSorted(), [...podCIDRs(1)].toSorted(), 'no refusal is left')
})

t.test('a program that is not there is refused at once; one that does not do it is tried again, and the log says what it said', { skip: byKernel !== undefined }, async (t) => {
  await using underlay = new Underlay()
  const host = underlay.addHost(1)
  await t.rejects(startOverlay({
    client: new Client(underlay.nodes.transport), nodeName: 'node-1', backend: 'wireguard', netns: host.netns, dataDir: host.dataDir, clock: systemClock, random: Math.random, log: silentLogger,
    wireguard: { program: '/nowhere/wireguard-go' },
  }), /Cannot encrypt between hosts: this kernel has no WireGuard, and \/nowhere\/wireguard-go is no program that can be run/)
  const program = join(host.folder, 'broken')
  writeFileSync(program, '#!/bin/sh\necho no such device >&2\nexit 3\n', { mode: 0o755 })
  const lines: string[] = []
  void underlay.start(host, 'wireguard', { log: createLogger({ write: (line: string) => void lines.push(line) }), program })
  t.ok(await soon(() => lines.filter((line) => /Cannot start .*encrypt: it ended with 3: no such device/.test(line)).length >= 2))
  t.equal(existsSync(join(host.folder, 'conf', '10-fairway.conflist')), false, 'no pod is begun meanwhile')
})
