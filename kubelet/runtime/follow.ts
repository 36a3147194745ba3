/** Follows an engine's events for as long as the kubelet runs, waiting for the engine whenever it is away. */
import type { Clock } from '../../api/clock.ts'
import type { Logger } from '../../api/log.ts'
import type { ContainerRuntime, RuntimeEvent, RuntimeVersion } from './runtime.ts'

export interface FollowOptions {
  readonly runtime: Pick<ContainerRuntime, 'version' | 'events'>
  readonly clock: Clock
  readonly log: Logger
  readonly signal: AbortSignal
  /** The engine answers, and events are being listened to: now is the time to look at everything. */
  readonly up: (version: RuntimeVersion) => Promise<void>
  readonly down: (error: Error) => void
  readonly happened: (event: RuntimeEvent) => void
}

/** The first attempt follows soon: an engine that starts beside us is waited for. */
const retryMsMin = 50
const retryMsMax = 1000

/** Resolves when the signal has fired. */
export async function followEngine(options: FollowOptions): Promise<void> {
  const { clock, log, signal, down } = options
  let retryMs = retryMsMin
  let failures = 0
  while (!signal.aborted) {
    try {
      await followOnce(options, () => {
        retryMs = retryMsMin
        failures = 0
      })
    } catch (error) {
      if (signal.aborted) return
      failures += 1
      down(error as Error)
      if (failures === 1 || failures % 60 === 0) log.warn('the container engine is away, waiting for it', { failures, error })
    }
    await clock.sleep(retryMs, signal).catch((error: unknown) => error)
    retryMs = Math.min(retryMs * 2, retryMsMax)
  }
}

async function followOnce({ runtime, signal, up, happened }: FollowOptions, connected: () => void): Promise<void> {
  const version = await runtime.version()
  const abort = new AbortController()
  const listening = (async (): Promise<void> => {
    for await (const event of runtime.events(AbortSignal.any([signal, abort.signal]))) happened(event)
  })()
  try {
    // The engine answers a second request after it has taken the first.
    await Promise.race([runtime.version(), listening])
    connected()
    await Promise.race([up(version), listening])
    await listening
  } finally {
    abort.abort(new Error('the events are not listened to any more'))
    await listening.catch((error: unknown) => error)
  }
}
