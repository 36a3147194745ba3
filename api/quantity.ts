/** Kubernetes quantities (apimachinery resource.Quantity): `250m`, `1.5`, `64Mi`, `2e3`. */
import type { Quantity, Resources } from './types.ts'

const exponents: Readonly<Record<string, number>> = { n: -9, u: -6, m: -3, k: 3, M: 6, G: 9, T: 12, P: 15, E: 18 }
const factors: Readonly<Record<string, number>> = { Ki: 2 ** 10, Mi: 2 ** 20, Gi: 2 ** 30, Ti: 2 ** 40, Pi: 2 ** 50, Ei: 2 ** 60 }
const shape = /^([+-]?(?:\d+\.?\d*|\.\d+))(?:([numkMGTPE]|[KMGTPE]i)|[eE]([+-]?\d{1,3}))?$/

/** The number that a quantity stands for: cores for CPU, bytes for memory. Throws when it is no quantity. */
export function parseQuantity(quantity: Quantity): number {
  const match = shape.exec(String(quantity))
  if (match === null) throw new Error(`Cannot read quantity ${JSON.stringify(quantity)}: it is not a number with an optional suffix such as m, Ki, Mi, k or M`)
  const [, digits = '0', suffix = '', exponent] = match
  const factor = factors[suffix]
  // Decimal suffixes as exponents: 100n is the number nearest to it, not a product that misses it.
  return factor === undefined ? Number(`${digits}e${exponent ?? exponents[suffix] ?? 0}`) : Number(digits) * factor
}

export function isQuantity(value: unknown): value is Quantity {
  return (typeof value === 'string' || typeof value === 'number') && shape.test(String(value))
}

/** Whole millicores, rounded up as Kubernetes does: `0.1` → 100. */
export function milliValue(quantity: Quantity): number {
  return Math.ceil(Number((parseQuantity(quantity) * 1000).toPrecision(15)))
}

/** Millicores as people write them: 1500 → `1500m`, 2000 → `2`. */
export function formatMilli(milli: number): string {
  return milli % 1000 === 0 ? String(milli / 1000) : `${milli}m`
}

/** Bytes in the largest binary unit that divides them: 67108864 → `64Mi`. */
export function formatBytes(bytes: number): string {
  for (const unit of ['Ei', 'Pi', 'Ti', 'Gi', 'Mi', 'Ki']) {
    const factor = factors[unit] ?? 1
    if (bytes >= factor && bytes % factor === 0) return `${bytes / factor}${unit}`
  }
  return String(bytes)
}

/** The sum of several resource lists as numbers by resource name. */
export function sumResources(lists: readonly (Resources | undefined)[]): Record<string, number> {
  const sum: Record<string, number> = {}
  for (const list of lists) {
    for (const [name, quantity] of Object.entries(list ?? {})) sum[name] = (sum[name] ?? 0) + parseQuantity(quantity)
  }
  return sum
}
