/** Deletes what has lost all its owners, whatever kind it is; and sees deletions through that wait for dependents or set them free. */
import { isNotFound } from '../../../api/client.ts'
import type { Timer } from '../../../api/clock.ts'
import type { Informer } from '../../../api/informer.ts'
import type { AnyObject, KubeObject, OwnerReference } from '../../../api/types.ts'
import type { ReconcileResult, WorkQueue } from '../../../api/work-queue.ts'
import { equalJson } from '../canonical.ts'
import { queueOf } from '../controller.ts'
import type { Controller, ControllerContext } from '../controller.ts'
import { discover } from '../discovery.ts'
import type { DiscoveredResource } from '../discovery.ts'
import { OwnerGraph, isDeletingInForeground, ownersOf } from './graph.ts'
import type { Item } from './graph.ts'
import { planItem } from './plan.ts'
import type { Operation, OwnerState } from './plan.ts'

export function garbageController(context: ControllerContext): Controller {
  return new GarbageController(context)
}

/** How often new kinds are looked for (garbagecollector: 30 s). */
const discoverMs = 30_000
/** How soon an object is looked at again whose owner could not be found out. */
const lookAgainMs = 5000
/** How long one kind that cannot be read may keep the others waiting. */
const patienceMs = 5000
/** So many owners that are known to be gone are remembered. */
const absentMax = 5000
/** Kinds of which nothing is ever owned and that there are many of. */
const ignored = new Set(['events.', 'events.events.k8s.io'])

class GarbageController implements Controller {
  readonly #context: ControllerContext
  readonly #graph = new OwnerGraph()
  readonly #informers = new Map<string, Informer<AnyObject>>()
  readonly #absent = new Set<string>()
  readonly #queue: WorkQueue
  #resources: readonly DiscoveredResource[] = []
  #timer: Timer | undefined
  #stopped = false

  constructor(context: ControllerContext) {
    this.#context = context
    this.#queue = queueOf(context, 'garbage', (uid) => this.#reconcile(uid), 8)
  }

  start(): void {
    void this.#discover()
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#timer?.cancel()
    await this.#queue.stop()
  }

  /** Follows every kind that can be listed, watched and deleted; again and again, for kinds come and go. */
  async #discover(): Promise<void> {
    const { client, clock, log } = this.#context
    try {
      const { resources, failures } = await discover(client)
      const followed = resources.filter(({ group, plural, verbs }) => !ignored.has(`${plural}.${group}`) && ['list', 'watch', 'delete'].every((verb) => verbs.includes(verb)))
      const known = new Set(followed.map(nameOf))
      this.#resources = failures.length === 0 ? followed : [...followed, ...this.#resources.filter((resource) => !known.has(nameOf(resource)))]
      await this.#follow(this.#resources.filter((resource) => !this.#informers.has(nameOf(resource))))
      if (failures.length > 0) log.warn('cannot read all kinds, trying again', { controller: 'garbage', error: failures[0] })
    } catch (error) {
      log.warn('cannot read which kinds there are, trying again', { controller: 'garbage', error })
    }
    if (!this.#stopped) this.#timer = clock.setTimeout(() => void this.#discover(), discoverMs)
  }

