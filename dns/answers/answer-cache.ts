/**
 * Answers as bytes, ready to be sent again: a hit copies them and puts in the id, the flags that are copied from a query, and the
 * question in the query's own case (names of the answer that equal the question's point into it). There is no time in it: an
 * answer lives as long as what it rests on. Bounded by bytes; the oldest go first.
 */
import { RCODE, TYPE } from '../wire/index.ts'
import type { Basis } from '../zone/validity.ts'
import type { Reply } from './handler.ts'
import { keyScratch } from './plain-query.ts'
import type { PlainQuery } from './plain-query.ts'
import { Slab } from './slab.ts'
import type { Chunk } from './slab.ts'

/** The bytes of an answer without OPT, its question in small letters, and behind them the options for askers that speak EDNS. */
interface Rendered {
  readonly chunk: Chunk
  readonly at: number
  readonly room: number
  readonly length: number
  readonly optionsLength: number
  /** The size of the address records behind the question, which may be sent in any order; 0: there are none, or of several kinds. */
  readonly recordSize: number
  /** What it rests on: one thing, most often. */
  readonly basis: Basis
  readonly others: readonly Basis[]
  /** As in the reply. */
  readonly isElsewhere: boolean
}

const none: readonly Basis[] = []

const headerBytes = 12
const optBytes = 11
/** Answers that exist are as many as the cluster has names; those that do not are as many as anyone makes up. */
const existingBytesMax = 32 * 1024 * 1024
const madeUpShare = 8

export interface AnswerCacheOptions {
  /** The payload size that this server announces. */
  readonly payloadSize: number
  readonly random: () => number
  /** For answers that exist; those that do not may have an eighth of it besides. */
  readonly bytesMax?: number
}

export class AnswerCache {
  /** By the hash of the question. Of two with the same one the later stays. */
  readonly #rendered = new Map<number, Rendered>()
  readonly #options: AnswerCacheOptions
  readonly #existing: Slab
  readonly #madeUp: Slab
  hits = 0

