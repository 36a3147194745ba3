/** Ends containers in the background: preStop hook, signal, grace period, end. */
import type { Pod } from '../../api/types.ts'
import { eventTarget } from '../options.ts'
import type { KubeletParts } from '../options.ts'
import { runHandler } from '../probes/handler.ts'
import type { Operation } from './plan.ts'
import { rolesOf } from './plan.ts'

export interface StopperOptions {
  readonly parts: KubeletParts
  /** Told when a container of the pod has ended, or could not be ended and has to be tried again after a while. */
  readonly ended: (podUid: string, retryInMs: number) => void
}

type StopOperation = Extract<Operation, { kind: 'stopContainer' }>

/** What is left for the container itself when its hook took all of the grace period (kuberuntime: minimumGracePeriodInSeconds). */
const graceSecondsMin = 2
const retryMs = 1000

export class ContainerStopper {
  readonly #options: StopperOptions
  /** Containers being ended, and by when they will be. */
  readonly #deadlines = new Map<string, number>()

  constructor(options: StopperOptions) {
    this.#options = options
  }

  /** The containers that are being ended soon enough for this grace period. */
  stopping(graceSeconds: number): ReadonlySet<string> {
    const latest = this.#options.parts.options.clock.monotonicMs() + graceSeconds * 1000
    return new Set([...this.#deadlines].filter(([, deadline]) => deadline <= latest).map(([id]) => id))
  }

  begin(pod: Pod, operation: StopOperation, podIP: string): void {
    const { events, options: { clock } } = this.#options.parts
    const { id, name, why } = operation
    const graceSeconds = operation.graceSeconds ?? pod.spec.terminationGracePeriodSeconds ?? 30
    const again = this.#deadlines.has(id)
    this.#deadlines.set(id, clock.monotonicMs() + graceSeconds * 1000)
    if (!again) events.event(eventTarget(pod, name), 'Normal', 'Killing', why.startsWith('Container ') ? why : `Stopping container ${name}`)
    void this.#end(pod, operation, { graceSeconds, podIP, runsHook: !again })
  }

  async #end(pod: Pod, { id, name }: StopOperation, { graceSeconds, podIP, runsHook }: { readonly graceSeconds: number; readonly podIP: string; readonly runsHook: boolean }): Promise<void> {
    const { parts: { runtime, options: { clock, log } }, ended } = this.#options
    const uid = pod.metadata.uid ?? ''
    try {
      const began = clock.monotonicMs()
      if (runsHook && graceSeconds > 0) await this.#runHook(pod, { id, name }, graceSeconds, podIP)
      const left = graceSeconds - (clock.monotonicMs() - began) / 1000
      await runtime.stopContainer(id, graceSeconds === 0 ? 0 : Math.max(left, Math.min(graceSeconds, graceSecondsMin)))
      this.#deadlines.delete(id)
      ended(uid, 0)
    } catch (error) {
      this.#deadlines.delete(id)
      log.warn('cannot stop a container, trying again', { pod: `${pod.metadata.namespace}/${pod.metadata.name}`, container: name, error })
      ended(uid, retryMs)
    }
  }

  async #runHook(pod: Pod, { id, name }: { readonly id: string; readonly name: string }, graceSeconds: number, podIP: string): Promise<void> {
    const { runtime, events, options: { clock } } = this.#options.parts
    const container = rolesOf(pod).find(({ container }) => container.name === name)?.container
    const hook = container?.lifecycle?.preStop
    if (container === undefined || hook === undefined) return
    const abort = new AbortController()
    const running = runHandler(hook, { containerId: id, container, podIP }, graceSeconds * 1000, { runtime, clock })
    const late = clock.sleep(graceSeconds * 1000, abort.signal).then(() => ({ ok: false, output: 'it took longer than the grace period' }), () => undefined)
    const result = await Promise.race([running, late])
    abort.abort()
    if (result?.ok === false) events.event(eventTarget(pod, name), 'Warning', 'FailedPreStopHook', `PreStopHook failed: ${result.output}`)
  }
}
