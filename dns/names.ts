/** The names of a cluster, kept current by the watch, and the chain of handlers that answers for them. */
import type { Client } from '../api/client.ts'
import type { Clock, Random } from '../api/clock.ts'
import { InformerSet } from '../api/informer-set.ts'
import type { Informer } from '../api/informer.ts'
import type { Logger } from '../api/log.ts'
import { endpointSlices, namespaces, pods, services } from '../api/resources.ts'
import type { KubeObject } from '../api/types.ts'
import { clusterZone, readiness } from './answers/cluster-zone.ts'
import type { Handler } from './answers/handler.ts'
import { localNames } from './answers/local-names.ts'
import { refusals } from './answers/refusals.ts'
import { reverseZone } from './answers/reverse-zone.ts'
import { exchange } from './forward/exchange.ts'
import type { Upstream } from './forward/exchange.ts'
import { Forwarder } from './forward/forwarder.ts'
import { addressBytes, canonical } from './wire/index.ts'
import { ClusterIndex } from './zone/cluster-index.ts'
import type { PodMode } from './zone/cluster-index.ts'

export interface NamesOptions {
  readonly client: Client
  /** `cluster.local`, with or without the dot at the end. */
  readonly zone: string
  readonly pods: PodMode
  /** Servers for names that are not the cluster's; none: such names are refused. */
  readonly upstreams: readonly Upstream[]
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

const defaultTtlSeconds = 5

export class ClusterNames {
  /** In the order in which they are asked; the first that answers has answered. */
  readonly handlers: readonly Handler[]
  readonly #informers: InformerSet
  readonly #watched: readonly Informer<KubeObject>[]
  readonly #forwarder: Forwarder

  constructor(options: NamesOptions) {
    const { client, clock, random, randomInt, log, ttlSeconds = defaultTtlSeconds } = options
    const index = new ClusterIndex({
      zone: canonical(options.zone), pods: options.pods, ttlSeconds, negativeTtlSeconds: ttlSeconds, now: () => clock.now(),
      serverAddresses: options.serverAddresses.flatMap((address) => addressBytes(address) ?? []),
    })
    this.#informers = new InformerSet(client, { clock, random, log })
    const follow = <T extends KubeObject>(informer: Informer<T>, set: (old: T | undefined, next: T | undefined) => void): Informer<KubeObject> => {
      informer.onChange(({ old, new: next }) => set(old, next))
      return informer as unknown as Informer<KubeObject>
    }
    this.#watched = [
      follow(this.#informers.informer(services), (old, next) => index.setService(old, next)),
      follow(this.#informers.informer(endpointSlices), (old, next) => index.setSlice(old, next)),
      follow(this.#informers.informer(namespaces), (old, next) => index.setNamespace(old, next)),
      ...(options.pods === 'verified' ? [follow(this.#informers.informer(pods), (old, next) => index.setPod(old, next))] : []),
    ]
    this.#forwarder = new Forwarder({ upstreams: options.upstreams, exchange, clock, randomInt, log })
    const isReady = (): boolean => this.isReady
    this.handlers = [
      refusals,
      localNames,
      readiness(index.zone, isReady),
      clusterZone(index, (query) => this.#forwarder.handle(query)),
      reverseZone({ index, isReady, hasOutside: () => this.#forwarder.isUsable, negativeTtlSeconds: ttlSeconds }),
      this.#forwarder,
    ]
  }

  /** Whether all names of the cluster are known; once they were, they are kept, however long the API server is away. */
  get isReady(): boolean {
    return this.#watched.every((informer) => informer.hasSynced())
  }

  /** Whether every watch is open: while not, what is answered may be old. */
  get isCurrent(): boolean {
    return this.#watched.every((informer) => informer.isConnected())
  }

  get takesOtherNames(): boolean {
    return this.#forwarder.isUsable
  }

  start(): Promise<void> {
    this.#informers.start()
    return this.#informers.synced
  }

  stop(): void {
    this.#informers.stop()
  }
}
