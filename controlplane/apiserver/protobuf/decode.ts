// Bodies in Kubernetes' protobuf encoding, which kubectl's typed commands send (`kubectl create`, `auth can-i`, `drain`).
// Envelope: k8s.io/apimachinery/pkg/runtime/serializer/protobuf; wire format: protobuf.dev/programming-guides/encoding.
//
//     +-------------------+-------------------------------------------------+
//     | 6b 38 73 00       | runtime.Unknown: 1 typeMeta, 2 raw (the object) |
//     +-------------------+-------------------------------------------------+
//
// Only reading: replies are JSON, which every client that speaks protobuf takes as well.
import { readFileSync } from 'node:fs'
import { badRequest } from '../status.ts'

type Json = Record<string, unknown>

/** `*` a pointer, whose zero means something; `[]` and `{}` before lists and maps. */
interface Field {
  /** Empty: its fields are the message's own. */
  readonly name: string
  readonly isPointer: boolean
  readonly shape: 'one' | 'list' | 'map'
  readonly type: string
}

type Message = ReadonlyMap<number, Field>

const magic = Buffer.from([0x6b, 0x38, 0x73, 0x00])
const depthMax = 64

let table: Readonly<Record<string, Readonly<Record<string, string>>>> | undefined
const parsed = new Map<string, Message | undefined>()

/** Decodes an object in its envelope. Throws a 400 when it is none, or of a kind that has no encoding here. */
export function decodeProtobuf(body: Uint8Array): Json {
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength)
  if (!bytes.subarray(0, 4).equals(magic)) throw badRequest('the object provided is not valid protobuf: it does not begin with "k8s" and a zero byte')
  try {
    const envelope = new Map([...records(bytes.subarray(4))].map(({ number, value }) => [number, value]))
    const meta = new Map([...records(bytesOf(envelope.get(1)))].map(({ number, value }) => [number, bytesOf(value).toString()]))
    const [apiVersion = '', kind = ''] = [meta.get(1), meta.get(2)]
    const message = messageOf(nameOf(apiVersion, kind))
    if (message === undefined) throw new Error(`there is no encoding of ${kind} in ${apiVersion}`)
    const raw = envelope.get(2)
    return { apiVersion, kind, ...(raw === undefined ? {} : decodeMessage(message, bytesOf(raw), 0)) }
  } catch (error) {
    throw badRequest(`the object provided is not valid protobuf: ${(error as Error).message}`)
  }
}

function nameOf(apiVersion: string, kind: string): string {
  if (kind === 'DeleteOptions') return 'meta.v1.DeleteOptions'
  const [group = '', version] = apiVersion.split('/')
  return version === undefined ? `core.${group}.${kind}` : `${group.split('.')[0] ?? ''}.${version}.${kind}`
}

function messageOf(name: string): Message | undefined {
  if (parsed.has(name)) return parsed.get(name)
  table ??= (JSON.parse(readFileSync(new URL('messages.json', import.meta.url), 'utf8')) as { messages: NonNullable<typeof table> }).messages
  const row = Object.hasOwn(table, name) ? table[name] : undefined
  const message = row === undefined ? undefined : new Map(Object.entries(row).map(([number, text]) => [Number(number), parseField(text)]))
  parsed.set(name, message)
  return message
}

function parseField(text: string): Field {
  const colon = text.indexOf(':')
  const [, pointer = '', shape = '', inner = '', type = ''] = /^(\*?)(\[\]|\{\})?(\*?)(.+)$/.exec(text.slice(colon + 1)) ?? []
  return { name: text.slice(0, colon), isPointer: pointer !== '' || inner !== '', shape: shape === '[]' ? 'list' : shape === '{}' ? 'map' : 'one', type }
}

interface WireRecord {
  readonly number: number
  /** Bytes, or a number: of a varint or of a double. */
  readonly value: Buffer | number
}

function* records(bytes: Buffer): Generator<WireRecord> {
  let at = 0
  const varint = (): bigint => {
    let result = 0n
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = bytes[at++]
      if (byte === undefined) throw new Error('it ends in the middle of a number')
      result |= BigInt(byte & 0x7f) << shift
      if (byte < 0x80) return BigInt.asIntN(64, result)
    }
    throw new Error('a number is too long')
  }
  const take = (length: number): Buffer => {
    if (length < 0 || at + length > bytes.length) throw new Error('it ends in the middle of a field')
    at += length
    return bytes.subarray(at - length, at)
  }
  while (at < bytes.length) {
    const tag = Number(varint())
    const number = tag >>> 3
    switch (tag & 7) {
      case 0:
        yield { number, value: Number(varint()) }
        break
      case 1:
        yield { number, value: take(8).readDoubleLE() }
        break
      case 2:
        yield { number, value: take(Number(varint())) }
        break
      case 5:
        yield { number, value: take(4).readFloatLE() }
        break
      default:
        throw new Error(`wire type ${tag & 7} is not known`)
    }
  }
}

