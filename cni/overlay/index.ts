/** The overlay: routes to the pods of every other host, from the watch of Nodes. */
import { renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Client } from '../../api/client.ts'
import type { Clock, Random } from '../../api/clock.ts'
import type { Component } from '../../api/component.ts'
import { InformerSet } from '../../api/informer-set.ts'
import type { Informer } from '../../api/informer.ts'
import type { Logger } from '../../api/log.ts'
import { nodes } from '../../api/resources.ts'
import type { Node } from '../../api/types.ts'
import { WorkQueue } from '../../api/work-queue.ts'
import type { Netns } from '../../netlink/netns.ts'
import { openNftables } from '../../netlink/nftables/index.ts'
import type { Nftables } from '../../netlink/nftables/index.ts'
import { RouteSocket } from '../../netlink/route/index.ts'
import type { RouteEvent } from '../../netlink/route/index.ts'
import { makeFolder } from '../folder.ts'
import type { CniMetrics } from '../metrics.ts'
import { Journal } from '../ipam/journal.ts'
import { writeNetworkConfig } from '../network-config.ts'
import { defaultDataDir, defaultNetworkName } from '../paths.ts'
import { podRouteProtocol } from '../plugin/want.ts'
import { applyOverlay } from './apply.ts'
import type { Failure } from './apply.ts'
import { settleClaims } from './claims.ts'
import { RT_TABLE_MAIN, findOnLink, findUnderlays, readOverlay } from './have.ts'
import { hostTableId, hostTableName, planHostTable, wantHostTables } from './host-table.ts'
import type { HostTableOptions } from './host-table.ts'
import { planOverlay } from './plan.ts'
import { setPodMtu } from './pod-mtu.ts'
import { Reachability, reachTargets } from './reach.ts'
import { peersFile, publicKeyAnnotation, readHost, vxlanPort, wantOverlay, wireguardLinkName } from './want.ts'
import type { Backend, Host, OverlayWant } from './want.ts'
import { WireguardLink } from './wireguard/index.ts'
import { checkWireguard } from './wireguard/tunnel.ts'
import type { WireguardOptions } from './wireguard/tunnel.ts'

export interface OverlayOptions {
  readonly client: Client
  readonly nodeName: string
  /** `vxlan` works over any network; `host-gw` needs peers on a shared link, and costs nothing per packet; `direct` takes what goes, for each peer; `wireguard` encrypts. */
  readonly backend: Backend
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
  /** Where the configuration list is written once the pod range is known; left out, none is written. */
  readonly confDir?: string | undefined
  readonly dataDir?: string | undefined
  /** Cluster DNS addresses that a DNS server of this host answers on: put on `lo` and not tracked. */
  readonly clusterDns?: readonly string[] | undefined
  /** With the backend `wireguard`: who does it where the kernel does not. */
  readonly wireguard?: WireguardOptions | undefined
  /** Told what is done. */
  readonly metrics?: CniMetrics | undefined
  /** The host's network namespace, when it is not the caller's. */
  readonly netns?: Netns | undefined
}

export interface Overlay extends Component {
  /** Resolves once this host has its pod range, its routes and its configuration list. */
  readonly ready: Promise<void>
}

const syncKey = 'sync'

/** Starts it; resolves at once, as the Node may be registered later by this same process: see `ready`. Rejects where it is to encrypt and cannot. */
export async function startOverlay(options: OverlayOptions): Promise<Overlay> {
  if (options.backend === 'wireguard') checkWireguard(options.wireguard)
  const overlay = new NodeOverlay(options)
  overlay.start()
  await Promise.resolve()
  return overlay
}

/** What was done; a failure, of this host itself, is added to the others. */
async function attempt(failures: Failure[], action: () => Promise<string[]>): Promise<string[]> {
  try {
    return await action()
  } catch (error) {
    failures.push({ error: error as Error, ofPeer: false })
    return []
  }
}

function hostTableOptions(common: Pick<HostTableOptions, 'own' | 'peers' | 'clusterDns'>, { vxlan, wireguard }: OverlayWant): HostTableOptions {
  if (wireguard !== undefined) return { ...common, tunnel: { address: wireguard.local, port: wireguard.port }, encryptedLink: wireguardLinkName }
  return { ...common, tunnel: vxlan === undefined ? undefined : { address: vxlan.local, port: vxlanPort } }
}

/** What a Node says that matters here, as text: heartbeats change nothing of it. */
function relevant(node: Node | undefined): string {
  return node === undefined ? '' : JSON.stringify(readHost(node))
}

