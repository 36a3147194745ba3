/**
 * Names that are not the cluster's: asked of servers elsewhere. Equal questions share one exchange; the server that has lately answered
 * fastest is asked first, the next as soon as the first is late; what came is kept for its TTL. Nothing here holds up a cluster name.
 */
import type { Clock } from '../../api/clock.ts'
import type { Logger } from '../../api/log.ts'
import { failure, reply } from '../answers/handler.ts'
import type { Handler, Query, Reply } from '../answers/handler.ts'
import { EDE, RCODE, rcodeName } from '../wire/index.ts'
import type { Message } from '../wire/index.ts'
import { nameOf } from './exchange.ts'
import type { Exchange, ForwardedQuestion, Upstream } from './exchange.ts'
import { ForwardCache } from './forward-cache.ts'

export interface ForwarderOptions {
  readonly upstreams: readonly Upstream[]
  readonly exchange: Exchange
  readonly clock: Clock
  readonly randomInt: (max: number) => number
  readonly log: Logger
}

/** A resolver's client gives up after five seconds (resolv.conf(5)); we do before it. */
const timeoutMs = 4000
/** A server is late when it takes this many times as long as it usually does. */
const lateFactor = 3
const lateMsMin = 50
const lateMsMax = 500
/** Questions under way at once; more are refused, so that a dead upstream costs a bounded amount of memory and ports. */
const inFlightMax = 1000
/** A server that failed is asked last for this long. */
const penaltyMs = 5000

interface Scored {
  readonly upstream: Upstream
  /** Smoothed time of an answer; what a server that was never asked is taken for. */
  usualMs: number
  failedAtMs: number | undefined
}

export class Forwarder implements Handler {
  readonly name = 'forward'
  readonly #options: ForwarderOptions
  readonly #servers: readonly Scored[]
  readonly #cache: ForwardCache
  readonly #underWay = new Map<string, Promise<Reply>>()

  constructor(options: ForwarderOptions) {
    this.#options = options
    this.#servers = options.upstreams.map((upstream) => ({ upstream, usualMs: 100, failedAtMs: undefined }))
    this.#cache = new ForwardCache(options.clock)
  }

  /** Whether there is anybody to ask. */
  get isUsable(): boolean {
    return this.#servers.length > 0
  }

  handle(query: Query): Reply | Promise<Reply> | undefined {
    if (!this.isUsable) return undefined
    if (!query.recursionDesired) return failure(RCODE.REFUSED, EDE.prohibited, 'names elsewhere are asked for with recursion desired only')
    const question = { name: query.name, type: query.type, class: query.question.class, dnssecOk: query.dnssecOk, checkingDisabled: query.checkingDisabled }
    const key = JSON.stringify(Object.values(question))
    const kept = this.#cache.get(key)
    if (kept !== undefined) return kept
    const running = this.#underWay.get(key)
    if (running !== undefined) return running
    if (this.#underWay.size >= inFlightMax) return failure(RCODE.SERVFAIL, EDE.other, `${inFlightMax} questions wait for other servers already`)
    const asking = this.#ask(question).then((answer) => {
      this.#cache.set(key, answer)
      return answer
    }).finally(() => this.#underWay.delete(key))
    this.#underWay.set(key, asking)
    return asking
  }

  /** Asks one server after the other, each when those before it are late or have failed, and takes the first useful answer. */
  #ask(question: ForwardedQuestion): Promise<Reply> {
    const { clock } = this.#options
    const { promise, resolve } = Promise.withResolvers<Reply>()
    const abort = new AbortController()
    const reasons: string[] = []
    let lastResort: Message | undefined
    const order = this.#inOrder()
    let waiting = 0
    const settle = (answer: Reply): void => {
      abort.abort()
      resolve(answer)
    }
    const begin = async (): Promise<void> => {
      const server = order.shift()
      if (server === undefined) return
      waiting += 1
      const late = clock.setTimeout(() => void begin(), Math.min(lateMsMax, Math.max(lateMsMin, server.usualMs * lateFactor)))
      try {
        const answer = await this.#exchange(server, question, abort.signal)
        if (isUseful(answer)) return settle(replyOf(answer))
        lastResort = answer
        reasons.push(`${nameOf(server.upstream)} answered ${rcodeName(answer.rcode)}`)
      } catch (error) {
        reasons.push((error as Error).message)
      } finally {
        late.cancel()
        waiting -= 1
      }
      if (abort.signal.aborted) return
      if (order.length > 0) void begin()
      else if (waiting === 0) settle(lastResort === undefined ? unreachable(reasons) : replyOf(lastResort))
    }
    void begin()
    return promise
  }

  async #exchange(server: Scored, question: ForwardedQuestion, signal: AbortSignal): Promise<Message> {
    const { clock, exchange, randomInt, log } = this.#options
    const begun = clock.monotonicMs()
    try {
      const answer = await exchange(server.upstream, question, { clock, randomInt, timeoutMs, signal })
      server.usualMs = server.usualMs * 0.8 + (clock.monotonicMs() - begun) * 0.2
      server.failedAtMs = isUseful(answer) ? undefined : clock.monotonicMs()
      return answer
    } catch (error) {
      if (!signal.aborted) {
        if (server.failedAtMs === undefined) log.warn('a server for names elsewhere does not answer', { server: nameOf(server.upstream), error })
        server.failedAtMs = clock.monotonicMs()
      }
      throw error
    }
  }

  #inOrder(): Scored[] {
    const now = this.#options.clock.monotonicMs()
    const isPenalised = ({ failedAtMs }: Scored): number => (failedAtMs !== undefined && now - failedAtMs < penaltyMs ? 1 : 0)
    return this.#servers.toSorted((a, b) => isPenalised(a) - isPenalised(b) || a.usualMs - b.usualMs)
  }
}

/** An answer after which nobody else has to be asked. */
function isUseful({ rcode }: Message): boolean {
  return rcode === RCODE.NOERROR || rcode === RCODE.NXDOMAIN
}

function replyOf({ rcode, authenticData, answers, authorities }: Message): Reply {
  return reply({ rcode, authenticData, answers, authorities })
}

function unreachable(reasons: readonly string[]): Reply {
  return failure(RCODE.SERVFAIL, EDE.noReachableAuthority, reasons.join('; ').slice(0, 200))
}
