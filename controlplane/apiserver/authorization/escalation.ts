// Nobody gives what they do not have: roles and bindings may only grant what their author may do, unless the author
// may `escalate` or `bind` (pkg/registry/rbac/*/policybased).
import type { PolicyRule, RoleBinding } from '../../../api/types.ts'
import type { ResourceDescriptor, UserInfo } from '../descriptor.ts'
import type { ApiObject } from '../object.ts'
import { equalJson } from '../object.ts'
import { forbidden, notFound } from '../status.ts'
import type { Authorizer } from './rbac.ts'

const group = 'rbac.authorization.k8s.io'

/** Throws 403 when `object`, about to be written by `user`, grants more than they have. `old` is what it replaces. */
export function checkEscalation(authorizer: Authorizer, descriptor: ResourceDescriptor, object: ApiObject, old: ApiObject | undefined, user: UserInfo): void {
  if (descriptor.group !== group) return
  const { namespace = '', name = '' } = object.metadata
  const may = (verb: string, resource: string, about: string): boolean => authorizer.isAllowed(user, { verb, group, resource, subresource: '', namespace, name: about, path: '' })
  if (descriptor.kind === 'Role' || descriptor.kind === 'ClusterRole') {
    const rules = (object['rules'] ?? []) as PolicyRule[]
    if (old !== undefined && equalJson(rules, old['rules'] ?? []) && equalJson(object['aggregationRule'], old['aggregationRule'])) return
    if (may('escalate', descriptor.plural, name)) return
    // What an aggregated role will hold is not known beforehand.
    const wanted = object['aggregationRule'] === undefined ? rules : [...rules, { apiGroups: ['*'], resources: ['*'], verbs: ['*'] }]
    refuse(authorizer, descriptor, object, wanted, user)
    return
  }
  const { roleRef, subjects } = object as unknown as RoleBinding
  if (old !== undefined && equalJson(subjects, old['subjects']) && equalJson(roleRef, old['roleRef'])) return
  if (roleRef === undefined || may('bind', roleRef.kind === 'Role' ? 'roles' : 'clusterroles', roleRef.name)) return
  // Of a role that is not there nobody knows what it will give.
  if (!authorizer.hasRole(roleRef.kind, roleRef.name, namespace)) throw notFound({ group, plural: roleRef.kind === 'Role' ? 'roles' : 'clusterroles' }, roleRef.name)
  refuse(authorizer, descriptor, object, authorizer.rulesOfRole(roleRef.kind, roleRef.name, namespace), user)
}

function refuse(authorizer: Authorizer, descriptor: ResourceDescriptor, { metadata }: ApiObject, rules: readonly PolicyRule[], user: UserInfo): void {
  const beyond = authorizer.beyond(user, metadata.namespace ?? '', rules)
  if (beyond === undefined) return
  throw forbidden(descriptor, metadata.name ?? '', `user ${JSON.stringify(user.name)} (groups=${JSON.stringify(user.groups)}) is attempting to grant RBAC permissions not currently held:\n${JSON.stringify(beyond)}`)
}
