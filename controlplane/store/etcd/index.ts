// The store in etcd 3.4 or newer, over gRPC: for more than one API server, and for more than one copy of the state.
import { systemClock } from '../../../api/clock.ts'
import type { Clock } from '../../../api/clock.ts'
import { planWrite, prefixEnd, StoreError } from '../store.ts'
import type { Entry, Range, RangeOptions, Store, StoreWatch, WatchOptions, Write } from '../store.ts'
import type { EtcdKeyValue, RangeReply, RangeRequest, TxnReply } from './messages.ts'
import { EtcdConnection } from './rpc.ts'
import type { EtcdTls } from './rpc.ts'
import { EtcdWatch } from './watch.ts'

export interface EtcdStoreOptions extends EtcdTls {
  /** `http://` or `https://` with host and port; members of one cluster. */
  readonly endpoints: readonly string[]
  /** Stands before every key in etcd, so that others may use the same etcd. Default `/fairway`. */
  readonly root?: string
  readonly clock?: Clock
}

/** Keys asked for in one go: a list of many pods does not hold up etcd's other readers. */
const pageSize = 2000
/** etcd's Compare.EQUAL and Compare.MOD. */
const [equal, mod] = [0, 2]

/** Opens a store in etcd. Nothing is asked before the first use; what cannot be reached is then a `StoreError`. */
export function openEtcdStore(options: EtcdStoreOptions): Store {
  if (options.endpoints.length === 0) throw new Error('Cannot open the etcd store: it needs at least one URL')
  return new EtcdStore(options)
}

class EtcdStore implements Store {
  readonly isShared = true
  readonly #connection: EtcdConnection
  readonly #clock: Clock
  readonly #root: string
  readonly #watches = new Set<EtcdWatch>()
  #compacted = 0
  #compactedKnown: Promise<void> | undefined
  #reading: Promise<number> | undefined
  #nextRead: Promise<number> | undefined
  #closed = false

  constructor({ endpoints, root = '/fairway', clock = systemClock, ...tls }: EtcdStoreOptions) {
    this.#connection = new EtcdConnection(endpoints, tls, clock)
    this.#clock = clock
    this.#root = root
  }

  get compactedRevision(): number {
    return this.#compacted
  }

