/**
 * How long a container that keeps ending waits before it is started again: not at all the first time, then 10 s, 20 s, … 5 min, and from the
 * start again once it has run 10 min (client-go's `flowcontrol.Backoff` as the kubelet uses it).
 */
import type { Clock } from '../../api/clock.ts'

const initialMs = 10_000
const maximumMs = 300_000
const forgottenAfterMs = 2 * maximumMs

interface Entry {
  delayMs: number
  updatedMs: number
}

export class Backoff {
  readonly #clock: Clock
  readonly #entries = new Map<string, Entry>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** How long from now until `key`, which failed at `failedAtMs`, may be tried again: 0 is now. */
  remainingMs(key: string, failedAtMs: number): number {
    const entry = this.#entries.get(key)
    if (entry === undefined || failedAtMs - entry.updatedMs > forgottenAfterMs) return 0
    return Math.max(0, failedAtMs + entry.delayMs - this.#clock.now())
  }

  /** Notes that `key`, which failed at `failedAtMs`, is being tried again. */
  next(key: string, failedAtMs: number): void {
    const entry = this.#entries.get(key)
    const fresh = entry === undefined || failedAtMs - entry.updatedMs > forgottenAfterMs
    this.#entries.set(key, { delayMs: fresh ? initialMs : Math.min(entry.delayMs * 2, maximumMs), updatedMs: this.#clock.now() })
  }

  delayMs(key: string): number {
    return this.#entries.get(key)?.delayMs ?? 0
  }

  /** Forgets every key that starts so, when the pod is gone. */
  forget(prefix: string): void {
    for (const key of this.#entries.keys()) if (key.startsWith(prefix)) this.#entries.delete(key)
  }
}
