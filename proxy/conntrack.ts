/**
 * Forgets connections that lead to what is no endpoint any more. It comes after the rules, so that what is forgotten is translated
 * anew; and it comes together for all changes of a moment, because one look at the table costs tens of milliseconds.
 */
import type { Clock, Random, Timer } from '../api/clock.ts'
import type { Logger } from '../api/log.ts'
import { Conntrack } from '../netlink/conntrack.ts'
import type { ConntrackFilter } from '../netlink/conntrack.ts'
import { isNotFound } from '../netlink/errors.ts'
import type { Netns } from '../netlink/netns.ts'
import { readSysctl } from '../netlink/sysctl.ts'

/** Deletes matching entries of a network namespace; returns how many went. An empty table, which would cost as much as a full one, is not looked through. */
export function deleteFrom(netns: Netns | undefined): CleanerOptions['deleteMatching'] {
  return async (filters) => {
    if (isEmpty(netns)) return 0
    using conntrack = Conntrack.open({ netns })
    return await conntrack.deleteMatchingInThread(filters)
  }
}

function isEmpty(netns: Netns | undefined): boolean {
  try {
    return readSysctl('netfilter/nf_conntrack_count', { netns }) === '0'
  } catch (error) {
    if (isNotFound(error)) return false
    throw error
  }
}

export interface ConntrackCleaner {
  /** Has these forgotten soon. */
  add(filters: readonly ConntrackFilter[]): void
  /** Forgets at once what waits; resolves when nothing is under way. */
  stop(): Promise<void>
}

export interface CleanerOptions {
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
  readonly deleteMatching: (filters: readonly ConntrackFilter[]) => Promise<number>
}

/** Changes within this time share one look at the table; up to twice of it, so that hosts of one machine do not all look at once. */
const gatherMs = 100
/** Where changes do not end, looking takes no more than a tenth of a processor's time; but UDP clients are to move within a second. */
const restShare = 9
const restMsMax = 500
const retryMs = 1_000

export function createCleaner({ clock, random, log, deleteMatching }: CleanerOptions): ConntrackCleaner {
  let waiting: ConntrackFilter[] = []
  let timer: Timer | undefined
  let underWay: Promise<void> = Promise.resolve()
  let stopped = false
  let isLooking = false
  let restMs = 0
  let restsFrom = 0
  const clean = async (): Promise<void> => {
    timer?.cancel()
    timer = undefined
    const filters = waiting
    waiting = []
    if (filters.length === 0) return
    isLooking = true
    const began = clock.monotonicMs()
    try {
      const count = await deleteMatching(filters)
      if (count > 0) log.debug('forgot connections to removed endpoints', { count })
    } catch (error) {
      log.warn('cannot forget connections to removed endpoints, trying again', { error })
      for (const filter of filters) waiting.push(filter)
      later(retryMs)
    }
    isLooking = false
    restsFrom = clock.monotonicMs()
    restMs = Math.min(restMsMax, restShare * (restsFrom - began))
    soon()
  }
  const soon = (): void => {
    if (waiting.length > 0 && !isLooking) later(Math.max(gatherMs * (1 + random()), restsFrom + restMs - clock.monotonicMs()))
  }
  const later = (ms: number): void => {
    if (!stopped) timer ??= clock.setTimeout(() => void (underWay = underWay.then(clean)), ms)
  }
  return {
    add(filters) {
      for (const filter of filters) waiting.push(filter)
      soon()
    },
    async stop() {
      stopped = true
      await (underWay = underWay.then(clean))
    },
  }
}
