/**
 * A local copy of a resource, kept current by list and watch. Readers see a whole, consistent-enough state at any time; handlers
 * are told of changes after the copy has them. What it returns is shared: never change it.
 */
import { backoffMs } from './backoff.ts'
import { isForbidden, isGone } from './client.ts'
import type { Client, ListOptions } from './client.ts'
import { systemClock } from './clock.ts'
import type { Clock, Random } from './clock.ts'
import { silentLogger } from './log.ts'
import type { Logger } from './log.ts'
import type { Resource } from './resources.ts'
import type { KubeObject, WatchEvent } from './types.ts'

/** What happened to one object: without `old` it is new, without `new` it is gone. */
export interface Change<T> {
  readonly old?: T
  readonly new?: T
}

export interface InformerOptions {
  readonly namespace?: string
  readonly labelSelector?: string
  readonly fieldSelector?: string
  /** What is kept of an object, for those who need little of many. Name, namespace and resourceVersion have to stay. */
  readonly transform?: (object: KubeObject) => KubeObject
  readonly clock?: Clock
  readonly random?: Random
  readonly log?: Logger
}

const backoff = { initialMs: 100, maxMs: 10_000 }
/** The server ends each watch after 5 to 10 minutes, so that load spreads over servers (client-go minWatchTimeout). */
const watchSecondsMin = 300
/** Objects per page of a list. */
const pageSize = 500

/** The key of an object in the copy: `namespace/name`, or the name alone. */
export function objectKey({ metadata }: KubeObject): string {
  return keyFrom(metadata.namespace, metadata.name ?? '')
}

function keyFrom(namespace: string | undefined, name: string): string {
  return namespace === undefined || namespace === '' ? name : `${namespace}/${name}`
}

/** Most values have one or a few objects, for which an array is a fifth of a map's size. */
class Index<T extends KubeObject> {
  readonly #keysOf: (object: T) => readonly string[]
  readonly #objects = new Map<string, T[]>()

  constructor(keysOf: (object: T) => readonly string[]) {
    this.#keysOf = keysOf
  }

