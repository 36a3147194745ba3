/** How often values were up to each of some bounds, as Prometheus has it. Counting is a few comparisons: it happens for every question. */
export class Histogram {
  readonly bounds: readonly number[]
  readonly #counts: Float64Array
  sum = 0

  /** Bounds in rising order; what is above all of them is counted too. */
  constructor(bounds: readonly number[]) {
    this.bounds = bounds
    this.#counts = new Float64Array(bounds.length + 1)
  }

  observe(value: number): void {
    let at = 0
    while (at < this.bounds.length && value > (this.bounds[at] ?? 0)) at += 1
    this.#counts[at] = (this.#counts[at] ?? 0) + 1
    this.sum += value
  }

  /** Several with the same bounds as one. */
  static sum(histograms: readonly Histogram[]): Histogram {
    const all = new Histogram(histograms[0]?.bounds ?? [])
    for (const one of histograms) {
      for (const [at, count] of one.#counts.entries()) all.#counts[at] = (all.#counts[at] ?? 0) + count
      all.sum += one.sum
    }
    return all
  }

  get count(): number {
    return this.#counts.reduce((all, one) => all + one, 0)
  }

  /** Up to each bound, and in all. */
  * cumulative(): Generator<readonly [bound: string, count: number]> {
    let all = 0
    for (const [at, bound] of this.bounds.entries()) {
      all += this.#counts[at] ?? 0
      yield [String(bound), all]
    }
    yield ['+Inf', this.count]
  }
}

/** `count` bounds, each so many times the one before: as Prometheus' client for Go makes them. */
export function exponentialBounds(first: number, factor: number, count: number): number[] {
  return Array.from({ length: count }, (_, n) => Number((first * factor ** n).toPrecision(12)))
}

/** Seconds that answering takes, as CoreDNS counts them. */
export const durationBounds = exponentialBounds(0.00025, 2, 16)
