/** The names of a cluster, kept current by the watch, and the chain of handlers that answers for them. */
import type { Client } from '../api/client.ts'
import type { Clock, Random, Timer } from '../api/clock.ts'
import type { Logger } from '../api/log.ts'
import { endpointSlices, namespaces, pods, services } from '../api/resources.ts'
import type { Resource } from '../api/resources.ts'
import type { KubeObject, Service } from '../api/types.ts'
import { autopath, unsearched } from './answers/autopath.ts'
import type { Autopath } from './answers/autopath.ts'
import { clusterZone, readiness } from './answers/cluster-zone.ts'
import type { Handler } from './answers/handler.ts'
import { Histogram, exponentialBounds } from './answers/histogram.ts'
import { localNames } from './answers/local-names.ts'
import { refusals } from './answers/refusals.ts'
import { reverseZone } from './answers/reverse-zone.ts'
import { Followed } from './followed.ts'
import type { FollowOptions } from './followed.ts'
import { NetworkExchange } from './forward/exchange.ts'
import { Forwarder } from './forward/forwarder.ts'
import { Loops } from './forward/loops.ts'
import { Outside } from './forward/outside.ts'
import type { StubZone } from './forward/outside.ts'
import type { Upstream } from './forward/upstream.ts'
import { loadSnapshot, saveSnapshot } from './snapshot.ts'
import { addressBytes, canonical } from './wire/index.ts'
import { ClusterIndex } from './zone/cluster-index.ts'
import type { PodMode } from './zone/cluster-index.ts'
import { everything } from './zone/exposed.ts'
import type { Exposed } from './zone/exposed.ts'
import { keptWithPodNames, serviceNameLabel } from './zone/kept.ts'
import { PodOwners } from './zone/pod-owners.ts'

export interface NamesOptions {
  readonly client: Client
  /** `cluster.local`, with or without the dot at the end. */
  readonly zone: string
  readonly pods: PodMode
  /** Which objects have names; left out, all. */
  readonly exposed?: Exposed | undefined
  /** Search on the server's side for pods, and the search domains that they have from their hosts; left out: none. */
  readonly autopath?: { readonly hostDomains: readonly string[] } | undefined
  /** Servers for names that are not the cluster's; none: such names are refused. */
  readonly upstreams: readonly Upstream[]
  /** Zones with servers of their own. */
  readonly stubs?: readonly StubZone[]
  /** A file that outlives the process: with it a server that starts again answers at once. */
  readonly snapshot?: string | undefined
  /** Addresses of this server, for the name server's own name. */
  readonly serverAddresses: readonly string[]
  /** Seconds that the cluster's answers may be kept by others: 0 to 3600. CoreDNS has 5. */
  readonly ttlSeconds?: number
  readonly clock: Clock
  readonly random: Random
  /** An integer below `max` that nobody can foresee. */
  readonly randomInt: (max: number) => number
  readonly log: Logger
}

/** As CoreDNS. */
export const defaultTtlSeconds = 5
/** How often it is looked whether what is known is current, and has to be saved. */
const tickMs = 1000
/** While things change, the snapshot is written this often, and takes at most this share of the time. */
const saveEveryMs = 10_000
const saveShare = 1 / 20

export class ClusterNames {
  /** In the order in which they are asked; the first that answers has answered. */
  readonly handlers: readonly Handler[]
  readonly outside: Outside
  readonly autopath: Autopath | undefined
  /** Seconds from a change to its names, as the SIG Scalability's DNS programming latency; bounds as CoreDNS has them. */
  readonly programming = new Histogram(exponentialBounds(0.001, 2, 20))
  readonly #options: NamesOptions
  readonly #followed: readonly Followed[]
  readonly #network: NetworkExchange
  #tick: Timer | undefined
  #restored = false
  #changed = false
  /** When the snapshot may be written again. */
  #saveAtMs = Number.NEGATIVE_INFINITY
  #saving: Promise<void> = Promise.resolve()
  /** Milliseconds since the epoch when all that is known was current. */
  #currentAt: number | undefined

