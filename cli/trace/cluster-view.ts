/** What the API server says of the cluster, as far as a trace asks. Pure but for `readCluster`. */
import type { Client } from '../../api/client.ts'
import { endpointSlices, networkPolicies, nodes, pods, services } from '../../api/resources.ts'
import { matchesLabels } from '../../api/selectors.ts'
import type { EndpointSlice, NetworkPolicy, Node, Pod, Service } from '../../api/types.ts'

export interface ClusterView {
  readonly pods: readonly Pod[]
  readonly nodes: readonly Node[]
  readonly services: readonly Service[]
  readonly slices: readonly EndpointSlice[]
  readonly policies: readonly NetworkPolicy[]
}

export async function readCluster(client: Client): Promise<ClusterView> {
  const [podList, nodeList, serviceList, sliceList, policyList] = await Promise.all([client.list(pods), client.list(nodes), client.list(services), client.list(endpointSlices), client.list(networkPolicies)])
  return { pods: podList.items, nodes: nodeList.items, services: serviceList.items, slices: sliceList.items, policies: policyList.items }
}

export function nameOf({ metadata: { namespace = 'default', name = '' } }: Pod | Service): string {
  return `${namespace}/${name}`
}

export function findPod({ pods: all }: ClusterView, namespace: string, name: string): Pod {
  const pod = all.find(({ metadata }) => metadata.namespace === namespace && metadata.name === name)
  if (pod === undefined) throw new Error(`Cannot trace: there is no pod ${namespace}/${name}`)
  return pod
}

export function findService({ services: all }: ClusterView, namespace: string, name: string): Service {
  const service = all.find(({ metadata }) => metadata.namespace === namespace && metadata.name === name)
  if (service === undefined) throw new Error(`Cannot trace: there is no service ${namespace}/${name}`)
  return service
}

export function findNode({ nodes: all }: ClusterView, name: string): Node {
  const node = all.find(({ metadata }) => metadata.name === name)
  if (node === undefined) throw new Error(`Cannot trace: there is no node ${name}`)
  return node
}

/** The pod that has an address of its own; those of ended pods may be another's by now. */
export function podAt({ pods: all }: ClusterView, address: string): Pod | undefined {
  return all.find((pod) => pod.spec.hostNetwork !== true && !hasEnded(pod) && addressesOf(pod).includes(address))
}

export function nodeAt({ nodes: all }: ClusterView, address: string): Node | undefined {
  return all.find((node) => internalAddresses(node).includes(address))
}

/** The service that has an address as its own, for clients in the cluster. */
export function serviceAt({ services: all }: ClusterView, address: string): Service | undefined {
  return all.find(({ spec }) => spec.clusterIP === address || spec.clusterIPs?.includes(address) === true)
}

export function addressesOf({ status }: Pod): string[] {
  return status?.podIPs?.map(({ ip }) => ip) ?? (status?.podIP === undefined ? [] : [status.podIP])
}

export function internalAddresses({ status }: Node): string[] {
  return status?.addresses?.filter(({ type }) => type === 'InternalIP').map(({ address }) => address) ?? []
}

export function hasEnded({ status }: Pod): boolean {
  return status?.phase === 'Succeeded' || status?.phase === 'Failed'
}

/** Why a pod takes no traffic; undefined when it does. */
export function whyNotReady({ metadata, status, spec }: Pod): string | undefined {
  if (metadata.deletionTimestamp !== undefined) return 'it is being deleted'
  if (status?.conditions?.some(({ type, status: is }) => type === 'Ready' && is === 'True') === true) return undefined
  if (spec.nodeName === undefined) return 'no node was found for it'
  const waiting = [...(status?.initContainerStatuses ?? []), ...(status?.containerStatuses ?? [])].find(({ ready, state }) => !ready && state?.waiting !== undefined)
  const reason = waiting?.state?.waiting?.reason
  return `it is not Ready${reason === undefined ? ` (${status?.phase ?? 'Pending'})` : `: container ${waiting?.name} is ${reason}`}`
}

/** Why a service has no endpoints, by its selector. */
export function whyNoEndpoints({ pods: all }: ClusterView, { metadata, spec }: Service): string[] {
  const { selector } = spec
  if (selector === undefined || Object.keys(selector).length === 0) return ['it has no selector, and nobody else has given it endpoints']
  const text = Object.entries(selector).map(([key, value]) => `${key}=${value}`).join(',')
  const chosen = all.filter((pod) => pod.metadata.namespace === metadata.namespace && !hasEnded(pod) && matchesLabels(selector, pod.metadata.labels))
  if (chosen.length === 0) return [`no pod of namespace ${metadata.namespace} has ${text}`]
  return chosen.map((pod) => `pod ${nameOf(pod)} has ${text}, but ${whyNotReady(pod) ?? 'is no endpoint yet'}`)
}
