// watch: initial state or past changes, then every change as it comes, one JSON line each.
import type { Clock, Random, Timer } from '../../api/clock.ts'
import type { CacheChange, ResourceCache, WatchCache } from './cache/index.ts'
import type { ResourceDescriptor } from './descriptor.ts'
import type { HttpRequest, Reply, Sink } from './http.ts'
import { negotiate } from './negotiation.ts'
import { parseRevision, selected } from './read.ts'
import { hasProtobuf, Representation } from './representation.ts'
import { isTrue } from './request-info.ts'
import type { RequestInfo } from './request-info.ts'
import { inSelection, parseSelection } from './selector.ts'
import type { Selection } from './selector.ts'
import { badRequest, expired, internalError, notAcceptable, tooLargeResourceVersion } from './status.ts'
import type { StatusError } from './status.ts'
import { WatchGroup } from './watch-group.ts'
import type { Member, WatchEvent } from './watch-group.ts'
import { ServedWatch } from './watch-served.ts'

/** A client that lets this much pile up is cut off; it resumes from the last revision that it has seen. */
const pendingBytesMax = 16 * 1024 * 1024
/** What was before is made only as far as the client takes it: so much may wait, which nobody shares with it. */
const pastBytesMax = 256 * 1024
/** A client that takes nothing of it for so long is given up. */
const stalledMs = 60_000
const bookmarkIntervalMs = 60_000
const freshnessTimeoutMs = 3000
/** A watch without timeoutSeconds ends between this and twice this time, as kube-apiserver's --min-request-timeout. */
const minTimeoutMs = 1_800_000

export interface WatchEnvironment {
  readonly cache: WatchCache
  readonly clock: Clock
  readonly random: Random
}

/** The open watches of a server: they share the bookmark timer, and end together with it. */
export class Watches {
  readonly #environment: WatchEnvironment
  readonly #open = new Set<Watch | ServedWatch>()
  readonly #groups = new Map<ResourceDescriptor, Map<string, WatchGroup>>()
  readonly #timer: { current: Timer }

  constructor(environment: WatchEnvironment) {
    this.#environment = environment
    this.#timer = { current: this.#scheduleBookmarks() }
  }

  get size(): number {
    return this.#open.size
  }

