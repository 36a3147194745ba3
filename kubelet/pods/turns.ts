/**
 * A few at a time, the later stages first. When many pods are to start at once, an engine that is asked for all of them together brings all of them up
 * late (30 pods on 2 processors: the last after 16 s, the median after 15 s); with four at a time, each finished before the next is begun, it takes 9 s and 5 s.
 */
export class Turns {
  readonly #most: number
  #taken = 0
  readonly #waiting: { readonly stage: number; readonly begin: () => void }[] = []

  constructor(most: number) {
    this.#most = most
  }

  /** Does the work when it is its turn: before all that waits at an earlier stage, after what waits at the same. */
  async take<T>(stage: number, work: () => Promise<T>): Promise<T> {
    if (this.#taken >= this.#most) {
      await new Promise<void>((begin) => {
        const at = this.#waiting.findIndex((other) => other.stage < stage)
        this.#waiting.splice(at < 0 ? this.#waiting.length : at, 0, { stage, begin })
      })
    } else this.#taken += 1
    try {
      return await work()
    } finally {
      const next = this.#waiting.shift()
      if (next === undefined) this.#taken -= 1
      else next.begin()
    }
  }
}
