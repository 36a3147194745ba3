/**
 * One of several does the work: who holds a Lease, as Kubernetes' leader election has it (client-go tools/leaderelection). The holder renews; the
 * others look on, and take a Lease that has not changed for its whole duration by their own clocks, so that clocks need not agree.
 */
import type { Client } from './client.ts'
import type { Clock, Random } from './clock.ts'
import type { Component } from './component.ts'
import { isAlreadyExists, isConflict, isNotFound } from './errors.ts'
import type { Logger } from './log.ts'
import { leases } from './resources.ts'
import type { Lease } from './types.ts'

export interface ElectionOptions {
  readonly client: Client
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
  /** Of the Lease, in kube-system. */
  readonly name: string
  /** Of us among those who want it; the same after a restart, which then need not wait. */
  readonly identity: string
  /** What the leader does. */
  readonly start: () => Promise<Component>
}

const namespace = 'kube-system'
/** Kubernetes' own: others may take over after the first, the holder gives up after the second. */
const leaseDurationMs = 15_000
const renewDeadlineMs = 10_000
const retryPeriodMs = 2000
/** So that those who look on do not all come at once. */
const jitter = 0.2

interface Observed {
  readonly holder: string
  readonly renewTime: string
  readonly atMs: number
}

/** Runs for the Lease until stopped; does the work while it holds it. Ends by itself only with what does the work. */
export function startElected(options: ElectionOptions): Component {
  const election = new Election(options)
  return { stop: () => election.stop(), done: election.done }
}

class Election {
  readonly done: Promise<void>
  readonly #options: ElectionOptions
  readonly #stopping = new AbortController()
  readonly #settle: { resolve: () => void; reject: (error: unknown) => void }
  readonly #running: Promise<void>
  #observed: Observed | undefined

  constructor(options: ElectionOptions) {
    this.#options = options
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.done = promise
    this.#settle = { resolve, reject }
    this.#running = this.#run()
  }

  async stop(): Promise<void> {
    this.#stopping.abort()
    await this.#running
  }

  async #run(): Promise<void> {
    try {
      while (!this.#stopping.signal.aborted) {
        if (await this.#tryHolding()) await this.#lead()
        else await this.#pause(retryPeriodMs * (1 + jitter * this.#options.random()))
      }
      this.#settle.resolve()
    } catch (error) {
      this.#settle.reject(error)
    }
  }

  async #lead(): Promise<void> {
    const { clock, log, name, identity } = this.#options
    log.info('leading', { lease: name, identity })
    const work = await this.#options.start()
    const end: { how?: { readonly error?: unknown } } = {}
    const ended = work.done.then(() => void (end.how = {}), (error: unknown) => void (end.how = { error }))
    try {
      for (let renewedMs = clock.monotonicMs(); !this.#stopping.signal.aborted; ) {
        await Promise.race([this.#pause(retryPeriodMs), ended])
        if (end.how?.error !== undefined) throw end.how.error
        if (end.how !== undefined || this.#stopping.signal.aborted) return
        const askedMs = clock.monotonicMs()
        // An answer that does not come is none.
        const isHeld = await Promise.race([this.#tryHolding(), this.#pause(Math.max(0, renewedMs + renewDeadlineMs - askedMs)).then(() => false)])
        if (isHeld) renewedMs = askedMs
        else if (this.#observed?.holder !== identity || clock.monotonicMs() - renewedMs >= renewDeadlineMs) {
          log.warn('leading no longer', { lease: name, holder: this.#observed?.holder })
          return
        }
      }
    } finally {
      await work.stop()
      if (this.#stopping.signal.aborted) await this.#release()
    }
  }

  /** Makes the Lease ours, or keeps it so. False: somebody else's, or it could not be written. */
  async #tryHolding(): Promise<boolean> {
    const { client, log, name } = this.#options
    const { signal } = this.#stopping
    try {
      const lease = await this.#read()
      if (lease === undefined) {
        await client.create(leases, { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata: { name, namespace }, spec: this.#spec(undefined) }, { signal })
      } else {
        if (!this.#isFree(lease)) return false
        await client.update(leases, { ...lease, spec: this.#spec(lease) }, { signal })
      }
      this.#observe(this.#options.identity, '')
      return true
    } catch (error) {
      if (!isConflict(error) && !isAlreadyExists(error) && !this.#stopping.signal.aborted) log.warn('cannot renew the lease, trying again', { lease: name, error })
      return false
    }
  }

  async #read(): Promise<Lease | undefined> {
    try {
      return await this.#options.client.get(leases, { name: this.#options.name, namespace }, { signal: this.#stopping.signal })
    } catch (error) {
      if (isNotFound(error)) return undefined
      throw error
    }
  }

  #isFree({ spec }: Lease): boolean {
    const { holderIdentity: holder = '', renewTime = '', leaseDurationSeconds } = spec ?? {}
    if (holder === '' || holder === this.#options.identity) return true
    if (this.#observed?.holder !== holder || this.#observed.renewTime !== renewTime) this.#observe(holder, renewTime)
    const duration = leaseDurationSeconds === undefined ? leaseDurationMs : leaseDurationSeconds * 1000
    return this.#options.clock.monotonicMs() - (this.#observed?.atMs ?? 0) > duration
  }

  #observe(holder: string, renewTime: string): void {
    this.#observed = { holder, renewTime, atMs: this.#options.clock.monotonicMs() }
  }

  #spec(present: Lease | undefined): NonNullable<Lease['spec']> {
    const { clock, identity } = this.#options
    const now = microTime(clock.now())
    const { holderIdentity, acquireTime, leaseTransitions = 0 } = present?.spec ?? {}
    const isOurs = holderIdentity === identity
    return { holderIdentity: identity, leaseDurationSeconds: leaseDurationMs / 1000, acquireTime: isOurs && acquireTime !== undefined ? acquireTime : now, renewTime: now, leaseTransitions: isOurs || present === undefined ? leaseTransitions : leaseTransitions + 1 }
  }

  /** Nobody has to wait for one who has gone in order. */
  async #release(): Promise<void> {
    const { client, clock, name, identity } = this.#options
    try {
      const lease = await client.get(leases, { name, namespace })
      if (lease.spec?.holderIdentity !== identity) return
      const now = microTime(clock.now())
      await client.update(leases, { ...lease, spec: { ...lease.spec, holderIdentity: '', leaseDurationSeconds: 1, renewTime: now, acquireTime: now } })
    } catch (error) {
      this.#options.log.debug('could not release the lease', { lease: name, error })
    }
  }

  async #pause(ms: number): Promise<void> {
    try {
      await this.#options.clock.sleep(ms, this.#stopping.signal)
    } catch (error) {
      if (!this.#stopping.signal.aborted) throw error
    }
  }
}

function microTime(ms: number): string {
  return new Date(ms).toISOString().replace('Z', '000Z')
}
