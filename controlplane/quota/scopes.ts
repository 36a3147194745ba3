// Which pods a quota is about: its scopes, and what it says of priority classes (pkg/quota/v1/evaluator/core, podMatchesScopeFunc).
import type { KubeObject, Pod, PodAffinityTerm } from '../../api/types.ts'

interface ScopeRequirement {
  readonly scopeName: string
  readonly operator: string
  readonly values?: readonly string[]
}

export interface ScopedSpec {
  readonly scopes?: readonly string[]
  readonly scopeSelector?: { readonly matchExpressions?: readonly ScopeRequirement[] }
}

/** Whether an object is among those that a quota counts. A quota with scopes counts pods only. */
export function inScope({ scopes = [], scopeSelector }: ScopedSpec, resource: string, object: KubeObject): boolean {
  const requirements = [...scopes.map((scopeName): ScopeRequirement => ({ scopeName, operator: 'Exists' })), ...(scopeSelector?.matchExpressions ?? [])]
  return requirements.length === 0 || (resource === 'pods' && requirements.every((requirement) => podIsIn(requirement, object as Pod)))
}

function podIsIn({ scopeName, operator, values = [] }: ScopeRequirement, pod: Pod): boolean {
  const { spec } = pod
  switch (scopeName) {
    case 'Terminating':
      return spec.activeDeadlineSeconds !== undefined && spec.activeDeadlineSeconds >= 0
    case 'NotTerminating':
      return spec.activeDeadlineSeconds === undefined || spec.activeDeadlineSeconds < 0
    case 'BestEffort':
      return isBestEffort(pod)
    case 'NotBestEffort':
      return !isBestEffort(pod)
    case 'CrossNamespacePodAffinity':
      return terms(pod).some(({ namespaces = [], namespaceSelector }) => namespaces.length > 0 || namespaceSelector !== undefined)
    case 'PriorityClass':
      return hasPriority(spec.priorityClassName ?? '', operator, values)
    default:
      return false
  }
}

function hasPriority(name: string, operator: string, values: readonly string[]): boolean {
  switch (operator) {
    case 'In':
      return values.includes(name)
    case 'NotIn':
      return !values.includes(name)
    case 'DoesNotExist':
      return name === ''
    default:
      return name !== ''
  }
}

function isBestEffort({ spec }: Pod): boolean {
  return [...spec.containers, ...(spec.initContainers ?? [])].every(({ resources }) => [resources?.requests, resources?.limits].every((list) => list?.['cpu'] === undefined && list?.['memory'] === undefined))
}

function terms({ spec }: Pod): PodAffinityTerm[] {
  return [spec.affinity?.podAffinity, spec.affinity?.podAntiAffinity].flatMap((affinity) => [
    ...(affinity?.requiredDuringSchedulingIgnoredDuringExecution ?? []),
    ...(affinity?.preferredDuringSchedulingIgnoredDuringExecution ?? []).map(({ podAffinityTerm }) => podAffinityTerm),
  ])
}
