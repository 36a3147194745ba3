/** Which questions came and what they got, for people who look: one line for every so many questions. */
import type { Clock } from '../../api/clock.ts'
import type { Logger } from '../../api/log.ts'
import { WireError, addressText, decodeMessage, rcodeName, typeName } from '../wire/index.ts'
import type { Transport } from './handler.ts'

export interface QueryLogOptions {
  /** One line for so many questions: 1 for all, 0 for none. */
  readonly every: number
  readonly clock: Clock
  readonly log: Logger
}

export class QueryLog {
  readonly #options: QueryLogOptions
  #seen = 0

  constructor(options: QueryLogOptions) {
    this.#options = options
  }

  /** Whether this question is to be written down; to be called once for each. */
  isDue(): boolean {
    const { every } = this.#options
    if (every === 0) return false
    this.#seen = (this.#seen + 1) % every
    return this.#seen === 0
  }

  /** Keeps what is needed of a question, and returns what writes the line and hands the answer on. */
  begin(packet: Uint8Array, transport: Transport, client: Uint8Array): (answer: Buffer | undefined) => Buffer | undefined {
    const { clock, log } = this.#options
    const began = clock.monotonicMs()
    const from = addressText(client)
    const asked = Uint8Array.from(packet)
    return (answer) => {
      const question = questionOf(asked)
      const given = answer === undefined ? {} : { rcode: rcodeOf(answer), bytes: answer.length, truncated: ((answer[2] ?? 0) & 0x02) !== 0 }
      log.info('query', { client: from, transport, ...question, ...given, ms: Number((clock.monotonicMs() - began).toFixed(3)) })
      return answer
    }
  }
}

function questionOf(packet: Uint8Array): { readonly name?: string; readonly type?: string; readonly id?: number } {
  try {
    const { id, questions: [question] } = decodeMessage(packet)
    return question === undefined ? { id } : { id, name: question.name, type: typeName(question.type) }
  } catch (error) {
    if (error instanceof WireError) return { name: 'malformed' }
    throw error
  }
}

function rcodeOf(answer: Buffer): string {
  return rcodeName(decodeMessage(answer).rcode)
}
