/**
 * Answers of other servers, for as long as they said they may be kept, and for a while beyond for when nobody can be asked (RFC 8767). Bounded; the
 * oldest goes first.
 */
import type { Clock } from '../../api/clock.ts'
import type { Reply } from '../answers/handler.ts'
import { RCODE, TYPE } from '../wire/index.ts'
import type { ResourceRecord } from '../wire/index.ts'
import type { Basis } from '../zone/validity.ts'

interface Kept {
  readonly reply: Reply
  readonly keptAtMs: number
  readonly ttlMs: number
  hits: number
}

interface Found {
  /** With what is left of its TTLs. */
  readonly reply: Reply
  readonly isStale: boolean
  /** It is asked for often and about to end: asking now saves the next one from waiting. */
  readonly isDue: boolean
  /** Until its TTLs are a second less, or it is due. */
  readonly basis: Basis
}

const entriesMax = 10_000
/** Nothing is kept longer, whatever its TTL (RFC 8767 section 4 advises a week at most; names of services move sooner). */
const ttlSecondsMax = 3600
const negativeTtlSecondsMax = 300
/** How long after its time an answer may still serve, and what it then says of its time (RFC 8767 sections 4 and 5). */
const staleMsMax = 3_600_000
const staleTtlSeconds = 30
/** An answer of so many questions is fetched anew in the last tenth of its time; as CoreDNS's prefetch. */
const prefetchHits = 3
const prefetchShare = 0.9

export class ForwardCache {
  hits = 0
  misses = 0
  readonly #clock: Clock
  readonly #kept = new Map<string, Kept>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  get size(): number {
    return this.#kept.size
  }

  /** Undefined when there is none, or its time is long over. */
  get(key: string): Found | undefined {
    const kept = this.#kept.get(key)
    const ageMs = kept === undefined ? 0 : this.#clock.monotonicMs() - kept.keptAtMs
    if (kept === undefined || ageMs >= kept.ttlMs + staleMsMax) {
      this.#kept.delete(key)
      this.misses += 1
      return undefined
    }
    const isStale = ageMs >= kept.ttlMs
    kept.hits += 1
    this.hits += isStale ? 0 : 1
    this.misses += isStale ? 1 : 0
    const { reply } = kept
    const ageSeconds = Math.floor(ageMs / 1000)
    const isDue = !isStale && kept.hits >= prefetchHits && ageMs >= kept.ttlMs * prefetchShare
    const basis = new UntilOlder(this, kept, this.#clock)
    if (ageSeconds === 0) return { reply, isStale, isDue, basis }
    const aged = (records: readonly ResourceRecord[]): ResourceRecord[] => records.map((record) => ({ ...record, ttl: isStale ? staleTtlSeconds : Math.max(0, record.ttl - ageSeconds) }))
    return { reply: { ...reply, answers: aged(reply.answers), authorities: aged(reply.authorities) }, isStale, isDue, basis }
  }

  set(key: string, reply: Reply): void {
    const ttlSeconds = ttlOf(reply)
    if (ttlSeconds <= 0) return
    this.#kept.delete(key)
    this.#kept.set(key, { reply, keptAtMs: this.#clock.monotonicMs(), ttlMs: ttlSeconds * 1000, hits: 0 })
    if (this.#kept.size <= entriesMax) return
    const oldest = this.#kept.keys().next().value
    if (oldest !== undefined) this.#kept.delete(oldest)
  }
}

/** Ends with the second that its age is in, so that what is sent again has the right TTLs, and where it is due. */
class UntilOlder implements Basis {
  readonly #cache: ForwardCache
  readonly #kept: Kept
  readonly #clock: Clock
  readonly #endsMs: number

  constructor(cache: ForwardCache, kept: Kept, clock: Clock) {
    this.#cache = cache
    this.#kept = kept
    this.#clock = clock
    const ageMs = clock.monotonicMs() - kept.keptAtMs
    const dueMs = kept.ttlMs * prefetchShare
    this.#endsMs = kept.keptAtMs + Math.min((Math.floor(ageMs / 1000) + 1) * 1000, ageMs < dueMs ? dueMs : kept.ttlMs)
  }

  get live(): boolean {
    return this.#clock.monotonicMs() < this.#endsMs
  }

  used(): void {
    this.#kept.hits += 1
    this.#cache.hits += 1
  }
}

/** Seconds that an answer may be kept: the least TTL in it; of a negative one what its SOA says (RFC 2308 section 5); failures not at all. */
function ttlOf({ rcode, answers, authorities }: Reply): number {
  if (rcode !== RCODE.NOERROR && rcode !== RCODE.NXDOMAIN) return 0
  if (answers.length > 0 && rcode === RCODE.NOERROR) return Math.min(ttlSecondsMax, ...answers.map(({ ttl }) => ttl))
  const soa = authorities.find(({ type }) => type === TYPE.SOA)
  return soa === undefined ? 0 : Math.min(negativeTtlSecondsMax, soa.ttl, Number(soa.data[6]), ...answers.map(({ ttl }) => ttl))
}
