/** The service proxy: Services and EndpointSlices of the watch become elements of the kernel's maps. */
import type { Client } from '../api/client.ts'
import type { Clock, Random, Timer } from '../api/clock.ts'
import type { Component } from '../api/component.ts'
import { EventRecorder } from '../api/events.ts'
import { InformerSet } from '../api/informer-set.ts'
import { objectKey } from '../api/informer.ts'
import type { Informer } from '../api/informer.ts'
import type { Logger } from '../api/log.ts'
import { endpointSlices, nodes, services } from '../api/resources.ts'
import type { EndpointSlice, KubeObject, Node, Service } from '../api/types.ts'
import { WorkQueue } from '../api/work-queue.ts'
import { isNotFound } from '../netlink/errors.ts'
import type { Netns } from '../netlink/netns.ts'
import { openNftables } from '../netlink/nftables/index.ts'
import type { Nftables } from '../netlink/nftables/index.ts'
import { readSysctl } from '../netlink/sysctl.ts'
import { createCleaner, deleteFrom } from './conntrack.ts'
import type { ConntrackCleaner } from './conntrack.ts'
import { families } from './families.ts'
import { collectGarbage } from './garbage.ts'
import { isHealthy, startHealthServer } from './health.ts'
import { HealthChecks } from './health-checks.ts'
import type { HealthServer } from './health.ts'
import type { IngressController, IngressOptions } from './ingress/index.ts'
import { keeping } from './kept.ts'
import { routeLocalhost } from './localhost.ts'
import { ProxyMetrics } from './metrics.ts'
import { isEligible, nodeView } from './node.ts'
import type { NodeOptions } from './node.ts'
import { serviceNameLabel, triggerAnnotation, wantNode, wantService } from './service.ts'
import type { NodeView, ServiceWant } from './service.ts'
import { HiddenSockets, hostAddresses } from './sockets.ts'
import { Sync } from './sync.ts'
import { Traffic } from './traffic.ts'
import type { OwnerOf } from './traffic.ts'
import { Want } from './want.ts'

export { cleanupProxy } from './cleanup.ts'
export { explainService } from './explain.ts'

export interface ProxyOptions extends NodeOptions {
  readonly client: Client
  readonly nodeName: string
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
  /** The network namespace to program; by default the one that it runs in. */
  readonly netns?: Netns | undefined
  /** Where health is served, by default 127.0.0.1:10256; `none`: nowhere. */
  readonly healthzBindAddress?: string | undefined
  /** Where `/metrics` and `/proxyMode` are served; left out, nowhere. */
  readonly metricsBindAddress?: string | undefined
  /** Whether `/metrics` has connections and bytes of each service. The kernel then tells of every connection that ends. */
  readonly traffic?: boolean | undefined
  /** Where ingresses are served; left out, nowhere. */
  readonly ingress?: IngressOptions['listen'] | undefined
  /** How often programs are looked for that began to listen where a service takes their clients, and addresses of `nodePortAddresses`; by default every half minute. */
  readonly socketsEveryMs?: number | undefined
  /** For tests: in place of the kernel's. */
  readonly nftables?: Nftables | undefined
}

export interface Proxy extends Component {
  /** Where health is served. */
  readonly healthzAddress: string | undefined
  readonly metricsAddress: string | undefined
  /** Where ingresses are served. */
  readonly ingressAddresses: readonly string[]
  /** The text of `/metrics`. */
  metricsText(): Promise<string>
}

const syncKey = 'sync'
const byService = 'service'
/** Changes that come within this time are one transaction. */
const gatherMs = 1
/** Somebody else's changes of the table are mended no sooner, so that two who disagree do not take a processor each. */
const mendMs = 20
/** Of an event's message. */
const messagesMax = 5
const messageLengthMax = 150
/** How long a node that must not be read is asked for before services are served without. */
const refusedMsMax = 3_000
/** So many services and changes at once leave garbage that is worth collecting. */
const muchGarbageFrom = 20_000
const tidyMs = 1_000
/** When the kernel refused, the next attempt comes after this, and later each time. */
const backoff = { initialMs: 100, maxMs: 10_000 }

/** Starts it; resolves when the kernel has all that the API server had. What was there before goes on working until then, and after. */
export async function startProxy(options: ProxyOptions): Promise<Proxy> {
  const proxy = new ServiceProxy(options)
  await proxy.start()
  return proxy
}

function isLiberal(netns: Netns | undefined): boolean {
  try {
    return readSysctl('netfilter/nf_conntrack_tcp_be_liberal', { netns }) === '1'
  } catch (error) {
    if (isNotFound(error)) return false
    throw error
  }
}

