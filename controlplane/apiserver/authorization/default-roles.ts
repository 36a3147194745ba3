// The cluster roles and bindings that every cluster begins with, named as in Kubernetes
// (plugin/pkg/auth/authorizer/rbac/bootstrappolicy), cut down to the kinds that are served.
import type { ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, Subject } from '../../../api/types.ts'

const group = 'rbac.authorization.k8s.io'
const read = ['get', 'list', 'watch']
const change = ['create', 'delete', 'deletecollection', 'patch', 'update']
const readAndChange = [...read, ...change]

function on(groups: string, resources: string, verbs: readonly string[]): PolicyRule {
  return { apiGroups: groups.split(',').map((name) => (name === 'core' ? '' : name)), resources: resources.split(' '), verbs: [...verbs] }
}

function paths(nonResourceURLs: readonly string[]): PolicyRule {
  return { nonResourceURLs: [...nonResourceURLs], verbs: ['get'] }
}

const workloads = 'deployments replicasets statefulsets daemonsets'
const everyWorkload = `${workloads} deployments/scale replicasets/scale statefulsets/scale`
const statuses = 'deployments/status replicasets/status statefulsets/status daemonsets/status controllerrevisions'
const events = 'core,events.k8s.io'

const viewRules: PolicyRule[] = [
  on('core', 'configmaps endpoints persistentvolumeclaims persistentvolumeclaims/status pods replicationcontrollers replicationcontrollers/scale serviceaccounts services services/status', read),
  on('core', 'bindings events limitranges namespaces namespaces/status pods/log pods/status replicationcontrollers/status resourcequotas resourcequotas/status', read),
  on('discovery.k8s.io', 'endpointslices', read),
  on('apps', `${everyWorkload} ${statuses}`, read),
  on('autoscaling', 'horizontalpodautoscalers horizontalpodautoscalers/status', read),
  on('batch', 'cronjobs cronjobs/status jobs jobs/status', read),
  on('policy', 'poddisruptionbudgets poddisruptionbudgets/status', read),
  on('networking.k8s.io', 'ingresses ingresses/status networkpolicies', read),
]

const editRules: PolicyRule[] = [
  on('core', 'pods/attach pods/exec pods/portforward pods/proxy secrets services/proxy', read),
  on('core', 'serviceaccounts', ['impersonate']),
  on('core', 'pods pods/attach pods/exec pods/portforward pods/proxy', change),
  on('core', 'pods/eviction serviceaccounts/token', ['create']),
  on('core', 'configmaps events persistentvolumeclaims replicationcontrollers replicationcontrollers/scale secrets serviceaccounts services services/proxy', change),
  on('apps', `${everyWorkload} deployments/rollback`, change),
  on('autoscaling', 'horizontalpodautoscalers', change),
  on('batch', 'cronjobs jobs', change),
  on('policy', 'poddisruptionbudgets', change),
  on('networking.k8s.io', 'ingresses networkpolicies', change),
  on('coordination.k8s.io', 'leases', readAndChange),
]

const adminRules: PolicyRule[] = [on('authorization.k8s.io', 'localsubjectaccessreviews', ['create']), on(group, 'roles rolebindings', readAndChange)]

/** What kubelet, proxy, cluster DNS and overlay of a node need. They all use the node's certificate. */
const nodeRules: PolicyRule[] = [
  on('authentication.k8s.io', 'tokenreviews', ['create']),
  on('authorization.k8s.io', 'subjectaccessreviews localsubjectaccessreviews', ['create']),
  on('core', 'services namespaces configmaps secrets endpoints persistentvolumeclaims persistentvolumes', read),
  on('core', 'nodes', ['create', ...read, 'update', 'patch']),
  on('core', 'nodes/status', ['update', 'patch']),
  on(events, 'events', ['create', 'update', 'patch']),
  on('core', 'pods', [...read, 'create', 'delete']),
  on('core', 'pods/status', ['update', 'patch']),
  on('core', 'pods/eviction serviceaccounts/token', ['create']),
  on('core', 'serviceaccounts', ['get']),
  on('certificates.k8s.io', 'certificatesigningrequests', ['create', ...read]),
  on('coordination.k8s.io', 'leases', ['create', 'get', 'update', 'patch', 'delete']),
  on('discovery.k8s.io', 'endpointslices', read),
  on('networking.k8s.io', 'ingresses networkpolicies', read),
  on('networking.k8s.io', 'ingresses/status', ['update']),
  on('node.k8s.io', 'runtimeclasses', read),
  on('storage.k8s.io', 'volumeattachments csidrivers csinodes', read),
]

