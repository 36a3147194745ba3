/** Answers of other servers, for as long as they said they may be kept. Bounded; the oldest goes first. */
import type { Clock } from '../../api/clock.ts'
import type { Reply } from '../answers/handler.ts'
import { RCODE, TYPE } from '../wire/index.ts'
import type { ResourceRecord } from '../wire/index.ts'

interface Kept {
  readonly reply: Reply
  readonly keptAtMs: number
  readonly ttlMs: number
}

const entriesMax = 10_000
/** Nothing is kept longer, whatever its TTL (RFC 8767 section 4 advises a week at most; names of services move sooner). */
const ttlSecondsMax = 3600
const negativeTtlSecondsMax = 300

export class ForwardCache {
  readonly #clock: Clock
  readonly #kept = new Map<string, Kept>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** The answer with what is left of its TTLs; undefined when there is none or its time is over. */
  get(key: string): Reply | undefined {
    const kept = this.#kept.get(key)
    if (kept === undefined) return undefined
    const ageMs = this.#clock.monotonicMs() - kept.keptAtMs
    if (ageMs >= kept.ttlMs) {
      this.#kept.delete(key)
      return undefined
    }
    const ageSeconds = Math.floor(ageMs / 1000)
    if (ageSeconds === 0) return kept.reply
    const aged = (records: readonly ResourceRecord[]): ResourceRecord[] => records.map((record) => ({ ...record, ttl: Math.max(0, record.ttl - ageSeconds) }))
    const { reply } = kept
    return { ...reply, answers: aged(reply.answers), authorities: aged(reply.authorities) }
  }

  set(key: string, reply: Reply): void {
    const ttlSeconds = ttlOf(reply)
    if (ttlSeconds <= 0) return
    this.#kept.delete(key)
    this.#kept.set(key, { reply, keptAtMs: this.#clock.monotonicMs(), ttlMs: ttlSeconds * 1000 })
    if (this.#kept.size <= entriesMax) return
    const oldest = this.#kept.keys().next().value
    if (oldest !== undefined) this.#kept.delete(oldest)
  }
}

/** Seconds that an answer may be kept: the least TTL in it; of a negative one what its SOA says (RFC 2308 section 5); failures not at all. */
function ttlOf({ rcode, answers, authorities }: Reply): number {
  if (rcode !== RCODE.NOERROR && rcode !== RCODE.NXDOMAIN) return 0
  if (answers.length > 0 && rcode === RCODE.NOERROR) return Math.min(ttlSecondsMax, ...answers.map(({ ttl }) => ttl))
  const soa = authorities.find(({ type }) => type === TYPE.SOA)
  return soa === undefined ? 0 : Math.min(negativeTtlSecondsMax, soa.ttl, Number(soa.data[6]), ...answers.map(({ ttl }) => ttl))
}
