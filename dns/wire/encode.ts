/** Messages to bytes, with names compressed (RFC 1035 section 4.1.4) and cut to a size where asked (RFC 2181 section 9). */
import { TYPE } from './constants.ts'
import { WireError } from './error.ts'
import { layoutOf } from './layouts.ts'
import type { Field, FieldKind } from './layouts.ts'
import type { Edns, Message, ResourceRecord } from './message.ts'
import { canonical, labelsOf } from './name.ts'

/** No DNS message is longer: TCP's length prefix has 16 bits. */
export const messageBytesMax = 65_535

/** Pointers have 14 bits. */
const pointerMax = 0x3fff

export interface EncodeOptions {
  /** Records that do not fit into so many bytes are left out; when they are answers or authorities, TC is set. */
  readonly bytesMax?: number
}

/** Encodes a message. Throws a `WireError` when a part of it has no wire form, or when even an answer without records does not fit. */
export function encodeMessage(message: Message, { bytesMax = messageBytesMax }: EncodeOptions = {}): Buffer {
  const writer = new Writer(scratch)
  const optBytes = message.edns === undefined ? 0 : optLength(message.edns)
  const limit = Math.min(bytesMax, messageBytesMax) - optBytes
  writer.u16(message.id)
  writer.u16(0)
  for (let count = 0; count < 4; count += 1) writer.u16(0)
  for (const { name, type, class: questionClass } of message.questions) {
    writer.name(name, true)
    writer.u16(type)
    writer.u16(questionClass)
  }
  if (writer.offset > limit) throw new WireError('write the message', `its question does not fit into ${bytesMax} bytes`)
  const answers = writer.section(message.answers, limit)
  const whole = answers === message.answers.length
  const authorities = whole ? writer.section(message.authorities, limit) : 0
  const truncated = message.truncated || !whole || authorities < message.authorities.length
  const additionals = truncated ? 0 : writer.section(message.additionals, limit)
  if (message.edns !== undefined) writer.opt(message.edns, message.rcode)
  writer.header(message, truncated, [message.questions.length, answers, authorities, additionals + (message.edns === undefined ? 0 : 1)])
  return writer.bytes()
}

/** The size of an OPT record. */
function optLength({ options }: Edns): number {
  return options.reduce((sum, { data }) => sum + 4 + data.length, 11)
}

// One buffer for all: writing never awaits, and what is written is copied out. The slack holds one record past the limit.
const scratch = Buffer.alloc(messageBytesMax * 2 + 1024)

class Writer {
  offset = 0
  readonly #buffer: Buffer
  readonly #names = new Map<string, number>()

  constructor(buffer: Buffer) {
    this.#buffer = buffer
  }

