// The store in memory: for tests, and the reference that the durable stores are compared with.
import { checkRevision, planWrite, prefixEnd, StoreError } from './store.ts'
import type { Change, Entry, Range, RangeOptions, Store, StoreWatch, WatchOptions, Write } from './store.ts'
import { Watchers } from './watchers.ts'

/** Opens an empty store that is gone with the process. */
export function openMemoryStore(): Store {
  return new MemoryStore()
}

class MemoryStore implements Store {
  readonly isShared = false
  /** Revisions of each key in ascending order, tombstones included, as far as they are not compacted. */
  readonly #keys = new Map<string, Change[]>()
  /** Every change after the compacted revision. */
  #log: Change[] = []
  readonly #watchers = new Watchers()
  #sorted: string[] | undefined
  #revision = 1
  #compacted = 0
  #closed = false

  get compactedRevision(): number {
    return this.#compacted
  }

  async currentRevision(): Promise<number> {
    this.#checkOpen()
    return this.#revision
  }

  async create(key: string, value: Uint8Array): Promise<number> {
    return this.#write({ kind: 'create', key, value })
  }

  async update(key: string, value: Uint8Array, modRevision: number): Promise<number> {
    return this.#write({ kind: 'update', key, value, modRevision })
  }

  async delete(key: string, modRevision: number): Promise<number> {
    return this.#write({ kind: 'delete', key, modRevision })
  }

  async get(key: string, revision?: number): Promise<Entry | undefined> {
    this.#checkOpen()
    return this.#at(key, checkRevision(revision, this.#revision, this.#compacted))
  }

  async range(prefix: string, options: RangeOptions = {}): Promise<Range> {
    this.#checkOpen()
    const revision = checkRevision(options.revision, this.#revision, this.#compacted)
    const limit = options.limit ?? Infinity
    const entries: Entry[] = []
    let remaining = 0
    for (const key of this.#keysAfter(prefix, options.after)) {
      const entry = this.#at(key, revision)
      if (entry === undefined) continue
      if (entries.length < limit) entries.push(entry)
      else remaining++
    }
    return { revision, entries, remaining }
  }

  watch(prefix: string, options: WatchOptions): StoreWatch {
    this.#checkOpen()
    if (options.fromRevision <= this.#compacted) {
      throw new StoreError('compacted', `Cannot watch from revision ${options.fromRevision}: history up to ${this.#compacted} was compacted`)
    }
    const history = this.#log.filter((change) => change.revision >= options.fromRevision && change.key.startsWith(prefix))
    return this.#watchers.add(prefix, options, history)
  }

  async compact(revision: number): Promise<void> {
    this.#checkOpen()
    const target = Math.min(revision, this.#revision)
    if (target <= this.#compacted) return
    const touched = new Set<string>()
    for (const change of this.#log) {
      if (change.revision <= target) touched.add(change.key)
    }
    for (const key of touched) this.#compactKey(key, target)
    this.#log = this.#log.filter((change) => change.revision > target)
    this.#compacted = target
  }

  async defragment(): Promise<void> {
    this.#checkOpen()
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#watchers.end(new StoreError('closed', 'The store was closed'))
  }

  #write(write: Write): number {
    this.#checkOpen()
    const change = planWrite(write, this.#at(write.key, this.#revision), this.#revision + 1)
    if (change instanceof StoreError) throw change
    const history = this.#keys.get(write.key)
    if (history !== undefined) history.push(change)
    else {
      this.#keys.set(write.key, [change])
      this.#sorted = undefined
    }
    this.#log.push(change)
    this.#revision = change.revision
    this.#watchers.deliver([change])
    return change.revision
  }

  #at(key: string, revision: number): Entry | undefined {
    const change = this.#keys.get(key)?.findLast((candidate) => candidate.revision <= revision)
    if (change?.value === undefined) return undefined
    return { key, value: change.value, createRevision: change.createRevision, modRevision: change.revision }
  }

  #keysAfter(prefix: string, after: string | undefined): string[] {
    this.#sorted ??= [...this.#keys.keys()].sort()
    const end = prefix === '' ? undefined : prefixEnd(prefix)
    return this.#sorted.filter((key) => key >= prefix && (end === undefined || key < end) && (after === undefined || key > after))
  }

  #compactKey(key: string, target: number): void {
    const history = this.#keys.get(key) ?? []
    const current = history.findLastIndex((change) => change.revision <= target)
    const keepFrom = history[current]?.value === undefined ? current + 1 : current
    if (keepFrom <= 0) return
    history.splice(0, keepFrom)
    if (history.length > 0) return
    this.#keys.delete(key)
    this.#sorted = undefined
  }

  #checkOpen(): void {
    if (this.#closed) throw new StoreError('closed', 'Cannot use the store: it was closed')
  }
}
