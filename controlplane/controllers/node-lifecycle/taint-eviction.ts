/** Deletes pods from nodes whose NoExecute taints they do not tolerate, or no longer. */
import { isConflict, isNotFound } from '../../../api/client.ts'
import { objectKey } from '../../../api/informer.ts'
import type { Informer } from '../../../api/informer.ts'
import { nodes, pods } from '../../../api/resources.ts'
import type { Condition, Node, Pod, Taint } from '../../../api/types.ts'
import type { ReconcileResult, WorkQueue } from '../../../api/work-queue.ts'
import { equalJson } from '../canonical.ts'
import { eventsOf, queueOf } from '../controller.ts'
import type { Controller, ControllerContext } from '../controller.ts'
import { isActive } from '../pod-state.ts'
import { timestamp } from '../timestamp.ts'
import { leavesAt } from './eviction.ts'

export function taintEvictionController(context: ControllerContext): Controller {
  return new TaintEvictionController(context)
}

class TaintEvictionController implements Controller {
  readonly #context: ControllerContext
  readonly #nodes: Informer<Node>
  readonly #pods: Informer<Pod>
  /** When taints without a time of their own were first seen, by node and taint. */
  readonly #seen = new Map<string, Map<string, number>>()
  readonly #queue: WorkQueue
  readonly #events

  constructor(context: ControllerContext) {
    this.#context = context
    this.#nodes = context.informers.informer(nodes)
    this.#pods = context.informers.informer(pods)
    this.#pods.addIndex('node', ({ spec }) => [spec.nodeName ?? ''])
    this.#queue = queueOf(context, 'taint-eviction', (key) => this.#reconcile(key), 8)
    this.#events = eventsOf(context, 'taint-eviction')
  }

  start(): void {
    this.#nodes.onChange(({ old, new: node }) => {
      if (equalJson(drivingTaints(old), drivingTaints(node))) return
      const name = (node ?? old)?.metadata.name ?? ''
      this.#see(name, drivingTaints(node))
      for (const pod of this.#pods.byIndex('node', name)) this.#queue.add(objectKey(pod))
    })
    this.#pods.onChange(({ old, new: pod }) => {
      if (pod === undefined || (pod.spec.nodeName ?? '') === '') return
      const isNews = old?.spec.nodeName !== pod.spec.nodeName || !equalJson(old?.spec.tolerations, pod.spec.tolerations)
      if (isNews && drivingTaints(this.#nodes.get(undefined, pod.spec.nodeName ?? '')).length > 0) this.#queue.add(objectKey(pod))
    })
  }

  async stop(): Promise<void> {
    await this.#queue.stop()
    await this.#events.flush()
  }

  #see(node: string, taints: readonly Taint[]): void {
    const before = this.#seen.get(node)
    const now = this.#context.clock.now()
    if (taints.length === 0) this.#seen.delete(node)
    else this.#seen.set(node, new Map(taints.map((taint) => [nameOf(taint), before?.get(nameOf(taint)) ?? now])))
  }

  async #reconcile(key: string): Promise<ReconcileResult> {
    const pod = this.#pods.getByKey(key)
    if (pod === undefined || !isActive(pod)) return
    const nodeName = pod.spec.nodeName ?? ''
    const now = this.#context.clock.now()
    const since = (taint: Taint): number => (taint.timeAdded === undefined ? (this.#seen.get(nodeName)?.get(nameOf(taint)) ?? now) : Date.parse(taint.timeAdded))
    const at = leavesAt(pod, drivingTaints(this.#nodes.get(undefined, nodeName)), since)
    if (at === undefined) return
    if (at > now) return { requeueAfterMs: at - now }
    await this.#evict(pod)
  }

  async #evict(pod: Pod): Promise<void> {
    const { client, clock } = this.#context
    const { namespace, name = '', uid = '' } = pod.metadata
    const disruption: Condition = { type: 'DisruptionTarget', status: 'True', reason: 'DeletionByTaintManager', message: 'Taint manager: deleting due to NoExecute taint', lastTransitionTime: timestamp(clock.now()) }
    try {
      await client.patch(pods, { namespace, name, subresource: 'status' }, { metadata: { uid }, status: { conditions: [disruption] } }, { type: 'strategic' })
      await client.delete(pods, { namespace, name }, { preconditions: { uid } })
      this.#events.event({ ...pod, kind: 'Pod', apiVersion: 'v1' }, 'Normal', 'TaintManagerEviction', `Marking for deletion Pod ${objectKey(pod)}`)
    } catch (error) {
      // Another pod of that name by now, or none.
      if (!isNotFound(error) && !isConflict(error)) throw error
    }
  }
}

function drivingTaints(node: Node | undefined): Taint[] {
  return (node?.spec.taints ?? []).filter(({ effect }) => effect === 'NoExecute')
}

function nameOf({ key, value = '' }: Taint): string {
  return `${key}=${value}`
}
