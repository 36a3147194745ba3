// Pods: what they start with, what their status keeps, and how they are deleted.
import { parseQuantity } from '../../../../api/quantity.ts'
import type { Container, Pod, PodSpec, PodStatus } from '../../../../api/types.ts'
import type { DeleteOptions } from '../../descriptor.ts'
import { timestamp } from '../../object.ts'
import { invalid } from '../../status.ts'
import { defaultPod } from '../defaults/pod-spec.ts'
import { validatePodSpec } from '../validation/pod-spec.ts'
import { validatePodUpdate } from '../validation/pod-update.ts'
import { podWarnings } from '../validation/warnings.ts'
import { strategyOf } from './rules.ts'

export const podStrategy = strategyOf<Pod>(
  {
    defaults: defaultPod,
    validate: ({ spec }, errors) => validatePodSpec(spec, 'spec', errors),
    validateUpdate: validatePodUpdate,
    warnings: podWarnings,
  },
  {
    prepareForCreate(pod, { now }) {
      const { spec, metadata } = pod
      if ((spec.ephemeralContainers ?? []).length > 0) {
        throw invalid({ group: '', kind: 'Pod' }, metadata.name ?? '', [{ field: 'spec.ephemeralContainers', type: 'FieldValueForbidden', detail: 'cannot be set on create' }])
      }
      pod.status = { phase: 'Pending', qosClass: qosClass(spec) }
      if (isGated(spec)) pod.status.conditions = [{ type: 'PodScheduled', status: 'False', reason: 'SchedulingGated', message: 'Scheduling is blocked due to non-empty scheduling gates', lastTransitionTime: timestamp(now) }]
    },
    prepareForStatusUpdate(pod, old) {
      const status = (pod.status ??= {})
      // Kept from those who do not know it.
      if (status.qosClass === undefined && old.status?.qosClass !== undefined) status.qosClass = old.status.qosClass
      agreeOnAddresses(status)
    },
    gracefulDelete: graceOf,
  },
)

function isGated(spec: PodSpec): boolean {
  return (spec.schedulingGates ?? []).length > 0
}

/** `podIP` is the first of `podIPs`, whichever of the two was given. */
function agreeOnAddresses(status: PodStatus): void {
  if (status.podIP !== undefined && status.podIP !== '' && status.podIPs === undefined) status.podIPs = [{ ip: status.podIP }]
  else if (status.podIPs?.[0] !== undefined) status.podIP = status.podIPs[0].ip
  if (status.hostIP !== undefined && status.hostIP !== '' && status.hostIPs === undefined) status.hostIPs = [{ ip: status.hostIP }]
}

/** A hundred years: with more, the time of deletion would be no date. */
const graceSecondsMax = 3_155_760_000

function graceOf({ spec, status, metadata }: Pod, { gracePeriodSeconds }: DeleteOptions): 'now' | { readonly graceSeconds: number } {
  // Nothing runs that would have to be told.
  if ((spec.nodeName ?? '') === '' || status?.phase === 'Succeeded' || status?.phase === 'Failed') return 'now'
  const seconds = (gracePeriodSeconds ?? metadata.deletionGracePeriodSeconds ?? spec.terminationGracePeriodSeconds ?? 30) as number | bigint
  return seconds === 0 ? 'now' : { graceSeconds: Math.min(Math.max(1, Number(seconds)), graceSecondsMax) }
}

/** Who goes first when a node runs out of memory (pkg/apis/core/v1/helper/qos). */
export function qosClass({ containers, initContainers = [] }: PodSpec): 'Guaranteed' | 'Burstable' | 'BestEffort' {
  const all = [...containers, ...initContainers]
  const asked = all.map((container) => ({ requests: computed(container, 'requests'), limits: computed(container, 'limits') }))
  if (asked.every(({ requests, limits }) => requests.size === 0 && limits.size === 0)) return 'BestEffort'
  const isGuaranteed = asked.every(({ requests, limits }) => limits.size === 2 && [...limits].every(([name, value]) => (requests.get(name) ?? value) === value))
  return isGuaranteed ? 'Guaranteed' : 'Burstable'
}

function computed({ resources }: Container, field: 'requests' | 'limits'): Map<string, number> {
  const list = resources?.[field] ?? {}
  const found = new Map<string, number>()
  for (const name of ['cpu', 'memory']) {
    const value = parseQuantity(list[name] ?? 0)
    if (value > 0) found.set(name, value)
  }
  return found
}
