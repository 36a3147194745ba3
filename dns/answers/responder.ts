/** From a packet to a packet: reads the query, asks the chain, writes the answer. Never throws, whatever the bytes are. */
import type { Logger } from '../../api/log.ts'
import { EDE, OPCODE, OPTION_EDE, OPTION_TRAIL, RCODE, WireError, canonical, decodeHeader, decodeMessage, encodeMessage, headerBytes, message, messageBytesMax } from '../wire/index.ts'
import type { Edns, Message } from '../wire/index.ts'
import { AnswerCache } from './answer-cache.ts'
import { ResponderCounts } from './counts.ts'
import { failure, reply } from './handler.ts'
import type { Handler, Query, Reply, Transport } from './handler.ts'
import { readPlain } from './plain-query.ts'
import type { PlainQuery } from './plain-query.ts'
import type { QueryLog } from './query-log.ts'

export interface ResponderOptions {
  /** The chain, in its order. It may be another at the next question. */
  readonly handlers: () => readonly Handler[]
  /** Whether questions for names elsewhere are taken (RA). */
  readonly recursionAvailable: () => boolean
  /** Whether a client may have one more answer now; left out: always. */
  readonly allows?: ((client: Uint8Array) => boolean) | undefined
  readonly queryLog?: Pick<QueryLog, 'isDue' | 'begin'> | undefined
  /** Milliseconds that never go back, for measuring; left out, nothing is measured. */
  readonly nowMs?: (() => number) | undefined
  readonly random: () => number
  readonly log: Logger
}

/** The largest UDP answer, which fits any path unfragmented (DNS flag day 2020). */
const payloadSize = 1232
const payloadSizeMin = 512

interface Asked {
  readonly packet: Uint8Array
  readonly transport: Transport
  readonly client: Uint8Array
}

export class Responder {
  readonly counts = new ResponderCounts()
  readonly cache: AnswerCache
  readonly #options: ResponderOptions

  constructor(options: ResponderOptions) {
    this.#options = options
    this.cache = new AnswerCache({ payloadSize, random: options.random })
  }

  /** The answer to a packet; undefined when there is to be none. `client` is read at once or copied. */
  respond(packet: Uint8Array, transport: Transport, client: Uint8Array): Buffer | undefined | Promise<Buffer | undefined> {
    const { allows, queryLog } = this.#options
    this.counts.queries += 1
    if (allows !== undefined && !allows(client)) return this.#limit(packet, transport)
    if (queryLog?.isDue() !== true) return this.#measured(packet, transport, client)
    const finish = queryLog.begin(packet, transport, client)
    const answer = this.#measured(packet, transport, client)
    return answer instanceof Promise ? answer.then(finish) : finish(answer)
  }

