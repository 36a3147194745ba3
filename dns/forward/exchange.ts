/**
 * One question to one server: by UDP, and by TCP when the answer was cut or somebody guesses; or over TLS or HTTPS. Each question goes out from a port of its own with
 * an id and a spelling that cannot be guessed; what does not echo all of them is no answer.
 */
import { createSocket } from 'node:dgram'
import type { Message } from '../wire/index.ts'
import { answerIn, askedFor, isOldServer, queryOf } from './asked.ts'
import type { Asked } from './asked.ts'
import { HttpsConnections } from './https.ts'
import { overStream } from './stream.ts'
import { nameOf } from './upstream.ts'
import type { Exchange, ExchangeOptions, Upstream } from './upstream.ts'

/** Who wants to know how questions are spelled that are under way. */
export interface Spellings {
  begin(name: string): void
  end(name: string): void
}

/** Wrong answers to one question after which somebody is guessing: ask by TCP, which cannot be guessed into. */
const wrongAnswersMax = 3

/** The exchange over the network; `close` ends the connections that it keeps. */
export class NetworkExchange {
  readonly #https = new HttpsConnections()
  readonly #spellings: Spellings | undefined

  constructor(spellings?: Spellings) {
    this.#spellings = spellings
  }

  readonly ask: Exchange = async (upstream, question, options) => {
    // Over HTTPS the id is 0 (RFC 8484 section 4.1): the request tells answers apart.
    const asked = askedFor(question, options, upstream.https === undefined ? undefined : 0)
    this.#spellings?.begin(asked.name)
    try {
      const answer = await this.#askAs(upstream, queryOf(asked, question), asked, options)
      // A server of before EDNS; it has to be told what it can read (RFC 6891 section 6.2.2).
      return isOldServer(answer) ? await this.#askAs(upstream, queryOf(asked, question, false), asked, options) : answer
    } finally {
      this.#spellings?.end(asked.name)
    }
  }

  close(): void {
    this.#https.close()
  }

  async #askAs(upstream: Upstream, query: Buffer, asked: Asked, options: ExchangeOptions): Promise<Message> {
    if (upstream.https !== undefined) return this.#https.ask(upstream, query, asked, options)
    if (upstream.tls !== undefined) return overStream(upstream, query, asked, options)
    const answer = await overUdp(upstream, query, asked, options)
    return answer === undefined || answer.truncated ? overStream(upstream, query, asked, options) : answer
  }
}

/** Undefined: too many wrong answers came. */
function overUdp(upstream: Upstream, query: Buffer, asked: Asked, { clock, timeoutMs, signal }: ExchangeOptions): Promise<Message | undefined> {
  return new Promise((resolve, reject) => {
    const socket = createSocket(upstream.address.includes(':') ? 'udp6' : 'udp4')
    let wrong = 0
    const end = (finish: () => void): void => {
      timer.cancel()
      signal.removeEventListener('abort', onAbort)
      socket.close()
      finish()
    }
    const fail = (why: string): void => end(() => reject(new Error(`Cannot ask ${nameOf(upstream)}: ${why}`)))
    const onAbort = (): void => fail('another server was faster')
    const timer = clock.setTimeout(() => fail(`no answer within ${timeoutMs} ms`), timeoutMs)
    if (signal.aborted) return onAbort()
    signal.addEventListener('abort', onAbort, { once: true })
    socket.once('error', (error) => fail(error.message))
    socket.on('message', (packet) => {
      const answer = answerIn(packet, asked)
      if (answer !== undefined) end(() => resolve(answer))
      else if (++wrong >= wrongAnswersMax) end(() => resolve(undefined))
    })
    // Connected, the kernel drops what others send to the port, and a closed port is told at once.
    socket.connect(upstream.port, upstream.address, (...[error]: readonly Error[]) => {
      // Without a route the callback is told, and no event.
      if (error === undefined) socket.send(query)
      else fail(error.message)
    })
  })
}
