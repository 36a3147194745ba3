// Amounts by resource name, in thousandths, exact: what quotas add up.
import { parseQuantity } from '../../api/quantity.ts'
import type { Quantity, Resources } from '../../api/types.ts'

export type Amounts = ReadonlyMap<string, bigint>

const decimal = ['', 'k', 'M', 'G', 'T', 'P', 'E']
const binary = ['', 'Ki', 'Mi', 'Gi', 'Ti', 'Pi', 'Ei']

export function amountOf(quantity: Quantity): bigint {
  const value = parseQuantity(quantity)
  return Number.isInteger(value) ? BigInt(value) * 1000n : BigInt(Math.ceil(Number((value * 1000).toPrecision(15))))
}

export function amountsOf(resources: Resources = {}): Map<string, bigint> {
  return new Map(Object.entries(resources).map(([name, quantity]) => [name, amountOf(quantity)]))
}

/** A quantity as people would write it: `500m`, `1Gi`, `2k`. */
export function quantityOf(name: string, amount: bigint): string {
  if (amount % 1000n !== 0n) return `${amount}m`
  const value = amount / 1000n
  const isBinary = /memory|storage|hugepages/.test(name) && value !== 0n && value % 1024n === 0n
  return inUnits(value, isBinary ? 1024n : 1000n, isBinary ? binary : decimal)
}

function inUnits(value: bigint, step: bigint, units: readonly string[]): string {
  let unit = 0
  let rest = value
  while (rest !== 0n && unit < units.length - 1 && rest % step === 0n) {
    rest /= step
    unit += 1
  }
  return `${rest}${units[unit] ?? ''}`
}

export function resourcesOf(amounts: Amounts): Record<string, string> {
  return Object.fromEntries([...amounts].map(([name, amount]) => [name, quantityOf(name, amount)]))
}

/** `cpu=1,memory=1Gi`, in the order of names. */
export function listed(amounts: Amounts): string {
  return [...amounts].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([name, amount]) => `${name}=${quantityOf(name, amount)}`).join(',')
}

export function addTo(sum: Map<string, bigint>, more: Amounts): void {
  for (const [name, amount] of more) sum.set(name, (sum.get(name) ?? 0n) + amount)
}
