// PodSecurity: what the labels of a namespace demand of its pods (k8s.io/pod-security-admission).
import type { KubeObject } from '../../../api/types.ts'
import type { FieldError, ResourceDescriptor } from '../descriptor.ts'
import { equalJson, isRecord, valueAt } from '../object.ts'
import type { ApiObject } from '../object.ts'
import { forbidden, invalid } from '../status.ts'
import { violationsOf } from './pod-security-checks.ts'
import type { Violation } from './pod-security-checks.ts'
import type { AdmissionRequest } from './request.ts'

type Level = 'privileged' | 'baseline' | 'restricted'

interface Demand {
  readonly level: Level
  /** Undefined: the newest. */
  readonly minor: number | undefined
}

interface Policy {
  readonly enforce: Demand
  readonly audit: Demand
  readonly warn: Demand
  readonly errors: readonly FieldError[]
}

const prefix = 'pod-security.kubernetes.io/'
const levels: readonly string[] = ['privileged', 'baseline', 'restricted']
/** What `latest` means: the version of the API that is served. */
const latest = 35
const podsMax = 3000
/** Subresources by which nothing changes that matters here. */
const ignored = new Set(['exec', 'attach', 'binding', 'eviction', 'log', 'portforward', 'proxy', 'status'])

function policyOf(labels: Readonly<Record<string, string>> = {}): Policy {
  const errors: FieldError[] = []
  const read = (mode: string, ifWrong: Level): Demand => {
    const level = labels[`${prefix}${mode}`]
    const version = labels[`${prefix}${mode}-version`]
    const wrong = (key: string, value: string, detail: string): void => void errors.push({ field: `metadata.labels[${prefix}${key}]`, type: 'FieldValueInvalid', value, detail })
    if (level !== undefined && !levels.includes(level)) wrong(mode, level, `must be one of ${levels.join(', ')}`)
    const [, minor] = /^v1\.(0|[1-9]\d*)$/.exec(version ?? '') ?? []
    if (version !== undefined && version !== 'latest' && minor === undefined) wrong(`${mode}-version`, version, 'must be "latest" or "v1.x"')
    return { level: level === undefined ? 'privileged' : levels.includes(level) ? (level as Level) : ifWrong, minor: minor === undefined ? undefined : Number(minor) }
  }
  const enforce = read('enforce', 'restricted')
  const audit = read('audit', 'privileged')
  const warn = read('warn', 'privileged')
  const isValid = levels.includes(labels[`${prefix}enforce`] ?? '')
  // Who enforces wants warnings about workloads, too, unless they say otherwise.
  if (labels[`${prefix}warn`] !== undefined || !isValid || enforce.level === 'privileged') return { enforce, audit, warn, errors }
  return { enforce, audit, warn: { level: enforce.level, minor: labels[`${prefix}warn-version`] === undefined ? enforce.minor : warn.minor }, errors }
}

function shown({ level, minor }: Demand): string {
  return `${level}:${minor === undefined ? 'latest' : `v1.${minor}`}`
}

function violations({ level, minor = latest }: Demand, pod: KubeObject): readonly Violation[] {
  return violationsOf(level, minor, pod)
}

function told(found: readonly Violation[]): string {
  return found.map(({ reason, detail }) => (detail === '' ? reason : `${reason} (${detail})`)).join(', ')
}

/** Refuses pods that are beyond what their namespace allows, warns of workloads whose pods would be. */
export function checkPodSecurity(request: AdmissionRequest): void {
  const { operation, descriptor, subresource, object } = request
  if (object === undefined || operation === 'DELETE' || operation === 'CONNECT') return
  if (descriptor.group === '' && descriptor.plural === 'namespaces' && subresource === '') checkNamespaceLabels(request, object)
  else if (descriptor.group === '' && descriptor.plural === 'pods') checkPod(request, object)
  else if (subresource === '') {
    const template = templateOf(descriptor, object)
    if (template !== undefined) evaluate(request, template, false)
  }
}

function templateOf({ group, plural }: ResourceDescriptor, object: ApiObject): KubeObject | undefined {
  const path = templates[`${plural}.${group}`]
  const template = path === undefined ? undefined : valueAt(object, path)
  return isRecord(template) ? (template as unknown as KubeObject) : undefined
}

const templates: Readonly<Record<string, string>> = {
  'podtemplates.': '.template', 'replicationcontrollers.': '.spec.template', 'replicasets.apps': '.spec.template', 'deployments.apps': '.spec.template', 'statefulsets.apps': '.spec.template', 'daemonsets.apps': '.spec.template',
  'jobs.batch': '.spec.template', 'cronjobs.batch': '.spec.jobTemplate.spec.template',
}