  bytes(): Buffer {
    return Buffer.from(this.#buffer.subarray(0, this.offset))
  }

  u8(value: number): void {
    this.#range(value, 0xff)
    this.#buffer[this.offset] = value
    this.offset += 1
  }

  u16(value: number): void {
    this.#range(value, 0xffff)
    this.offset = this.#buffer.writeUInt16BE(value, this.offset)
  }

  u32(value: number): void {
    this.#range(value, 0xffffffff)
    this.offset = this.#buffer.writeUInt32BE(value, this.offset)
  }

  raw(bytes: Uint8Array): void {
    if (bytes.length > messageBytesMax) throw new WireError('write a record', 'its data is longer than any message')
    this.#buffer.set(bytes, this.offset)
    this.offset += bytes.length
  }

  /** Writes a name; the names before it serve as what its end may point to. */
  name(name: string, compress: boolean): void {
    const labels = labelsOf(name)
    for (let index = 0; index < labels.length; index += 1) {
      const label = labels[index] ?? ''
      const suffix = suffixKey(labels, index)
      const known = this.#names.get(suffix)
      if (known !== undefined && compress) {
        this.u16(0xc000 | known)
        return
      }
      if (known === undefined && this.offset <= pointerMax) this.#names.set(suffix, this.offset)
      this.u8(label.length)
      this.offset += this.#buffer.write(label, this.offset, 'latin1')
    }
    this.u8(0)
  }

  /** Writes records up to the limit; how many were written. */
  section(records: readonly ResourceRecord[], limit: number): number {
    for (const [index, record] of records.entries()) {
      const before = this.offset
      this.#record(record)
      if (this.offset > limit) {
        this.offset = before
        for (const [name, at] of this.#names) if (at >= before) this.#names.delete(name)
        return index
      }
    }
    return records.length
  }

  opt({ udpPayloadSize, version, dnssecOk, options }: Edns, rcode: number): void {
    this.u8(0)
    this.u16(TYPE.OPT)
    this.u16(udpPayloadSize)
    this.u8(rcode >> 4)
    this.u8(version)
    this.u16(dnssecOk ? 0x8000 : 0)
    this.u16(options.reduce((sum, { data }) => sum + 4 + data.length, 0))
    for (const { code, data } of options) {
      this.u16(code)
      this.u16(data.length)
      this.raw(data)
    }
  }

  header(message: Message, truncated: boolean, counts: readonly number[]): void {
    const end = this.offset
    this.offset = 2
    if (message.rcode > 0xf && message.edns === undefined) throw new WireError('write the message', `rcode ${message.rcode} needs EDNS`)
    const bit = (set: boolean, at: number): number => (set ? 1 << at : 0)
    this.u16(bit(message.response, 15) | (message.opcode & 0xf) << 11 | bit(message.authoritative, 10) | bit(truncated, 9) | bit(message.recursionDesired, 8)
      | bit(message.recursionAvailable, 7) | bit(message.authenticData, 5) | bit(message.checkingDisabled, 4) | (message.rcode & 0xf))
    for (const count of counts) this.u16(count)
    this.offset = end
  }

  #record({ name, type, class: recordClass, ttl, data }: ResourceRecord): void {
    this.name(name, true)
    this.u16(type)
    this.u16(recordClass)
    this.u32(ttl)
    const lengthAt = this.offset
    this.u16(0)
    for (const [index, kind] of layoutOf(type).entries()) this.#field(kind, data[index], type)
    const length = this.offset - lengthAt - 2
    if (length > 0xffff) throw new WireError('write a record', 'its data is longer than 65535 bytes')
    this.#buffer.writeUInt16BE(length, lengthAt)
  }

  #field(kind: FieldKind, value: Field | undefined, type: number): void {
    if (typeof value === 'number') {
      if (kind === 'u8') return this.u8(value)
      if (kind === 'u16') return this.u16(value)
      if (kind === 'u32') return this.u32(value)
    } else if (typeof value === 'string') {
      if (kind === 'name' || kind === 'plainName') return this.name(value, kind === 'name')
    } else if (value instanceof Uint8Array) {
      if (kind === 'rest' || (kind === 'ipv4' && value.length === 4) || (kind === 'ipv6' && value.length === 16)) return this.raw(value)
      if (kind === 'string') return this.#string(value)
    } else if (value !== undefined && kind === 'strings' && value.length > 0) {
      for (const string of value) this.#string(string)
      return
    }
    throw new WireError('write a record', `its data is not that of type ${type}`)
  }

  #string(bytes: Uint8Array): void {
    if (this.offset > messageBytesMax) throw new WireError('write a record', 'its data is longer than any message')
    this.u8(bytes.length)
    this.raw(bytes)
  }

  #range(value: number, max: number): void {
    if (!Number.isInteger(value) || value < 0 || value > max) throw new WireError('write the message', `${value} is not between 0 and ${max}`)
  }
}

/** Labels can hold dots; a length before each keeps `a.b` and `a\.b` apart. */
function suffixKey(labels: readonly string[], from: number): string {
  let key = ''
  for (let index = from; index < labels.length; index += 1) key += `${String.fromCharCode(labels[index]?.length ?? 0)}${labels[index]}`
  return canonical(key)
}
