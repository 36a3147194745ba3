/** Network policies, kept in the kernel of one host as the watch says. */
import type { Client } from '../../api/client.ts'
import type { Clock, Random } from '../../api/clock.ts'
import type { Component } from '../../api/component.ts'
import { InformerSet } from '../../api/informer-set.ts'
import type { Informer } from '../../api/informer.ts'
import type { Logger } from '../../api/log.ts'
import { namespaces, networkPolicies, pods } from '../../api/resources.ts'
import type { KubeObject, NetworkPolicy, Pod } from '../../api/types.ts'
import { WorkQueue } from '../../api/work-queue.ts'
import type { Netns } from '../../netlink/netns.ts'
import { openNftables } from '../../netlink/nftables/index.ts'
import type { Nftables, NftablesEvent } from '../../netlink/nftables/index.ts'
import { planPolicy, policyTable } from './plan.ts'
import { wantPolicy } from './want.ts'
import type { PolicyWant } from './want.ts'

export interface PolicyOptions {
  readonly client: Client
  readonly nodeName: string
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
  /** The host's network namespace, when it is not the caller's. */
  readonly netns?: Netns | undefined
  /** For tests: in place of the kernel's. */
  readonly nftables?: Nftables | undefined
}

const syncKey = 'sync'
/** Changes that come within this time are one transaction. */
const gatherMs = 5
const backoff = { initialMs: 100, maxMs: 10_000 }

/** Starts it; it works from the moment that it knows the policies. Stopping leaves what is in the kernel: an agent that comes back makes it anew in one transaction. */
export function startPolicy(options: PolicyOptions): Component {
  return new PolicyEnforcer(options)
}

interface ClusterInformers {
  readonly pods: Informer<Pod>
  readonly namespaces: Informer<KubeObject>
}

class PolicyEnforcer implements Component {
  readonly done: Promise<void>
  readonly #options: PolicyOptions
  readonly #informers: InformerSet
  readonly #policies: Informer<NetworkPolicy>
  readonly #queue: WorkQueue
  readonly #nftables: Nftables
  readonly #listening: { close(): void }
  /** All pods of the cluster are watched only where there is a policy. */
  #cluster: ClusterInformers | undefined
  #have: PolicyWant | undefined
  #resolveDone: () => void

  constructor(options: PolicyOptions) {
    const { client, clock, random, log, netns } = options
    this.#options = options
    this.#informers = new InformerSet(client, { clock, random, log })
    this.#policies = this.#informers.informer(networkPolicies)
    this.#nftables = options.nftables ?? openNftables({ netns })
    this.#queue = new WorkQueue({ clock, random, backoff, reconcile: () => this.#reconcile(), onError: (error) => this.#failed(error) })
    this.#listening = this.#nftables.listen((event) => this.#heard(event))
    const { promise, resolve } = Promise.withResolvers<void>()
    this.done = promise
    this.#resolveDone = resolve
    this.#policies.onChange(() => this.#changed())
    this.#informers.start()
    void this.#policies.synced.then(() => this.#changed())
  }

  async stop(): Promise<void> {
    this.#informers.stop()
    await this.#queue.stop()
    this.#listening.close()
    if (this.#options.nftables === undefined) this.#nftables.close()
    this.#resolveDone()
  }

  #changed(): void {
    this.#queue.addAfter(syncKey, gatherMs)
  }

  #watchCluster(): ClusterInformers {
    if (this.#cluster !== undefined) return this.#cluster
    const cluster: ClusterInformers = { pods: this.#informers.informer(pods, { transform: keptOf }), namespaces: this.#informers.informer(namespaces) }
    this.#cluster = cluster
    for (const informer of [cluster.pods, cluster.namespaces]) {
      informer.onChange(() => this.#changed())
      void informer.synced.then(() => this.#changed())
    }
    return cluster
  }

  async #reconcile(): Promise<void> {
    const { nodeName, log } = this.#options
    if (!this.#policies.hasSynced()) return
    const policies = this.#policies.list()
    const cluster = policies.length === 0 ? undefined : this.#watchCluster()
    if (cluster !== undefined && !(cluster.pods.hasSynced() && cluster.namespaces.hasSynced())) return
    const want = wantPolicy({ nodeName, policies, pods: cluster?.pods.list() ?? [], namespaces: cluster?.namespaces.list() ?? [] })
    const operations = planPolicy(want, this.#have)
    if (operations.length > 0) {
      this.#nftables.apply(operations)
      log.debug('applied network policies', { policies: policies.length, chains: want.chains.size, operations: operations.length })
    }
    this.#have = want
  }

  #failed(error: unknown): void {
    this.#have = undefined
    this.#options.log.error('cannot bring network policies to the kernel, trying again', { error })
  }

  /** What somebody else did to our table is not looked at: it is made anew. */
  #heard(event: NftablesEvent): void {
    const ours = event.kind === 'overrun' || event.tables.some(({ family, name }) => family === policyTable.family && name === policyTable.name)
    if (!ours) return
    if (event.kind === 'transaction') this.#options.log.warn('somebody else changed the table, mending it', { table: policyTable.name, by: event.processName })
    this.#have = undefined
    this.#changed()
  }
}

/** What policies ask of a pod: all pods of the cluster are kept. */
function keptOf(object: KubeObject): Pod {
  const { metadata, spec, status = {} } = object as Pod
  return {
    metadata: only(metadata, ['name', 'namespace', 'uid', 'resourceVersion', 'labels']),
    spec: { ...only(spec, ['nodeName', 'hostNetwork']), containers: spec.containers.map((container) => only(container, ['name', 'image', 'ports'])) },
    status: only(status, ['phase', 'podIPs']),
  }
}

function only<T extends object, K extends keyof T>(object: T, names: readonly K[]): Pick<T, K> {
  return Object.fromEntries(names.filter((name) => object[name] !== undefined).map((name) => [name, object[name]])) as Pick<T, K>
}
