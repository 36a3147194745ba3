// ValidatingAdmissionPolicy: expressions that the server itself evaluates about what is going to be written
// (k8s.io/apiserver/pkg/admission/plugin/policy/validating).
import { matchesLabelSelector } from '../../../api/selectors.ts'
import type { LabelSelector } from '../../../api/types.ts'
import type { Authorizer } from '../authorization/rbac.ts'
import type { ResourceDescriptor } from '../descriptor.ts'
import { apiVersionOf } from '../object.ts'
import type { ApiObject } from '../object.ts'
import type { Registry } from '../registry.ts'
import { qualified, StatusError } from '../status.ts'
import { budgetOf, conditionsHold, evaluate, firstLine, scopeOf, toCel } from './expressions.ts'
import type { Budget, MatchCondition, Scope } from './expressions.ts'
import { converted, isExempt, matches } from './matching.ts'
import type { Rule } from './matching.ts'
import type { AdmissionRequest } from './request.ts'
import { reviewRequest } from './review.ts'

interface MatchResources {
  readonly resourceRules?: readonly Rule[]
  readonly excludeResourceRules?: readonly Rule[]
  readonly matchPolicy?: string
  readonly namespaceSelector?: LabelSelector
  readonly objectSelector?: LabelSelector
}

interface Validation {
  readonly expression: string
  readonly message?: string
  readonly messageExpression?: string
  readonly reason?: string
}

interface Policy {
  readonly metadata: { readonly name: string }
  readonly spec: {
    readonly paramKind?: { readonly apiVersion: string; readonly kind: string }
    readonly matchConstraints?: MatchResources
    readonly validations?: readonly Validation[]
    readonly failurePolicy?: string
    readonly auditAnnotations?: readonly { readonly key: string; readonly valueExpression: string }[]
    readonly matchConditions?: readonly MatchCondition[]
    readonly variables?: readonly { readonly name: string; readonly expression: string }[]
  }
}

interface ParamRef {
  readonly name?: string
  readonly namespace?: string
  readonly selector?: LabelSelector
  readonly parameterNotFoundAction?: string
}

interface Binding {
  readonly metadata: { readonly name: string }
  readonly spec: { readonly policyName: string; readonly paramRef?: ParamRef; readonly matchResources?: MatchResources; readonly validationActions: readonly string[] }
}

/** Something that does not hold. */
interface Failure {
  readonly policy: string
  readonly binding: string
  readonly actions: readonly string[]
  readonly message: string
  readonly reason: string
  readonly expressionIndex: number
}

interface PolicyOptions {
  readonly registry: Registry
  readonly authorizer: Authorizer
}

const group = 'admissionregistration.k8s.io'
const codes: Readonly<Record<string, number>> = { Unauthorized: 401, Forbidden: 403, RequestEntityTooLarge: 413, Invalid: 422 }

function matchingOf({ resourceRules, excludeResourceRules = [], ...rest }: MatchResources): Parameters<typeof matches>[0] {
  return { ...rest, rules: resourceRules ?? [{ operations: ['*'], apiGroups: ['*'], apiVersions: ['*'], resources: ['*/*'] }], excluded: excludeResourceRules }
}

/** Holds a request to all policies that are bound. Undefined when there are none. */
export function checkPolicies(request: AdmissionRequest, options: PolicyOptions): Promise<void> | undefined {
  if (request.origin === undefined || isExempt(request)) return undefined
  const { context } = request
  const bindings = context.list(`validatingadmissionpolicybindings.${group}`) as unknown as readonly Binding[]
  return bindings.length === 0 ? undefined : check(request, bindings, options)
}

