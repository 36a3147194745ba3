// What every cluster has before anybody wrote anything: namespaces, roles, priority classes, the services `kubernetes` and `kube-dns`.
import type { KubeObject } from '../../../api/types.ts'
import { defaultClusterRoleBindings, defaultClusterRoles, defaultRoleBindings, defaultRoles } from '../authorization/default-roles.ts'
import type { UserInfo } from '../descriptor.ts'
import { cloneJson, equalJson } from '../object.ts'
import type { ApiObject } from '../object.ts'
import type { Registry } from '../registry.ts'
import { StatusError } from '../status.ts'
import type { Writer } from '../write/writer.ts'
import { extensionAuthentication, extensionAuthenticationReader, flowSchemas, priorityLevels, serviceRange } from './platform-objects.ts'

/** Writes what the server itself decides. */
export const serverUser: UserInfo = { name: 'system:apiserver', groups: ['system:masters'] }

export interface BootstrapOptions {
  /** The first address of the service range. */
  readonly kubernetesAddress: string
  /** One of each family that services have, the default one first. */
  readonly clusterDnsAddresses: readonly string[]
  /** PEM, told to whoever extends the API: the CA of clients, and that by which it knows us. */
  readonly caCertificate: string
  readonly frontProxyCa: string
  readonly serviceRanges: readonly string[]
}

interface Place {
  readonly writer: Writer
  readonly registry: Registry
}

/** Namespaces first; everything else at once, so that it shares the store's transactions. */
export async function ensureBootstrapObjects(place: Place, options: BootstrapOptions): Promise<void> {
  const namespaces = ['default', 'kube-system', 'kube-public', 'kube-node-lease']
  await Promise.all(namespaces.map((name) => ensure(place, 'namespaces', { metadata: { name } })))
  await Promise.all([
    ...defaultClusterRoles.map((role) => ensureRole(place, 'clusterroles', role)),
    ...defaultClusterRoleBindings.map((binding) => ensure(place, 'clusterrolebindings.rbac.authorization.k8s.io', binding)),
    ...[...defaultRoles, extensionAuthenticationReader].map((role) => ensureRole(place, 'roles', role)),
    ...defaultRoleBindings.map((binding) => ensure(place, 'rolebindings.rbac.authorization.k8s.io', binding)),
    // So that pods can be made from the first moment; the controllers see to every other namespace.
    ...namespaces.map((namespace) => ensure(place, 'serviceaccounts', { metadata: { name: 'default', namespace } })),
    ...priorityClasses.map((priorityClass) => ensure(place, 'priorityclasses.scheduling.k8s.io', priorityClass)),
    ensure(place, 'services', kubernetesService(options.kubernetesAddress)),
    ensure(place, 'services', dnsService(options.clusterDnsAddresses)),
    ...flowSchemas.map((schema) => ensure(place, 'flowschemas.flowcontrol.apiserver.k8s.io', schema)),
    ...priorityLevels.map((level) => ensure(place, 'prioritylevelconfigurations.flowcontrol.apiserver.k8s.io', level)),
    ensure(place, 'servicecidrs.networking.k8s.io', serviceRange(options.serviceRanges)),
    ensureData(place, { metadata: { name: 'extension-apiserver-authentication', namespace: 'kube-system' }, data: extensionAuthentication(options.caCertificate, options.frontProxyCa) }),
  ])
}

const priorityClasses: readonly ApiObject[] = [
  { metadata: { name: 'system-cluster-critical' }, value: 2_000_000_000, preemptionPolicy: 'PreemptLowerPriority', description: 'Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.' },
  { metadata: { name: 'system-node-critical' }, value: 2_000_001_000, preemptionPolicy: 'PreemptLowerPriority', description: 'Used for system critical pods that must not be moved from their current node.' },
]

function kubernetesService(clusterIP: string): ApiObject {
  return {
    metadata: { name: 'kubernetes', namespace: 'default', labels: { component: 'apiserver', provider: 'kubernetes' } },
    spec: { type: 'ClusterIP', clusterIP, ports: [{ name: 'https', port: 443, protocol: 'TCP', targetPort: 6443 }], sessionAffinity: 'None' },
  }
}

/** Every host answers the cluster DNS address itself; the label tells proxies to leave this service alone. */
function dnsService(clusterIPs: readonly string[]): ApiObject {
  return {
    metadata: {
      name: 'kube-dns', namespace: 'kube-system',
      labels: { 'k8s-app': 'kube-dns', 'kubernetes.io/name': 'CoreDNS', 'kubernetes.io/cluster-service': 'true', 'service.kubernetes.io/service-proxy-name': 'fairway-dns' },
    },
    spec: { type: 'ClusterIP', clusterIP: clusterIPs[0], clusterIPs: [...clusterIPs], ...(clusterIPs.length > 1 ? { ipFamilyPolicy: 'RequireDualStack' } : {}), ports: [{ name: 'dns', port: 53, protocol: 'UDP', targetPort: 53 }, { name: 'dns-tcp', port: 53, protocol: 'TCP', targetPort: 53 }], sessionAffinity: 'None' },
  }
}

/** Creates what is not there; what is there stays as it is. */
async function ensure({ writer, registry }: Place, resource: string, object: KubeObject | ApiObject): Promise<void> {
  const descriptor = registry.named(resource)
  if (descriptor === undefined) return
  const { namespace, name = '' } = object.metadata
  if (writer.context({ user: serverUser }).lookup(resource, namespace, name) !== undefined) return
  try {
    await writer.create(descriptor, namespace ?? '', cloneJson(object) as ApiObject, { user: serverUser })
  } catch (error) {
    // Another server of the same cluster was faster.
    if (!(error instanceof StatusError && error.reason === 'AlreadyExists')) throw error
  }
}

/** A config map that says what is so now. */
async function ensureData(place: Place, config: KubeObject & { readonly data: Readonly<Record<string, string>> }): Promise<void> {
  await ensure(place, 'configmaps', config)
  const { namespace = '', name = '' } = config.metadata
  const descriptor = place.registry.named('configmaps')
  const present = place.writer.context({ user: serverUser }).lookup('configmaps', namespace, name) as ApiObject | undefined
  if (descriptor === undefined || equalJson(present?.['data'], config.data)) return
  await place.writer.update({ descriptor, namespace, name }, { part: 'main', make: (current) => ({ ...current, data: { ...config.data } }) }, { user: serverUser })
}

/** Default roles follow the version of the server, unless their owner has switched that off by annotation. */
async function ensureRole(place: Place, plural: string, role: KubeObject & { rules?: unknown; aggregationRule?: unknown }): Promise<void> {
  const resource = `${plural}.rbac.authorization.k8s.io`
  const { namespace, name = '' } = role.metadata
  const present = place.writer.context({ user: serverUser }).lookup(resource, namespace, name) as ApiObject | undefined
  const descriptor = place.registry.named(resource)
  if (present === undefined || descriptor === undefined) return ensure(place, resource, role)
  const follows = present.metadata.annotations?.['rbac.authorization.kubernetes.io/autoupdate'] === 'true'
  // Rules that come from other roles are the business of those.
  if (!follows || role.aggregationRule !== undefined || equalJson(present['rules'], role.rules)) return
  await place.writer.update({ descriptor, namespace: namespace ?? '', name }, { part: 'main', make: (current) => ({ ...current, rules: cloneJson(role.rules) }) }, { user: serverUser })
}
