// Every change of an object goes through here: defaults, preparation, admission, validation, reservation, store.
import { randomUUID } from 'node:crypto'
import type { Clock, Random } from '../../../api/clock.ts'
import { isStoreError } from '../../store/index.ts'
import type { Store } from '../../store/index.ts'
import type { Admission, AdmissionRequest, Charge, Origin } from '../admission/request.ts'
import type { Entry, WatchCache } from '../cache/index.ts'
import type { DeleteOptions, FieldError, Reservation, ResourceDescriptor, UserInfo, WriteContext } from '../descriptor.ts'
import { applyConfiguration, trackUpdate } from '../managed-fields/managers.ts'
import { apiVersionOf, cloneJson, equalJson } from '../object.ts'
import type { ApiObject } from '../object.ts'
import { hasSubresource, storeKey } from '../registry.ts'
import { alreadyExists, badRequest, conflict, invalid, notFound, StatusError } from '../status.ts'
import { asServed, encoded, isOutdated } from '../versions.ts'
import { checkPreconditions, countGeneration, isReleased, planDeletion, prepareCreate, prepareUpdate } from './lifecycle.ts'
import { generateName, validateMetadata } from './names.ts'

/** How often an unconditional update or a patch is tried again when others write the same object. */
const attemptsMax = 20

export interface WriteOptions {
  readonly user: UserInfo
  readonly dryRun?: boolean
  /** Receives what becomes Warning headers. */
  readonly warn?: (warning: string) => void
  /** Under which name the written fields are owned; without it, nobody is noted. */
  readonly manager?: string
  /** Of what a client asks; without it, webhooks and policies are not asked. */
  readonly origin?: Origin
}

export interface Target {
  readonly descriptor: ResourceDescriptor
  readonly namespace: string
  readonly name: string
}

/** How an update reads: which part of the object it writes, and what it makes of the current state. */
export interface Change {
  readonly part: 'main' | 'status' | 'other'
  /** Receives a copy of the current object; returns the wanted one. A resourceVersion in it that is not current is a conflict. */
  readonly make: (current: ApiObject) => ApiObject | Promise<ApiObject>
  /** By which subresource it is written, as its fields are owned. */
  readonly subresource?: string
  /** `make` has settled already who owns which fields. */
  readonly isSettled?: boolean
}

/** What somebody is to decide about. */
export type AdmissionSubject = Omit<AdmissionRequest, 'context' | 'warn' | 'origin'>

/** A configuration that is to be applied to whatever there is, or to be created. */
export interface Applying {
  readonly config: ApiObject
  readonly force: boolean
  readonly part: Change['part']
  readonly subresource?: string
  /** What of the outcome a subresource lets through. */
  readonly pick?: (wanted: ApiObject, current: ApiObject) => ApiObject
}

export interface Deletion {
  readonly entry: Entry
  readonly now: boolean
}

export class Writer {
  readonly #store: Store
  readonly #cache: WatchCache
  readonly #admission: Admission
  readonly #clock: Clock
  readonly #random: Random

  constructor(store: Store, cache: WatchCache, admission: Admission, clock: Clock, random: Random) {
    this.#store = store
    this.#cache = cache
    this.#admission = admission
    this.#clock = clock
    this.#random = random
  }

