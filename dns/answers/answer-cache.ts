/**
 * Answers as bytes, ready to be sent again: a hit copies them and puts in the id, the flags that are copied from a query, and the
 * question in the query's own case (names of the answer that equal the question's point into it). There is no time in it: an
 * answer lives as long as what it rests on.
 */
import { TYPE } from '../wire/index.ts'
import type { Reply } from './handler.ts'

/** A query of the common form, read without decoding it. */
export interface PlainQuery {
  /** The question in small letters, as a string of bytes. */
  readonly key: string
  /** Where the question ends. */
  readonly questionEnd: number
  readonly edns: boolean
  readonly dnssecOk: boolean
  /** The asker's UDP payload size; 512 without EDNS. */
  readonly payloadSize: number
}

interface Rendered {
  readonly bytes: Buffer
  readonly reply: Reply
  /** The options of the OPT record, for askers that speak EDNS. */
  readonly options: Uint8Array
  /** Where address records of one size stand that may be sent in any order. */
  readonly rotation: { readonly start: number; readonly size: number; readonly count: number } | undefined
}

const headerBytes = 12
const optBytes = 11
/** Answers that exist are as many as the cluster has names; those that do not are as many as anyone makes up. */
const positiveMax = 100_000
const negativeMax = 20_000
const keyScratch = Buffer.alloc(260)

export interface AnswerCacheOptions {
  /** The payload size that this server announces. */
  readonly payloadSize: number
  readonly random: () => number
}

export class AnswerCache {
  readonly #positive = new Map<string, Rendered>()
  readonly #negative = new Map<string, Rendered>()
  readonly #options: AnswerCacheOptions
  hits = 0

  constructor(options: AnswerCacheOptions) {
    this.#options = options
  }

  get size(): number {
    return this.#positive.size + this.#negative.size
  }

  /** The answer to a query, when it is there and fits into `bytesMax`. */
  get(query: Uint8Array, plain: PlainQuery, bytesMax: number): Buffer | undefined {
    const map = this.#positive.has(plain.key) ? this.#positive : this.#negative
    const rendered = map.get(plain.key)
    if (rendered === undefined) return undefined
    for (const { live } of rendered.reply.validity ?? []) {
      if (live) continue
      map.delete(plain.key)
      return undefined
    }
    const { bytes } = rendered
    const length = bytes.length + (plain.edns ? optBytes + rendered.options.length : 0)
    if (length > bytesMax) return undefined
    this.hits += 1
    const out = Buffer.allocUnsafe(length)
    out.set(bytes)
    out[0] = query[0] ?? 0
    out[1] = query[1] ?? 0
    out[2] = (bytes[2] ?? 0) | ((query[2] ?? 0) & 0x01)
    out[3] = (bytes[3] ?? 0) | ((query[3] ?? 0) & 0x10)
    for (let at = headerBytes; at < plain.questionEnd; at += 1) out[at] = query[at] ?? 0
    if (rendered.rotation !== undefined) this.#rotate(out, rendered)
    if (plain.edns) this.#appendOpt(out, bytes.length, plain.dnssecOk, rendered.options)
    return out
  }

  /** Keeps an answer: `bytes` is the whole of it without OPT, for a query with all copied flags off. */
  set(key: string, reply: Reply, bytes: Buffer, options: Uint8Array): void {
    const [map, max] = reply.answers.length > 0 ? [this.#positive, positiveMax] as const : [this.#negative, negativeMax] as const
    if (map.size >= max) map.clear()
    map.set(key, { bytes, reply, options, rotation: rotationOf(reply, bytes, headerBytes + key.length) })
  }

  clear(): void {
    this.#positive.clear()
    this.#negative.clear()
  }

  #rotate(out: Buffer, { bytes, rotation }: Rendered): void {
    if (rotation === undefined) return
    const { start, size, count } = rotation
    const first = start + Math.floor(this.#options.random() * count) * size
    const end = start + count * size
    bytes.copy(out, start, first, end)
    bytes.copy(out, start + end - first, start, first)
  }

  #appendOpt(out: Buffer, at: number, dnssecOk: boolean, options: Uint8Array): void {
    out[11] = (out[11] ?? 0) + 1
    if (out[11] === 0) out[10] = (out[10] ?? 0) + 1
    out[at] = 0
    out.writeUInt16BE(TYPE.OPT, at + 1)
    out.writeUInt16BE(this.#options.payloadSize, at + 3)
    out.writeUInt32BE(dnssecOk ? 0x8000 : 0, at + 5)
    out.writeUInt16BE(options.length, at + 9)
    out.set(options, at + optBytes)
  }
}

/** Reads a query of the common form: one question in ASCII, at most an OPT record of version 0. Undefined for any other. */
export function readPlain(query: Uint8Array): PlainQuery | undefined {
  const { length } = query
  // QR, opcode, AA and TC are 0; of the second byte only AD and CD may be set; one question, no answers.
  if (length < headerBytes + 5 || ((query[2] ?? 0) & 0xfe) !== 0 || ((query[3] ?? 0) & 0xcf) !== 0) return undefined
  if (query[4] !== 0 || query[5] !== 1 || query[6] !== 0 || query[7] !== 0 || query[8] !== 0 || query[9] !== 0 || query[10] !== 0) return undefined
  let at = headerBytes
  for (let size = query[at] ?? 0; size !== 0; size = query[at] ?? 0) {
    const next = at + size + 1
    if (size > 63 || next >= length || next > headerBytes + 254) return undefined
    keyScratch[at - headerBytes] = size
    for (at += 1; at < next; at += 1) {
      const byte = query[at] ?? 0
      if (byte > 0x7e) return undefined
      keyScratch[at - headerBytes] = byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte
    }
  }
  const questionEnd = at + 5
  if (questionEnd > length) return undefined
  for (; at < questionEnd; at += 1) keyScratch[at - headerBytes] = query[at] ?? 0
  const key = keyScratch.toString('latin1', 0, questionEnd - headerBytes)
  if (query[11] === 0) return length === questionEnd ? { key, questionEnd, edns: false, dnssecOk: false, payloadSize: 512 } : undefined
  if (query[11] !== 1 || length < questionEnd + optBytes) return undefined
  const isOpt = query[at] === 0 && query[at + 1] === 0 && query[at + 2] === TYPE.OPT && query[at + 5] === 0 && query[at + 6] === 0
  if (!isOpt || length !== at + optBytes + word(query, at + 9)) return undefined
  // Options are only counted through by the decoder: with any, the long way.
  if (length !== at + optBytes) return undefined
  return { key, questionEnd, edns: true, dnssecOk: ((query[at + 7] ?? 0) & 0x80) !== 0, payloadSize: Math.max(512, word(query, at + 3)) }
}

function word(bytes: Uint8Array, at: number): number {
  return ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0)
}

/** Several addresses of the question's own name, each written as a pointer to it: 12 bytes and the address. */
function rotationOf({ answers }: Reply, bytes: Buffer, start: number): Rendered['rotation'] {
  const [first] = answers
  if (first === undefined || answers.length < 2 || (first.type !== TYPE.A && first.type !== TYPE.AAAA)) return undefined
  const size = first.type === TYPE.A ? 16 : 28
  if (!answers.every(({ type, name }) => type === first.type && name === first.name)) return undefined
  const isUniform = answers.every((_, index) => bytes.readUInt16BE(start + index * size) === (0xc000 | headerBytes))
  return isUniform ? { start, size, count: answers.length } : undefined
}
