// MutatingAdmissionPolicy: expressions by which the server itself changes what is going to be written
// (k8s.io/apiserver/pkg/admission/plugin/policy/mutating).
import { withMaps } from '../cel/object-literals.ts'
import type { ResourceDescriptor } from '../descriptor.ts'
import { mergeApplied } from '../managed-fields/merge.ts'
import { mergeTypeOf } from '../managed-fields/types.ts'
import type { MergeType } from '../managed-fields/types.ts'
import { cloneJson, equalJson, isRecord } from '../object.ts'
import type { ApiObject } from '../object.ts'
import { jsonPatch } from '../patch/merge.ts'
import { checkFields } from '../schema/index.ts'
import { StatusError } from '../status.ts'
import { boundTo, withVariables } from './bindings.ts'
import type { Bound, PolicyOptions, PolicySpec } from './bindings.ts'
import { budgetOf, conditionsHold, evaluate, firstLine, scopeOf, toCel } from './expressions.ts'
import { converted, isExempt } from './matching.ts'
import type { AdmissionRequest } from './request.ts'
import { reviewRequest } from './review.ts'
import type { Rounds } from './rounds.ts'

interface Mutation {
  readonly patchType: string
  readonly applyConfiguration?: { readonly expression: string }
  readonly jsonPatch?: { readonly expression: string }
}

interface MutatingSpec extends PolicySpec {
  readonly mutations?: readonly Mutation[]
  readonly reinvocationPolicy?: string
}

type BoundPolicy = Bound<MutatingSpec, { readonly policyName: string }>

const group = 'admissionregistration.k8s.io'

/** Lets the policies that are bound change an object. Undefined when there are none. */
export function applyPolicies(request: AdmissionRequest, rounds: Rounds, options: PolicyOptions): Promise<void> | undefined {
  if (request.origin === undefined || isExempt(request) || request.operation === 'DELETE' || request.object === undefined || request.kind !== request.descriptor) return undefined
  const bound = boundTo<MutatingSpec, { readonly policyName: string }>(request, `mutatingadmissionpolicies.${group}`, `mutatingadmissionpolicybindings.${group}`, options.registry)
  return bound.length === 0 ? undefined : applyAll(request, bound, rounds, options)
}

async function applyAll(request: AdmissionRequest, bound: readonly BoundPolicy[], rounds: Rounds, options: PolicyOptions): Promise<void> {
  for (const one of bound) {
    if (typeof one.params === 'string') {
      refuseUnlessIgnored(request, one, `failed to configure binding: ${one.params}`)
      continue
    }
    for (const [i, param] of one.params.entries()) {
      const id = `policy/${one.policy}/${one.binding}/${param?.metadata.namespace ?? ''}/${param?.metadata.name ?? i}`
      if (!rounds.wants(id)) continue
      const before = request.object
      if (!(await apply(request, one, param, options))) continue
      if (!equalJson(before, request.object)) rounds.changed(true)
      if (one.spec.reinvocationPolicy === 'IfNeeded') rounds.asked(id)
    }
  }
}

function refuseUnlessIgnored({ descriptor, name }: AdmissionRequest, { policy, binding, spec }: BoundPolicy, why: string): void {
  if (spec.failurePolicy === 'Ignore') return
  const message = `policy '${policy}' with binding '${binding}' denied request: ${why}`
  throw new StatusError(422, 'Invalid', message, { ...(name === '' ? {} : { name }), ...(descriptor.group === '' ? {} : { group: descriptor.group }), kind: descriptor.plural, causes: [{ message }] })
}

