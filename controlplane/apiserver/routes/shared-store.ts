// Several API servers on one store: what each decides from its own cache must not be older than what the others wrote.
import { randomUUID } from 'node:crypto'
import type { Clock } from '../../../api/clock.ts'
import { isStoreError } from '../../store/index.ts'
import type { Store } from '../../store/index.ts'
import type { WatchCache } from '../cache/index.ts'
import { StatusError } from '../status.ts'
import type { Call } from './call.ts'

/** Under '/registry/', so that a watch of the cache sees its revisions go by; no resource has this prefix. */
const lockKey = (what: string): string => `/registry/locks/${what}`
/** A lock that stays the same for so long belongs to a server that has died. */
const lockLifeMs = 5000
const lockRenewMs = 1500
const pauseMs = 5
const pauseMaxMs = 100
const reading = new Set(['get', 'list', 'watch'])
/** Resources whose writes give out something that must not be given twice (cluster IPs, node ports). */
const allocating = new Set(['services'])

export class SharedStore {
  readonly #store: Store
  readonly #cache: WatchCache
  readonly #clock: Clock

  constructor(store: Store, cache: WatchCache, clock: Clock) {
    this.#store = store
    this.#cache = cache
    this.#clock = clock
  }

  /** Does a call on a cache that knows of every write before it; of writes that allocate, one at a time in all servers. */
  async run<T>({ info, descriptor }: Call, work: () => Promise<T>): Promise<T> {
    if (!this.#store.isShared || reading.has(info.verb) || descriptor.virtual === true) return work()
    if (info.subresource !== '' || descriptor.group !== '' || !allocating.has(descriptor.plural)) {
      return info.verb === 'create' ? this.#hopefully(work) : this.#informed(work)
    }
    return this.alone(descriptor.plural, work)
  }

  /** Does what only one server may do at a time, on a cache that knows what the others have done. */
  async alone<T>(what: string, work: () => Promise<T>): Promise<T> {
    if (!this.#store.isShared) return work()
    const release = await this.#lock(lockKey(what))
    try {
      await this.#cache.upToDate()
      return await work()
    } finally {
      await release()
    }
  }

  async #informed<T>(work: () => Promise<T>): Promise<T> {
    await this.#cache.upToDate()
    return work()
  }

  /** Only a refusal can come of knowing too little: then what the others wrote is waited for, and it is tried once more. */
  async #hopefully<T>(work: () => Promise<T>): Promise<T> {
    const known = this.#cache.revision
    try {
      return await work()
    } catch (error) {
      if (!(error instanceof StatusError) || (await this.#store.currentRevision()) <= known) throw error
      return await this.#informed(work)
    }
  }

  async #lock(key: string): Promise<() => Promise<void>> {
    let held: { readonly revision: number; readonly since: number } | undefined
    for (let pause = pauseMs; ; pause = Math.min(pause * 2, pauseMaxMs)) {
      try {
        const revision = await this.#store.create(key, Buffer.from(randomUUID()))
        return this.#hold(key, revision)
      } catch (error) {
        if (!isStoreError(error, 'exists')) throw error
      }
      const now = this.#clock.monotonicMs()
      const holder = await this.#store.get(key)
      if (holder !== undefined && held?.revision !== holder.modRevision) held = { revision: holder.modRevision, since: now }
      if (holder !== undefined && held !== undefined && now - held.since > lockLifeMs) await this.#unlock(key, holder.modRevision)
      await this.#clock.sleep(pause)
    }
  }

  /** Shows again and again that the holder lives: a webhook that is asked meanwhile may take longer than a lock lives. */
  #hold(key: string, taken: number): () => Promise<void> {
    let revision = taken
    let isHeld = true
    let renewing = Promise.resolve()
    const renew = async (): Promise<void> => {
      try {
        revision = await this.#store.update(key, Buffer.from(randomUUID()), revision)
        if (isHeld) timer = this.#clock.setTimeout(later, lockRenewMs)
      } catch {
        // Taken away, or the store is: the write that it is held for will say so.
      }
    }
    const later = (): void => void (renewing = renew())
    let timer = this.#clock.setTimeout(later, lockRenewMs)
    return async () => {
      isHeld = false
      timer.cancel()
      await renewing
      await this.#unlock(key, revision)
    }
  }

  async #unlock(key: string, revision: number): Promise<void> {
    try {
      await this.#store.delete(key, revision)
    } catch (error) {
      // Taken away by a server that thought us dead.
      if (!isStoreError(error, 'not-found', 'conflict')) throw error
    }
  }
}
