// The contract of the store: etcd's model, cut down to what the API server uses. A revision counts every committed
// write; a key's `modRevision` is the revision that wrote it last, and every write names the one it has seen.

export interface Entry {
  readonly key: string
  readonly value: Uint8Array
  /** Revision at which the key came into being (again). */
  readonly createRevision: number
  /** Revision of the last write. */
  readonly modRevision: number
}

/** One committed write. `value` is undefined for a deletion. */
export interface Change {
  readonly revision: number
  readonly key: string
  readonly value: Uint8Array | undefined
  /** 0 of a deletion in etcd, which does not tell. */
  readonly createRevision: number
}

export interface RangeOptions {
  /** Read the state as of this revision; default the current one. */
  readonly revision?: number
  /** Only keys after this one (exclusive): how the next page of a limited range begins. */
  readonly after?: string
  readonly limit?: number
}

export interface Range {
  /** The revision that the entries are of. */
  readonly revision: number
  /** In ascending order of their keys' bytes. */
  readonly entries: readonly Entry[]
  /** How many further keys the limit cut off. */
  readonly remaining: number
}

export interface WatchOptions {
  /** First revision wanted. Earlier ones that the store still has are delivered first, then new ones as they are committed. */
  readonly fromRevision: number
  /** Called with changes in order of revision, without gaps and duplicates, and before the promise of the write resolves. */
  onChanges(changes: readonly Change[]): void
  /** Every change up to this revision has been delivered: told where revisions are spent on keys that are not this watch's. */
  onProgress?(revision: number): void
  /** The watch ended without being closed: the revisions were compacted away, or the connection to the store was lost. */
  onEnd(error: StoreError): void
}

export interface StoreWatch {
  close(): void
}

/**
 * A revisioned log of keys. Every promise of a write resolves with the revision of that write, once it cannot be lost any more.
 * Failures are `StoreError`s.
 */
export interface Store {
  /** The newest committed revision (a consistent read). An empty store has revision 1. */
  currentRevision(): Promise<number>
  /** Revisions up to this one can no longer be watched or read, apart from what is current at it. 0: all are there. */
  readonly compactedRevision: number
  /** Other processes may write to it too, so that what one has not heard of yet may be there already. */
  readonly isShared: boolean
  /** Fails with `exists` when the key is there. */
  create(key: string, value: Uint8Array): Promise<number>
  /** Compare and swap. Fails with `conflict` when the key's `modRevision` is another, with `not-found` when it is gone. */
  update(key: string, value: Uint8Array, modRevision: number): Promise<number>
  /** Compare and delete; as `update`. */
  delete(key: string, modRevision: number): Promise<number>
  get(key: string, revision?: number): Promise<Entry | undefined>
  /** All keys that begin with `prefix`. */
  range(prefix: string, options?: RangeOptions): Promise<Range>
  watch(prefix: string, options: WatchOptions): StoreWatch
  /** Forgets history up to and including this revision; what is current at it stays readable. */
  compact(revision: number): Promise<void>
  /** Gives back to the disk what compaction has freed. Others wait meanwhile. */
  defragment(): Promise<void>
  close(): Promise<void>
}

export type StoreErrorCode =
  | 'exists'
  | 'not-found'
  | 'conflict'
  | 'compacted'
  | 'future'
  | 'full'
  | 'locked'
  | 'corrupt'
  | 'newer-schema'
  | 'closed'
  | 'io'

export class StoreError extends Error {
  readonly code: StoreErrorCode

  constructor(code: StoreErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'StoreError'
    this.code = code
  }
}

export function isStoreError(error: unknown, ...codes: StoreErrorCode[]): error is StoreError {
  return error instanceof StoreError && (codes.length === 0 || codes.includes(error.code))
}

/** The first key after all keys that begin with `prefix`. */
export function prefixEnd(prefix: string): string {
  return prefix.slice(0, -1) + String.fromCharCode(prefix.charCodeAt(prefix.length - 1) + 1)
}

export interface KeyState {
  readonly createRevision: number
  readonly modRevision: number
}

export type Write =
  | { readonly kind: 'create'; readonly key: string; readonly value: Uint8Array }
  | { readonly kind: 'update'; readonly key: string; readonly value: Uint8Array; readonly modRevision: number }
  | { readonly kind: 'delete'; readonly key: string; readonly modRevision: number }

/** Decides a write against the state of its key: the change to commit, or why not. Pure; both stores use it. */
export function planWrite(write: Write, state: KeyState | undefined, revision: number): Change | StoreError {
  if (write.kind === 'create') {
    if (state !== undefined) return new StoreError('exists', `Cannot create ${write.key}: the key exists`)
    return { revision, key: write.key, value: write.value, createRevision: revision }
  }
  if (state === undefined) return new StoreError('not-found', `Cannot ${write.kind} ${write.key}: there is no such key`)
  if (state.modRevision !== write.modRevision) {
    return new StoreError('conflict', `Cannot ${write.kind} ${write.key}: it has revision ${state.modRevision}, not ${write.modRevision}`)
  }
  const value = write.kind === 'update' ? write.value : undefined
  return { revision, key: write.key, value, createRevision: state.createRevision }
}

/** The revision to read at, checked against what the store still has. */
export function checkRevision(wanted: number | undefined, current: number, compacted: number): number {
  if (wanted === undefined) return current
  if (wanted > current) throw new StoreError('future', `Cannot read at revision ${wanted}: the store is at ${current}`)
  if (wanted < compacted) throw new StoreError('compacted', `Cannot read at revision ${wanted}: history up to ${compacted} was compacted`)
  return wanted
}