function decodeMessage(message: Message, bytes: Buffer, depth: number): Json {
  if (depth > depthMax) throw new Error('it is nested too deeply')
  const result: Json = {}
  for (const { number, value } of records(bytes)) {
    const field = message.get(number)
    if (field === undefined) continue
    const { name, shape, type } = field
    if (name === '') Object.assign(result, decodeValue(type, value, depth))
    else if (shape === 'list') addTo(result, name, decodeValue(type, value, depth))
    else if (shape === 'map') putInto(result, name, mapEntry(type, bytesOf(value), depth))
    else {
      const decoded = decodeValue(type, value, depth)
      // Go writes the zero of what is no pointer; JSON leaves it out.
      const isZero = decoded === undefined || decoded === '' || decoded === 0 || decoded === false
      if (!isZero || (field.isPointer && decoded !== undefined)) result[name] = decoded
    }
  }
  return result
}

function addTo(result: Json, name: string, value: unknown): void {
  const list = result[name]
  if (Array.isArray(list)) list.push(value)
  else result[name] = [value]
}

function putInto(result: Json, name: string, [key, value]: [string, unknown]): void {
  if (key === '__proto__') throw new Error('the key "__proto__" is not supported')
  const map = (result[name] ??= {}) as Json
  map[key] = value
}

function mapEntry(type: string, bytes: Buffer, depth: number): [string, unknown] {
  let key = ''
  let value: unknown
  for (const record of records(bytes)) {
    if (record.number === 1) key = bytesOf(record.value).toString()
    else if (record.number === 2) value = decodeValue(type, record.value, depth)
  }
  return [key, value ?? (type === 'string' || type === 'bytes' ? '' : {})]
}

function decodeValue(type: string, value: Buffer | number, depth: number): unknown {
  switch (type) {
    case 'string':
      return bytesOf(value).toString()
    case 'bool':
      return value !== 0
    case 'int':
    case 'double':
      return Number(value)
    case 'bytes':
      return bytesOf(value).toString('base64')
    case 'time':
      return timeOf(bytesOf(value))
    case 'quantity':
      return firstField(bytesOf(value))
    case 'raw':
      return rawOf(bytesOf(value))
    case 'intOrString':
      return intOrString(bytesOf(value))
    default:
      break
  }
  if (type.startsWith('items/')) return [...records(bytesOf(value))].map((record) => decodeValue(type.slice('items/'.length), record.value, depth))
  const message = messageOf(type)
  if (message === undefined) throw new Error(`there is no encoding of ${type}`)
  return decodeMessage(message, bytesOf(value), depth + 1)
}

function bytesOf(value: Buffer | number | undefined): Buffer {
  if (Buffer.isBuffer(value)) return value
  throw new Error('a number stands where bytes are expected')
}

function firstField(bytes: Buffer): string {
  for (const { number, value } of records(bytes)) if (number === 1) return bytesOf(value).toString()
  return '0'
}

/** metav1.Time {1 seconds, 2 nanos}; an empty one is no time. Fractions are shown as MicroTime has them. */
function timeOf(bytes: Buffer): string | undefined {
  const fields = new Map([...records(bytes)].map(({ number, value }) => [number, Number(value)]))
  const seconds = fields.get(1)
  if (seconds === undefined) return undefined
  const micros = Math.floor((fields.get(2) ?? 0) / 1000)
  const whole = new Date(seconds * 1000).toISOString().slice(0, 19)
  return micros === 0 ? `${whole}Z` : `${whole}.${String(micros).padStart(6, '0')}Z`
}

/** runtime.RawExtension and FieldsV1: JSON as bytes. */
function rawOf(bytes: Buffer): unknown {
  for (const { number, value } of records(bytes)) if (number === 1) return JSON.parse(bytesOf(value).toString())
  return undefined
}

/** intstr.IntOrString {1 type (0 int, 1 string), 2 intVal, 3 strVal}. */
function intOrString(bytes: Buffer): number | string {
  const fields = new Map([...records(bytes)].map(({ number, value }) => [number, value]))
  return fields.get(1) === 1 ? bytesOf(fields.get(3)).toString() : Number(fields.get(2) ?? 0)
}
