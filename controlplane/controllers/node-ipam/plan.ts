/** Which pod range a node gets out of the cluster's. Pure. */
import { isIPv4 } from 'node:net'

export interface Range {
  readonly family: 4 | 6
  readonly first: bigint
  /** Bits of the network part. */
  readonly prefix: number
}

const bitsOf = { 4: 32, 6: 128 } as const
/** --node-cidr-mask-size-ipv4 and -ipv6. */
const nodePrefix = { 4: 24, 6: 64 } as const

/** Reads `10.244.0.0/16`. Throws on what is no range. */
export function parseRange(text: string): Range {
  const [address = '', length = ''] = text.split('/')
  const family = isIPv4(address) ? 4 : 6
  const prefix = Number(length)
  if (!/^\d+$/.test(length) || prefix > bitsOf[family]) throw new Error(`Cannot read range ${JSON.stringify(text)}: it is not ADDRESS/BITS`)
  const mask = ~((1n << BigInt(bitsOf[family] - prefix)) - 1n)
  return { family, prefix, first: valueOf(address, family) & mask }
}

function valueOf(address: string, family: 4 | 6): bigint {
  if (family === 4) return address.split('.').reduce((value, byte) => (value << 8n) | BigInt(Number(byte)), 0n)
  const [head = '', tail] = address.split('::')
  const groups = (part: string): string[] => (part === '' ? [] : part.split(':'))
  const before = groups(head)
  const after = tail === undefined ? [] : groups(tail)
  const zeros = Array.from({ length: tail === undefined ? 0 : 8 - before.length - after.length }, () => '0')
  const all = [...before, ...zeros, ...after]
  if (all.length !== 8 || all.some((group) => !/^[0-9a-f]{1,4}$/i.test(group))) throw new Error(`Cannot read address ${JSON.stringify(address)}`)
  return all.reduce((value, group) => (value << 16n) | BigInt(Number.parseInt(group, 16)), 0n)
}

export function formatRange({ family, first, prefix }: Range): string {
  if (family === 4) return `${[24n, 16n, 8n, 0n].map((shift) => (first >> shift) & 0xffn).join('.')}/${prefix}`
  const groups = Array.from({ length: 8 }, (_, i) => ((first >> BigInt(16 * (7 - i))) & 0xffffn).toString(16)).join(':')
  // The longest run of zero groups becomes `::` (RFC 5952).
  const runs = [...groups.matchAll(/(?<![0-9a-f])0(?::0)+(?![0-9a-f])/g)].map(([run]) => run).sort((a, b) => b.length - a.length)
  const [longest] = runs
  const text = longest === undefined ? groups : groups.replace(new RegExp(`(^|:)${longest}(:|$)`), '::')
  return `${text}/${prefix}`
}

export function overlaps(a: Range, b: Range): boolean {
  if (a.family !== b.family) return false
  const shift = BigInt(bitsOf[a.family] - Math.min(a.prefix, b.prefix))
  return a.first >> shift === b.first >> shift
}

/**
 * The first free range for a node at or after number `from`, going round: a range that has just come free is not used again at
 * once. Undefined: all are taken.
 */
export function nextFree(cluster: Range, taken: readonly Range[], from = 0): { readonly range: Range; readonly number: number } | undefined {
  const prefix = Math.max(cluster.prefix, nodePrefix[cluster.family])
  const bits = prefix - cluster.prefix
  const count = bits > 20 ? 2 ** 20 : 2 ** bits
  const size = BigInt(bitsOf[cluster.family] - prefix)
  const sameSize = new Set(taken.filter((other) => other.family === cluster.family && other.prefix === prefix).map(({ first }) => first))
  const others = taken.filter((other) => other.prefix !== prefix)
  for (let step = 0; step < count; step += 1) {
    const number = (from + step) % count
    const range: Range = { family: cluster.family, prefix, first: cluster.first + (BigInt(number) << size) }
    if (!sameSize.has(range.first) && !others.some((other) => overlaps(other, range))) return { range, number }
  }
  return undefined
}
