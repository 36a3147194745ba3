/**
 * Elements of sets and maps in messages. Written by hand, not by layout: a cold start writes a hundred thousand of them.
 *
 *     nlattr LIST_ELEM
 *       nlattr KEY { nlattr VALUE }   KEY_END { VALUE }   DATA { VALUE | VERDICT }   FLAGS   TIMEOUT   EXPIRATION   USERDATA
 *
 * An interval of one field is two elements to the kernel, one where it begins and one, marked, after its end; of several fields it
 * is one element with both ends.
 */
import { LayoutError } from '../errors.ts'
import { NLA_F_NESTED, Writer } from '../layout.ts'
import { encodeVerdict } from './compile.ts'
import { decodeVerdict } from './decompile.ts'
import { layoutOf } from './field-types.ts'
import type { FieldType } from './field-types.ts'
import { NFT_SET_ELEM_INTERVAL_END } from './layouts.ts'
import type { Data, ElementAttributes } from './layouts.ts'
import type { Verdict } from './statements.ts'
import type { Element, ElementSpec, SetSpec, Value } from './types.ts'
import { commentOf, commentUserdata } from './userdata.ts'
import { formatSpan, keyBytes, paddedBytes, parseSpan, readKey, writeKey } from './values.ts'

const NFTA_LIST_ELEM = 1
const NFTA_DATA_VALUE = 1
const NFTA_DATA_VERDICT = 2
const NFTA_VERDICT_CODE = 1
const NFTA_VERDICT_CHAIN = 2
const NFTA_SET_ELEM_KEY = 1
const NFTA_SET_ELEM_DATA = 2
const NFTA_SET_ELEM_FLAGS = 3
const NFTA_SET_ELEM_TIMEOUT = 4
const NFTA_SET_ELEM_EXPIRATION = 5
const NFTA_SET_ELEM_USERDATA = 6
const NFTA_SET_ELEM_KEY_END = 10
const NFTA_SET_ELEM_LIST_TABLE = 1
const NFTA_SET_ELEM_LIST_SET = 2
const NFTA_SET_ELEM_LIST_ELEMENTS = 3

/** An attribute says its length in 16 bits: of a list only so many bytes are filled that one more element fits for sure. */
const LIST_BYTES = 60_000

function open(out: Writer, type: number): number {
  const start = out.reserve(4)
  out.buffer.writeUInt16LE(type, start + 2)
  return start
}

function close(out: Writer, start: number): void {
  out.buffer.writeUInt16LE(out.length - start, start)
  out.pad()
}

function writeNumber(out: Writer, type: number, value: number): void {
  const start = open(out, type)
  out.buffer.writeUInt32BE(value >>> 0, out.reserve(4))
  close(out, start)
}

function writeLong(out: Writer, type: number, value: number): void {
  const start = open(out, type)
  out.buffer.writeBigUInt64BE(BigInt(value), out.reserve(8))
  close(out, start)
}

function writeBytes(out: Writer, type: number, value: Uint8Array): void {
  const start = open(out, type)
  out.append(value)
  close(out, start)
}

function writeValues(out: Writer, type: number, types: readonly FieldType[], values: readonly Value[]): void {
  const outer = open(out, type | NLA_F_NESTED)
  const inner = open(out, NFTA_DATA_VALUE)
  const at = out.reserve(keyBytes(types))
  writeKey(out.buffer, at, types, values)
  close(out, inner)
  close(out, outer)
}

function writeRaw(out: Writer, type: number, value: Uint8Array): void {
  const outer = open(out, type | NLA_F_NESTED)
  writeBytes(out, NFTA_DATA_VALUE, value)
  close(out, outer)
}

function writeVerdict(out: Writer, verdict: Verdict): void {
  const outer = open(out, NFTA_SET_ELEM_DATA | NLA_F_NESTED)
  const inner = open(out, NFTA_DATA_VERDICT | NLA_F_NESTED)
  const { code, chain } = encodeVerdict(verdict)
  writeNumber(out, NFTA_VERDICT_CODE, code)
  if (chain !== undefined) writeBytes(out, NFTA_VERDICT_CHAIN, Buffer.from(`${chain}\0`))
  close(out, inner)
  close(out, outer)
}