  /** All kinds that can be read begin together, so that owners are there before what they own is looked at. */
  async #follow(resources: readonly DiscoveredResource[]): Promise<void> {
    if (this.#stopped) return
    const begun = resources.map((resource) => ({ resource, informer: this.#context.informers.informer<AnyObject>(resource) }))
    for (const { resource, informer } of begun) this.#informers.set(nameOf(resource), informer)
    const patience = Promise.withResolvers<void>()
    const timer = this.#context.clock.setTimeout(patience.resolve, patienceMs)
    await Promise.race([Promise.all(begun.map(({ informer }) => informer.synced)), patience.promise])
    timer.cancel()
    for (const { resource, informer } of begun) {
      const listen = (): void => void informer.onChange(({ old, new: object }) => this.#changed(resource, old, object))
      if (informer.hasSynced()) listen()
      else void informer.synced.then(listen)
    }
  }

  #changed(resource: DiscoveredResource, old: KubeObject | undefined, object: KubeObject | undefined): void {
    const uid = (object ?? old)?.metadata.uid ?? ''
    if (object !== undefined) {
      if (old !== undefined && old.metadata.uid !== uid) this.#gone(old.metadata.uid ?? '')
      this.#graph.put(resource, object)
      if (old !== undefined && equalJson(relevant(old), relevant(object))) return
      const { ownerReferences = [], deletionTimestamp, finalizers = [] } = object.metadata
      if (ownerReferences.length > 0 || (deletionTimestamp !== undefined && finalizers.length > 0)) this.#queue.add(uid)
      this.#wakeOwners(old?.metadata.ownerReferences)
      // What hangs on it goes first, or goes too.
      if (deletionTimestamp !== undefined) for (const dependent of this.#graph.dependentsOf(uid)) this.#queue.add(dependent.metadata.uid ?? '')
    } else {
      this.#gone(uid)
      this.#wakeOwners(old?.metadata.ownerReferences)
    }
  }

  #gone(uid: string): void {
    this.#graph.remove(uid)
    this.#remember(uid)
    for (const dependent of this.#graph.dependentsOf(uid)) this.#queue.add(dependent.metadata.uid ?? '')
  }

  /** An owner may have waited for just this dependent. */
  #wakeOwners(owners: readonly OwnerReference[] = []): void {
    for (const { uid } of owners) {
      const owner = this.#graph.get(uid)
      if (owner !== undefined && isDeletingInForeground(owner)) this.#queue.add(uid)
    }
  }

  #remember(uid: string): void {
    this.#absent.add(uid)
    const oldest = this.#absent.values().next().value
    if (this.#absent.size > absentMax && oldest !== undefined) this.#absent.delete(oldest)
  }

  async #reconcile(uid: string): Promise<ReconcileResult> {
    const item = this.#graph.get(uid)
    if (item === undefined) return
    const states = new Map<string, OwnerState>()
    if (item.metadata.deletionTimestamp === undefined) for (const owner of ownersOf(item)) states.set(owner.uid, await this.#stateOf(item, owner))
    const operations = planItem(item, this.#graph.dependentsOf(uid), (owner) => states.get(owner.uid) ?? 'unknown')
    for (const operation of operations) await this.#apply(operation)
    return [...states.values()].includes('unknown') ? { requeueAfterMs: lookAgainMs } : undefined
  }

  async #stateOf(item: Item, owner: OwnerReference): Promise<OwnerState> {
    const known = this.#graph.get(owner.uid)
    if (known !== undefined) {
      const elsewhere = known.resource.namespaced && known.metadata.namespace !== item.metadata.namespace
      return elsewhere ? 'absent' : isDeletingInForeground(known) ? 'waiting' : 'solid'
    }
    return this.#absent.has(owner.uid) ? 'absent' : this.#lookUp(item, owner)
  }

  /** Asks the API server about an owner that no watch has shown: nothing is deleted for a cache that is late. */
  async #lookUp(item: Item, { apiVersion, kind, name, uid }: OwnerReference): Promise<OwnerState> {
    const group = apiVersion.includes('/') ? apiVersion.slice(0, apiVersion.indexOf('/')) : ''
    const resource = this.#resources.find((candidate) => candidate.group === group && candidate.kind === kind)
    // A kind that is not there now may be there again; and what spans namespaces is owned by nothing that lives in one.
    if (resource === undefined || (resource.namespaced && item.metadata.namespace === undefined)) return 'unknown'
    try {
      const owner = await this.#context.client.get(resource, { name, ...(resource.namespaced ? { namespace: item.metadata.namespace } : {}) })
      if (owner.metadata.uid === uid) return isDeletingInForeground({ resource, metadata: owner.metadata }) ? 'waiting' : 'solid'
    } catch (error) {
      if (!isNotFound(error)) throw error
    }
    this.#remember(uid)
    return 'absent'
  }

  async #apply(operation: Operation): Promise<void> {
    const { item } = operation
    const { client, log } = this.#context
    const { namespace, name = '', uid = '', resourceVersion } = item.metadata
    try {
      switch (operation.kind) {
        case 'revisit':
          this.#queue.add(uid)
          break
        case 'delete':
          log.debug('deleting what has no owner any more', { kind: item.resource.kind, object: `${namespace ?? ''}/${name}`, policy: operation.policy })
          // Only as it was seen: an owner may have been added meanwhile.
          await client.delete(item.resource, { namespace, name }, { propagationPolicy: operation.policy, preconditions: { uid, ...(resourceVersion === undefined ? {} : { resourceVersion }) } })
          break
        case 'disown': {
          const ownerReferences = ownersOf(item).filter((owner) => !operation.owners.includes(owner.uid))
          await client.patch(item.resource, { namespace, name }, { metadata: { uid, resourceVersion, ownerReferences } }, { type: 'merge' })
          break
        }
        case 'unfinalize': {
          const finalizers = (item.metadata.finalizers ?? []).filter((finalizer) => finalizer !== operation.finalizer)
          await client.patch(item.resource, { namespace, name }, { metadata: { uid, resourceVersion, finalizers } }, { type: 'merge' })
          break
        }
      }
    } catch (error) {
      if (!isNotFound(error)) throw error
    }
  }
}

/** What of an object can change what is to be done. */
function relevant({ metadata }: KubeObject): unknown {
  return [metadata.uid, metadata.ownerReferences, metadata.deletionTimestamp, metadata.finalizers]
}

function nameOf({ plural, group }: DiscoveredResource): string {
  return `${plural}.${group}`
}
