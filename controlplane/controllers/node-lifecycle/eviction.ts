/** When a pod must leave a tainted node. Pure. */
import { tolerates } from '../../scheduler/taints.ts'
import type { Pod, Taint } from '../../../api/types.ts'

/**
 * The moment (ms) at which the pod has to go: that of the first of the node's NoExecute taints that it does not tolerate, or no longer.
 * `since` says when a taint came. Undefined: it may stay.
 */
export function leavesAt({ spec }: Pod, taints: readonly Taint[], since: (taint: Taint) => number): number | undefined {
  const times = taints.filter(({ effect }) => effect === 'NoExecute').map((taint) => {
    const toleration = (spec.tolerations ?? []).find((one) => tolerates(one, taint))
    if (toleration === undefined) return since(taint)
    return toleration.tolerationSeconds === undefined ? Infinity : since(taint) + Math.max(0, toleration.tolerationSeconds) * 1000
  })
  const first = Math.min(...times)
  return first === Infinity ? undefined : first
}
