// Defaults and rules of webhook configurations and admission policies.
import type { AnyObject } from '../../../../api/types.ts'
import type { Strategy } from '../../descriptor.ts'
import { isRecord } from '../../object.ts'
import { validateMutatingBinding, validateMutatingPolicy } from '../validation/mutating-policy.ts'
import { validateBinding, validatePolicy, validateWebhooks } from '../validation/admission.ts'
import { strategyOf } from './rules.ts'

type Json = Record<string, unknown>

function recordsAt(object: Json, field: string): Json[] {
  const list = object[field]
  return Array.isArray(list) ? list.filter(isRecord) : []
}

function defaultRules(object: Json, field: string): void {
  for (const rule of recordsAt(object, field)) rule['scope'] ??= '*'
}

function defaultMatching(matching: Json): void {
  matching['matchPolicy'] ??= 'Equivalent'
  matching['namespaceSelector'] ??= {}
  matching['objectSelector'] ??= {}
}

export function webhookStrategy(isMutating: boolean): Strategy<AnyObject> {
  return strategyOf<AnyObject>({
    defaults(configuration) {
      for (const webhook of recordsAt(configuration, 'webhooks')) {
        webhook['failurePolicy'] ??= 'Fail'
        defaultMatching(webhook)
        webhook['timeoutSeconds'] ??= 10
        if (isMutating) webhook['reinvocationPolicy'] ??= 'Never'
        defaultRules(webhook, 'rules')
        const service = isRecord(webhook['clientConfig']) ? webhook['clientConfig']['service'] : undefined
        if (isRecord(service)) service['port'] ??= 443
      }
    },
    validate: (configuration, errors) => validateWebhooks(configuration, isMutating, errors),
  })
}

function defaultPolicy({ spec }: AnyObject): void {
  if (!isRecord(spec)) return
  spec['failurePolicy'] ??= 'Fail'
  const constraints = spec['matchConstraints']
  if (!isRecord(constraints)) return
  defaultMatching(constraints)
  defaultRules(constraints, 'resourceRules')
  defaultRules(constraints, 'excludeResourceRules')
}

function defaultBinding({ spec }: AnyObject): void {
  const resources = isRecord(spec) ? spec['matchResources'] : undefined
  if (!isRecord(resources)) return
  defaultMatching(resources)
  defaultRules(resources, 'resourceRules')
  defaultRules(resources, 'excludeResourceRules')
}

export const policyStrategy = strategyOf<AnyObject>(
  { defaults: defaultPolicy, validate: validatePolicy },
  {
    prepareForCreate(policy) {
      // Expressions are checked when a policy is written, not after: nothing is left to warn of.
      policy['status'] = { observedGeneration: 1, typeChecking: {} }
    },
    prepareForUpdate(policy) {
      policy['status'] = { ...(isRecord(policy['status']) ? policy['status'] : {}), observedGeneration: policy.metadata.generation ?? 1 }
    },
  },
)

export const bindingStrategy = strategyOf<AnyObject>({ defaults: defaultBinding, validate: validateBinding })
export const mutatingPolicyStrategy = strategyOf<AnyObject>({ defaults: defaultPolicy, validate: validateMutatingPolicy })
export const mutatingBindingStrategy = strategyOf<AnyObject>({ defaults: defaultBinding, validate: validateMutatingBinding })
