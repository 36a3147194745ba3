/** Address ranges as the `host-local` plugin configures them: sets of ranges, one address from each set. */
import { formatAddress, parseAddress } from '../../netlink/addresses.ts'
import { invalidConfig, isObject, looseField } from '../protocol/config.ts'

/** An address as a number, for arithmetic. */
export function addressNumber(text: string): bigint {
  return parseAddress(text).reduce((number, byte) => (number << 8n) | BigInt(byte), 0n)
}

export function addressText(number: bigint, family: 'ipv4' | 'ipv6'): string {
  const bytes = new Uint8Array(family === 'ipv4' ? 4 : 16)
  for (let index = bytes.length - 1, rest = number; index >= 0; index--, rest >>= 8n) bytes[index] = Number(rest & 0xffn)
  return formatAddress(bytes)
}

export interface AddressRange {
  readonly family: 'ipv4' | 'ipv6'
  /** As configured: `10.244.1.0/24` */
  readonly subnet: string
  readonly prefixLength: number
  readonly first: bigint
  readonly last: bigint
  /** Never given out. */
  readonly gateway: bigint
}

/** Ranges of one family from which one address is taken. */
export type RangeSet = readonly AddressRange[]

export function inRange(range: AddressRange, address: bigint): boolean {
  return address >= range.first && address <= range.last
}

export function rangeText({ family, first, last }: AddressRange): string {
  return `${addressText(first, family)}-${addressText(last, family)}`
}

/** `ranges`, or the older form with one range's keys at the top. */
export function parseRangeSets(ipam: Readonly<Record<string, unknown>>, more?: unknown): RangeSet[] {
  const lists = [more ?? [], ipam['ranges'] ?? []]
  if (!lists.every(Array.isArray)) throw invalidConfig('ipam.ranges is not a list of lists')
  const single = 'subnet' in ipam ? [[ipam]] : []
  const sets = [...single, ...(lists.flat() as unknown[])].map((set) => parseSet(set))
  if (sets.length === 0) throw invalidConfig('ipam has no ranges')
  const all = sets.flat()
  for (const [index, range] of all.entries()) {
    const other = all.slice(index + 1).find((one) => one.family === range.family && one.first <= range.last && range.first <= one.last)
    if (other !== undefined) throw invalidConfig(`ipam ranges ${rangeText(range)} and ${rangeText(other)} overlap`)
  }
  return sets
}

function parseSet(value: unknown): RangeSet {
  if (!Array.isArray(value) || value.length === 0) throw invalidConfig('a range set of ipam is not a list of ranges')
  const set = value.map((range: unknown) => parseRange(range))
  if (new Set(set.map(({ family }) => family)).size > 1) throw invalidConfig('a range set of ipam mixes IPv4 and IPv6')
  return set
}

function parseRange(value: unknown): AddressRange {
  const [subnet, rangeStart, rangeEnd, gateway] = ['subnet', 'rangeStart', 'rangeEnd', 'gateway'].map((name) => (isObject(value) ? looseField(value, name) : undefined))
  const [, address, length] = /^([^/]+)\/(\d{1,3})$/.exec(typeof subnet === 'string' ? subnet : '') ?? []
  if (address === undefined || typeof subnet !== 'string') throw invalidConfig(`ipam range ${JSON.stringify(value)} has no subnet such as 10.1.0.0/16`)
  const network = parseNumber(address, 'subnet')
  const family = address.includes(':') ? 'ipv6' : 'ipv4'
  const bits = family === 'ipv4' ? 32 : 128
  const prefixLength = Number(length)
  if (prefixLength > bits - 2) throw invalidConfig(`ipam subnet ${subnet} is smaller than four addresses`)
  const size = 1n << BigInt(bits - prefixLength)
  if (network % size !== 0n) throw invalidConfig(`ipam subnet ${subnet} has bits beyond its prefix: ${addressText(network - (network % size), family)}/${prefixLength} is meant?`)
  const end = network + size - 1n
  const within = (name: string, given: unknown, otherwise: bigint): bigint => {
    if (given === undefined || given === null || given === '') return otherwise
    const number = parseNumber(given, name)
    if (String(given).includes(':') !== (family === 'ipv6') || number < network || number > end) throw invalidConfig(`ipam ${name} ${String(given)} is not in ${subnet}`)
    return number
  }
  const range = {
    family, subnet, prefixLength,
    first: within('rangeStart', rangeStart, network + 1n),
    // the last address of an IPv4 subnet is its broadcast address
    last: within('rangeEnd', rangeEnd, family === 'ipv4' ? end - 1n : end),
    gateway: within('gateway', gateway, network + 1n),
  } as const
  if (range.first > range.last) throw invalidConfig(`ipam range ${rangeText(range)} begins behind its end`)
  return range
}

function parseNumber(value: unknown, name: string): bigint {
  try {
    return addressNumber(String(value))
  } catch (error) {
    throw invalidConfig(`ipam ${name} ${JSON.stringify(value)}: ${(error as Error).message}`)
  }
}
