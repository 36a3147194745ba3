/**
 * Brings the kernel to what is wanted, in one transaction with only the difference. What the kernel has is read once and then kept
 * from what was applied; everyone's transactions are listened to, and when somebody else changed our table it is read again.
 */
import type { Clock } from '../api/clock.ts'
import type { Logger } from '../api/log.ts'
import type { ConntrackFilter } from '../netlink/conntrack.ts'
import { isStale } from '../netlink/nftables/index.ts'
import type { Nftables, NftablesEvent } from '../netlink/nftables/index.ts'
import { readHave } from './have.ts'
import type { Have } from './have.ts'
import { toOperations } from './operations.ts'
import { applyTo, countOf, plan } from './plan.ts'
import { fixedChains, table } from './rules.ts'
import type { FixedOptions } from './rules.ts'
import type { Touched, Want } from './want.ts'

export interface SyncOptions {
  readonly nftables: Nftables
  readonly fixed: FixedOptions
  readonly clock: Clock
  readonly log: Logger
  /** The table is to be compared as a whole: sync soon. */
  readonly onMustSync: () => void
}

export interface SyncResult {
  readonly changes: number
  readonly stale: readonly ConntrackFilter[]
}

const attemptsMax = 10
/** The kernel writes a notification for each element while anyone listens, which doubles the time of many: for so many changes nobody does. */
const quietlyFrom = 1_000
/** How long notifications of somebody's transaction may take to be read. */
const settleMs = 2

export class Sync {
  readonly #options: SyncOptions
  readonly #fixedNames: readonly string[]
  /** What the kernel has at `#generation`; undefined: not known. */
  #have: Have | undefined
  #generation = 0
  #listening: { close(): void } | undefined

  constructor(options: SyncOptions) {
    this.#options = options
    this.#fixedNames = fixedChains(options.fixed).map(({ name }) => name)
  }

  /** Applies what is missing. When it throws, the kernel is as before and the next sync compares everything. */
  async sync(want: Want): Promise<SyncResult> {
    let touched: Touched | undefined = want.take()
    for (let attempt = 1; ; attempt += 1) {
      try {
        if (this.#have === undefined) {
          this.#read()
          touched = undefined
        }
        return this.#apply(want, touched)
      } catch (error) {
        // Ours is right still if only other tables changed, which the notifications tell; else all is read again.
        if (this.#listening === undefined) this.#have = undefined
        if (!isStale(error) || attempt >= attemptsMax) {
          this.#have = undefined
          throw error
        }
        if (attempt > attemptsMax / 2) this.#have = undefined
        await this.#options.clock.sleep(settleMs)
      }
    }
  }

  close(): void {
    this.#listening?.close()
    this.#listening = undefined
  }

  #read(): void {
    const { nftables, fixed } = this.#options
    // A table that is not there has no generation of its own to be read at: the one before the look is safe.
    const generation = nftables.generation()
    const ruleset = nftables.list(table)
    this.#have = readHave(ruleset, fixed)
    this.#generation = ruleset?.generation ?? generation
  }

  #apply(want: Want, touched: Touched | undefined): SyncResult {
    const have = this.#have
    if (have === undefined) throw new Error('Cannot sync: what the kernel has was not read')
    const { changes, stale, again } = plan(want, have, { fixedChains: this.#fixedNames, touched })
    const { nftables, fixed } = this.#options
    const count = countOf(changes)
    if (count > quietlyFrom) this.close()
    if (changes.length > 0) this.#generation = nftables.apply(toOperations(changes, fixed), { generation: this.#generation })
    this.#have = applyTo(have, changes)
    this.#listen()
    if (again) this.#readAgain()
    return { changes: count, stale }
  }

  #listen(): void {
    if (this.#listening !== undefined) return
    const { nftables } = this.#options
    this.#listening = nftables.listen((event) => this.#heard(event))
    // Somebody may have been quicker.
    if (nftables.generation() !== this.#generation) this.#readAgain()
  }

  #heard(event: NftablesEvent): void {
    if (event.kind === 'transaction') {
      if (event.generation <= this.#generation) return
      const ours = event.tables.some(({ family, name }) => family === table.family && name === table.name)
      if (!ours && event.generation === this.#generation + 1) {
        this.#generation = event.generation
        return
      }
      if (ours) this.#options.log.warn('somebody else changed the table, mending it', { table: table.name, by: event.processName })
    }
    if (this.#have === undefined) return
    this.#readAgain()
  }

  #readAgain(): void {
    this.#have = undefined
    this.#options.onMustSync()
  }
}
