/** Where each kind lives in the API: what a client needs to know to address it. */
import type {
  AnyObject, CertificateSigningRequest, ClusterRole, ClusterRoleBinding, ConfigMap, ControllerRevision, CronJob, DaemonSet, Deployment, Endpoints,
  EndpointSlice, Event, Job, KubeObject, Lease, LimitRange, Namespace, NetworkPolicy, Node, PersistentVolume, PersistentVolumeClaim, Pod, ReplicaSet,
  ReplicationController, ResourceQuota, Role, RoleBinding, Secret, Service, ServiceAccount, StatefulSet,
} from './types.ts'

export interface Resource<T extends KubeObject> {
  /** Empty for the core group. */
  readonly group: string
  readonly version: string
  readonly plural: string
  readonly kind: string
  readonly namespaced: boolean
  /** Never set: carries the object's type. */
  readonly object?: T
}

function resource<T extends KubeObject>(group: string, version: string, plural: string, kind: string, scope: 'namespaced' | 'cluster' = 'namespaced'): Resource<T> {
  return { group, version, plural, kind, namespaced: scope === 'namespaced' }
}

export const pods = resource<Pod>('', 'v1', 'pods', 'Pod')
export const services = resource<Service>('', 'v1', 'services', 'Service')
export const endpoints = resource<Endpoints>('', 'v1', 'endpoints', 'Endpoints')
export const nodes = resource<Node>('', 'v1', 'nodes', 'Node', 'cluster')
export const namespaces = resource<Namespace>('', 'v1', 'namespaces', 'Namespace', 'cluster')
export const configMaps = resource<ConfigMap>('', 'v1', 'configmaps', 'ConfigMap')
export const secrets = resource<Secret>('', 'v1', 'secrets', 'Secret')
export const serviceAccounts = resource<ServiceAccount>('', 'v1', 'serviceaccounts', 'ServiceAccount')
export const events = resource<Event>('', 'v1', 'events', 'Event')
export const replicationControllers = resource<ReplicationController>('', 'v1', 'replicationcontrollers', 'ReplicationController')
export const persistentVolumes = resource<PersistentVolume>('', 'v1', 'persistentvolumes', 'PersistentVolume', 'cluster')
export const persistentVolumeClaims = resource<PersistentVolumeClaim>('', 'v1', 'persistentvolumeclaims', 'PersistentVolumeClaim')
export const limitRanges = resource<LimitRange>('', 'v1', 'limitranges', 'LimitRange')
export const resourceQuotas = resource<ResourceQuota>('', 'v1', 'resourcequotas', 'ResourceQuota')
export const deployments = resource<Deployment>('apps', 'v1', 'deployments', 'Deployment')
export const replicaSets = resource<ReplicaSet>('apps', 'v1', 'replicasets', 'ReplicaSet')
export const daemonSets = resource<DaemonSet>('apps', 'v1', 'daemonsets', 'DaemonSet')
export const statefulSets = resource<StatefulSet>('apps', 'v1', 'statefulsets', 'StatefulSet')
export const controllerRevisions = resource<ControllerRevision>('apps', 'v1', 'controllerrevisions', 'ControllerRevision')
export const jobs = resource<Job>('batch', 'v1', 'jobs', 'Job')
export const cronJobs = resource<CronJob>('batch', 'v1', 'cronjobs', 'CronJob')
export const endpointSlices = resource<EndpointSlice>('discovery.k8s.io', 'v1', 'endpointslices', 'EndpointSlice')
export const leases = resource<Lease>('coordination.k8s.io', 'v1', 'leases', 'Lease')
export const certificateSigningRequests = resource<CertificateSigningRequest>('certificates.k8s.io', 'v1', 'certificatesigningrequests', 'CertificateSigningRequest', 'cluster')
export const roles = resource<Role>('rbac.authorization.k8s.io', 'v1', 'roles', 'Role')
export const roleBindings = resource<RoleBinding>('rbac.authorization.k8s.io', 'v1', 'rolebindings', 'RoleBinding')
export const clusterRoles = resource<ClusterRole>('rbac.authorization.k8s.io', 'v1', 'clusterroles', 'ClusterRole', 'cluster')
export const clusterRoleBindings = resource<ClusterRoleBinding>('rbac.authorization.k8s.io', 'v1', 'clusterrolebindings', 'ClusterRoleBinding', 'cluster')
export const networkPolicies = resource<NetworkPolicy>('networking.k8s.io', 'v1', 'networkpolicies', 'NetworkPolicy')
export const ingresses = resource<AnyObject>('networking.k8s.io', 'v1', 'ingresses', 'Ingress')
export const podDisruptionBudgets = resource<AnyObject>('policy', 'v1', 'poddisruptionbudgets', 'PodDisruptionBudget')
export const storageClasses = resource<AnyObject>('storage.k8s.io', 'v1', 'storageclasses', 'StorageClass', 'cluster')
export const priorityClasses = resource<AnyObject>('scheduling.k8s.io', 'v1', 'priorityclasses', 'PriorityClass', 'cluster')

/** `/api/v1/namespaces/default/pods/web/status`; each part is escaped. */
export function resourcePath(
  resource: Resource<KubeObject>,
  at: { readonly namespace?: string | undefined; readonly name?: string | undefined; readonly subresource?: string | undefined } = {},
): string {
  const base = resource.group === '' ? `/api/${resource.version}` : `/apis/${resource.group}/${resource.version}`
  const namespace = resource.namespaced && at.namespace !== undefined && at.namespace !== '' ? `/namespaces/${encodeURIComponent(at.namespace)}` : ''
  const name = at.name === undefined ? '' : `/${encodeURIComponent(at.name)}`
  return `${base}${namespace}/${resource.plural}${name}${at.subresource === undefined ? '' : `/${at.subresource}`}`
}
