// RBAC (rbac.authorization.k8s.io/v1): who may do what, from roles and bindings in the cache.
import { matchesLabelSelector } from '../../../api/selectors.ts'
import type { ClusterRole, ClusterRoleBinding, LabelSelector, PolicyRule, Role, RoleBinding, Subject } from '../../../api/types.ts'
import type { WatchCache } from '../cache/index.ts'
import type { UserInfo } from '../descriptor.ts'
import { mayNodeAsk } from './node.ts'

/** What somebody wants to do: to a resource, or to a path when `resource` is empty. */
export interface Attributes {
  readonly verb: string
  readonly group: string
  readonly resource: string
  readonly subresource: string
  readonly namespace: string
  readonly name: string
  /** Only looked at for requests that are about no resource. */
  readonly path: string
}

interface Grant {
  /** Empty: everywhere. */
  readonly namespace: string
  readonly rules: readonly PolicyRule[]
}

const masters = 'system:masters'
const group = 'rbac.authorization.k8s.io'

export class Authorizer {
  readonly #cache: WatchCache
  /** `User/alice`, `Group/system:nodes`, `ServiceAccount/ns/name`. */
  #grants = new Map<string, Grant[]>()
  #generation = -1

  constructor(cache: WatchCache) {
    this.#cache = cache
  }

