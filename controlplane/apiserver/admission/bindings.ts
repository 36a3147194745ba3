// What validating and mutating policies have in common: which of their bindings a request has to do with, parameters, variables
// (k8s.io/apiserver/pkg/admission/plugin/policy/generic).
import { matchesLabelSelector } from '../../../api/selectors.ts'
import type { KubeObject, LabelSelector } from '../../../api/types.ts'
import type { Authorizer } from '../authorization/rbac.ts'
import type { ResourceDescriptor } from '../descriptor.ts'
import { apiVersionOf } from '../object.ts'
import type { ApiObject } from '../object.ts'
import type { Registry } from '../registry.ts'
import { qualified } from '../status.ts'
import { evaluate } from './expressions.ts'
import type { Budget, MatchCondition, Scope } from './expressions.ts'
import { matches } from './matching.ts'
import type { Rule } from './matching.ts'
import type { AdmissionRequest } from './request.ts'

interface MatchResources {
  readonly resourceRules?: readonly Rule[]
  readonly excludeResourceRules?: readonly Rule[]
  readonly matchPolicy?: string
  readonly namespaceSelector?: LabelSelector
  readonly objectSelector?: LabelSelector
}

export interface PolicySpec {
  readonly paramKind?: { readonly apiVersion: string; readonly kind: string }
  readonly matchConstraints?: MatchResources
  readonly failurePolicy?: string
  readonly matchConditions?: readonly MatchCondition[]
  readonly variables?: readonly { readonly name: string; readonly expression: string }[]
}

interface BindingSpec {
  readonly policyName: string
  readonly paramRef?: { readonly name?: string; readonly namespace?: string; readonly selector?: LabelSelector; readonly parameterNotFoundAction?: string }
  readonly matchResources?: MatchResources
}

export interface PolicyOptions {
  readonly registry: Registry
  readonly authorizer: Authorizer
}

type Named<Spec> = KubeObject & { readonly spec: Spec }

/** A policy by one of its bindings, for a request that both match. */
export interface Bound<P extends PolicySpec, B extends BindingSpec> {
  readonly policy: string
  readonly binding: string
  readonly spec: P
  readonly bindingSpec: B
  /** As which resource the policy's rules matched. */
  readonly as: ResourceDescriptor
  /** Each counts on its own; or why there are none. */
  readonly params: readonly (ApiObject | null)[] | string
}

const everything: readonly Rule[] = [{ operations: ['*'], apiGroups: ['*'], apiVersions: ['*'], resources: ['*/*'] }]

function matchingOf({ resourceRules, excludeResourceRules = [], ...rest }: MatchResources, otherwise: readonly Rule[]): Parameters<typeof matches>[0] {
  return { ...rest, rules: resourceRules ?? otherwise, excluded: excludeResourceRules }
}

/** All that a request has to do with, in the order of names. */
export function boundTo<P extends PolicySpec, B extends BindingSpec>(request: AdmissionRequest, policies: string, bindings: string, registry: Registry): Bound<P, B>[] {
  const byName = (a: KubeObject, b: KubeObject): number => ((a.metadata.name ?? '') < (b.metadata.name ?? '') ? -1 : 1)
  const all = (request.context.list(bindings) as readonly Named<B>[]).toSorted(byName)
  if (all.length === 0) return []
  return (request.context.list(policies) as readonly Named<P>[]).toSorted(byName).flatMap(({ metadata: { name: policy = '' }, spec }) => {
    const own = all.filter((one) => one.spec.policyName === policy)
    const as = own.length === 0 ? undefined : matches(matchingOf(spec.matchConstraints ?? {}, []), request, registry)
    if (as === undefined) return []
    return own
      .filter(({ spec: { matchResources } }) => matchResources === undefined || matches(matchingOf(matchResources, everything), request, registry) !== undefined)
      .map((binding): Bound<P, B> => ({ policy, binding: binding.metadata.name ?? '', spec, bindingSpec: binding.spec, as, params: paramsOf(spec, binding.spec, request, registry) }))
  })
}

function paramsOf({ paramKind }: PolicySpec, { paramRef }: BindingSpec, { context, namespace: asked }: AdmissionRequest, registry: Registry): readonly (ApiObject | null)[] | string {
  if (paramKind === undefined || paramRef === undefined) return [null]
  const descriptor = registry.all.find((one) => one.kind === paramKind.kind && apiVersionOf(one) === paramKind.apiVersion)
  if (descriptor === undefined) return `paramKind kind \`${paramKind.apiVersion}, Kind=${paramKind.kind}\` not known`
  if (!descriptor.namespaced && (paramRef.namespace ?? '') !== '') return 'paramRef.namespace must not be provided for a cluster-scoped `paramKind`'
  const namespace = descriptor.namespaced ? (paramRef.namespace ?? asked) : undefined
  if (namespace === '') return 'cannot use namespaced paramRef in policy binding that matches cluster-scoped resources'
  const resource = qualified(descriptor)
  const { name, selector } = paramRef
  const found = (name === undefined ? context.list(resource, namespace).filter(({ metadata }) => matchesLabelSelector(selector, metadata.labels)) : [context.lookup(resource, namespace, name)]).filter((one) => one !== undefined)
  if (found.length > 0 || paramRef.parameterNotFoundAction === 'Allow') return found as unknown as ApiObject[]
  return 'no params found for policy binding with `Deny` parameterNotFoundAction'
}

/** Each variable is computed when it is first named, at most once. */
export function withVariables(scope: Scope, { variables: declared = [] }: PolicySpec, budget: Budget, read: (expression: string) => string = (expression) => expression): Scope {
  const variables: Record<string, unknown> = {}
  for (const { name, expression } of declared) {
    let known: { readonly value: unknown } | undefined
    const get = (): unknown => {
      known ??= { value: evaluate(read(expression), { ...scope, variables }, budget) }
      return known.value
    }
    Object.defineProperty(variables, name, { enumerable: true, get })
  }
  return { ...scope, variables }
}
