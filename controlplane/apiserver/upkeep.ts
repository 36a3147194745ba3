// What an API server does for its store in the background: old events go, and history is kept bounded.
import type { Clock, Timer } from '../../api/clock.ts'
import type { Logger } from '../../api/log.ts'
import type { Store } from '../store/index.ts'
import { isStoreError } from '../store/index.ts'
import { serverUser } from './bootstrap/objects.ts'
import type { WatchCache } from './cache/index.ts'
import type { Registry } from './registry.ts'
import { StatusError } from './status.ts'
import type { Writer } from './write/writer.ts'

/** As kube-apiserver's --event-ttl and --etcd-compaction-interval. */
const eventLifeMs = 3_600_000
const intervalMs = 300_000
/** Events removed in one go, so that writers hardly notice. */
const removedAtOnce = 500

export interface UpkeepOptions {
  readonly store: Store
  readonly cache: WatchCache
  readonly writer: Writer
  readonly registry: Registry
  readonly clock: Clock
  readonly log: Logger
}

/** Starts the five-minute round. Returns what stops it. */
export function startUpkeep(options: UpkeepOptions): () => void {
  const { clock, log, store } = options
  let timer: Timer
  let stopped = false
  let seen: number | undefined
  const round = async (): Promise<void> => {
    try {
      await removeOldEvents(options)
      const current = await store.currentRevision()
      // History of the last interval stays: lists that are continued and watches that resume need it.
      if (seen !== undefined) await store.compact(seen)
      seen = current
    } catch (error) {
      if (!isStoreError(error, 'closed')) log.warn('upkeep of the store failed', { error })
    }
    if (!stopped) timer = clock.setTimeout(() => void round(), intervalMs)
  }
  timer = clock.setTimeout(() => void round(), intervalMs)
  return () => {
    stopped = true
    timer.cancel()
  }
}

async function removeOldEvents({ cache, writer, registry, clock }: UpkeepOptions): Promise<void> {
  const descriptor = registry.named('events')
  if (descriptor === undefined) return
  const before = clock.now() - eventLifeMs
  const old = cache.of(descriptor).list().filter(({ object }) => lastSeen(object) < before)
  for (let at = 0; at < old.length; at += removedAtOnce) {
    await Promise.all(old.slice(at, at + removedAtOnce).map(async ({ namespace, name }) => {
      try {
        await writer.delete({ descriptor, namespace, name }, {}, { user: serverUser })
      } catch (error) {
        // Deleted by somebody else in the meantime.
        if (!(error instanceof StatusError && error.code === 404)) throw error
      }
    }))
  }
}

/** When an event last happened: its life counts from there, as every update renews the lease in etcd. */
function lastSeen(object: Record<string, unknown> & { metadata: { creationTimestamp?: string } }): number {
  const series = object['series'] as { lastObservedTime?: string } | undefined
  const times = [object['lastTimestamp'], series?.lastObservedTime, object['eventTime'], object.metadata.creationTimestamp].map((time) => (typeof time === 'string' ? Date.parse(time) : NaN))
  return Math.max(...times.filter((time) => !Number.isNaN(time)), 0)
}
