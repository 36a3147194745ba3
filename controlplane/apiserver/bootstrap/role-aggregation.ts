// The rules of a ClusterRole that is put together from others: those of all roles that its selectors choose, by name
// (kube-controller-manager's clusterrole-aggregation controller).
import { matchesLabelSelector } from '../../../api/selectors.ts'
import type { Clock, Random } from '../../../api/clock.ts'
import type { Logger } from '../../../api/log.ts'
import type { ClusterRole, LabelSelector, PolicyRule } from '../../../api/types.ts'
import { WorkQueue } from '../../../api/work-queue.ts'
import { isStoreError } from '../../store/index.ts'
import type { WatchCache } from '../cache/index.ts'
import { cloneJson, equalJson } from '../object.ts'
import type { Registry } from '../registry.ts'
import { StatusError } from '../status.ts'
import type { Writer } from '../write/writer.ts'
import { serverUser } from './objects.ts'

interface RoleAggregationOptions {
  readonly cache: WatchCache
  readonly registry: Registry
  readonly writer: Writer
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
}

const resource = 'clusterroles.rbac.authorization.k8s.io'

/** Keeps aggregated roles in step with those that they are made of. Returns what stops it. */
export function startRoleAggregation(options: RoleAggregationOptions): () => void {
  const { cache, clock, random, log } = options
  const queue = new WorkQueue<'roles'>({
    clock, random,
    reconcile: () => reconcile(options),
    onError: (error) => {
      if (!isStoreError(error, 'closed')) log.warn('aggregated roles could not be put together', { error })
    },
  })
  const unlisten = cache.named(resource)?.listen(() => queue.add('roles'))
  queue.add('roles')
  return () => {
    unlisten?.()
    void queue.stop()
  }
}

/** The rules that aggregated roles are to have, of those that have others now. */
export function planAggregation(roles: readonly ClusterRole[]): Map<string, readonly PolicyRule[]> {
  const plan = new Map<string, readonly PolicyRule[]>()
  for (const role of roles) {
    const selectors = role.aggregationRule === undefined ? undefined : (((role.aggregationRule as { clusterRoleSelectors?: LabelSelector[] }).clusterRoleSelectors ?? []))
    if (selectors === undefined) continue
    const rules: PolicyRule[] = []
    for (const other of roles) {
      if (other === role || !selectors.some((selector) => matchesLabelSelector(selector, other.metadata.labels))) continue
      for (const rule of other.rules ?? []) if (!rules.some((one) => equalJson(one, rule))) rules.push(rule)
    }
    if (!equalJson(rules, role.rules ?? [])) plan.set(role.metadata.name ?? '', rules)
  }
  return plan
}

async function reconcile({ cache, registry, writer }: RoleAggregationOptions): Promise<void> {
  const descriptor = registry.named(resource)
  if (descriptor === undefined) return
  const plan = planAggregation(cache.of(descriptor).list().map(({ object }) => object as unknown as ClusterRole))
  for (const [name, rules] of plan) {
    try {
      await writer.update({ descriptor, namespace: '', name }, { part: 'main', make: (current) => ({ ...current, rules: cloneJson(rules) }) }, { user: serverUser })
    } catch (error) {
      // Gone, or written by another server in the same moment.
      if (!(error instanceof StatusError && (error.code === 404 || error.code === 409))) throw error
    }
  }
}
