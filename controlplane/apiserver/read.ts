// get and list: from the cache where the client's idea of freshness allows it, from the store where it wants the past.
import type { Clock } from '../../api/clock.ts'
import { isStoreError } from '../store/index.ts'
import type { Store } from '../store/index.ts'
import { Entry } from './cache/index.ts'
import type { ResourceCache, WatchCache } from './cache/index.ts'
import type { ResourceDescriptor } from './descriptor.ts'
import type { HttpRequest, Reply } from './http.ts'
import { negotiate } from './negotiation.ts'
import { hasProtobuf, Representation } from './representation.ts'
import type { ListMeta } from './representation.ts'
import type { RequestInfo } from './request-info.ts'
import { inSelection, parseSelection } from './selector.ts'
import type { Selection } from './selector.ts'
import { badRequest, expired, notFound, tooLargeResourceVersion } from './status.ts'
import { asServed } from './versions.ts'

/** How long a reader waits for a revision that the cache has not seen yet. */
const freshnessTimeoutMs = 3000

interface Page {
  readonly entries: readonly Entry[]
  readonly revision: number
  /** Where the next page begins, if there is one. */
  readonly next?: string
  readonly remaining?: number
}

export class Reader {
  readonly #store: Store
  readonly #cache: WatchCache
  readonly #clock: Clock

  constructor(store: Store, cache: WatchCache, clock: Clock) {
    this.#store = store
    this.#cache = cache
    this.#clock = clock
  }

  /** The newest state of one object; 404 when there is none. */
  async current(descriptor: ResourceDescriptor, namespace: string, name: string): Promise<Entry> {
    await this.upToDate()
    return this.#one(descriptor, namespace, name)
  }

  async get(descriptor: ResourceDescriptor, info: RequestInfo, request: HttpRequest): Promise<Reply> {
    const wanted = parseRevision(request.query.get('resourceVersion'))
    if (wanted === undefined) await this.upToDate()
    else await this.#reached(wanted)
    const entry = await this.#one(descriptor, info.namespace, info.name)
    return new Representation(descriptor, negotiate(request.headers['accept'], hasProtobuf(descriptor)), request.query, () => this.#clock.now()).object(200, entry)
  }

  async #one(descriptor: ResourceDescriptor, namespace: string, name: string): Promise<Entry> {
    const entry = this.#cache.of(descriptor).get(namespace, name)
    if (entry === undefined) throw notFound(descriptor, name)
    return (await asServed(descriptor, [entry]))[0] ?? entry
  }

  async list(descriptor: ResourceDescriptor, info: RequestInfo, request: HttpRequest): Promise<Reply> {
    const { query } = request
    const representation = new Representation(descriptor, negotiate(request.headers['accept'], hasProtobuf(descriptor)), query, () => this.#clock.now())
    const selection = parseSelection(descriptor, query, info.namespace)
    const limit = parseLimit(query.get('limit'))
    const page = await this.#page(descriptor, selection, query, limit)
    const meta: ListMeta = {
      resourceVersion: String(page.revision),
      ...(page.next === undefined ? {} : { continue: encodeContinue(page.revision, page.next) }),
      ...(page.next === undefined || page.remaining === undefined ? {} : { remainingItemCount: page.remaining }),
    }
    return representation.list(page.entries, meta)
  }

  /** Waits until the cache holds everything that was committed before now. */
  async upToDate(): Promise<void> {
    await this.#cache.upToDate()
  }

  /** Waits a little for a revision that may be on its way, and refuses one that does not come. */
  async #reached(revision: number): Promise<void> {
    const arrival = this.#cache.reached(revision)
    if (arrival === undefined) return
    const abort = new AbortController()
    const late = this.#clock.sleep(freshnessTimeoutMs, abort.signal).then(
      () => true,
      () => false,
    )
    const tooLate = await Promise.race([arrival.then(() => false), late])
    abort.abort()
    if (tooLate) throw tooLargeResourceVersion(revision, this.#cache.revision)
  }

  async #page(descriptor: ResourceDescriptor, selection: Selection, query: URLSearchParams, limit: number): Promise<Page> {
    const cache = this.#cache.of(descriptor)
    const match = query.get('resourceVersionMatch') ?? ''
    const wanted = parseRevision(query.get('resourceVersion'))
    const token = query.get('continue') ?? ''
    checkListOptions(match, wanted, token)
    if (query.has('sendInitialEvents')) throw badRequest('sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list')
    if (token !== '') {
      const { revision, start } = decodeContinue(token)
      return this.#pageAt(descriptor, selection, revision, limit, start)
    }
    if (wanted === undefined) await this.upToDate()
    else await this.#reached(wanted)
    if (match === 'Exact' && wanted !== undefined) return this.#pageAt(descriptor, selection, wanted, limit)
    return served(descriptor, cache.prefix, inNamespace(cache, descriptor, selection), selection, this.#cache.revision, limit)
  }

