/** IPv4 and IPv6 told apart by data, so that everything else is written once. */
import { isIP } from 'node:net'
import { canonicalAddress, formatAddress, parseAddress } from '../netlink/addresses.ts'

export interface Family {
  /** Ends the names of its sets and chains. */
  readonly digit: '4' | '6'
  /** As EndpointSlices and Services say it. */
  readonly name: 'IPv4' | 'IPv6'
  readonly nfproto: 'ipv4' | 'ipv6'
  /** nft's word before a field: `ip daddr`. */
  readonly ip: 'ip' | 'ip6'
  readonly addressType: 'ipv4_addr' | 'ipv6_addr'
  /** The prefix of all addresses. */
  readonly all: string
}

const ipv4: Family = { digit: '4', name: 'IPv4', nfproto: 'ipv4', ip: 'ip', addressType: 'ipv4_addr', all: '0.0.0.0/0' }
const ipv6: Family = { digit: '6', name: 'IPv6', nfproto: 'ipv6', ip: 'ip6', addressType: 'ipv6_addr', all: '::/0' }
export const families: readonly Family[] = [ipv4, ipv6]

export function familyOf(address: string): Family {
  return address.includes(':') ? ipv6 : ipv4
}

/** An address spelled as the kernel's lists spell it; `undefined` where it is none. */
export function addressOf(text: string | undefined): string | undefined {
  return text === undefined || isIP(text) === 0 || text.includes('%') ? undefined : canonicalAddress(text)
}

/** A prefix spelled so, with its host bits cleared; `undefined` where it is none. */
export function prefixOf(text: string): string | undefined {
  const [address = '', length = ''] = text.trim().split('/')
  if (isIP(address) === 0 || address.includes('%') || !/^\d{1,3}$/.test(length)) return undefined
  const bytes = parseAddress(address)
  const bits = Number(length)
  if (bits > bytes.length * 8) return undefined
  const network = bytes.map((byte, at) => byte & (0xff00 >> Math.min(8, Math.max(0, bits - 8 * at))) & 0xff)
  return `${formatAddress(network)}/${bits}`
}

/** Whether an address is within a prefix that `prefixOf` made. */
export function isWithin(address: string, prefix: string): boolean {
  if (familyOf(address) !== familyOf(prefix)) return false
  return prefixOf(`${address}/${prefix.split('/')[1] ?? ''}`) === prefix
}

/** The prefixes that are in no other one, each once: sets of the kernel refuse overlaps. */
export function outermost(prefixes: readonly string[]): string[] {
  const unique = [...new Set(prefixes)]
  return unique.filter((prefix) => !unique.some((other) => other !== prefix && lengthOf(other) <= lengthOf(prefix) && isWithin(prefix.split('/')[0] ?? '', other)))
}

function lengthOf(prefix: string): number {
  return Number(prefix.split('/')[1])
}