class NodeOverlay implements Overlay {
  readonly done: Promise<void>
  readonly ready: Promise<void>
  readonly #options: OverlayOptions
  readonly #route: RouteSocket
  readonly #nftables: Nftables
  readonly #informers: InformerSet
  readonly #nodes: Informer<Node>
  readonly #queue: WorkQueue
  readonly #stop: PromiseWithResolvers<void> = Promise.withResolvers<void>()
  readonly #firstSync: PromiseWithResolvers<void> = Promise.withResolvers<void>()
  #listening: readonly { close(): void }[] = []
  readonly #reachability: Reachability
  readonly #wireguard: WireguardLink | undefined
  #vxlanLink: number | undefined
  #computeChecksums = false
  /** What was wanted when all was in place last: what has to be done for the same again was undone by others. */
  #inPlace = ''
  #problems = ''
  #peers = ''
  /** What pods that are there have. */
  #podMtu = 0

  constructor(options: OverlayOptions) {
    const { client, clock, random, log, netns, backend } = options
    this.#options = options
    this.done = this.#stop.promise
    this.ready = this.#firstSync.promise
    this.#route = RouteSocket.open({ netns })
    this.#nftables = openNftables({ netns })
    this.#informers = new InformerSet(client, { clock, random, log })
    this.#nodes = this.#informers.informer(nodes)
    this.#reachability = new Reachability({
      clock, log, netns,
      onChecksumTrouble: () => {
        this.#computeChecksums = true
        this.#queue.add(syncKey)
      },
    })
    this.#wireguard = backend !== 'wireguard' ? undefined : new WireguardLink({
      ...options.wireguard, route: this.#route, netns, dataDir: options.dataDir ?? defaultDataDir, clock, log, onChange: () => this.#queue.add(syncKey),
    })
    this.#queue = new WorkQueue({
      clock, random, reconcile: () => this.#sync(), onError: (error) => log.error('overlay is not as it should be', { error }),
      backoff: { initialMs: 100, maxMs: 5000 },
    })
  }

  start(): void {
    this.#listening = [
      this.#route.listen(['link', 'address', 'route', 'neighbour', 'setting'], (event) => {
        if (concerns(event, this.#vxlanLink)) this.#queue.add(syncKey)
      }),
      this.#nftables.listen((event) => {
        if (event.kind === 'overrun' || event.tables.some(({ name }) => name === hostTableName)) this.#queue.add(syncKey)
      }),
    ]
    this.#nodes.onChange(({ old, new: node }) => {
      if (relevant(old) !== relevant(node)) this.#queue.add(syncKey)
    })
    this.#informers.start()
    void this.#nodes.synced.then(() => this.#queue.add(syncKey))
  }

  /** Leaves everything in the kernel: pods keep talking while the agent is away. A program that encrypts ends, and nothing goes out in clear text. */
  async stop(): Promise<void> {
    await this.#queue.stop()
    await this.#reachability.stop()
    await this.#wireguard?.stop()
    this.#informers.stop()
    for (const listening of this.#listening) listening.close()
    this.#listening = []
    this.#route.close()
    this.#nftables.close()
    this.#stop.resolve()
  }

  async #sync(): Promise<void> {
    // Before the first list is whole, every peer not seen yet would look like one that is gone.
    if (!this.#nodes.hasSynced()) return
    const { nodeName, backend, clusterDns = [], netns } = this.#options
    const hosts = this.#nodes.list().map(readHost)
    const own = hosts.find(({ name }) => name === nodeName)
    if (own === undefined || own.podCIDRs.length === 0 || Object.keys(own.addresses).length === 0) return
    const claims = settleClaims(own, hosts.filter(({ name }) => name !== nodeName))
    const peers = claims.peers.filter(({ podCIDRs }) => podCIDRs.length > 0).sort((a, b) => a.name.localeCompare(b.name))
    const tunnel = await this.#ensureTunnel(own)
    const underlays = findUnderlays(this.#route, own)
    const onLink = backend === 'host-gw' || backend === 'direct' ? findOnLink(this.#route, underlays, peers) : undefined
    const want = wantOverlay({ backend, own: { ...own, publicKey: this.#wireguard?.publicKey }, peers, underlays, onLink, computeChecksums: this.#computeChecksums, clusterDns })
    const have = readOverlay(this.#route, netns)
    this.#vxlanLink = have.vxlan?.index
    const plan = planOverlay(want, have)
    const failures = [...tunnel.failures, ...applyOverlay(plan, this.#route, netns), ...this.#syncHostTables(hostTableOptions({ own, peers, clusterDns }, want))]
    const operations = [...tunnel.operations, ...plan.map(({ kind }) => kind)]
    if (want.wireguard !== undefined && tunnel.failures.length === 0) operations.push(...await attempt(failures, async () => await this.#wireguard?.sync(want.wireguard!) ?? []))
    this.#account({ ...want, problems: [...claims.problems, ...want.problems] }, { operations, failures, peers })
    // the first packet to a peer makes the keys for the others; and one that knows us by keys that are gone learns it from that
    this.#reachability.follow(reachTargets(want, peers), { now: operations.includes('setTunnelPeer') })
    // pods of this host may run although one peer cannot be reached
    if (failures.every(({ ofPeer }) => ofPeer)) {
      this.#writeFiles(want, own, peers)
      this.#firstSync.resolve()
      await this.#tellPods(want.podMtu)
    }
    const errors = failures.map(({ error }) => error)
    if (errors.length > 0) throw new AggregateError(errors, errors.map(({ message }) => message).join('; '))
  }

  /** The encrypted link, and its key where peers find it; where this host does not encrypt, peers are not to think so. */
  async #ensureTunnel({ name, publicKey: published }: Host): Promise<{ readonly operations: readonly string[]; readonly failures: Failure[] }> {
    const failures: Failure[] = []
    const wireguard = this.#wireguard
    const operations = wireguard === undefined ? [] : await attempt(failures, () => wireguard.ensure())
    if (published !== wireguard?.publicKey) {
      await attempt(failures, async () => {
        await this.#options.client.patch(nodes, { name }, { metadata: { annotations: { [publicKeyAnnotation]: wireguard?.publicKey ?? null } } }, { type: 'merge' })
        return []
      })
    }
    return { operations, failures }
  }

  #syncHostTables(options: HostTableOptions): Failure[] {
    const failures: Failure[] = []
    for (const [family, want] of wantHostTables(options)) {
      try {
        const plan = planHostTable(family, want, this.#nftables.list(hostTableId(family)))
        if (plan.length > 0) this.#nftables.apply(plan)
      } catch (error) {
        failures.push({ error: error as Error, ofPeer: false })
      }
    }
    return failures
  }

  #account(want: OverlayWant, { operations, failures, peers }: { readonly operations: readonly string[]; readonly failures: readonly Failure[]; readonly peers: readonly Host[] }): void {
    const { log, metrics, backend } = this.#options
    const wanted = JSON.stringify(want)
    if (operations.length > 0 && wanted === this.#inPlace) {
      log.info('put right what others had changed', { operations })
      for (const operation of operations) metrics?.countRepair(operation)
    } else if (operations.length > 0) log.debug('overlay changed', { operations })
    this.#inPlace = failures.length === 0 ? wanted : ''
    metrics?.countSync(failures.length)
    if (metrics !== undefined) {
      metrics.overlay = { backend, mtu: want.podMtu, peers: peers.length, reach: this.#reachability.states, computesChecksums: this.#computeChecksums, inPlace: failures.length === 0 }
    }
    const problems = want.problems.join('; ')
    if (problems !== this.#problems && problems !== '') log.warn('some peers cannot be reached', { problems })
    this.#problems = problems
  }

  /** Behind the configuration, so that none comes to be with the old one afterwards. */
  async #tellPods(mtu: number): Promise<void> {
    const { confDir, dataDir = defaultDataDir, log } = this.#options
    if (confDir === undefined || mtu === this.#podMtu) return
    this.#podMtu = mtu
    try {
      const { followed, left } = await setPodMtu(this.#route, new Journal(dataDir, defaultNetworkName).read().holdings(), mtu)
      if (followed + left > 0) log.info('pods that are there already were given the MTU', { mtu, followed, left })
    } catch (error) {
      log.warn('pods that are there already keep their MTU', { error })
    }
  }

  #writeFiles({ podMtu }: OverlayWant, { podCIDRs }: Host, peers: readonly Host[]): void {
    const { confDir, dataDir = defaultDataDir, log } = this.#options
    const text = `${JSON.stringify(peers, null, 2)}\n`
    if (text !== this.#peers) {
      makeFolder(dataDir, 0o700)
      writeFileSync(`${join(dataDir, peersFile)}.new`, text, { mode: 0o600 })
      renameSync(`${join(dataDir, peersFile)}.new`, join(dataDir, peersFile))
      this.#peers = text
    }
    if (confDir !== undefined && writeNetworkConfig({ confDir, podCIDRs, mtu: podMtu, dataDir })) log.info('wrote the network configuration', { confDir, podCIDRs, mtu: podMtu })
  }
}

/** Whether somebody may have changed what is ours, or what ours rests on. Pods come and go all the time. */
function concerns(event: RouteEvent, vxlanLink: number | undefined): boolean {
  switch (event.kind) {
    case 'link':
      return !/^fw[0-9a-f]{11}$/.test(event.link.name)
    case 'address':
      return true
    case 'route':
      // also of others: whether a peer is on a link of ours is for the kernel's routes to say
      return event.route.table === RT_TABLE_MAIN && event.route.protocol !== podRouteProtocol
    case 'neighbour':
      return event.neighbour.link === vxlanLink
    case 'forwarding':
      return event.entry.link === vxlanLink
    case 'overrun':
      return true
    case 'setting':
      return event.link === undefined && event.forwarding === false
    case 'rule':
      return false
  }
}
