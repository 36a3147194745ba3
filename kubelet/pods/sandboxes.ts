/** Sandboxes with their network: made and attached together, detached and stopped together. */
import { isQuantity, parseQuantity } from '../../api/quantity.ts'
import type { Pod } from '../../api/types.ts'
import type { JsonObject } from '../network/conflist.ts'
import type { KubeletParts } from '../options.ts'
import type { Sandbox, SandboxConfig } from '../runtime/runtime.ts'
import { fullNameOf, hostnameOf } from './network-files.ts'

/** How long a pod that no object describes any more may take to end. */
const graceLabel = 'io.kubernetes.pod.terminationGracePeriod'

function configOf(pod: Pod, attempt: number, clusterDomain: string): SandboxConfig {
  const { metadata: { name = '', namespace = '', uid = '' }, spec } = pod
  return {
    metadata: { name, namespace, uid, attempt },
    hostname: (spec.setHostnameAsFQDN === true && fullNameOf(pod, clusterDomain)) || hostnameOf(pod),
    hostNetwork: spec.hostNetwork === true,
    hostPid: spec.hostPID === true,
    hostIpc: spec.hostIPC === true,
    sysctls: Object.fromEntries((spec.securityContext?.sysctls ?? []).map(({ name: key, value }) => [key, value])),
    labels: { [graceLabel]: String(spec.terminationGracePeriodSeconds ?? 30) },
  }
}

/** What plugins that declare a capability are told of the pod. Throws where an annotation says no rate. */
export function capabilityArgsOf(pod: Pod): JsonObject {
  return { ...portMappingsOf(pod), ...bandwidthOf(pod) }
}

const bandwidthAnnotation = { ingress: 'kubernetes.io/ingress-bandwidth', egress: 'kubernetes.io/egress-bandwidth' } as const
/** Plugins want a burst with each rate: a tenth of a second of it, and no less than a few large packets. In bits. */
const burstSeconds = 0.1
const burstBitsLeast = 1_000_000

function bandwidthOf({ metadata: { name, namespace, annotations = {} } }: Pod): JsonObject {
  const rateOf = (direction: 'ingress' | 'egress'): JsonObject => {
    const text = annotations[bandwidthAnnotation[direction]]
    if (text === undefined) return {}
    // as Kubernetes bounds it: 1k to 1P bits a second
    const rate = isQuantity(text) ? parseQuantity(text) : Number.NaN
    if (!(rate >= 1e3 && rate <= 1e15)) throw new Error(`Cannot attach ${namespace}/${name} to a network: annotation ${bandwidthAnnotation[direction]} is ${JSON.stringify(text)}, not 1k to 1P bits a second`)
    return { [`${direction}Rate`]: Math.round(rate), [`${direction}Burst`]: Math.min(Math.max(burstBitsLeast, Math.round(rate * burstSeconds)), 2 ** 31 - 1) }
  }
  const bandwidth = { ...rateOf('ingress'), ...rateOf('egress') }
  return Object.keys(bandwidth).length === 0 ? {} : { bandwidth }
}

function portMappingsOf({ spec }: Pod): JsonObject {
  const ports = spec.containers.flatMap((container) => container.ports ?? []).filter(({ hostPort }) => hostPort !== undefined && hostPort > 0)
  if (ports.length === 0) return {}
  return {
    portMappings: ports.map(({ hostPort, containerPort, protocol = 'TCP', hostIP }) => ({
      hostPort, containerPort, protocol: protocol.toLowerCase(), ...(hostIP === undefined || hostIP === '' ? {} : { hostIP }),
    })),
  }
}

/** A pod whose object is gone, as far as its sandbox tells: all that is wanted of it is its end. */
export function departedPod({ metadata: { name, namespace, uid }, labels }: Sandbox, nowMs: number): Pod {
  const grace = Number(labels[graceLabel] ?? 30)
  return {
    apiVersion: 'v1', kind: 'Pod',
    metadata: { name, namespace, uid, deletionTimestamp: new Date(nowMs).toISOString(), deletionGracePeriodSeconds: grace },
    spec: { containers: [], terminationGracePeriodSeconds: grace },
  }
}

export class Sandboxes {
  readonly #parts: KubeletParts

  constructor(parts: KubeletParts) {
    this.#parts = parts
  }

  async create(pod: Pod, attempt: number): Promise<void> {
    const { runtime, network, options } = this.#parts
    const { name = '', namespace = '', uid = '' } = pod.metadata
    const sandbox = await runtime.runSandbox(configOf(pod, attempt, options.clusterDomain ?? 'cluster.local'))
    if (pod.spec.hostNetwork === true || runtime.networkedBy === 'runtime') return
    try {
      if (sandbox.netnsPath === undefined) throw new Error(`Cannot attach ${namespace}/${name} to a network: the engine names no network namespace for its sandbox`)
      await network.attach({ sandboxId: sandbox.id, netnsPath: sandbox.netnsPath, podNamespace: namespace, podName: name, podUid: uid, capabilityArgs: capabilityArgsOf(pod) })
    } catch (error) {
      await runtime.removeSandbox(sandbox.id)
      throw error
    }
  }

  async stop(id: string): Promise<void> {
    await this.#parts.network.detach(id)
    await this.#parts.runtime.stopSandbox(id)
  }

  async remove(id: string): Promise<void> {
    await this.#parts.network.detach(id)
    await this.#parts.runtime.removeSandbox(id)
  }
}
