/**
 * A queue of keys for level-triggered reconciling: a key that waits is there once, a key being worked on is not worked on twice at
 * the same time and comes again if it was added meanwhile, a failing key waits longer each time.
 */
import { backoffMs } from './backoff.ts'
import type { BackoffOptions } from './backoff.ts'
import type { Clock, Random, Timer } from './clock.ts'

/** What a reconcile may ask for: to be called again after a while. */
export type ReconcileResult = void | { readonly requeueAfterMs: number }

export interface WorkQueueOptions<K extends string> {
  readonly clock: Clock
  readonly random: Random
  readonly reconcile: (key: K) => Promise<ReconcileResult>
  /** Told of every failure; the key is retried anyway. */
  readonly onError: (error: unknown, key: K) => void
  /** How many keys are worked on at the same time; default 1. */
  readonly concurrency?: number
  readonly backoff?: BackoffOptions
}

export class WorkQueue<K extends string = string> {
  readonly #options: WorkQueueOptions<K>
  readonly #waiting = new Set<K>()
  readonly #working = new Set<K>()
  readonly #timers = new Map<K, { readonly at: number; readonly timer: Timer }>()
  readonly #failures = new Map<K, number>()
  #whenIdle: (() => void)[] = []
  #stopped = false

  constructor(options: WorkQueueOptions<K>) {
    this.#options = options
  }

  /** Has the key reconciled soon. */
  add(key: K): void {
    if (this.#stopped) return
    this.#waiting.add(key)
    this.#next()
  }

  /** Has the key reconciled after `ms`, or sooner if it was to be sooner already. */
  addAfter(key: K, ms: number): void {
    if (this.#stopped) return
    const { clock } = this.#options
    const at = clock.monotonicMs() + ms
    const pending = this.#timers.get(key)
    if (pending !== undefined) {
      if (pending.at <= at) return
      pending.timer.cancel()
    }
    const timer = clock.setTimeout(() => {
      this.#timers.delete(key)
      this.add(key)
    }, ms)
    this.#timers.set(key, { at, timer })
  }

  /** Resolves when nothing waits and nothing is worked on; what is only due later does not count. */
  idle(): Promise<void> {
    if (this.#waiting.size === 0 && this.#working.size === 0) return Promise.resolve()
    return new Promise((resolve) => this.#whenIdle.push(resolve))
  }

  /** Drops what waits; resolves when what is being worked on is done. */
  stop(): Promise<void> {
    this.#stopped = true
    this.#waiting.clear()
    for (const { timer } of this.#timers.values()) timer.cancel()
    this.#timers.clear()
    return this.idle()
  }

  #next(): void {
    const { concurrency = 1 } = this.#options
    for (const key of this.#waiting) {
      if (this.#working.size >= concurrency) return
      if (this.#working.has(key)) continue
      this.#waiting.delete(key)
      this.#working.add(key)
      void this.#work(key)
    }
    if (this.#waiting.size > 0 || this.#working.size > 0) return
    const resolved = this.#whenIdle
    this.#whenIdle = []
    for (const resolve of resolved) resolve()
  }

  async #work(key: K): Promise<void> {
    const { reconcile, onError, random, backoff = { initialMs: 10, maxMs: 30_000 } } = this.#options
    // Later in the same turn, so that all that one event adds is seen by one reconcile.
    await Promise.resolve()
    try {
      const result = await reconcile(key)
      this.#failures.delete(key)
      if (typeof result === 'object') this.addAfter(key, result.requeueAfterMs)
    } catch (error) {
      const failures = (this.#failures.get(key) ?? 0) + 1
      this.#failures.set(key, failures)
      onError(error, key)
      this.addAfter(key, backoffMs(failures, random, backoff))
    } finally {
      this.#working.delete(key)
      this.#next()
    }
  }
}
