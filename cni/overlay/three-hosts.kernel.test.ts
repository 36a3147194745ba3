/** Three hosts with two pods each: who reaches whom, with what, and what happens to that when hosts move, leave and are cut off. */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import t from 'tap'
import { answersEcho } from '../../netlink/reach.ts'
import { RouteSocket } from '../../netlink/route/index.ts'
import type { TestHost } from '../test-support/host.ts'
import { Underlay, configOf, eventually, podCIDRs } from '../test-support/underlay.ts'
import { overlayRouteProtocol, vxlanLinkName } from './want.ts'
import type { Backend, Family } from './want.ts'

if (process.getuid?.() !== 0) {
  t.plan(0, 'three hosts: needs root')
  process.exit()
}

/** About the MTUs of both kinds of network, a page, a jumbo frame, and the most that a datagram takes. */
const sizes = [1, 1000, 1410, 1473, 4097, 9001, 65_536]

class Pod {
  readonly host: TestHost
  readonly name: string
  readonly addresses: readonly string[]
  readonly #talker: ChildProcess
  readonly #lines: AsyncIterator<string>

  private constructor(host: TestHost, name: string, addresses: readonly string[]) {
    this.host = host
    this.name = name
    this.addresses = addresses
    this.#talker = spawn('nsenter', [`--net=${host.podPath(name)}`, process.execPath, new URL('../test-support/talker.ts', import.meta.url).pathname], { stdio: ['pipe', 'pipe', 'inherit'] })
    this.#lines = createInterface(this.#talker.stdout!)[Symbol.asyncIterator]()
  }

  static async attach(host: TestHost, name: string): Promise<Pod> {
    host.addPod(name)
    const { object } = await host.add(name, configOf(host))
    const ips = (object['ips'] ?? []) as readonly { readonly address: string }[]
    const pod = new Pod(host, name, ips.map(({ address }) => address.split('/')[0] ?? ''))
    await pod.#lines.next()
    return pod
  }

  /** What did not come back from there. */
  async talk(to: Pod, chosen: readonly number[] = sizes): Promise<string[]> {
    const failures: string[] = []
    for (const address of to.addresses) {
      this.#talker.stdin?.write(`${JSON.stringify({ to: address, sizes: chosen })}\n`)
      const { value } = await this.#lines.next() as { value: string }
      failures.push(...(JSON.parse(value) as string[]))
      for (const bytes of [8, 1410, 65_000]) {
        const echo = (): Promise<boolean> => answersEcho(address, { netns: this.host.pod(this.name), signal: AbortSignal.timeout(5000), bytes })
        // one of its fragments may find a queue full, as with datagrams
        if (!(await echo()) && !(await echo())) failures.push(`${bytes} bytes by ICMP to ${address}`)
      }
    }
    return failures.map((failure) => `${this.addresses[0]}: ${failure}`)
  }