const schedulerRules: PolicyRule[] = [
  on(events, 'events', ['create', 'patch', 'update']),
  on('coordination.k8s.io', 'leases', ['create', 'get', 'list', 'watch', 'update']),
  on('core', 'nodes namespaces services replicationcontrollers persistentvolumeclaims persistentvolumes', read),
  on('core', 'pods', ['delete', ...read]),
  on('core', 'bindings pods/binding', ['create']),
  on('core', 'pods/status', ['patch', 'update']),
  on('apps', 'replicasets statefulsets', read),
  on('policy', 'poddisruptionbudgets', read),
  on('scheduling.k8s.io', 'priorityclasses', read),
  on('storage.k8s.io', '*', read),
]

const everything: PolicyRule[] = [{ apiGroups: ['*'], resources: ['*'], verbs: ['*'] }, { nonResourceURLs: ['*'], verbs: ['*'] }]

interface RoleOptions {
  readonly labels?: Readonly<Record<string, string>>
  /** Its rules are those of the roles with this label too. */
  readonly aggregates?: string
}

const defaults = { labels: { 'kubernetes.io/bootstrapping': 'rbac-defaults' }, annotations: { 'rbac.authorization.kubernetes.io/autoupdate': 'true' } }
const aggregateTo = (name: string): string => `rbac.authorization.k8s.io/aggregate-to-${name}`

function clusterRole(name: string, rules: PolicyRule[], { labels = {}, aggregates }: RoleOptions = {}): ClusterRole {
  const aggregation = aggregates === undefined ? {} : { aggregationRule: { clusterRoleSelectors: [{ matchLabels: { [aggregateTo(aggregates)]: 'true' } }] } }
  return { apiVersion: `${group}/v1`, kind: 'ClusterRole', metadata: { name, ...defaults, labels: { ...defaults.labels, ...labels } }, rules, ...aggregation }
}

export const defaultClusterRoles: readonly ClusterRole[] = [
  clusterRole('cluster-admin', everything),
  clusterRole('admin', [...adminRules, ...editRules, ...viewRules], { aggregates: 'admin' }),
  clusterRole('edit', [...editRules, ...viewRules], { aggregates: 'edit', labels: { [aggregateTo('admin')]: 'true' } }),
  clusterRole('view', viewRules, { aggregates: 'view', labels: { [aggregateTo('edit')]: 'true' } }),
  clusterRole('system:aggregate-to-admin', adminRules, { labels: { [aggregateTo('admin')]: 'true' } }),
  clusterRole('system:aggregate-to-edit', editRules, { labels: { [aggregateTo('edit')]: 'true' } }),
  clusterRole('system:aggregate-to-view', viewRules, { labels: { [aggregateTo('view')]: 'true' } }),
  clusterRole('system:discovery', [paths(['/api', '/api/*', '/apis', '/apis/*', '/healthz', '/livez', '/openapi', '/openapi/*', '/readyz', '/version', '/version/'])]),
  clusterRole('system:public-info-viewer', [paths(['/healthz', '/livez', '/readyz', '/version', '/version/'])]),
  clusterRole('system:basic-user', [on('authorization.k8s.io', 'selfsubjectaccessreviews selfsubjectrulesreviews', ['create']), on('authentication.k8s.io', 'selfsubjectreviews', ['create'])]),
  clusterRole('system:service-account-issuer-discovery', [paths(['/.well-known/openid-configuration', '/openid/v1/jwks'])]),
  clusterRole('system:monitoring', [paths(['/healthz', '/healthz/*', '/livez', '/livez/*', '/metrics', '/metrics/*', '/readyz', '/readyz/*'])]),
  clusterRole('system:node-bootstrapper', [on('certificates.k8s.io', 'certificatesigningrequests', ['create', ...read])]),
  clusterRole('system:node', nodeRules),
  clusterRole('system:node-proxier', [
    on('core', 'endpoints services nodes', read),
    on('discovery.k8s.io', 'endpointslices', read),
    on('networking.k8s.io', 'servicecidrs', read),
    on(events, 'events', ['create', 'patch', 'update']),
  ]),
  clusterRole('system:coredns', [on('core', 'endpoints services pods namespaces nodes', read), on('discovery.k8s.io', 'endpointslices', read)]),
  clusterRole('system:kube-scheduler', schedulerRules),
  // Deletes and lists whatever kinds there are, in namespaces and by owner.
  clusterRole('system:kube-controller-manager', everything),
  clusterRole('system:kubelet-api-admin', [on('core', 'nodes', ['proxy', ...read]), on('core', 'nodes/log nodes/metrics nodes/proxy nodes/stats', ['*'])]),
  clusterRole('system:auth-delegator', [on('authentication.k8s.io', 'tokenreviews', ['create']), on('authorization.k8s.io', 'subjectaccessreviews', ['create'])]),
]

