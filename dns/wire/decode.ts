/**
 * Bytes to messages. Whatever the bytes are: a message, or a `WireError`.
 *
 *     +------+-------+---------+---------+---------+---------+----------+--------+-----------+------------+
 *     |  id  | flags | qdcount | ancount | nscount | arcount | question | answer | authority | additional |
 *     +------+-------+---------+---------+---------+---------+----------+--------+-----------+------------+
 */
import { TYPE } from './constants.ts'
import { WireError } from './error.ts'
import { layoutOf } from './layouts.ts'
import type { Field, FieldKind } from './layouts.ts'
import type { Edns, EdnsOption, Header, Message, Question, ResourceRecord } from './message.ts'
import { nameBytesMax, nameOf } from './name.ts'

/** Offset of the byte after a name, and the name. */
interface ReadName {
  readonly name: string
  readonly end: number
}

export const headerBytes = 12

/** Decodes a whole message; bytes after it are an error. */
export function decodeMessage(bytes: Uint8Array): Message {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const reader = new Reader(buffer)
  const header = decodeHeader(buffer)
  reader.offset = headerBytes
  const questions = Array.from({ length: reader.count(4, 5) }, () => reader.question())
  const answers = reader.records(reader.count(6, 11))
  const authorities = reader.records(reader.count(8, 11))
  const everythingElse = reader.records(reader.count(10, 11))
  if (reader.offset !== buffer.length) throw new WireError('read the message', `${buffer.length - reader.offset} bytes follow its end`)
  const additionals = everythingElse.filter(({ type }) => type !== TYPE.OPT)
  const opt = everythingElse.filter(({ type }) => type === TYPE.OPT)
  if (opt.length > 1 || [...answers, ...authorities].some(({ type }) => type === TYPE.OPT)) throw new WireError('read the message', 'it has more than one OPT record or one in the wrong section')
  const plain = { ...header, questions, answers, authorities, additionals }
  const [first] = opt
  if (first === undefined) return plain
  return { ...plain, rcode: header.rcode | (((first.ttl >>> 24) & 0xff) << 4), edns: ednsOf(first) }
}

/** The first 12 bytes, without the counts; what a FORMERR answer needs. */
export function decodeHeader(bytes: Uint8Array): Header {
  if (bytes.length < headerBytes) throw new WireError('read the message', `${bytes.length} bytes are shorter than a header`)
  const [idHigh = 0, idLow = 0, high = 0, low = 0] = bytes
  return {
    id: (idHigh << 8) | idLow,
    response: (high & 0x80) !== 0,
    opcode: (high >> 3) & 0xf,
    authoritative: (high & 0x04) !== 0,
    truncated: (high & 0x02) !== 0,
    recursionDesired: (high & 0x01) !== 0,
    recursionAvailable: (low & 0x80) !== 0,
    authenticData: (low & 0x20) !== 0,
    checkingDisabled: (low & 0x10) !== 0,
    rcode: low & 0x0f,
  }
}

function ednsOf({ name, class: udpPayloadSize, ttl, data }: ResourceRecord): Edns {
  if (name !== '.') throw new WireError('read the OPT record', 'its name is not the root')
  const [rest] = data
  const bytes = rest instanceof Uint8Array ? Buffer.from(rest.buffer, rest.byteOffset, rest.byteLength) : Buffer.alloc(0)
  const options: EdnsOption[] = []
  for (let offset = 0; offset < bytes.length;) {
    if (offset + 4 > bytes.length) throw new WireError('read the OPT record', 'an option is cut off')
    const end = offset + 4 + bytes.readUInt16BE(offset + 2)
    if (end > bytes.length) throw new WireError('read the OPT record', 'an option is cut off')
    options.push({ code: bytes.readUInt16BE(offset), data: bytes.subarray(offset + 4, end) })
    offset = end
  }
  return { udpPayloadSize, version: (ttl >>> 16) & 0xff, dnssecOk: (ttl & 0x8000) !== 0, options }
}

class Reader {
  offset = 0
  readonly #buffer: Buffer

  constructor(buffer: Buffer) {
    this.#buffer = buffer
  }

