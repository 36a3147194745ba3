/** Waiting longer after each failure, with jitter so that many clients do not return at once. */
import type { Random } from './clock.ts'

export interface BackoffOptions {
  readonly initialMs: number
  readonly maxMs: number
  /** Each delay is up to this share longer; default 0.5. */
  readonly jitter?: number
}

/** The delay before attempt `failures + 1`, for `failures` ≥ 1. */
export function backoffMs(failures: number, random: Random, { initialMs, maxMs, jitter = 0.5 }: BackoffOptions): number {
  const base = Math.min(maxMs, initialMs * 2 ** Math.min(failures - 1, 30))
  return base * (1 + jitter * random())
}
