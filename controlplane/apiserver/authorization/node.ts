// The Node authorizer (plugin/pkg/auth/authorizer/node): with its certificate a node reads the secrets, config maps, claims, volumes and
// service accounts that pods bound to it refer to, by name, and no others; of attachments and CSINodes its own. Agents may serve ingresses, so certificates that ingresses name are read too,
// by any node: of ingresses that agents serve, those of class `fairway` or of none.
// The DNS server of a host comes with the host's certificate: its settings are read too. Everything else is left to its role.
import type { Container, KubeObject, Pod, Secret } from '../../../api/types.ts'
import { valueAt } from '../object.ts'
import type { WatchCache } from '../cache/index.ts'
import type { UserInfo } from '../descriptor.ts'
import type { Attributes } from './rbac.ts'

const prefix = 'system:node:'
const reading = new Set(['get', 'list', 'watch'])
const guarded = new Set(['secrets.', 'configmaps.', 'persistentvolumeclaims.', 'persistentvolumes.', 'serviceaccounts.', 'volumeattachments.storage.k8s.io', 'csinodes.storage.k8s.io'])
/** The class of ingresses that agents serve. */
const served = 'fairway'
const dnsSettings = { namespace: 'kube-system', name: 'fairway-dns' } as const

/** Whether a request may go on to what the node's role says. */
export function mayNodeAsk(cache: WatchCache, { name: user, groups }: UserInfo, { verb, group, resource, subresource, namespace, name }: Attributes): boolean {
  if (!guarded.has(`${resource}.${group}`) || !user.startsWith(prefix) || !groups.includes('system:nodes')) return true
  const isRead = reading.has(verb) && subresource === ''
  // What a node writes of these, and tokens, is for its role and NodeRestriction to say.
  if (!isRead && resource !== 'secrets' && resource !== 'configmaps') return true
  if (!isRead || name === '') return false
  return mayRead(cache, user.slice(prefix.length), { resource, namespace, name })
}

interface Wanted {
  readonly resource: string
  readonly namespace: string
  readonly name: string
}

function mayRead(cache: WatchCache, node: string, { resource, namespace, name }: Wanted): boolean {
  switch (resource) {
    case 'csinodes':
      return name === node
    case 'volumeattachments':
      return valueAt(cache.named('volumeattachments.storage.k8s.io')?.get('', name)?.object, '.spec.nodeName') === node
    case 'persistentvolumes':
      // By way of the claim that it is bound to.
      return (cache.named('persistentvolumeclaims')?.list() ?? []).some((claim) => valueAt(claim.object, '.spec.volumeName') === name && isReferred(cache, node, { resource: 'persistentvolumeclaims', namespace: claim.namespace, name: claim.name }))
  }
  return namespace !== '' && isReferred(cache, node, { resource, namespace, name })
}

/** Whether a pod that is bound to a node refers to something of its namespace. */
function isReferred(cache: WatchCache, node: string, { resource, namespace, name }: Wanted): boolean {
  if (resource === 'secrets' && isCertificate(cache, namespace, name)) return true
  if (resource === 'configmaps' && namespace === dnsSettings.namespace && name === dnsSettings.name) return true
  // Only pods whose bytes speak of the node are decoded.
  const mark = Buffer.from(`"nodeName":${JSON.stringify(node)}`)
  return (cache.named('pods')?.list(namespace) ?? []).some((entry) => {
    if (!entry.json.includes(mark)) return false
    const pod = entry.object as unknown as Pod
    return pod.spec.nodeName === node && refersTo(pod, resource, name)
  })
}

/** Named for TLS by an ingress; and when it is there, of the type of certificates. */
function isCertificate(cache: WatchCache, namespace: string, name: string): boolean {
  const secret = cache.named('secrets')?.get(namespace, name)
  if (secret !== undefined && (secret.object as unknown as Secret).type !== 'kubernetes.io/tls') return false
  return (cache.named('ingresses.networking.k8s.io')?.list(namespace) ?? []).some(({ object }) => {
    const { tls, ingressClassName } = (object['spec'] ?? {}) as { tls?: { secretName?: string }[]; ingressClassName?: string }
    const ingressClass = ingressClassName ?? (object as KubeObject).metadata.annotations?.['kubernetes.io/ingress.class'] ?? served
    return ingressClass === served && tls?.some(({ secretName }) => secretName === name) === true
  })
}

function refersTo({ metadata, spec }: Pod, resource: string, name: string): boolean {
  if (resource === 'serviceaccounts') return (spec.serviceAccountName ?? 'default') === name
  if (resource === 'persistentvolumeclaims') return (spec.volumes ?? []).some((volume) => valueAt(volume, '.persistentVolumeClaim.claimName') === name || (valueAt(volume, '.ephemeral') !== undefined && `${metadata.name ?? ''}-${volume.name}` === name))
  const containers = [...spec.containers, ...(spec.initContainers ?? []), ...((spec as { ephemeralContainers?: Container[] }).ephemeralContainers ?? [])]
  const isSecret = resource === 'secrets'
  if (isSecret && (spec as { imagePullSecrets?: { name?: string }[] }).imagePullSecrets?.some((reference) => reference.name === name) === true) return true
  for (const { env = [], envFrom = [] } of containers) {
    if (env.some(({ valueFrom }) => (isSecret ? valueFrom?.secretKeyRef : valueFrom?.configMapKeyRef)?.name === name)) return true
    if (envFrom.some(({ secretRef, configMapRef }) => (isSecret ? secretRef : configMapRef)?.name === name)) return true
  }
  for (const volume of spec.volumes ?? []) {
    const sources = volume.projected?.sources ?? []
    if (isSecret && (volume.secret?.secretName === name || sources.some(({ secret }) => secret?.name === name))) return true
    if (!isSecret && (volume.configMap?.name === name || sources.some(({ configMap }) => configMap?.name === name))) return true
  }
  return false
}