class ServiceProxy implements Proxy {
  readonly done: Promise<void>
  readonly #options: ProxyOptions
  readonly #informers: InformerSet
  readonly #services: Informer<Service>
  readonly #slices: Informer<EndpointSlice>
  readonly #nodes: Informer<Node>
  readonly #queue: WorkQueue
  readonly #events: EventRecorder
  readonly #cleaner: ConntrackCleaner
  readonly #nftables: Nftables
  readonly #sync: Sync
  readonly #healthChecks: HealthChecks
  readonly #want = new Want()
  readonly #metrics = new ProxyMetrics()
  readonly #hidden: HiddenSockets
  #lookAgain: Timer | undefined
  #tidy: Timer | undefined
  /** Services whose part of `#want` is to be made anew. */
  readonly #dirty = new Set<string>()
  readonly #problems = new Map<string, readonly string[]>()
  readonly #told = new Map<string, string>()
  #node: NodeView
  #nodeIsDirty = true
  #waitingSince: number | undefined
  #lastSync: number | undefined
  #failure: unknown
  #health: HealthServer | undefined
  #metricsServer: HealthServer | undefined
  #traffic: Traffic | undefined
  #ingress: IngressController | undefined
  /** When what waits was changed, as slices say it. */
  #triggers: number[] = []
  #resolveDone: () => void

  constructor(options: ProxyOptions) {
    const { client, nodeName, clock, random, log, netns } = options
    this.#options = options
    this.#informers = new InformerSet(client, { clock, random, log })
    const kept = keeping()
    this.#services = this.#informers.informer(services, { transform: kept.service })
    this.#slices = this.#informers.informer(endpointSlices, { transform: kept.slice })
    this.#slices.addIndex(byService, (slice) => serviceOf(slice) ?? [])
    this.#nodes = this.#informers.informer(nodes, { fieldSelector: `metadata.name=${nodeName}` })
    this.#node = this.#nodeView()
    this.#events = new EventRecorder({ client, clock, log, component: 'kube-proxy', host: nodeName })
    this.#queue = new WorkQueue({ clock, random, backoff, reconcile: () => this.#reconcile(), onError: (error) => this.#failed(error) })
    this.#nftables = options.nftables ?? openNftables({ netns })
    const fixed = { liberal: options.nftables === undefined && isLiberal(netns) }
    this.#sync = new Sync({ nftables: this.#nftables, fixed, clock, log, onMustSync: () => this.#queue.addAfter(syncKey, mendMs) })
    this.#cleaner = createCleaner({ clock, random, log, deleteMatching: options.nftables === undefined ? deleteFrom(netns) : () => Promise.resolve(0) })
    this.#healthChecks = new HealthChecks({ netns, isHealthy: () => isHealthy(this.#state(), clock), onFailure: (key, { message }) => this.#unchecked(key, message) })
    this.#hidden = new HiddenSockets(netns)
    const { promise, resolve } = Promise.withResolvers<void>()
    this.done = promise
    this.#resolveDone = resolve
  }

  get healthzAddress(): string | undefined {
    return this.#health?.address
  }

  get metricsAddress(): string | undefined {
    return this.#metricsServer?.address
  }

  get ingressAddresses(): readonly string[] {
    return this.#ingress?.listening ?? []
  }

  /** Loaded only where it is asked for: it is a tenth of the code. */
  async #ingressController(listen: IngressOptions['listen']): Promise<IngressController> {
    const { client, clock, random, log, nodeName } = this.#options
    const { IngressController } = await import('./ingress/index.ts')
    return new IngressController({
      client, clock, random, log, listen, informers: this.#informers, place: () => this.#node, slicesOf: (service) => this.#slices.byIndex(byService, service),
      addresses: () => (this.#nodes.get(undefined, nodeName)?.status?.addresses ?? []).filter(({ type }) => type === 'InternalIP').map(({ address }) => address),
    })
  }

  async metricsText(): Promise<string> {
    return this.#metrics.text({ services: this.#services.list().length, pendingServices: this.#dirty.size, traffic: (await this.#traffic?.read()) ?? [] })
  }

