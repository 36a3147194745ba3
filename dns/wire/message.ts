/** A DNS message as data (RFC 1035 section 4, EDNS of RFC 6891 taken out of the additional section). */
import type { Fields } from './layouts.ts'

export interface Question {
  readonly name: string
  readonly type: number
  readonly class: number
}

/** A resource record. `data` holds the fields that the layout of its type names, in their order. */
export interface ResourceRecord {
  readonly name: string
  readonly type: number
  readonly class: number
  /** Seconds, at most 2^31 - 1 (RFC 2181 section 8). */
  readonly ttl: number
  readonly data: Fields
}

export interface EdnsOption {
  readonly code: number
  readonly data: Uint8Array
}

/** The OPT pseudo-record (RFC 6891 section 6). */
export interface Edns {
  readonly udpPayloadSize: number
  readonly version: number
  readonly dnssecOk: boolean
  readonly options: readonly EdnsOption[]
}

export interface Header {
  readonly id: number
  readonly response: boolean
  readonly opcode: number
  readonly authoritative: boolean
  readonly truncated: boolean
  readonly recursionDesired: boolean
  readonly recursionAvailable: boolean
  readonly authenticData: boolean
  readonly checkingDisabled: boolean
  /** With the OPT record's upper 8 bits where there is one. */
  readonly rcode: number
}

export interface Message extends Header {
  readonly questions: readonly Question[]
  readonly answers: readonly ResourceRecord[]
  readonly authorities: readonly ResourceRecord[]
  /** Without the OPT record, which is `edns`. */
  readonly additionals: readonly ResourceRecord[]
  readonly edns?: Edns
}

/** A message of the given parts, everything else empty. */
export function message(parts: Partial<Message>): Message {
  return {
    id: 0, response: false, opcode: 0, authoritative: false, truncated: false, recursionDesired: false, recursionAvailable: false,
    authenticData: false, checkingDisabled: false, rcode: 0, questions: [], answers: [], authorities: [], additionals: [], ...parts,
  }
}
