/** How pods are told apart among an engine's containers: names and labels as dockershim wrote them, and two labels of ours. */
import type { ContainerConfig, RuntimeContainer, Sandbox, SandboxConfig, SandboxMetadata } from './runtime.ts'

const podNameLabel = 'io.kubernetes.pod.name'
const podNamespaceLabel = 'io.kubernetes.pod.namespace'
/** Every container of ours carries it: engine events and lists are filtered by it. */
export const podUidLabel = 'io.kubernetes.pod.uid'
const containerNameLabel = 'io.kubernetes.container.name'
const typeLabel = 'io.kubernetes.docker.type'
const sandboxIdLabel = 'io.kubernetes.sandbox.id'
const attemptLabel = 'fairway.dev/attempt'

/** `k8s_POD_<pod>_<namespace>_<uid>_<attempt>` */
export function sandboxName({ name, namespace, uid, attempt }: SandboxMetadata): string {
  return `k8s_POD_${name}_${namespace}_${uid}_${attempt}`
}

/** `k8s_<container>_<pod>_<namespace>_<uid>_<attempt>` */
export function containerName(sandbox: SandboxMetadata, config: ContainerConfig): string {
  return `k8s_${config.name}_${sandbox.name}_${sandbox.namespace}_${sandbox.uid}_${config.attempt}`
}

export function sandboxLabels({ name, namespace, uid, attempt }: SandboxMetadata): Record<string, string> {
  return {
    [podNameLabel]: name, [podNamespaceLabel]: namespace, [podUidLabel]: uid,
    [typeLabel]: 'podsandbox', [containerNameLabel]: 'POD', [attemptLabel]: String(attempt),
  }
}

export function containerLabels(sandbox: Sandbox, config: ContainerConfig): Record<string, string> {
  return {
    ...sandboxLabels(sandbox.metadata),
    [typeLabel]: 'container', [containerNameLabel]: config.name, [sandboxIdLabel]: sandbox.id, [attemptLabel]: String(config.attempt),
  }
}

const hostLabel = (namespace: 'network' | 'pid' | 'ipc'): string => `fairway.dev/host-${namespace}`

/** Which of the host's namespaces a sandbox uses, as labels: its containers are made to match, also by a later kubelet. */
export function hostNamespaceLabels({ hostNetwork, hostPid, hostIpc }: SandboxConfig): Record<string, string> {
  return { [hostLabel('network')]: String(hostNetwork), [hostLabel('pid')]: String(hostPid), [hostLabel('ipc')]: String(hostIpc) }
}

export function hostNamespacesOf({ labels }: Sandbox): { readonly network: boolean; readonly pid: boolean; readonly ipc: boolean } {
  const has = (namespace: 'network' | 'pid' | 'ipc'): boolean => labels[hostLabel(namespace)] === 'true'
  return { network: has('network'), pid: has('pid'), ipc: has('ipc') }
}

/** A filter for lists and events: sandboxes or containers, of one pod or of all. */
export function labelFilter(type: 'podsandbox' | 'container', podUid?: string): string[] {
  return [`${typeLabel}=${type}`, podUid === undefined ? podUidLabel : `${podUidLabel}=${podUid}`]
}

interface Labelled {
  readonly Id: string
  readonly Created: number
  readonly State: string
  readonly Labels: Readonly<Record<string, string>>
}

export function sandboxOf(container: Labelled): Sandbox {
  const labels = container.Labels
  return {
    id: container.Id,
    metadata: {
      name: labels[podNameLabel] ?? '', namespace: labels[podNamespaceLabel] ?? '',
      uid: labels[podUidLabel] ?? '', attempt: Number(labels[attemptLabel] ?? 0),
    },
    state: container.State === 'running' ? 'ready' : 'notReady',
    createdAtMs: container.Created * 1000,
    labels,
  }
}

const states: Readonly<Record<string, RuntimeContainer['state']>> = {
  created: 'created', running: 'running', paused: 'running', exited: 'exited', dead: 'exited', removing: 'exited', restarting: 'running',
}

export function containerOf(container: Labelled): RuntimeContainer {
  const labels = container.Labels
  return {
    id: container.Id,
    sandboxId: labels[sandboxIdLabel] ?? '',
    podUid: labels[podUidLabel] ?? '',
    name: labels[containerNameLabel] ?? '',
    attempt: Number(labels[attemptLabel] ?? 0),
    state: states[container.State] ?? 'unknown',
    createdAtMs: container.Created * 1000,
    labels,
  }
}