/** Applies all mutations of a policy, each to what the one before it made. False when its conditions do not hold. */
async function apply(request: AdmissionRequest, one: BoundPolicy, param: ApiObject | null, { authorizer }: PolicyOptions): Promise<boolean> {
  const { descriptor, old } = request
  const { as, spec } = one
  const budget = budgetOf('policy')
  const oldAs = old && (await converted(old, descriptor, as))
  for (const [i, mutation] of (spec.mutations ?? []).entries()) {
    if (request.object === undefined) return true
    const object = await converted(request.object, descriptor, as)
    const given = scopeOf(request, reviewRequest(request, as, { object, old: oldAs }), authorizer)
    const scope = withVariables({ ...given, params: toCel(param) }, spec, budget, withMaps)
    const holds = i === 0 ? conditionsHold(spec.matchConditions ?? [], scope) : true
    if (holds instanceof Error) refuseUnlessIgnored(request, one, holds.message)
    if (holds !== true) return false
    const { expression } = (mutation.patchType === 'JSONPatch' ? mutation.jsonPatch : mutation.applyConfiguration) ?? { expression: '' }
    try {
      const value = fromCel(evaluate(withMaps(expression), scope, budget))
      const next = mutation.patchType === 'JSONPatch' ? patched(object, value) : configured(as, object, value)
      request.object = held(descriptor, await converted(next, as, descriptor))
    } catch (error) {
      refuseUnlessIgnored(request, one, `expression '${expression}' resulted in error: ${firstLine(error)}`)
    }
  }
  return true
}

/** What has been made of an object, with defaults for what has come. */
function held(descriptor: ResourceDescriptor, object: ApiObject): ApiObject {
  const [unknown] = checkFields(descriptor, object)
  if (unknown !== undefined) throw new Error(unknown)
  descriptor.strategy?.applyDefaults?.(object)
  return object
}

/** A patch of which a test fails is not applied, and that is no error. */
function patched(object: ApiObject, operations: unknown): ApiObject {
  if (!Array.isArray(operations)) throw new Error('type mismatch: JSONPatchType.expression should evaluate to array')
  try {
    return jsonPatch(object, operations) as ApiObject
  } catch (error) {
    if (error instanceof StatusError && /the test operation does not apply/.test(error.message)) return object
    throw new Error(`JSON Patch: ${(error as Error).message}`, { cause: error })
  }
}

function configured(descriptor: ResourceDescriptor, object: ApiObject, configuration: unknown): ApiObject {
  if (!isRecord(configuration)) throw new Error('unsupported return type from ApplyConfiguration expression: it must be an object')
  const type = mergeTypeOf(descriptor)
  const whole = wholeValues(type, configuration, '')
  if (whole.length > 0) throw new Error(`error applying patch: invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: ${whole.join(', ')}`)
  const [unknown] = checkFields(descriptor, cloneJson({ ...configuration, metadata: isRecord(configuration['metadata']) ? configuration['metadata'] : {} }))
  if (unknown !== undefined) throw new Error(`error applying patch: failed to convert patch object to typed object: ${unknown}`)
  return mergeApplied(type, object, configuration) as ApiObject
}

/** Where a configuration holds lists or objects that could only be replaced as a whole. */
function wholeValues(type: MergeType, value: unknown, path: string): string[] {
  if (typeof value !== 'object' || value === null) return []
  if (type.of === 'whole') return [path]
  if (type.of === 'object' && isRecord(value)) return Object.entries(value).flatMap(([key, item]) => wholeValues(type.field(key), item, `${path}.${key}`))
  return type.of === 'list' && Array.isArray(value) ? value.flatMap((item, i) => wholeValues(type.item, item, `${path}[${i}]`)) : []
}

/** A value of CEL as JSON. */
function fromCel(value: unknown): unknown {
  if (typeof value === 'bigint') return Number.isSafeInteger(Number(value)) ? Number(value) : value
  if (Array.isArray(value)) return value.map(fromCel)
  if (value instanceof Date) return value.toISOString().replace('.000Z', 'Z')
  if (value instanceof Map) return fromCel(Object.fromEntries(value))
  return isRecord(value) ? Object.fromEntries(Object.entries(value).map(([key, item]) => [key, fromCel(item)])) : value
}
