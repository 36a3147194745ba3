/** Services and slices for tests, in few words. */
import type { Endpoint, EndpointSlice, Service, ServiceSpec } from '../../api/types.ts'
import type { NodeView } from '../service.ts'

export const node1: NodeView = { name: 'node-1', zone: 'a', nodePortAddresses: ['192.0.2.1'], podCIDRs: ['10.244.0.0/24'], serviceCIDRs: ['10.96.0.0/12'] }

export interface Given extends Partial<ServiceSpec> {
  readonly labels?: Record<string, string>
  readonly created?: string
}

/** `web` in `default`, port 80, unless the spec says otherwise. */
export function service(name: string, { labels, created, ...spec }: Given = {}): Service {
  return {
    apiVersion: 'v1', kind: 'Service',
    metadata: { name, namespace: 'default', uid: name, resourceVersion: '1', creationTimestamp: created ?? '2026-01-01T00:00:00Z', ...(labels === undefined ? {} : { labels }) },
    spec: { clusterIP: '10.96.0.53', ports: [{ port: 80 }], ...spec },
  }
}

/** `10.244.0.5` on node-1, `10.244.1.5` on node-2 and so on by its third number; a `!` before it: not ready; `~`: terminating but serving. */
export function endpoint(text: string): Endpoint {
  const address = text.replace(/^[!~]/, '')
  const [, node] = /^10\.244\.(\d+)\./.exec(address) ?? /^fd00:10:244:(\d+)::/.exec(address.replace(/^fd00:10:244::/, 'fd00:10:244:0::')) ?? []
  const conditions = text.startsWith('!') ? { ready: false, serving: false } : text.startsWith('~') ? { ready: false, serving: true, terminating: true } : { ready: true, serving: true, terminating: false }
  return { addresses: [address], conditions, ...(node === undefined ? {} : { nodeName: `node-${Number(node) + 1}` }) }
}

export function slice(serviceName: string, endpoints: readonly (string | Endpoint)[], { ports = [{ port: 8080 }], name = `${serviceName}-1` }: { readonly ports?: EndpointSlice['ports']; readonly name?: string } = {}): EndpointSlice {
  const built = endpoints.map((given) => (typeof given === 'string' ? endpoint(given) : given))
  return {
    apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice',
    metadata: { name, namespace: 'default', uid: name, resourceVersion: '1', labels: { 'kubernetes.io/service-name': serviceName } },
    addressType: built[0]?.addresses[0]?.includes(':') === true ? 'IPv6' : 'IPv4',
    endpoints: built, ports: ports ?? null,
  }
}