  async open(descriptor: ResourceDescriptor, info: RequestInfo, request: HttpRequest, upToDate: () => Promise<void>): Promise<Reply> {
    const { query } = request
    const { cache, clock } = this.#environment
    const representation = new Representation(descriptor, negotiate(request.headers['accept']?.replaceAll(/;\s*stream=watch/g, ''), hasProtobuf(descriptor)), query, () => clock.now())
    if (representation.format.encoding === 'yaml') throw notAcceptable(['application/json;stream=watch', 'application/vnd.kubernetes.protobuf;stream=watch'])
    const selection = parseSelection(descriptor, query, info.namespace, info.name)
    const revision = parseRevision(query.get('resourceVersion'))
    const initialEvents = checkInitialEvents(query)
    if (revision === undefined) await upToDate()
    const settings = {
      bookmarks: isTrue(query.get('allowWatchBookmarks')),
      initialEvents,
      revision: revision ?? 0,
      timeoutMs: timeoutOf(query, this.#environment.random),
    }
    const key = JSON.stringify([representation.key, info.namespace, info.name, query.get('labelSelector'), query.get('fieldSelector')])
    const watched = { cache: cache.of(descriptor), selection, representation, join: this.#groupOf(descriptor, key, selection, representation) }
    const watch = descriptor.kept === undefined
      ? new Watch(this.#environment, watched, settings)
      : new ServedWatch({ all: cache, cache: cache.of(descriptor), clock, descriptor, selection, representation, freshnessTimeoutMs, pendingBytesMax, pastBytesMax, stalledMs, ...settings })
    return {
      status: 200,
      headers: { 'content-type': representation.watchType, 'cache-control': 'no-cache, private' },
      body: (sink) => {
        this.#open.add(watch)
        watch.start(sink, request.signal, () => void this.#open.delete(watch))
      },
    }
  }

  close(): void {
    this.#timer.current.cancel()
    this.endAll()
  }

  /** Clients come again with the last revision that they have seen. */
  endAll(): void {
    for (const watch of this.#open) watch.end()
  }

  /** Joins the watches that want the same, and returns how to leave them; the first makes their group, the last ends it. */
  #groupOf(descriptor: ResourceDescriptor, key: string, selection: Selection, representation: Representation): Watched['join'] {
    const make = (): WatchGroup => new WatchGroup(this.#environment.cache.of(descriptor), inSelection(selection), (change, event) => lineOf(representation, change, event))
    return (member) => {
      const groups = this.#groups.get(descriptor) ?? new Map<string, WatchGroup>()
      const group = groups.get(key) ?? make()
      this.#groups.set(descriptor, groups)
      groups.set(key, group)
      group.add(member)
      return () => {
        group.remove(member)
        if (!group.isEmpty || groups.get(key) !== group) return
        group.close()
        groups.delete(key)
        if (groups.size === 0) this.#groups.delete(descriptor)
      }
    }
  }

  #scheduleBookmarks(): Timer {
    return this.#environment.clock.setTimeout(() => {
      for (const groups of this.#groups.values()) for (const group of groups.values()) group.flush()
      for (const watch of this.#open) watch.bookmark()
      this.#timer.current = this.#scheduleBookmarks()
    }, bookmarkIntervalMs)
  }
}

interface WatchSettings {
  readonly bookmarks: boolean
  /** undefined: as the resourceVersion says. */
  readonly initialEvents: boolean | undefined
  /** 0: from whatever is now. */
  readonly revision: number
  readonly timeoutMs: number
}

/** What a watch is of. */
interface Watched {
  readonly cache: ResourceCache
  readonly selection: Selection
  readonly representation: Representation
  /** To be told of changes from now on; returns how to be told no longer. */
  readonly join: (member: Member) => () => void
}

class Watch implements Member {
  next = 0
  readonly #environment: WatchEnvironment
  readonly #cache: ResourceCache
  readonly #selection: Selection
  readonly #representation: Representation
  readonly #join: Watched['join']
  readonly #settings: WatchSettings
  #sink: Sink | undefined
  #started = false
  #stalled: Timer | undefined
  #release: (() => void)[] = []

  constructor(environment: WatchEnvironment, { cache, selection, representation, join }: Watched, settings: WatchSettings) {
    this.#environment = environment
    this.#cache = cache
    this.#selection = selection
    this.#representation = representation
    this.#join = join
    this.#settings = settings
  }

  start(sink: Sink, signal: AbortSignal, onEnd: () => void): void {
    this.#sink = sink
    const timer = this.#environment.clock.setTimeout(() => this.end(), this.#settings.timeoutMs)
    const abort = (): void => this.end()
    signal.addEventListener('abort', abort)
    this.#release.push(onEnd, () => timer.cancel(), () => this.#stalled?.cancel(), () => signal.removeEventListener('abort', abort))
    if (signal.aborted) return this.end()
    const arrival = this.#environment.cache.reached(this.#settings.revision)
    const begin = (): void => void this.#begin().catch((error: unknown) => this.#fail(internalError((error as Error).message)))
    if (arrival === undefined) return begin()
    const late = this.#environment.clock.setTimeout(() => this.#fail(tooLargeResourceVersion(this.#settings.revision, this.#environment.cache.revision)), freshnessTimeoutMs)
    this.#release.push(() => late.cancel())
    void arrival.then(() => {
      late.cancel()
      begin()
    })
  }

  /** Tells the client how far it is, so that it can resume from there although nothing that it wants happened. */
  bookmark(): void {
    if (!this.#settings.bookmarks || !this.#started) return
    this.#write('BOOKMARK', this.#representation.bookmark(this.#environment.cache.revision))
  }

  deliver(line: Buffer): void {
    const sink = this.#sink
    if (sink === undefined) return
    sink.write(line)
    if (sink.pendingBytes > pendingBytesMax) this.end()
  }

  end(): void {
    const sink = this.#sink
    if (sink === undefined) return
    this.#sink = undefined
    for (const release of this.#release) release()
    this.#release = []
    sink.end()
  }

  /** What is there and what has been, as fast as the client takes it. When nothing is left, in the same turn of the loop the live changes: nothing falls between. */
  async #begin(): Promise<void> {
    if (this.#sink === undefined) return
    const { revision, initialEvents } = this.#settings
    const { cache } = this.#environment
    let seen = revision === 0 || initialEvents === true ? cache.revision : revision
    if (initialEvents ?? revision === 0) {
      for (const entry of selected(this.#cache, this.#selection)) if (!this.#write('ADDED', this.#representation.encode(entry)) && !(await this.#caughtUp())) return
    }
    if (initialEvents === true) this.#write('BOOKMARK', this.#representation.bookmark(seen, { 'k8s.io/initial-events-end': 'true' }))
    const matches = inSelection(this.#selection)
    for (;;) {
      const changes = this.#cache.changesAfter(seen)
      if (changes === undefined) return this.#fail(expired(`too old resource version: ${seen} (${this.#cache.windowStart})`))
      if (changes.length === 0) break
      for (const change of changes) {
        const event = change.eventFor(matches)
        if (event !== undefined && !this.#put(lineOf(this.#representation, change, event)) && !(await this.#caughtUp())) return
        seen = change.revision
      }
    }
    this.#started = true
    this.#release.push(this.#join(this))
  }

  /** Waits until the client has taken what was written; false when the watch is over. */
  async #caughtUp(): Promise<boolean> {
    this.#stalled = this.#environment.clock.setTimeout(() => this.end(), stalledMs)
    await this.#sink?.drained()
    this.#stalled.cancel()
    return this.#sink !== undefined
  }

  #write(type: string, object: Buffer): boolean {
    return this.#put(this.#representation.event(type, object))
  }

  /** Returns whether the client keeps up. */
  #put(line: Buffer): boolean {
    this.#sink?.write(line)
    return this.#sink !== undefined && this.#sink.pendingBytes <= pastBytesMax
  }

  #fail(error: StatusError): void {
    this.#sink?.write(this.#representation.failure(error.toStatus()))
    this.end()
  }
}

/** What is written of a change, encoded once for all who want it in the same form. */
function lineOf(representation: Representation, change: CacheChange, { type, entry }: WatchEvent): Buffer {
  return change.line(representation.key, type, () => representation.event(type, representation.encode(entry)))
}

function checkInitialEvents(query: URLSearchParams): boolean | undefined {
  const text = query.get('sendInitialEvents')
  const match = query.get('resourceVersionMatch') ?? ''
  if (text === null || text === '') {
    if (match !== '') throw badRequest('resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided')
    return undefined
  }
  if (match !== 'NotOlderThan') throw badRequest('resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan')
  if (isTrue(text) && !isTrue(query.get('allowWatchBookmarks'))) throw badRequest('sendInitialEvents: Forbidden: sendInitialEvents requires setting allowWatchBookmarks to true')
  return isTrue(text)
}

function timeoutOf(query: URLSearchParams, random: Random): number {
  const seconds = Number(query.get('timeoutSeconds') ?? '0')
  if (!Number.isFinite(seconds) || seconds < 0) throw badRequest(`timeoutSeconds: Invalid value: "${query.get('timeoutSeconds') ?? ''}"`)
  return seconds > 0 ? Math.min(seconds * 1000, 86_400_000) : minTimeoutMs * (1 + random())
}