async function check(request: AdmissionRequest, bindings: readonly Binding[], options: PolicyOptions): Promise<void> {
  const failures: Failure[] = []
  const annotations = new Map<string, Set<string>>()
  const byName = (a: { metadata: { name: string } }, b: { metadata: { name: string } }): number => (a.metadata.name < b.metadata.name ? -1 : 1)
  const policies = (request.context.list(`validatingadmissionpolicies.${group}`) as unknown as readonly Policy[]).toSorted(byName)
  for (const policy of policies) {
    const own = bindings.filter(({ spec }) => spec.policyName === policy.metadata.name).toSorted(byName)
    const as = own.length === 0 ? undefined : matches(matchingOf({ ...policy.spec.matchConstraints, resourceRules: policy.spec.matchConstraints?.resourceRules ?? [] }), request, options.registry)
    if (as === undefined) continue
    for (const binding of own) failures.push(...(await new Check(request, policy, binding, { ...options, as, annotations }).run()))
  }
  for (const [key, values] of annotations) request.origin?.annotate(key, [...values].join(', '))
  conclude(request, failures)
}

/** Warns, notes and refuses, as the bindings want it. */
function conclude({ descriptor, name, warn, origin }: AdmissionRequest, failures: readonly Failure[]): void {
  for (const { policy, binding, actions, message } of failures) {
    if (actions.includes('Warn')) warn(`Validation failed for ValidatingAdmissionPolicy '${policy}' with binding '${binding}': ${message}`)
  }
  const audited = failures.filter(({ actions }) => actions.includes('Audit')).map(({ policy, binding, actions, message, expressionIndex }) => ({ message, policy, binding, expressionIndex, validationActions: actions }))
  if (audited.length > 0) origin?.annotate('validation.policy.admission.k8s.io/validation_failure', JSON.stringify(audited))
  const denied = failures.find(({ actions }) => actions.includes('Deny'))
  if (denied === undefined) return
  const why = `ValidatingAdmissionPolicy '${denied.policy}' with binding '${denied.binding}' denied request: ${denied.message}`
  throw new StatusError(codes[denied.reason] ?? 422, denied.reason, `${qualified(descriptor)}${name === '' ? '' : ` "${name}"`} is forbidden: ${why}`, {
    ...(name === '' ? {} : { name }), ...(descriptor.group === '' ? {} : { group: descriptor.group }), kind: descriptor.plural, causes: [{ message: why }],
  })
}

interface CheckOptions extends PolicyOptions {
  /** As which resource the policy's rules matched. */
  readonly as: ResourceDescriptor
  readonly annotations: Map<string, Set<string>>
}

/** A policy by one of its bindings, and a request. */
class Check {
  readonly #request: AdmissionRequest
  readonly #policy: Policy
  readonly #binding: Binding
  readonly #options: CheckOptions

  constructor(request: AdmissionRequest, policy: Policy, binding: Binding, options: CheckOptions) {
    this.#request = request
    this.#policy = policy
    this.#binding = binding
    this.#options = options
  }