  constructor(options: NamesOptions) {
    this.#options = options
    const { client, clock, random, randomInt, log, stubs = [], ttlSeconds = defaultTtlSeconds, exposed = everything } = options
    const index = new ClusterIndex({
      zone: canonical(options.zone), pods: options.pods, ttlSeconds, negativeTtlSeconds: ttlSeconds, now: () => clock.now(),
      serverAddresses: options.serverAddresses.flatMap((address) => addressBytes(address) ?? []), exposed,
    })
    const owners = new PodOwners()
    const isExposed = ({ metadata: { namespace, name = '' } }: KubeObject): boolean => exposed.namespaces.length === 0 || exposed.namespaces.includes(namespace ?? name)
    const follow = <T extends KubeObject>(resource: Resource<T>, set: (old: T | undefined, next: T | undefined) => void, more: Omit<FollowOptions, 'onChange'> = {}): Followed => {
      const onChange = (old: KubeObject | undefined, next: KubeObject | undefined, begunAt?: number): void => {
        if (!isExposed(next ?? old ?? { metadata: {} })) return
        this.#changed = true
        set(old as T | undefined, next as T | undefined)
        if (begunAt !== undefined && next !== undefined) this.#measure(next, begunAt)
      }
      return new Followed(client, resource, { clock, random, log, onChange, ...more })
    }
    this.#followed = [
      follow(services, (old, next) => index.setService(old, next), selected(exposed.labels)),
      ...(exposed.endpoints ? [follow(endpointSlices, (old, next) => index.setSlice(old, next), exposed.endpointPodNames ? { keep: keptWithPodNames } : {})] : []),
      follow(namespaces, (old, next) => index.setNamespace(old, next), selected(exposed.namespaceLabels)),
      ...(options.pods === 'verified' || options.autopath !== undefined ? [follow(pods, (old, next) => {
        if (options.pods === 'verified') index.setPod(old, next)
        owners.setPod(old, next)
      })] : []),
    ]
    const loops = new Loops(randomInt)
    this.#network = new NetworkExchange(loops)
    const forwarder = ({ zone, upstreams }: StubZone): Forwarder => new Forwarder({ zone, upstreams, exchange: this.#network.ask, loops, clock, randomInt, log })
    this.outside = new Outside({ zones: [...stubs, ...(options.upstreams.length > 0 ? [{ zone: '.', upstreams: options.upstreams }] : [])], forwarder })
    const isReady = (): boolean => this.isReady
    const cluster = clusterZone(index, (query) => this.outside.handle(query))
    const reverse = reverseZone({ index, isReady, hasOutside: (name) => this.outside.takes(name), negativeTtlSeconds: ttlSeconds })
    this.autopath = options.autopath === undefined ? undefined : autopath({
      zone: index.zone, ttlSeconds, hostDomains: options.autopath.hostDomains, cluster, chain: [localNames, cluster, reverse, this.outside],
      // What may be old says nothing of who has an address now.
      namespaceOf: (client) => (this.isCurrent ? owners.ownerOf(client)?.namespace : undefined),
    })
    this.handlers = [
      refusals,
      localNames,
      readiness(index.zone, isReady),
      ...(this.autopath === undefined ? [cluster] : [this.autopath, unsearched(cluster, index.zone)]),
      reverse,
      this.outside,
    ]
  }

  /** From the change of a pod to the names of its headless service. */
  #measure({ metadata: { namespace, labels } }: KubeObject, begunAt: number): void {
    const service = this.#followed[0]?.informer.get(namespace, labels?.[serviceNameLabel] ?? '') as Service | undefined
    if (service?.spec.clusterIP === 'None') this.programming.observe(Math.max(0, (this.#options.clock.now() - begunAt) / 1000))
  }

  /** Whether all names of the cluster are known; once they were, they are kept, however long the API server is away. */
  get isReady(): boolean {
    return this.#restored || this.#hasSynced
  }

  /** Whether every watch is open: while not, what is answered may be old. */
  get isCurrent(): boolean {
    return this.#followed.every(({ informer }) => informer.isConnected())
  }

  /** For how long what is answered may have been old; 0 while every watch is open, undefined while nothing is known. */
  get staleSeconds(): number | undefined {
    if (this.isCurrent) return 0
    return this.#currentAt === undefined ? undefined : Math.max(0, (this.#options.clock.now() - this.#currentAt) / 1000)
  }

  get takesOtherNames(): boolean {
    return this.outside.takes('.')
  }

  /** A snapshot is of use to who exposes the same. */
  get #snapshotZone(): string {
    const { zone, exposed } = this.#options
    return exposed === undefined || JSON.stringify(exposed) === JSON.stringify(everything) ? canonical(zone) : `${canonical(zone)} ${JSON.stringify(exposed)}`
  }

  get #hasSynced(): boolean {
    return this.#followed.every(({ informer }) => informer.hasSynced())
  }

  /** Resolves when the names are known, from the snapshot or the API server. */
  async start(): Promise<void> {
    const synced = Promise.all(this.#followed.map((followed) => followed.start()))
    this.#watchAge()
    if (!this.#restored) await synced
  }

  /** Resolves when the snapshot is on disk, unless others have to save by now. */
  async stop({ save = true }: { readonly save?: boolean } = {}): Promise<void> {
    this.#tick?.cancel()
    this.outside.stop()
    this.#network.close()
    for (const followed of this.#followed) followed.stop()
    if (save && this.#hasSynced && this.#changed) this.#save()
    await this.#saving
  }

  /** Takes what the snapshot has, when there is one; to be called before `start`. */
  async restore(): Promise<void> {
    const { snapshot: file, log, clock } = this.#options
    if (file === undefined) return
    try {
      const snapshot = await loadSnapshot(file, this.#snapshotZone, this.#followed.map(({ kind }) => kind))
      if (snapshot === undefined) return
      for (const followed of this.#followed) followed.restore(snapshot.objects[followed.kind] ?? [])
      this.#restored = true
      this.#currentAt = snapshot.currentAt
      log.info('serving what was known before', { snapshot: file, ageSeconds: Math.round((clock.now() - snapshot.currentAt) / 1000) })
    } catch (error) {
      log.warn('the snapshot is of no use; waiting for the API server', { error })
    }
  }

  #watchAge(): void {
    const { clock } = this.#options
    this.#tick = clock.setTimeout(() => {
      if (this.isCurrent) {
        this.#currentAt = clock.now()
        if (this.#changed && clock.monotonicMs() >= this.#saveAtMs) this.#save()
      }
      this.#watchAge()
    }, tickMs)
  }

  #save(): void {
    const { snapshot: file, clock, log } = this.#options
    if (file === undefined) return
    this.#changed = false
    const begun = clock.monotonicMs()
    this.#saveAtMs = Number.POSITIVE_INFINITY
    const objects = Object.fromEntries(this.#followed.map(({ kind, informer }) => [kind, informer.list()]))
    const currentAt = this.#currentAt ?? clock.now()
    this.#saving = this.#saving.then(() => saveSnapshot(file, { zone: this.#snapshotZone, currentAt, objects })).catch((error: unknown) => log.warn('cannot save what is known', { error })).then(() => {
      this.#saveAtMs = begun + Math.max(saveEveryMs, (clock.monotonicMs() - begun) / saveShare)
    })
  }
}

function selected(labelSelector: string): Pick<FollowOptions, 'labelSelector'> {
  return labelSelector === '' ? {} : { labelSelector }
}
