/**
 * Forgets connections that lead to what is no endpoint any more. It comes after the rules, so that what is forgotten is translated
 * anew; and it comes together for all changes of a moment, because one look at the table costs tens of milliseconds.
 */
import type { Clock, Timer } from '../api/clock.ts'
import type { Logger } from '../api/log.ts'
import { deleteConntrack } from '../netlink/conntrack.ts'
import type { ConntrackFilter } from '../netlink/conntrack.ts'
import { isNotFound } from '../netlink/errors.ts'
import type { Netns } from '../netlink/netns.ts'
import { readSysctl } from '../netlink/sysctl.ts'

/** Deletes matching entries of a network namespace; returns how many went. An empty table, which would cost as much as a full one, is not looked through. */
export function deleteFrom(netns: Netns | undefined): (filters: readonly ConntrackFilter[]) => number {
  return (filters) => (isEmpty(netns) ? 0 : deleteConntrack(filters, { netns }))
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
  /** Forgets at once what waits. */
  stop(): void
}

export interface CleanerOptions {
  readonly clock: Clock
  readonly log: Logger
  readonly deleteMatching: (filters: readonly ConntrackFilter[]) => number
}

/** Changes within this time share one look at the table. */
const gatherMs = 100
const retryMs = 1_000

export function createCleaner({ clock, log, deleteMatching }: CleanerOptions): ConntrackCleaner {
  let waiting: ConntrackFilter[] = []
  let timer: Timer | undefined
  const clean = (): void => {
    timer?.cancel()
    timer = undefined
    if (waiting.length === 0) return
    const filters = waiting
    waiting = []
    try {
      const count = deleteMatching(filters)
      if (count > 0) log.debug('forgot connections to removed endpoints', { count })
    } catch (error) {
      log.warn('cannot forget connections to removed endpoints, trying again', { error })
      waiting.push(...filters)
      timer = clock.setTimeout(clean, retryMs)
    }
  }
  return {
    add(filters) {
      for (const filter of filters) waiting.push(filter)
      if (waiting.length > 0) timer ??= clock.setTimeout(clean, gatherMs)
    },
    stop() {
      clean()
      timer?.cancel()
    },
  }
}
