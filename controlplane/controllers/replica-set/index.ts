/** Keeps as many pods of each ReplicaSet as it asks for. */
import { isNamespaceTerminating, isNotFound } from '../../../api/client.ts'
import { objectKey } from '../../../api/informer.ts'
import type { Change, Informer } from '../../../api/informer.ts'
import { pods, replicaSets } from '../../../api/resources.ts'
import { matchesLabelSelector } from '../../../api/selectors.ts'
import type { Pod, ReplicaSet } from '../../../api/types.ts'
import type { ReconcileResult, WorkQueue } from '../../../api/work-queue.ts'
import { equalJson } from '../canonical.ts'
import { eventsOf, queueOf } from '../controller.ts'
import type { Controller, ControllerContext } from '../controller.ts'
import { applyClaim, claimable, controllerOf, indexByController, planClaim } from '../ownership.ts'
import { OwnWrites } from '../own-writes.ts'
import { podFromTemplate } from '../pod-from-template.ts'
import { isActive, nextAvailableMs } from '../pod-state.ts'
import { slowStart } from '../slow-start.ts'
import { planReplicas, replicaSetStatus } from './plan.ts'
import type { Failure } from './plan.ts'

export function replicaSetController(context: ControllerContext): Controller {
  return new ReplicaSetController(context)
}

class ReplicaSetController implements Controller {
  readonly #context: ControllerContext
  readonly #sets: Informer<ReplicaSet>
  readonly #pods: Informer<Pod>
  readonly #own: OwnWrites<Pod>
  readonly #queue: WorkQueue
  readonly #events

  constructor(context: ControllerContext) {
    this.#context = context
    this.#sets = context.informers.informer(replicaSets)
    this.#pods = context.informers.informer(pods)
    indexByController(this.#pods)
    indexByController(this.#sets)
    this.#queue = queueOf(context, 'replica-set', (key) => this.#reconcile(key))
    this.#own = new OwnWrites(this.#pods, { ...context, onLost: (pod) => this.#podChanged({ old: pod }) })
    this.#events = eventsOf(context, 'replicaset')
  }

  start(): void {
    this.#own.start()
    this.#sets.onChange(({ new: set }) => {
      if (set !== undefined) this.#queue.add(objectKey(set))
    })
    this.#pods.onChange((change) => this.#podChanged(change))
  }

  async stop(): Promise<void> {
    await this.#queue.stop()
    this.#own.stop()
    await this.#events.flush()
  }

  #podChanged({ old, new: pod }: Change<Pod>): void {
    for (const state of [old, pod]) {
      if (state === undefined) continue
      const owner = controllerOf(state)
      if (owner?.kind === 'ReplicaSet') this.#queue.add(`${state.metadata.namespace ?? ''}/${owner.name}`)
    }
    if (pod === undefined || controllerOf(pod) !== undefined) return
    for (const set of this.#sets.list()) {
      if (set.metadata.namespace === pod.metadata.namespace && matchesLabelSelector(set.spec.selector, pod.metadata.labels)) this.#queue.add(objectKey(set))
    }
  }

  async #reconcile(key: string): Promise<ReconcileResult> {
    const set = this.#sets.getByKey(key)
    if (set === undefined) return
    const { client, clock } = this.#context
    const claim = planClaim(set, set.spec.selector, claimable(this.#pods, this.#own, set))
    const owned = await applyClaim(claim, { client, own: this.#own, owner: set, ownerResource: replicaSets, resource: pods })
    const plan = planReplicas(set, owned, this.#related(set, owned))
    const isGoing = set.metadata.deletionTimestamp !== undefined
    const failure = isGoing ? undefined : await this.#create(set, plan.create) ?? await this.#delete(set, plan.delete)
    await this.#writeStatus(set, owned, failure?.failure)
    if (failure !== undefined) throw failure.error
    const waitMs = nextAvailableMs(owned, set.spec.minReadySeconds ?? 0, clock.now())
    return waitMs === undefined ? undefined : { requeueAfterMs: waitMs }
  }

  /** The active pods of all replica sets of the same deployment. */
  #related(set: ReplicaSet, owned: readonly Pod[]): Pod[] {
    const owner = controllerOf(set)
    const siblings = owner === undefined ? [] : this.#sets.byIndex('controller', owner.uid).filter((other) => other.metadata.uid !== set.metadata.uid)
    return [...owned, ...siblings.flatMap(({ metadata }) => this.#pods.byIndex('controller', metadata.uid ?? ''))].filter(isActive)
  }

  async #create(set: ReplicaSet, count: number): Promise<{ failure: Failure; error: unknown } | undefined> {
    if (count === 0) return undefined
    const { client, random } = this.#context
    const wanted = Array.from({ length: count }, () => podFromTemplate(set.spec.template, set, replicaSets, random))
    const { error } = await slowStart(wanted, async (pod) => {
      this.#own.wrote(await client.create(pods, pod))
      this.#events.event({ ...set, kind: 'ReplicaSet', apiVersion: 'apps/v1' }, 'Normal', 'SuccessfulCreate', `Created pod: ${pod.metadata.name ?? ''}`)
    })
    if (error === undefined || isNamespaceTerminating(error)) return undefined
    return { failure: this.#failed(set, 'FailedCreate', 'Error creating', error), error }
  }

  async #delete(set: ReplicaSet, surplus: readonly Pod[]): Promise<{ failure: Failure; error: unknown } | undefined> {
    const results = await Promise.allSettled(surplus.map(async (pod) => {
      const { namespace, name = '', uid = '' } = pod.metadata
      try {
        this.#own.deleted(pod, await this.#context.client.delete(pods, { namespace, name }, { preconditions: { uid } }))
        this.#events.event({ ...set, kind: 'ReplicaSet', apiVersion: 'apps/v1' }, 'Normal', 'SuccessfulDelete', `Deleted pod: ${name}`)
      } catch (error) {
        if (!isNotFound(error)) throw error
      }
    }))
    const failed = results.find((result) => result.status === 'rejected')
    return failed === undefined ? undefined : { failure: this.#failed(set, 'FailedDelete', 'Error deleting', failed.reason), error: failed.reason }
  }

  #failed(set: ReplicaSet, reason: Failure['reason'], what: string, error: unknown): Failure {
    const message = error instanceof Error ? error.message : String(error)
    this.#events.event({ ...set, kind: 'ReplicaSet', apiVersion: 'apps/v1' }, 'Warning', reason, `${what}: ${message}`)
    return { reason, message }
  }

  async #writeStatus(set: ReplicaSet, owned: readonly Pod[], failure: Failure | undefined): Promise<void> {
    const status = replicaSetStatus(set, owned, this.#context.clock.now(), failure)
    if (equalJson(status, set.status)) return
    try {
      await this.#context.client.updateStatus(replicaSets, { ...set, status })
    } catch (error) {
      if (!isNotFound(error)) throw error
    }
  }
}
