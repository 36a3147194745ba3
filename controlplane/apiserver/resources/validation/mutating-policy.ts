// Mutating admission policies (pkg/apis/admissionregistration/validation).
import type { AnyObject } from '../../../../api/types.ts'
import { withMaps } from '../../cel/object-literals.ts'
import { isRecord } from '../../object.ts'
import { undeclared, validateBindingSpec, validateExpression, validatePolicySpec } from './admission.ts'
import type { FieldErrors } from './errors.ts'

type Json = Record<string, unknown>

function records(object: unknown, field: string): Json[] {
  const list = isRecord(object) ? object[field] : undefined
  return Array.isArray(list) ? list.filter(isRecord) : []
}

const kinds: Readonly<Record<string, { readonly field: string; readonly types: readonly string[] }>> = {
  ApplyConfiguration: { field: 'applyConfiguration', types: ['map'] },
  JSONPatch: { field: 'jsonPatch', types: ['list'] },
}

export function validateMutatingPolicy(policy: AnyObject, errors: FieldErrors): void {
  const spec = isRecord(policy['spec']) ? policy['spec'] : {}
  const { hasParams, declared } = validatePolicySpec(spec, errors, withMaps)
  for (const [i, rule] of records(spec['matchConstraints'], 'resourceRules').entries()) {
    const operations = Array.isArray(rule['operations']) ? rule['operations'] : []
    // Nothing is left to be changed of what goes.
    if (operations.includes('DELETE')) errors.unsupported(`spec.matchConstraints.resourceRules[${i}].operations[${operations.indexOf('DELETE')}]`, 'DELETE', ['*', 'CONNECT', 'CREATE', 'UPDATE'])
  }
  errors.oneOf('spec.reinvocationPolicy', typeof spec['reinvocationPolicy'] === 'string' ? spec['reinvocationPolicy'] : undefined, ['IfNeeded', 'Never'])
  const mutations = records(spec, 'mutations')
  if (mutations.length === 0) errors.required('spec.mutations', 'mutations must contain at least one item')
  for (const [i, mutation] of mutations.entries()) {
    const at = `spec.mutations[${i}]`
    const type = typeof mutation['patchType'] === 'string' ? mutation['patchType'] : ''
    errors.oneOf(`${at}.patchType`, type, Object.keys(kinds))
    for (const [name, { field, types }] of Object.entries(kinds)) {
      const given = mutation[field]
      if (name !== type) {
        if (given !== undefined) errors.forbidden(`${at}.${field}`, `must be empty when patchType is not ${name}`)
      } else if (!isRecord(given)) errors.required(`${at}.${field}`, `must be specified when patchType is ${name}`)
      else {
        const expression = typeof given['expression'] === 'string' ? given['expression'] : ''
        validateExpression({ expression: withMaps(expression) }, 'expression', `${at}.${field}`, { params: hasParams, variables: true }, types, errors)
        undeclared(given, `${at}.${field}`, declared, errors)
      }
    }
  }
}

export function validateMutatingBinding(binding: AnyObject, errors: FieldErrors): void {
  validateBindingSpec(isRecord(binding['spec']) ? binding['spec'] : {}, errors)
}
