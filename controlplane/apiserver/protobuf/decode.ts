// Bodies in Kubernetes' protobuf encoding, which kubectl's typed commands (`kubectl create`, `auth can-i`, `drain`) and Go clients send.
// Envelope: k8s.io/apimachinery/pkg/runtime/serializer/protobuf; wire format: protobuf.dev/programming-guides/encoding.
//
//     +-------------------+-------------------------------------------------+
//     | 6b 38 73 00       | runtime.Unknown: 1 typeMeta, 2 raw (the object) |
//     +-------------------+-------------------------------------------------+
import { checkDepth, parseJson } from '../json.ts'
import { badRequest } from '../status.ts'
import { kindMessage, message, schemaMessage } from './table.ts'
import type { Message } from './table.ts'
import { records } from './wire.ts'
import type { WireRecord } from './wire.ts'

type Json = Record<string, unknown>
type Value = WireRecord['value']

const magic = Buffer.from([0x6b, 0x38, 0x73, 0x00])
const depthMax = 64

/** Decodes an object in its envelope. Throws a 400 when it is none, or of a kind that has no encoding here. */
export function decodeProtobuf(body: Uint8Array): Json {
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength)
  if (!bytes.subarray(0, 4).equals(magic)) throw badRequest('the object provided is not valid protobuf: it does not begin with "k8s" and a zero byte')
  try {
    const envelope = new Map([...records(bytes.subarray(4))].map(({ number, value }) => [number, value]))
    const meta = new Map([...records(bytesOf(envelope.get(1)))].map(({ number, value }) => [number, bytesOf(value).toString()]))
    const [apiVersion = '', kind = ''] = [meta.get(1), meta.get(2)]
    const name = kindMessage(apiVersion, kind)
    if (name === undefined) throw new Error(`there is no encoding of ${kind} in ${apiVersion}`)
    const raw = envelope.get(2)
    return { apiVersion, kind, ...(raw === undefined ? {} : decodeMessage(known(name), bytesOf(raw), 0)) }
  } catch (error) {
    throw badRequest(`the object provided is not valid protobuf: ${(error as Error).message}`)
  }
}

function decodeMessage(message: Message, bytes: Buffer, depth: number): Json {
  if (depth > depthMax) throw new Error('it is nested too deeply')
  const result: Json = {}
  for (const { number, value } of records(bytes)) {
    const field = message.byNumber.get(number)
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
  return [key, value ?? zeros[type] ?? {}]
}

/** What Go leaves out of the entries of a map. */
const zeros: Readonly<Record<string, unknown>> = { string: '', bytes: '', int: 0, double: 0, bool: false, quantity: '0' }

function decodeValue(type: string, value: Value, depth: number): unknown {
  switch (type) {
    case 'string':
      return bytesOf(value).toString()
    case 'bool':
      return value !== 0
    case 'int':
      return numberOf(value)
    case 'double':
      return Number(numberOf(value))
    case 'bytes':
      return bytesOf(value).toString('base64')
    case 'time':
    case 'microTime':
      return timeOf(bytesOf(value), type === 'microTime')
    case 'quantity':
      return firstField(bytesOf(value))
    case 'raw':
      return rawOf(bytesOf(value))
    case 'intOrString':
      return intOrString(bytesOf(value))
    default:
      break
  }
  if (type.startsWith('schemaOr')) return schemaOr(type, bytesOf(value), depth)
  if (type.startsWith('items/')) return [...records(bytesOf(value))].map((record) => decodeValue(type.slice('items/'.length), record.value, depth))
  return decodeMessage(known(type), bytesOf(value), depth + 1)
}

/** A schema, or what may stand instead of one: {1 schema, 2 list} of schemas or names, {1 allows, 2 schema} of a boolean. */
function schemaOr(type: string, bytes: Buffer, depth: number): unknown {
  const found = [...records(bytes)]
  const schema = found.find(({ number }) => number === (type === 'schemaOrBool' ? 2 : 1))
  if (schema !== undefined) return decodeValue(schemaMessage, schema.value, depth)
  if (type === 'schemaOrBool') return found[0]?.value === 1
  return found.filter(({ number }) => number === 2).map(({ value }) => decodeValue(type === 'schemaOrNames' ? 'string' : schemaMessage, value, depth))
}

function known(name: string): Message {
  const found = message(name)
  if (found === undefined) throw new Error(`there is no encoding of ${name}`)
  return found
}

function bytesOf(value: Value | undefined): Buffer {
  if (Buffer.isBuffer(value)) return value
  throw new Error('a number stands where bytes are expected')
}

function numberOf(value: Value): number | bigint {
  if (Buffer.isBuffer(value)) throw new Error('bytes stand where a number is expected')
  return value
}

function firstField(bytes: Buffer): string {
  for (const { number, value } of records(bytes)) if (number === 1) return bytesOf(value).toString()
  return '0'
}

/** metav1.Time and MicroTime {1 seconds, 2 nanos}; an empty one is no time. */
function timeOf(bytes: Buffer, isMicro: boolean): string | undefined {
  const fields = new Map([...records(bytes)].map(({ number, value }) => [number, Number(value)]))
  const seconds = fields.get(1)
  if (seconds === undefined) return undefined
  const whole = new Date(seconds * 1000).toISOString().slice(0, 19)
  return isMicro ? `${whole}.${String(Math.floor((fields.get(2) ?? 0) / 1000)).padStart(6, '0')}Z` : `${whole}Z`
}

/** runtime.RawExtension and FieldsV1: JSON as bytes. */
function rawOf(bytes: Buffer): unknown {
  for (const { number, value } of records(bytes)) {
    if (number !== 1) continue
    checkDepth(bytesOf(value))
    return parseJson(bytesOf(value).toString())
  }
  return undefined
}

/** intstr.IntOrString {1 type (0 int, 1 string), 2 intVal, 3 strVal}. */
function intOrString(bytes: Buffer): number | string {
  const fields = new Map([...records(bytes)].map(({ number, value }) => [number, value]))
  return fields.get(1) === 1 ? bytesOf(fields.get(3)).toString() : Number(fields.get(2) ?? 0)
}
