// What all objects of a namespace take of what a quota limits.
import type { KubeObject, ResourceQuota } from '../../api/types.ts'
import { addTo } from './amounts.ts'
import type { Amounts } from './amounts.ts'
import { inScope } from './scopes.ts'
import { isAbout, usageOf } from './usage.ts'

const named = ['pods', 'services', 'persistentvolumeclaims', 'replicationcontrollers', 'resourcequotas', 'secrets', 'configmaps']

/** The resources whose objects a quota counts: `plural`, or `plural.group`. */
export function resourcesIn({ spec }: ResourceQuota): string[] {
  const hard = Object.keys(spec.hard ?? {})
  const counted = hard.filter((name) => name.startsWith('count/')).map((name) => name.slice('count/'.length))
  return [...new Set([...named.filter((resource) => hard.some((name) => isAbout(name, resource))), ...counted])]
}

/** Zero is an amount, too: every name that the quota limits is in the result. */
export function countUsed(quota: ResourceQuota, objectsOf: (resource: string) => Iterable<KubeObject>, now: number): Amounts {
  const hard = Object.keys(quota.spec.hard ?? {})
  const used = new Map<string, bigint>()
  for (const resource of resourcesIn(quota)) {
    for (const object of objectsOf(resource)) if (inScope(quota.spec, resource, object)) addTo(used, usageOf(resource, object, now))
  }
  return new Map(hard.map((name) => [name, used.get(name) ?? 0n]))
}