function checkPod(request: AdmissionRequest, pod: ApiObject): void {
  const { subresource, old, operation } = request
  if (ignored.has(subresource) || (operation === 'UPDATE' && old !== undefined && !isSignificant(pod, old))) return
  evaluate(request, pod, true)
}

/** Of what can change in a pod, only images and new containers matter. */
function isSignificant(pod: ApiObject, old: ApiObject): boolean {
  const images = (of: ApiObject): unknown => ['initContainers', 'containers', 'ephemeralContainers'].map((field) => {
    const containers = valueAt(of, `.spec.${field}`)
    return Array.isArray(containers) ? containers.filter(isRecord).map(({ name, image }) => [name, image]) : []
  })
  return !equalJson(images(pod), images(old))
}

function evaluate(request: AdmissionRequest, pod: KubeObject, isEnforced: boolean): void {
  const { context, namespace, descriptor, name, warn, origin } = request
  const labels = context.lookup('namespaces', undefined, namespace)?.metadata.labels
  const policy = policyOf(labels)
  if (policy.errors.length > 0) origin?.annotate(`${prefix}error`, `Failed to parse policy: ${policy.errors.map(({ field, detail }) => `${field}: ${detail}`).join(', ')}`)
  const audited = violations(policy.audit, pod)
  if (audited.length > 0) origin?.annotate(`${prefix}audit-violations`, `would violate PodSecurity ${JSON.stringify(shown(policy.audit))}: ${told(audited)}`)
  if (isEnforced) {
    origin?.annotate(`${prefix}enforce-policy`, shown(policy.enforce))
    const found = violations(policy.enforce, pod)
    if (found.length > 0) throw forbidden(descriptor, name, `violates PodSecurity ${JSON.stringify(shown(policy.enforce))}: ${told(found)}`)
  }
  const warned = violations(policy.warn, pod)
  if (warned.length > 0) warn(`would violate PodSecurity ${JSON.stringify(shown(policy.warn))}: ${told(warned)}`)
}

/** Labels that are right; and when more is demanded than before, a warning of the pods that are there. */
function checkNamespaceLabels({ operation, descriptor, name, old, context, warn }: AdmissionRequest, namespace: ApiObject): void {
  const policy = policyOf(namespace.metadata.labels)
  const before = operation === 'UPDATE' && old !== undefined ? policyOf(old.metadata.labels) : undefined
  if (policy.errors.length > 0 && !equalJson(policy.errors, before?.errors)) throw invalid(descriptor, name, policy.errors)
  if (before === undefined || equalJson(policy.enforce, before.enforce) || policy.enforce.level === 'privileged') return
  if (policy.enforce.minor === before.enforce.minor && levels.indexOf(policy.enforce.level) <= levels.indexOf(before.enforce.level)) return
  const pods = onePerOwner(context.list('pods', name))
  const byReason = new Map<string, string[]>()
  for (const pod of pods.slice(0, podsMax)) {
    const reason = violations(policy.enforce, pod).map((one) => one.reason).join(', ')
    if (reason !== '') byReason.set(reason, [...(byReason.get(reason) ?? []), pod.metadata.name ?? ''])
  }
  if (pods.length > podsMax) warn(`new PodSecurity enforce level only checked against the first ${podsMax} of ${pods.length} existing pods`)
  if (byReason.size === 0) return
  warn(`existing pods in namespace ${JSON.stringify(name)} violate the new PodSecurity enforce level ${JSON.stringify(shown(policy.enforce))}`)
  for (const line of [...byReason].map(([reason, names]) => `${names.toSorted()[0] ?? ''}${others(names.length - 1)}: ${reason}`).toSorted()) warn(line)
}

function others(count: number): string {
  return count === 0 ? '' : ` (and ${count} other ${count === 1 ? 'pod' : 'pods'})`
}

/** Pods of one owner are alike: the first of each, and then the rest. */
function onePerOwner(pods: readonly KubeObject[]): readonly KubeObject[] {
  const seen = new Set<string>()
  const rest: KubeObject[] = []
  const first = pods.filter((pod) => {
    const owner = pod.metadata.ownerReferences?.find(({ controller }) => controller === true)?.uid
    if (owner === undefined || !seen.has(owner)) {
      if (owner !== undefined) seen.add(owner)
      return true
    }
    rest.push(pod)
    return false
  })
  return [...first, ...rest]
}