  #measured(packet: Uint8Array, transport: Transport, client: Uint8Array): Buffer | undefined | Promise<Buffer | undefined> {
    const { nowMs } = this.#options
    if (nowMs === undefined) return this.#answer(packet, transport, client)
    const begun = nowMs()
    const asked = packet.length
    const answer = this.#answer(packet, transport, client)
    if (answer instanceof Promise) {
      return answer.then((later) => {
        if (later !== undefined) this.#measure(transport, (nowMs() - begun) / 1000, [asked, later.length])
        return later
      })
    }
    if (answer !== undefined) this.#measure(transport, (nowMs() - begun) / 1000, [asked, answer.length])
    return answer
  }

  #measure(transport: Transport, seconds: number, [asked, answered]: readonly [number, number]): void {
    this.counts.took(transport, seconds)
    this.counts.sized(transport, asked, answered)
  }

  #answer(packet: Uint8Array, transport: Transport, client: Uint8Array): Buffer | undefined | Promise<Buffer | undefined> {
    const plain = readPlain(packet)
    if (plain !== undefined) {
      const hit = this.cache.get(packet, plain, transport === 'udp' ? Math.min(plain.payloadSize, payloadSize) : messageBytesMax)
      if (hit !== undefined) {
        this.counts.asked(((packet[plain.questionEnd - 4] ?? 0) << 8) | (packet[plain.questionEnd - 3] ?? 0), transport, client.length === 16)
        if (plain.dnssecOk) this.counts.dnssecOk += 1
        this.counts.answeredReady((hit[3] ?? 0) & 0xf)
        return hit
      }
    }
    return this.#answerSlowly({ packet, transport, client }, plain)
  }

  /**
   * Who asks too much by UDP gets, for every second question, an answer that only says "cut, come by TCP": never longer than the question, so that nobody is
   * flooded in somebody else's name, and a resolver that means it has a way. On a connection it is the connection that ends.
   */
  #limit(packet: Uint8Array, transport: Transport): Buffer | undefined {
    this.counts.limited += 1
    const plain = transport === 'udp' && this.counts.limited % 2 === 0 ? readPlain(packet) : undefined
    if (plain === undefined) return undefined
    const out = Buffer.from(packet.subarray(0, plain.questionEnd))
    out[2] = 0x82 | ((out[2] ?? 0) & 0x01)
    out[3] = (out[3] ?? 0) & 0x10
    out[11] = 0
    return out
  }

  #answerSlowly({ packet, transport, client }: Asked, plain: PlainQuery | undefined): Buffer | undefined | Promise<Buffer | undefined> {
    const query = this.#read(packet)
    if (query === undefined || query instanceof Uint8Array) return query
    if (query.edns !== undefined && query.edns.version !== 0) return this.#write(query, failure(RCODE.BADVERS, EDE.notSupported, 'only EDNS version 0 is spoken'), transport)
    const [question] = query.questions
    if (question === undefined || query.questions.length > 1) return this.#write(query, failure(RCODE.FORMERR, EDE.other, 'a query has one question'), transport)
    this.counts.asked(question.type, transport, client.length === 16)
    const asked: Query = {
      client: Uint8Array.from(client), question, name: canonical(question.name), type: question.type, transport,
      recursionDesired: query.recursionDesired, checkingDisabled: query.checkingDisabled, dnssecOk: query.edns?.dnssecOk ?? false, trail: trailOf(query.edns),
    }
    if (asked.dnssecOk) this.counts.dnssecOk += 1
    try {
      for (const handler of this.#options.handlers()) {
        const answered = handler.handle(asked)
        if (answered === undefined) continue
        if (answered instanceof Promise) return answered.catch((error: unknown) => this.#failed(asked, error)).then((later) => this.#write(query, later, transport, handler.name))
        if (plain !== undefined && answered.validity !== undefined && !this.cache.has(plain)) this.#keep(plain, query, answered)
        return this.#write(query, answered, transport, handler.name)
      }
      return this.#write(query, reply({ rcode: RCODE.REFUSED }), transport)
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
    this.counts.answered(rcode)
    return encodeMessage(message({ id, opcode, recursionDesired, rcode, response: true }))
  }

  #keep(plain: PlainQuery, query: Message, reply: Reply): void {
    const { edns: _edns, ...answer } = this.#message({ ...query, id: 0, recursionDesired: false, checkingDisabled: false }, reply)
    this.cache.set(plain, reply, encodeMessage(answer), optionsBytes(extendedErrorOption(reply)))
  }

  #write(query: Message, reply: Reply, transport: Transport, handler?: string): Buffer {
    this.counts.answered(reply.rcode, handler)
    const bytesMax = transport !== 'udp' ? messageBytesMax : query.edns === undefined ? payloadSizeMin : Math.max(payloadSizeMin, Math.min(query.edns.udpPayloadSize, payloadSize))
    try {
      return encodeMessage(this.#message(query, reply), { bytesMax })
    } catch (error) {
      this.counts.failed += 1
      this.#options.log.error('writing an answer failed', { question: query.questions[0]?.name, error })
      return this.#bare(query, RCODE.SERVFAIL)
    }
  }

  #message(query: Message, reply: Reply): Message {
    const { rcode, authoritative, authenticData = false, answers, authorities, additionals } = reply
    const { id, recursionDesired, checkingDisabled, questions } = query
    const answer = message({
      id, response: true, authoritative, recursionDesired, checkingDisabled, recursionAvailable: this.#options.recursionAvailable(), authenticData,
      rcode, questions, answers, authorities, additionals,
    })
    if (query.edns === undefined) return answer
    return { ...answer, edns: { udpPayloadSize: payloadSize, version: 0, dnssecOk: query.edns.dnssecOk, options: extendedErrorOption(reply) } }
  }

  #failed(query: Query, error: unknown): Reply {
    this.counts.failed += 1
    this.#options.log.error('answering a question failed', { name: query.name, type: query.type, error })
    return failure(RCODE.SERVFAIL, EDE.other, 'answering failed')
  }
}

function trailOf(edns: Edns | undefined): Uint8Array | undefined {
  return edns?.options.find(({ code }) => code === OPTION_TRAIL)?.data
}

/** RFC 8914 section 2: the code and a text. */
function extendedErrorOption({ extendedError }: Reply): Edns['options'] {
  if (extendedError === undefined) return []
  const data = Buffer.alloc(2 + Buffer.byteLength(extendedError.text))
  data.writeUInt16BE(extendedError.code)
  data.write(extendedError.text, 2)
  return [{ code: OPTION_EDE, data }]
}

/** As they stand in the OPT record (RFC 6891 section 6.1.2). */
function optionsBytes(options: Edns['options']): Buffer {
  return Buffer.concat(options.map(({ code, data }) => Buffer.concat([Buffer.from([code >> 8, code & 0xff, data.length >> 8, data.length & 0xff]), data])))
}
