/** Which kinds the API server has: what is deleted with a namespace or collected with an owner is every kind, known here or not. */
import type { Client } from '../../api/client.ts'
import type { Resource } from '../../api/resources.ts'
import type { AnyObject } from '../../api/types.ts'

export interface DiscoveredResource extends Resource<AnyObject> {
  readonly verbs: readonly string[]
}

export interface Discovery {
  readonly resources: readonly DiscoveredResource[]
  /** Groups whose kinds could not be read: what they hold is not known. */
  readonly failures: readonly Error[]
}

interface GroupList {
  readonly groups?: readonly { readonly name: string; readonly preferredVersion?: { readonly groupVersion: string }; readonly versions: readonly { readonly groupVersion: string }[] }[]
}

interface ResourceList {
  readonly resources?: readonly { readonly name: string; readonly kind: string; readonly namespaced: boolean; readonly verbs?: readonly string[] }[]
}

/** Each kind once, in its preferred version; a kind that only an older version has comes in that one. Rejects when nothing can be read. */
export async function discover(client: Client): Promise<Discovery> {
  const { groups = [] } = (await client.raw({ method: 'GET', path: '/apis' })) as GroupList
  const versions = groups.flatMap(({ preferredVersion, versions }) => [...new Set([preferredVersion?.groupVersion ?? '', ...versions.map(({ groupVersion }) => groupVersion)])].filter((version) => version !== ''))
  const lists = await Promise.allSettled(['v1', ...versions].map((groupVersion) => resourcesOf(client, groupVersion)))
  const resources = new Map<string, DiscoveredResource>()
  for (const resource of lists.flatMap((list) => (list.status === 'fulfilled' ? list.value : []))) {
    const key = `${resource.plural}.${resource.group}`
    if (!resources.has(key)) resources.set(key, resource)
  }
  return { resources: [...resources.values()], failures: lists.flatMap((list) => (list.status === 'rejected' ? [list.reason as Error] : [])) }
}

async function resourcesOf(client: Client, groupVersion: string): Promise<DiscoveredResource[]> {
  const path = groupVersion.includes('/') ? `/apis/${groupVersion}` : `/api/${groupVersion}`
  const { resources = [] } = (await client.raw({ method: 'GET', path })) as ResourceList
  const [version = '', group = ''] = groupVersion.split('/').toReversed()
  return resources.filter(({ name }) => !name.includes('/')).map(({ name, kind, namespaced, verbs = [] }) => ({ group, version, plural: name, kind, namespaced, verbs }))
}
