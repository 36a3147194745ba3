// Which lists of built-in kinds a strategic merge patch merges, and by what key: the `patchStrategy` and
// `patchMergeKey` tags of k8s.io/api at 1.35. Everything that is not named here is replaced as a whole.

export type ListStrategy = { readonly by: string } | { readonly primitives: true } | undefined

/** Where a list stands: its field, and the fields above it (items of lists add nothing). */
interface Place {
  readonly kind: string
  readonly path: readonly string[]
}

const containerLists = new Set(['containers', 'initContainers', 'ephemeralContainers'])

/** Lists of a container, whichever of the three lists it is in. */
const ofContainer: Readonly<Record<string, string>> = { ports: 'containerPort', env: 'name', volumeMounts: 'mountPath', volumeDevices: 'devicePath' }

/** Lists of a pod's spec, also inside templates. */
const ofPodSpec: Readonly<Record<string, string>> = {
  volumes: 'name',
  containers: 'name',
  initContainers: 'name',
  ephemeralContainers: 'name',
  imagePullSecrets: 'name',
  hostAliases: 'ip',
  topologySpreadConstraints: 'topologyKey',
  schedulingGates: 'name',
  resourceClaims: 'name',
}

/** Lists of a status. */
const ofStatus: Readonly<Record<string, string>> = { conditions: 'type', addresses: 'type', podIPs: 'ip', hostIPs: 'ip', resourceClaimStatuses: 'name', reservedFor: 'uid' }

const podSpecKinds = new Set(['Pod', 'PodTemplate', 'ReplicationController', 'ReplicaSet', 'Deployment', 'DaemonSet', 'StatefulSet', 'Job', 'CronJob'])
/** Kinds whose conditions are a map only for server-side apply; strategic merge replaces them. */
const atomicConditions = new Set(['CertificateSigningRequest', 'CustomResourceDefinition', 'ValidatingAdmissionPolicy'])
const webhookKinds = new Set(['MutatingWebhookConfiguration', 'ValidatingWebhookConfiguration'])

/** The strategy of the list at a path. */
export function listStrategy({ kind, path }: Place): ListStrategy {
  const field = path.at(-1) ?? ''
  const parent = path.at(-2) ?? ''
  if (parent === 'metadata') {
    if (field === 'ownerReferences') return { by: 'uid' }
    return field === 'finalizers' ? { primitives: true } : undefined
  }
  if (path[0] === 'status') {
    if (path.length !== 2 || (field === 'conditions' && atomicConditions.has(kind))) return undefined
    return keyed(ofStatus, field)
  }
  if (containerLists.has(parent)) return keyed(ofContainer, field)
  if (parent === 'spec' && podSpecKinds.has(kind)) return keyed(ofPodSpec, field)
  if (kind === 'Service' && path.join('.') === 'spec.ports') return { by: 'port' }
  if (kind === 'Node' && path.join('.') === 'spec.podCIDRs') return { primitives: true }
  if (kind === 'CSINode' && path.join('.') === 'spec.drivers') return { by: 'name' }
  if (kind === 'ServiceAccount' && path.length === 1 && field === 'secrets') return { by: 'name' }
  if (webhookKinds.has(kind) && (field === 'webhooks' || field === 'matchConditions')) return { by: 'name' }
  if (kind === 'ValidatingAdmissionPolicy' && (field === 'variables' || field === 'matchConditions')) return { by: 'name' }
  if (kind === 'MutatingAdmissionPolicy' && field === 'matchConditions') return { by: 'name' }
  return undefined
}

function keyed(table: Readonly<Record<string, string>>, field: string): ListStrategy {
  const by = Object.hasOwn(table, field) ? table[field] : undefined
  return by === undefined ? undefined : { by }
}
