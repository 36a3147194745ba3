// Pods.
import type { Pod } from '../../../../api/types.ts'
import type { Strategy } from '../../descriptor.ts'

export const podStrategy: Strategy<Pod> = {
  prepareForCreate(pod) {
    pod.status = { phase: 'Pending' }
  },
  gracefulDelete(pod, { gracePeriodSeconds }) {
    const { spec, status, metadata } = pod
    // Nothing runs that would have to be told.
    if ((spec.nodeName ?? '') === '' || status?.phase === 'Succeeded' || status?.phase === 'Failed') return 'now'
    const graceSeconds = gracePeriodSeconds ?? metadata.deletionGracePeriodSeconds ?? spec.terminationGracePeriodSeconds ?? 30
    return graceSeconds <= 0 ? 'now' : { graceSeconds }
  },
}
