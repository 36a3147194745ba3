/**
 * Finds the servers that lead back here, as CoreDNS's `loop` does at its start: each is asked for a name that nobody else asks for, and when that comes in again it leads
 * back. Done at the start, when a question has come back, and when nobody answered; again every half minute as long as one leads back.
 */
import type { Clock, Timer } from '../../api/clock.ts'
import type { Logger } from '../../api/log.ts'
import { CLASS, TYPE } from '../wire/index.ts'
import type { Loops } from './loops.ts'
import { nameOf } from './upstream.ts'
import type { Exchange, Upstream } from './upstream.ts'

export interface LoopProbeOptions {
  /** Canonical. */
  readonly zone: string
  readonly servers: readonly Probed[]
  readonly exchange: Exchange
  readonly loops: Loops
  readonly clock: Clock
  readonly randomInt: (max: number) => number
  readonly log: Logger
}

/** A server, and what is known of it. */
interface Probed {
  readonly upstream: Upstream
  leadsBack: boolean
}

const everyMs = 30_000
const timeoutMs = 2000

export class LoopProbe {
  readonly #options: LoopProbeOptions
  readonly #abort = new AbortController()
  #again: Timer | undefined
  #mayRunAtMs = Number.NEGATIVE_INFINITY

  constructor(options: LoopProbeOptions) {
    this.#options = options
  }

  /** Asks every server, unless that was done a short while ago. */
  run(): void {
    const { clock, servers } = this.#options
    const now = clock.monotonicMs()
    if (now < this.#mayRunAtMs || this.#abort.signal.aborted) return
    this.#mayRunAtMs = now + everyMs
    void Promise.all(servers.map((server) => this.#probe(server))).then(() => {
      if (servers.every(({ leadsBack }) => !leadsBack)) return
      this.#again?.cancel()
      this.#again = clock.setTimeout(() => this.run(), everyMs)
    })
  }

  stop(): void {
    this.#abort.abort()
    this.#again?.cancel()
  }

  async #probe(server: Probed): Promise<void> {
    const { zone, exchange, loops, clock, randomInt, log } = this.#options
    const label = (): string => Array.from({ length: 16 }, () => 'abcdefghijklmnopqrstuvwxyz'[randomInt(26)]).join('')
    const name = `${label()}.${label()}.${zone === '.' ? '' : zone}`
    const probe = loops.probe(name)
    try {
      await exchange(server.upstream, { name, type: TYPE.HINFO, class: CLASS.IN, dnssecOk: false, checkingDisabled: false, trail: loops.onward() }, { clock, randomInt, timeoutMs, signal: this.#abort.signal })
    } catch {
      // No answer says nothing of loops; that nobody answers is told when somebody asks.
    }
    const before = server.leadsBack
    server.leadsBack = probe.ended()
    if (server.leadsBack && !before) log.error('a server for names elsewhere leads back to this one: it is not asked until it no longer does', { server: nameOf(server.upstream), zone })
    if (!server.leadsBack && before) log.info('a server for names elsewhere no longer leads back to this one', { server: nameOf(server.upstream), zone })
  }
}
