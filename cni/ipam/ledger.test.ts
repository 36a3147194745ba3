import * as fc from 'fast-check'
import t from 'tap'
import { decodeEntry, encodeEntry } from './entry.ts'
import { Ledger } from './ledger.ts'
import { addressText, parseRangeSets } from './ranges.ts'
import type { RangeSet } from './ranges.ts'

function rangeSet(...ranges: { subnet: string; rangeStart?: string; rangeEnd?: string }[]): RangeSet {
  return parseRangeSets({ ranges: [ranges] })[0]!
}

function take(ledger: Ledger, set: RangeSet, containerId: string): string | undefined {
  const address = ledger.next(set)
  if (address !== undefined) ledger.apply({ kind: 'take', holding: { address, containerId, ifname: 'eth0' } })
  return address
}

t.test('addresses are given in order, without the network, the gateway and the broadcast address', async (t) => {
  const set = rangeSet({ subnet: '10.1.0.0/29' })
  const ledger = new Ledger()
  t.strictSame(Array.from({ length: 6 }, (_, i) => take(ledger, set, `c${i}`)), ['10.1.0.2', '10.1.0.3', '10.1.0.4', '10.1.0.5', '10.1.0.6', undefined])
})

t.test('a freed address is given again as late as possible', async (t) => {
  const set = rangeSet({ subnet: '10.1.0.0/29' })
  const ledger = new Ledger()
  take(ledger, set, 'a')
  ledger.apply({ kind: 'free', address: '10.1.0.2' })
  t.strictSame(['b', 'c', 'd', 'e'].map((id) => take(ledger, set, id)), ['10.1.0.3', '10.1.0.4', '10.1.0.5', '10.1.0.6'])
  ledger.apply({ kind: 'free', address: '10.1.0.5' })
  ledger.apply({ kind: 'free', address: '10.1.0.3' })
  t.strictSame(['f', 'g', 'h', 'i'].map((id) => take(ledger, set, id)), ['10.1.0.2', '10.1.0.5', '10.1.0.3', undefined], 'in the order in which they were freed')
})

t.test('a set of ranges is gone through range by range', async (t) => {
  const set = rangeSet({ subnet: '10.1.0.0/24', rangeStart: '10.1.0.10', rangeEnd: '10.1.0.11' }, { subnet: '10.2.0.0/24', rangeStart: '10.2.0.5', rangeEnd: '10.2.0.5' })
  const ledger = new Ledger()
  t.strictSame(Array.from({ length: 4 }, (_, i) => take(ledger, set, `c${i}`)), ['10.1.0.10', '10.1.0.11', '10.2.0.5', undefined])
})

t.test('an IPv6 range of any size is no search', async (t) => {
  const set = rangeSet({ subnet: 'fd00:10:244::/64' })
  const ledger = new Ledger()
  t.strictSame([take(ledger, set, 'a'), take(ledger, set, 'b')], ['fd00:10:244::2', 'fd00:10:244::3'])
})

const sets = [rangeSet({ subnet: '10.1.0.0/28' }), rangeSet({ subnet: '10.2.0.0/29' }, { subnet: '10.3.0.0/29' }), rangeSet({ subnet: 'fd00::/124' })]

t.test('no address is given twice, none is lost, and the shortest journal leads to the same ledger', async () => {
  fc.assert(fc.property(fc.array(fc.tuple(fc.nat({ max: 2 }), fc.nat({ max: 19 }), fc.boolean())), (steps) => {
    const ledger = new Ledger()
    const held = new Map<string, string>()
    for (const [at, id, takes] of steps) {
      const key = `${at}-${id}`
      const before = held.get(key)
      if (takes && before === undefined) {
        const address = take(ledger, sets[at]!, key)
        if (address === undefined) {
          const capacity = sets[at]!.reduce((sum, { first, last }) => sum + Number(last - first), 0)
          if ([...held.keys()].filter((one) => one.startsWith(`${at}-`)).length < capacity) throw new Error('full too early')
        } else {
          if ([...held.values()].includes(address)) throw new Error(`${address} was given twice`)
          held.set(key, address)
        }
      } else if (!takes && before !== undefined) {
        ledger.apply({ kind: 'free', address: before })
        held.delete(key)
      }
    }
    const again = new Ledger()
    for (const entry of ledger.entries()) again.apply(decodeEntry(encodeEntry(entry).trimEnd())!)
    const same = JSON.stringify(again.holdings().map(({ address }) => address).sort()) === JSON.stringify([...held.values()].sort())
    if (!same) throw new Error('the ledger read back differs')
  }))
})

t.test('an address is the same number as its text', async () => {
  fc.assert(fc.property(fc.bigInt({ min: 0n, max: (1n << 128n) - 1n }), (number) => {
    const [range] = rangeSet({ subnet: `${addressText(number & ~15n, 'ipv6')}/124` })
    if (range!.first !== (number & ~15n) + 1n) throw new Error('another number')
  }))
})

const refused = [
  { why: 'no ranges', ipam: {}, message: /has no ranges/ },
  { why: 'ranges that are no lists', ipam: { ranges: [{ subnet: '10.0.0.0/24' }] }, message: /not a list of ranges/ },
  { why: 'a subnet without length', ipam: { ranges: [[{ subnet: '10.0.0.0' }]] }, message: /no subnet/ },
  { why: 'a subnet with host bits', ipam: { ranges: [[{ subnet: '10.0.0.7/24' }]] }, message: /10\.0\.0\.0\/24 is meant/ },
  { why: 'a subnet of two addresses', ipam: { subnet: '10.0.0.0/31' }, message: /smaller than four/ },
  { why: 'leading zeros', ipam: { subnet: '010.0.0.0/24' }, message: /not an IPv4/ },
  { why: 'a start outside', ipam: { subnet: '10.0.0.0/24', rangeStart: '10.0.1.1' }, message: /rangeStart 10\.0\.1\.1 is not in/ },
  { why: 'a start of the other family', ipam: { subnet: '10.0.0.0/24', rangeStart: '::1' }, message: /rangeStart/ },
  { why: 'an end before the start', ipam: { subnet: '10.0.0.0/24', rangeStart: '10.0.0.9', rangeEnd: '10.0.0.3' }, message: /begins behind its end/ },
  { why: 'two families in one set', ipam: { ranges: [[{ subnet: '10.0.0.0/24' }, { subnet: 'fd00::/64' }]] }, message: /mixes/ },
  { why: 'ranges that overlap', ipam: { ranges: [[{ subnet: '10.0.0.0/24' }], [{ subnet: '10.0.0.0/25' }]] }, message: /overlap/ },
]

for (const { why, ipam, message } of refused) {
  t.test(`refused: ${why}`, async (t) => {
    t.throws(() => parseRangeSets(ipam), { code: 7, message })
  })
}
