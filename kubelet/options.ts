/** What a kubelet is given, and what its parts share. */
import type { Client } from '../api/client.ts'
import type { Clock, Random } from '../api/clock.ts'
import type { EventRecorder } from '../api/events.ts'
import type { Logger } from '../api/log.ts'
import type { Pod, Service } from '../api/types.ts'
import type { Machine } from './node/machine.ts'
import type { PodNetwork } from './network/pod-network.ts'
import type { ContainerRuntime } from './runtime/runtime.ts'
import type { ObjectSource } from './sources/objects.ts'
import type { TokenSource } from './sources/tokens.ts'
import type { PodDirectories } from './volumes/pod-directory.ts'

export interface KubeletServerOptions {
  readonly address: string
  /** 10250 in a cluster; 0 for any that is free. */
  readonly port: number
  /** PEM. */
  readonly key: string
  readonly certificate: string
  /** The CA, in PEM, whose client certificates of `O=system:masters` are let in. */
  readonly clientCa: string
}

export interface KubeletOptions {
  readonly client: Client
  readonly nodeName: string
  /** The host's own addresses, the first one first: `InternalIP` of the node and `hostIP` of its pods. */
  readonly nodeAddresses: readonly string[]
  /** Labels of the node beside the host name, operating system and architecture. */
  readonly nodeLabels?: Readonly<Record<string, string>>
  readonly runtime: ContainerRuntime
  /** Volumes, pod files and the like; created where it is missing. */
  readonly dataDir: string
  readonly cni: { readonly binDir: string | readonly string[]; readonly confDir: string; readonly cacheDir: string }
  readonly clusterDns: readonly string[]
  /** Default `cluster.local`. */
  readonly clusterDomain?: string
  /** Absent: no server, so no logs, exec and port-forward. */
  readonly server?: KubeletServerOptions
  /** How long the node's lease lasts; renewed every quarter of it. Default 40. */
  readonly leaseDurationSeconds?: number
  /** The host's resolver configuration, for pods with dnsPolicy Default; default `/etc/resolv.conf`. */
  readonly resolvConf?: string
  /** How many pods the node takes; default 110. */
  readonly podsMax?: number
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
}

/** Why the engine or the network is of no use now; absent while it is. */
export interface Health {
  runtimeError?: string | undefined
  networkError?: string | undefined
}

/** What the parts of one kubelet share. */
export interface KubeletParts {
  readonly options: KubeletOptions
  readonly runtime: ContainerRuntime
  readonly network: PodNetwork
  readonly directories: PodDirectories
  readonly events: EventRecorder
  readonly objects: ObjectSource
  readonly tokens: TokenSource
  readonly machine: Machine
  readonly health: Readonly<Health>
  readonly services: () => readonly Service[]
}

/** The target of an event about a pod, or about one container of it. */
export function eventTarget(pod: Pod, container?: string): { kind: string; apiVersion: string; metadata: Pod['metadata']; fieldPath?: string } {
  const init = pod.spec.initContainers?.some(({ name }) => name === container) === true
  return {
    kind: 'Pod', apiVersion: 'v1', metadata: pod.metadata,
    ...(container === undefined ? {} : { fieldPath: `spec.${init ? 'initContainers' : 'containers'}{${container}}` }),
  }
}
