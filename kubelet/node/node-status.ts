/** The node's status, and the least that brings the object to it. Pure. */
import { isDeepStrictEqual } from 'node:util'
import type { Condition, Node, NodeStatus, NodeSystemInfo } from '../../api/types.ts'
import type { Health } from '../options.ts'
import { timestamp } from '../pods/status.ts'
import type { ImageStatus } from '../runtime/runtime.ts'

export interface NodeStatusInput {
  readonly nodeName: string
  readonly addresses: readonly string[]
  readonly capacity: Readonly<Record<string, string>>
  readonly systemInfo: NodeSystemInfo
  readonly images: readonly ImageStatus[]
  /** Where the server listens; absent without one. */
  readonly port?: number
  readonly health: Readonly<Health>
  readonly nowMs: number
  /** The conditions that the object has. */
  readonly before: readonly Condition[]
}

/** As many images as Kubernetes lists (--node-status-max-images). */
const imagesMax = 50

function conditionsOf({ health, before, nowMs }: NodeStatusInput): Condition[] {
  const problems = [
    ...(health.runtimeError === undefined ? [] : [`container runtime is down: ${health.runtimeError}`]),
    ...(health.networkError === undefined ? [] : [`container runtime network not ready: ${health.networkError}`]),
  ]
  const now = timestamp(nowMs)
  const condition = (type: string, status: 'True' | 'False', reason: string, message: string): Condition => {
    const old = before.find((entry) => entry.type === type)
    return { type, status, reason, message, lastHeartbeatTime: now, lastTransitionTime: old?.status === status ? (old.lastTransitionTime ?? now) : now }
  }
  return [
    condition('MemoryPressure', 'False', 'KubeletHasSufficientMemory', 'kubelet has sufficient memory available'),
    condition('DiskPressure', 'False', 'KubeletHasNoDiskPressure', 'kubelet has no disk pressure'),
    condition('PIDPressure', 'False', 'KubeletHasSufficientPID', 'kubelet has sufficient PID available'),
    problems.length === 0 ? condition('Ready', 'True', 'KubeletReady', 'kubelet is posting ready status') : condition('Ready', 'False', 'KubeletNotReady', problems.join('; ')),
  ]
}

export function nodeStatusOf(input: NodeStatusInput): NodeStatus {
  const { nodeName, addresses, capacity, systemInfo, images, port } = input
  return {
    addresses: [...addresses.map((address) => ({ type: 'InternalIP' as const, address })), { type: 'Hostname', address: nodeName }],
    capacity: { ...capacity },
    allocatable: { ...capacity },
    conditions: conditionsOf(input),
    ...(port === undefined ? {} : { daemonEndpoints: { kubeletEndpoint: { Port: port } } }),
    nodeInfo: systemInfo,
    images: images.filter(({ repoTags, repoDigests }) => repoTags.length + repoDigests.length > 0)
      .toSorted((a, b) => b.sizeBytes - a.sizeBytes).slice(0, imagesMax)
      .map(({ repoTags, repoDigests, sizeBytes }) => ({ names: [...repoDigests, ...repoTags], sizeBytes })),
  }
}

function withoutHeartbeat({ lastHeartbeatTime: _time, ...condition }: Condition): Condition {
  return condition
}

/** A strategic merge patch of the status; undefined where nothing but heartbeats has changed and none is due. */
export function nodeStatusPatch({ status: have = {} }: Node, want: NodeStatus, heartbeatIsDue: boolean): Record<string, unknown> | undefined {
  const patch: Record<string, unknown> = {}
  for (const field of ['capacity', 'allocatable', 'daemonEndpoints', 'nodeInfo', 'images'] as const) {
    if (want[field] !== undefined && !isDeepStrictEqual(have[field], want[field])) patch[field] = want[field]
  }
  // Two addresses may be of one type, which is the key that the list is merged by.
  if (!isDeepStrictEqual(have.addresses, want.addresses)) patch['addresses'] = [{ $patch: 'replace' }, ...(want.addresses ?? [])]
  const changed = (want.conditions ?? []).some((condition) => {
    const old = have.conditions?.find(({ type }) => type === condition.type)
    return old === undefined || !isDeepStrictEqual(withoutHeartbeat(old), withoutHeartbeat(condition))
  })
  if (changed || heartbeatIsDue) patch['conditions'] = want.conditions
  return Object.keys(patch).length === 0 ? undefined : patch
}