function subject(kind: 'User' | 'Group', name: string): Subject {
  return { kind, apiGroup: group, name }
}

function clusterRoleBinding(name: string, role: string, ...subjects: Subject[]): ClusterRoleBinding {
  return { apiVersion: `${group}/v1`, kind: 'ClusterRoleBinding', metadata: { name, ...defaults }, subjects, roleRef: { apiGroup: group, kind: 'ClusterRole', name: role } }
}

const authenticated = subject('Group', 'system:authenticated')

export const defaultClusterRoleBindings: readonly ClusterRoleBinding[] = [
  clusterRoleBinding('cluster-admin', 'cluster-admin', subject('Group', 'system:masters')),
  clusterRoleBinding('system:discovery', 'system:discovery', authenticated),
  clusterRoleBinding('system:public-info-viewer', 'system:public-info-viewer', authenticated),
  clusterRoleBinding('system:basic-user', 'system:basic-user', authenticated),
  clusterRoleBinding('system:service-account-issuer-discovery', 'system:service-account-issuer-discovery', subject('Group', 'system:serviceaccounts')),
  clusterRoleBinding('system:monitoring', 'system:monitoring', subject('Group', 'system:monitoring')),
  clusterRoleBinding('system:node-bootstrapper', 'system:node-bootstrapper', subject('Group', 'system:bootstrappers')),
  clusterRoleBinding('system:node', 'system:node', subject('Group', 'system:nodes')),
  clusterRoleBinding('system:node-proxier', 'system:node-proxier', subject('User', 'system:kube-proxy')),
  clusterRoleBinding('system:kube-dns', 'system:coredns', { kind: 'ServiceAccount', name: 'kube-dns', namespace: 'kube-system' }),
  clusterRoleBinding('system:kube-scheduler', 'system:kube-scheduler', subject('User', 'system:kube-scheduler')),
  clusterRoleBinding('system:kube-controller-manager', 'system:kube-controller-manager', subject('User', 'system:kube-controller-manager')),
]

/** Everybody may read how their clients are to verify the cluster. */
export const defaultRoles: readonly Role[] = [
  { apiVersion: `${group}/v1`, kind: 'Role', metadata: { name: 'system:cluster-info', namespace: 'kube-public', ...defaults }, rules: [{ ...on('core', 'configmaps', ['get']), resourceNames: ['cluster-info'] }] },
]

export const defaultRoleBindings: readonly RoleBinding[] = [
  {
    apiVersion: `${group}/v1`, kind: 'RoleBinding', metadata: { name: 'system:cluster-info', namespace: 'kube-public', ...defaults },
    subjects: [authenticated], roleRef: { apiGroup: group, kind: 'Role', name: 'system:cluster-info' },
  },
]
