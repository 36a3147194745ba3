// What an API server does for its store in the background: what has had its time goes, and history is kept bounded.
import type { Clock, Timer } from '../../api/clock.ts'
import type { Logger } from '../../api/log.ts'
import type { Store } from '../store/index.ts'
import { isStoreError } from '../store/index.ts'
import { serverUser } from './bootstrap/objects.ts'
import type { WatchCache } from './cache/index.ts'
import type { Registry } from './registry.ts'
import { isExpiredToken } from './authentication/bootstrap-tokens.ts'
import { isRecord } from './object.ts'
import type { ApiObject } from './object.ts'
import { StatusError } from './status.ts'
import type { Writer } from './write/writer.ts'

/** As kube-apiserver's --event-ttl and --etcd-compaction-interval. */
const eventLifeMs = 3_600_000
const intervalMs = 300_000
/** As kube-controller-manager's csrcleaner. */
const decidedRequestLifeMs = 3_600_000
const pendingRequestLifeMs = 86_400_000
/** Objects removed in one go, so that writers hardly notice. */
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
      await removeWhatIsOver(options)
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

/** What goes by itself, and when. */
const perishable: readonly { readonly resource: string; readonly isOver: (object: ApiObject, now: number) => boolean }[] = [
  { resource: 'events', isOver: (event, now) => now - lastSeen(event) > eventLifeMs },
  { resource: 'certificatesigningrequests.certificates.k8s.io', isOver: isOldRequest },
  { resource: 'secrets', isOver: isExpiredToken },
]

async function removeWhatIsOver({ cache, writer, registry, clock }: UpkeepOptions): Promise<void> {
  const now = clock.now()
  for (const { resource, isOver } of perishable) {
    const descriptor = registry.named(resource)
    if (descriptor === undefined) continue
    const over = cache.of(descriptor).list().filter(({ object }) => isOver(object, now))
    for (let at = 0; at < over.length; at += removedAtOnce) {
      await Promise.all(over.slice(at, at + removedAtOnce).map(async ({ namespace, name }) => {
        try {
          await writer.delete({ descriptor, namespace, name }, {}, { user: serverUser })
        } catch (error) {
          // Deleted by somebody else in the meantime.
          if (!(error instanceof StatusError && error.code === 404)) throw error
        }
      }))
    }
  }
}

/** A request for a certificate is of no use to anybody long after it was decided, or a day after it was not (csrcleaner). */
function isOldRequest({ metadata, status }: ApiObject, now: number): boolean {
  const age = now - Date.parse(metadata.creationTimestamp ?? '')
  const isDecided = isRecord(status) && Array.isArray(status['conditions']) && status['conditions'].length > 0
  return age > (isDecided ? decidedRequestLifeMs : pendingRequestLifeMs)
}

/** When an event last happened: its life counts from there, as every update renews the lease in etcd. */
function lastSeen(object: ApiObject): number {
  const series = object['series'] as { lastObservedTime?: string } | undefined
  const times = [object['lastTimestamp'], series?.lastObservedTime, object['eventTime'], object.metadata.creationTimestamp].map((time) => (typeof time === 'string' ? Date.parse(time) : NaN))
  return Math.max(...times.filter((time) => !Number.isNaN(time)), 0)
}