  /** A count of the header, refused when so many entries of `bytesMin` cannot be there. */
  count(at: number, bytesMin: number): number {
    const count = this.#buffer.readUInt16BE(at)
    if (count * bytesMin > this.#buffer.length - this.offset) throw new WireError('read the message', `it is too short for ${count} entries`)
    return count
  }

  question(): Question {
    const name = this.#name(this.#buffer.length)
    this.#need(4, this.#buffer.length)
    const question = { name, type: this.#buffer.readUInt16BE(this.offset), class: this.#buffer.readUInt16BE(this.offset + 2) }
    this.offset += 4
    return question
  }

  records(count: number): ResourceRecord[] {
    return Array.from({ length: count }, () => this.#record())
  }

  #record(): ResourceRecord {
    const buffer = this.#buffer
    const name = this.#name(buffer.length)
    this.#need(10, buffer.length)
    const type = buffer.readUInt16BE(this.offset)
    const recordClass = buffer.readUInt16BE(this.offset + 2)
    const rawTtl = buffer.readUInt32BE(this.offset + 4)
    const end = this.offset + 10 + buffer.readUInt16BE(this.offset + 8)
    this.offset += 10
    if (end > buffer.length) throw new WireError('read a record', 'its data is cut off')
    const data = layoutOf(type).map((kind) => this.#field(kind, end))
    if (this.offset !== end) throw new WireError('read a record', `its data is not that of type ${type}`)
    // A TTL with its highest bit set means 0 (RFC 2181 section 8); in OPT it is no TTL.
    const ttl = type !== TYPE.OPT && rawTtl > 0x7fffffff ? 0 : rawTtl
    return { name, type, class: recordClass, ttl, data }
  }

  #field(kind: FieldKind, end: number): Field {
    switch (kind) {
      case 'u8': return this.#bytes(1, end)[0] ?? 0
      case 'u16': return this.#bytes(2, end).readUInt16BE()
      case 'u32': return this.#bytes(4, end).readUInt32BE()
      case 'ipv4': return this.#bytes(4, end)
      case 'ipv6': return this.#bytes(16, end)
      case 'name':
      case 'plainName': return this.#name(end)
      case 'string': return this.#string(end)
      case 'strings': {
        const strings = [this.#string(end)]
        while (this.offset < end) strings.push(this.#string(end))
        return strings
      }
      case 'rest': return this.#bytes(end - this.offset, end)
    }
  }

  #string(end: number): Buffer {
    return this.#bytes(this.#bytes(1, end)[0] ?? 0, end)
  }

  #bytes(length: number, end: number): Buffer {
    this.#need(length, end)
    const start = this.offset
    this.offset += length
    return this.#buffer.subarray(start, this.offset)
  }

  #name(end: number): string {
    const read = readName(this.#buffer, this.offset)
    if (read.end > end) throw new WireError('read a name', 'it runs out of its record')
    this.offset = read.end
    return read.name
  }

  #need(length: number, end: number): void {
    if (this.offset + length > end) throw new WireError('read a record', 'it is cut off')
  }
}

/** Reads a name at an offset. Every pointer has to lead further back than the one before, so that no chain of them is a loop. */
function readName(buffer: Buffer, start: number): ReadName {
  const labels: string[] = []
  let offset = start
  let length = 1
  let end = -1
  let lowest = start
  for (;;) {
    const size = buffer[offset]
    if (size === undefined) throw new WireError('read a name', 'it is cut off')
    if (size === 0) break
    if ((size & 0xc0) === 0xc0) {
      const low = buffer[offset + 1]
      if (low === undefined) throw new WireError('read a name', 'it is cut off')
      if (end < 0) end = offset + 2
      offset = ((size & 0x3f) << 8) | low
      if (offset >= lowest) throw new WireError('read a name', 'a pointer does not lead back')
      lowest = offset
      continue
    }
    if (size > 63) throw new WireError('read a name', `label type ${size >> 6} is not known`)
    length += size + 1
    if (length > nameBytesMax) throw new WireError('read a name', `it is longer than ${nameBytesMax} bytes`)
    if (offset + 1 + size > buffer.length) throw new WireError('read a name', 'it is cut off')
    labels.push(buffer.toString('latin1', offset + 1, offset + 1 + size))
    offset += size + 1
  }
  return { name: nameOf(labels), end: end < 0 ? offset + 1 : end }
}
