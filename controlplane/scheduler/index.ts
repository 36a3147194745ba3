/** The scheduler: gives every pod without a node one, best priority first, and says why it cannot. */
import { isConflict, isNotFound } from '../../api/client.ts'
import type { Client } from '../../api/client.ts'
import type { Clock, Random } from '../../api/clock.ts'
import type { Component } from '../../api/component.ts'
import { EventRecorder } from '../../api/events.ts'
import { InformerSet } from '../../api/informer-set.ts'
import { objectKey } from '../../api/informer.ts'
import type { Informer } from '../../api/informer.ts'
import type { Logger } from '../../api/log.ts'
import { namespaces, nodes, pods } from '../../api/resources.ts'
import type { Condition, Namespace, Node, Pod } from '../../api/types.ts'
import { WorkQueue } from '../../api/work-queue.ts'
import { planPod } from './plan.ts'
import { isFinished, takeSnapshot } from './snapshot.ts'

export interface SchedulerOptions {
  readonly client: Client
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
  /** Only pods that ask for this scheduler; default `default-scheduler`. */
  readonly schedulerName?: string
}

/** A binding that the watch has not shown after this long is taken as lost. */
const assumedMs = 30_000
/** One pass over all waiting pods. */
const passKey = 'pass'

/** Starts scheduling; resolves once its caches are filled. */
export async function startScheduler(options: SchedulerOptions): Promise<Component> {
  const scheduler = new Scheduler(options)
  await scheduler.start()
  return scheduler
}

class Scheduler implements Component {
  readonly done: Promise<void>
  readonly #options: SchedulerOptions
  readonly #name: string
  readonly #informers: InformerSet
  readonly #pods: Informer<Pod>
  readonly #nodes: Informer<Node>
  readonly #namespaces: Informer<Namespace>
  readonly #queue: WorkQueue
  readonly #events: EventRecorder
  /** Pods bound by us whose binding the watch has not shown yet. */
  readonly #assumed = new Map<string, { readonly node: string; readonly at: number }>()
  readonly #waiting = new Set<string>()
  #resolveDone: () => void

  constructor(options: SchedulerOptions) {
    const { client, clock, random, log } = options
    this.#options = options
    this.#name = options.schedulerName ?? 'default-scheduler'
    this.#informers = new InformerSet(client, { clock, random, log })
    this.#pods = this.#informers.informer(pods)
    this.#nodes = this.#informers.informer(nodes)
    this.#namespaces = this.#informers.informer(namespaces)
    this.#events = new EventRecorder({ client, clock, log, component: this.#name })
    this.#queue = new WorkQueue({ clock, random, reconcile: () => this.#pass(), onError: (error) => log.error('scheduling failed', { error }) })
    const { promise, resolve } = Promise.withResolvers<void>()
    this.done = promise
    this.#resolveDone = resolve
  }

