/**
 * A controller's own writes laid over its cache, which follows a moment later: a reconcile that comes before the watch has shown
 * what the last one wrote still sees it, and so never makes a thing twice.
 */
import { isNotFound } from '../../api/client.ts'
import type { Client } from '../../api/client.ts'
import type { Clock, Timer } from '../../api/clock.ts'
import { objectKey } from '../../api/informer.ts'
import type { Change, Informer } from '../../api/informer.ts'
import type { KubeObject, Status } from '../../api/types.ts'

/** A write that the watch has not shown after this long is looked up: a relist in between may have passed over it. */
const unseenMs = 10_000

interface Write<T> {
  readonly object: T
  readonly gone: boolean
  readonly timer: Timer
}

export interface OwnWritesOptions<T> {
  readonly client: Client
  readonly clock: Clock
  /** Told when a write turns out to be undone by another. */
  readonly onLost: (object: T) => void
}

export class OwnWrites<T extends KubeObject> {
  readonly #informer: Informer<T>
  readonly #options: OwnWritesOptions<T>
  readonly #writes = new Map<string, Write<T>>()
  #unsubscribe: () => void = () => undefined

  constructor(informer: Informer<T>, options: OwnWritesOptions<T>) {
    this.#informer = informer
    this.#options = options
  }

  start(): void {
    this.#unsubscribe = this.#informer.onChange((change) => this.#changed(change))
  }

  stop(): void {
    this.#unsubscribe()
    for (const { timer } of this.#writes.values()) timer.cancel()
    this.#writes.clear()
  }

  /** Remembers the answer to a create, update or patch. */
  wrote(object: T): void {
    this.#remember(object, false)
  }

  /** Remembers the answer to a delete: the object on its way out, or gone. */
  deleted(object: T, answer: T | Status): void {
    if ('deletionTimestamp' in answer.metadata && answer.metadata.deletionTimestamp !== undefined) this.#remember(answer as T, false)
    else this.#remember(object, true)
  }

  /** What the cache gave, as it is after our writes, with what only we know of yet. */
  over(cached: readonly T[], belongs: (object: T) => boolean): T[] {
    if (this.#writes.size === 0) return [...cached]
    const result = cached.filter((object) => !this.#writes.has(objectKey(object)))
    for (const { object, gone } of this.#writes.values()) if (!gone && belongs(object)) result.push(object)
    return result
  }

  #remember(object: T, gone: boolean): void {
    const key = objectKey(object)
    this.#forget(key)
    const timer = this.#options.clock.setTimeout(() => void this.#check(key), unseenMs)
    this.#writes.set(key, { object, gone, timer })
    // The watch may have been faster than the answer: what was on its way out may be gone already.
    const cached = this.#informer.getByKey(key)
    if (cached !== undefined || gone || object.metadata.deletionTimestamp !== undefined) this.#changed(cached === undefined ? { old: object } : { new: cached })
  }

  #forget(key: string): void {
    this.#writes.get(key)?.timer.cancel()
    this.#writes.delete(key)
  }

  #changed({ old, new: cached }: Change<T>): void {
    const changed = cached ?? old
    if (changed === undefined) return
    const key = objectKey(changed)
    const write = this.#writes.get(key)
    if (write === undefined) return
    const same = changed.metadata.uid === write.object.metadata.uid
    const newer = revisionOf(changed) >= revisionOf(write.object)
    const seen = cached === undefined ? same : same ? newer && !write.gone : newer
    if (seen) this.#forget(key)
  }

  async #check(key: string): Promise<void> {
    const write = this.#writes.get(key)
    if (write === undefined) return
    const lost = !write.gone && (await this.#isLost(write.object))
    if (this.#writes.get(key) !== write) return
    if (lost) {
      this.#forget(key)
      this.#options.onLost(write.object)
      return
    }
    // The watch is late, and what we know stays true.
    this.#writes.set(key, { ...write, timer: this.#options.clock.setTimeout(() => void this.#check(key), unseenMs) })
  }

  async #isLost({ metadata: { namespace, name = '', uid } }: T): Promise<boolean> {
    try {
      return (await this.#options.client.get(this.#informer.resource, { namespace, name })).metadata.uid !== uid
    } catch (error) {
      return isNotFound(error)
    }
  }
}

/** Revisions of one resource can be compared (KEP-5504). */
function revisionOf({ metadata }: KubeObject): number {
  return Number(metadata.resourceVersion ?? 0)
}
