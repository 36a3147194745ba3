/** Sets of addresses as ranges that lie side by side: the form in which the kernel takes them. Pure. */
import { isIP } from 'node:net'
import { parsePrefix } from '../../netlink/addresses.ts'
import { addressNumber, addressText } from '../ipam/ranges.ts'
import { familyOf } from '../overlay/want.ts'
import type { Family } from '../overlay/want.ts'

interface Range {
  readonly first: bigint
  readonly last: bigint
}

const bitsOf = { ipv4: 32, ipv6: 128 } as const

/** A block with exceptions, as policies have them. */
export interface Block {
  readonly cidr: string
  readonly except?: readonly string[] | undefined
}

/** All that is in any of the blocks and in none of its own exceptions, as `a-b` or one address; of one family only. A block that cannot be read lets nobody in. */
export function rangesOfBlocks(blocks: readonly Block[], family: Family): string[] {
  const readable = blocks.filter(({ cidr, except = [] }) => [cidr, ...except].every(isCidr))
  const ranges = readable.filter(({ cidr }) => familyOf(cidr) === family).flatMap(({ cidr, except = [] }) => (
    except.filter((hole) => familyOf(hole) === family).reduce((rest, hole) => rest.flatMap((range) => without(range, rangeOf(hole))), [rangeOf(cidr)])))
  return join(ranges).map(({ first, last }) => (first === last ? addressText(first, family) : `${addressText(first, family)}-${addressText(last, family)}`))
}

/** Whether an address is in `a-b`, in a prefix, or is that one. */
export function isWithinRange(address: string, text: string): boolean {
  if (familyOf(address) !== familyOf(text)) return false
  const [from = '', to] = text.split('-')
  const { first, last } = to !== undefined ? { first: addressNumber(from), last: addressNumber(to) } : rangeOf(from.includes('/') ? from : `${from}/${bitsOf[familyOf(from)]}`)
  const number = addressNumber(address)
  return number >= first && number <= last
}

function isCidr(text: string): boolean {
  const [address = '', length = ''] = text.split('/')
  const family = isIP(address)
  return family !== 0 && !address.includes('%') && /^\d{1,3}$/.test(length) && Number(length) <= (family === 4 ? 32 : 128)
}

function rangeOf(cidr: string): Range {
  const { address, prefixLength } = parsePrefix(cidr)
  const hostBits = BigInt(bitsOf[familyOf(address)] - prefixLength)
  const first = (addressNumber(address) >> hostBits) << hostBits
  return { first, last: first + (1n << hostBits) - 1n }
}

function without({ first, last }: Range, hole: Range): Range[] {
  if (hole.last < first || hole.first > last) return [{ first, last }]
  return [...(hole.first > first ? [{ first, last: hole.first - 1n }] : []), ...(hole.last < last ? [{ first: hole.last + 1n, last }] : [])]
}

/** Ranges that overlap or touch become one. */
function join(ranges: readonly Range[]): Range[] {
  const joined: Range[] = []
  for (const range of ranges.toSorted((a, b) => (a.first < b.first ? -1 : 1))) {
    const before = joined.at(-1)
    if (before !== undefined && range.first <= before.last + 1n) joined[joined.length - 1] = { first: before.first, last: range.last > before.last ? range.last : before.last }
    else joined.push(range)
  }
  return joined
}