  async end(): Promise<void> {
    const ended = once(this.#talker, 'exit')
    this.#talker.kill('SIGKILL')
    await ended
  }
}

interface Cluster extends AsyncDisposable {
  readonly underlay: Underlay
  readonly hosts: readonly TestHost[]
  readonly pods: Pod[]
}

interface Shape {
  readonly lastBehindRouter?: boolean
  /** Of the hosts' own addresses. */
  readonly families?: readonly Family[]
  readonly ranges?: (n: number) => string[]
}

async function makeCluster(backend: Backend, { lastBehindRouter = false, families = ['ipv4', 'ipv6'], ranges = podCIDRs }: Shape = {}): Promise<Cluster> {
  const underlay = new Underlay(...families)
  const hosts = [1, 2, 3].map((n) => underlay.addHost(n, { behindRouter: n === 3 && lastBehindRouter }))
  for (const n of [1, 2, 3]) underlay.nodes.set(`node-${n}`, underlay.addresses(n, n === 3 && lastBehindRouter ? 1 : 0), ranges(n))
  await Promise.all(hosts.map((host) => underlay.start(host, backend)))
  const pods = await Promise.all(hosts.flatMap((host, index) => [`a${index}`, `b${index}`].map((name) => Pod.attach(host, name))))
  return {
    underlay, hosts, pods,
    [Symbol.asyncDispose]: async () => {
      await Promise.all(pods.map((pod) => pod.end()))
      await underlay[Symbol.asyncDispose]()
    },
  }
}

/** Every pod to every pod, itself included. */
async function allPairs(pods: readonly Pod[], chosen?: readonly number[]): Promise<string[]> {
  return (await Promise.all(pods.map(async (pod) => {
    const failures: string[] = []
    for (const to of pods) failures.push(...await pod.talk(to, chosen))
    return failures
  }))).flat()
}

const nearby = (host: TestHost): string[] => host.route.routes.list({ protocol: overlayRouteProtocol, type: 'unicast' }).filter(({ link }) => link === host.route.links.get('eth0')?.index).map(({ destination }) => destination).toSorted()

for (const { title, backend, lastBehindRouter, direct } of [
  { title: 'by VXLAN', backend: 'vxlan', lastBehindRouter: false, direct: [] },
  { title: 'by VXLAN through a router', backend: 'vxlan', lastBehindRouter: true, direct: [] },
  { title: 'encrypted by WireGuard', backend: 'wireguard', lastBehindRouter: false, direct: [] },
  { title: 'encrypted by WireGuard, through a router', backend: 'wireguard', lastBehindRouter: true, direct: [] },
  { title: 'by host routes', backend: 'host-gw', lastBehindRouter: false, direct: [...podCIDRs(2), ...podCIDRs(3)] },
  { title: 'directly, and by VXLAN to the host behind a router', backend: 'direct', lastBehindRouter: true, direct: podCIDRs(2) },
] as const) {
  t.test(`all pods reach all by TCP, UDP and ICMP, IPv4 and IPv6, with 1 byte to 64 KB, ${title}`, async (t) => {
    await using cluster = await makeCluster(backend, { lastBehindRouter })
    t.equal(cluster.pods.flatMap(({ addresses }) => addresses).length, 12)
    t.strictSame(nearby(cluster.hosts[0]!), [...direct].toSorted())
    t.strictSame(await allPairs(cluster.pods), [])
  })
}

const onlyIpv6 = (n: number): string[] => podCIDRs(n).filter((range) => range.includes(':'))
for (const { title, backend, ranges, direct } of [
  { title: 'by VXLAN', backend: 'vxlan', ranges: podCIDRs, direct: [] },
  { title: 'encrypted by WireGuard', backend: 'wireguard', ranges: podCIDRs, direct: [] },
  { title: 'by host routes, IPv6 pods only', backend: 'host-gw', ranges: onlyIpv6, direct: [...onlyIpv6(2), ...onlyIpv6(3)] },
  { title: 'directly, and IPv4 pods by VXLAN', backend: 'direct', ranges: podCIDRs, direct: [...onlyIpv6(2), ...onlyIpv6(3)] },
] as const) {
  t.test(`hosts that have IPv6 only: all pods reach all by TCP, UDP and ICMP, ${title}`, async (t) => {
    await using cluster = await makeCluster(backend, { families: ['ipv6'], ranges })
    t.equal(cluster.pods.flatMap(({ addresses }) => addresses).length, ranges === podCIDRs ? 12 : 6)
    t.strictSame(nearby(cluster.hosts[0]!), [...direct].toSorted())
    t.strictSame(await allPairs(cluster.pods, [1, 1410, 65_536]), [])
  })
}

t.test('a host that has another address is reached again, one that leaves is forgotten, one that returns is known', async (t) => {
  await using cluster = await makeCluster('vxlan')
  const { underlay, hosts: [one, , three], pods } = cluster
  underlay.takeAddresses(three!, 0, 3)
  underlay.giveAddresses(three!, 0, 33)
  underlay.nodes.set('node-3', underlay.addresses(33), podCIDRs(3))
  t.ok(await eventually(() => three!.route.links.get(vxlanLinkName)?.vxlan?.local === '10.90.0.33'))
  t.strictSame(await allPairs(pods, [1, 9001]), [], 'another address')

  underlay.nodes.delete('node-3')
  underlay.setCable(3, false)
  const vxlan = one!.route.links.get(vxlanLinkName)?.index ?? 0
  t.ok(await eventually(() => one!.route.fdb.list({ link: vxlan }).length === 1))
  t.strictSame(one!.route.routes.list({ protocol: overlayRouteProtocol, type: 'unicast' }).map(({ destination }) => destination).toSorted(), podCIDRs(2).toSorted(), 'no route is left')
  t.equal(one!.route.neighbours.list({ link: vxlan }).filter(({ state }) => state === 'permanent').length, 2, 'no neighbour')
  t.strictSame(await allPairs(pods.slice(0, 4), [1]), [], 'the others do not notice')

  underlay.setCable(3, true)
  await underlay.stop(three!)
  await three!.run(undefined, 'ip', 'link', 'del', vxlanLinkName)
  underlay.nodes.set('node-3', underlay.addresses(33), podCIDRs(3))
  await underlay.start(three!, 'vxlan')
  t.ok(await eventually(() => one!.route.fdb.list({ link: vxlan }).length === 2))
  t.strictSame(await allPairs(pods, [1, 9001]), [], 'returned, with a link made anew')
})

for (const backend of ['vxlan', 'host-gw', 'wireguard'] as const) {
  t.test(`a partition heals, and what others do to links meanwhile, by ${backend}`, async (t) => {
    await using cluster = await makeCluster(backend)
    const { underlay, hosts: [one], pods } = cluster
    const [a, b] = [pods[0]!, pods[2]!]
    const reaches = (): Promise<boolean> => answersEcho(b.addresses[0] ?? '', { netns: a.host.pod(a.name), signal: AbortSignal.timeout(100) })
    underlay.setCable(1, false)
    t.equal(await reaches(), false, 'cut off')
    t.strictSame(await allPairs(pods.slice(0, 2), [1]), [], 'pods of one host do not notice')
    underlay.setCable(1, true)
    t.ok(await eventually(reaches), 'healed')
    // takes routes through it, and its IPv6 addresses, with it
    await one!.run(undefined, 'sh', '-c', 'ip link set eth0 down; ip link set eth0 up; ip addr add fd00:90::1/64 dev eth0 nodad; ip route add default via 10.90.0.254')
    t.ok(await eventually(reaches), 'the link below went down and up')
    t.strictSame(await allPairs(pods, [1, 65_536]), [])
  })
}

/** What both ends of a pod's pair have, and its addresses. */
function ends(pod: Pod): unknown {
  using inside = RouteSocket.open({ netns: pod.host.pod(pod.name) })
  const link = inside.links.get('eth0')
  const other = pod.host.route.links.list({ kind: 'veth' }).find(({ index }) => index === link?.link)
  return [link?.mtu, other?.mtu, ...inside.addresses.list({ link: link?.index ?? 0 }).map(({ address }) => address).filter((address) => pod.addresses.includes(address)).sort()]
}

t.test('pods that are there already follow the MTU below, and keep talking', async (t) => {
  await using cluster = await makeCluster('vxlan')
  const { underlay, hosts, pods } = cluster
  const [one, three] = [pods[0]!, pods[4]!]
  // nobody is in it that could be found
  hosts[0]!.addPod('asleep')
  t.match(await hosts[0]!.add('asleep', configOf(hosts[0]!)), { status: 0 })
  const follow = async (below: number, above: number): Promise<void> => {
    for (const host of hosts) host.route.links.set('eth0', { mtu: below })
    t.ok(await eventually(() => pods.every((pod) => JSON.stringify(ends(pod)) === JSON.stringify([above, above, ...pod.addresses.toSorted()]))), `${above}: ${JSON.stringify(pods.map(ends))}`)
    t.strictSame(await allPairs([one, pods[2]!, three], [1, 65_536]), [])
  }
  await follow(1350, 1300)
  await follow(1500, 1450)
  // chosen by the pod itself
  await one.host.run(one.name, 'ip', 'link', 'set', 'eth0', 'mtu', '1290')
  for (const host of hosts) host.route.links.set('eth0', { mtu: 1400 })
  t.ok(await eventually(() => JSON.stringify(ends(three)).startsWith('[1350,1350,')))
  t.ok(await eventually(() => JSON.stringify(ends(one)).startsWith('[1290,1350')), JSON.stringify(ends(one)))
  // IPv6 would be gone
  for (const host of hosts) host.route.links.set('eth0', { mtu: 1300 })
  t.ok(await eventually(() => hosts.every((host) => host.route.links.get(vxlanLinkName)?.mtu === 1250)))
  t.match(ends(three), [1350, 1350, ...three.addresses.toSorted()])
  // an agent that was away
  await underlay.stop(hosts[2]!)
  hosts[2]!.route.links.set('eth0', { mtu: 1450 })
  await underlay.start(hosts[2]!, 'vxlan')
  t.ok(await eventually(() => JSON.stringify(ends(three)).startsWith('[1400,1400,')))
  t.match((await hosts[0]!.run('asleep', 'ip', 'link', 'show', 'eth0')).stdout, /mtu 1450/, 'as it was, like the end on the host')
})
