/**
 * Pod to pod, on one host and across two: TCP stream (iperf3), requests and connections a second, beside the same path made by hand with `ip` (routed veth pairs, and a
 * VXLAN link with static entries) and nothing else on it, and beside that again with connections tracked, which no cluster with services does without. All take turns, so
 * that what else the machine does meets all; figures are medians of the turns, ratios those of the ratios within a turn.
 */
import { execFileSync, spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { systemClock } from '../api/clock.ts'
import { overlayRouteProtocol, vxlanLinkName } from '../cni/overlay/want.ts'
import { Netns } from '../netlink/netns.ts'
import type { Route } from '../netlink/route/index.ts'
import type { TestHost } from '../cni/test-support/host.ts'
import { addressOf } from '../cni/test-support/host.ts'
import { Underlay, configOf } from '../cni/test-support/underlay.ts'
import { percentile, spread } from './run.ts'
import type { Figure } from './run.ts'

const turns = 6
const streamSeconds = 1
const ratesMs = 500

/** From one namespace to an address in another. */
interface Way {
  readonly from: string
  readonly to: string
  readonly address: string
}

type Measure = (way: Way) => Promise<number>

export async function bench(): Promise<Figure[]> {
  await using underlay = new Underlay('ipv4')
  const hosts = [underlay.addHost(1), underlay.addHost(2)] as const
  const byHand = makeByHand(underlay)
  try {
    const figures: Figure[] = []
    for (const backend of ['vxlan', 'host-gw', 'wireguard'] as const) {
      for (const host of hosts) await underlay.start(host, backend)
      const fairway = await attach(hosts, backend)
      const ways = waysOf[backend]
      for (const name of ways) figures.push(...await compare(name, { fairway: name === 'same host' ? fairway.near : fairway.far, hand: name === 'same host' ? byHand.near : byHand[backend === 'wireguard' ? 'vxlan' : backend], track: byHand.track }))
      if (backend === 'vxlan') figures.push(...await repairs(hosts[0]))
      for (const host of hosts) await underlay.stop(host)
    }
    return figures
  } finally {
    byHand.end()
  }
}

/** What is encrypted, by a program where the kernel has no WireGuard, is beside VXLAN in clear text. */
const waysOf = { vxlan: ['same host', 'across hosts by VXLAN'], 'host-gw': ['across hosts by host routes'], wireguard: ['across hosts encrypted, beside VXLAN'] } as const

/** From what somebody deletes to what is there again. */
async function repairs({ route }: TestHost): Promise<Figure[]> {
  const link = (): number => route.links.get(vxlanLinkName)?.index ?? 0
  const routes = (): Route[] => route.routes.list({ protocol: overlayRouteProtocol, type: 'unicast' })
  const whole = { routes: routes().length, entries: route.fdb.list({ link: link() }).length }
  const cases = {
    route: { remove: () => route.routes.delete({ destination: routes()[0]?.destination ?? '', protocol: overlayRouteProtocol }), isThere: () => routes().length === whole.routes },
    'forwarding entry': { remove: () => route.fdb.delete({ link: link(), mac: route.fdb.list({ link: link() })[0]?.mac ?? '' }), isThere: () => route.fdb.list({ link: link() }).length === whole.entries },
    'link and all on it': { remove: () => route.links.delete(vxlanLinkName), isThere: () => routes().length === whole.routes },
  }
  const figures: Figure[] = []
  for (const [name, { remove, isThere }] of Object.entries(cases)) {
    const samples: number[] = []
    for (let turn = 0; turn < 30; turn += 1) {
      remove()
      const began = performance.now()
      while (!isThere()) await new Promise((resolve) => setImmediate(resolve))
      samples.push(performance.now() - began)
      await systemClock.sleep(20)
    }
    figures.push({ name: `repair of a deleted ${name}`, unit: 'ms', values: spread(samples) })
  }
  return figures
}

async function attach(hosts: readonly [TestHost, TestHost], backend: string): Promise<{ near: Way; far: Way }> {
  const pods = await Promise.all([[hosts[0], 'a'], [hosts[0], 'b'], [hosts[1], 'c']].map(async ([host, name]) => {
    const [place, pod] = [host as TestHost, `${backend}-${String(name)}`]
    place.addPod(pod)
    return { path: place.podPath(pod), address: addressOf(await place.add(pod, configOf(place))) }
  }))
  const [a, b, c] = pods as [{ path: string; address: string }, { path: string; address: string }, { path: string; address: string }]
  return { near: { from: a.path, to: b.path, address: b.address }, far: { from: a.path, to: c.path, address: c.address } }
}

async function compare(name: string, { fairway, hand, track }: { readonly fairway: Way; readonly hand: Way; readonly track: () => Disposable }): Promise<Figure[]> {
  const figures: Figure[] = []
  await using _servers = await serve([fairway, hand])
  for (const [what, unit, measure] of [['TCP stream', 'Gbit/s', stream], ['TCP requests', '1/s', rates('requests')], ['TCP connections', '1/s', rates('connects')]] as const) {
    const samples = { fairway: [] as number[], hand: [] as number[], tracked: [] as number[] }
    const kinds = Object.keys(samples) as (keyof typeof samples)[]
    for (let turn = 0; turn < turns; turn += 1) {
      // who goes first changes
      for (const kind of [...kinds.slice(turn % 3), ...kinds.slice(0, turn % 3)]) {
        using _tracking = kind === 'tracked' ? track() : undefined
        samples[kind].push(await measure(kind === 'fairway' ? fairway : hand))
      }
    }
    const median = (kind: keyof typeof samples): number => percentile(samples[kind], 0.5)
    const ratioTo = (kind: keyof typeof samples): number => percentile(samples.fairway.map((sample, turn) => sample / (samples[kind][turn] ?? 0)), 0.5)
    figures.push({
      name: `${name}: ${what}`, unit,
      values: { fairway: median('fairway'), 'by hand': median('hand'), 'by hand, tracked': median('tracked'), ratio: ratioTo('hand'), 'ratio to tracked': ratioTo('tracked'), turns },
    })
  }
  return figures
}

/** Before what else the machine does. */
const inside = (namespace: string, ...command: readonly string[]): [string, string[]] => ['nsenter', [`--net=${namespace}`, 'nice', '-n', '-19', ...command]]
const ratesFile = new URL('test-support/tcp-rates.ts', import.meta.url).pathname

/** The servers of both ways. */
async function serve(ways: readonly Way[]): Promise<AsyncDisposable> {
  const children: ChildProcess[] = []
  for (const { to, address } of ways) {
    const rate = spawn(...inside(to, process.execPath, ratesFile, 'serve', address), { stdio: ['ignore', 'pipe', 'inherit'] })
    children.push(rate, spawn(...inside(to, 'iperf3', '-s', '-B', address, '--forceflush'), { stdio: ['ignore', 'pipe', 'inherit'] }))
    await Promise.all(children.slice(-2).map((child) => once(child.stdout!, 'data')))
    for (const child of children) child.stdout?.resume()
  }
  return {
    [Symbol.asyncDispose]: async () => {
      await Promise.all(children.map((child) => {
        const ended = once(child, 'exit')
        child.kill('SIGKILL')
        return ended
      }))
    },
  }
}

const stream: Measure = async ({ from, address }) => {
  const { end } = JSON.parse(await run(inside(from, 'iperf3', '-c', address, '-t', String(streamSeconds), '-O', '0.3', '-J'))) as { end: { sum_received: { bits_per_second: number } } }
  return end.sum_received.bits_per_second / 1e9
}

function rates(mode: 'requests' | 'connects'): Measure {
  return async ({ from, address }) => Number(await run(inside(from, process.execPath, ratesFile, mode, address, String(ratesMs))))
}

async function run([file, args]: [string, string[]]): Promise<string> {
  const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  const out: Buffer[] = []
  child.stdout.on('data', (data: Buffer) => out.push(data))
  const [status] = (await once(child, 'close')) as [number | null]
  if (status !== 0) throw new Error(`Cannot measure: ${args.slice(4).join(' ')} ended with ${status}`)
  return Buffer.concat(out).toString()
}

/** The same by hand: hosts 3 and 4 on the same bridge, with the pods 10.1.3.2, 10.1.3.3 and 10.1.4.2; those of the second kind, by host routes, are 10.2.*. */
function makeByHand(underlay: Underlay): { near: Way; vxlan: Way; 'host-gw': Way; track(): Disposable; end(): void } {
  const paths: string[] = []
  const hosts = [3, 4].map((n) => underlay.addHost(n))
  const sh = (namespace: string, script: string): void => void execFileSync('nsenter', [`--net=${namespace}`, 'sh', '-ec', script])
  const pod = (host: TestHost, address: string, mtu: number): string => {
    const path = join(underlay.folder, `hand-${address}`)
    const link = `h${paths.length}`
    Netns.create(path).close()
    paths.push(path)
    sh(join(host.folder, 'host'), `ip link add ${link} mtu ${mtu} type veth peer name eth0 mtu ${mtu} netns ${path}; ip link set ${link} up; ip route add ${address} dev ${link}; sysctl -qw net.ipv4.conf.${link}.proxy_arp=1`)
    sh(path, `ip link set eth0 up; ip addr add ${address}/32 dev eth0; ip route add 169.254.1.1 dev eth0; ip route add default via 169.254.1.1`)
    return path
  }
  for (const [index, host] of hosts.entries()) {
    const [n, m] = [3 + index, 4 - index]
    sh(join(host.folder, 'host'), `sysctl -qw net.ipv4.ip_forward=1
      ip link add hand address 02:00:00:00:00:0${n} mtu 1450 type vxlan id 7 dstport 4790 local 10.90.0.${n} nolearning; ip link set hand up; ip addr add 10.1.${n}.0/32 dev hand
      ip route add 10.1.${m}.0/24 via 10.1.${m}.0 dev hand onlink; ip neigh add 10.1.${m}.0 lladdr 02:00:00:00:00:0${m} dev hand; bridge fdb add 02:00:00:00:00:0${m} dst 10.90.0.${m} dev hand
      ip route add 10.2.${m}.0/24 via 10.90.0.${m}`)
  }
  const [three, four] = hosts as [TestHost, TestHost]
  const a = pod(three, '10.1.3.2', 1450)
  const direct = pod(three, '10.2.3.2', 1500)
  return {
    near: { from: a, to: pod(three, '10.1.3.3', 1450), address: '10.1.3.3' },
    vxlan: { from: a, to: pod(four, '10.1.4.2', 1450), address: '10.1.4.2' },
    'host-gw': { from: direct, to: pod(four, '10.2.4.2', 1500), address: '10.2.4.2' },
    // as the rule that masquerades what pods send out of the cluster
    track: () => {
      for (const host of hosts) sh(join(host.folder, 'host'), "nft 'add table ip hand; add chain ip hand out { type nat hook postrouting priority srcnat; }; add rule ip hand out ip daddr != 10.0.0.0/8 masquerade'")
      return { [Symbol.dispose]: () => hosts.forEach((host) => sh(join(host.folder, 'host'), 'nft delete table ip hand')) }
    },
    end: () => paths.forEach((path) => Netns.delete(path)),
  }
}