  isAllowed(user: UserInfo, attributes: Attributes): boolean {
    if (user.groups.includes(masters)) return true
    if (!mayNodeAsk(this.#cache, user, attributes)) return false
    return this.#rulesOf(user, attributes.namespace).some((rule) => ruleAllows(rule, attributes))
  }

  /** All rules that hold for a user in a namespace (`''`: those that hold everywhere). */
  rules(user: UserInfo, namespace: string): PolicyRule[] {
    if (user.groups.includes(masters)) return [{ apiGroups: ['*'], resources: ['*'], verbs: ['*'] }, { nonResourceURLs: ['*'], verbs: ['*'] }]
    return [...this.#rulesOf(user, namespace)]
  }

  /** The first of some rules that goes beyond what a user has: nobody may give what they do not have. */
  beyond(user: UserInfo, namespace: string, rules: readonly PolicyRule[]): PolicyRule | undefined {
    if (user.groups.includes(masters)) return undefined
    const own = [...this.#rulesOf(user, namespace)]
    return rules.find((rule) => !isCovered(rule, own))
  }

  hasRole(kind: string, name: string, namespace: string): boolean {
    const cache = this.#cache.named(`${kind === 'Role' ? 'roles' : 'clusterroles'}.${group}`)
    return cache?.get(kind === 'Role' ? namespace : '', name) !== undefined
  }

  /** Rules of a role that a binding in `namespace` names, aggregation included. */
  rulesOfRole(kind: string, name: string, namespace: string): readonly PolicyRule[] {
    if (kind === 'Role') return (this.#cache.named(`roles.${group}`)?.get(namespace, name)?.object as Role | undefined)?.rules ?? []
    const role = this.#cache.named(`clusterroles.${group}`)?.get('', name)?.object as ClusterRole | undefined
    return role === undefined ? [] : role.aggregationRule === undefined ? (role.rules ?? []) : this.#aggregated(role)
  }

  *#rulesOf(user: UserInfo, namespace: string): Generator<PolicyRule> {
    this.#refresh()
    const keys = [`User/${user.name}`, ...user.groups.map((name) => `Group/${name}`)]
    const [, accountNamespace, account] = /^system:serviceaccount:([^:]+):([^:]+)$/.exec(user.name) ?? []
    if (account !== undefined) keys.push(`ServiceAccount/${accountNamespace ?? ''}/${account}`)
    for (const key of keys) {
      for (const grant of this.#grants.get(key) ?? []) {
        if (grant.namespace === '' || grant.namespace === namespace) yield* grant.rules
      }
    }
  }

  /** Bindings are indexed by subject, anew when any role or binding has changed. */
  #refresh(): void {
    const caches = ['roles', 'clusterroles', 'rolebindings', 'clusterrolebindings'].map((plural) => this.#cache.named(`${plural}.${group}`))
    const generation = caches.reduce((sum, cache) => sum + (cache?.generation ?? 0), 0)
    if (generation === this.#generation) return
    this.#generation = generation
    this.#grants = new Map()
    for (const entry of caches[2]?.list() ?? []) this.#addBinding(entry.object as unknown as RoleBinding, entry.namespace)
    for (const entry of caches[3]?.list() ?? []) this.#addBinding(entry.object as unknown as ClusterRoleBinding, '')
  }

  #addBinding({ subjects, roleRef }: RoleBinding, namespace: string): void {
    const grant = { namespace, rules: this.rulesOfRole(roleRef.kind, roleRef.name, namespace) }
    if (grant.rules.length === 0) return
    for (const subject of subjects ?? []) {
      const key = subjectKey(subject, namespace)
      const present = this.#grants.get(key)
      if (present === undefined) this.#grants.set(key, [grant])
      else present.push(grant)
    }
  }

  #aggregated(role: ClusterRole): PolicyRule[] {
    const { clusterRoleSelectors = [] } = (role.aggregationRule ?? {}) as { clusterRoleSelectors?: LabelSelector[] }
    if (clusterRoleSelectors.length === 0) return []
    const others = (this.#cache.named(`clusterroles.${group}`)?.list() ?? []).filter(
      ({ name, object }) => name !== role.metadata.name && clusterRoleSelectors.some((selector) => matchesLabelSelector(selector, object.metadata.labels)),
    )
    return others.flatMap(({ object }) => (object as ClusterRole).rules ?? [])
  }
}

function subjectKey({ kind, name, namespace }: Subject, bindingNamespace: string): string {
  return kind === 'ServiceAccount' ? `ServiceAccount/${namespace || bindingNamespace}/${name}` : `${kind}/${name}`
}

/** Whether one rule allows a request (pkg/apis/rbac/v1/evaluation_helpers.go). */
function ruleAllows(rule: PolicyRule, { verb, group, resource, subresource, name, path }: Attributes): boolean {
  if (!hasOrAll(rule.verbs, verb)) return false
  if (resource === '') return (rule.nonResourceURLs ?? []).some((url) => url === '*' || url === path || (url.endsWith('*') && path.startsWith(url.slice(0, -1))))
  if (!hasOrAll(rule.apiGroups, group)) return false
  const wanted = subresource === '' ? resource : `${resource}/${subresource}`
  const fits = (rule.resources ?? []).some((one) => one === '*' || one === wanted || (subresource !== '' && one === `*/${subresource}`))
  return fits && ((rule.resourceNames?.length ?? 0) === 0 || rule.resourceNames?.includes(name) === true)
}

/** Whether every single permission of a rule is among those of others (validation.Covers). */
function isCovered(rule: PolicyRule, own: readonly PolicyRule[]): boolean {
  for (const verb of rule.verbs ?? []) {
    for (const path of rule.nonResourceURLs ?? []) {
      if (!own.some((one) => ruleAllows(one, { verb, group: '', resource: '', subresource: '', namespace: '', name: '', path }))) return false
    }
    for (const group of rule.apiGroups ?? []) {
      for (const wanted of rule.resources ?? []) {
        const [resource = '', subresource = ''] = wanted.split('/')
        const names = (rule.resourceNames?.length ?? 0) === 0 ? [''] : (rule.resourceNames ?? [])
        if (!names.every((name) => own.some((one) => ruleAllows(one, { verb, group, resource, subresource, namespace: '', name, path: '' })))) return false
      }
    }
  }
  return true
}

function hasOrAll(list: readonly string[] | undefined, value: string): boolean {
  return list?.some((one) => one === '*' || one === value) === true
}
