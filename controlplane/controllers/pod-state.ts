/** What the controllers ask of a pod's state. */
import type { Pod } from '../../api/types.ts'
import { conditionOf } from './status.ts'

export function isFinished({ status }: Pod): boolean {
  return status?.phase === 'Succeeded' || status?.phase === 'Failed'
}

export function isTerminating({ metadata }: Pod): boolean {
  return metadata.deletionTimestamp !== undefined
}

/** Counts towards what a controller wants: neither finished nor on its way out. */
export function isActive(pod: Pod): boolean {
  return !isFinished(pod) && !isTerminating(pod)
}

export function isReady({ status }: Pod): boolean {
  return conditionOf(status?.conditions, 'Ready')?.status === 'True'
}

/** Since when the pod is ready, in ms; undefined: it is not. */
export function readySince({ status }: Pod): number | undefined {
  const ready = conditionOf(status?.conditions, 'Ready')
  if (ready?.status !== 'True') return undefined
  const since = Date.parse(ready.lastTransitionTime ?? '')
  return Number.isNaN(since) ? 0 : since
}

/** In how many ms the pod has been ready for long enough; 0: it is available; undefined: it is not ready. */
export function availableInMs(pod: Pod, minReadySeconds: number, now: number): number | undefined {
  const since = readySince(pod)
  return since === undefined ? undefined : minReadySeconds === 0 ? 0 : Math.max(0, since + minReadySeconds * 1000 - now)
}

/** When the first of the ready pods that are not available yet will be; undefined: none waits. */
export function nextAvailableMs(pods: readonly Pod[], minReadySeconds: number, now: number): number | undefined {
  const waits = pods.flatMap((pod) => availableInMs(pod, minReadySeconds, now) ?? []).filter((ms) => ms > 0)
  return waits.length === 0 ? undefined : Math.min(...waits)
}
