/** How much one client may ask: a bucket of tokens for each, filled with time. Bounded: who has not asked for a while is forgotten. */
import type { Clock } from '../../api/clock.ts'

interface Bucket {
  tokens: number
  filledAtMs: number
}

/** A burst of so many seconds' worth is let through. */
const burstSeconds = 1
const clientsMax = 20_000
/** An IPv6 client owns its /64 (RFC 6177): addresses in it are one client. */
const prefixBytes = 8

export class RateLimit {
  readonly #perSecond: number
  readonly #clock: Clock
  readonly #buckets = new Map<string, Bucket>()
  refused = 0

  /** `perSecond` 0: no limit. */
  constructor(perSecond: number, clock: Clock) {
    this.#perSecond = perSecond
    this.#clock = clock
  }

  get isOn(): boolean {
    return this.#perSecond > 0
  }

  /** Whether a client may have one more answer now. */
  allows(address: Uint8Array): boolean {
    const now = this.#clock.monotonicMs()
    const key = Buffer.from(address.buffer, address.byteOffset, Math.min(address.length, prefixBytes)).toString('latin1')
    const bucket = this.#buckets.get(key) ?? this.#begin(key, now)
    const capacity = this.#perSecond * burstSeconds
    bucket.tokens = Math.min(capacity, bucket.tokens + ((now - bucket.filledAtMs) / 1000) * this.#perSecond)
    bucket.filledAtMs = now
    if (bucket.tokens < 1) {
      this.refused += 1
      return false
    }
    bucket.tokens -= 1
    return true
  }

  #begin(key: string, now: number): Bucket {
    if (this.#buckets.size >= clientsMax) this.#forget(now)
    const bucket = { tokens: this.#perSecond * burstSeconds, filledAtMs: now }
    this.#buckets.set(key, bucket)
    return bucket
  }

  /** Those whose bucket is full again lose nothing; when all are busy, the one that came first goes. */
  #forget(now: number): void {
    for (const [key, { filledAtMs }] of this.#buckets) if (now - filledAtMs >= burstSeconds * 1000) this.#buckets.delete(key)
    const first = this.#buckets.keys().next().value
    if (this.#buckets.size >= clientsMax && first !== undefined) this.#buckets.delete(first)
  }
}
