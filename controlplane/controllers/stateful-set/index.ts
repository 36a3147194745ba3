/** Keeps the numbered pods of each StatefulSet. */
import { isAlreadyExists, isNamespaceTerminating, isNotFound } from '../../../api/client.ts'
import { objectKey } from '../../../api/informer.ts'
import type { Change, Informer } from '../../../api/informer.ts'
import { controllerRevisions, persistentVolumeClaims, pods, statefulSets } from '../../../api/resources.ts'
import { matchesLabelSelector } from '../../../api/selectors.ts'
import type { ControllerRevision, Pod, PodTemplateSpec, StatefulSet } from '../../../api/types.ts'
import type { ReconcileResult, WorkQueue } from '../../../api/work-queue.ts'
import { equalJson } from '../canonical.ts'
import { eventsOf, queueOf } from '../controller.ts'
import type { Controller, ControllerContext } from '../controller.ts'
import { applyClaim, claimable, controllerOf, indexByController, isControlledBy, planClaim } from '../ownership.ts'
import { OwnWrites } from '../own-writes.ts'
import { podFromTemplate } from '../pod-from-template.ts'
import { applyRevisions, hashOf, planRevisions } from '../revisions.ts'
import { claimsOf, planStateful, statefulPod, statefulStatus } from './plan.ts'
import type { StatefulPlan, StatefulStatus, Version } from './plan.ts'

export function statefulSetController(context: ControllerContext): Controller {
  return new StatefulSetController(context)
}

class StatefulSetController implements Controller {
  readonly #context: ControllerContext
  readonly #sets: Informer<StatefulSet>
  readonly #pods: Informer<Pod>
  readonly #revisions: Informer<ControllerRevision>
  readonly #ownPods: OwnWrites<Pod>
  readonly #ownRevisions: OwnWrites<ControllerRevision>
  readonly #queue: WorkQueue
  readonly #events

  constructor(context: ControllerContext) {
    this.#context = context
    const { informers } = context
    this.#sets = informers.informer(statefulSets)
    this.#pods = informers.informer(pods)
    this.#revisions = informers.informer(controllerRevisions)
    indexByController(this.#pods)
    indexByController(this.#revisions)
    this.#queue = queueOf(context, 'stateful-set', (key) => this.#reconcile(key))
    this.#ownPods = new OwnWrites(this.#pods, { ...context, onLost: (pod) => this.#podChanged({ old: pod }) })
    this.#ownRevisions = new OwnWrites(this.#revisions, { ...context, onLost: (revision) => this.#wakeOwner(revision) })
    this.#events = eventsOf(context, 'statefulset')
  }

  start(): void {
    this.#ownPods.start()
    this.#ownRevisions.start()
    this.#sets.onChange(({ new: set }) => {
      if (set !== undefined) this.#queue.add(objectKey(set))
    })
    this.#pods.onChange((change) => this.#podChanged(change))
  }

  async stop(): Promise<void> {
    await this.#queue.stop()
    this.#ownPods.stop()
    this.#ownRevisions.stop()
    await this.#events.flush()
  }

