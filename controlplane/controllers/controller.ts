/** What every controller is made of: the caches that all share, one queue of its own, a way to say what it did. */
import { isConflict } from '../../api/client.ts'
import type { Client } from '../../api/client.ts'
import type { Clock, Random } from '../../api/clock.ts'
import { EventRecorder } from '../../api/events.ts'
import type { InformerSet } from '../../api/informer-set.ts'
import type { Logger } from '../../api/log.ts'
import { WorkQueue } from '../../api/work-queue.ts'
import type { ReconcileResult } from '../../api/work-queue.ts'

export interface ControllersOptions {
  readonly client: Client
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
  /** Which controllers run, by the names of `controllerNames`; `*` is all, `-name` all but that one. Default `['*']`. */
  readonly controllers?: readonly string[]
  /** Where nodes get their pod ranges from, one per address family; default `['10.244.0.0/16']`. */
  readonly clusterCIDRs?: readonly string[]
  /** How long a node may be silent before it counts as lost; default 40 s. */
  readonly nodeMonitorGracePeriodMs?: number
  /** How many finished pods stay before the oldest are removed; default 12,500. */
  readonly terminatedPodsMax?: number
  /** The cluster's CA in PEM, published to every namespace as `kube-root-ca.crt`; without it nothing is published. */
  readonly rootCA?: string
}

export interface ControllerContext extends ControllersOptions {
  readonly informers: InformerSet
}

/** One control loop. Its constructor asks for its informers; it starts once they are filled. */
export interface Controller {
  start(): void
  stop(): Promise<void>
}

export type ControllerFactory = (context: ControllerContext) => Controller

/** The queue of one controller; failures are logged and tried again. */
export function queueOf({ clock, random, log }: ControllerContext, name: string, reconcile: (key: string) => Promise<ReconcileResult>, concurrency = 4): WorkQueue {
  return new WorkQueue({
    clock, random, reconcile, concurrency,
    onError: (error, key) => {
      // Someone wrote in between: the newer state is on its way to the cache.
      if (isConflict(error)) log.debug('written by another meanwhile, trying again', { controller: name, key })
      else log.warn('cannot reconcile, trying again', { controller: name, key, error })
    },
  })
}

export function eventsOf({ client, clock, log }: ControllerContext, name: string): EventRecorder {
  return new EventRecorder({ client, clock, log, component: `${name}-controller` })
}