  context({ user, dryRun = false }: WriteOptions): WriteContext {
    return {
      user,
      now: this.#clock.now(),
      random: this.#random,
      dryRun,
      lookup: (resource, namespace, name) => this.#cache.named(resource)?.get(namespace ?? '', name)?.object,
      list: (resource, namespace) => (this.#cache.named(resource)?.list(namespace) ?? []).map((entry) => entry.object),
      holders: (resource, valuesOf, value) => this.#cache.named(resource)?.holders(valuesOf, value) ?? [],
    }
  }

  /** Server-side apply: 409 when others own what would change, unless it is forced. */
  async apply(target: Target, { config, force, part, subresource, pick }: Applying, options: WriteOptions): Promise<{ readonly entry: Entry; readonly isNew: boolean }> {
    const { descriptor, namespace, name } = target
    const manager = { name: options.manager ?? '', now: this.#clock.now(), ...(subresource === undefined ? {} : { subresource }) }
    const application = { config, force, manager, part: part === 'status' ? part : part === 'main' && hasSubresource(descriptor, 'status') && descriptor.kind !== 'Node' ? part : 'whole' } as const
    for (let attempt = 1; ; attempt++) {
      try {
        const make = (current: ApiObject): ApiObject => picked(applyConfiguration(descriptor, current, application), current, pick)
        return { entry: await this.update(target, { part, make, isSettled: true, ...(subresource === undefined ? {} : { subresource }) }, options), isNew: false }
      } catch (error) {
        if (part !== 'main' || attempt === attemptsMax || !(error instanceof StatusError) || error.code !== 404 || error.details?.name !== name) throw error
      }
      const { uid = '' } = config.metadata
      if (uid !== '') throw conflict(descriptor, name, `uid mismatch: the provided object specified uid ${uid}, and no existing object was found`)
      try {
        return { entry: await this.create(descriptor, namespace, applyConfiguration(descriptor, undefined, application), options, true), isNew: true }
      } catch (error) {
        // Somebody else was faster: then it is applied to what is there.
        if (!(error instanceof StatusError) || error.reason !== 'AlreadyExists') throw error
      }
    }
  }

  async create(descriptor: ResourceDescriptor, namespace: string, object: ApiObject, options: WriteOptions, isSettled = false): Promise<Entry> {
    const { metadata } = object
    if (metadata.resourceVersion !== undefined && metadata.resourceVersion !== '') throw badRequest('resourceVersion should not be set on objects to be created')
    fillNamespace(descriptor, object, namespace)
    const prefix = metadata.name === undefined || metadata.name === '' ? metadata.generateName : undefined
    for (let attempt = 1; ; attempt++) {
      const candidate = prefix === undefined ? object : cloneJson(object)
      if (prefix !== undefined) candidate.metadata.name = generateName(prefix, this.#random)
      try {
        return await this.#createNamed(descriptor, namespace, candidate, options, isSettled)
      } catch (error) {
        if (prefix === undefined || attempt === 8 || !(error instanceof StatusError) || error.reason !== 'AlreadyExists') throw error
      }
    }
  }

  async update({ descriptor, namespace, name }: Target, change: Change, options: WriteOptions): Promise<Entry> {
    for (let attempt = 1; ; attempt++) {
      const current = await this.#current(descriptor, namespace, name)
      const seen = cloneJson(current.object)
      // What is stored under another version of the kind is written under the one that is asked for.
      seen.apiVersion = apiVersionOf(descriptor)
      const object = await change.make(seen)
      const { resourceVersion = '' } = object.metadata
      const conditional = resourceVersion !== '' && resourceVersion !== '0'
      if (conditional && resourceVersion !== String(current.revision)) throw conflict(descriptor, name)
      try {
        return await this.#replace(descriptor, current, object, change, options)
      } catch (error) {
        if (!isStoreError(error, 'conflict', 'not-found')) throw error
        // Tried again on the newer state. A revision that the client itself named no longer fits it, and is a conflict then.
        if (attempt === attemptsMax) throw conflict(descriptor, name)
      }
    }
  }

  async delete({ descriptor, namespace, name }: Target, deleteOptions: DeleteOptions, options: WriteOptions): Promise<Deletion> {
    const { origin } = options
    const asked = origin === undefined ? options : { ...options, origin: { ...origin, options: { ...deleteOptions, ...origin.options } } }
    for (let attempt = 1; ; attempt++) {
      const current = await this.#current(descriptor, namespace, name)
      const refusal = checkPreconditions(descriptor, current.object, deleteOptions.preconditions)
      if (refusal !== undefined) throw refusal
      const context = this.context(options)
      await this.admit({ operation: 'DELETE', descriptor, subresource: '', kind: descriptor, namespace, name, object: undefined, old: current.object }, asked)
      const plan = planDeletion(descriptor, cloneJson(current.object), deleteOptions, context)
      try {
        if (plan.now) return { entry: await this.#remove(descriptor, current, options), now: true }
        if (plan.object === undefined) return { entry: current, now: false }
        return { entry: await this.#put(descriptor, current, plan.object, options), now: false }
      } catch (error) {
        if (!isStoreError(error, 'conflict', 'not-found')) throw error
        if (attempt === attemptsMax) throw conflict(descriptor, name)
      }
    }
  }

  async #createNamed(descriptor: ResourceDescriptor, namespace: string, object: ApiObject, options: WriteOptions, isSettled: boolean): Promise<Entry> {
    const { strategy } = descriptor
    const context = this.context(options)
    prepareCreate(descriptor, object, randomUUID(), context)
    strategy?.applyDefaults?.(object)
    if (!isSettled) this.#track(descriptor, undefined, object, options)
    strategy?.prepareForCreate?.(object, context)
    const request = this.#request({ operation: 'CREATE', descriptor, subresource: '', kind: descriptor, namespace, name: object.metadata.name ?? '', object, old: undefined }, options, context)
    const admitted = await this.#mutated(request, object, (changed) => restoreSystemFields(descriptor, changed, object))
    const name = admitted.metadata.name ?? ''
    check(descriptor, admitted, [...validateMetadata(descriptor, admitted), ...(strategy?.validate?.(admitted, context) ?? [])])
    for (const warning of strategy?.warnings?.(admitted) ?? []) options.warn?.(warning)
    // Told before anything is allocated for it.
    if (this.#cache.of(descriptor).get(namespace, name) !== undefined) throw alreadyExists(descriptor, name)
    const charge = await this.#admission.validate(request)
    return this.#reserved({ charge, reserve: () => strategy?.reserve?.(admitted, undefined, context) }, context.dryRun, async () => {
      const { stored, entry } = await encoded(descriptor, { namespace, name }, admitted)
      if (context.dryRun) return entry(0)
      try {
        const revision = await this.#store.create(storeKey(descriptor, namespace, name), stored)
        await this.#cache.reached(revision)
        return entry(revision)
      } catch (error) {
        throw isStoreError(error, 'exists') ? alreadyExists(descriptor, name) : error
      }
    })
  }

  async #replace(descriptor: ResourceDescriptor, current: Entry, wanted: ApiObject, change: Change, options: WriteOptions): Promise<Entry> {
    const { part, subresource = '' } = change
    const { strategy } = descriptor
    const context = this.context(options)
    const old = current.object
    const shape = (given: ApiObject): ApiObject => {
      const object = part === 'status' ? onlyStatus(given, old) : part === 'main' && hasSubresource(descriptor, 'status') ? withoutStatus(given, old) : given
      const refusal = prepareUpdate(descriptor, object, old)
      if (refusal !== undefined) throw refusal
      strategy?.applyDefaults?.(object)
      return object
    }
    const prepare = (object: ApiObject): void => {
      if (part === 'status') strategy?.prepareForStatusUpdate?.(object, old, context)
      else {
        strategy?.prepareForUpdate?.(object, old, context)
        countGeneration(descriptor, object, old)
      }
    }
    const prepared = shape(wanted)
    if (change.isSettled !== true) this.#track(descriptor, old, prepared, options, change.subresource)
    prepare(prepared)
    const request = this.#request({ operation: 'UPDATE', descriptor, subresource, kind: descriptor, namespace: current.namespace, name: current.name, object: prepared, old }, options, context)
    const object = await this.#mutated(request, prepared, (changed) => {
      const again = shape(keepManagers(changed, prepared))
      prepare(again)
      return again
    })
    check(descriptor, object, [...validateMetadata(descriptor, object), ...this.#errorsOf(descriptor, object, old, part, context)])
    if (part !== 'status') for (const warning of strategy?.warnings?.(object) ?? []) options.warn?.(warning)
    const charge = await this.#admission.validate(request)
    if (isReleased(object)) return this.#remove(descriptor, current, options)
    const unchanged = equalJson({ ...object, apiVersion: old.apiVersion, metadata: { ...object.metadata, resourceVersion: old.metadata.resourceVersion } }, old)
    if (unchanged && !isOutdated(descriptor, this.#cache.of(descriptor).get(current.namespace, current.name) ?? current)) return current
    const reserve = (): Reservation | undefined => (part === 'status' ? undefined : strategy?.reserve?.(object, old, context))
    return this.#reserved({ charge, reserve }, context.dryRun, () => this.#put(descriptor, current, object, options))
  }

  #errorsOf({ strategy }: ResourceDescriptor, object: ApiObject, old: ApiObject, part: Change['part'], context: WriteContext): readonly FieldError[] {
    if (part === 'status') return strategy?.validateStatusUpdate?.(object, old, context) ?? []
    // A subresource such as binding changes what an ordinary update may not.
    return [...(strategy?.validate?.(object, context, old) ?? []), ...(part === 'main' ? (strategy?.validateUpdate?.(object, old, context) ?? []) : [])]
  }

  /** Asks all who have a say in something that is not a write of an object: a connection, a deletion, a Scale, a Binding. Returns what they make of it. */
  async admit(what: AdmissionSubject, options: WriteOptions): Promise<ApiObject | undefined> {
    const request = this.#request(what, options, this.context(options))
    await this.#admission.mutate(request)
    await this.#admission.validate(request)
    return request.object
  }

  #request(what: AdmissionSubject, { warn, origin }: WriteOptions, context: WriteContext): AdmissionRequest {
    return { ...what, context, warn: (warning) => warn?.(warning), origin: what.subresource === 'scale' && what.kind.kind !== 'Scale' ? undefined : origin }
  }

  /** The object after those who may change it. When another one was put in its place, that is given its shape again. */
  async #mutated(request: AdmissionRequest, object: ApiObject, reshape: (changed: ApiObject) => ApiObject): Promise<ApiObject> {
    await this.#admission.mutate(request)
    if (request.object === undefined || request.object === object) return object
    request.object = reshape(request.object)
    return request.object
  }

  /** Notes who owns what this write brings. */
  #track(descriptor: ResourceDescriptor, live: ApiObject | undefined, object: ApiObject, { manager }: WriteOptions, subresource?: string): void {
    if (manager === undefined) return
    const entries = trackUpdate(descriptor, live, object, { name: manager, now: this.#clock.now(), ...(subresource === undefined ? {} : { subresource }) })
    if (entries === undefined || entries.length === 0) delete object.metadata.managedFields
    else object.metadata.managedFields = entries
  }

  /** Runs a write between reservation and commit; whatever fails gives back what was reserved. */
  async #reserved({ charge, reserve }: { readonly charge: Charge | undefined; readonly reserve: () => Reservation | undefined }, dryRun: boolean, write: () => Promise<Entry>): Promise<Entry> {
    let reservation: Reservation | undefined
    try {
      reservation = reserve()
      const entry = await write()
      if (dryRun) reservation?.rollback()
      else reservation?.commit()
      return entry
    } catch (error) {
      reservation?.rollback()
      await charge?.release()
      throw error
    }
  }

  async #put(descriptor: ResourceDescriptor, current: Entry, object: ApiObject, options: WriteOptions): Promise<Entry> {
    const { namespace, name } = current
    const { stored, entry } = await encoded(descriptor, current, object)
    if (options.dryRun === true) return entry(current.revision)
    const revision = await this.#store.update(storeKey(descriptor, namespace, name), stored, current.revision)
    await this.#cache.reached(revision)
    return entry(revision)
  }

