/**
 * Hosts for tests, and what is between them: two bridges with a router between, all in a namespace of their own. Host `n` has the pods 10.244.n.0/24 and
 * fd00:10:244:n::/64, and the address 10.90.0.n, fd00:90::n or both; behind the router, 10.91.0.n and fd00:91::n.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Client } from '../../api/client.ts'
import { systemClock } from '../../api/clock.ts'
import type { Clock } from '../../api/clock.ts'
import { silentLogger } from '../../api/log.ts'
import type { Logger } from '../../api/log.ts'
import { Netns } from '../../netlink/netns.ts'
import { RouteSocket } from '../../netlink/route/index.ts'
import { writeSysctl } from '../../netlink/sysctl.ts'
import type { CniMetrics } from '../metrics.ts'
import { startOverlay } from '../overlay/index.ts'
import type { Overlay } from '../overlay/index.ts'
import type { Backend, Family } from '../overlay/want.ts'
import { TestHost } from './host.ts'
import { NodeList } from './node-list.ts'

interface HostOptions {
  readonly behindRouter?: boolean
}

interface StartOptions {
  readonly metrics?: CniMetrics
  readonly clock?: Clock
  readonly log?: Logger
  /** What encrypts, in place of `wireguard-go`. */
  readonly program?: string
  readonly clusterDns?: readonly string[]
}

const lengths = { ipv4: 24, ipv6: 64 } as const

export class Underlay {
  readonly nodes = new NodeList()
  readonly hosts: TestHost[] = []
  readonly folder = mkdtempSync(join(tmpdir(), 'fairway-underlay-'))
  readonly #netns = Netns.create(join(this.folder, 'switch'))
  readonly #route = RouteSocket.open({ netns: this.#netns })
  readonly #overlays = new Map<TestHost, Overlay>()
  readonly #families: readonly Family[]

  constructor(...families: readonly Family[]) {
    this.#families = families.length === 0 ? ['ipv4'] : families
    for (const path of ['ipv4/ip_forward', 'ipv6/conf/all/forwarding']) writeSysctl(path, 1, { netns: this.#netns })
    for (const segment of [0, 1]) {
      this.#route.links.add({ kind: 'bridge', name: `br${segment}`, up: true })
      const link = this.#route.links.get(`br${segment}`)?.index ?? 0
      for (const family of this.#families) this.#route.addresses.add({ link, address: underlayAddress(family, segment, 254), prefixLength: lengths[family], noDad: true })
    }
  }

  addHost(n: number, { behindRouter = false }: HostOptions = {}): TestHost {
    const host = new TestHost()
    const segment = behindRouter ? 1 : 0
    this.hosts.push(host)
    this.#route.links.add({ kind: 'veth', name: `port${n}`, up: true, master: this.#route.links.get(`br${segment}`)?.index, peer: { name: 'eth0', netns: host.netns } })
    host.route.links.set('eth0', { up: true })
    this.giveAddresses(host, segment, n)
    this.nodes.set(`node-${n}`, this.addresses(n, segment), podCIDRs(n))
    return host
  }

  addresses(n: number, segment = 0): string[] {
    return this.#families.map((family) => underlayAddress(family, segment, n))
  }

  /** Gives a host the addresses that end in `last`, and default routes. */
  giveAddresses(host: TestHost, segment: number, last: number): void {
    const link = host.route.links.get('eth0')?.index ?? 0
    for (const family of this.#families) {
      host.route.addresses.add({ link, address: underlayAddress(family, segment, last), prefixLength: lengths[family], noDad: true })
      host.route.routes.replace({ destination: family === 'ipv4' ? '0.0.0.0/0' : '::/0', gateway: underlayAddress(family, segment, 254), link })
    }
  }

  takeAddresses(host: TestHost, segment: number, last: number): void {
    const link = host.route.links.get('eth0')?.index ?? 0
    for (const family of this.#families) host.route.addresses.delete({ link, address: underlayAddress(family, segment, last), prefixLength: lengths[family] })
  }

  setCable(n: number, plugged: boolean): void {
    this.#route.links.set(`port${n}`, { up: plugged })
  }

  /** The namespace in which the hosts' cables meet. */
  get netns(): Netns {
    return this.#netns
  }

  async start(host: TestHost, backend: Backend, { metrics, clock = systemClock, log = silentLogger, program, clusterDns = ['10.96.0.10'] }: StartOptions = {}): Promise<Overlay> {
    const n = this.hosts.indexOf(host) + 1
    const overlay = await startOverlay({
      client: new Client(this.nodes.transport), nodeName: `node-${n}`, backend, netns: host.netns, clock, random: Math.random, log,
      wireguard: backend === 'wireguard' ? wireguardOf(host, program) : undefined,
      confDir: join(host.folder, 'conf'), dataDir: host.dataDir, clusterDns, metrics,
    })
    this.#overlays.set(host, overlay)
    await overlay.ready
    return overlay
  }

  async stop(host: TestHost): Promise<void> {
    await this.#overlays.get(host)?.stop()
    this.#overlays.delete(host)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const overlay of this.#overlays.values()) await overlay.stop()
    for (const host of this.hosts) host[Symbol.dispose]()
    this.#route.close()
    this.#netns.close()
    Netns.delete(join(this.folder, 'switch'))
    rmSync(this.folder, { recursive: true })
  }
}

/** A program whose `/run` is the host's own, as on hosts made by `fairway up`. Its process id is in the host's folder. */
export function wireguardOf(host: TestHost, program = 'wireguard-go'): { readonly program: string; readonly socketDir: string } {
  const [wrapper, run] = [join(host.folder, 'encrypt'), join(host.folder, 'run')]
  mkdirSync(run, { recursive: true })
  writeFileSync(wrapper, `#!/bin/sh\necho $$ > ${join(host.folder, 'encrypt.pid')}\nexec unshare --mount sh -c 'mount --bind ${run} /run && exec ${program} "$@"' sh "$@"\n`, { mode: 0o755 })
  return { program: wrapper, socketDir: join(run, 'wireguard') }
}

function underlayAddress(family: Family, segment: number, last: number): string {
  return family === 'ipv4' ? `10.9${segment}.0.${last}` : `fd00:9${segment}::${last}`
}

export function podCIDRs(n: number): string[] {
  return [`10.244.${n}.0/24`, `fd00:10:244:${n}::/64`]
}

/** The plugin's configuration from the list that the overlay wrote. */
export function configOf(host: TestHost): Record<string, unknown> {
  const list = JSON.parse(readFileSync(join(host.folder, 'conf', '10-fairway.conflist'), 'utf8')) as { cniVersions: string[]; name: string; plugins: Record<string, unknown>[] }
  const { capabilities: _capabilities, ...plugin } = list.plugins[0] ?? {}
  return { ...plugin, cniVersion: list.cniVersions.at(-1), name: list.name }
}

/** Within two seconds. */
export async function eventually(condition: () => boolean | Promise<boolean>): Promise<boolean> {
  for (let waited = 0; waited < 100; waited++) {
    if (await condition()) return true
    await systemClock.sleep(20)
  }
  return false
}
