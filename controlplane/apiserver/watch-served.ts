// A watch on objects that are kept otherwise than they are served. Each step waits for those before it, as somebody else may
// have to be asked for the conversion; what the client sees is in the order of revisions all the same.
import type { Clock } from '../../api/clock.ts'
import { CacheChange } from './cache/index.ts'
import type { ResourceCache, WatchCache } from './cache/index.ts'
import type { ResourceDescriptor } from './descriptor.ts'
import type { Sink } from './http.ts'
import { selected } from './read.ts'
import type { Representation } from './representation.ts'
import { inSelection } from './selector.ts'
import type { Selection } from './selector.ts'
import { expired, internalError, StatusError, tooLargeResourceVersion } from './status.ts'
import { asServed } from './versions.ts'

interface ServedWatchOptions {
  readonly all: WatchCache
  readonly cache: ResourceCache
  readonly clock: Clock
  readonly descriptor: ResourceDescriptor
  readonly selection: Selection
  readonly representation: Representation
  readonly bookmarks: boolean
  /** undefined: as the resourceVersion says. */
  readonly initialEvents: boolean | undefined
  /** 0: from whatever is now. */
  readonly revision: number
  readonly timeoutMs: number
  readonly freshnessTimeoutMs: number
  readonly pendingBytesMax: number
  /** So much of what was before may wait; a client that takes nothing of it for `stalledMs` is given up. */
  readonly pastBytesMax: number
  readonly stalledMs: number
}

/** Changes that wait to be shown; a client that is further behind comes again with what it has seen. */
const queueMax = 8192

export class ServedWatch {
  readonly #options: ServedWatchOptions
  #sink: Sink | undefined
  #release: (() => void)[] = []
  /** Changes that are not shown yet, and what to call when there are some again. */
  readonly #queue: CacheChange[] = []
  #wake: (() => void) | undefined

  constructor(options: ServedWatchOptions) {
    this.#options = options
  }

  start(sink: Sink, signal: AbortSignal, onEnd: () => void): void {
    this.#sink = sink
    const timer = this.#options.clock.setTimeout(() => this.end(), this.#options.timeoutMs)
    const abort = (): void => this.end()
    signal.addEventListener('abort', abort)
    this.#release.push(onEnd, () => timer.cancel(), () => signal.removeEventListener('abort', abort))
    if (signal.aborted) return this.end()
    this.#run().catch((error: unknown) => this.#fail(error instanceof StatusError ? error : internalError((error as Error).message)))
  }

  /** Only when everything has been shown: a client resumes from what a bookmark says. */
  bookmark(): void {
    const { bookmarks, representation, all } = this.#options
    if (bookmarks && this.#wake !== undefined && this.#queue.length === 0) this.#write('BOOKMARK', representation.bookmark(all.revision))
  }

  end(): void {
    const sink = this.#sink
    if (sink === undefined) return
    this.#sink = undefined
    for (const release of this.#release) release()
    this.#release = []
    this.#wake?.()
    sink.end()
  }

  async #run(): Promise<void> {
    const { all, cache, revision, initialEvents, representation } = this.#options
    await this.#reached(revision)
    if (this.#sink === undefined) return
    // No turn of the loop between what is there and what follows.
    const past = (initialEvents ?? revision === 0) ? undefined : revision === 0 ? [] : cache.changesAfter(revision)
    if (past === undefined && !(initialEvents ?? revision === 0)) throw expired(`too old resource version: ${revision} (${cache.windowStart})`)
    const present = past === undefined ? selected(cache, { ...this.#options.selection, matches: undefined }) : []
    const at = all.revision
    this.#queue.push(...(past ?? []))
    this.#release.push(cache.listen((change) => this.#take(change)))
    const matches = inSelection(this.#options.selection)
    for (const entry of await asServed(this.#options.descriptor, present)) {
      if (!matches(entry)) continue
      this.#write('ADDED', representation.encode(entry))
      if ((this.#sink?.pendingBytes ?? 0) > this.#options.pastBytesMax) await this.#caughtUp()
      if (this.#sink === undefined) return
    }
    if (initialEvents === true) this.#write('BOOKMARK', representation.bookmark(at, { 'k8s.io/initial-events-end': 'true' }))
    await this.#follow()
  }

  async #follow(): Promise<void> {
    while (this.#sink !== undefined) {
      const change = this.#queue[0]
      if (change === undefined) await new Promise<void>((resolve) => (this.#wake = resolve))
      else {
        await this.#show(change)
        this.#queue.shift()
      }
      this.#wake = undefined
    }
  }

  #take(change: CacheChange): void {
    this.#queue.push(change)
    if (this.#queue.length > queueMax) this.end()
    this.#wake?.()
  }

  /** Waits until the client has taken what was written. */
  async #caughtUp(): Promise<void> {
    const { clock, stalledMs } = this.#options
    const late = clock.setTimeout(() => this.end(), stalledMs)
    this.#release.push(() => late.cancel())
    await this.#sink?.drained()
    late.cancel()
  }

  async #show({ revision, entry, previous, deleted }: CacheChange): Promise<void> {
    const { descriptor, selection, representation, pendingBytesMax } = this.#options
    const wanted = [...(previous === undefined ? [] : [previous]), ...(deleted ? [] : [entry])]
    const shown = await asServed(descriptor, wanted)
    const before = previous === undefined ? undefined : shown[0]
    const now = deleted ? before?.at(revision) : shown.at(-1)
    const event = now === undefined ? undefined : new CacheChange(revision, now, before, deleted).eventFor(inSelection(selection))
    if (event !== undefined) this.#write(event.type, representation.encode(event.entry))
    if ((this.#sink?.pendingBytes ?? 0) > pendingBytesMax) this.end()
  }

  /** Waits a little for a revision that may be on its way. */
  async #reached(revision: number): Promise<void> {
    const { all, clock, freshnessTimeoutMs } = this.#options
    const arrival = all.reached(revision)
    if (arrival === undefined) return
    const late = Promise.withResolvers<void>()
    const timer = clock.setTimeout(() => late.reject(tooLargeResourceVersion(revision, all.revision)), freshnessTimeoutMs)
    this.#release.push(() => timer.cancel())
    await Promise.race([arrival, late.promise])
    timer.cancel()
  }

  #write(type: string, object: Buffer): void {
    this.#sink?.write(this.#options.representation.event(type, object))
  }

  #fail(error: StatusError): void {
    this.#sink?.write(this.#options.representation.failure(error.toStatus()))
    this.end()
  }
}
