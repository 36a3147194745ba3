// Which requests are written to the audit log, and how much of each: a Policy of audit.k8s.io/v1. The first rule that fits decides.
import { load } from 'js-yaml'
import type { UserInfo } from '../descriptor.ts'
import { isRecord } from '../object.ts'
import type { RequestInfo } from '../request-info.ts'

const levels = ['None', 'Metadata', 'Request', 'RequestResponse'] as const
export type Level = (typeof levels)[number]
const stages = ['RequestReceived', 'ResponseStarted', 'ResponseComplete', 'Panic'] as const
export type Stage = (typeof stages)[number]

interface GroupResources {
  readonly group?: string
  readonly resources?: readonly string[]
  readonly resourceNames?: readonly string[]
}

interface Rule {
  readonly level: Level
  readonly users?: readonly string[]
  readonly userGroups?: readonly string[]
  readonly verbs?: readonly string[]
  readonly resources?: readonly GroupResources[]
  /** '' are requests that are in none. */
  readonly namespaces?: readonly string[]
  readonly nonResourceURLs?: readonly string[]
  readonly omitStages?: readonly Stage[]
  readonly omitManagedFields?: boolean
}

export interface Policy {
  readonly rules: readonly Rule[]
  readonly omitStages?: readonly Stage[]
  readonly omitManagedFields?: boolean
}

export interface Decision {
  readonly level: Level
  readonly omitStages: ReadonlySet<Stage>
  readonly omitManagedFields: boolean
}

/** Without a policy: who asked for what, once it is answered. */
export const defaultPolicy: Policy = { rules: [{ level: 'Metadata' }], omitStages: ['RequestReceived'] }

/** Reads a policy in YAML or JSON. Says what is wrong with it, and where. */
export function parsePolicy(text: string, source: string): Policy {
  const fail = (why: string): never => {
    throw new Error(`Cannot use the audit policy ${source}: ${why}`)
  }
  let policy: unknown
  try {
    policy = load(text)
  } catch (error) {
    return fail((error as Error).message.split('\n')[0] ?? '')
  }
  if (!isRecord(policy) || policy['kind'] !== 'Policy' || policy['apiVersion'] !== 'audit.k8s.io/v1') return fail('it must be a Policy of audit.k8s.io/v1')
  const { rules, omitStages } = policy
  if (!Array.isArray(rules) || rules.length === 0) return fail('it has no rules')
  checkStages(omitStages, 'omitStages', fail)
  for (const [i, rule] of rules.entries()) checkRule(rule, `rules[${i}]`, fail)
  return policy as unknown as Policy
}

function checkRule(rule: unknown, at: string, fail: (why: string) => never): void {
  if (!isRecord(rule)) return fail(`${at} must be an object`)
  if (!levels.includes(rule['level'] as Level)) fail(`${at}.level must be one of ${levels.join(', ')}`)
  for (const name of ['users', 'userGroups', 'verbs', 'namespaces', 'nonResourceURLs'] as const) checkStrings(rule[name], `${at}.${name}`, fail)
  if (Array.isArray(rule['nonResourceURLs']) && rule['nonResourceURLs'].length > 0) {
    if (rule['resources'] !== undefined || rule['namespaces'] !== undefined) fail(`${at} cannot apply to both resources and nonResourceURLs`)
    for (const url of rule['nonResourceURLs'] as string[]) if (url !== '*' && (!url.startsWith('/') || url.slice(0, -1).includes('*'))) fail(`${at}.nonResourceURLs: ${JSON.stringify(url)} must begin with '/', and '*' may only stand at its end`)
  }
  checkStages(rule['omitStages'], `${at}.omitStages`, fail)
  if (rule['resources'] === undefined) return
  if (!Array.isArray(rule['resources'])) return fail(`${at}.resources must be a list`)
  for (const [i, resources] of rule['resources'].entries()) {
    if (!isRecord(resources)) return fail(`${at}.resources[${i}] must be an object`)
    const { group, resources: names, resourceNames } = resources
    if (group !== undefined && typeof group !== 'string') fail(`${at}.resources[${i}].group must be a string`)
    checkStrings(names, `${at}.resources[${i}].resources`, fail)
    checkStrings(resourceNames, `${at}.resources[${i}].resourceNames`, fail)
    if (Array.isArray(resourceNames) && resourceNames.length > 0 && !(Array.isArray(names) && names.length > 0)) fail(`${at}.resources[${i}]: resourceNames need resources`)
  }
}

function checkStrings(value: unknown, at: string, fail: (why: string) => never): void {
  if (value !== undefined && !(Array.isArray(value) && value.every((item) => typeof item === 'string'))) fail(`${at} must be a list of strings`)
}

function checkStages(value: unknown, at: string, fail: (why: string) => never): void {
  checkStrings(value, at, fail)
  for (const stage of (value ?? []) as string[]) if (!stages.includes(stage as Stage)) fail(`${at}: ${JSON.stringify(stage)} is none of ${stages.join(', ')}`)
}

/** How much of a request is written. Nothing, where no rule fits. */
export function decide(policy: Policy, user: UserInfo | undefined, info: RequestInfo): Decision {
  const rule = policy.rules.find((one) => fits(one, user, info))
  return {
    level: rule?.level ?? 'None',
    omitStages: new Set([...(policy.omitStages ?? []), ...(rule?.omitStages ?? [])]),
    omitManagedFields: rule?.omitManagedFields ?? policy.omitManagedFields ?? false,
  }
}

function fits({ users, userGroups, verbs, namespaces, resources, nonResourceURLs }: Rule, user: UserInfo | undefined, info: RequestInfo): boolean {
  if (isGiven(users) && !users.includes(user?.name ?? '')) return false
  if (isGiven(userGroups) && !userGroups.some((group) => user?.groups.includes(group) === true)) return false
  if (isGiven(verbs) && !verbs.includes(info.verb)) return false
  if (isGiven(namespaces) || isGiven(resources)) {
    if (!info.isResource || (isGiven(namespaces) && !namespaces.includes(info.namespace))) return false
    return !isGiven(resources) || resources.some((one) => isAmong(one, info))
  }
  if (isGiven(nonResourceURLs)) return !info.isResource && nonResourceURLs.some((url) => (url.endsWith('*') ? info.path.startsWith(url.slice(0, -1)) : url === info.path))
  return true
}

function isAmong({ group = '', resources, resourceNames }: GroupResources, info: RequestInfo): boolean {
  if (group !== info.group) return false
  if (!isGiven(resources)) return true
  if (isGiven(resourceNames) && !resourceNames.includes(info.name)) return false
  const { resource, subresource } = info
  const whole = subresource === '' ? resource : `${resource}/${subresource}`
  return resources.some((one) => one === '*' || one === whole || (subresource !== '' && (one === `*/${subresource}` || one === `${resource}/*`)))
}

function isGiven<T>(list: readonly T[] | undefined): list is readonly T[] {
  return list !== undefined && list.length > 0
}