  async start(): Promise<void> {
    this.#informers.start()
    await this.#informers.synced
    this.#pods.onChange(({ old, new: pod }) => this.#podChanged(old, pod))
    // A node that came, went or changed may have room for what waits. Heartbeats change nothing that matters here.
    this.#nodes.onChange(({ old, new: node }) => {
      if (old === undefined || node === undefined || isDifferent(old, node)) this.#queue.add(passKey)
    })
  }

  async stop(): Promise<void> {
    await this.#queue.stop()
    this.#informers.stop()
    await this.#events.flush()
    this.#resolveDone()
  }

  #podChanged(old: Pod | undefined, pod: Pod | undefined): void {
    const changed = pod ?? old
    if (changed === undefined) return
    const key = objectKey(changed)
    const waits = pod !== undefined && (pod.spec.nodeName ?? '') === '' && pod.metadata.deletionTimestamp === undefined && !isFinished(pod)
      && (pod.spec.schedulerName ?? 'default-scheduler') === this.#name
    if (waits) this.#waiting.add(key)
    else this.#waiting.delete(key)
    if (!waits) this.#assumed.delete(key)
    // Room may have come free; and affinity may now be met.
    if (this.#waiting.size > 0) this.#queue.add(passKey)
  }

  /** Decides for every waiting pod in turn, each decision seeing those before it; then binds. */
  async #pass(): Promise<void> {
    this.#forgetOldAssumptions()
    const waiting = [...this.#waiting].flatMap((key) => this.#pods.getByKey(key) ?? []).filter((pod) => !this.#assumed.has(objectKey(pod)))
      .sort((a, b) => (b.spec.priority ?? 0) - (a.spec.priority ?? 0) || compareTimes(a, b))
    const bindings: Promise<void>[] = []
    for (const pod of waiting) {
      const snapshot = takeSnapshot(this.#nodes.list(), this.#pods.list(), this.#namespaces.list(), (other) => this.#assumed.get(objectKey(other))?.node)
      const decision = planPod(pod, snapshot, this.#options.random)
      if (decision.node === undefined) {
        bindings.push(this.#refuse(pod, decision.message))
        continue
      }
      this.#assumed.set(objectKey(pod), { node: decision.node, at: this.#options.clock.monotonicMs() })
      bindings.push(this.#bind(pod, decision.node))
    }
    const failures = (await Promise.allSettled(bindings)).flatMap((result) => (result.status === 'rejected' ? [result.reason as Error] : []))
    if (failures.length > 0) throw new AggregateError(failures, `Cannot write ${failures.length} of ${bindings.length} decisions: ${failures[0]?.message ?? ''}`)
  }

  async #bind(pod: Pod, node: string): Promise<void> {
    const { namespace = '', name = '', uid } = pod.metadata
    try {
      await this.#options.client.createSubresource(pods, { namespace, name, subresource: 'binding' }, {
        apiVersion: 'v1', kind: 'Binding', metadata: { namespace, name, uid }, target: { apiVersion: 'v1', kind: 'Node', name: node },
      })
      this.#events.event({ kind: 'Pod', apiVersion: 'v1', metadata: pod.metadata }, 'Normal', 'Scheduled', `Successfully assigned ${namespace}/${name} to ${node}`)
    } catch (error) {
      this.#assumed.delete(objectKey(pod))
      // Gone, or bound by another in between: the watch will tell.
      if (!isNotFound(error) && !isConflict(error)) throw error
    }
  }

  async #refuse(pod: Pod, message: string): Promise<void> {
    const present = pod.status?.conditions?.find(({ type }) => type === 'PodScheduled')
    if (present?.status === 'False' && present.message === message) return
    const { namespace = '', name = '' } = pod.metadata
    this.#events.event({ kind: 'Pod', apiVersion: 'v1', metadata: pod.metadata }, 'Warning', 'FailedScheduling', message)
    const now = new Date(this.#options.clock.now()).toISOString().replace(/\.\d+/, '')
    const condition: Condition = { type: 'PodScheduled', status: 'False', reason: 'Unschedulable', message, lastTransitionTime: present?.status === 'False' ? (present.lastTransitionTime ?? now) : now }
    try {
      await this.#options.client.patch(pods, { namespace, name, subresource: 'status' }, { status: { conditions: [condition] } }, { type: 'strategic' })
    } catch (error) {
      if (!isNotFound(error)) throw error
    }
  }

  #forgetOldAssumptions(): void {
    const now = this.#options.clock.monotonicMs()
    for (const [key, { at }] of this.#assumed) if (now - at > assumedMs) this.#assumed.delete(key)
  }
}

function compareTimes(a: Pod, b: Pod): number {
  return (a.metadata.creationTimestamp ?? '').localeCompare(b.metadata.creationTimestamp ?? '')
}

/** Whether a node changed in what scheduling looks at. */
function isDifferent(a: Node, b: Node): boolean {
  const relevant = ({ metadata, spec, status }: Node): string => JSON.stringify([metadata.labels, spec, status?.allocatable, status?.capacity])
  return relevant(a) !== relevant(b)
}
