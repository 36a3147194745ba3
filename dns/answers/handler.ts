/** A question on its way through the chain of handlers, and the answer one of them gives. */
import { RCODE } from '../wire/index.ts'
import type { ResourceRecord } from '../wire/index.ts'
import type { Basis } from '../zone/validity.ts'

export interface Query {
  /** As asked, in its case. */
  readonly question: { readonly name: string; readonly type: number; readonly class: number }
  /** The canonical form of the question's name. */
  readonly name: string
  readonly type: number
  readonly recursionDesired: boolean
  readonly checkingDisabled: boolean
  readonly dnssecOk: boolean
  /** The marks of other Fairway servers that it has come through. */
  readonly trail?: Uint8Array | undefined
  readonly transport: Transport
  /** Who asks: 4 or 16 bytes. */
  readonly client: Uint8Array
}

/** How a question came. */
export type Transport = 'udp' | 'tcp' | 'tls' | 'https'

export interface Reply {
  readonly rcode: number
  readonly authoritative: boolean
  readonly authenticData?: boolean
  readonly answers: readonly ResourceRecord[]
  readonly authorities: readonly ResourceRecord[]
  readonly additionals: readonly ResourceRecord[]
  /** What the answer rests on; undefined: it is not kept rendered. */
  readonly validity?: readonly Basis[] | undefined
  /** It is for askers that want recursion, and neither DNSSEC's records nor unchecked ones: others may get another. */
  readonly isElsewhere?: boolean
  /** RFC 8914, for askers that speak EDNS. */
  readonly extendedError?: { readonly code: number; readonly text: string }
}

/** One link of the chain. Undefined: the question is none of its own, ask the next. */
export interface Handler {
  readonly name: string
  handle(query: Query): Reply | Promise<Reply> | undefined
}

export function reply(parts: Partial<Reply>): Reply {
  return { rcode: RCODE.NOERROR, authoritative: false, answers: [], authorities: [], additionals: [], ...parts }
}

/** An answer that says only what went wrong. */
export function failure(rcode: number, code: number, text: string): Reply {
  return reply({ rcode, extendedError: { code, text } })
}

/** Asks the handlers in their order; the first that answers has answered. */
export function ask(handlers: readonly Handler[], query: Query): Reply | Promise<Reply> {
  for (const handler of handlers) {
    const answer = handler.handle(query)
    if (answer !== undefined) return answer
  }
  return reply({ rcode: RCODE.REFUSED })
}
