/** The services that `proxy-sync` makes: as API servers send them, with all that a proxy does not read. */
import type { EndpointSlice, Service } from '../../api/types.ts'

export interface Size {
  readonly services: number
  /** Of each. */
  readonly endpoints: number
}

const nodes = 100
const created = '2026-01-01T00:00:00Z'

export function clusterIP(at: number): string {
  return `10.${96 + (at >> 16)}.${(at >> 8) & 255}.${at & 255}`
}

const numbersOf = (at: number, { endpoints, turn = 0 }: { readonly endpoints: number; readonly turn?: number }): number[] => Array.from({ length: endpoints }, (_, which) => ((at + turn) * endpoints + which) & 0x1f_ffff)
const addressOf = (number: number): string => `10.${128 + (number >> 16)}.${(number >> 8) & 255}.${number & 255}`
const uidOf = (number: number): string => `5f1c7a52-0d1e-4c5a-9b7e-${number.toString(16).padStart(12, '0')}`
const written = (manager: string, fieldsV1: object): object => ({ manager, operation: 'Update', apiVersion: 'v1', time: created, fieldsType: 'FieldsV1', fieldsV1 })

/** Another `turn`, other addresses. */
export function endpointsOf(at: number, size: { readonly endpoints: number; readonly turn?: number }): string[] {
  return numbersOf(at, size).map(addressOf)
}

export function serviceOf(at: number): Service {
  const metadata = {
    name: `s${at}`, namespace: 'default', uid: uidOf(at), creationTimestamp: created, labels: { app: `s${at}` },
    managedFields: [written('kubectl-client-side-apply', { 'f:metadata': { 'f:labels': { '.': {}, 'f:app': {} } }, 'f:spec': { 'f:internalTrafficPolicy': {}, 'f:ports': { '.': {}, 'k:{"port":80,"protocol":"TCP"}': { '.': {}, 'f:port': {}, 'f:protocol': {}, 'f:targetPort': {} } }, 'f:selector': {}, 'f:sessionAffinity': {}, 'f:type': {} } })],
  }
  const spec = {
    type: 'ClusterIP', clusterIP: clusterIP(at), clusterIPs: [clusterIP(at)], ports: [{ port: 80, protocol: 'TCP', targetPort: 8080 }], selector: { app: `s${at}` }, sessionAffinity: 'None', internalTrafficPolicy: 'Cluster', ipFamilies: ['IPv4'], ipFamilyPolicy: 'SingleStack',
  } as const
  return { apiVersion: 'v1', kind: 'Service', metadata, spec: { ...spec, clusterIPs: [...spec.clusterIPs], ports: [...spec.ports], ipFamilies: [...spec.ipFamilies] }, status: { loadBalancer: {} } }
}

/** Endpoints on a hundred nodes, of which node-1 is one. */
export function sliceOf(at: number, size: { readonly endpoints: number; readonly turn?: number }): EndpointSlice {
  const metadata = {
    name: `s${at}-x7k2p`, namespace: 'default', uid: uidOf(at + 0x100_0000), creationTimestamp: created, generateName: `s${at}-`, labels: { app: `s${at}`, 'endpointslice.kubernetes.io/managed-by': 'endpointslice-controller.k8s.io', 'kubernetes.io/service-name': `s${at}` },
    ownerReferences: [{ apiVersion: 'v1', kind: 'Service', name: `s${at}`, uid: uidOf(at), controller: true, blockOwnerDeletion: true }],
    managedFields: [written('kube-controller-manager', { 'f:addressType': {}, 'f:endpoints': {}, 'f:metadata': { 'f:generateName': {}, 'f:labels': { '.': {}, 'f:app': {}, 'f:kubernetes.io/service-name': {} }, 'f:ownerReferences': {} }, 'f:ports': {} })],
  }
  const endpoints = numbersOf(at, size).map((number) => ({
    addresses: [addressOf(number)], conditions: { ready: true, serving: true, terminating: false }, nodeName: `node-${1 + (number % nodes)}`, zone: 'a', targetRef: { kind: 'Pod', namespace: 'default', name: `s${at}-6d4cf56db6-${number.toString(36).padStart(5, 'x')}`, uid: uidOf(number + 0x200_0000) },
  }))
  return { apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice', metadata, addressType: 'IPv4', endpoints, ports: [{ name: '', port: 8080, protocol: 'TCP' }] }
}
