/** A question as it goes out, and whether what comes back answers it: with an id and a spelling that cannot be guessed (RFC 5452, draft-vixie-dnsext-dns0x20). */
import { OPTION_TRAIL, RCODE, WireError, decodeMessage, encodeMessage, message } from '../wire/index.ts'
import type { Message } from '../wire/index.ts'
import type { ExchangeOptions, ForwardedQuestion } from './upstream.ts'

export interface Asked {
  readonly id: number
  readonly name: string
  readonly type: number
  readonly class: number
}

/** What we say we take by UDP; larger answers come by TCP (DNS flag day 2020). */
const udpPayloadSize = 1232

/** A new spelling and, unless one is given, a new id. */
export function askedFor({ name, type, class: questionClass }: ForwardedQuestion, { randomInt }: Pick<ExchangeOptions, 'randomInt'>, id = randomInt(0x1_0000)): Asked {
  const spelled = name.replace(/[a-z]/g, (letter) => (randomInt(2) === 0 ? letter : letter.toUpperCase()))
  return { id, name: spelled, type, class: questionClass }
}

/** The query's bytes. Without EDNS it is for servers that know none. */
export function queryOf({ id, name, type, class: questionClass }: Asked, { checkingDisabled, dnssecOk, trail }: ForwardedQuestion, withEdns = true): Buffer {
  const plain = message({ id, recursionDesired: true, checkingDisabled, questions: [{ name, type, class: questionClass }] })
  if (!withEdns) return encodeMessage(plain)
  const options = trail === undefined ? [] : [{ code: OPTION_TRAIL, data: trail }]
  return encodeMessage({ ...plain, edns: { udpPayloadSize, version: 0, dnssecOk, options } })
}

/** The answer in a packet, if it is one to this very question. An error without a question may come from a server that could not read it. */
export function answerIn(packet: Uint8Array, asked: Asked): Message | undefined {
  let decoded: Message
  try {
    decoded = decodeMessage(packet)
  } catch (error) {
    if (error instanceof WireError) return undefined
    throw error
  }
  const [question] = decoded.questions
  if (!decoded.response || decoded.id !== asked.id) return undefined
  if (question === undefined) return isOldServer(decoded) ? decoded : undefined
  const same = question.name === asked.name && question.type === asked.type && question.class === asked.class
  return same && decoded.questions.length === 1 ? decoded : undefined
}

/** What a server says that does not know EDNS (RFC 6891 section 7). */
export function isOldServer({ rcode }: Message): boolean {
  return rcode === RCODE.FORMERR || rcode === RCODE.NOTIMP
}
