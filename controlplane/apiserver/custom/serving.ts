// Keeps what is served in step with the CustomResourceDefinitions: a definition comes, and its resource is there; it goes, and its
// objects go first. The conditions say so (apiextensions-apiserver's naming, establish and finalizer controllers).
import type { Logger } from '../../../api/log.ts'
import { isStoreError } from '../../store/index.ts'
import { serverUser } from '../bootstrap/objects.ts'
import type { WatchCache } from '../cache/index.ts'
import type { ResourceDescriptor } from '../descriptor.ts'
import { equalJson, timestamp } from '../object.ts'
import type { ApiObject } from '../object.ts'
import type { Outbound } from '../outbound.ts'
import type { Registry } from '../registry.ts'
import { StatusError } from '../status.ts'
import type { Writer } from '../write/writer.ts'
import { converterOf } from './conversion.ts'
import { approvalOf, cleanupFinalizer } from './definition.ts'
import type { Condition, Definition } from './definition.ts'
import { customResources } from './resource.ts'

export interface CustomResourceServing {
  readonly cache: WatchCache
  readonly registry: Registry
  readonly writer: Writer
  readonly outbound: Outbound
  readonly descriptor: ResourceDescriptor
  readonly now: () => number
  readonly log: Logger
}

/** Deletions of one resource that are under way at once. */
const deletionsAtOnce = 32

/** Serves what is defined, and follows from then on; resolves when all that was there is served. Returns what stops it. */
export async function startCustomResources(options: CustomResourceServing): Promise<() => void> {
  const custom = new CustomResources(options)
  const definitions = options.cache.of(options.descriptor)
  let isStopped = false
  // One definition at a time, each as it stands when its turn comes.
  let turn = Promise.resolve()
  const take = (name: string): void => {
    turn = turn.then(async () => {
      if (!isStopped) await custom.reconcile(name)
    })
  }
  const unlisten = definitions.listen(({ entry }) => take(entry.name))
  for (const { name } of definitions.list()) take(name)
  await turn
  return () => {
    isStopped = true
    unlisten()
    custom.stop()
  }
}

class CustomResources {
  readonly #options: CustomResourceServing
  readonly #served = new Map<string, readonly ResourceDescriptor[]>()
  /** Definitions that wait for their objects to go. */
  readonly #draining = new Map<string, () => void>()

  constructor(options: CustomResourceServing) {
    this.#options = options
  }

