/** Removes pods of nodes that are no more, pods that end without a kubelet, and the oldest of too many finished ones. */
import { isConflict, isNotFound } from '../../../api/client.ts'
import type { Informer } from '../../../api/informer.ts'
import { nodes, pods } from '../../../api/resources.ts'
import type { Node, Pod } from '../../../api/types.ts'
import type { ReconcileResult, WorkQueue } from '../../../api/work-queue.ts'
import { queueOf } from '../controller.ts'
import type { Controller, ControllerContext } from '../controller.ts'
import { isFinished, isTerminating } from '../pod-state.ts'
import { timestamp } from '../timestamp.ts'
import { planWaste } from './plan.ts'
import type { Waste } from './plan.ts'

export function podGCController(context: ControllerContext): Controller {
  return new PodGCController(context)
}

const passKey = 'pass'
const passMs = 20_000
/** A node may come back under its name within this time: it restarts, or joins anew (gc_controller.go quarantineTime). */
const quarantineMs = 40_000
const finishedDefault = 12_500

class PodGCController implements Controller {
  readonly #context: ControllerContext
  readonly #pods: Informer<Pod>
  readonly #nodes: Informer<Node>
  /** Since when nodes that pods name are missing. */
  readonly #missing = new Map<string, number>()
  readonly #queue: WorkQueue

  constructor(context: ControllerContext) {
    this.#context = context
    this.#pods = context.informers.informer(pods)
    this.#nodes = context.informers.informer(nodes)
    this.#queue = queueOf(context, 'pod-gc', () => this.#pass(), 1)
  }

  start(): void {
    this.#queue.add(passKey)
    this.#nodes.onChange(({ new: node }) => {
      if (node === undefined || (node.spec.taints ?? []).some(({ key }) => key === 'node.kubernetes.io/out-of-service')) this.#queue.add(passKey)
    })
    this.#pods.onChange(({ new: pod }) => {
      if (pod !== undefined && isTerminating(pod) && (pod.spec.nodeName ?? '') === '') this.#queue.add(passKey)
    })
  }

  stop(): Promise<void> {
    return this.#queue.stop()
  }

  async #pass(): Promise<ReconcileResult> {
    const present = new Map(this.#nodes.list().map((node) => [node.metadata.name ?? '', node]))
    const all = this.#pods.list()
    const gone = await this.#goneNodes(all, present)
    const waste = planWaste(all, present, { gone, finishedMax: this.#context.terminatedPodsMax ?? finishedDefault })
    const results = await Promise.allSettled(waste.map((one) => this.#remove(one)))
    const failed = results.find((result) => result.status === 'rejected')
    if (failed !== undefined) throw failed.reason
    return { requeueAfterMs: passMs }
  }

  async #goneNodes(all: readonly Pod[], present: ReadonlyMap<string, Node>): Promise<Set<string>> {
    const now = this.#context.clock.monotonicMs()
    const named = new Set(all.map(({ spec }) => spec.nodeName ?? '').filter((name) => name !== '' && !present.has(name)))
    for (const name of this.#missing.keys()) if (!named.has(name)) this.#missing.delete(name)
    const gone = new Set<string>()
    for (const name of named) {
      const since = this.#missing.get(name) ?? now
      this.#missing.set(name, since)
      if (now - since >= quarantineMs && (await this.#isGone(name))) gone.add(name)
    }
    return gone
  }

  /** Asks the API server: the cache may be late. */
  async #isGone(name: string): Promise<boolean> {
    try {
      await this.#context.client.get(nodes, { name })
      return false
    } catch (error) {
      if (isNotFound(error)) return true
      throw error
    }
  }

  async #remove({ pod, message }: Waste): Promise<void> {
    const { client, clock } = this.#context
    const { namespace, name = '', uid = '' } = pod.metadata
    try {
      if (!isFinished(pod)) {
        const conditions = message === undefined ? [] : [{ type: 'DisruptionTarget', status: 'True', reason: 'DeletionByPodGC', message, lastTransitionTime: timestamp(clock.now()) }]
        await client.patch(pods, { namespace, name, subresource: 'status' }, { metadata: { uid }, status: { phase: 'Failed', conditions } }, { type: 'strategic' })
      }
      await client.delete(pods, { namespace, name }, { gracePeriodSeconds: 0, preconditions: { uid } })
      this.#context.log.info('removed a pod that nobody cleans up', { pod: `${namespace ?? ''}/${name}`, reason: message })
    } catch (error) {
      if (!isNotFound(error) && !isConflict(error)) throw error
    }
  }
}
