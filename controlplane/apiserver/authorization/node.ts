// The Node authorizer (plugin/pkg/auth/authorizer/node): with its certificate a node reads the secrets and config maps that
// pods bound to it refer to, by name, and no others. Agents may serve ingresses, so certificates that ingresses name are read too.
// The DNS server of a host comes with the host's certificate: its settings are read too. Everything else is left to its role.
import type { Container, Pod, Secret } from '../../../api/types.ts'
import type { WatchCache } from '../cache/index.ts'
import type { UserInfo } from '../descriptor.ts'
import type { Attributes } from './rbac.ts'

const prefix = 'system:node:'
const reading = new Set(['get', 'list', 'watch'])
const guarded = new Set(['secrets', 'configmaps'])
const dnsSettings = { namespace: 'kube-system', name: 'fairway-dns' } as const

/** Whether a request may go on to what the node's role says. */
export function mayNodeAsk(cache: WatchCache, { name: user, groups }: UserInfo, { verb, group, resource, namespace, name }: Attributes): boolean {
  if (group !== '' || !guarded.has(resource) || !user.startsWith(prefix) || !groups.includes('system:nodes')) return true
  if (!reading.has(verb) || namespace === '' || name === '') return false
  if (resource === 'secrets' && isCertificate(cache, namespace, name)) return true
  if (resource === 'configmaps' && namespace === dnsSettings.namespace && name === dnsSettings.name) return true
  const node = user.slice(prefix.length)
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
    const { tls } = (object['spec'] ?? {}) as { tls?: { secretName?: string }[] }
    return tls?.some(({ secretName }) => secretName === name) === true
  })
}

function refersTo({ spec }: Pod, resource: string, name: string): boolean {
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
