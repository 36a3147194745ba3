/** Sandboxes with their network: made and attached together, detached and stopped together. */
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

/** What plugins that declare a capability are told of the pod. */
function capabilityArgsOf({ spec }: Pod): JsonObject {
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
