/** Keeps one pod of each DaemonSet on every node that suits it. */
import { isNamespaceTerminating, isNotFound } from '../../../api/client.ts'
import { objectKey } from '../../../api/informer.ts'
import type { Change, Informer } from '../../../api/informer.ts'
import { controllerRevisions, daemonSets, nodes, pods } from '../../../api/resources.ts'
import { matchesLabelSelector } from '../../../api/selectors.ts'
import type { ControllerRevision, DaemonSet, DaemonSetStatus, Node, Pod } from '../../../api/types.ts'
import type { ReconcileResult, WorkQueue } from '../../../api/work-queue.ts'
import { equalJson } from '../canonical.ts'
import { eventsOf, queueOf } from '../controller.ts'
import type { Controller, ControllerContext } from '../controller.ts'
import { applyClaim, claimable, controllerOf, indexByController, isControlledBy, planClaim } from '../ownership.ts'
import { OwnWrites } from '../own-writes.ts'
import { podFromTemplate } from '../pod-from-template.ts'
import { nextAvailableMs } from '../pod-state.ts'
import { applyRevisions, hashOf, planRevisions, revisionHashLabel } from '../revisions.ts'
import { slowStart } from '../slow-start.ts'
import { daemonPodSpec, daemonSetStatus, planDaemons } from './plan.ts'

export function daemonSetController(context: ControllerContext): Controller {
  return new DaemonSetController(context)
}

class DaemonSetController implements Controller {
  readonly #context: ControllerContext
  readonly #sets: Informer<DaemonSet>
  readonly #pods: Informer<Pod>
  readonly #nodes: Informer<Node>
  readonly #revisions: Informer<ControllerRevision>
  readonly #ownPods: OwnWrites<Pod>
  readonly #ownRevisions: OwnWrites<ControllerRevision>
  readonly #queue: WorkQueue
  readonly #events

