/** Marks nodes that fall silent, keeps pods away from unhealthy ones, and takes the pods of lost ones out of service at once. */
import { isNotFound } from '../../../api/client.ts'
import type { Informer } from '../../../api/informer.ts'
import { leases, nodes, pods } from '../../../api/resources.ts'
import type { Lease, Node, Pod } from '../../../api/types.ts'
import type { ReconcileResult, WorkQueue } from '../../../api/work-queue.ts'
import { eventsOf, queueOf } from '../controller.ts'
import type { Controller, ControllerContext } from '../controller.ts'
import { conditionOf } from '../status.ts'
import { isReady } from '../pod-state.ts'
import { timestamp } from '../timestamp.ts'
import { drivingIntervalMs, healthOf, isDriven, silentConditions, wantedTaints, zoneOf } from './plan.ts'

export function nodeLifecycleController(context: ControllerContext): Controller {
  return new NodeLifecycleController(context)
}

/** Where kubelets renew their leases. */
const leaseNamespace = 'kube-node-lease'
const graceDefaultMs = 40_000
/** How soon to ask again whether a node's pods may be driven off. */
const lookAgainMs = 5000

interface Sign {
  /** What the node last said: the times in its lease and its status. */
  readonly text: string
  /** When we heard it, on our own clock: that of the node may be wrong. */
  readonly atMs: number
}

class NodeLifecycleController implements Controller {
  readonly #context: ControllerContext
  readonly #graceMs: number
  readonly #nodes: Informer<Node>
  readonly #leases: Informer<Lease>
  readonly #pods: Informer<Pod>
  readonly #signs = new Map<string, Sign>()
  /** When the next node of a zone may have its pods driven off. */
  readonly #nextDriven = new Map<string, number>()
  readonly #queue: WorkQueue
  readonly #events

  constructor(context: ControllerContext) {
    this.#context = context
    this.#graceMs = context.nodeMonitorGracePeriodMs ?? graceDefaultMs
    this.#nodes = context.informers.informer(nodes)
    this.#leases = context.informers.informer(leases, { namespace: leaseNamespace })
    this.#pods = context.informers.informer(pods)
    this.#pods.addIndex('node', ({ spec }) => [spec.nodeName ?? ''])
    this.#queue = queueOf(context, 'node-lifecycle', (name) => this.#reconcile(name))
    this.#events = eventsOf(context, 'node')
  }

  start(): void {
    this.#nodes.onChange(({ old, new: node }) => {
      const name = (node ?? old)?.metadata.name ?? ''
      if (node === undefined) this.#signs.delete(name)
      else this.#hear(name)
      this.#queue.add(name)
      // Whether others may be driven off depends on how many are well.
      if (old !== undefined && node !== undefined && healthOf(old) === healthOf(node)) return
      for (const other of this.#nodes.list()) if (healthOf(other) !== 'ready') this.#queue.add(other.metadata.name ?? '')
    })
    this.#leases.onChange(({ new: lease }) => {
      if (lease !== undefined) this.#hear(lease.metadata.name ?? '')
    })
  }

  async stop(): Promise<void> {
    await this.#queue.stop()
    await this.#events.flush()
  }

  #hear(name: string): void {
    const lease = this.#leases.get(leaseNamespace, name)
    const heartbeat = conditionOf(this.#nodes.get(undefined, name)?.status?.conditions, 'Ready')?.lastHeartbeatTime
    const text = `${lease?.spec?.renewTime ?? ''} ${heartbeat ?? ''}`
    if (this.#signs.get(name)?.text !== text) this.#signs.set(name, { text, atMs: this.#context.clock.monotonicMs() })
  }

  async #reconcile(name: string): Promise<ReconcileResult> {
    let node = this.#nodes.get(undefined, name)
    if (node === undefined) return
    const silentInMs = this.#silentInMs(name)
    if (silentInMs <= 0) node = await this.#markSilent(node)
    const drivenInMs = await this.#taint(node)
    if (silentInMs <= 0) await this.#takePodsOut(name)
    const waits = [silentInMs, drivenInMs].filter((ms) => ms > 0)
    return { requeueAfterMs: waits.length === 0 ? this.#graceMs : Math.min(...waits) }
  }

  /** In how long the node counts as silent if it says nothing more; 0 or less: it does. */
  #silentInMs(name: string): number {
    const { clock } = this.#context
    const sign = this.#signs.get(name)
    const left = (sign?.atMs ?? clock.monotonicMs()) + this.#graceMs - clock.monotonicMs()
    // While we hear nobody, nobody's silence says anything.
    if (left > 0 || (this.#leases.isConnected() && this.#nodes.isConnected())) return left
    this.#signs.set(name, { text: sign?.text ?? '', atMs: clock.monotonicMs() })
    return this.#graceMs
  }

  async #markSilent(node: Node): Promise<Node> {
    const { client, clock } = this.#context
    const conditions = silentConditions(node, clock.now())
    if (conditions.length === 0) return node
    const { name = '' } = node.metadata
    this.#context.log.warn('node is silent', { node: name, graceMs: this.#graceMs })
    const marked = await client.patch(nodes, { name, subresource: 'status' }, { status: { conditions } }, { type: 'strategic' })
    this.#events.event({ ...node, kind: 'Node', apiVersion: 'v1' }, 'Normal', 'NodeNotReady', `Node ${name} status is now: NodeNotReady`)
    return marked
  }

  /** Writes the taints; resolves to the time until pods may be driven off, 0 when nothing waits. */
  async #taint(node: Node): Promise<number> {
    const { client, clock } = this.#context
    const { name = '', resourceVersion } = node.metadata
    const health = healthOf(node)
    const waitMs = health === 'ready' || health === 'new' ? 0 : this.#drivenInMs(node)
    const drive = health !== 'ready' && health !== 'new' && waitMs === 0
    const taints = wantedTaints(node, { drive, now: clock.now() })
    if (taints === undefined) return waitMs
    try {
      // Taints are one list that others write too: only onto what we have seen.
      await client.patch(nodes, { name }, { metadata: { resourceVersion }, spec: { taints } }, { type: 'merge' })
    } catch (error) {
      if (!isNotFound(error)) throw error
    }
    return waitMs
  }

  #drivenInMs(node: Node): number {
    const zone = zoneOf(node)
    const intervalMs = drivingIntervalMs(this.#nodes.list().map((other) => (other.metadata.name === node.metadata.name ? node : other)), zone)
    if (intervalMs === undefined) return lookAgainMs
    if (isDriven(node)) return 0
    const now = this.#context.clock.monotonicMs()
    const next = this.#nextDriven.get(zone) ?? 0
    if (next > now) return next - now
    this.#nextDriven.set(zone, now + intervalMs)
    return 0
  }

  /** Pods that nobody speaks for any more are not ready: services stop sending there. */
  async #takePodsOut(node: string): Promise<void> {
    const { client, clock } = this.#context
    const ready = this.#pods.byIndex('node', node).filter(isReady)
    const time = timestamp(clock.now())
    await Promise.all(ready.map(async ({ metadata, ...pod }) => {
      const { namespace, name = '', uid } = metadata
      const conditions = [{ type: 'Ready', status: 'False', reason: 'NodeNotReady', lastTransitionTime: time }]
      try {
        await client.patch(pods, { namespace, name, subresource: 'status' }, { metadata: { uid }, status: { conditions } }, { type: 'strategic' })
        this.#events.event({ ...pod, metadata, kind: 'Pod', apiVersion: 'v1' }, 'Warning', 'NodeNotReady', 'Node is not ready')
      } catch (error) {
        if (!isNotFound(error)) throw error
      }
    }))
  }
}
