/** A container of a pod as the engine is asked to make it. */
import { chmodSync, closeSync, mkdirSync, openSync } from 'node:fs'
import { dirname } from 'node:path'
import type { Container, Pod, VolumeMount } from '../../api/types.ts'
import type { ContainerConfig, ContainerSecurity, ImageStatus, Mount } from '../runtime/runtime.ts'
import { resolveSubPath } from '../volumes/sub-path.ts'
import type { VolumePaths } from '../volumes/volumes.ts'
import { ContainerConfigError, environmentOf, expand } from './environment.ts'
import type { EnvironmentSources } from './environment.ts'
import { resourcesOf } from './resources.ts'

export interface ContainerConfigInput {
  readonly pod: Pod
  readonly container: Container
  readonly attempt: number
  readonly image: ImageStatus
  readonly sources: EnvironmentSources
  readonly volumes: VolumePaths
  readonly hostsFile: string
  readonly resolvConfFile: string
  readonly terminationLog: string
  readonly memoryBytes: number
  /** Where profiles of seccomp type Localhost are. */
  readonly seccompDir: string
}

const propagations: Readonly<Record<string, Mount['propagation']>> = { None: 'private', HostToContainer: 'hostToContainer', Bidirectional: 'bidirectional' }

function volumeMount(mount: VolumeMount, volumes: VolumePaths, variables: ReadonlyMap<string, string>): Mount {
  const volume = volumes.get(mount.name)
  if (volume === undefined) throw new ContainerConfigError(`volume mount ${mount.name} names no volume of the pod`)
  const subPath = mount.subPathExpr === undefined || mount.subPathExpr === '' ? (mount.subPath ?? '') : expand(mount.subPathExpr, variables)
  return {
    containerPath: mount.mountPath,
    hostPath: subPath === '' ? volume : resolveSubPath(volume, subPath),
    readOnly: mount.readOnly === true,
    propagation: propagations[mount.mountPropagation ?? 'None'] ?? 'private',
  }
}

/** An empty file that every user of the container may write: what it has to say when it ends. */
function prepareTerminationLog(file: string): void {
  mkdirSync(dirname(file), { recursive: true })
  closeSync(openSync(file, 'a', 0o666))
  chmodSync(file, 0o666)
}

function mountsOf(input: ContainerConfigInput, variables: ReadonlyMap<string, string>): Mount[] {
  const { container, volumes, hostsFile, resolvConfFile, terminationLog } = input
  const mounts = (container.volumeMounts ?? []).map((mount) => volumeMount(mount, volumes, variables))
  const taken = new Set(mounts.map(({ containerPath }) => containerPath))
  const file = (containerPath: string, hostPath: string): Mount[] =>
    (taken.has(containerPath) ? [] : [{ containerPath, hostPath, readOnly: false, propagation: 'private' }])
  prepareTerminationLog(terminationLog)
  return [
    ...mounts,
    ...file('/etc/hosts', hostsFile),
    ...file('/etc/resolv.conf', resolvConfFile),
    ...file(container.terminationMessagePath || '/dev/termination-log', terminationLog),
  ]
}

/** Whether the image's own user is root: empty, 0, or a name for it. A name that is not root cannot be told from here. */
function runsAsRoot(user: string): boolean {
  return ['', '0', 'root'].includes(user.split(':')[0] ?? '')
}

function userOf({ pod, container, image }: ContainerConfigInput): string | undefined {
  const ofPod = pod.spec.securityContext ?? {}
  const own = container.securityContext ?? {}
  const user = own.runAsUser ?? ofPod.runAsUser
  const group = own.runAsGroup ?? ofPod.runAsGroup
  if (own.runAsNonRoot ?? ofPod.runAsNonRoot) {
    if (user === 0) throw new ContainerConfigError("container's runAsUser breaks non-root policy")
    if (user === undefined && runsAsRoot(image.user)) throw new ContainerConfigError('container has runAsNonRoot and image will run as root')
  }
  if (group !== undefined) return `${user ?? (image.user.split(':')[0] || '0')}:${group}`
  return user === undefined ? undefined : String(user)
}

function securityOf(input: ContainerConfigInput): ContainerSecurity {
  const { pod, container, seccompDir } = input
  const ofPod = pod.spec.securityContext ?? {}
  const own = container.securityContext ?? {}
  const { seccompProfile } = { ...ofPod, ...own } as { seccompProfile?: { type: string; localhostProfile?: string } }
  const user = userOf(input)
  return {
    privileged: own.privileged === true,
    readOnlyRootFilesystem: own.readOnlyRootFilesystem === true,
    noNewPrivileges: own.allowPrivilegeEscalation === false,
    ...(user === undefined ? {} : { user }),
    supplementalGroups: [...(ofPod.supplementalGroups ?? []), ...(ofPod.fsGroup === undefined ? [] : [ofPod.fsGroup])],
    capabilitiesAdd: own.capabilities?.add ?? [],
    capabilitiesDrop: own.capabilities?.drop ?? [],
    seccomp: seccompProfile?.type === 'RuntimeDefault' ? 'runtimeDefault'
      : seccompProfile?.type === 'Localhost' ? { profile: `${seccompDir}/${seccompProfile.localhostProfile ?? ''}` } : 'unconfined',
  }
}

/** Throws a `ContainerConfigError` for what the pod refers to and is not there. */
export function containerConfigOf(input: ContainerConfigInput): ContainerConfig {
  const { pod, container, attempt, sources, memoryBytes } = input
  const variables = environmentOf(container, sources)
  const expanded = (words: readonly string[] | undefined): readonly string[] | undefined =>
    (words === undefined || words.length === 0 ? undefined : words.map((word) => expand(word, variables)))
  const command = expanded(container.command)
  const args = expanded(container.args)
  return {
    name: container.name,
    attempt,
    image: container.image ?? '',
    ...(command === undefined ? {} : { command }),
    ...(args === undefined ? {} : { args }),
    ...(container.workingDir === undefined || container.workingDir === '' ? {} : { workingDir: container.workingDir }),
    env: [...variables].map(([name, value]) => ({ name, value })),
    mounts: mountsOf(input, variables),
    devices: [],
    labels: {},
    stdin: container.stdin === true,
    stdinOnce: container.stdinOnce === true,
    tty: container.tty === true,
    security: securityOf(input),
    resources: resourcesOf(pod, container, memoryBytes),
    sharedPids: pod.spec.shareProcessNamespace === true,
  }
}