/** Both ends of a key whose fields may be ranges. */
function endsOf(types: readonly FieldType[], values: readonly Value[]): { readonly first: Buffer; readonly last: Buffer } {
  const first = Buffer.alloc(keyBytes(types))
  const last = Buffer.alloc(first.length)
  if (values.length !== types.length) writeKey(first, 0, types, values)
  let offset = 0
  for (const [i, type] of types.entries()) {
    const value = values[i] as Value
    const span = parseSpan(type, value)
    if (span === undefined) {
      layoutOf(type).write(first, offset, value)
      layoutOf(type).write(last, offset, value)
    } else {
      span.first.copy(first, offset)
      span.last.copy(last, offset)
    }
    offset += paddedBytes(type)
  }
  return { first, last }
}

/** The next number in bytes; `undefined` after the last. */
function successor(bytes: Buffer): Buffer | undefined {
  const next = Buffer.from(bytes)
  for (let i = next.length - 1; i >= 0; i--) {
    next[i] = ((next[i] ?? 0) + 1) & 0xff
    if (next[i] !== 0) return next
  }
  return undefined
}

function writeRest(out: Writer, set: SetSpec, { data, timeoutMs, expiresMs, comment }: ElementSpec): void {
  if (data !== undefined) {
    if ('verdict' in data) writeVerdict(out, data)
    else if (set.data === undefined || set.data === 'verdict') throw new LayoutError(`Cannot write ${data.join(' . ')} in ${set.name}: it holds ${set.data === undefined ? 'no data' : 'verdicts'}`)
    else writeValues(out, NFTA_SET_ELEM_DATA, set.data, data)
  }
  if (timeoutMs !== undefined) writeLong(out, NFTA_SET_ELEM_TIMEOUT, timeoutMs)
  if (expiresMs !== undefined) writeLong(out, NFTA_SET_ELEM_EXPIRATION, expiresMs)
  const userdata = commentUserdata(comment)
  if (userdata !== undefined) writeBytes(out, NFTA_SET_ELEM_USERDATA, userdata)
}

function writeElement(out: Writer, set: SetSpec, element: ElementSpec): void {
  if (set.interval !== true) {
    const start = open(out, NFTA_LIST_ELEM | NLA_F_NESTED)
    writeValues(out, NFTA_SET_ELEM_KEY, set.key, element.key)
    writeRest(out, set, element)
    return close(out, start)
  }
  const { first, last } = endsOf(set.key, element.key)
  const start = open(out, NFTA_LIST_ELEM | NLA_F_NESTED)
  writeRaw(out, NFTA_SET_ELEM_KEY, first)
  if (set.key.length > 1) writeRaw(out, NFTA_SET_ELEM_KEY_END, last)
  writeRest(out, set, element)
  close(out, start)
  const after = set.key.length > 1 ? undefined : successor(last)
  if (after === undefined) return
  const end = open(out, NFTA_LIST_ELEM | NLA_F_NESTED)
  writeNumber(out, NFTA_SET_ELEM_FLAGS, NFT_SET_ELEM_INTERVAL_END)
  writeRaw(out, NFTA_SET_ELEM_KEY, after)
  close(out, end)
}

/** A message's payload, and where in it each element begins. */
export interface ElementMessage {
  readonly payload: Buffer
  readonly elements: readonly ElementSpec[]
  readonly offsets: readonly number[]
}

/** Elements in as many messages as they need, none without an element. `family` is AF_* of the table. */
export function* writeElements(family: number, table: string, set: SetSpec, elements: readonly ElementSpec[]): Generator<ElementMessage> {
  for (let next = 0; next < elements.length;) {
    const out = new Writer(Math.min(LIST_BYTES + 2_000, 200 + 120 * (elements.length - next)))
    out.buffer[out.reserve(4)] = family
    writeBytes(out, NFTA_SET_ELEM_LIST_TABLE, Buffer.from(`${table}\0`))
    writeBytes(out, NFTA_SET_ELEM_LIST_SET, Buffer.from(`${set.name}\0`))
    const list = open(out, NFTA_SET_ELEM_LIST_ELEMENTS | NLA_F_NESTED)
    const first = next
    const offsets: number[] = []
    for (; next < elements.length && out.length - list < LIST_BYTES; next++) {
      offsets.push(out.length)
      writeElement(out, set, elements[next] as ElementSpec)
    }
    close(out, list)
    yield { payload: out.bytes(), elements: elements.slice(first, next), offsets }
  }
}

