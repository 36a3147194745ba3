/** What is to be done about one object, given what is known of its owners and dependents (garbagecollector.go). Pure. */
import type { DeleteRequestOptions } from '../../../api/client.ts'
import type { OwnerReference } from '../../../api/types.ts'
import { foregroundFinalizer, isDeletingInForeground, orphanFinalizer, ownersOf } from './graph.ts'
import type { Item } from './graph.ts'

/** What became of an owner: there; waiting for its dependents to go first; gone; or not to be found out. */
export type OwnerState = 'solid' | 'waiting' | 'absent' | 'unknown'

export type Operation =
  | { readonly kind: 'delete'; readonly item: Item; readonly policy: NonNullable<DeleteRequestOptions['propagationPolicy']> }
  /** Takes references to these owners out. */
  | { readonly kind: 'disown'; readonly item: Item; readonly owners: readonly string[] }
  | { readonly kind: 'unfinalize'; readonly item: Item; readonly finalizer: string }
  /** Looks at these again. */
  | { readonly kind: 'revisit'; readonly item: Item }

export function planItem(item: Item, dependents: readonly Item[], stateOf: (owner: OwnerReference) => OwnerState): Operation[] {
  const { metadata } = item
  if (metadata.deletionTimestamp === undefined) return planOwned(item, dependents, stateOf)
  const finalizers = metadata.finalizers ?? []
  if (finalizers.includes(orphanFinalizer)) {
    return [...dependents.map((dependent): Operation => ({ kind: 'disown', item: dependent, owners: [metadata.uid ?? ''] })), { kind: 'unfinalize', item, finalizer: orphanFinalizer }]
  }
  if (!isDeletingInForeground(item)) return []
  const blocks = (dependent: Item): boolean => ownersOf(dependent).some(({ uid, blockOwnerDeletion }) => uid === metadata.uid && blockOwnerDeletion === true)
  if (!dependents.some(blocks)) return [{ kind: 'unfinalize', item, finalizer: foregroundFinalizer }]
  return dependents.filter((dependent) => dependent.metadata.deletionTimestamp === undefined).map((dependent) => ({ kind: 'revisit', item: dependent }))
}

/** An object that is not being deleted lives as long as one of its owners does. */
function planOwned(item: Item, dependents: readonly Item[], stateOf: (owner: OwnerReference) => OwnerState): Operation[] {
  const owners = ownersOf(item)
  if (owners.length === 0) return []
  const states = owners.map((owner) => ({ uid: owner.uid, state: stateOf(owner) }))
  if (states.some(({ state }) => state === 'unknown')) return []
  const lost = states.filter(({ state }) => state !== 'solid').map(({ uid }) => uid)
  if (lost.length < states.length) return lost.length === 0 ? [] : [{ kind: 'disown', item, owners: lost }]
  // Two that own each other must not both wait.
  const circular = dependents.some(isDeletingInForeground)
  if (states.some(({ state }) => state === 'waiting') && dependents.length > 0 && !circular) return [{ kind: 'delete', item, policy: 'Foreground' }]
  const finalizers = item.metadata.finalizers ?? []
  return [{ kind: 'delete', item, policy: finalizers.includes(orphanFinalizer) ? 'Orphan' : finalizers.includes(foregroundFinalizer) ? 'Foreground' : 'Background' }]
}
