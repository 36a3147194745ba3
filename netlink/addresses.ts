/**
 * Addresses between their bytes and their text: IPv4 dotted, IPv6 as RFC 5952 writes it, MAC with colons.
 */
import { LayoutError } from './errors.ts'

/** 4 or 16 bytes to text. */
export function formatAddress(data: Uint8Array, start = 0, length = data.length - start): string {
  if (length === 4) return `${data[start]}.${data[start + 1]}.${data[start + 2]}.${data[start + 3]}`
  if (length === 16) return formatIpv6(data, start)
  throw new LayoutError(`Cannot read address: ${length} bytes, not 4 or 16`)
}

function formatIpv6(data: Uint8Array, start: number): string {
  const groups: number[] = []
  for (let i = 0; i < 8; i++) groups.push(((data[start + 2 * i] ?? 0) << 8) | (data[start + 2 * i + 1] ?? 0))
  if (groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff) {
    return `::ffff:${formatAddress(data, start + 12, 4)}`
  }
  let bestAt = -1
  let best = 1 // a single zero group is not shortened (RFC 5952, 4.2.2)
  for (let at = 0; at < 8; at++) {
    let run = 0
    while (at + run < 8 && groups[at + run] === 0) run++
    if (run > best) [bestAt, best] = [at, run]
  }
  const text = groups.map((group) => group.toString(16))
  if (bestAt < 0) return text.join(':')
  return `${text.slice(0, bestAt).join(':')}::${text.slice(bestAt + best).join(':')}`
}

/** Text to 4 or 16 bytes. Leading zeros in IPv4 are refused: some read them as octal. */
export function parseAddress(text: string): Uint8Array {
  const bytes = text.includes(':') ? parseIpv6(text) : parseIpv4(text)
  if (bytes === undefined) throw new LayoutError(`Cannot write address ${text}: not an IPv4 or IPv6 address`)
  return Uint8Array.from(bytes)
}

function parseIpv4(text: string): number[] | undefined {
  const parts = text.split('.')
  if (parts.length !== 4 || !parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) < 256)) return undefined
  return parts.map(Number)
}

function parseIpv6(text: string): number[] | undefined {
  const halves = text.split('::')
  if (halves.length > 2) return undefined
  const [head, tail] = halves.map(parseGroups)
  if (head === undefined) return undefined
  if (halves.length === 1) return head.length === 16 ? head : undefined
  if (tail === undefined || head.length + tail.length > 14) return undefined
  return [...head, ...Array.from({ length: 16 - head.length - tail.length }, () => 0), ...tail]
}

function parseGroups(text: string): number[] | undefined {
  if (text === '') return []
  const bytes: number[] = []
  const groups = text.split(':')
  for (const [index, group] of groups.entries()) {
    if (index === groups.length - 1 && group.includes('.')) {
      const embedded = parseIpv4(group)
      if (embedded === undefined) return undefined
      bytes.push(...embedded)
    } else if (/^[0-9a-fA-F]{1,4}$/.test(group)) {
      const value = Number.parseInt(group, 16)
      bytes.push(value >> 8, value & 0xff)
    } else return undefined
  }
  return bytes
}

/** The same text for the same address: '::0:1' → '::1'. */
export function canonicalAddress(text: string): string {
  return formatAddress(parseAddress(text))
}

/** 6 bytes (or however many a link has) to 'aa:bb:cc:dd:ee:ff'. */
export function formatMac(data: Uint8Array, start = 0, length = data.length - start): string {
  return Buffer.from(data.buffer, data.byteOffset + start, length).toString('hex').replace(/..(?=.)/g, '$&:')
}

/** 'aa:bb:cc:dd:ee:ff' to bytes. */
export function parseMac(text: string): Uint8Array {
  if (!/^([0-9a-fA-F]{2}(:[0-9a-fA-F]{2})*)?$/.test(text)) throw new LayoutError(`Cannot write link address ${text}: not hexadecimal bytes with colons`)
  return Buffer.from(text.replaceAll(':', ''), 'hex')
}

/** '10.244.1.0/24' → address and length; an address alone is a whole-length prefix. */
export function parsePrefix(text: string): { address: string; prefixLength: number } {
  const [address = '', length] = text.split('/')
  const bits = parseAddress(address).length * 8
  if (length !== undefined && !(/^\d{1,3}$/.test(length) && Number(length) <= bits)) {
    throw new LayoutError(`Cannot read prefix ${text}: its length is not 0 to ${bits}`)
  }
  return { address: canonicalAddress(address), prefixLength: length === undefined ? bits : Number(length) }
}