  async #remove(descriptor: ResourceDescriptor, current: Entry, options: WriteOptions): Promise<Entry> {
    if (options.dryRun === true) return current
    const revision = await this.#store.delete(storeKey(descriptor, current.namespace, current.name), current.revision)
    await this.#cache.reached(revision)
    descriptor.strategy?.release?.(current.object)
    return current.at(revision)
  }

  /** The newest state; with several servers on one store, as of now and not of our cache's last word. */
  async #current(descriptor: ResourceDescriptor, namespace: string, name: string): Promise<Entry> {
    await this.#cache.upToDate()
    const entry = this.#cache.of(descriptor).get(namespace, name)
    if (entry === undefined) throw notFound(descriptor, name)
    return (await asServed(descriptor, [entry]))[0] ?? entry
  }
}

/** What a subresource lets through of an applied object, with who owns it. */
function picked(applied: ApiObject, current: ApiObject, pick: Applying['pick']): ApiObject {
  if (pick === undefined) return applied
  const object = pick(applied, current)
  const { managedFields } = applied.metadata
  return { ...object, metadata: { ...object.metadata, ...(managedFields === undefined ? {} : { managedFields }) } }
}

function fillNamespace(descriptor: ResourceDescriptor, object: ApiObject, namespace: string): void {
  const { metadata } = object
  if (!descriptor.namespaced) return
  if (metadata.namespace !== undefined && metadata.namespace !== '' && metadata.namespace !== namespace) {
    throw badRequest(`the namespace of the provided object does not match the namespace sent on the request`)
  }
  metadata.namespace = namespace
}

