/**
 * Names that are not the cluster's: asked of servers elsewhere. Equal questions share one exchange; the server that has lately answered
 * fastest is asked first, the next as soon as the first is late; what came is kept for its TTL. Nothing here holds up a cluster name.
 */
import type { Clock } from '../../api/clock.ts'
import type { Logger } from '../../api/log.ts'
import { failure, reply } from '../answers/handler.ts'
import type { Handler, Query, Reply } from '../answers/handler.ts'
import { Histogram, durationBounds } from '../answers/histogram.ts'
import { EDE, RCODE, rcodeName } from '../wire/index.ts'
import type { Message } from '../wire/index.ts'
import { ForwardCache } from './forward-cache.ts'
import { LoopProbe } from './loop-probe.ts'
import type { Loops } from './loops.ts'
import { nameOf } from './upstream.ts'
import type { Exchange, ForwardedQuestion, Upstream } from './upstream.ts'

export interface ForwarderOptions {
  readonly upstreams: readonly Upstream[]
  /** What they are asked about (canonical). */
  readonly zone: string
  readonly exchange: Exchange
  readonly loops: Loops
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
/** What the others are taken for with every question that they are not asked first: so each is tried again now and then, the sooner the less slower it was. */
const forgetting = 0.98
/** How long an asker waits while there is an answer whose time is over (RFC 8767 section 5). */
const staleWaitMs = 1800
/** After a failure an old answer is given at once for so long (RFC 8767 section 5: the failure recheck timer). */
const recheckMs = 30_000

interface Scored {
  readonly upstream: Upstream
  /** Smoothed time of an answer; what a server that was never asked is taken for. */
  usualMs: number
  failedAtMs: number | undefined
  /** Its questions come back here. */
  leadsBack: boolean
  readonly counts: { asked: number; failed: number; readonly byRcode: Map<number, number>; readonly durations: Map<number, Histogram> }
}

export class Forwarder implements Handler {
  readonly name = 'forward'
  readonly #options: ForwarderOptions
  readonly servers: readonly Scored[]
  readonly cache: ForwardCache
  staleAnswers = 0
  prefetches = 0
  /** Questions that were too many at once. */
  rejects = 0
  /** Questions that nobody answered usefully, and when. */
  readonly #failed = new Map<string, number>()
  readonly #underWay = new Map<string, Promise<Reply>>()
  readonly #asking = new Set<AbortController>()
  readonly #probe: LoopProbe

  constructor(options: ForwarderOptions) {
    this.#options = options
    this.servers = options.upstreams.map((upstream) => ({ upstream, usualMs: 100, failedAtMs: undefined, leadsBack: false, counts: { asked: 0, failed: 0, byRcode: new Map(), durations: new Map() } }))
    this.cache = new ForwardCache(options.clock)
    this.#probe = new LoopProbe({ ...options, servers: this.servers })
  }

  /** To be called once answers are given here. */
  start(): void {
    this.#probe.run()
  }

