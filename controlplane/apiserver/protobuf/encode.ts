// Objects in Kubernetes' protobuf encoding, for clients that ask for it.
// Envelope: k8s.io/apimachinery/pkg/runtime/serializer/protobuf; watches: pkg/util/framer and metav1.WatchEvent.
//
//     object  | 6b 38 73 00 | runtime.Unknown: 1 TypeMeta {1 apiVersion, 2 kind}, 2 the message, 3 contentEncoding, 4 contentType |
//     watch   | length, big-endian (32) | WatchEvent: 1 type, 2 RawExtension {1 an object as above} | …
import { kindMessage, message, schemaMessage } from './table.ts'
import type { Field, Message } from './table.ts'
import { BackwardWriter } from './wire.ts'

type Json = Readonly<Record<string, unknown>>

const magic = Buffer.from([0x6b, 0x38, 0x73, 0x00])
const empty = Buffer.alloc(0)

/** An object of a kind that has a message, in its envelope; undefined for others. */
export function encodeProtobuf(object: Json): Buffer | undefined {
  const { apiVersion, kind } = object
  const name = kindMessage(String(apiVersion), String(kind))
  return name === undefined ? undefined : envelope(String(apiVersion), String(kind), encodeMessage(name, object))
}

/** A message, by its name, without an envelope. Fields that it does not have are left out. */
export function encodeMessage(name: string, object: Json): Buffer {
  const writer = new BackwardWriter()
  writeMessage(writer, known(name), object)
  // A copy, for it may be kept.
  return Buffer.from(writer.bytes)
}

/** The envelope around an encoded message. */
export function envelope(apiVersion: string, kind: string, body: Uint8Array): Buffer {
  const writer = new BackwardWriter()
  writeBytes(writer, 4, empty)
  writeBytes(writer, 3, empty)
  return Buffer.concat([envelopeHead(apiVersion, kind, body.length), body, writer.bytes])
}

function envelopeHead(apiVersion: string, kind: string, length: number): Buffer {
  const writer = new BackwardWriter()
  writer.varint(length)
  writer.tag(2, 2)
  const before = writer.length
  writeText(writer, 2, kind)
  writeText(writer, 1, apiVersion)
  writer.bounded(1, before)
  writer.raw(magic)
  return writer.bytes
}

/** An item of a list: what stands before its bytes. */
export function itemHead(length: number): Buffer {
  const writer = new BackwardWriter()
  writer.varint(length)
  writer.tag(2, 2)
  return writer.bytes
}

/** What a list begins with, and what it ends with. All lists have their metadata as field 1 and their items as field 2; `bytes` is how long these are. */
export function listFrame(apiVersion: string, kind: string, metadata: Json, bytes: number): { readonly head: Buffer; readonly tail: Buffer } {
  const meta = new BackwardWriter()
  const before = meta.length
  writeMessage(meta, known('meta.v1.ListMeta'), metadata)
  meta.bounded(1, before)
  const tail = new BackwardWriter()
  writeBytes(tail, 4, empty)
  writeBytes(tail, 3, empty)
  return { head: Buffer.concat([envelopeHead(apiVersion, kind, meta.length + bytes), meta.bytes]), tail: tail.bytes }
}

/** One event of a watch, in its frame; `object` is in its own envelope. */
export function encodeWatchEvent(type: string, object: Uint8Array): Buffer {
  const writer = new BackwardWriter()
  writeBytes(writer, 1, object)
  writer.bounded(2, 0)
  writeText(writer, 1, type)
  const length = Buffer.alloc(4)
  length.writeUInt32BE(writer.length)
  return Buffer.concat([length, writer.bytes])
}

/** Metadata of any object (metav1.PartialObjectMetadata), without an envelope. */
export function encodePartial(metadata: Json): Buffer {
  const writer = new BackwardWriter()
  writeMessage(writer, known('meta.v1.ObjectMeta'), metadata)
  writer.bounded(1, 0)
  return writer.bytes
}

function known(name: string): Message {
  const found = message(name)
  if (found === undefined) throw new Error(`Cannot encode ${name} as protobuf: there is no such message`)
  return found
}

