// A range of addresses from which cluster IPs come.
import { Address4, Address6 } from 'ip-address'
import type { IPFamily } from '../../../../api/types.ts'

/** Wider ranges are used up to here: this many Services no cluster has. */
const addressesMax = 2 ** 20

export class AddressRange {
  readonly cidr: string
  readonly family: IPFamily
  /** Offsets that may be given out: neither the network itself nor, of IPv4, the broadcast address. */
  readonly first = 1
  readonly last: number
  readonly #start: bigint

  constructor(cidr: string) {
    const address = parseAddress(cidr)
    if (address === undefined || !cidr.includes('/')) throw new Error(`Cannot use service range ${JSON.stringify(cidr)}: it is no CIDR such as 10.96.0.0/12`)
    this.cidr = cidr
    this.family = address instanceof Address4 ? 'IPv4' : 'IPv6'
    this.#start = address.startAddress().bigInt()
    const bits = (this.family === 'IPv4' ? 32 : 128) - address.subnetMask
    this.last = (bits > 20 ? addressesMax : 2 ** bits) - (this.family === 'IPv4' ? 2 : 1)
    if (this.last < this.first) throw new Error(`Cannot use service range ${cidr}: it has no address to give out`)
  }

  at(offset: number): string {
    const value = this.#start + BigInt(offset)
    return this.family === 'IPv4' ? Address4.fromBigInt(value).correctForm() : Address6.fromBigInt(value).correctForm()
  }

  contains(address: string): boolean {
    const parsed = parseAddress(address)
    if (parsed === undefined || (parsed instanceof Address4 ? 'IPv4' : 'IPv6') !== this.family) return false
    const offset = parsed.bigInt() - this.#start
    return offset >= BigInt(this.first) && offset <= BigInt(this.last)
  }
}

/** An address or a CIDR; undefined when it is neither. */
function parseAddress(text: string): Address4 | Address6 | undefined {
  if (Address4.isValid(text)) return new Address4(text)
  return Address6.isValid(text) ? new Address6(text) : undefined
}

/** The family of an address in the form in which Kubernetes writes it; undefined when it is none. */
export function familyOf(address: string): IPFamily | undefined {
  if (address.includes('/')) return undefined
  if (Address4.isValid(address)) return 'IPv4'
  return Address6.isValid(address) && !address.includes('%') ? 'IPv6' : undefined
}
