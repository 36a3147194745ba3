/** What answers now: names, limits and log by the settings that hold. Other settings take their place whole, when they know the cluster's names; no question is lost. */
import type { Clock, Random } from '../api/clock.ts'
import type { Logger } from '../api/log.ts'
import { QueryLog } from './answers/query-log.ts'
import { Responder } from './answers/responder.ts'
import type { Settings } from './config/settings.ts'
import { ClusterNames } from './names.ts'
import type { NamesOptions } from './names.ts'
import { RateLimit } from './server/rate-limit.ts'

export interface ServingOptions extends Omit<NamesOptions, keyof Settings> {
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
}

/** Questions that the names before wait for answers to, from servers elsewhere, get them within this time or not at all. */
const lingerMs = 5000

export class Serving {
  readonly responder: Responder
  readonly #options: ServingOptions
  #settings: Settings
  #names: ClusterNames
  #limit: RateLimit
  #queryLog: QueryLog
  /** Names that are to take the place of those that answer. */
  #next: ClusterNames | undefined
  readonly #before = new Set<ClusterNames>()
  #stopped = false

  constructor(options: ServingOptions, settings: Settings) {
    const { clock, random, log } = options
    this.#options = options
    this.#settings = settings
    this.#names = new ClusterNames({ ...options, ...settings })
    this.#limit = new RateLimit(settings.rateLimit, clock)
    this.#queryLog = new QueryLog({ every: settings.queryLogEvery, clock, log })
    this.responder = new Responder({
      handlers: () => this.#names.handlers, recursionAvailable: () => this.#names.takesOtherNames, random, log, nowMs: () => clock.monotonicMs(),
      allows: (client) => !this.#limit.isOn || this.#limit.allows(client),
      queryLog: { isDue: () => this.#queryLog.isDue(), begin: (...asked) => this.#queryLog.begin(...asked) },
    })
  }

  get names(): ClusterNames {
    return this.#names
  }

  /** Takes other settings; resolves when they hold, or newer ones have come. */
  async change(settings: Settings): Promise<void> {
    const { clock, log } = this.#options
    const { rateLimit, queryLogEvery, ...rest } = settings
    const { rateLimit: _limit, queryLogEvery: _every, ...before } = this.#settings
    if (rateLimit !== this.#settings.rateLimit) this.#limit = new RateLimit(rateLimit, clock)
    this.#queryLog = new QueryLog({ every: queryLogEvery, clock, log })
    const isSame = JSON.stringify(rest) === JSON.stringify(before)
    this.#settings = settings
    if (isSame || this.#stopped) return
    const abandoned = this.#next
    const next = new ClusterNames({ ...this.#options, ...settings })
    this.#next = next
    await abandoned?.stop({ save: false })
    // Newer settings have come, or the end: nobody would stop what is started now.
    if (this.#next !== next) return
    await next.start()
    if (this.#next !== next) return
    this.#next = undefined
    const old = this.#names
    this.#names = next
    this.responder.cache.clear()
    next.outside.start()
    this.#before.add(old)
    clock.setTimeout(() => void this.#end(old), lingerMs)
  }

  /** Unless others have to save by now, resolves when what is known is on disk. */
  async stop({ save = true }: { readonly save?: boolean } = {}): Promise<void> {
    this.#stopped = true
    const next = this.#next
    this.#next = undefined
    await next?.stop({ save: false })
    await Promise.all([...this.#before].map((names) => this.#end(names)))
    await this.#names.stop({ save })
  }

  async #end(names: ClusterNames): Promise<void> {
    if (this.#before.delete(names)) await names.stop({ save: false })
  }
}
