/** The endpoints that a service wants, in groups of equal ports: pods may give one named port different numbers. Pure. */
import { isIPv4, isIPv6 } from 'node:net'
import type { ContainerPort, Endpoint, EndpointPort, Node, Pod, Service, ServicePort } from '../../../api/types.ts'
import { canonicalJson } from '../canonical.ts'
import { isFinished, isReady, isTerminating } from '../pod-state.ts'

export type AddressType = 'IPv4' | 'IPv6'

export interface EndpointGroup {
  readonly ports: readonly EndpointPort[]
  readonly endpoints: readonly Endpoint[]
}

/** The families that a service has slices for. */
export function addressTypesOf({ spec }: Service): AddressType[] {
  if (spec.ipFamilies !== undefined && spec.ipFamilies.length > 0) return [...spec.ipFamilies]
  return [isIPv6(spec.clusterIP ?? '') ? 'IPv6' : 'IPv4']
}

/** Whether endpoints are ours to find: a service without selector has slices that others write. */
export function hasSelector({ spec }: Service): boolean {
  return spec.type !== 'ExternalName' && Object.keys(spec.selector ?? {}).length > 0
}

export function isHeadless({ spec }: Service): boolean {
  return spec.clusterIP === 'None'
}

export function wantedGroups(service: Service, pods: readonly Pod[], type: AddressType, nodeOf: (name: string) => Node | undefined): EndpointGroup[] {
  const groups = new Map<string, { ports: EndpointPort[]; endpoints: Endpoint[] }>()
  for (const pod of pods) {
    const address = addressOf(pod, type)
    if (address === undefined || isFinished(pod)) continue
    const ports = portsOf(service, pod)
    // None of the ports of a service is this pod's: it serves nothing of it.
    if (ports.length === 0 && (service.spec.ports ?? []).length > 0) continue
    const key = canonicalJson(ports)
    const group = groups.get(key) ?? { ports, endpoints: [] }
    groups.set(key, group)
    group.endpoints.push(endpointOf(service, pod, address, nodeOf(pod.spec.nodeName ?? '')))
  }
  return [...groups.values()]
}

function addressOf({ status }: Pod, type: AddressType): string | undefined {
  const addresses = [...(status?.podIPs ?? []).map(({ ip }) => ip), status?.podIP ?? '']
  return addresses.find(type === 'IPv4' ? isIPv4 : isIPv6)
}

function endpointOf(service: Service, pod: Pod, address: string, node: Node | undefined): Endpoint {
  const { namespace = '', name = '', uid = '' } = pod.metadata
  const serving = isReady(pod)
  const terminating = isTerminating(pod)
  const ready = service.spec.publishNotReadyAddresses === true || (serving && !terminating)
  const { nodeName = '', hostname = '', subdomain = '' } = pod.spec
  const zone = node?.metadata.labels?.['topology.kubernetes.io/zone']
  const hints = ready ? hintsOf(service, nodeName, zone) : undefined
  return {
    addresses: [address],
    conditions: { ready, serving, terminating },
    ...(hostname !== '' && subdomain === service.metadata.name ? { hostname } : {}),
    ...(nodeName === '' ? {} : { nodeName }),
    ...(zone === undefined ? {} : { zone }),
    targetRef: { kind: 'Pod', namespace, name, uid },
    ...(hints === undefined ? {} : { hints }),
  }
}

/** Who should rather use this endpoint, by the service's `trafficDistribution` (KEP-3015). */
function hintsOf({ spec }: Service, nodeName: string, zone: string | undefined): Endpoint['hints'] {
  const forZones = zone === undefined ? {} : { forZones: [{ name: zone }] }
  if (spec.trafficDistribution === 'PreferSameNode') return nodeName === '' ? undefined : { ...forZones, forNodes: [{ name: nodeName }] }
  return ['PreferClose', 'PreferSameZone'].includes(spec.trafficDistribution ?? '') && zone !== undefined ? forZones : undefined
}

function portsOf({ spec }: Service, pod: Pod): EndpointPort[] {
  return (spec.ports ?? []).flatMap((port) => {
    const number = targetOf(port, pod)
    if (number === undefined) return []
    return { name: port.name ?? '', port: number, protocol: port.protocol ?? 'TCP', ...(port.appProtocol === undefined ? {} : { appProtocol: port.appProtocol }) }
  })
}

/** The number that a service's port has in a pod: a name is looked up among its containers' ports. */
function targetOf({ port, targetPort = port, protocol = 'TCP' }: ServicePort, { spec }: Pod): number | undefined {
  if (typeof targetPort === 'number') return targetPort === 0 ? port : targetPort
  const sidecars = (spec.initContainers ?? []).filter(({ restartPolicy }) => restartPolicy === 'Always')
  const ports: ContainerPort[] = [...spec.containers, ...sidecars].flatMap(({ ports = [] }) => ports)
  return ports.find((candidate) => candidate.name === targetPort && (candidate.protocol ?? 'TCP') === protocol)?.containerPort
}
