/**
 * When the change happened for which slices are written: the earliest among pods that became Ready or ceased to be, and the service's creation.
 * Proxies measure from it how long a change takes to reach the kernel (kube-controller-manager's TriggerTimeTracker). Pure but for what it keeps.
 */
import type { EndpointSlice, Pod, Service } from '../../../api/types.ts'
import { conditionOf } from '../status.ts'

/** discovery/v1 EndpointsLastChangeTriggerTime */
const triggerAnnotation = 'endpoints.kubernetes.io/last-change-trigger-time'

interface Seen {
  readonly service: number
  /** By the pod's name. */
  readonly pods: ReadonlyMap<string, number>
}

export class TriggerTimes {
  readonly #seen = new Map<string, Seen>()

  /** The earliest of the changes since it was last asked, in ms; undefined: none has a time, as pods that went. To be called once for each look at a service. */
  changedAt(key: string, service: Service, pods: readonly Pod[]): number | undefined {
    const before = this.#seen.get(key)
    const now: Seen = { service: Date.parse(service.metadata.creationTimestamp ?? ''), pods: new Map(pods.flatMap((pod) => readyChanged(pod))) }
    this.#seen.set(key, now)
    const changed = [...now.pods].filter(([name, at]) => at > (before?.pods.get(name) ?? 0)).map(([, at]) => at)
    if (now.service > (before?.service ?? 0)) changed.push(now.service)
    return changed.length === 0 ? undefined : Math.min(...changed)
  }

  forget(key: string): void {
    this.#seen.delete(key)
  }
}

function readyChanged({ metadata, status }: Pod): [string, number][] {
  const at = Date.parse(conditionOf(status?.conditions, 'Ready')?.lastTransitionTime ?? '')
  return Number.isNaN(at) ? [] : [[metadata.name ?? '', at]]
}

/** The slice with that time, and without the one of an earlier change. */
export function withTrigger(slice: EndpointSlice, changedAt: number | undefined): EndpointSlice {
  const { [triggerAnnotation]: _, ...others } = slice.metadata.annotations ?? {}
  const annotations = changedAt === undefined ? others : { ...others, [triggerAnnotation]: new Date(changedAt).toISOString().replace('.000Z', 'Z') }
  const { annotations: __, ...metadata } = slice.metadata
  return { ...slice, metadata: { ...metadata, ...(Object.keys(annotations).length === 0 ? {} : { annotations }) } }
}
