/** What a namespace on its way out still holds, in the words of its conditions. Pure. */
import type { Condition, Namespace } from '../../../api/types.ts'
import { conditionOf, withCondition } from '../status.ts'

/** What one pass found and could not do. */
export interface Remains {
  /** Objects left, by `plural.group`. */
  readonly left: ReadonlyMap<string, number>
  /** How many of them each finalizer holds. */
  readonly finalizers: ReadonlyMap<string, number>
  readonly discoveryFailures: readonly string[]
  readonly deletionFailures: readonly string[]
}

/** The conditions that `kubectl describe namespace` shows (namespace/deletion/status_condition_utils.go). */
export function remainsConditions({ status }: Namespace, remains: Remains, now: string): Condition[] {
  const { left, finalizers, discoveryFailures, deletionFailures } = remains
  const content = [...left].map(([resource, count]) => `${resource} has ${count} resource instances`).sort().join(', ')
  const held = [...finalizers].map(([finalizer, count]) => `${finalizer} in ${count} resource instances`).sort().join(', ')
  const wanted = [
    state('NamespaceDeletionDiscoveryFailure', discoveryFailures.length > 0, ['DiscoveryFailed', `Discovery failed for some groups, ${discoveryFailures.length} failing: ${discoveryFailures.join('; ')}`], ['ResourcesDiscovered', 'All resources successfully discovered']),
    state('NamespaceDeletionContentFailure', deletionFailures.length > 0, ['ContentDeletionFailed', `Failed to delete all resource types, ${deletionFailures.length} remaining: ${deletionFailures.join('; ')}`], ['ContentDeleted', 'All content successfully deleted, may be waiting on finalization']),
    state('NamespaceContentRemaining', left.size > 0, ['SomeResourcesRemain', `Some resources are remaining: ${content}`], ['ContentRemoved', 'All content successfully removed']),
    state('NamespaceFinalizersRemaining', finalizers.size > 0, ['SomeFinalizersRemain', `Some content in the namespace has finalizers remaining: ${held}`], ['ContentHasNoFinalizers', 'All content-preserving finalizers finished']),
  ]
  return wanted.reduce((conditions, condition) => {
    const present = conditionOf(conditions, condition.type)
    const same = present?.status === condition.status && present.reason === condition.reason && present.message === condition.message
    return same ? conditions : withCondition(conditions, condition, now)
  }, status?.conditions ?? [])
}

function state(type: string, holds: boolean, when: readonly [string, string], otherwise: readonly [string, string]): Condition {
  const [reason, message] = holds ? when : otherwise
  return { type, status: holds ? 'True' : 'False', reason, message }
}