  constructor(options: AnswerCacheOptions) {
    this.#options = options
    const forget = (chunk: Chunk): void => {
      for (const key of chunk.keys) if (this.#rendered.get(key)?.chunk === chunk) this.#rendered.delete(key)
    }
    const { bytesMax = existingBytesMax } = options
    this.#existing = new Slab(bytesMax, forget)
    this.#madeUp = new Slab(bytesMax / madeUpShare, forget)
  }

  get size(): number {
    return this.#rendered.size
  }

  /** What the answers take, the tables around them apart. */
  get bytes(): number {
    return this.#existing.bytes + this.#madeUp.bytes
  }

  /** The answer to the query that was read last, when it is there and fits into `bytesMax`, or can be cut to it. */
  get(query: Uint8Array, plain: PlainQuery, limit: number): Buffer | undefined {
    const rendered = this.#rendered.get(plain.hash)
    if (rendered === undefined || !isOf(rendered, plain)) return undefined
    if (rendered.isElsewhere && (plain.dnssecOk || ((query[2] ?? 0) & 0x01) === 0 || ((query[3] ?? 0) & 0x10) !== 0)) return undefined
    if (!rendered.basis.live || rendered.others.some(({ live }) => !live)) {
      this.#rendered.delete(plain.hash)
      return undefined
    }
    const { chunk, at, length, optionsLength, recordSize } = rendered
    const optLength = plain.edns ? optBytes + optionsLength : 0
    const whole = length + optLength <= limit
    if (!whole && recordSize === 0) return undefined
    const start = plain.questionEnd
    const count = recordSize === 0 ? 0 : Math.floor(((whole ? length : limit - optLength) - start) / recordSize)
    const end = whole ? length : start + count * recordSize
    const out = Buffer.allocUnsafe(end + optLength)
    const { bytes } = chunk
    if (recordSize === 0) bytes.copy(out, 0, at, at + length)
    else this.#rotate(out, rendered, { start, count, end })
    out[0] = query[0] ?? 0
    out[1] = query[1] ?? 0
    out[2] = (bytes[at + 2] ?? 0) | ((query[2] ?? 0) & 0x01) | (whole ? 0 : 0x02)
    out[3] = (bytes[at + 3] ?? 0) | ((query[3] ?? 0) & 0x10)
    for (let index = headerBytes; index < start; index += 1) out[index] = query[index] ?? 0
    if (!whole) out.writeUInt16BE(count, 6)
    if (plain.edns) this.#appendOpt(out, end, plain.dnssecOk, bytes.subarray(at + length, at + length + optionsLength))
    this.hits += 1
    rendered.basis.used?.()
    return out
  }

  /** Whether the answer to the query that was read last is there, though it may not fit: to write it whole again would be in vain. */
  has(plain: PlainQuery): boolean {
    const rendered = this.#rendered.get(plain.hash)
    return rendered !== undefined && isOf(rendered, plain) && rendered.basis.live && rendered.others.every(({ live }) => live)
  }

  /** Keeps an answer to the query that was read last: `bytes` is the whole of it without OPT, for a query with all copied flags off. */
  set(plain: PlainQuery, reply: Reply, bytes: Buffer, options: Uint8Array): void {
    const [basis, ...others] = reply.validity ?? []
    if (basis === undefined || bytes.length + options.length > 0xffff) return
    const size = bytes.length + options.length
    const slab = isBounded(reply, bytes.readUInt16BE(plain.questionEnd - 4)) ? this.#existing : this.#madeUp
    const before = this.#rendered.get(plain.hash)
    // An answer that changes is most often as long as it was.
    const isReused = before !== undefined && before.room >= size && isOf(before, plain)
    const { chunk, at } = isReused ? before : slab.take(size, plain.hash)
    bytes.copy(chunk.bytes, at)
    keyScratch.copy(chunk.bytes, at + headerBytes, 0, plain.questionEnd - headerBytes)
    chunk.bytes.set(options, at + bytes.length)
    this.#rendered.set(plain.hash, {
      chunk, at, room: isReused ? before.room : size, length: bytes.length, optionsLength: options.length,
      recordSize: recordSizeOf(reply, bytes, plain.questionEnd), basis, others: others.length === 0 ? none : others, isElsewhere: reply.isElsewhere === true,
    })
  }

  clear(): void {
    this.#rendered.clear()
    this.#existing.clear()
    this.#madeUp.clear()
  }

  /** The header and `count` of the address records, from any one on. */
  #rotate(out: Buffer, { chunk: { bytes }, at, length, recordSize }: Rendered, { start, count, end }: { readonly start: number; readonly count: number; readonly end: number }): void {
    bytes.copy(out, 0, at, at + headerBytes)
    const all = (length - start) / recordSize
    const first = Math.floor(this.#options.random() * all)
    const head = Math.min(count, all - first) * recordSize
    bytes.copy(out, start, at + start + first * recordSize, at + start + first * recordSize + head)
    bytes.copy(out, start + head, at + start, at + start + end - start - head)
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

/** Whether it is the answer to this very question: different ones may have one hash. */
function isOf({ chunk: { bytes }, at }: Rendered, { questionEnd }: PlainQuery): boolean {
  for (let index = 0; index < questionEnd - headerBytes; index += 1) if (bytes[at + headerBytes + index] !== keyScratch[index]) return false
  return true
}

/** Whether there can only be as many answers of this kind as the cluster has names: of those that exist, for the types that everyone asks for. */
function isBounded({ rcode, answers, isElsewhere }: Reply, type: number): boolean {
  return isElsewhere !== true && (answers.length > 0 || (rcode === RCODE.NOERROR && (type === TYPE.A || type === TYPE.AAAA)))
}

/** Several addresses of the question's own name and nothing else, each written as a pointer to it: 12 bytes and the address. */
function recordSizeOf({ answers, authorities, additionals }: Reply, bytes: Buffer, start: number): number {
  const [first] = answers
  if (first === undefined || answers.length < 2 || authorities.length + additionals.length > 0 || (first.type !== TYPE.A && first.type !== TYPE.AAAA)) return 0
  const size = first.type === TYPE.A ? 16 : 28
  if (!answers.every(({ type, name }) => type === first.type && name === first.name)) return 0
  const isUniform = bytes.length === start + answers.length * size && answers.every((_, index) => bytes.readUInt16BE(start + index * size) === (0xc000 | headerBytes))
  return isUniform ? size : 0
}