  constructor(context: ControllerContext) {
    this.#context = context
    const { informers } = context
    this.#sets = informers.informer(daemonSets)
    this.#pods = informers.informer(pods)
    this.#nodes = informers.informer(nodes)
    this.#revisions = informers.informer(controllerRevisions)
    indexByController(this.#pods)
    indexByController(this.#revisions)
    this.#queue = queueOf(context, 'daemon-set', (key) => this.#reconcile(key))
    this.#ownPods = new OwnWrites(this.#pods, { ...context, onLost: (pod) => this.#podChanged({ old: pod }) })
    this.#ownRevisions = new OwnWrites(this.#revisions, { ...context, onLost: (revision) => this.#wakeOwner(revision) })
    this.#events = eventsOf(context, 'daemonset')
  }

  start(): void {
    this.#ownPods.start()
    this.#ownRevisions.start()
    this.#sets.onChange(({ new: set }) => {
      if (set !== undefined) this.#queue.add(objectKey(set))
    })
    this.#pods.onChange((change) => this.#podChanged(change))
    this.#revisions.onChange(({ old, new: revision }) => {
      if (revision === undefined && old !== undefined) this.#wakeOwner(old)
    })
    this.#nodes.onChange(({ old, new: node }) => {
      if (equalJson(shown(old), shown(node))) return
      for (const set of this.#sets.list()) this.#queue.add(objectKey(set))
    })
  }

  async stop(): Promise<void> {
    await this.#queue.stop()
    this.#ownPods.stop()
    this.#ownRevisions.stop()
    await this.#events.flush()
  }

  #wakeOwner(object: Pod | ControllerRevision): void {
    const owner = controllerOf(object)
    if (owner?.kind === 'DaemonSet') this.#queue.add(`${object.metadata.namespace ?? ''}/${owner.name}`)
  }

  #podChanged({ old, new: pod }: Change<Pod>): void {
    if (old !== undefined) this.#wakeOwner(old)
    if (pod === undefined) return
    if (controllerOf(pod) !== undefined) return this.#wakeOwner(pod)
    for (const set of this.#sets.list()) {
      if (set.metadata.namespace === pod.metadata.namespace && matchesLabelSelector(set.spec.selector, pod.metadata.labels)) this.#queue.add(objectKey(set))
    }
  }

  async #reconcile(key: string): Promise<ReconcileResult> {
    const set = this.#sets.getByKey(key)
    if (set === undefined) return
    const { client, clock } = this.#context
    const claim = planClaim(set, set.spec.selector, claimable(this.#pods, this.#ownPods, set))
    const owned = await applyClaim(claim, { client, own: this.#ownPods, owner: set, ownerResource: daemonSets, resource: pods })
    const hash = await this.#revise(set, owned)
    if (hash === undefined) return
    const daemons = { set, nodes: this.#nodes.list(), pods: owned, hash, now: clock.now() }
    const plan = set.metadata.deletionTimestamp === undefined ? planDaemons(daemons) : { create: [], delete: [] }
    await this.#delete(set, plan.delete)
    const error = await this.#create(set, plan.create, hash)
    await this.#writeStatus(set, daemonSetStatus(daemons))
    if (error !== undefined) throw error
    const waits = [plan.againAfterMs, nextAvailableMs(owned, set.spec.minReadySeconds ?? 0, clock.now())].filter((ms) => ms !== undefined)
    return waits.length === 0 ? undefined : { requeueAfterMs: Math.min(...waits) }
  }

  /** Resolves to the hash of the present template; to nothing when the status had to change first. */
  async #revise(set: DaemonSet, owned: readonly Pod[]): Promise<string | undefined> {
    const revisions = claimable(this.#revisions, this.#ownRevisions, set).filter((revision) => isControlledBy(revision, set))
    const { template, revisionHistoryLimit = 10 } = set.spec
    const collisions = set.status?.collisionCount ?? 0
    const plan = planRevisions({ owner: set, resource: daemonSets, template, historyLimit: revisionHistoryLimit, collisions }, revisions, new Set(owned.map(hashOf)))
    if (set.metadata.deletionTimestamp !== undefined || (await applyRevisions(plan, this.#context.client, this.#ownRevisions))) return hashOf(plan.current)
    await this.#writeStatus(set, { ...set.status, collisionCount: collisions + 1 })
    return undefined
  }

  async #create(set: DaemonSet, names: readonly string[], hash: string): Promise<unknown> {
    const { client, random } = this.#context
    const wanted = names.map((node) => {
      const pod = podFromTemplate(set.spec.template, set, daemonSets, random)
      return { ...pod, metadata: { ...pod.metadata, labels: { ...pod.metadata.labels, [revisionHashLabel]: hash } }, spec: daemonPodSpec(pod.spec, node) }
    })
    const { error } = await slowStart(wanted, async (pod) => {
      this.#ownPods.wrote(await client.create(pods, pod))
      this.#events.event({ ...set, kind: 'DaemonSet', apiVersion: 'apps/v1' }, 'Normal', 'SuccessfulCreate', `Created pod: ${pod.metadata.name ?? ''}`)
    })
    if (error === undefined || isNamespaceTerminating(error)) return undefined
    this.#events.event({ ...set, kind: 'DaemonSet', apiVersion: 'apps/v1' }, 'Warning', 'FailedCreate', `Error creating: ${error instanceof Error ? error.message : JSON.stringify(error)}`)
    return error
  }

  async #delete(set: DaemonSet, surplus: readonly Pod[]): Promise<void> {
    for (const pod of surplus) {
      const { namespace, name = '', uid = '' } = pod.metadata
      try {
        this.#ownPods.deleted(pod, await this.#context.client.delete(pods, { namespace, name }, { preconditions: { uid } }))
        this.#events.event({ ...set, kind: 'DaemonSet', apiVersion: 'apps/v1' }, 'Normal', 'SuccessfulDelete', `Deleted pod: ${name}`)
      } catch (error) {
        if (!isNotFound(error)) throw error
      }
    }
  }

  async #writeStatus(set: DaemonSet, status: DaemonSetStatus): Promise<void> {
    if (equalJson(status, set.status)) return
    try {
      await this.#context.client.updateStatus(daemonSets, { ...set, status })
    } catch (error) {
      if (!isNotFound(error)) throw error
    }
  }
}

/** What of a node decides whether a daemon runs there. */
function shown(node: Node | undefined): unknown {
  return node === undefined ? undefined : [node.metadata.labels, node.spec.taints, node.spec.unschedulable]
}
