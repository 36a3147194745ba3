// The durable store: one log table in SQLite. Writes of one turn of the event loop share a transaction, and are
// acknowledged after its commit has reached the disk.
import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { openDatabase, pragma, storeError } from './schema.ts'
import { checkRevision, planWrite, prefixEnd, StoreError } from './store.ts'
import type { Change, Entry, KeyState, Range, RangeOptions, Store, StoreWatch, WatchOptions, Write } from './store.ts'
import { Watchers } from './watchers.ts'

export interface SqliteStoreOptions {
  /** Creates and updates are refused beyond this size; deletions still work, so that one can get out. Default 8 GiB, etcd's. */
  readonly bytesMax?: number
}

/** How many revisions one transaction of a compaction covers: short enough not to be felt by writers. */
const compactionStep = 1000

interface Pending {
  readonly write: Write
  resolve(revision: number): void
  reject(error: StoreError): void
}

interface LogRow {
  readonly key: string
  readonly revision: number
  readonly create_revision: number
  readonly deleted: number
  readonly value: Uint8Array | null
}

/** Opens (or creates) the store in `directory`. Throws a `StoreError` that says what is wrong with it. */
export function openSqliteStore(directory: string, options: SqliteStoreOptions = {}): Store {
  const database = openDatabase(directory)
  try {
    return new SqliteStore(database, options.bytesMax ?? 8 * 2 ** 30)
  } catch (error) {
    database.close()
    throw storeError(error, `read the store in ${directory}`)
  }
}

class SqliteStore implements Store {
  readonly isShared = false
  readonly #database: DatabaseSync
  readonly #statements: ReturnType<typeof prepare>
  readonly #pagesMax: number
  /** State of every live key, so that a write is decided without asking the database. */
  readonly #keys = new Map<string, KeyState>()
  readonly #watchers = new Watchers()
  #pending: Pending[] = []
  #flushScheduled = false
  #revision: number
  #compacted: number
  #closed = false

  constructor(database: DatabaseSync, bytesMax: number) {
    this.#database = database
    this.#statements = prepare(database)
    this.#pagesMax = Math.floor(bytesMax / pragma(database, 'page_size'))
    this.#compacted = (database.prepare(`SELECT value FROM meta WHERE name = 'compacted'`).get() as { value: number }).value
    const newest = database.prepare('SELECT coalesce(max(revision), 0) AS revision FROM log').get() as { revision: number }
    this.#revision = Math.max(1, this.#compacted, newest.revision)
    const live = database.prepare('SELECT key, max(revision) AS revision, create_revision FROM log GROUP BY key HAVING deleted = 0')
    for (const row of live.iterate() as Iterable<unknown> as Iterable<LogRow>) {
      this.#keys.set(row.key, { createRevision: row.create_revision, modRevision: row.revision })
    }
  }

  get compactedRevision(): number {
    return this.#compacted
  }

  async currentRevision(): Promise<number> {
    this.#checkOpen()
    return this.#revision
  }

  create(key: string, value: Uint8Array): Promise<number> {
    return this.#enqueue({ kind: 'create', key, value })
  }

  update(key: string, value: Uint8Array, modRevision: number): Promise<number> {
    return this.#enqueue({ kind: 'update', key, value, modRevision })
  }

  delete(key: string, modRevision: number): Promise<number> {
    return this.#enqueue({ kind: 'delete', key, modRevision })
  }

