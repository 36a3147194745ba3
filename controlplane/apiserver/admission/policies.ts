// ValidatingAdmissionPolicy: expressions that the server itself evaluates about what is going to be written
// (k8s.io/apiserver/pkg/admission/plugin/policy/validating).
import { qualified, StatusError } from '../status.ts'
import { boundTo, withVariables } from './bindings.ts'
import type { Bound, PolicyOptions, PolicySpec } from './bindings.ts'
import { budgetOf, conditionsHold, evaluate, firstLine, scopeOf, toCel } from './expressions.ts'
import type { Budget, Scope } from './expressions.ts'
import { converted, isExempt } from './matching.ts'
import type { AdmissionRequest } from './request.ts'
import { reviewRequest } from './review.ts'

interface Validation {
  readonly expression: string
  readonly message?: string
  readonly messageExpression?: string
  readonly reason?: string
}

interface ValidatingSpec extends PolicySpec {
  readonly validations?: readonly Validation[]
  readonly auditAnnotations?: readonly { readonly key: string; readonly valueExpression: string }[]
}

interface ValidatingBinding {
  readonly policyName: string
  readonly validationActions: readonly string[]
}

type BoundPolicy = Bound<ValidatingSpec, ValidatingBinding>

/** Something that does not hold. */
interface Failure {
  readonly policy: string
  readonly binding: string
  readonly actions: readonly string[]
  readonly message: string
  readonly reason: string
  readonly expressionIndex: number
}

const group = 'admissionregistration.k8s.io'
const codes: Readonly<Record<string, number>> = { Unauthorized: 401, Forbidden: 403, RequestEntityTooLarge: 413, Invalid: 422 }

/** Holds a request to all policies that are bound. Undefined when there are none. */
export function checkPolicies(request: AdmissionRequest, options: PolicyOptions): Promise<void> | undefined {
  if (request.origin === undefined || isExempt(request)) return undefined
  const bound = boundTo<ValidatingSpec, ValidatingBinding>(request, `validatingadmissionpolicies.${group}`, `validatingadmissionpolicybindings.${group}`, options.registry)
  return bound.length === 0 ? undefined : check(request, bound, options)
}

async function check(request: AdmissionRequest, bound: readonly BoundPolicy[], options: PolicyOptions): Promise<void> {
  const failures: Failure[] = []
  const annotations = new Map<string, Set<string>>()
  for (const one of bound) failures.push(...(await new Check(request, one, { ...options, annotations }).run()))
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
  readonly annotations: Map<string, Set<string>>
}

/** A policy by one of its bindings, and a request. */
class Check {
  readonly #request: AdmissionRequest
  readonly #bound: BoundPolicy
  readonly #options: CheckOptions

  constructor(request: AdmissionRequest, bound: BoundPolicy, options: CheckOptions) {
    this.#request = request
    this.#bound = bound
    this.#options = options
  }

  async run(): Promise<readonly Failure[]> {
    const { descriptor, object, old } = this.#request
    const { as, params } = this.#bound
    if (typeof params === 'string') return this.#broken(`failed to configure binding: ${params}`)
    if (params.length === 0) return []
    const objects = { object: object && (await converted(object, descriptor, as)), old: old && (await converted(old, descriptor, as)) }
    const scope = scopeOf(this.#request, reviewRequest(this.#request, as, objects), this.#options.authorizer)
    return params.flatMap((param) => this.#evaluate({ ...scope, params: toCel(param) }))
  }

  #failure(message: string, expressionIndex = 0, reason = 'Invalid'): Failure {
    const { policy, binding, bindingSpec } = this.#bound
    return { policy, binding, actions: bindingSpec.validationActions, message, reason, expressionIndex }
  }

  /** What cannot be decided is a failure, or no matter. */
  #broken(why: string, expressionIndex?: number): readonly Failure[] {
    return this.#bound.spec.failurePolicy === 'Ignore' ? [] : [this.#failure(why, expressionIndex)]
  }

  #evaluate(given: Scope): readonly Failure[] {
    const { policy, spec } = this.#bound
    const { validations = [], matchConditions = [], auditAnnotations = [] } = spec
    const budget = budgetOf('policy')
    const scope = withVariables(given, spec, budget)
    const holds = conditionsHold(matchConditions, scope)
    if (holds instanceof Error) return this.#broken(holds.message)
    if (!holds) return []
    for (const { key, valueExpression } of auditAnnotations) {
      const value = attempt(valueExpression, scope, budget)
      if (value instanceof Error) return this.#broken(value.message)
      if (typeof value === 'string' && value !== '') this.#note(`${policy}/${key}`, value)
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
