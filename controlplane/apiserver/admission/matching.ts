// Whether webhooks and policies want to be asked: rules, selectors, scope, and what is equivalent
// (k8s.io/apiserver/pkg/admission/plugin/webhook/predicates).
import { matchesLabelSelector } from '../../../api/selectors.ts'
import type { LabelSelector } from '../../../api/types.ts'
import type { ResourceDescriptor } from '../descriptor.ts'
import { apiVersionOf, cloneJson } from '../object.ts'
import type { ApiObject } from '../object.ts'
import { storePrefix } from '../registry.ts'
import type { Registry } from '../registry.ts'
import { notFound } from '../status.ts'
import type { AdmissionRequest } from './request.ts'

export interface Rule {
  readonly operations?: readonly string[]
  readonly apiGroups?: readonly string[]
  readonly apiVersions?: readonly string[]
  readonly resources?: readonly string[]
  readonly scope?: string
  /** Of policies; empty is all. */
  readonly resourceNames?: readonly string[]
}

export interface Matching {
  readonly rules?: readonly Rule[]
  readonly excluded?: readonly Rule[]
  readonly matchPolicy?: string
  readonly namespaceSelector?: LabelSelector
  readonly objectSelector?: LabelSelector
}

const own = 'admissionregistration.k8s.io'

/** Nobody is asked about who is asked: otherwise a webhook that is down could not be taken away. */
export function isExempt({ descriptor }: AdmissionRequest): boolean {
  return descriptor.group === own
}

/** As which resource a request matches, if it does: the one asked for, or one that is the same by another version or group. */
export function matches({ rules = [], excluded = [], matchPolicy = 'Equivalent', namespaceSelector, objectSelector }: Matching, request: AdmissionRequest, registry: Registry): ResourceDescriptor | undefined {
  const among = (some: readonly Rule[]): ResourceDescriptor | undefined =>
    some.some((rule) => ruleMatches(rule, request.descriptor, request)) ? request.descriptor : matchPolicy === 'Equivalent' ? equivalents(request.descriptor, registry).find((other) => some.some((rule) => ruleMatches(rule, other, request))) : undefined
  if (excluded.length > 0 && among(excluded) !== undefined) return undefined
  const found = among(rules)
  return found !== undefined && namespaceMatches(namespaceSelector, request) && objectMatches(objectSelector, request) ? found : undefined
}

function equivalents(descriptor: ResourceDescriptor, registry: Registry): readonly ResourceDescriptor[] {
  const prefix = storePrefix(descriptor)
  return registry.all.filter((other) => other !== descriptor && other.virtual !== true && storePrefix(other) === prefix)
}

function has(list: readonly string[] | undefined, value: string): boolean {
  return list?.some((one) => one === '*' || one === value) ?? false
}

function ruleMatches({ operations, apiGroups, apiVersions, resources = [], scope = '*', resourceNames = [] }: Rule, { group, version, plural }: ResourceDescriptor, { operation, subresource, namespace, name, descriptor }: AdmissionRequest): boolean {
  if (!has(operations, operation) || !has(apiGroups, group) || !has(apiVersions, version)) return false
  const isNamespaced = namespace !== '' && descriptor.plural !== 'namespaces'
  if (scope !== '*' && scope !== '' && (scope === 'Namespaced') !== isNamespaced) return false
  if (resourceNames.length > 0 && !resourceNames.includes(name)) return false
  return resources.some((one) => {
    const [resource = '', sub = ''] = one.split('/')
    return (resource === '*' || resource === plural) && (sub === '*' || sub === subresource)
  })
}

function isEmpty({ matchLabels = {}, matchExpressions = [] }: LabelSelector): boolean {
  return Object.keys(matchLabels).length === 0 && matchExpressions.length === 0
}

function namespaceMatches(selector: LabelSelector | undefined, { descriptor, operation, subresource, object, namespace, context, name }: AdmissionRequest): boolean {
  if (selector === undefined || isEmpty(selector)) return true
  const isNamespace = descriptor.group === '' && descriptor.plural === 'namespaces'
  if (isNamespace && subresource === '' && (operation === 'CREATE' || operation === 'UPDATE')) return matchesLabelSelector(selector, object?.metadata.labels)
  const of = isNamespace ? name : namespace
  // What is in no namespace is left out by no selector.
  if (of === '') return true
  const found = context.lookup('namespaces', undefined, of)
  if (found === undefined) throw notFound({ group: '', plural: 'namespaces' }, of)
  return matchesLabelSelector(selector, found.metadata.labels)
}

function objectMatches(selector: LabelSelector | undefined, { object, old }: AdmissionRequest): boolean {
  if (selector === undefined || isEmpty(selector)) return true
  // Options of connections have no labels, and so match no selector.
  return [object, old].some((one) => one !== undefined && 'metadata' in one && matchesLabelSelector(selector, one.metadata.labels))
}

/** An object of one resource as another that is the same. */
export async function converted(object: ApiObject, from: ResourceDescriptor, to: ResourceDescriptor): Promise<ApiObject> {
  if (from === to) return object
  const copy = cloneJson(object)
  const stored = from.kept === undefined ? copy : await from.kept.write(copy)
  const [read = stored] = to.kept === undefined ? [stored] : await to.kept.read([stored])
  return { ...read, apiVersion: apiVersionOf(to), kind: to.kind }
}