  async get(key: string, revision?: number): Promise<Entry | undefined> {
    this.#checkOpen()
    const at = checkRevision(revision, this.#revision, this.#compacted)
    if (at === this.#revision && !this.#keys.has(key)) return undefined
    const row = this.#read(() => this.#statements.get.get(key, at)) as LogRow | undefined
    return row === undefined || row.deleted === 1 ? undefined : entryOf(row)
  }

  async range(prefix: string, options: RangeOptions = {}): Promise<Range> {
    this.#checkOpen()
    const revision = checkRevision(options.revision, this.#revision, this.#compacted)
    const limit = options.limit ?? -1
    // The first key that is not `after` itself.
    const from = options.after !== undefined && options.after >= prefix ? `${options.after}\0` : prefix
    const end = prefix === '' ? '\u{10ffff}' : prefixEnd(prefix)
    const rows = this.#read(() => this.#statements.range.all(from, end, revision, limit)) as unknown as LogRow[]
    const entries = rows.map(entryOf)
    const last = entries.at(-1)
    if (limit < 0 || entries.length < limit || last === undefined) return { revision, entries, remaining: 0 }
    const { n } = this.#read(() => this.#statements.count.get(last.key, end, revision)) as { n: number }
    return { revision, entries, remaining: n }
  }

  watch(prefix: string, options: WatchOptions): StoreWatch {
    this.#checkOpen()
    if (options.fromRevision <= this.#compacted) {
      throw new StoreError('compacted', `Cannot watch from revision ${options.fromRevision}: history up to ${this.#compacted} was compacted`)
    }
    const rows = this.#read(() => this.#statements.since.all(options.fromRevision)) as unknown as LogRow[]
    const history = rows.filter((row) => row.key.startsWith(prefix)).map(changeOf)
    return this.#watchers.add(prefix, options, history)
  }

  async compact(revision: number): Promise<void> {
    this.#checkOpen()
    const target = Math.min(revision, this.#revision)
    while (this.#compacted < target) {
      this.#compactStep(Math.min(this.#compacted + compactionStep, target))
      await new Promise((resolve) => void setImmediate(resolve))
      this.#checkOpen()
    }
    this.#database.exec('PRAGMA incremental_vacuum(1000)')
  }

  async defragment(): Promise<void> {
    this.#checkOpen()
    this.#flush()
    try {
      this.#database.exec('VACUUM; PRAGMA wal_checkpoint(TRUNCATE)')
    } catch (error) {
      throw storeError(error, 'defragment the store')
    }
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#flush()
    this.#closed = true
    this.#watchers.end(new StoreError('closed', 'The store was closed'))
    this.#database.close()
  }

  #enqueue(write: Write): Promise<number> {
    if (this.#closed) return Promise.reject(closedError())
    return new Promise((resolve, reject) => {
      this.#pending.push({ write, resolve, reject })
      if (this.#flushScheduled) return
      this.#flushScheduled = true
      setImmediate(() => this.#flush())
    })
  }

  /** Commits everything that waits. A refused write does not disturb its neighbours; a failed commit fails them all. */
  #flush(): void {
    this.#flushScheduled = false
    const batch = this.#pending
    if (batch.length === 0) return
    this.#pending = []
    const staged = new Map<string, KeyState | undefined>()
    const changes: Change[] = []
    const committed: Pending[] = []
    const full = this.#isFull(batch)
    try {
      this.#database.exec('BEGIN IMMEDIATE')
      for (const pending of batch) {
        const { write } = pending
        const state = staged.has(write.key) ? staged.get(write.key) : this.#keys.get(write.key)
        const change = full && write.kind !== 'delete' ? fullError(write) : planWrite(write, state, this.#revision + changes.length + 1)
        if (change instanceof StoreError) {
          pending.reject(change)
          continue
        }
        this.#insert(change, state)
        staged.set(write.key, change.value === undefined ? undefined : { createRevision: change.createRevision, modRevision: change.revision })
        changes.push(change)
        committed.push(pending)
      }
      this.#database.exec('COMMIT')
    } catch (error) {
      this.#abandon(batch, error)
      return
    }
    for (const [key, state] of staged) {
      if (state === undefined) this.#keys.delete(key)
      else this.#keys.set(key, state)
    }
    this.#revision += changes.length
    if (changes.length > 0) this.#watchers.deliver(changes)
    committed.forEach((pending, i) => pending.resolve((changes[i] as Change).revision))
  }

  #insert(change: Change, state: KeyState | undefined): void {
    const deleted = change.value === undefined ? 1 : 0
    this.#statements.insert.run(change.revision, change.key, change.createRevision, state?.modRevision ?? 0, deleted, change.value ?? null)
  }

  #abandon(batch: readonly Pending[], error: unknown): void {
    if (this.#database.isTransaction) this.#database.exec('ROLLBACK')
    const failure = storeError(error, 'write to the store')
    for (const pending of batch) pending.reject(failure)
  }

  #isFull(batch: readonly Pending[]): boolean {
    if (batch.every(({ write }) => write.kind === 'delete')) return false
    return pragma(this.#database, 'page_count') - pragma(this.#database, 'freelist_count') >= this.#pagesMax
  }

  /** Deletes what the revisions up to `target` replaced, and the tombstones among them. */
  #compactStep(target: number): void {
    try {
      this.#database.exec('BEGIN IMMEDIATE')
      this.#statements.dropReplaced.run(this.#compacted, target)
      this.#statements.dropTombstones.run(this.#compacted, target)
      this.#statements.setCompacted.run(target)
      this.#database.exec('COMMIT')
      this.#compacted = target
    } catch (error) {
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK')
      throw storeError(error, `compact the store to revision ${target}`)
    }
  }

  #read<T>(query: () => T): T {
    try {
      return query()
    } catch (error) {
      throw storeError(error, 'read the store')
    }
  }

  #checkOpen(): void {
    if (this.#closed) throw closedError()
  }
}

function prepare(database: DatabaseSync): Record<
  'insert' | 'get' | 'range' | 'count' | 'since' | 'dropReplaced' | 'dropTombstones' | 'setCompacted',
  StatementSync
> {
  // In a GROUP BY with max(), SQLite takes the other columns from the row that has the maximum (lang_select.html, 2.5).
  const latest = `max(revision) AS revision, create_revision, deleted`
  return {
    insert: database.prepare('INSERT INTO log (revision, key, create_revision, previous, deleted, value) VALUES (?, ?, ?, ?, ?, ?)'),
    get: database.prepare('SELECT key, revision, create_revision, deleted, value FROM log WHERE key = ? AND revision <= ? ORDER BY revision DESC LIMIT 1'),
    range: database.prepare(
      `SELECT key, ${latest}, value FROM log WHERE key >= ? AND key < ? AND revision <= ? GROUP BY key HAVING deleted = 0 ORDER BY key LIMIT ?`,
    ),
    count: database.prepare(
      `SELECT count(*) AS n FROM (SELECT key, ${latest} FROM log WHERE key > ? AND key < ? AND revision <= ? GROUP BY key HAVING deleted = 0)`,
    ),
    since: database.prepare('SELECT key, revision, create_revision, deleted, value FROM log WHERE revision >= ? ORDER BY revision'),
    dropReplaced: database.prepare(
      'DELETE FROM log WHERE revision IN (SELECT previous FROM log WHERE revision > ? AND revision <= ? AND previous > 0)',
    ),
    dropTombstones: database.prepare('DELETE FROM log WHERE revision > ? AND revision <= ? AND deleted = 1'),
    setCompacted: database.prepare(`UPDATE meta SET value = ? WHERE name = 'compacted'`),
  }
}

function entryOf(row: LogRow): Entry {
  return { key: row.key, value: row.value ?? new Uint8Array(), createRevision: row.create_revision, modRevision: row.revision }
}

function changeOf(row: LogRow): Change {
  const value = row.deleted === 1 ? undefined : (row.value ?? new Uint8Array())
  return { revision: row.revision, key: row.key, value, createRevision: row.create_revision }
}

function fullError(write: Write): StoreError {
  return new StoreError('full', `Cannot ${write.kind} ${write.key}: the store has reached its size limit. Delete objects to make room`)
}

function closedError(): StoreError {
  return new StoreError('closed', 'Cannot use the store: it was closed')
}
