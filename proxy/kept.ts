/**
 * What is kept of Services and EndpointSlices: the few fields that the proxy reads. At 44,000 services all that the API says of them is
 * some hundred megabytes. What is the same in many objects (ports, conditions, hints, node names) is there once. What is malformed stays
 * as it is, so that it can be told.
 */
import type { EndpointSlice, KubeObject, Service, ServiceSpec } from '../api/types.ts'
import { proxyNameLabel, serviceNameLabel, triggerAnnotation } from './service.ts'

/** Makes a `transform` for each of the two resources of one proxy. */
export function keeping(): { readonly service: (object: KubeObject) => KubeObject; readonly slice: (object: KubeObject) => KubeObject } {
  const shared = new Shared()
  return {
    service: (object) => {
      const { metadata, spec, status } = object as Service
      const ingress = status?.loadBalancer?.ingress
      return { metadata: identity(metadata, proxyNameLabel), spec: keptSpec(spec, shared), ...(ingress === undefined ? {} : { status: { loadBalancer: { ingress } } }) } satisfies Service
    },
    slice: (object) => {
      const { metadata, addressType, endpoints, ports } = object as EndpointSlice
      const kept = { metadata: identity(metadata, serviceNameLabel), addressType: shared.of(addressType), endpoints: each(endpoints, (endpoint) => keptFields(endpoint, endpointFields, shared)), ports: shared.of(each(ports, (port) => keptFields(port, portFields, shared))) }
      return definedOf(kept)
    },
  }
}

/** Of fields that say what goes without saying nothing is kept. */
const defaults: Partial<Record<keyof ServiceSpec, unknown>> = { type: 'ClusterIP', sessionAffinity: 'None', internalTrafficPolicy: 'Cluster', externalTrafficPolicy: 'Cluster' }
const specFields = ['clusterIP', 'ports', 'clusterIPs', 'type', 'externalIPs', 'sessionAffinity', 'sessionAffinityConfig', 'internalTrafficPolicy', 'externalTrafficPolicy', 'healthCheckNodePort', 'loadBalancerSourceRanges'] as const
const portFields = ['name', 'port', 'protocol', 'nodePort']
const endpointFields = ['addresses', 'conditions', 'nodeName', 'hints']
const sharedFields: ReadonlySet<string> = new Set(['conditions', 'nodeName', 'hints', 'type', 'protocol'])

function keptSpec(spec: ServiceSpec, shared: Shared): ServiceSpec {
  if (typeof spec !== 'object' || spec === null) return spec
  const kept: Record<string, unknown> = {}
  for (const field of specFields) {
    const value = spec[field]
    if (value === undefined || value === defaults[field]) continue
    if (field === 'clusterIPs' && spec.clusterIPs?.length === 1 && spec.clusterIPs[0] === spec.clusterIP) continue
    kept[field] = field === 'ports' ? shared.of(each(spec.ports, (port) => keptFields(port, portFields, shared))) : value
  }
  return kept
}

/** Of slices neither age nor uid is asked for: a resourceVersion is never another object's. */
function identity({ name, namespace, uid, resourceVersion, creationTimestamp, labels, annotations }: KubeObject['metadata'], wanted: string): KubeObject['metadata'] {
  const label = labels?.[wanted]
  const trigger = annotations?.[triggerAnnotation]
  return definedOf({
    name, namespace, resourceVersion, ...(wanted === serviceNameLabel ? {} : { uid, creationTimestamp }),
    labels: label === undefined ? undefined : { [wanted]: label },
    annotations: trigger === undefined ? undefined : { [triggerAnnotation]: trigger },
  })
}

function each<T>(list: T[] | null | undefined, kept: (item: T) => T): T[] | null | undefined {
  return Array.isArray(list) ? list.map(kept) : list
}

function keptFields<T>(value: T, fields: readonly string[], shared: Shared): T {
  if (typeof value !== 'object' || value === null) return value
  const given = value as Readonly<Record<string, unknown>>
  const kept: Record<string, unknown> = {}
  for (const field of fields) if (given[field] !== undefined) kept[field] = sharedFields.has(field) ? shared.of(given[field]) : given[field]
  return kept as T
}

/** Without the fields that are not there: an object of few fields is small in memory. */
function definedOf<T extends object>(fields: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  const kept: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(fields)) if (value !== undefined) kept[name] = value
  return kept as never
}

/** Gives the same value for what reads the same. */
class Shared {
  readonly #values = new Map<string, unknown>()

  of<T>(value: T): T {
    const key = JSON.stringify(value) ?? ''
    const present = this.#values.get(key)
    if (present !== undefined) return present as T
    // What many share comes again soon; what few do is not kept for ever.
    if (this.#values.size >= sharedMax) this.#values.clear()
    this.#values.set(key, value)
    return value
  }
}

const sharedMax = 5_000
