/** Events: what a component did to an object or could not do, for `kubectl describe`. The same thing again counts up. */
import { isNotFound, isNamespaceTerminating } from './client.ts'
import type { Client } from './client.ts'
import type { Clock } from './clock.ts'
import type { Logger } from './log.ts'
import { events } from './resources.ts'
import type { Event, KubeObject, ObjectMeta } from './types.ts'

export interface EventRecorderOptions {
  readonly client: Client
  readonly clock: Clock
  readonly log: Logger
  /** `kubelet`, `default-scheduler`, … */
  readonly component: string
  readonly host?: string
}

export interface EventTarget {
  readonly kind: string
  readonly apiVersion: string
  readonly metadata: ObjectMeta
  /** Part of the object: `spec.containers{web}`. */
  readonly fieldPath?: string
}

interface Recorded {
  readonly namespace: string
  readonly name: string
  count: number
  lastMs: number
}

/** Equal events are one object for this long after the last. */
const aggregateMs = 10 * 60_000
const rememberedMax = 4096
/** Writes wait in line; more than this many are dropped with a word in the log. */
const pendingMax = 1000

/** Writes events in the background, in order; a failure is logged and never reaches the caller. */
export class EventRecorder {
  readonly #options: EventRecorderOptions
  readonly #recorded = new Map<string, Recorded>()
  #tail: Promise<void> = Promise.resolve()
  #pending = 0
  #serial = 0

  constructor(options: EventRecorderOptions) {
    this.#options = options
  }

  /** Says something about an object; `reason` is one CamelCase word, `message` a sentence for people. */
  event(target: EventTarget | (KubeObject & { kind?: string }), type: 'Normal' | 'Warning', reason: string, message: string): void {
    if (this.#pending >= pendingMax) {
      this.#options.log.warn('too many events are waiting, one was dropped', { reason, message })
      return
    }
    this.#pending += 1
    this.#tail = this.#tail.then(() => this.#record(target as EventTarget, type, reason, message)).finally(() => (this.#pending -= 1))
  }

  /** Resolves when all events so far are written or given up. */
  flush(): Promise<void> {
    return this.#tail
  }

  async #record(target: EventTarget, type: 'Normal' | 'Warning', reason: string, message: string): Promise<void> {
    const { client, clock, log } = this.#options
    const { name = '', uid = '' } = target.metadata
    const namespace = target.metadata.namespace ?? 'default'
    const key = JSON.stringify([namespace, name, uid, target.fieldPath, type, reason, message])
    const known = this.#recorded.get(key)
    try {
      if (known !== undefined && clock.now() - known.lastMs < aggregateMs && (await this.#countUp(known))) return
      const eventName = `${name}.${(Math.floor(clock.now()) * 4096 + (this.#serial++ % 4096)).toString(16)}`
      await client.create(events, this.#newEvent(target, { namespace, eventName, type, reason, message }))
      this.#remember(key, { namespace, name: eventName, count: 1, lastMs: clock.now() })
    } catch (error) {
      if (!isNamespaceTerminating(error) && !isNotFound(error)) log.warn('cannot record an event', { reason, object: `${namespace}/${name}`, error })
    }
  }

  async #countUp(known: Recorded): Promise<boolean> {
    const { client, clock } = this.#options
    try {
      await client.patch(events, { namespace: known.namespace, name: known.name }, { count: known.count + 1, lastTimestamp: seconds(clock.now()) }, { type: 'merge' })
      known.count += 1
      known.lastMs = clock.now()
      return true
    } catch (error) {
      // It has expired: begin a new one.
      if (isNotFound(error)) return false
      throw error
    }
  }

  #newEvent(target: EventTarget, { namespace, eventName, type, reason, message }: { readonly namespace: string; readonly eventName: string; readonly type: 'Normal' | 'Warning'; readonly reason: string; readonly message: string }): Event {
    const { clock, component, host } = this.#options
    const { name = '', uid = '', resourceVersion } = target.metadata
    const time = seconds(clock.now())
    return {
      metadata: { name: eventName, namespace },
      involvedObject: {
        kind: target.kind, apiVersion: target.apiVersion, name, uid,
        ...(target.metadata.namespace === undefined ? {} : { namespace: target.metadata.namespace }),
        ...(resourceVersion === undefined ? {} : { resourceVersion }),
        ...(target.fieldPath === undefined ? {} : { fieldPath: target.fieldPath }),
      },
      reason, message: message.slice(0, 1024), type, count: 1,
      firstTimestamp: time, lastTimestamp: time,
      source: { component, ...(host === undefined ? {} : { host }) },
      reportingComponent: component, reportingInstance: host ?? '',
    }
  }

  #remember(key: string, recorded: Recorded): void {
    this.#recorded.set(key, recorded)
    if (this.#recorded.size <= rememberedMax) return
    const oldest = this.#recorded.keys().next().value
    if (oldest !== undefined) this.#recorded.delete(oldest)
  }
}

function seconds(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`
}
