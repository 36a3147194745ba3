/**
 * Values of fields to bytes and back: alone as in comparisons, or side by side as in keys of sets and in registers, where each
 * field begins at a multiple of four bytes and what is left of those is zero.
 */
import { LayoutError } from '../errors.ts'
import { layoutOf } from './field-types.ts'
import type { FieldType } from './field-types.ts'
import type { Value } from './types.ts'

/** How many bytes a field takes beside others. */
export function paddedBytes(type: FieldType): number {
  return (layoutOf(type).bytes + 3) & ~3
}

/** How many bytes a key or data takes: exactly its own where it is alone. */
export function keyBytes(types: readonly FieldType[]): number {
  const [first] = types
  if (first !== undefined && types.length === 1) return layoutOf(first).bytes
  return types.reduce((sum, type) => sum + paddedBytes(type), 0)
}

/** One value, alone. */
export function encodeValue(type: FieldType, value: Value): Buffer {
  const data = Buffer.alloc(layoutOf(type).bytes)
  layoutOf(type).write(data, 0, value)
  return data
}

/** Writes values side by side into zeroed bytes. */
export function writeKey(data: Buffer, start: number, types: readonly FieldType[], values: readonly Value[]): void {
  if (values.length !== types.length) throw new LayoutError(`Cannot write ${formatKey(values)} as ${types.join(' . ')}: ${values.length} fields, not ${types.length}`)
  let offset = start
  for (let i = 0; i < types.length; i++) {
    const type = types[i] as FieldType
    layoutOf(type).write(data, offset, values[i] as Value)
    offset += paddedBytes(type)
  }
}

/** The values of a key or data. */
export function readKey(data: Buffer, types: readonly FieldType[]): Value[] {
  if (data.length < keyBytes(types)) throw new LayoutError(`Cannot read ${types.join(' . ')}: ${data.length} bytes, not ${keyBytes(types)}`)
  let offset = 0
  return types.map((type) => {
    const value = layoutOf(type).read(data, offset)
    offset += paddedBytes(type)
    return value
  })
}

/** `10.96.0.10 . udp . 53`, as nft writes it. */
export function formatKey(values: readonly Value[]): string {
  return values.join(' . ')
}

/** The first and the last of a range, prefix or single value, in bytes. */
export interface Span {
  readonly first: Buffer
  readonly last: Buffer
}

/** Reads `'10.0.0.0/8'`, `'10.0.0.1-10.0.0.9'`, `'8000-8080'`; `undefined` of a plain value. */
export function parseSpan(type: FieldType, value: Value): Span | undefined {
  if (typeof value !== 'string' || type === 'ifname') return undefined
  const slash = value.indexOf('/')
  if (slash > 0) return spanOfPrefix(type, value, slash)
  const dash = value.indexOf('-', 1)
  if (dash < 0 || layoutOf(type).bits === true || !/^[0-9a-fA-F]/.test(value)) return undefined
  const span = { first: encodeValue(type, value.slice(0, dash)), last: encodeValue(type, value.slice(dash + 1)) }
  if (span.first.compare(span.last) > 0) throw new LayoutError(`Cannot write range ${value}: it ends before it begins`)
  return span
}

function spanOfPrefix(type: FieldType, text: string, slash: number): Span {
  const first = encodeValue(type, text.slice(0, slash))
  const mask = prefixMask(type, text.slice(slash + 1))
  const last = Buffer.from(first)
  for (const [i, byte] of mask.entries()) {
    first[i] = (first[i] ?? 0) & byte
    last[i] = (last[i] ?? 0) | (~byte & 0xff)
  }
  return { first, last }
}

/** The mask of `/24`. */
function prefixMask(type: FieldType, length: string): Buffer {
  const { bytes } = layoutOf(type)
  const bits = Number(length)
  if (!/^\d+$/.test(length) || bits > bytes * 8) throw new LayoutError(`Cannot write prefix length ${length} of ${type}: not 0 to ${bytes * 8}`)
  return Buffer.from(Array.from({ length: bytes }, (_, i) => 0xff & (0xff00 >> Math.min(8, Math.max(0, bits - 8 * i)))))
}

/** Address, network and mask of a prefix in text; `undefined` of what is none. */
export function parseMasked(type: FieldType, value: Value): { readonly network: Buffer; readonly mask: Buffer } | undefined {
  if (typeof value !== 'string' || !value.includes('/')) return undefined
  const slash = value.indexOf('/')
  return { network: spanOfPrefix(type, value, slash).first, mask: prefixMask(type, value.slice(slash + 1)) }
}

/** How many leading ones a mask has; `undefined` when others follow. */
export function prefixLengthOf(mask: Buffer): number | undefined {
  let length = 0
  for (const byte of mask) length += byte === 0xff ? 8 : Math.clz32(~(byte << 24))
  const ones = mask.reduce((sum, byte) => sum + [...byte.toString(2)].filter((bit) => bit === '1').length, 0)
  const whole = Math.floor(length / 8)
  return ones === length && mask.every((byte, i) => (i < whole ? byte === 0xff : i === whole || byte === 0)) ? length : undefined
}

/** Writes a span as shortly as it can be: a value, a prefix of an address, a range. */
export function formatSpan(type: FieldType, { first, last }: Span): Value {
  const layout = layoutOf(type)
  if (first.equals(last)) return layout.read(first, 0)
  const differing = Buffer.from(first.map((byte, i) => ~(byte ^ (last[i] ?? 0)) & 0xff))
  const length = type === 'ipv4_addr' || type === 'ipv6_addr' ? prefixLengthOf(differing) : undefined
  const isPrefix = length !== undefined && first.every((byte, i) => (byte & ~(differing[i] ?? 0)) === 0) && last.every((byte, i) => (byte | (differing[i] ?? 0)) === 0xff)
  return isPrefix ? `${layout.read(first, 0)}/${length}` : `${layout.read(first, 0)}-${layout.read(last, 0)}`
}
