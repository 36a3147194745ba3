/** Queries of the common form, which nearly all are: read without decoding them. */
import { randomInt } from 'node:crypto'
import { TYPE } from '../wire/index.ts'

export interface PlainQuery {
  /** Of the question in small letters, which `keyScratch` has until the next query is read. 30 bits: a small integer. */
  readonly hash: number
  /** Where the question ends. */
  readonly questionEnd: number
  readonly edns: boolean
  readonly dnssecOk: boolean
  /** The asker's UDP payload size; 512 without EDNS. */
  readonly payloadSize: number
}

const headerBytes = 12
const optBytes = 11
/** The question of the query that was read last, in small letters. */
export const keyScratch = Buffer.alloc(260)
/** Nobody can make up questions that have one hash. FNV-1a is made for short strings of bytes. */
const hashSeed = randomInt(2 ** 32)
const hashPrime = 0x01000193

/** Reads a query: one question in ASCII, at most an OPT record of version 0 without options. Undefined for any other. */
export function readPlain(query: Uint8Array): PlainQuery | undefined {
  const { length } = query
  // QR, opcode, AA and TC are 0; of the second byte only AD and CD may be set; one question, no answers.
  if (length < headerBytes + 5 || ((query[2] ?? 0) & 0xfe) !== 0 || ((query[3] ?? 0) & 0xcf) !== 0) return undefined
  if (query[4] !== 0 || query[5] !== 1 || query[6] !== 0 || query[7] !== 0 || query[8] !== 0 || query[9] !== 0 || query[10] !== 0) return undefined
  let at = headerBytes
  let hash = hashSeed
  for (let size = query[at] ?? 0; size !== 0; size = query[at] ?? 0) {
    const next = at + size + 1
    if (size > 63 || next >= length || next > headerBytes + 254) return undefined
    keyScratch[at - headerBytes] = size
    hash = Math.imul(hash ^ size, hashPrime)
    for (at += 1; at < next; at += 1) {
      const byte = query[at] ?? 0
      if (byte > 0x7e) return undefined
      const small = byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte
      keyScratch[at - headerBytes] = small
      hash = Math.imul(hash ^ small, hashPrime)
    }
  }
  const questionEnd = at + 5
  if (questionEnd > length) return undefined
  for (; at < questionEnd; at += 1) {
    const byte = query[at] ?? 0
    keyScratch[at - headerBytes] = byte
    hash = Math.imul(hash ^ byte, hashPrime)
  }
  hash = (hash ^ (hash >>> 15)) & 0x3fff_ffff
  if (query[11] === 0) return length === questionEnd ? { hash, questionEnd, edns: false, dnssecOk: false, payloadSize: 512 } : undefined
  if (query[11] !== 1 || length < questionEnd + optBytes) return undefined
  const isOpt = query[at] === 0 && query[at + 1] === 0 && query[at + 2] === TYPE.OPT && query[at + 5] === 0 && query[at + 6] === 0
  // Options are only counted through by the decoder: with any, the long way.
  if (!isOpt || length !== at + optBytes || word(query, at + 9) !== 0) return undefined
  return { hash, questionEnd, edns: true, dnssecOk: ((query[at + 7] ?? 0) & 0x80) !== 0, payloadSize: Math.max(512, word(query, at + 3)) }
}

function word(bytes: Uint8Array, at: number): number {
  return ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0)
}
