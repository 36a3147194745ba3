// What one object takes of a quota (pkg/quota/v1/evaluator/core).
import type { Container, KubeObject, Pod, Resources, Service } from '../../api/types.ts'
import { addTo, amountOf, amountsOf } from './amounts.ts'
import type { Amounts } from './amounts.ts'

/** Kinds that are also counted by their plain name. */
const plain = new Set(['pods', 'services', 'replicationcontrollers', 'resourcequotas', 'secrets', 'configmaps', 'persistentvolumeclaims'])
const one = 1000n

/** `resource` is `plural`, or `plural.group`. */
export function usageOf(resource: string, object: KubeObject, now: number): Amounts {
  const usage = new Map<string, bigint>([[`count/${resource}`, one]])
  if (resource === 'pods') {
    if (isCounted(object as Pod, now)) addTo(usage, podUsage(object as Pod))
    return usage
  }
  if (plain.has(resource)) usage.set(resource, one)
  if (resource === 'services') addTo(usage, serviceUsage(object as Service))
  if (resource === 'persistentvolumeclaims') addTo(usage, claimUsage(object as Claim))
  return usage
}

/** Whether a name of a quota is about a resource. */
export function isAbout(name: string, resource: string): boolean {
  if (name === `count/${resource}`) return true
  switch (resource) {
    case 'pods':
      return ['pods', 'cpu', 'memory', 'ephemeral-storage'].includes(name) || (name.startsWith('requests.') && name !== 'requests.storage') || name.startsWith('limits.') || name.startsWith('hugepages-')
    case 'services':
      return name === 'services' || name.startsWith('services.')
    case 'persistentvolumeclaims':
      return name === 'persistentvolumeclaims' || name === 'requests.storage' || name.includes('.storageclass.storage.k8s.io/')
    default:
      return plain.has(resource) && name === resource
  }
}

/** Pods that are over, or should be by now, take nothing. */
function isCounted({ metadata, status }: Pod, now: number): boolean {
  if (status?.phase === 'Succeeded' || status?.phase === 'Failed') return false
  const { deletionTimestamp, deletionGracePeriodSeconds } = metadata
  return deletionTimestamp === undefined || deletionGracePeriodSeconds === undefined || now <= Date.parse(deletionTimestamp) + deletionGracePeriodSeconds * 1000
}

function podUsage(pod: Pod): Amounts {
  const usage = new Map<string, bigint>([['pods', one]])
  for (const [name, amount] of effective(pod, 'requests')) {
    if (name === 'cpu' || name === 'memory' || name === 'ephemeral-storage' || name.startsWith('hugepages-')) usage.set(name, amount)
    usage.set(`requests.${name}`, amount)
  }
  for (const [name, amount] of effective(pod, 'limits')) usage.set(`limits.${name}`, amount)
  return usage
}

/** The sum over what runs together, or what an init container needs beside the sidecars before it, whichever is more (KEP-753). */
function effective({ spec }: Pod, kind: 'requests' | 'limits'): Amounts {
  const of = ({ resources }: Container): Amounts => amountsOf(resources?.[kind])
  const running = new Map<string, bigint>()
  const sidecars = new Map<string, bigint>()
  const peak = new Map<string, bigint>()
  const raise = (floor: Amounts, target: Map<string, bigint>): void => {
    for (const [name, amount] of floor) if (amount > (target.get(name) ?? -1n)) target.set(name, amount)
  }
  for (const container of spec.initContainers ?? []) {
    const beside = new Map(sidecars)
    addTo(beside, of(container))
    raise(beside, peak)
    if (container.restartPolicy === 'Always') addTo(sidecars, of(container))
  }
  for (const container of spec.containers) addTo(running, of(container))
  addTo(running, sidecars)
  raise(peak, running)
  const overhead = amountsOf(spec.overhead)
  for (const [name, amount] of overhead) if (kind === 'requests' || running.has(name)) running.set(name, (running.get(name) ?? 0n) + amount)
  return running
}

function serviceUsage({ spec }: Service): Amounts {
  const { type, ports = [] } = spec
  const usage = new Map<string, bigint>()
  if (type === 'NodePort') usage.set('services.nodeports', BigInt(ports.length) * one)
  if (type !== 'LoadBalancer') return usage
  usage.set('services.loadbalancers', one)
  const counted = (spec as { allocateLoadBalancerNodePorts?: boolean }).allocateLoadBalancerNodePorts === false ? ports.filter(({ nodePort }) => (nodePort ?? 0) !== 0) : ports
  return usage.set('services.nodeports', BigInt(counted.length) * one)
}

interface Claim extends KubeObject {
  readonly spec: { readonly storageClassName?: string; readonly resources?: { readonly requests?: Resources } }
  readonly status?: { readonly allocatedResources?: Resources }
}

function claimUsage({ metadata, spec, status }: Claim): Amounts {
  const usage = new Map<string, bigint>()
  const storageClass = metadata.annotations?.['volume.beta.kubernetes.io/storage-class'] ?? spec.storageClassName ?? ''
  const prefix = `${storageClass}.storageclass.storage.k8s.io/`
  if (storageClass !== '') usage.set(`${prefix}persistentvolumeclaims`, one)
  const asked = spec.resources?.requests?.['storage']
  if (asked === undefined) return usage
  const given = status?.allocatedResources?.['storage']
  const amount = given === undefined || amountOf(given) < amountOf(asked) ? amountOf(asked) : amountOf(given)
  usage.set('requests.storage', amount)
  if (storageClass !== '') usage.set(`${prefix}requests.storage`, amount)
  return usage
}
