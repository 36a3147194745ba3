/** Writes pod statuses: the latest of each pod, in the background, again and again until the API server has it. */
import { isNotFound } from '../../api/client.ts'
import type { Client } from '../../api/client.ts'
import type { Clock, Random } from '../../api/clock.ts'
import type { Logger } from '../../api/log.ts'
import { pods } from '../../api/resources.ts'
import type { Pod, PodStatus } from '../../api/types.ts'
import { WorkQueue } from '../../api/work-queue.ts'
import { statusPatch } from './status-patch.ts'

export interface StatusWriterOptions {
  readonly client: Client
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
  /** The pod as the watch has it; undefined when it is gone or is another of the same name. */
  readonly current: (uid: string) => Pod | undefined
}

interface Wanted {
  readonly status: PodStatus
  /** The object that our last write left, which the watch may not have shown yet. */
  readonly written: Pod | undefined
}

export class StatusWriter {
  readonly #options: StatusWriterOptions
  readonly #wanted = new Map<string, Wanted>()
  readonly #waiters = new Map<string, (() => void)[]>()
  readonly #queue: WorkQueue
  #stopped = false

  constructor(options: StatusWriterOptions) {
    this.#options = options
    const { clock, random, log } = options
    this.#queue = new WorkQueue({
      clock, random, concurrency: 16, backoff: { initialMs: 50, maxMs: 5000 },
      reconcile: (uid) => this.#write(uid),
      onError: (error, uid) => log.warn('cannot write the status of a pod, trying again', { uid, error }),
    })
  }

  want(uid: string, status: PodStatus): void {
    this.#wanted.set(uid, { status, written: this.#wanted.get(uid)?.written })
    this.#queue.add(uid)
  }

  /** Resolves when the API server has the wanted status, or has no such pod. */
  settled(uid: string): Promise<void> {
    if (this.#stopped) return Promise.resolve()
    return new Promise((resolve) => {
      this.#waiters.set(uid, [...(this.#waiters.get(uid) ?? []), resolve])
      this.#queue.add(uid)
    })
  }

  forget(uid: string): void {
    this.#wanted.delete(uid)
    this.#settle(uid)
  }

  stop(): Promise<void> {
    this.#stopped = true
    for (const uid of this.#waiters.keys()) this.#settle(uid)
    return this.#queue.stop()
  }

  async #write(uid: string): Promise<void> {
    const wanted = this.#wanted.get(uid)
    const base = newer(this.#options.current(uid), wanted?.written)
    if (wanted === undefined || base === undefined) return this.#settle(uid)
    const patch = statusPatch(base.status ?? {}, wanted.status)
    if (patch === undefined) return this.#settle(uid)
    const { namespace = '', name = '' } = base.metadata
    try {
      // The uid makes sure that it is this pod and no later one of its name.
      const written = await this.#options.client.patch(pods, { namespace, name, subresource: 'status' }, { metadata: { uid }, status: patch }, { type: 'strategic' })
      const latest = this.#wanted.get(uid)
      if (latest === undefined) return this.#settle(uid)
      this.#wanted.set(uid, { status: latest.status, written })
      if (latest.status === wanted.status) this.#settle(uid)
    } catch (error) {
      // A conflict means that the watch is behind: tried again, it finds the pod gone, or as it is now.
      if (!isNotFound(error)) throw error
      this.#settle(uid)
    }
  }

  #settle(uid: string): void {
    for (const resolve of this.#waiters.get(uid) ?? []) resolve()
    this.#waiters.delete(uid)
  }
}

/** The later of two states of one object. */
function newer(a: Pod | undefined, b: Pod | undefined): Pod | undefined {
  if (a === undefined || b === undefined) return a
  return BigInt(b.metadata.resourceVersion ?? 0) > BigInt(a.metadata.resourceVersion ?? 0) ? b : a
}
