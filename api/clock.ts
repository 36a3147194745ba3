/** Time as something handed in: logic asks a `Clock`, tests move a `FakeClock` by hand. */

export interface Timer {
  cancel(): void
}

export interface Clock {
  /** Milliseconds since the epoch: for timestamps that people and other programs read. */
  now(): number
  /** Milliseconds that never go back: for measuring and for time-outs. */
  monotonicMs(): number
  setTimeout(callback: () => void, ms: number): Timer
  /** Resolves after `ms`; rejects with the signal's reason when it is aborted first. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>
}

/** A source of numbers in [0, 1), as `Math.random`. */
export type Random = () => number

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonicMs: () => performance.now(),
  setTimeout(callback, ms) {
    const timer = setTimeout(callback, ms)
    return { cancel: () => clearTimeout(timer) }
  },
  sleep(ms, signal) {
    return sleepOn(systemClock, ms, signal)
  },
}

interface Pending {
  readonly at: number
  readonly order: number
  readonly callback: () => void
}

/** A clock that stands still until it is advanced, and then runs what is due in order. */
export class FakeClock implements Clock {
  #now: number
  #elapsed = 0
  #order = 0
  readonly #pending = new Set<Pending>()

  constructor(now = Date.UTC(2026, 0, 1)) {
    this.#now = now
  }

  now(): number {
    return this.#now
  }

  monotonicMs(): number {
    return this.#elapsed
  }

  setTimeout(callback: () => void, ms: number): Timer {
    const pending = { at: this.#elapsed + Math.max(0, ms), order: this.#order++, callback }
    this.#pending.add(pending)
    return { cancel: () => void this.#pending.delete(pending) }
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return sleepOn(this, ms, signal)
  }

  /** How many timers wait. */
  get waiting(): number {
    return this.#pending.size
  }

  /** Moves time on by `ms`, running every timer that comes due at its own time, and what its promises lead to. */
  async advance(ms: number): Promise<void> {
    const end = this.#elapsed + ms
    await settle()
    for (;;) {
      const next = [...this.#pending].filter((pending) => pending.at <= end).sort((a, b) => a.at - b.at || a.order - b.order)[0]
      if (next === undefined) break
      this.#pending.delete(next)
      this.#moveTo(next.at)
      next.callback()
      await settle()
    }
    this.#moveTo(end)
    await settle()
  }

  #moveTo(elapsed: number): void {
    this.#now += elapsed - this.#elapsed
    this.#elapsed = elapsed
  }
}

/** Lets everything that is already resolved run. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 3; turn += 1) await new Promise((resolve) => setImmediate(resolve))
}

function sleepOn(clock: Clock, ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted === true) return reject(signal.reason as Error)
    const onAbort = (): void => {
      timer.cancel()
      reject(signal?.reason as Error)
    }
    const timer = clock.setTimeout(() => {
      signal?.removeEventListener('abort', onAbort)
      resolve()
    }, ms)
    signal?.addEventListener('abort', onAbort, { once: true })
  })
}
