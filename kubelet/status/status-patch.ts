/** The least that turns one pod status into another, as a strategic merge patch. Pure. */
import { isDeepStrictEqual } from 'node:util'
import type { Condition, PodStatus } from '../../api/types.ts'
import { kubeletConditions } from '../pods/status.ts'

/** The fields that the kubelet answers for. */
const fields = [
  'phase', 'message', 'reason', 'hostIP', 'podIP', 'startTime', 'qosClass', 'initContainerStatuses', 'containerStatuses', 'conditions', 'hostIPs', 'podIPs',
] as const satisfies ReadonlyArray<keyof PodStatus>

type Addresses = ReadonlyArray<{ readonly ip: string }>

/** Lists keyed by `ip` are merged: what is to go has to be named. */
function addressesPatch(have: Addresses, want: Addresses): unknown[] {
  const kept = new Set(want.map(({ ip }) => ip))
  return [...want, ...have.filter(({ ip }) => !kept.has(ip)).map(({ ip }) => ({ $patch: 'delete', ip }))]
}

/** Other API servers write fields that are not given as null. */
function withoutNulls(condition: Condition): Condition {
  return Object.fromEntries(Object.entries(condition).filter(([, value]) => value !== null)) as unknown as Condition
}

function conditionsPatch(have: readonly Condition[], want: readonly Condition[]): unknown[] {
  return want.filter(({ type }) => kubeletConditions.has(type)).flatMap((condition) => {
    const found = have.find(({ type }) => type === condition.type)
    const before = found === undefined ? undefined : withoutNulls(found)
    if (before !== undefined && isDeepStrictEqual(before, condition)) return []
    // A field that is not said stays: what no longer holds has to be taken away by name.
    const gone = Object.keys(before ?? {}).filter((key) => !(key in condition))
    return [{ ...condition, ...Object.fromEntries(gone.map((key) => [key, null])) }]
  })
}

/** Undefined where nothing has to change. */
export function statusPatch(have: PodStatus, want: PodStatus): Record<string, unknown> | undefined {
  const patch: Record<string, unknown> = {}
  for (const field of fields) {
    if (field === 'conditions') {
      const changed = conditionsPatch(have.conditions ?? [], want.conditions ?? [])
      if (changed.length > 0) patch[field] = changed
    } else if (!isDeepStrictEqual(have[field], want[field])) {
      const value = want[field]
      patch[field] = value === undefined ? null : field === 'hostIPs' || field === 'podIPs' ? addressesPatch(have[field] ?? [], value as Addresses) : value
    }
  }
  return Object.keys(patch).length === 0 ? undefined : patch
}
