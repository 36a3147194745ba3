// How something free is found in a numbered range.
import type { Random } from '../../../../api/clock.ts'

const guessesMax = 16

/**
 * A number from `first` to `last` that is not taken, at random, or undefined when there is none. Numbers from `reserved`
 * on come first: the lower ones are left to those who ask for a particular one (KEP-3070).
 */
export function pickFree(first: number, last: number, reserved: number, isTaken: (candidate: number) => boolean, random: Random): number | undefined {
  const dynamic = Math.min(first + reserved, last + 1)
  return pickIn(dynamic, last, isTaken, random) ?? pickIn(first, dynamic - 1, isTaken, random)
}

function pickIn(first: number, last: number, isTaken: (candidate: number) => boolean, random: Random): number | undefined {
  const count = last - first + 1
  if (count <= 0) return undefined
  for (let guess = 0; guess < guessesMax; guess++) {
    const candidate = first + Math.floor(random() * count)
    if (!isTaken(candidate)) return candidate
  }
  const start = Math.floor(random() * count)
  for (let step = 0; step < count; step++) {
    const candidate = first + ((start + step) % count)
    if (!isTaken(candidate)) return candidate
  }
  return undefined
}
