/** Who holds which address: what the journal says, in memory. Pure. */
import { attachmentKey } from './entry.ts'
import type { Entry, Holding } from './entry.ts'
import { addressNumber, addressText, inRange } from './ranges.ts'
import type { AddressRange, RangeSet } from './ranges.ts'

/** Freed addresses that are remembered, so that they are given out again as late as possible. */
const freedMax = 4096
/** Addresses given out lately: the search for the next begins behind the newest of its set. */
const recentMax = 1024

export class Ledger {
  readonly #holdings = new Map<string, Holding>()
  readonly #byAttachment = new Map<string, Holding[]>()
  /** Oldest first. */
  readonly #freed = new Set<string>()
  #recent: string[] = []

  apply(entry: Entry): void {
    if (entry.kind === 'take') this.#take(entry.holding)
    else this.#free(entry.address)
  }

  #take(holding: Holding): void {
    const { address } = holding
    this.#holdings.set(address, holding)
    const key = attachmentKey(holding)
    this.#byAttachment.set(key, [...(this.#byAttachment.get(key) ?? []), holding])
    this.#freed.delete(address)
    this.#recent.push(address)
    if (this.#recent.length > 2 * recentMax) this.#recent = this.#recent.slice(-recentMax)
  }

  #free(address: string): void {
    const holding = this.#holdings.get(address)
    if (holding !== undefined) {
      this.#holdings.delete(address)
      const key = attachmentKey(holding)
      const rest = (this.#byAttachment.get(key) ?? []).filter((other) => other !== holding)
      if (rest.length === 0) this.#byAttachment.delete(key)
      else this.#byAttachment.set(key, rest)
    }
    this.#freed.delete(address)
    this.#freed.add(address)
    const [oldest] = this.#freed
    if (this.#freed.size > freedMax && oldest !== undefined) this.#freed.delete(oldest)
  }

  holder(address: string): Holding | undefined {
    return this.#holdings.get(address)
  }

  /** The addresses of one attachment, in the order in which they were taken. */
  heldBy(attachment: { readonly containerId: string; readonly ifname: string }): readonly Holding[] {
    return this.#byAttachment.get(attachmentKey(attachment)) ?? []
  }

  holdings(): Holding[] {
    return [...this.#holdings.values()]
  }

  /** The shortest list of entries that leads to this ledger. */
  entries(): Entry[] {
    const freed = [...this.#freed].map((address) => ({ kind: 'free', address }) as const)
    return [...freed, ...this.holdings().map((holding) => ({ kind: 'take', holding }) as const)]
  }

  /**
   * The address to give out next: the one after the last that was given, in the order of the ranges, that nobody holds and that was not freed
   * lately; when there is none, the one that was freed longest ago.
   */
  next(set: RangeSet): string | undefined {
    const usable = (address: string, number: bigint, range: AddressRange): boolean => number !== range.gateway && !this.#holdings.has(address)
    const cursor = this.#cursor(set)
    // what can be in the way, and the gateways
    let left = this.#holdings.size + this.#freed.size + set.length + 1
    for (const { range, from, to } of ring(set, cursor)) {
      for (let number = from; number <= to && left > 0; number++, left--) {
        const address = addressText(number, range.family)
        if (usable(address, number, range) && !this.#freed.has(address)) return address
      }
    }
    for (const address of this.#freed) {
      const range = rangeOf(set, address)
      if (range !== undefined && usable(address, addressNumber(address), range)) return address
    }
    return undefined
  }

  #cursor(set: RangeSet): { readonly range: AddressRange; readonly number: bigint } | undefined {
    const address = this.#recent.findLast((one) => rangeOf(set, one) !== undefined)
    const range = address === undefined ? undefined : rangeOf(set, address)
    return address === undefined || range === undefined ? undefined : { range, number: addressNumber(address) }
  }
}

/** The range of a set that an address is in. */
export function rangeOf(set: RangeSet, address: string): AddressRange | undefined {
  const family = address.includes(':') ? 'ipv6' : 'ipv4'
  if (set[0]?.family !== family) return undefined
  const number = addressNumber(address)
  return set.find((range) => inRange(range, number))
}

/** The whole set once, beginning behind the cursor. */
function ring(set: RangeSet, cursor: { readonly range: AddressRange; readonly number: bigint } | undefined): { range: AddressRange; from: bigint; to: bigint }[] {
  const whole = set.map((range) => ({ range, from: range.first, to: range.last }))
  if (cursor === undefined) return whole
  const { range, number } = cursor
  const at = set.indexOf(range)
  return [{ range, from: number + 1n, to: range.last }, ...whole.slice(at + 1), ...whole.slice(0, at), { range, from: range.first, to: number }]
}