  at(value: string): T[] {
    return [...(this.#objects.get(value) ?? [])]
  }

  replace({ old, new: next }: Change<T>): void {
    const before = new Set(old === undefined ? [] : this.#keysOf(old))
    const after = new Set(next === undefined ? [] : this.#keysOf(next))
    for (const value of before) {
      const bucket = this.#objects.get(value) ?? []
      const at = bucket.indexOf(old as T)
      if (next !== undefined && after.has(value)) bucket[at] = next
      else if (bucket.length === 1) this.#objects.delete(value)
      else bucket.splice(at, 1)
    }
    for (const value of after) {
      if (before.has(value)) continue
      const bucket = this.#objects.get(value)
      if (bucket === undefined) this.#objects.set(value, [next as T])
      else bucket.push(next as T)
    }
  }
}

export class Informer<T extends KubeObject> {
  /** Resolves once the first list is in. */
  readonly synced: Promise<void>
  /** Resolves once the first list is in, or the server has said that it must not be asked for: some can do without. */
  readonly settled: Promise<void>
  readonly resource: Resource<T>
  readonly #client: Client
  readonly #options: InformerOptions
  readonly #objects = new Map<string, T>()
  readonly #indexes = new Map<string, Index<T>>()
  readonly #handlers = new Set<(change: Change<T>) => void>()
  readonly #abort = new AbortController()
  #resolveSynced: () => void
  #resolveSettled: () => void
  #hasSynced = false
  #started = false
  #connected = false
  /** Where the next watch begins; undefined: list first. */
  #revision: string | undefined

  constructor(client: Client, resource: Resource<T>, options: InformerOptions = {}) {
    this.#client = client
    this.resource = resource
    this.#options = options
    const { promise, resolve } = Promise.withResolvers<void>()
    this.synced = promise
    this.#resolveSynced = resolve
    const settled = Promise.withResolvers<void>()
    this.settled = settled.promise
    this.#resolveSettled = settled.resolve
  }

  start(): void {
    if (this.#started) return
    this.#started = true
    void this.#run()
  }

  stop(): void {
    this.#abort.abort(new Error('the informer was stopped'))
  }

  hasSynced(): boolean {
    return this.#hasSynced
  }

  /** Whether a watch is open: false while the API server cannot be reached and what is here may be old. */
  isConnected(): boolean {
    return this.#connected
  }

  get(namespace: string | undefined, name: string): T | undefined {
    return this.#objects.get(keyFrom(namespace, name))
  }

  /** By `objectKey`. */
  getByKey(key: string): T | undefined {
    return this.#objects.get(key)
  }

  list(): T[] {
    return [...this.#objects.values()]
  }

  /** Adds an index: `keysOf` gives the values under which an object is found. */
  addIndex(name: string, keysOf: (object: T) => readonly string[]): void {
    if (this.#indexes.has(name)) return
    const index = new Index(keysOf)
    for (const object of this.#objects.values()) index.replace({ new: object })
    this.#indexes.set(name, index)
  }

  byIndex(name: string, value: string): T[] {
    const index = this.#indexes.get(name)
    if (index === undefined) throw new Error(`Cannot look up ${this.resource.plural} by ${name}: no such index`)
    return index.at(value)
  }

  /** Calls back for every change, and at once for every object already here. Returns what ends it. */
  onChange(handler: (change: Change<T>) => void): () => void {
    this.#handlers.add(handler)
    for (const object of this.#objects.values()) handler({ new: object })
    return () => void this.#handlers.delete(handler)
  }

  async #run(): Promise<void> {
    const { clock = systemClock, random = Math.random, log = silentLogger } = this.#options
    const { signal } = this.#abort
    let failures = 0
    while (!signal.aborted) {
      try {
        if (this.#revision === undefined) await this.#relist()
        const progressed = await this.#follow()
        failures = progressed ? 0 : failures + 1
        // A server that ends watches at once is not hammered.
        if (failures > 1) await clock.sleep(backoffMs(failures, random, backoff), signal)
      } catch (error) {
        this.#connected = false
        if (signal.aborted) return
        if (isGone(error)) {
          log.debug('watch too old, listing again', { resource: this.resource.plural })
          this.#revision = undefined
          continue
        }
        if (isForbidden(error)) this.#resolveSettled()
        failures += 1
        const delayMs = backoffMs(failures, random, backoff)
        if (failures === 1 || failures % 10 === 0) log.warn('cannot follow a resource, trying again', { resource: this.resource.plural, failures, error, retryMs: Math.round(delayMs) })
        try {
          await clock.sleep(delayMs, signal)
        } catch {
          return // stopped meanwhile
        }
      }
    }
  }

  /** Lists all pages and replaces the copy; what is gone is told as deleted. */
  async #relist(): Promise<void> {
    const found = new Map<string, T>()
    let page: string | undefined
    let revision: string | undefined
    do {
      const list = await this.#client.list(this.resource, { ...this.#selection(), limit: pageSize, signal: this.#abort.signal, ...(page === undefined ? {} : { continue: page }) })
      for (const object of list.items) found.set(objectKey(object), this.#kept(object))
      revision ??= list.metadata.resourceVersion
      page = list.metadata.continue === '' ? undefined : list.metadata.continue
    } while (page !== undefined)
    for (const [key, object] of this.#objects) if (!found.has(key)) this.#apply(key, { old: object })
    for (const [key, object] of found) this.#put(key, object)
    this.#revision = revision ?? '0'
    if (this.#hasSynced) return
    this.#hasSynced = true
    this.#resolveSynced()
    this.#resolveSettled()
  }

  /** One watch to its end; whether it brought anything, or lasted. */
  async #follow(): Promise<boolean> {
    const { clock = systemClock, random = Math.random } = this.#options
    const { signal } = this.#abort
    const began = clock.monotonicMs()
    const timeoutSeconds = Math.round(watchSecondsMin * (1 + random()))
    let events = 0
    const stream = this.#client.watch(this.resource, { ...this.#selection(), resourceVersion: this.#revision ?? '0', allowWatchBookmarks: true, timeoutSeconds, signal })
    this.#connected = true
    for await (const event of stream) {
      events += 1
      this.#take(event)
    }
    this.#connected = false
    return events > 0 || clock.monotonicMs() - began > 1000
  }

  #take(event: WatchEvent<T>): void {
    const { resourceVersion } = event.object.metadata
    if (event.type !== 'BOOKMARK') {
      const key = objectKey(event.object)
      if (event.type === 'DELETED') this.#remove(key, event.object)
      else this.#put(key, this.#kept(event.object))
    }
    if (resourceVersion !== undefined) this.#revision = resourceVersion
  }

  #put(key: string, object: T): void {
    const old = this.#objects.get(key)
    if (old !== undefined && old.metadata.resourceVersion === object.metadata.resourceVersion && old.metadata.uid === object.metadata.uid) return
    this.#apply(key, old === undefined ? { new: object } : { old, new: object })
  }

  #kept(object: T): T {
    const { transform } = this.#options
    return transform === undefined ? object : (transform(object) as T)
  }

  /** Tells the last state before deletion, which may be newer than the copy's. */
  #remove(key: string, last: T): void {
    if (this.#objects.has(key)) this.#apply(key, { old: last })
  }

  #apply(key: string, change: Change<T>): void {
    const before = this.#objects.get(key)
    const indexed: Change<T> = { ...(before === undefined ? {} : { old: before }), ...(change.new === undefined ? {} : { new: change.new }) }
    if (change.new === undefined) this.#objects.delete(key)
    else this.#objects.set(key, change.new)
    for (const index of this.#indexes.values()) index.replace(indexed)
    for (const handler of this.#handlers) {
      try {
        handler(change)
      } catch (error) {
        // One handler's fault must not keep the others from the truth.
        this.#options.log?.error('a change handler failed', { resource: this.resource.plural, key, error })
      }
    }
  }

  #selection(): Pick<ListOptions, 'namespace' | 'labelSelector' | 'fieldSelector'> {
    const { namespace, labelSelector, fieldSelector } = this.#options
    return {
      ...(namespace === undefined ? {} : { namespace }),
      ...(labelSelector === undefined ? {} : { labelSelector }),
      ...(fieldSelector === undefined ? {} : { fieldSelector }),
    }
  }
}