  async start(): Promise<void> {
    try {
      await this.#serve()
      if (this.#options.nftables === undefined && this.#node.nodePortAddresses.includes('127.0.0.1')) routeLocalhost(this.#options.netns, this.#options.log)
      if (this.#options.ingress !== undefined) this.#ingress = await this.#ingressController(this.#options.ingress)
      this.#informers.start()
      await Promise.all([this.#services.synced, this.#slices.synced, this.#nodeAsked()])
      this.#services.onChange((change) => this.#serviceChanged(change.new ?? change.old))
      this.#slices.onChange(({ old, new: slice }) => this.#sliceChanged(old, slice))
      this.#nodes.onChange(() => this.#nodeChanged())
      this.#queue.add(syncKey)
      await this.#queue.idle()
      if (this.#lastSync === undefined) throw this.#failure
      await this.#ingress?.start()
      this.#lookAgainLater()
    } catch (error) {
      await this.stop()
      throw error
    }
  }

  /** A proxy that may not read nodes does without. But a server that has just begun may refuse for a moment what it allows, and node ports that work are not given up for that. */
  async #nodeAsked(): Promise<void> {
    const { clock, log, nodeName } = this.#options
    await this.#nodes.settled
    const patience = Promise.withResolvers<void>()
    const timer = clock.setTimeout(patience.resolve, refusedMsMax)
    await Promise.race([this.#nodes.synced, patience.promise])
    timer.cancel()
    if (!this.#nodes.hasSynced()) log.warn('may not read its node: its own addresses serve no node ports, its zone and the prefixes of its pods are not known', { node: nodeName })
  }

  async #serve(): Promise<void> {
    const { clock, healthzBindAddress = '127.0.0.1:10256', metricsBindAddress = 'none', traffic = false, netns, log, nodeName } = this.#options
    const serving = { clock, health: () => ({ ...this.#state(), nodeEligible: isEligible(this.#nodes.get(undefined, nodeName)) }) }
    if (healthzBindAddress !== 'none') this.#health = await startHealthServer({ ...serving, bindAddress: healthzBindAddress })
    if (metricsBindAddress !== 'none') this.#metricsServer = await startHealthServer({ ...serving, bindAddress: metricsBindAddress, metrics: () => this.metricsText() })
    if (traffic) this.#traffic = new Traffic({ netns, log, ownerOf: (frontend) => this.#ownerOf(frontend) })
  }

  #state(): { readonly waitingSince: number | undefined; readonly lastSync: number | undefined } {
    return { waitingSince: this.#waitingSince, lastSync: this.#lastSync }
  }

  #ownerOf(frontend: string): ReturnType<OwnerOf> {
    const target = this.#want.target(frontend)
    return target === undefined ? undefined : { service: target.service, port: target.port === '' ? frontend.slice(frontend.lastIndexOf(' ') + 1) : target.port }
  }

  async stop(): Promise<void> {
    this.#lookAgain?.cancel()
    this.#tidy?.cancel()
    await this.#queue.stop()
    this.#traffic?.close()
    await this.#ingress?.stop()
    this.#informers.stop()
    await this.#cleaner.stop()
    this.#sync.close()
    if (this.#options.nftables === undefined) this.#nftables.close()
    await this.#healthChecks.close()
    await this.#health?.close()
    await this.#metricsServer?.close()
    await this.#events.flush()
    this.#resolveDone()
  }

  #failed(error: unknown): void {
    this.#failure = error
    this.#metrics.failed()
    this.#options.log.error('cannot bring services to the kernel, trying again', { error })
  }

  #serviceChanged(service: KubeObject | undefined): void {
    if (service === undefined) return
    this.#metrics.changed('service', this.#options.clock.now())
    this.#markDirty([objectKey(service)])
  }

  #sliceChanged(old: EndpointSlice | undefined, slice: EndpointSlice | undefined): void {
    this.#metrics.changed('endpoint', this.#options.clock.now())
    // What was there when the proxy began has waited for the proxy, and not for the network.
    const trigger = slice?.metadata.annotations?.[triggerAnnotation]
    const time = trigger === undefined || trigger === old?.metadata.annotations?.[triggerAnnotation] ? Number.NaN : Date.parse(trigger)
    if (this.#lastSync !== undefined && Number.isFinite(time)) this.#triggers.push(time)
    this.#markDirty([...(serviceOf(old) ?? []), ...(serviceOf(slice) ?? [])])
  }

  /** With the addresses that the host has now, where it is for them to say what serves node ports. */
  #nodeView(): NodeView {
    const { nodeName, nodePortAddresses, netns, ...given } = this.#options
    const addresses = nodePortAddresses === undefined ? undefined : (given.hostAddresses ?? hostAddresses(netns))
    return nodeView(nodeName, this.#nodes.get(undefined, nodeName), { ...given, nodePortAddresses, hostAddresses: addresses })
  }

  #nodeChanged(): void {
    const node = this.#nodeView()
    // Heartbeats change nothing that matters here.
    if (JSON.stringify(node) === JSON.stringify(this.#node)) return
    this.#node = node
    this.#nodeIsDirty = true
    this.#markDirty(this.#services.list().map(objectKey))
  }

  #markDirty(keys: readonly string[]): void {
    for (const key of keys) this.#dirty.add(key)
    this.#waitingSince ??= this.#options.clock.monotonicMs()
    this.#queue.add(syncKey)
  }

  async #reconcile(): Promise<void> {
    const { clock } = this.#options
    await clock.sleep(gatherMs)
    const started = clock.monotonicMs()
    if (this.#nodeIsDirty) this.#want.put('', wantNode(this.#node, families))
    this.#nodeIsDirty = false
    const dirty = [...this.#dirty]
    this.#dirty.clear()
    const triggers = this.#triggers
    this.#triggers = []
    for (const key of dirty) this.#wantService(key)
    const began = this.#waitingSince
    const { changes, stale } = await this.#sync.sync(this.#want)
    this.#cleaner.add(stale)
    if (this.#options.nftables === undefined) this.#hidden.look()
    for (const key of dirty) this.#tellProblems(key)
    this.#lastSync = clock.now()
    this.#metrics.synced({ seconds: (clock.monotonicMs() - started) / 1000, changes, now: this.#lastSync, triggers })
    if (this.#dirty.size === 0) this.#waitingSince = undefined
    if (changes + dirty.length > muchGarbageFrom) this.#tidy = clock.setTimeout(collectGarbage, tidyMs)
    if (changes > 0) this.#options.log.debug('services are in the kernel', { changes, ms: Math.round(clock.monotonicMs() - (began ?? clock.monotonicMs())) })
  }

  #wantService(key: string): void {
    const service = this.#services.getByKey(key)
    const want = service === undefined ? undefined : this.#understood(key, service)
    this.#hidden.set(key, want)
    this.#want.put(key, want)
    this.#healthChecks.set(key, want?.healthCheck)
    if (want === undefined || want.problems.length === 0) this.#problems.delete(key)
    else this.#problems.set(key, want.problems)
  }

  /** One service that is not what the API says a service is must not keep the others from being served. */
  #understood(key: string, service: Service): ServiceWant {
    try {
      return wantService(key, service, this.#slices.byIndex(byService, key), this.#node)
    } catch (error) {
      return { targets: new Map(), members: [], problems: [`it cannot be understood: ${(error as Error).message}`] }
    }
  }

  /** Programs that began to listen meanwhile, and addresses that the host got or lost. */
  #lookAgainLater(): void {
    const { clock, log, socketsEveryMs = 30_000, nftables, nodePortAddresses } = this.#options
    if (nftables !== undefined) return
    this.#lookAgain = clock.setTimeout(() => {
      try {
        if (nodePortAddresses !== undefined) this.#nodeChanged()
        this.#healthChecks.again()
        for (const key of this.#hidden.again()) this.#tellProblems(key)
      } catch (error) {
        log.warn('cannot look for addresses of the host, and for programs whose clients services take', { error })
      }
      this.#lookAgainLater()
    }, socketsEveryMs)
  }

  /** What was left out or is in the way is said once, as an event of the service. */
  #tellProblems(key: string): void {
    const service = this.#services.getByKey(key)
    if (service === undefined) {
      this.#traffic?.forget(key)
      for (const reason of ['NotServed', 'SocketHidden', 'HealthCheckFailed']) this.#told.delete(`${reason} ${key}`)
      return
    }
    const lost = this.#want.lost(key).map(({ frontend, to }) => `${frontend} belongs to ${to}`)
    this.#tell(service, 'NotServed', `Not served on ${this.#options.nodeName}: `, [...(this.#problems.get(key) ?? []), ...lost])
    this.#tell(service, 'SocketHidden', `Clients of ${this.#options.nodeName} itself are taken: `, this.#hidden.of(key))
  }

  #unchecked(key: string, message: string): void {
    this.#options.log.warn(message)
    const service = this.#services.getByKey(key)
    if (service !== undefined) this.#tell(service, 'HealthCheckFailed', `On ${this.#options.nodeName}: `, [message])
  }

  #tell(service: Service, reason: string, begin: string, messages: readonly string[]): void {
    const key = `${reason} ${objectKey(service)}`
    const message = shortened(messages)
    const told = this.#told.get(key)
    if (message === '') this.#told.delete(key)
    else this.#told.set(key, message)
    if (message === '' || message === told) return
    this.#events.event({ kind: 'Service', apiVersion: 'v1', metadata: service.metadata }, 'Warning', reason, `${begin}${message}`)
  }
}

/** The first few: an event's message is for people, and no longer than 1,024 characters (core/v1 validation). */
function shortened(messages: readonly string[]): string {
  const shown = messages.slice(0, messagesMax).map((message) => (message.length > messageLengthMax ? `${message.slice(0, messageLengthMax)}…` : message))
  return [...shown, ...(messages.length > shown.length ? [`and ${messages.length - shown.length} more`] : [])].join('; ')
}

/** `namespace/name` of the service that a slice belongs to. */
function serviceOf(slice: EndpointSlice | undefined): [string] | undefined {
  const name = slice?.metadata.labels?.[serviceNameLabel]
  return name === undefined ? undefined : [`${slice?.metadata.namespace ?? ''}/${name}`]
}
