/** What names are made of: the few fields of each object that this server reads. Everything else is let go when it comes, and is in no snapshot. */
import type { EndpointSlice, KubeObject, Namespace, Pod, Service } from '../../api/types.ts'

export const serviceNameLabel = 'kubernetes.io/service-name'

/** Kinds by their plural. */
export type Kind = 'services' | 'endpointslices' | 'namespaces' | 'pods'

/** Endpoints with the names of their pods, where they have no hostname of their own. */
export function keptWithPodNames(object: KubeObject): KubeObject {
  const slice = object as EndpointSlice
  const endpoints = slice.endpoints?.map((endpoint) => ({ ...endpoint, hostname: endpoint.hostname ?? (endpoint.targetRef?.kind === 'Pod' ? endpoint.targetRef.name : undefined) }))
  return keptOf.endpointslices({ ...slice, endpoints } as EndpointSlice)
}

export const keptOf: Readonly<Record<Kind, (object: KubeObject) => KubeObject>> = {
  services: (object) => {
    const { metadata, spec } = object as Service
    const { type, clusterIP, clusterIPs, externalName, ports } = spec
    return defined({ metadata: identity(metadata), spec: defined({ type, clusterIP, clusterIPs, externalName, ports: ports?.map(({ name, port, protocol }) => defined({ name, port, protocol })) }) })
  },
  endpointslices: (object) => {
    const { metadata, addressType, endpoints, ports } = object as EndpointSlice
    const service = metadata.labels?.[serviceNameLabel]
    return defined({
      metadata: { ...identity(metadata), ...(service === undefined ? {} : { labels: { [serviceNameLabel]: service } }) }, addressType,
      endpoints: endpoints?.map(({ addresses, conditions, hostname }) => defined({ addresses, hostname, conditions: conditions?.ready === false ? { ready: false } : undefined })),
      ports: ports?.map(({ name, port, protocol }) => defined({ name, port, protocol })),
    })
  },
  namespaces: ({ metadata }) => ({ metadata: identity(metadata) }) satisfies Namespace,
  pods: (object) => {
    const { metadata, spec, status } = object as Pod
    const { phase, podIP, podIPs } = status ?? {}
    const { hostNetwork, dnsPolicy, dnsConfig } = spec
    const searches = dnsConfig?.searches
    return defined({
      metadata: defined({ ...identity(metadata), deletionTimestamp: metadata.deletionTimestamp }),
      spec: defined({ containers: [], hostNetwork, dnsPolicy: dnsPolicy === 'ClusterFirst' ? undefined : dnsPolicy, dnsConfig: searches === undefined ? undefined : { searches } }),
      status: defined({ phase, podIP, podIPs }),
    })
  },
}

function identity({ name, namespace, uid, resourceVersion }: KubeObject['metadata']): KubeObject['metadata'] {
  return defined({ name, namespace, uid, resourceVersion })
}

/** Without the fields that are not there: an object of few fields is small in memory. */
function defined<T extends object>(fields: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as never
}
