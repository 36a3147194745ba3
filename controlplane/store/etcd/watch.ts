// One watch in etcd that outlives the member it began at: it goes on elsewhere from the revision it has seen last.
import type { Clock } from '../../../api/clock.ts'
import { StoreError } from '../store.ts'
import type { Change, StoreWatch, WatchOptions } from '../store.ts'
import type { WatchReply } from './messages.ts'
import type { EtcdConnection } from './rpc.ts'

/** A compaction's answer comes at once, a lost member's next try after this. */
const pauseMs = 50
const pauseMaxMs = 1000
/** The type of an event that is no deletion. */
const put = 0

export interface EtcdWatchOptions {
  readonly connection: EtcdConnection
  readonly clock: Clock
  /** What stands before every key of the store in etcd. */
  readonly root: string
  readonly prefix: string
  readonly watch: WatchOptions
  readonly onCompacted: (revision: number) => void
}

/**
 * Watches all of etcd's keys and passes on those of `prefix`: so it learns of every revision, also of those that other
 * users of the same etcd make, and never waits for one that it is not told of.
 */
export class EtcdWatch implements StoreWatch {
  readonly #options: EtcdWatchOptions
  #stream: { cancel(): void } | undefined
  #seen: number
  #ended = false
  #pause = pauseMs
  #waiting: { readonly revision: number; readonly resolve: () => void }[] = []

  constructor(options: EtcdWatchOptions) {
    this.#options = options
    this.#seen = options.watch.fromRevision - 1
    this.#open()
  }

  covers(key: string): boolean {
    return !this.#ended && key.startsWith(this.#options.prefix)
  }

  /** Resolves once everything up to a revision was delivered, or the watch is over. */
  reached(revision: number): Promise<void> {
    if (this.#ended || this.#seen >= revision) return Promise.resolve()
    return new Promise((resolve) => void this.#waiting.push({ revision, resolve }))
  }

  close(): void {
    this.#ended = true
    this.#stream?.cancel()
    for (const { resolve } of this.#waiting) resolve()
    this.#waiting = []
  }

  end(error: StoreError): void {
    if (this.#ended) return
    this.close()
    this.#options.watch.onEnd(error)
  }

  #open(): void {
    let isOver = false
    const goOn = (): void => {
      if (isOver) return
      isOver = true
      stream.cancel()
      if (this.#ended) return
      this.#options.connection.leave(stream.endpoint)
      this.#options.clock.setTimeout(() => void (this.#ended || this.#open()), this.#pause)
      this.#pause = Math.min(this.#pause * 2, pauseMaxMs)
    }
    const stream = this.#options.connection.openWatch((reply) => {
      if (isOver || this.#ended) return
      if (!this.#take(reply)) goOn()
    }, goOn)
    this.#stream = stream
    // From the revision seen last, not the one after it: etcd refuses what begins before its compacted revision, and so
    // says when the deletion that stood exactly there is gone. It is skipped when it arrives.
    stream.watch({ key: Buffer.of(0), range_end: Buffer.of(0), start_revision: Math.max(1, this.#seen), fragment: true })
  }

  /** Whether this stream is to be listened to further. */
  #take(reply: WatchReply): boolean {
    const compacted = reply.compact_revision
    if (compacted > 0) {
      this.#options.onCompacted(compacted)
      this.end(new StoreError('compacted', `Cannot watch from revision ${this.#seen + 1}: history up to ${compacted} was compacted`))
      return true
    }
    if (reply.canceled) return false
    this.#pause = pauseMs
    const newest = reply.events.at(-1)
    if (newest?.kv !== undefined) this.#deliver(reply.events, newest.kv.mod_revision)
    return true
  }

  #deliver(events: WatchReply['events'], newest: number): void {
    const { root, prefix, watch } = this.#options
    const whole = root + prefix
    const changes: Change[] = []
    for (const { type, kv } of events) {
      if (kv === undefined || kv.mod_revision <= this.#seen) continue
      const key = kv.key.toString()
      if (key.startsWith(whole)) changes.push({ revision: kv.mod_revision, key: key.slice(root.length), value: type === put ? kv.value : undefined, createRevision: kv.create_revision })
    }
    if (newest <= this.#seen) return
    this.#seen = newest
    if (changes.length > 0) watch.onChanges(changes)
    if (changes.at(-1)?.revision !== newest) watch.onProgress?.(newest)
    if (this.#waiting.length === 0) return
    const ready = this.#waiting.filter(({ revision }) => revision <= newest)
    this.#waiting = this.#waiting.filter(({ revision }) => revision > newest)
    for (const { resolve } of ready) resolve()
  }
}
