/** So many services in a cluster, each with a slice of two endpoints. */
import type { KubeObject, Service } from '../../api/types.ts'
import { sliceOf } from '../../dns/test-support/specification.ts'

export function sizedService(n: number, clusterIP = `10.${96 + (n >> 16)}.${(n >> 8) & 255}.${n & 255}`): Service {
  return { metadata: { name: `svc-${n}`, namespace: 'default', resourceVersion: '1', uid: `uid-${n}` }, spec: { clusterIP, clusterIPs: [clusterIP], ports: [{ name: 'http', port: 80, protocol: 'TCP' }] } }
}

export function sizedCluster(size: number): Record<'services' | 'endpointslices' | 'namespaces', readonly KubeObject[]> {
  return {
    namespaces: [{ metadata: { name: 'default' } }],
    services: Array.from({ length: size }, (_, n) => sizedService(n)),
    endpointslices: Array.from({ length: size }, (_, n) => sliceOf(`svc-${n}`, { endpoints: [0, 1].map((m) => ({ addresses: [`10.244.${(n >> 7) & 255}.${((n & 127) << 1) + m}`] })), ports: [{ name: 'http', port: 8080 }] })),
  }
}
