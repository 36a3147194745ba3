// The watch cache: one watch on the store feeds all resources, in the order of revisions.
import { isStoreError } from '../../store/index.ts'
import type { Change, Entry as StoreEntry, Store, StoreWatch } from '../../store/index.ts'
import type { ResourceDescriptor } from '../descriptor.ts'
import { storedAs } from '../registry.ts'
import { qualified } from '../status.ts'
import { ResourceCache } from './resource-cache.ts'

export { CacheChange, Entry } from './entry.ts'
export { ResourceCache } from './resource-cache.ts'

/** How far back before the present the cache begins, so that watches survive a restart of the server. */
const replayMax = 4096
const pageSize = 5000

export class WatchCache {
  readonly #store: Store
  readonly #byPrefix = new Map<string, ResourceCache>()
  readonly #byName = new Map<string, ResourceCache>()
  #revision = 0
  #watch: StoreWatch | undefined
  #waiting: { revision: number; resolve: () => void }[] = []
  /** Changes of resources that are being loaded. */
  readonly #joining = new Map<string, Change[]>()
  /** Counts how often the cache was loaded anew. */
  #loads = 0
  #reloading: Promise<void> | undefined
  #isStopped = false

  constructor(store: Store, descriptors: readonly ResourceDescriptor[]) {
    this.#store = store
    for (const descriptor of descriptors) {
      if (descriptor.virtual === true || descriptor.kept !== undefined || this.#byName.has(qualified(descriptor))) continue
      const cache = new ResourceCache(descriptor)
      this.#byPrefix.set(cache.prefix, cache)
      this.#byName.set(qualified(descriptor), cache)
    }
  }

  /** Everything up to this revision of the store is in the cache. */
  get revision(): number {
    return this.#revision
  }

  /** Reads the state as of a little earlier, then replays what happened since, so that the windows are not empty. */
  async start(onLost: (error: Error) => void, onGap: () => void = () => undefined): Promise<void> {
    const current = await this.#store.currentRevision()
    const start = Math.max(this.#store.compactedRevision, current - replayMax, 1)
    for (const cache of this.#byPrefix.values()) await this.#load(cache, start)
    this.#revision = start
    this.#follow(start, onLost, onGap)
    await this.reached(current)
  }

  stop(): void {
    this.#isStopped = true
    this.#watch?.close()
  }

  #follow(revision: number, onLost: (error: Error) => void, onGap: () => void): void {
    const onEnd = (error: Error): void => {
      if (this.#isStopped || !isStoreError(error, 'compacted')) return onLost(error)
      this.#reloading = this.#reload(onLost, onGap)
    }
    this.#watch = this.#store.watch('/registry/', {
      fromRevision: revision + 1,
      onChanges: (changes) => this.#apply(changes),
      onProgress: (seen) => this.#advance(seen),
      onEnd,
    })
  }

  /**
   * The store has forgotten what we have not heard yet (we were away for long): the state as it is now takes the place of ours. Who watches must
   * list anew, as we do: `onGap` ends the watches, and what they come back with is too old.
   */
  async #reload(onLost: (error: Error) => void, onGap: () => void): Promise<void> {
    for (;;) {
      try {
        const revision = await this.#store.currentRevision()
        const states = new Map<ResourceCache, readonly StoreEntry[]>()
        for (const cache of this.#byPrefix.values()) states.set(cache, await this.#entries(cache, revision))
        if (this.#isStopped) return
        onGap()
        this.#loads++
        for (const [cache, entries] of states) cache.replace(revision, entries)
        this.#reloading = undefined
        this.#follow(revision, onLost, onGap)
        return this.#advance(revision)
      } catch (error) {
        // Forgotten again meanwhile; of everything else the store has been asked for long enough.
        if (!isStoreError(error, 'compacted')) return onLost(error as Error)
      }
    }
  }

  async #entries(cache: ResourceCache, revision: number): Promise<readonly StoreEntry[]> {
    const all: StoreEntry[] = []
    for await (const page of this.#pages(cache, revision)) for (const entry of page) all.push(entry)
    return all
  }

  /** Takes up a resource while the others go on: its state as of now, then every change after it. */
  async add(descriptor: ResourceDescriptor): Promise<void> {
    const stored = storedAs(descriptor)
    if (this.#byName.has(qualified(stored))) return
    const cache = new ResourceCache(stored)
    const missed: Change[] = []
    this.#joining.set(cache.prefix, missed)
    try {
      await this.#reloading
      const loads = this.#loads
      const revision = Math.max(this.#revision, 1)
      await this.#load(cache, revision)
      // What came between is missing.
      if (loads !== this.#loads || this.#reloading !== undefined) return await this.add(descriptor)
      for (const change of missed) if (change.revision > revision) cache.apply(change.revision, change.key, change.value)
      this.#byPrefix.set(cache.prefix, cache)
      this.#byName.set(qualified(stored), cache)
    } finally {
      this.#joining.delete(cache.prefix)
    }
  }

  remove(descriptor: ResourceDescriptor): void {
    const cache = this.#byName.get(qualified(descriptor))
    if (cache === undefined) return
    this.#byName.delete(qualified(descriptor))
    this.#byPrefix.delete(cache.prefix)
  }

  of(descriptor: ResourceDescriptor): ResourceCache {
    const cache = this.#byName.get(qualified(storedAs(descriptor)))
    if (cache === undefined) throw new Error(`Cannot read ${qualified(descriptor)}: it is not cached`)
    return cache
  }

  named(resource: string): ResourceCache | undefined {
    return this.#byName.get(resource)
  }

  /** Resolves once the cache has seen a revision, which a write of ours got or another server's reader has. */
  reached(revision: number): Promise<void> | undefined {
    if (this.#revision >= revision) return undefined
    return new Promise((resolve) => void this.#waiting.push({ revision, resolve }))
  }

  /** Resolves once the cache holds everything that was committed before now, by whichever server. */
  async upToDate(): Promise<void> {
    await this.reached(await this.#store.currentRevision())
  }

  async #load(cache: ResourceCache, revision: number): Promise<void> {
    for await (const page of this.#pages(cache, revision)) cache.load(revision, page)
  }

  async *#pages(cache: ResourceCache, revision: number): AsyncGenerator<readonly StoreEntry[]> {
    let after: string | undefined
    do {
      const page = await this.#store.range(cache.prefix, { revision, limit: pageSize, ...(after === undefined ? {} : { after }) })
      yield page.entries
      after = page.remaining > 0 ? page.entries.at(-1)?.key : undefined
    } while (after !== undefined)
  }

  #apply(changes: readonly Change[]): void {
    for (const change of changes) {
      const { revision, key, value } = change
      // '/registry/group/plural/'
      const end = key.indexOf('/', key.indexOf('/', 10) + 1) + 1
      this.#revision = revision
      this.#byPrefix.get(key.slice(0, end))?.apply(revision, key, value)
      if (this.#joining.size > 0) this.#joining.get(key.slice(0, end))?.push(change)
    }
    this.#advance(this.#revision)
  }

  #advance(revision: number): void {
    this.#revision = revision
    if (this.#waiting.length === 0) return
    const ready = this.#waiting.filter((waiter) => waiter.revision <= this.#revision)
    this.#waiting = this.#waiting.filter((waiter) => waiter.revision > this.#revision)
    for (const { resolve } of ready) resolve()
  }
}
