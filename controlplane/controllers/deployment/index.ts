/** Rolls out Deployments: a ReplicaSet per pod template, moved from the old to the new in steps. */
import { isAlreadyExists, isNotFound } from '../../../api/client.ts'
import { objectKey } from '../../../api/informer.ts'
import type { Informer } from '../../../api/informer.ts'
import { deployments, pods, replicaSets } from '../../../api/resources.ts'
import { matchesLabelSelector } from '../../../api/selectors.ts'
import type { Deployment, Pod, ReplicaSet } from '../../../api/types.ts'
import type { ReconcileResult, WorkQueue } from '../../../api/work-queue.ts'
import { equalJson } from '../canonical.ts'
import { eventsOf, queueOf } from '../controller.ts'
import type { Controller, ControllerContext } from '../controller.ts'
import { applyClaim, claimable, controllerOf, indexByController, isControlledBy, planClaim } from '../ownership.ts'
import { OwnWrites } from '../own-writes.ts'
import { isFinished } from '../pod-state.ts'
import { planRollout } from './plan.ts'
import type { Operation } from './plan.ts'
import { findNewSet, isSameTemplate, revisionAnnotation, sizeOf } from './replica-sets.ts'
import { byAge } from './rolling.ts'

export function deploymentController(context: ControllerContext): Controller {
  return new DeploymentController(context)
}

class DeploymentController implements Controller {
  readonly #context: ControllerContext
  readonly #deployments: Informer<Deployment>
  readonly #sets: Informer<ReplicaSet>
  readonly #pods: Informer<Pod>
  readonly #own: OwnWrites<ReplicaSet>
  readonly #queue: WorkQueue
  readonly #events

  constructor(context: ControllerContext) {
    this.#context = context
    this.#deployments = context.informers.informer(deployments)
    this.#sets = context.informers.informer(replicaSets)
    this.#pods = context.informers.informer(pods)
    indexByController(this.#sets)
    indexByController(this.#pods)
    this.#queue = queueOf(context, 'deployment', (key) => this.#reconcile(key))
    this.#own = new OwnWrites(this.#sets, { ...context, onLost: (set) => this.#setChanged(set) })
    this.#events = eventsOf(context, 'deployment')
  }

  start(): void {
    this.#own.start()
    this.#deployments.onChange(({ new: deployment }) => {
      if (deployment !== undefined) this.#queue.add(objectKey(deployment))
    })
    this.#sets.onChange(({ old, new: set }) => {
      if (old !== undefined) this.#setChanged(old)
      if (set !== undefined) this.#setChanged(set)
    })
    this.#pods.onChange(({ old, new: pod }) => {
      if (old !== undefined && (pod === undefined || isFinished(pod))) this.#podEnded(old)
    })
  }

  async stop(): Promise<void> {
    await this.#queue.stop()
    this.#own.stop()
    await this.#events.flush()
  }

  #setChanged(set: ReplicaSet): void {
    const { namespace = '', labels } = set.metadata
    const owner = controllerOf(set)
    if (owner !== undefined) {
      if (owner.kind === 'Deployment') this.#queue.add(`${namespace}/${owner.name}`)
      return
    }
    for (const deployment of this.#deployments.list()) {
      if (deployment.metadata.namespace === namespace && matchesLabelSelector(deployment.spec.selector, labels)) this.#queue.add(objectKey(deployment))
    }
  }

  /** `Recreate` waits for the last old pod. */
  #podEnded(pod: Pod): void {
    const { namespace = '' } = pod.metadata
    const set = this.#sets.get(namespace, controllerOf(pod)?.name ?? '')
    const deployment = set === undefined ? undefined : this.#deployments.get(namespace, controllerOf(set)?.name ?? '')
    if (deployment?.spec.strategy?.type === 'Recreate') this.#queue.add(objectKey(deployment))
  }

  async #reconcile(key: string): Promise<ReconcileResult> {
    const deployment = this.#deployments.getByKey(key)
    if (deployment === undefined) return
    const { client, clock } = this.#context
    const claim = planClaim(deployment, deployment.spec.selector, claimable(this.#sets, this.#own, deployment))
    const sets = await applyClaim(claim, { client, own: this.#own, owner: deployment, ownerResource: deployments, resource: replicaSets })
    const plan = planRollout({ deployment, sets, oldPodsRun: this.#oldPodsRun(deployment, sets), now: clock.now() })
    let current = deployment
    for (const operation of plan.operations) {
      const after = await this.#apply(current, operation)
      if (after === undefined) return
      current = after
    }
    if (!equalJson(plan.status, deployment.status)) await this.#writeStatus({ ...current, status: plan.status })
    return plan.againAfterMs === undefined ? undefined : { requeueAfterMs: plan.againAfterMs }
  }

  #oldPodsRun(deployment: Deployment, sets: readonly ReplicaSet[]): boolean {
    const newSet = findNewSet(deployment, byAge(sets))
    return sets.some((set) => set !== newSet && this.#pods.byIndex('controller', set.metadata.uid ?? '').some((pod) => !isFinished(pod)))
  }

  /** Resolves to the deployment as it is then; to nothing when the rest of the plan no longer stands. */
  async #apply(deployment: Deployment, operation: Operation): Promise<Deployment | undefined> {
    const { client } = this.#context
    switch (operation.kind) {
      case 'create':
        return (await this.#create(deployment, operation.set)) ? deployment : undefined
      case 'update': {
        const { set, from } = operation
        this.#own.wrote(await client.update(replicaSets, set))
        if (sizeOf(set) !== from) this.#say(deployment, set, from)
        return deployment
      }
      case 'delete': {
        const { namespace, name = '', uid = '' } = operation.set.metadata
        this.#own.deleted(operation.set, await client.delete(replicaSets, { namespace, name }, { preconditions: { uid }, propagationPolicy: 'Background' }))
        return deployment
      }
      case 'annotate': {
        const { namespace, name = '' } = deployment.metadata
        return client.patch(deployments, { namespace, name }, { metadata: { annotations: { [revisionAnnotation]: operation.revision } } }, { type: 'merge' })
      }
    }
  }

  /** Resolves to whether the set was made. */
  async #create(deployment: Deployment, set: ReplicaSet): Promise<boolean> {
    const { client } = this.#context
    try {
      this.#own.wrote(await client.create(replicaSets, set))
      this.#say(deployment, set, 0)
      return true
    } catch (error) {
      if (!isAlreadyExists(error)) throw error
      const { namespace, name = '' } = set.metadata
      const other = await client.get(replicaSets, { namespace, name })
      if (isControlledBy(other, deployment) && isSameTemplate(other.spec.template, deployment.spec.template)) {
        this.#own.wrote(other)
        this.#queue.add(objectKey(deployment))
        return false
      }
      // Two templates of one hash, or a stranger's set of that name: another name is tried.
      const collisionCount = (deployment.status?.collisionCount ?? 0) + 1
      await this.#writeStatus({ ...deployment, status: { ...deployment.status, collisionCount } })
      return false
    }
  }

  #say(deployment: Deployment, set: ReplicaSet, from: number): void {
    const to = sizeOf(set)
    const message = `Scaled ${to > from ? 'up' : 'down'} replica set ${set.metadata.name ?? ''} from ${from} to ${to}`
    this.#events.event({ ...deployment, kind: 'Deployment', apiVersion: 'apps/v1' }, 'Normal', 'ScalingReplicaSet', message)
  }

  async #writeStatus(deployment: Deployment): Promise<void> {
    try {
      await this.#context.client.updateStatus(deployments, deployment)
    } catch (error) {
      if (!isNotFound(error)) throw error
    }
  }
}