  stop(): void {
    for (const release of this.#draining.values()) release()
    this.#draining.clear()
  }

  async reconcile(name: string): Promise<void> {
    try {
      const definition = this.#options.cache.of(this.#options.descriptor).get('', name)?.object as Definition | undefined
      if (definition === undefined) return this.#forget(name)
      const clash = this.#clash(name, definition)
      if (clash === undefined) await this.#serve(name, definition)
      await this.#note(name, definition, clash)
      if (definition.metadata.deletionTimestamp !== undefined) await this.#drain(name)
    } catch (error) {
      if (!isStoreError(error, 'closed')) this.#options.log.warn('a custom resource definition could not be followed', { name, error })
    }
  }

  async #serve(name: string, definition: Definition): Promise<void> {
    const { cache, registry } = this.#options
    const wanted = customResources(definition, converterOf(definition, this.#options.outbound))
    const [first] = wanted
    if (first !== undefined) await cache.add(first)
    for (const old of this.#served.get(name) ?? []) if (!wanted.some(({ version }) => version === old.version)) registry.remove(old)
    // The preferred version last, so that the resource's name stands for it.
    for (const descriptor of wanted) registry.add(descriptor)
    if (first !== undefined) registry.add(first)
    this.#served.set(name, wanted)
  }

  #forget(name: string): void {
    const { cache, registry } = this.#options
    for (const descriptor of this.#served.get(name) ?? []) {
      registry.remove(descriptor)
      cache.remove(descriptor)
    }
    this.#served.delete(name)
    this.#draining.get(name)?.()
    this.#draining.delete(name)
  }

  /** Why the names of a definition cannot be had, if so. */
  #clash(name: string, { spec }: Definition): string | undefined {
    const own = [spec.names.plural, spec.names.singular, ...(spec.names.shortNames ?? [])].filter((one) => one !== undefined)
    for (const other of this.#options.registry.all) {
      if (other.group !== spec.group || `${other.plural}.${other.group}` === name) continue
      if (other.kind === spec.names.kind || other.listKind === spec.names.listKind) return `${JSON.stringify(spec.names.kind)} is already in use`
      const taken = [other.plural, other.singular, ...(other.shortNames ?? [])].find((one) => own.includes(one))
      if (taken !== undefined) return `${JSON.stringify(taken)} is already in use`
    }
    return undefined
  }

  /** Writes the conditions, if they are not there already. */
  async #note(name: string, definition: Definition, clash: string | undefined): Promise<void> {
    const { writer, descriptor } = this.#options
    const make = (current: ApiObject): ApiObject => ({ ...current, status: this.#statusOf(current as unknown as Definition, clash) })
    if (equalJson(definition.status, this.#statusOf(definition, clash))) return
    try {
      await writer.update({ descriptor, namespace: '', name }, { part: 'status', make }, { user: serverUser })
    } catch (error) {
      // Gone, or noted by another server in the same moment; the next turn sees it.
      if (!(error instanceof StatusError && (error.code === 404 || error.code === 409))) throw error
    }
  }

  #statusOf(definition: Definition, clash: string | undefined): NonNullable<Definition['status']> {
    const { spec, status, metadata } = definition
    const approved = approvalOf(definition)
    const storage = spec.versions.find((version) => version.storage)?.name
    const stored = status?.storedVersions ?? []
    const isGoing = metadata.deletionTimestamp !== undefined
    const conditions = [
      this.#condition(status, 'NamesAccepted', clash === undefined, clash === undefined ? ['NoConflicts', 'no conflicts found'] : ['NamesConflict', clash]),
      this.#condition(status, 'Established', clash === undefined, clash === undefined ? ['InitialNamesAccepted', 'the initial names have been accepted'] : ['NotAccepted', 'not all names are accepted']),
      ...(approved === undefined ? [] : [this.#condition(status, 'KubernetesAPIApprovalPolicyConformant', approved.isApproved, [approved.reason, approved.message])]),
      ...(isGoing ? [this.#condition(status, 'Terminating', true, ['InstanceDeletionInProgress', 'CustomResource deletion is in progress'])] : []),
    ]
    return {
      conditions,
      acceptedNames: clash === undefined ? spec.names : (status?.acceptedNames ?? { plural: '', kind: '' }),
      storedVersions: storage === undefined || stored.includes(storage) ? stored : [...stored, storage],
    }
  }

  #condition(status: Definition['status'], type: string, holds: boolean, [reason, message]: readonly [string, string] | readonly string[]): Condition {
    const present = status?.conditions?.find((condition) => condition.type === type)
    const wanted = holds ? 'True' : 'False'
    const since = present?.status === wanted ? present.lastTransitionTime : timestamp(this.#options.now())
    return { type, status: wanted, reason: reason ?? '', message: message ?? '', lastTransitionTime: since }
  }

  /** Deletes the objects of a definition that is to go, and lets it go when the last one has. */
  async #drain(name: string): Promise<void> {
    const { cache, writer, descriptor } = this.#options
    const [resource] = this.#served.get(name) ?? []
    const objects = resource === undefined ? undefined : cache.of(resource)
    if (resource !== undefined && objects !== undefined && objects.size > 0) {
      if (!this.#draining.has(name)) {
        // Objects with finalizers go when somebody else has done their work.
        this.#draining.set(name, objects.listen(() => {
          if (objects.size === 0) void this.reconcile(name)
        }))
      }
      const entries = objects.list().filter(({ object }) => object.metadata.deletionTimestamp === undefined)
      for (let at = 0; at < entries.length; at += deletionsAtOnce) await Promise.all(entries.slice(at, at + deletionsAtOnce).map((entry) => this.#delete(resource, entry.namespace, entry.name)))
      if (objects.size > 0) return
    }
    const make = (current: ApiObject): ApiObject => ({ ...current, metadata: { ...current.metadata, finalizers: (current.metadata.finalizers ?? []).filter((one) => one !== cleanupFinalizer) } })
    try {
      await writer.update({ descriptor, namespace: '', name }, { part: 'other', make }, { user: serverUser })
    } catch (error) {
      // Another server was faster.
      if (!(error instanceof StatusError && error.code === 404)) throw error
    }
  }

  async #delete(descriptor: ResourceDescriptor, namespace: string, name: string): Promise<void> {
    try {
      await this.#options.writer.delete({ descriptor, namespace, name }, {}, { user: serverUser })
    } catch (error) {
      // Deleted by somebody else in the meantime.
      if (!(error instanceof StatusError && error.code === 404)) throw error
    }
  }
}