  /** Questions that come while one is under way share the next one: an answer never is older than its question. */
  currentRevision(): Promise<number> {
    if (this.#closed) return Promise.reject(closedError())
    if (this.#nextRead !== undefined) return this.#nextRead
    if (this.#reading === undefined) return (this.#reading = this.#readRevision())
    const begin = (): Promise<number> => {
      this.#nextRead = undefined
      return (this.#reading = this.#readRevision())
    }
    return (this.#nextRead = this.#reading.then(begin, begin))
  }

  create(key: string, value: Uint8Array): Promise<number> {
    return this.#write({ kind: 'create', key, value })
  }

  update(key: string, value: Uint8Array, modRevision: number): Promise<number> {
    return this.#write({ kind: 'update', key, value, modRevision })
  }

  delete(key: string, modRevision: number): Promise<number> {
    return this.#write({ kind: 'delete', key, modRevision })
  }

  async get(key: string, revision?: number): Promise<Entry | undefined> {
    this.#checkOpen()
    const { kvs } = await this.#range({ key: this.#keyOf(key), ...atRevision(revision) })
    return kvs[0] === undefined ? undefined : this.#entryOf(kvs[0])
  }

  async range(prefix: string, options: RangeOptions = {}): Promise<Range> {
    this.#checkOpen()
    const limit = options.limit ?? Infinity
    const end = Buffer.from(prefixEnd(this.#root + prefix))
    const entries: Entry[] = []
    let from = this.#keyOf(options.after !== undefined && options.after >= prefix ? `${options.after}\0` : prefix)
    let { revision } = options
    for (;;) {
      const page = Math.min(pageSize, limit - entries.length)
      const { header, kvs, count } = await this.#range({ key: from, range_end: end, limit: page, ...atRevision(revision) })
      revision ??= header?.revision ?? 0
      for (const kv of kvs) entries.push(this.#entryOf(kv))
      const remaining = count - kvs.length
      if (remaining === 0 || entries.length >= limit) return { revision, entries, remaining }
      from = Buffer.concat([(kvs.at(-1) as EtcdKeyValue).key, Buffer.of(0)])
    }
  }

  watch(prefix: string, options: WatchOptions): StoreWatch {
    this.#checkOpen()
    if (options.fromRevision <= this.#compacted) {
      throw new StoreError('compacted', `Cannot watch from revision ${options.fromRevision}: history up to ${this.#compacted} was compacted`)
    }
    const forget = (): void => void this.#watches.delete(watch)
    const onEnd = (error: StoreError): void => {
      forget()
      options.onEnd(error)
    }
    const watch: EtcdWatch = new EtcdWatch({
      connection: this.#connection, clock: this.#clock, root: this.#root, prefix, watch: { ...options, onChanges: (changes) => options.onChanges(changes), onEnd },
      onCompacted: (revision) => this.#noteCompacted(revision),
    })
    this.#watches.add(watch)
    return {
      close: () => {
        forget()
        watch.close()
      },
    }
  }

  /** Another server of the same etcd may have been faster: what is forgotten further already is no failure. */
  async compact(revision: number): Promise<void> {
    this.#checkOpen()
    const target = Math.min(revision, await this.currentRevision())
    if (target <= this.#compacted) return
    try {
      await this.#connection.call('Compact', { revision: target })
    } catch (error) {
      if (!(error instanceof StoreError && error.code === 'compacted')) throw error
    }
    this.#noteCompacted(target)
  }

  /** Each member that was named, one after the other: the others serve meanwhile. */
  async defragment(): Promise<void> {
    this.#checkOpen()
    await this.#connection.defragmentEach()
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    for (const watch of this.#watches) watch.end(new StoreError('closed', 'The store was closed'))
    this.#connection.close()
  }

  async #write(write: Write): Promise<number> {
    this.#checkOpen()
    const key = this.#keyOf(write.key)
    // To etcd, 0 is the revision of a key that is not there; 1 is no key's.
    const expected = write.kind === 'create' ? 0 : Math.max(write.modRevision, 1)
    const change = write.kind === 'delete' ? { request_delete_range: { key } } : { request_put: { key, value: Buffer.from(write.value.buffer, write.value.byteOffset, write.value.byteLength) } }
    let isRepeated = false
    const reply = await this.#connection.call('Txn', {
      compare: [{ result: equal, target: mod, key, mod_revision: expected }],
      success: [change],
      failure: [{ request_range: { key } }],
    }, () => (isRepeated = true))
    const revision = reply.succeeded ? reply.header?.revision ?? 0 : this.#refused(write, reply, isRepeated)
    await Promise.all([...this.#watches].filter((watch) => watch.covers(write.key)).map((watch) => watch.reached(revision)))
    return revision
  }

  /**
   * Why a write was refused. One that was sent twice may have been carried out the first time, its answer lost with the
   * member: then the key is as it was to be, and that is what it is told.
   */
  #refused(write: Write, { header, responses }: TxnReply, isRepeated: boolean): number {
    const kv = responses[0]?.response_range?.kvs[0]
    if (isRepeated) {
      const isDone = write.kind === 'delete' ? kv === undefined : kv !== undefined && Buffer.compare(kv.value, write.value) === 0
      if (isDone) return kv === undefined ? (header?.revision ?? 0) : kv.mod_revision
    }
    const state = kv === undefined ? undefined : { createRevision: kv.create_revision, modRevision: kv.mod_revision }
    const refusal = planWrite(write, state, 0)
    throw refusal instanceof StoreError ? refusal : new StoreError('conflict', `Cannot ${write.kind} ${write.key}: etcd refused it`)
  }

  async #range(request: RangeRequest): Promise<RangeReply> {
    if (this.#compactedKnown === undefined) await this.#learnCompacted()
    return this.#connection.call('Range', request)
  }

  async #readRevision(): Promise<number> {
    try {
      const { header } = await this.#range({ key: this.#keyOf('/'), keys_only: true })
      return header?.revision ?? 0
    } finally {
      this.#reading = undefined
    }
  }

  /** etcd tells what it has forgotten only by refusing it: looked for once, between what is there and what is not. */
  #learnCompacted(): Promise<void> {
    const isThere = async (revision: number): Promise<boolean> => {
      try {
        await this.#connection.call('Range', { key: this.#keyOf('/'), revision, count_only: true })
        return true
      } catch (error) {
        if (error instanceof StoreError && error.code === 'compacted') return false
        throw error
      }
    }
    const learn = async (): Promise<void> => {
      if (await isThere(1)) return
      const { header } = await this.#connection.call('Range', { key: this.#keyOf('/'), keys_only: true })
      let [gone, there] = [1, header?.revision ?? 1]
      while (there - gone > 1) {
        const middle = Math.floor((gone + there) / 2)
        if (await isThere(middle)) there = middle
        else gone = middle
      }
      this.#noteCompacted(there)
    }
    const learning = learn()
    this.#compactedKnown = learning
    // Asked again when etcd could not be reached.
    learning.catch(() => (this.#compactedKnown = undefined))
    return learning
  }

  #noteCompacted(revision: number): void {
    this.#compacted = Math.max(this.#compacted, revision)
  }

  #keyOf(key: string): Buffer {
    return Buffer.from(this.#root + key)
  }

  #entryOf(kv: EtcdKeyValue): Entry {
    return { key: kv.key.toString().slice(this.#root.length), value: kv.value, createRevision: kv.create_revision, modRevision: kv.mod_revision }
  }

  #checkOpen(): void {
    if (this.#closed) throw closedError()
  }
}

function atRevision(revision: number | undefined): { readonly revision?: number } {
  return revision === undefined ? {} : { revision }
}

function closedError(): StoreError {
  return new StoreError('closed', 'Cannot use the store: it was closed')
}