  async run(): Promise<readonly Failure[]> {
    const { matchResources } = this.#binding.spec
    const { descriptor, object, old } = this.#request
    const { registry, authorizer, as } = this.#options
    if (matchResources !== undefined && matches(matchingOf(matchResources), this.#request, registry) === undefined) return []
    const params = this.#params()
    if (typeof params === 'string') return this.#broken(`failed to configure binding: ${params}`)
    if (params.length === 0) return []
    const objects = { object: object && (await converted(object, descriptor, as)), old: old && (await converted(old, descriptor, as)) }
    const scope = scopeOf(this.#request, reviewRequest(this.#request, as, objects), authorizer)
    return params.flatMap((param) => this.#evaluate({ ...scope, params: toCel(param) }))
  }

  #failure(message: string, expressionIndex = 0, reason = 'Invalid'): Failure {
    return { policy: this.#policy.metadata.name, binding: this.#binding.metadata.name, actions: this.#binding.spec.validationActions, message, reason, expressionIndex }
  }

  /** What cannot be decided is a failure, or no matter. */
  #broken(why: string, expressionIndex?: number): readonly Failure[] {
    return this.#policy.spec.failurePolicy === 'Ignore' ? [] : [this.#failure(why, expressionIndex)]
  }

  /** The parameters that a binding names, each checked on its own; or why there are none. */
  #params(): readonly (ApiObject | null)[] | string {
    const { paramKind } = this.#policy.spec
    const { paramRef } = this.#binding.spec
    if (paramKind === undefined || paramRef === undefined) return [null]
    const { context, namespace: asked } = this.#request
    const descriptor = this.#options.registry.all.find((one) => one.kind === paramKind.kind && apiVersionOf(one) === paramKind.apiVersion)
    if (descriptor === undefined) return `paramKind kind \`${paramKind.apiVersion}, Kind=${paramKind.kind}\` not known`
    if (!descriptor.namespaced && (paramRef.namespace ?? '') !== '') return 'paramRef.namespace must not be provided for a cluster-scoped `paramKind`'
    const namespace = descriptor.namespaced ? (paramRef.namespace ?? asked) : undefined
    if (namespace === '') return "cannot use namespaced paramRef in policy binding that matches cluster-scoped resources"
    const resource = qualified(descriptor)
    const found = (paramRef.name === undefined ? context.list(resource, namespace).filter(({ metadata }) => matchesLabelSelector(paramRef.selector, metadata.labels)) : [context.lookup(resource, namespace, paramRef.name)]).filter((one) => one !== undefined)
    if (found.length > 0 || paramRef.parameterNotFoundAction === 'Allow') return found as unknown as ApiObject[]
    return 'no params found for policy binding with `Deny` parameterNotFoundAction'
  }

  #evaluate(given: Record<string, unknown>): readonly Failure[] {
    const { validations = [], matchConditions = [], auditAnnotations = [] } = this.#policy.spec
    const budget = budgetOf('policy')
    const scope = { ...given, variables: this.#variables(given, budget) }
    const holds = conditionsHold(matchConditions, scope)
    if (holds instanceof Error) return this.#broken(holds.message)
    if (!holds) return []
    for (const { key, valueExpression } of auditAnnotations) {
      const value = attempt(valueExpression, scope, budget)
      if (value instanceof Error) return this.#broken(value.message)
      if (typeof value === 'string' && value !== '') this.#note(`${this.#policy.metadata.name}/${key}`, value)
    }
    return validations.flatMap((validation, i) => {
      const value = attempt(validation.expression, scope, budget)
      if (value instanceof Error) return this.#broken(value.message, i)
      return value === true ? [] : [this.#failure(messageOf(validation, scope, budget), i, validation.reason)]
    })
  }

  #note(key: string, value: string): void {
    const { annotations } = this.#options
    annotations.set(key, (annotations.get(key) ?? new Set()).add(value))
  }

  /** Each is computed when it is first named, at most once. */
  #variables(scope: Scope, budget: Budget): Record<string, unknown> {
    const variables: Record<string, unknown> = {}
    for (const { name, expression } of this.#policy.spec.variables ?? []) {
      let known: { readonly value: unknown } | undefined
      const get = (): unknown => {
        known ??= { value: evaluate(expression, { ...scope, variables }, budget) }
        return known.value
      }
      Object.defineProperty(variables, name, { enumerable: true, get })
    }
    return variables
  }
}

function attempt(expression: string, scope: Scope, budget: Budget): unknown {
  try {
    return evaluate(expression, scope, budget)
  } catch (error) {
    return new Error(`expression '${expression}' resulted in error: ${firstLine(error)}`)
  }
}

function messageOf({ expression, message, messageExpression }: Validation, scope: Scope, budget: Budget): string {
  const said = messageExpression === undefined ? undefined : attempt(messageExpression, scope, budget)
  if (typeof said === 'string' && said.trim() !== '' && !/[\r\n]/.test(said)) return said.trim()
  return message === undefined || message === '' ? `failed expression: ${expression.trim()}` : message.trim()
}