function check(descriptor: ResourceDescriptor, object: ApiObject, errors: readonly FieldError[]): void {
  if (errors.length > 0) throw invalid(descriptor, object.metadata.name ?? object.metadata.generateName ?? '', errors)
}

/** What the server decides about a new object, and who owns its fields, is not for webhooks to say. */
function restoreSystemFields(descriptor: ResourceDescriptor, changed: ApiObject, before: ApiObject): ApiObject {
  const { name, namespace, generateName: prefix, uid, creationTimestamp, generation } = before.metadata
  const decided = Object.entries({ name, namespace, generateName: prefix, uid, creationTimestamp, generation }).filter(([, value]) => value !== undefined)
  Object.assign(changed.metadata, Object.fromEntries(decided))
  descriptor.strategy?.applyDefaults?.(changed)
  return keepManagers(changed, before)
}

function keepManagers(changed: ApiObject, { metadata: { managedFields } }: ApiObject): ApiObject {
  if (managedFields === undefined) delete changed.metadata.managedFields
  else changed.metadata.managedFields = managedFields
  return changed
}

function withoutStatus(wanted: ApiObject, old: ApiObject): ApiObject {
  const { status: _status, ...rest } = wanted
  return (old['status'] === undefined ? rest : { ...rest, status: cloneJson(old['status']) })
}

/** Of a status update, only the status and the metadata count. */
function onlyStatus(wanted: ApiObject, old: ApiObject): ApiObject {
  const { status: _status, ...rest } = cloneJson(old)
  return { ...rest, metadata: wanted.metadata, ...(wanted['status'] === undefined ? {} : { status: wanted['status'] }) }
}