function writeMessage(writer: BackwardWriter, { fields }: Message, object: Json): void {
  for (let i = fields.length - 1; i >= 0; i--) {
    const field = fields[i] as Field
    if (field.name === '') {
      const before = writer.length
      writeMessage(writer, known(field.type), object)
      if (writer.length > before) writer.bounded(field.number, before)
      continue
    }
    const value = object[field.name]
    if (value !== undefined && value !== null) writeField(writer, field, value)
  }
}

function writeField(writer: BackwardWriter, field: Field, value: unknown): void {
  const { number, type, shape } = field
  if (shape === 'list') {
    const list = value as readonly unknown[]
    for (let i = list.length - 1; i >= 0; i--) writeValue(writer, number, type, list[i])
  } else if (shape === 'map') {
    const entries = Object.entries(value as Json)
    for (let i = entries.length - 1; i >= 0; i--) {
      const [key, item] = entries[i] as [string, unknown]
      const before = writer.length
      writeValue(writer, 2, type, item)
      writeText(writer, 1, key)
      writer.bounded(number, before)
    }
  } else if (field.isPointer || (value !== 0 && value !== '' && value !== false)) writeValue(writer, number, type, value)
}

function writeValue(writer: BackwardWriter, number: number, type: string, value: unknown): void {
  switch (type) {
    case 'string':
      return writeText(writer, number, value as string)
    case 'bool':
      writer.varint(value === true ? 1 : 0)
      return writer.tag(number, 0)
    case 'int':
      writer.varint(value as number | bigint)
      return writer.tag(number, 0)
    case 'double':
      writer.double(Number(value))
      return writer.tag(number, 1)
    case 'bytes':
      return writeBytes(writer, number, Buffer.from(value as string, 'base64'))
    default:
  }
  const before = writer.length
  if (type === 'time' || type === 'microTime') writeTime(writer, value as string)
  else if (type === 'quantity') writeText(writer, 1, String(value))
  else if (type === 'raw') writeText(writer, 1, JSON.stringify(value))
  else if (type === 'intOrString') writeIntOrString(writer, value as number | string)
  else if (type.startsWith('schemaOr')) writeSchemaOr(writer, type, value)
  else if (type.startsWith('items/')) {
    const list = value as readonly unknown[]
    for (let i = list.length - 1; i >= 0; i--) writeValue(writer, 1, type.slice('items/'.length), list[i])
  } else writeMessage(writer, known(type), (value ?? {}) as Json)
  writer.bounded(number, before)
}

function writeText(writer: BackwardWriter, number: number, text: string): void {
  const before = writer.length
  writer.text(text)
  writer.bounded(number, before)
}

function writeBytes(writer: BackwardWriter, number: number, bytes: Uint8Array): void {
  const before = writer.length
  writer.raw(bytes)
  writer.bounded(number, before)
}

/** metav1.Time and MicroTime {1 seconds, 2 nanos}; no time is an empty message. */
function writeTime(writer: BackwardWriter, text: string): void {
  const ms = Date.parse(text)
  if (Number.isNaN(ms)) return
  const seconds = Math.floor(ms / 1000)
  const nanos = Number((/\.(\d{1,9})/.exec(text)?.[1] ?? '').padEnd(9, '0'))
  if (nanos > 0) {
    writer.varint(nanos)
    writer.tag(2, 0)
  }
  writer.varint(seconds)
  writer.tag(1, 0)
}

/** intstr.IntOrString {1 type (0 int, 1 string), 2 intVal, 3 strVal}. */
function writeIntOrString(writer: BackwardWriter, value: number | string): void {
  if (typeof value === 'string') {
    writeText(writer, 3, value)
    writer.varint(1)
    writer.tag(1, 0)
    return
  }
  writer.varint(value)
  writer.tag(2, 0)
}

/** What may stand instead of a schema: a list of schemas or names {1 schema, 2 list}, or a boolean {1 allows, 2 schema}. */
function writeSchemaOr(writer: BackwardWriter, type: string, value: unknown): void {
  const isBool = type === 'schemaOrBool'
  if (Array.isArray(value)) {
    for (let i = value.length - 1; i >= 0; i--) writeValue(writer, 2, type === 'schemaOrNames' ? 'string' : schemaMessage, value[i])
    return
  }
  if (typeof value === 'object') writeValue(writer, isBool ? 2 : 1, schemaMessage, value)
  if (isBool) writeValue(writer, 1, 'bool', value !== false)
}
