/** Addresses between text and bytes, and their names in the reverse zones. */
import { isIPv4, isIPv6 } from 'node:net'

/** 4 or 16 bytes of an address in text; undefined when it is none. Zones (`%eth0`) are none. */
export function addressBytes(text: string): Uint8Array | undefined {
  if (isIPv4(text)) return Uint8Array.from(text.split('.'), Number)
  if (!isIPv6(text) || text.includes('%')) return undefined
  const groups = (part: string): number[] => (part === '' ? [] : part.split(':').flatMap((group) => {
    if (!group.includes('.')) return [Number.parseInt(group, 16)]
    const [a = 0, b = 0, c = 0, d = 0] = group.split('.').map(Number)
    return [(a << 8) | b, (c << 8) | d]
  }))
  const [before = '', after] = text.split('::')
  const head = groups(before)
  const tail = after === undefined ? [] : groups(after)
  const all = [...head, ...Array.from({ length: 8 - head.length - tail.length }, () => 0), ...tail]
  return Uint8Array.from(all.flatMap((group) => [group >> 8, group & 0xff]))
}

/** The text of an address; IPv6 as in RFC 5952. */
export function addressText(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join('.')
  const groups = Array.from({ length: 8 }, (_, index) => ((bytes[index * 2] ?? 0) << 8) | (bytes[index * 2 + 1] ?? 0))
  let best = { start: -1, length: 1 }
  for (let start = 0; start < 8; start += 1) {
    let length = 0
    while (start + length < 8 && groups[start + length] === 0) length += 1
    if (length > best.length) best = { start, length }
  }
  const hex = (part: readonly number[]): string => part.map((group) => group.toString(16)).join(':')
  return best.start < 0 ? hex(groups) : `${hex(groups.slice(0, best.start))}::${hex(groups.slice(best.start + best.length))}`
}

/** `10.0.96.10.in-addr.arpa.` or the 32 nibbles of RFC 3596 section 2.5. */
export function reverseName(bytes: Uint8Array): string {
  if (bytes.length === 4) return `${[...bytes].toReversed().join('.')}.in-addr.arpa.`
  return `${[...Buffer.from(bytes).toString('hex')].toReversed().join('.')}.ip6.arpa.`
}

/** The address of a whole reverse name (canonical); undefined when it is none, or only a part of one. */
export function addressOfReverse(name: string): Uint8Array | undefined {
  if (name.endsWith('.in-addr.arpa.')) {
    const parts = name.slice(0, -'.in-addr.arpa.'.length).split('.')
    if (parts.length !== 4 || !parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) < 256)) return undefined
    return Uint8Array.from(parts.toReversed(), Number)
  }
  if (!name.endsWith('.ip6.arpa.')) return undefined
  const nibbles = name.slice(0, -'.ip6.arpa.'.length).split('.')
  if (nibbles.length !== 32 || !nibbles.every((nibble) => /^[0-9a-f]$/.test(nibble))) return undefined
  return Uint8Array.from(Buffer.from(nibbles.toReversed().join(''), 'hex'))
}
