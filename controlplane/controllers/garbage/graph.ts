/** Who depends on whom: every object that is owned or owns, by uid. Kept from the watches; asks nobody. */
import type { KubeObject, ObjectMeta, OwnerReference } from '../../../api/types.ts'
import type { DiscoveredResource } from '../discovery.ts'

/** An object as the collector sees it. */
export interface Item {
  readonly resource: DiscoveredResource
  readonly metadata: ObjectMeta
}

export const orphanFinalizer = 'orphan'
export const foregroundFinalizer = 'foregroundDeletion'

export function isDeletingInForeground({ metadata }: Item): boolean {
  return metadata.deletionTimestamp !== undefined && (metadata.finalizers ?? []).includes(foregroundFinalizer)
}

export function ownersOf({ metadata }: Item): readonly OwnerReference[] {
  return metadata.ownerReferences ?? []
}

export class OwnerGraph {
  readonly #items = new Map<string, Item>()
  /** By owner, which need not be here. */
  readonly #dependents = new Map<string, Set<string>>()

  get(uid: string): Item | undefined {
    return this.#items.get(uid)
  }

  dependentsOf(uid: string): Item[] {
    return [...(this.#dependents.get(uid) ?? [])].flatMap((dependent) => this.#items.get(dependent) ?? [])
  }

  put(resource: DiscoveredResource, { metadata }: KubeObject): void {
    const { uid = '' } = metadata
    this.remove(uid)
    const item = { resource, metadata }
    this.#items.set(uid, item)
    for (const owner of ownersOf(item)) {
      const dependents = this.#dependents.get(owner.uid) ?? new Set()
      this.#dependents.set(owner.uid, dependents.add(uid))
    }
  }

  remove(uid: string): void {
    const item = this.#items.get(uid)
    if (item === undefined) return
    this.#items.delete(uid)
    for (const owner of ownersOf(item)) {
      const dependents = this.#dependents.get(owner.uid)
      dependents?.delete(uid)
      if (dependents?.size === 0) this.#dependents.delete(owner.uid)
    }
  }
}
