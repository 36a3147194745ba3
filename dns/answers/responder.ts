/** From a packet to a packet: reads the query, asks the chain, writes the answer. Never throws, whatever the bytes are. */
import type { Logger } from '../../api/log.ts'
import { EDE, OPCODE, OPTION_EDE, RCODE, WireError, canonical, decodeHeader, decodeMessage, encodeMessage, headerBytes, message, messageBytesMax } from '../wire/index.ts'
import type { Edns, Message } from '../wire/index.ts'
import { AnswerCache, readPlain } from './answer-cache.ts'
import type { PlainQuery } from './answer-cache.ts'
import { ask, failure } from './handler.ts'
import type { Handler, Query, Reply } from './handler.ts'

export interface ResponderOptions {
  /** The chain, in its order. */
  readonly handlers: readonly Handler[]
  /** Whether questions for names elsewhere are taken (RA). */
  readonly recursionAvailable: () => boolean
  readonly random: () => number
  readonly log: Logger
}

/** The largest UDP answer, which fits any path unfragmented (DNS flag day 2020). */
const payloadSize = 1232
const payloadSizeMin = 512

export interface ResponderCounts {
  queries: number
  malformed: number
  failed: number
  readonly byRcode: Map<number, number>
}

export class Responder {
  readonly counts: ResponderCounts = { queries: 0, malformed: 0, failed: 0, byRcode: new Map() }
  readonly cache: AnswerCache
  readonly #options: ResponderOptions

  constructor(options: ResponderOptions) {
    this.#options = options
    this.cache = new AnswerCache({ payloadSize, random: options.random })
  }

  /** The answer to a packet; undefined when there is to be none. */
  respond(packet: Uint8Array, transport: 'udp' | 'tcp'): Buffer | undefined | Promise<Buffer | undefined> {
    this.counts.queries += 1
    const plain = readPlain(packet)
    if (plain !== undefined) {
      const hit = this.cache.get(packet, plain, transport === 'udp' ? Math.min(plain.payloadSize, payloadSize) : messageBytesMax)
      if (hit !== undefined) {
        this.#count((hit[3] ?? 0) & 0xf)
        return hit
      }
    }
    return this.#respondSlowly(packet, transport, plain)
  }

  #respondSlowly(packet: Uint8Array, transport: 'udp' | 'tcp', plain: PlainQuery | undefined): Buffer | undefined | Promise<Buffer | undefined> {
    const query = this.#read(packet)
    if (query === undefined || query instanceof Uint8Array) return query
    if (query.edns !== undefined && query.edns.version !== 0) return this.#write(query, failure(RCODE.BADVERS, EDE.notSupported, 'only EDNS version 0 is spoken'), transport)
    const [question] = query.questions
    if (question === undefined || query.questions.length > 1) return this.#write(query, failure(RCODE.FORMERR, EDE.other, 'a query has one question'), transport)
    const asked: Query = {
      question, name: canonical(question.name), type: question.type, transport,
      recursionDesired: query.recursionDesired, checkingDisabled: query.checkingDisabled, dnssecOk: query.edns?.dnssecOk ?? false,
    }
    try {
      const answered = ask(this.#options.handlers, asked)
      if (answered instanceof Promise) return answered.catch((error: unknown) => this.#failed(asked, error)).then((reply) => this.#write(query, reply, transport))
      if (plain !== undefined && answered.validity !== undefined) this.#keep(plain, query, answered)
      return this.#write(query, answered, transport)
    } catch (error) {
      return this.#write(query, this.#failed(asked, error), transport)
    }
  }

  /** The query; or the answer to what is none; or undefined for what gets no answer: fragments and answers. */
  #read(packet: Uint8Array): Message | Buffer | undefined {
    if (packet.length < headerBytes) {
      this.counts.malformed += 1
      return undefined
    }
    const header = decodeHeader(packet)
    if (header.response) return undefined
    if (header.opcode !== OPCODE.QUERY) return this.#bare(header, RCODE.NOTIMP)
    try {
      return decodeMessage(packet)
    } catch (error) {
      if (!(error instanceof WireError)) this.#options.log.error('reading a query failed', { error })
      this.counts.malformed += 1
      return this.#bare(header, RCODE.FORMERR)
    }
  }

  #bare({ id, opcode, recursionDesired }: Pick<Message, 'id' | 'opcode' | 'recursionDesired'>, rcode: number): Buffer {
    this.#count(rcode)
    return encodeMessage(message({ id, opcode, recursionDesired, rcode, response: true }))
  }

  #keep({ key }: PlainQuery, query: Message, reply: Reply): void {
    const { edns: _edns, ...answer } = this.#message({ ...query, id: 0, recursionDesired: false, checkingDisabled: false }, reply)
    const whole = encodeMessage(answer)
    if (!decodeHeader(whole).truncated) this.cache.set(key, reply, whole)
  }

  #write(query: Message, reply: Reply, transport: 'udp' | 'tcp'): Buffer {
    this.#count(reply.rcode)
    const bytesMax = transport === 'tcp' ? messageBytesMax : query.edns === undefined ? payloadSizeMin : Math.max(payloadSizeMin, Math.min(query.edns.udpPayloadSize, payloadSize))
    try {
      return encodeMessage(this.#message(query, reply), { bytesMax })
    } catch (error) {
      this.counts.failed += 1
      this.#options.log.error('writing an answer failed', { question: query.questions[0]?.name, error })
      return this.#bare(query, RCODE.SERVFAIL)
    }
  }

  #message(query: Message, reply: Reply): Message {
    const { rcode, authoritative, authenticData = false, answers, authorities, additionals, extendedError } = reply
    const { id, recursionDesired, checkingDisabled, questions } = query
    const answer = message({
      id, response: true, authoritative, recursionDesired, checkingDisabled, recursionAvailable: this.#options.recursionAvailable(), authenticData,
      rcode, questions, answers, authorities, additionals,
    })
    if (query.edns === undefined) return answer
    const options: Edns['options'] = extendedError === undefined ? [] : [{ code: OPTION_EDE, data: extendedErrorBytes(extendedError) }]
    return { ...answer, edns: { udpPayloadSize: payloadSize, version: 0, dnssecOk: query.edns.dnssecOk, options } }
  }

  #failed(query: Query, error: unknown): Reply {
    this.counts.failed += 1
    this.#options.log.error('answering a question failed', { name: query.name, type: query.type, error })
    return failure(RCODE.SERVFAIL, EDE.other, 'answering failed')
  }

  #count(rcode: number): void {
    this.counts.byRcode.set(rcode, (this.counts.byRcode.get(rcode) ?? 0) + 1)
  }
}

function extendedErrorBytes({ code, text }: { readonly code: number; readonly text: string }): Buffer {
  const bytes = Buffer.alloc(2 + Buffer.byteLength(text))
  bytes.writeUInt16BE(code)
  bytes.write(text, 2)
  return bytes
}
