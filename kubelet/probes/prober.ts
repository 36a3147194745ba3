/**
 * Probes of running containers: startup first, then liveness and readiness side by side, each with its own period and thresholds.
 * What they found is asked by container id, and every change is told.
 */
import type { Clock, Timer } from '../../api/clock.ts'
import type { Container, Pod, Probe } from '../../api/types.ts'
import type { HandlerResult } from './handler.ts'

export type ProbeKind = 'startup' | 'liveness' | 'readiness'

export interface ProbedContainer {
  readonly pod: Pod
  readonly podIP: string
  readonly containerId: string
  readonly container: Container
  readonly startedAtMs: number
  /** What an earlier kubelet had found, where this one takes up a running container. */
  readonly before?: { readonly ready: boolean; readonly started: boolean }
}

export interface ProberOptions {
  readonly clock: Clock
  readonly run: (probed: ProbedContainer, probe: Probe, timeoutMs: number) => Promise<HandlerResult>
  readonly changed: (podUid: string) => void
  /** Told of every failed run. */
  readonly failed: (probed: ProbedContainer, kind: ProbeKind, output: string) => void
}

/** One probe of one container: counts results until a threshold turns its verdict. */
class ProbeLoop {
  verdict: boolean
  readonly kind: ProbeKind
  readonly #probe: Probe
  readonly #probed: ProbedContainer
  readonly #options: ProberOptions
  readonly #turned: () => void
  #streak = 0
  #last: boolean | undefined
  #timer: Timer | undefined
  #ended = false

  constructor(kind: ProbeKind, probe: Probe, probed: ProbedContainer, initial: boolean, options: ProberOptions, turned: () => void) {
    this.kind = kind
    this.verdict = initial
    this.#probe = probe
    this.#probed = probed
    this.#options = options
    this.#turned = turned
  }

  start(): void {
    if (this.#timer !== undefined || this.#ended) return
    const { clock } = this.#options
    const age = clock.now() - this.#probed.startedAtMs
    this.#schedule(Math.max(0, (this.#probe.initialDelaySeconds ?? 0) * 1000 - age))
  }

  stop(): void {
    this.#ended = true
    this.#timer?.cancel()
  }

  #schedule(ms: number): void {
    this.#timer = this.#options.clock.setTimeout(() => void this.#run(), ms)
  }

  async #run(): Promise<void> {
    const { clock, run, failed } = this.#options
    const began = clock.monotonicMs()
    const { ok, output } = await run(this.#probed, this.#probe, (this.#probe.timeoutSeconds ?? 1) * 1000)
    if (this.#ended) return
    if (!ok) failed(this.#probed, this.kind, output)
    this.#count(ok)
    // The verdict may have ended it.
    if (!(this.#ended as boolean)) this.#schedule(Math.max(0, (this.#probe.periodSeconds ?? 10) * 1000 - (clock.monotonicMs() - began)))
  }

  #count(ok: boolean): void {
    this.#streak = ok === this.#last ? this.#streak + 1 : 1
    this.#last = ok
    const threshold = ok ? (this.#probe.successThreshold ?? 1) : (this.#probe.failureThreshold ?? 3)
    if (this.#streak < threshold) return
    // A startup probe that fails for good and a liveness probe that fails mean the same: restart.
    const verdict = ok
    const first = this.#streak === threshold
    if (verdict === this.verdict && !(first && !ok)) return
    this.verdict = verdict
    // The container is to be restarted: there is nothing more to find out about this one.
    if (!ok && this.kind !== 'readiness') this.stop()
    this.#turned()
  }

  /** Whether the verdict is a failure that was reached, and not where it began. */
  get hasFailed(): boolean {
    return this.#last === false && this.#streak >= (this.#probe.failureThreshold ?? 3)
  }
}

class ProbedState {
  readonly podUid: string
  readonly #loops = new Map<ProbeKind, ProbeLoop>()
  readonly #name: string

  constructor(probed: ProbedContainer, options: ProberOptions) {
    const { container, before } = probed
    this.podUid = probed.pod.metadata.uid ?? ''
    this.#name = container.name
    const turned = (): void => {
      this.#startDue()
      options.changed(this.podUid)
    }
    const add = (kind: ProbeKind, probe: Probe | undefined, initial: boolean): void => {
      if (probe !== undefined) this.#loops.set(kind, new ProbeLoop(kind, probe, probed, initial, options, turned))
    }
    add('startup', container.startupProbe, before?.started === true)
    add('liveness', container.livenessProbe, true)
    add('readiness', container.readinessProbe, before?.ready === true)
    this.#startDue()
  }

  get started(): boolean {
    return this.#loops.get('startup')?.verdict ?? true
  }

  get ready(): boolean {
    return this.started && (this.#loops.get('readiness')?.verdict ?? true)
  }

  get unhealthy(): string | undefined {
    for (const kind of ['startup', 'liveness'] as const) {
      if (this.#loops.get(kind)?.hasFailed === true) return `Container ${this.#name} failed ${kind} probe, will be restarted`
    }
    return undefined
  }

  stop(kinds: readonly ProbeKind[] = ['startup', 'liveness', 'readiness']): void {
    for (const kind of kinds) this.#loops.get(kind)?.stop()
  }

  #startDue(): void {
    if (!this.started) return this.#loops.get('startup')?.start()
    this.#loops.get('startup')?.stop()
    this.#loops.get('liveness')?.start()
    this.#loops.get('readiness')?.start()
  }
}

export class Prober {
  readonly #options: ProberOptions
  readonly #states = new Map<string, ProbedState>()

  constructor(options: ProberOptions) {
    this.#options = options
  }

  /** Begins to probe a running container, if it is not probed already. */
  ensure(probed: ProbedContainer): void {
    if (!this.#states.has(probed.containerId)) this.#states.set(probed.containerId, new ProbedState(probed, this.#options))
  }

  /** Lets readiness go on, as it does while a pod ends. */
  keepReadinessOnly(containerId: string): void {
    this.#states.get(containerId)?.stop(['startup', 'liveness'])
  }

  /** Stops probing the containers of a pod that are not among these. */
  retain(podUid: string, running: ReadonlySet<string>): void {
    for (const [id, state] of this.#states) {
      if (state.podUid !== podUid || running.has(id)) continue
      state.stop()
      this.#states.delete(id)
    }
  }

  started(containerId: string): boolean {
    return this.#states.get(containerId)?.started ?? false
  }

  ready(containerId: string): boolean {
    return this.#states.get(containerId)?.ready ?? false
  }

  /** Why the container has to be restarted. */
  unhealthy(containerId: string): string | undefined {
    return this.#states.get(containerId)?.unhealthy
  }

  stop(): void {
    for (const state of this.#states.values()) state.stop()
    this.#states.clear()
  }
}
