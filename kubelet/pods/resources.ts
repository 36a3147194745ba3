/** Requests and limits as the engine's numbers (the kubelet's `cm` and `qos` packages). */
import { parseQuantity } from '../../api/quantity.ts'
import type { Container, Pod } from '../../api/types.ts'
import type { ContainerResources } from '../runtime/runtime.ts'

function amount(container: Container, kind: 'requests' | 'limits', resource: string): number | undefined {
  const text = container.resources?.[kind]?.[resource]
  return text === undefined ? undefined : parseQuantity(String(text))
}

/** A request, which where it is not given is the limit. */
function request(container: Container, resource: string): number | undefined {
  return amount(container, 'requests', resource) ?? amount(container, 'limits', resource)
}

function containersOf({ spec }: Pod): Container[] {
  return [...spec.containers, ...(spec.initContainers ?? [])]
}

export type QosClass = 'Guaranteed' | 'Burstable' | 'BestEffort'

export function qosClassOf(pod: Pod): QosClass {
  const all = containersOf(pod)
  const resources = ['cpu', 'memory']
  const asked = all.some((container) => resources.some((resource) => request(container, resource) !== undefined))
  if (!asked) return 'BestEffort'
  const exact = all.every((container) => resources.every((resource) => {
    const limit = amount(container, 'limits', resource)
    return limit !== undefined && request(container, resource) === limit
  }))
  return exact ? 'Guaranteed' : 'Burstable'
}

/** Killed first are those without requests, then those that use more than they asked for (kubelet/qos/policy.go). */
function oomScoreAdj(pod: Pod, container: Container, memoryCapacityBytes: number): number {
  const priority = pod.spec.priorityClassName
  if (priority === 'system-node-critical' || priority === 'system-cluster-critical') return -997
  const qos = qosClassOf(pod)
  if (qos === 'Guaranteed') return -997
  if (qos === 'BestEffort') return 1000
  const asked = request(container, 'memory') ?? 0
  const score = 1000 - Math.floor((1000 * asked) / memoryCapacityBytes)
  return Math.min(999, Math.max(3, score))
}

export function resourcesOf(pod: Pod, container: Container, memoryCapacityBytes: number): ContainerResources {
  const cpuLimit = amount(container, 'limits', 'cpu')
  const memoryLimit = amount(container, 'limits', 'memory')
  return {
    cpuShares: Math.min(262_144, Math.max(2, Math.floor((request(container, 'cpu') ?? 0) * 1024))),
    // The kernel takes no quota below 1 ms.
    ...(cpuLimit === undefined || cpuLimit === 0 ? {} : { cpuQuotaUs: Math.max(1000, Math.round(cpuLimit * 100_000)) }),
    ...(memoryLimit === undefined || memoryLimit === 0 ? {} : { memoryLimitBytes: Math.floor(memoryLimit) }),
    oomScoreAdj: oomScoreAdj(pod, container, memoryCapacityBytes),
  }
}