function readData(data: Data | undefined, set: SetSpec): Pick<ElementSpec, 'data'> {
  if (data === undefined || set.data === undefined) return {}
  if (set.data === 'verdict') {
    const verdict = data.verdict && decodeVerdict(data.verdict)
    return verdict === undefined ? {} : { data: verdict }
  }
  return data.value === undefined ? {} : { data: readKey(data.value, set.data) }
}

function readRest(attributes: ElementAttributes, set: SetSpec): Omit<Element, 'key'> {
  const { timeout, expiration, userdata, expression } = attributes
  const timeoutMs = timeout === undefined ? undefined : Number(timeout)
  const comment = commentOf(userdata)
  return {
    ...readData(attributes.data, set),
    ...(timeoutMs === undefined || timeoutMs === set.defaultTimeoutMs ? {} : { timeoutMs }),
    ...(expiration === undefined ? {} : { expiresMs: Number(expiration) }),
    ...(comment === undefined ? {} : { comment }),
    ...(expression?.name === 'counter' ? { counter: { packets: Number(expression.data.packets ?? 0n), bytes: Number(expression.data.bytes ?? 0n) } } : {}),
  }
}

/** Elements as the kernel lists them. What holds for every key (`*`) is left out. */
export function readElements(listed: readonly ElementAttributes[], set: SetSpec): Element[] {
  if (set.interval === true && set.key.length === 1) return readIntervals(listed, set)
  return listed.flatMap((attributes) => {
    const key = attributes.key?.value
    if (key === undefined) return []
    const end = attributes.keyEnd?.value
    return [{ key: end === undefined ? readKey(key, set.key) : readSpans(key, end, set.key), ...readRest(attributes, set) }]
  })
}

function readSpans(first: Buffer, last: Buffer, types: readonly FieldType[]): Value[] {
  if (first.length < keyBytes(types) || last.length < keyBytes(types)) throw new LayoutError(`Cannot read range of ${types.join(' . ')}: not ${keyBytes(types)} bytes`)
  let offset = 0
  return types.map((type) => {
    const end = offset + layoutOf(type).bytes
    const value = formatSpan(type, { first: first.subarray(offset, end), last: last.subarray(offset, end) })
    offset += paddedBytes(type)
    return value
  })
}

/** Puts beginnings and ends of intervals together. An end without a beginning says that nothing holds before. */
function readIntervals(listed: readonly ElementAttributes[], set: SetSpec): Element[] {
  const [type] = set.key
  const isEnd = (attributes: ElementAttributes): boolean => ((attributes.flags ?? 0) & NFT_SET_ELEM_INTERVAL_END) !== 0
  const sorted = listed
    .flatMap((attributes) => (attributes.key?.value === undefined ? [] : [{ at: attributes.key.value, end: isEnd(attributes), attributes }]))
    .sort((a, b) => a.at.compare(b.at) || Number(b.end) - Number(a.end))
  return sorted.flatMap(({ at, end, attributes }, index) => {
    if (end || type === undefined) return []
    if (at.length !== keyBytes(set.key)) throw new LayoutError(`Cannot read ${type}: ${at.length} bytes`)
    const next = sorted[index + 1]
    const last = next === undefined ? Buffer.alloc(at.length, 0xff) : predecessor(next.at)
    return [{ key: [formatSpan(type, { first: at, last })], ...readRest(attributes, set) }]
  })
}

function predecessor(bytes: Buffer): Buffer {
  const previous = Buffer.from(bytes)
  for (let i = previous.length - 1; i >= 0; i--) {
    const byte = previous[i] ?? 0
    previous[i] = (byte - 1) & 0xff
    if (byte !== 0) break
  }
  return previous
}