  /** Nobody is asked any longer; who waits gets no answer. */
  stop(): void {
    this.#probe.stop()
    for (const abort of this.#asking) abort.abort()
  }

  /** Whether there is anybody to ask. */
  get isUsable(): boolean {
    return this.servers.length > 0
  }

  handle(query: Query): Reply | Promise<Reply> | undefined {
    if (!this.isUsable) return undefined
    const { trail } = query
    if (this.#options.loops.isOurs({ name: query.name, spelling: query.question.name, trail })) return this.#cameBack(query)
    if (!query.recursionDesired) return failure(RCODE.REFUSED, EDE.prohibited, 'names elsewhere are asked for with recursion desired only')
    const question = { name: query.name, type: query.type, class: query.question.class, dnssecOk: query.dnssecOk, checkingDisabled: query.checkingDisabled }
    const key = JSON.stringify(Object.values(question))
    const kept = this.cache.get(key)
    if (kept !== undefined && !kept.isStale && !kept.isDue) return query.dnssecOk || query.checkingDisabled ? kept.reply : { ...kept.reply, isElsewhere: true, validity: [kept.basis] }
    const marked = { ...question, trail: this.#options.loops.onward(trail) }
    if (kept === undefined) return this.#fetch(key, marked)
    if (kept.isStale) return this.#stale(key, marked, kept.reply)
    this.prefetches += 1
    void this.#fetch(key, marked)
    return kept.reply
  }

  /** It is answered at once and never sent on: one question stays one. */
  #cameBack({ name }: Query): Reply {
    this.#probe.run()
    return failure(RCODE.SERVFAIL, EDE.other, `the question for ${name} has come back to the server that forwarded it: there is a loop`)
  }

  /** One exchange for equal questions. */
  #fetch(key: string, question: ForwardedQuestion): Reply | Promise<Reply> {
    const running = this.#underWay.get(key)
    if (running !== undefined) return running
    if (this.#underWay.size >= inFlightMax) this.rejects += 1
    if (this.#underWay.size >= inFlightMax) return failure(RCODE.SERVFAIL, EDE.other, `${inFlightMax} questions wait for other servers already`)
    const asking = this.#ask(question).then((answer) => {
      this.cache.set(key, answer)
      if (isUseful(answer)) this.#failed.delete(key)
      else this.#remember(key)
      return answer
    }).finally(() => this.#underWay.delete(key))
    this.#underWay.set(key, asking)
    return asking
  }

  /** There is an answer whose time is over: it serves when nobody gives a better one soon. */
  #stale(key: string, question: ForwardedQuestion, old: Reply): Reply | Promise<Reply> {
    const { clock } = this.#options
    const serve = (): Reply => {
      this.staleAnswers += 1
      return { ...old, extendedError: { code: EDE.stale, text: 'no server answers; this is what one said before' } }
    }
    const asking = this.#fetch(key, question)
    if (!(asking instanceof Promise)) return isUseful(asking) ? asking : serve()
    if (clock.monotonicMs() - (this.#failed.get(key) ?? Number.NEGATIVE_INFINITY) < recheckMs) return serve()
    const { promise, resolve } = Promise.withResolvers<Reply>()
    const timer = clock.setTimeout(() => resolve(serve()), staleWaitMs)
    void asking.then((answer) => {
      timer.cancel()
      resolve(isUseful(answer) ? answer : serve())
    })
    return promise
  }

  #remember(key: string): void {
    if (this.#failed.size >= inFlightMax) this.#failed.clear()
    this.#failed.set(key, this.#options.clock.monotonicMs())
  }

  /** Asks one server after the other, each when those before it are late or have failed, and takes the first useful answer. */
  #ask(question: ForwardedQuestion): Promise<Reply> {
    const { clock } = this.#options
    const { promise, resolve } = Promise.withResolvers<Reply>()
    const abort = new AbortController()
    const reasons: string[] = []
    let lastResort: Message | undefined
    const order = this.#inOrder()
    if (order.length === 0) return Promise.resolve(failure(RCODE.SERVFAIL, EDE.other, 'every server for names elsewhere leads back to this one: there is a loop'))
    let waiting = 0
    this.#asking.add(abort)
    const settle = (answer: Reply): void => {
      this.#asking.delete(abort)
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
      else if (waiting === 0) this.#giveUp(settle, lastResort, reasons)
    }
    void begin()
    return promise
  }

  #giveUp(settle: (answer: Reply) => void, lastResort: Message | undefined, reasons: readonly string[]): void {
    this.#probe.run()
    settle(lastResort === undefined ? unreachable(reasons) : replyOf(lastResort))
  }

  async #exchange(server: Scored, question: ForwardedQuestion, signal: AbortSignal): Promise<Message> {
    const { clock, exchange, randomInt, log } = this.#options
    const begun = clock.monotonicMs()
    server.counts.asked += 1
    try {
      const answer = await exchange(server.upstream, question, { clock, randomInt, timeoutMs, signal })
      server.counts.byRcode.set(answer.rcode, (server.counts.byRcode.get(answer.rcode) ?? 0) + 1)
      const took = clock.monotonicMs() - begun
      server.usualMs = server.usualMs * 0.8 + took * 0.2
      measure(server, answer.rcode, took / 1000)
      server.failedAtMs = isUseful(answer) ? undefined : clock.monotonicMs()
      return answer
    } catch (error) {
      // Overtaken, it would have taken even longer.
      if (signal.aborted) learn(server, Math.max(server.usualMs, clock.monotonicMs() - begun))
      else {
        server.counts.failed += 1
        learn(server, timeoutMs)
        if (server.failedAtMs === undefined) log.warn('a server for names elsewhere does not answer', { server: nameOf(server.upstream), error })
        server.failedAtMs = clock.monotonicMs()
      }
      throw error
    }
  }

  #inOrder(): Scored[] {
    const now = this.#options.clock.monotonicMs()
    const isPenalised = ({ failedAtMs }: Scored): number => (failedAtMs !== undefined && now - failedAtMs < penaltyMs ? 1 : 0)
    const order = this.servers.filter(({ leadsBack }) => !leadsBack).toSorted((a, b) => isPenalised(a) - isPenalised(b) || a.usualMs - b.usualMs)
    for (const other of order.slice(1)) other.usualMs *= forgetting
    return order
  }
}

function measure({ counts: { durations } }: Scored, rcode: number, seconds: number): void {
  const histogram = durations.get(rcode) ?? new Histogram(durationBounds)
  durations.set(rcode, histogram)
  histogram.observe(seconds)
}

/** Each new time counts a fifth. */
function learn(server: Scored, tookMs: number): void {
  server.usualMs = server.usualMs * 0.8 + tookMs * 0.2
}

/** An answer after which nobody else has to be asked. */
function isUseful({ rcode }: Pick<Message, 'rcode'>): boolean {
  return rcode === RCODE.NOERROR || rcode === RCODE.NXDOMAIN
}

function replyOf({ rcode, authenticData, answers, authorities }: Message): Reply {
  return reply({ rcode, authenticData, answers, authorities })
}

function unreachable(reasons: readonly string[]): Reply {
  return failure(RCODE.SERVFAIL, EDE.noReachableAuthority, reasons.join('; ').slice(0, 200))
}