  /** A page of the state at a revision, which may be past. */
  async #pageAt(descriptor: ResourceDescriptor, selection: Selection, revision: number, limit: number, start?: string): Promise<Page> {
    const cache = this.#cache.of(descriptor)
    if (cache.changesAfter(revision)?.length === 0) {
      const entries = inNamespace(cache, descriptor, selection)
      const rest = start === undefined ? entries : entries.filter((entry) => keyOf(cache.prefix, entry) > start)
      return served(descriptor, cache.prefix, rest, selection, revision, limit)
    }
    const prefix = cache.descriptor.namespaced && selection.namespace !== '' ? `${cache.prefix}${selection.namespace}/` : cache.prefix
    const all = { revision, ...(start === undefined ? {} : { after: start }) }
    try {
      // Only as much is read as is shown: who reads in pages while others write would read the rest with each of them.
      if (descriptor.kept === undefined && selection.matches === undefined && selection.name === undefined && limit !== Infinity) {
        const { entries, remaining } = await this.#store.range(prefix, { ...all, limit })
        const page = entries.map((entry) => this.#entryOf(cache, entry.key, entry.modRevision, entry.value))
        return { entries: page, revision, ...(remaining === 0 ? {} : { next: keyOf(cache.prefix, page.at(-1) as Entry), remaining }) }
      }
      const { entries } = await this.#store.range(prefix, all)
      const past = entries.map((entry) => this.#entryOf(cache, entry.key, entry.modRevision, entry.value))
      return await served(descriptor, cache.prefix, descriptor.kept === undefined ? past.filter(inSelection(selection)) : past, selection, revision, limit)
    } catch (error) {
      if (isStoreError(error, 'compacted')) throw expired(`The provided continue parameter is too old to display a consistent list result. You must start a new list without the continue parameter.`)
      throw error
    }
  }

  #entryOf(cache: ResourceCache, key: string, revision: number, value: Uint8Array): Entry {
    const parts = key.slice(cache.prefix.length).split('/')
    const name = parts.pop() ?? ''
    return Entry.fromStored(cache.head, parts[0] ?? '', name, revision, value)
  }
}

/** What a selection holds now. */
export function selected(cache: ResourceCache, selection: Selection): readonly Entry[] {
  if (selection.name !== undefined && (selection.namespace !== '' || !cache.descriptor.namespaced)) {
    const entry = cache.get(selection.namespace, selection.name)
    return entry !== undefined && (selection.matches?.(entry) ?? true) ? [entry] : []
  }
  const entries = cache.list(selection.namespace)
  return selection.matches === undefined ? entries : entries.filter(selection.matches)
}

/** What a selection holds, as far as it can be told before objects are as they are served. */
function inNamespace(cache: ResourceCache, { kept }: ResourceDescriptor, selection: Selection): readonly Entry[] {
  return selected(cache, kept === undefined ? selection : { ...selection, matches: undefined })
}

/** A page of objects as they are served, and selected as such. The state is that of the revision, however long it takes. */
async function served(descriptor: ResourceDescriptor, prefix: string, entries: readonly Entry[], selection: Selection, revision: number, limit: number): Promise<Page> {
  if (descriptor.kept === undefined) return pageOf(prefix, entries, selection, revision, limit)
  if (selection.matches !== undefined) return pageOf(prefix, (await asServed(descriptor, entries)).filter(selection.matches), selection, revision, limit)
  const page = pageOf(prefix, entries, selection, revision, limit)
  return { ...page, entries: await asServed(descriptor, page.entries) }
}

function pageOf(prefix: string, entries: readonly Entry[], selection: Selection, revision: number, limit: number): Page {
  if (entries.length <= limit) return { entries, revision }
  const page = entries.slice(0, limit)
  const last = page.at(-1) as Entry
  // With a selector Kubernetes does not count what remains.
  const remaining = selection.matches === undefined ? { remaining: entries.length - limit } : {}
  return { entries: page, revision, next: keyOf(prefix, last), ...remaining }
}

function keyOf(prefix: string, entry: Entry): string {
  return entry.namespace === '' ? `${prefix}${entry.name}` : `${prefix}${entry.namespace}/${entry.name}`
}

/** A resourceVersion in a query; undefined when it is not given. */
export function parseRevision(text: string | null): number | undefined {
  if (text === null || text === '') return undefined
  if (!/^\d{1,15}$/.test(text)) throw badRequest(`resourceVersion: Invalid value: "${text}": strconv.ParseUint: parsing "${text}": invalid syntax`)
  return Number(text)
}

function parseLimit(text: string | null): number {
  if (text === null || text === '') return Infinity
  if (!/^\d{1,15}$/.test(text)) throw badRequest(`limit: Invalid value: "${text}"`)
  return Number(text) === 0 ? Infinity : Number(text)
}

function checkListOptions(match: string, wanted: number | undefined, token: string): void {
  if (match !== '' && match !== 'Exact' && match !== 'NotOlderThan') {
    throw badRequest(`resourceVersionMatch: Unsupported value: "${match}": supported values: "Exact", "NotOlderThan", ""`)
  }
  if (match !== '' && wanted === undefined) throw badRequest('resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided')
  if (match === 'Exact' && wanted === 0) throw badRequest('resourceVersionMatch: Forbidden: resourceVersionMatch "exact" is forbidden for resourceVersion "0"')
  if (token !== '' && match !== '') throw badRequest('resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden when continue is provided')
  if (token !== '' && wanted !== undefined && wanted !== 0) throw badRequest('specifying resource version is not allowed when using continue')
}

function encodeContinue(revision: number, start: string): string {
  return Buffer.from(JSON.stringify({ v: 'meta.k8s.io/v1', rv: revision, start })).toString('base64url')
}

function decodeContinue(token: string): { revision: number; start: string } {
  try {
    const { rv, start } = JSON.parse(Buffer.from(token, 'base64url').toString()) as { rv?: unknown; start?: unknown }
    if (Number.isSafeInteger(rv) && typeof start === 'string') return { revision: rv as number, start }
  } catch {
    // Falls through to the one answer for every kind of broken token.
  }
  throw badRequest('continue key is not valid')
}