  #wakeOwner(object: Pod | ControllerRevision): void {
    const owner = controllerOf(object)
    if (owner?.kind === 'StatefulSet') this.#queue.add(`${object.metadata.namespace ?? ''}/${owner.name}`)
  }

  #podChanged({ old, new: pod }: Change<Pod>): void {
    if (old !== undefined) this.#wakeOwner(old)
    if (pod === undefined) return
    if (controllerOf(pod) !== undefined) return this.#wakeOwner(pod)
    for (const set of this.#sets.list()) {
      if (set.metadata.namespace === pod.metadata.namespace && isNamedFor(set, pod) && matchesLabelSelector(set.spec.selector, pod.metadata.labels)) this.#queue.add(objectKey(set))
    }
  }

  async #reconcile(key: string): Promise<ReconcileResult> {
    const set = this.#sets.getByKey(key)
    if (set === undefined) return
    const { client, clock } = this.#context
    const candidates = claimable(this.#pods, this.#ownPods, set).filter((pod) => isNamedFor(set, pod))
    const owned = await applyClaim(planClaim(set, set.spec.selector, candidates), { client, own: this.#ownPods, owner: set, ownerResource: statefulSets, resource: pods })
    const versions = await this.#versions(set, owned)
    if (versions === undefined) return
    const view = { set, pods: owned, ...versions, now: clock.now() }
    const plan = set.metadata.deletionTimestamp === undefined ? planStateful(view) : { create: [], delete: [] }
    for (const pod of plan.delete) await this.#delete(set, pod)
    await Promise.all(plan.create.map((place) => this.#create(set, place)))
    await this.#writeStatus(set, statefulStatus(view))
    return plan.againAfterMs === undefined ? undefined : { requeueAfterMs: plan.againAfterMs }
  }

  /** The templates in play; undefined when the status had to change first. */
  async #versions(set: StatefulSet, owned: readonly Pod[]): Promise<{ readonly current: Version; readonly update: Version } | undefined> {
    const revisions = claimable(this.#revisions, this.#ownRevisions, set).filter((revision) => isControlledBy(revision, set))
    const { template, revisionHistoryLimit = 10 } = set.spec
    const collisions = set.status?.collisionCount ?? 0
    const present = revisions.find(({ metadata }) => metadata.name === set.status?.currentRevision)
    const used = new Set([...owned.map(hashOf), ...(present === undefined ? [] : [hashOf(present)])])
    const plan = planRevisions({ owner: set, resource: statefulSets, template, historyLimit: revisionHistoryLimit, collisions }, revisions, used)
    if (set.metadata.deletionTimestamp === undefined && !(await applyRevisions(plan, this.#context.client, this.#ownRevisions))) {
      await this.#writeStatus(set, { replicas: 0, ...set.status, collisionCount: collisions + 1 })
      return undefined
    }
    const update = versionOf(plan.current)
    return { update, current: present === undefined ? update : versionOf(present) }
  }

  async #create(set: StatefulSet, place: StatefulPlan['create'][number]): Promise<void> {
    const { client, random } = this.#context
    const pod = statefulPod(set, podFromTemplate(place.version.template, set, statefulSets, random), place)
    const name = pod.metadata.name ?? ''
    try {
      for (const claim of claimsOf(set, place.ordinal)) await unlessThere(client.create(persistentVolumeClaims, claim))
      this.#ownPods.wrote(await client.create(pods, pod))
      this.#events.event({ ...set, kind: 'StatefulSet', apiVersion: 'apps/v1' }, 'Normal', 'SuccessfulCreate', `create Pod ${name} in StatefulSet ${set.metadata.name ?? ''} successful`)
    } catch (error) {
      if (isNamespaceTerminating(error)) return
      this.#events.event({ ...set, kind: 'StatefulSet', apiVersion: 'apps/v1' }, 'Warning', 'FailedCreate', `create Pod ${name} in StatefulSet ${set.metadata.name ?? ''} failed error: ${error instanceof Error ? error.message : String(error)}`)
      throw error
    }
  }

  async #delete(set: StatefulSet, pod: Pod): Promise<void> {
    const { namespace, name = '', uid = '' } = pod.metadata
    try {
      this.#ownPods.deleted(pod, await this.#context.client.delete(pods, { namespace, name }, { preconditions: { uid } }))
      this.#events.event({ ...set, kind: 'StatefulSet', apiVersion: 'apps/v1' }, 'Normal', 'SuccessfulDelete', `delete Pod ${name} in StatefulSet ${set.metadata.name ?? ''} successful`)
    } catch (error) {
      if (!isNotFound(error)) throw error
    }
  }

  async #writeStatus(set: StatefulSet, status: StatefulStatus): Promise<void> {
    if (equalJson(status, set.status)) return
    try {
      await this.#context.client.updateStatus(statefulSets, { ...set, status })
    } catch (error) {
      if (!isNotFound(error)) throw error
    }
  }
}

/** Only a pod with a name of the set's own pattern can be one of its pods. */
function isNamedFor({ metadata }: StatefulSet, pod: Pod): boolean {
  const { name = '' } = pod.metadata
  return name.startsWith(`${metadata.name ?? ''}-`) && /^\d+$/.test(name.slice((metadata.name ?? '').length + 1))
}

function versionOf(revision: ControllerRevision): Version {
  const { spec: { template: { $patch: _, ...template } } } = revision.data as { readonly spec: { readonly template: PodTemplateSpec & { readonly $patch?: string } } }
  return { name: revision.metadata.name ?? '', hash: hashOf(revision), template }
}

async function unlessThere(created: Promise<unknown>): Promise<void> {
  try {
    await created
  } catch (error) {
    if (!isAlreadyExists(error)) throw error
  }
}
