/**
 * What the kubelet asks of a container engine, in the words of the Container Runtime Interface (CRI v1), so that an engine that
 * speaks CRI fits behind the same interface as Docker does.
 */
import type { Duplex } from 'node:stream'

/** Who a sandbox belongs to. `attempt` counts the sandboxes that one pod has had. */
export interface SandboxMetadata {
  readonly name: string
  readonly namespace: string
  readonly uid: string
  readonly attempt: number
}

export interface SandboxConfig {
  readonly metadata: SandboxMetadata
  readonly hostname: string
  readonly hostNetwork: boolean
  readonly hostPid: boolean
  readonly hostIpc: boolean
  readonly sysctls: Readonly<Record<string, string>>
  readonly labels: Readonly<Record<string, string>>
}

export interface Sandbox {
  readonly id: string
  readonly metadata: SandboxMetadata
  readonly state: 'ready' | 'notReady'
  readonly createdAtMs: number
  readonly labels: Readonly<Record<string, string>>
  /** Path of the pod's network namespace while the sandbox is ready and does not use the host's. */
  readonly netnsPath?: string
}

export interface Mount {
  readonly containerPath: string
  readonly hostPath: string
  readonly readOnly: boolean
  readonly propagation: 'private' | 'hostToContainer' | 'bidirectional'
}

export interface ContainerSecurity {
  readonly privileged: boolean
  readonly readOnlyRootFilesystem: boolean
  readonly noNewPrivileges: boolean
  /** `uid`, `uid:gid` or a user name; absent: what the image says. */
  readonly user?: string
  readonly supplementalGroups: readonly number[]
  readonly capabilitiesAdd: readonly string[]
  readonly capabilitiesDrop: readonly string[]
  readonly seccomp: 'unconfined' | 'runtimeDefault' | { readonly profile: string }
}

export interface ContainerResources {
  readonly cpuShares: number
  /** Microseconds of CPU in each 100 ms; absent: no limit. */
  readonly cpuQuotaUs?: number
  readonly memoryLimitBytes?: number
  readonly oomScoreAdj: number
}

export interface ContainerConfig {
  readonly name: string
  /** How often this container has been started before in its pod. */
  readonly attempt: number
  readonly image: string
  readonly command?: readonly string[]
  readonly args?: readonly string[]
  readonly workingDir?: string
  readonly env: ReadonlyArray<{ readonly name: string; readonly value: string }>
  readonly mounts: readonly Mount[]
  readonly devices: readonly string[]
  readonly labels: Readonly<Record<string, string>>
  readonly stdin: boolean
  readonly stdinOnce: boolean
  readonly tty: boolean
  readonly stopSignal?: string
  readonly security: ContainerSecurity
  readonly resources: ContainerResources
  /** The container whose process ids this one shares; absent: its own. */
  readonly sharedPids: boolean
}

export type ContainerState = 'created' | 'running' | 'exited' | 'unknown'

export interface RuntimeContainer {
  readonly id: string
  readonly sandboxId: string
  readonly podUid: string
  readonly name: string
  readonly attempt: number
  readonly state: ContainerState
  readonly createdAtMs: number
  readonly labels: Readonly<Record<string, string>>
}

export interface RuntimeContainerStatus extends RuntimeContainer {
  readonly image: string
  readonly imageId: string
  readonly startedAtMs?: number
  readonly finishedAtMs?: number
  readonly exitCode?: number
  /** `Completed`, `Error`, `OOMKilled`, `ContainerCannotRun`, … while exited. */
  readonly reason?: string
  readonly message?: string
}

export interface ImageStatus {
  readonly id: string
  readonly repoTags: readonly string[]
  readonly repoDigests: readonly string[]
  readonly sizeBytes: number
  /** The user that the image's configuration names: empty is root. */
  readonly user: string
}

export interface RegistryCredentials {
  readonly username: string
  readonly password: string
  readonly serverAddress?: string
}

export interface ExecResult {
  readonly exitCode: number
  readonly stdout: Buffer
  readonly stderr: Buffer
}

export interface StreamOptions {
  readonly stdin: boolean
  readonly stdout: boolean
  readonly stderr: boolean
  readonly tty: boolean
}

/** One piece of a container's output. */
export interface OutputChunk {
  readonly stream: 'stdout' | 'stderr'
  readonly data: Buffer
}

/** A process or container with which somebody talks. */
export interface StreamSession {
  readonly output: AsyncIterable<OutputChunk>
  /** Resolves once the bytes were taken, so that a slow reader slows the writer. */
  write(data: Buffer): Promise<void>
  endInput(): void
  resize(columns: number, rows: number): Promise<void>
  /** The exit code, once the output has ended; undefined where there is none (attach). */
  exitCode(): Promise<number | undefined>
  close(): void
}

export interface LogOptions {
  readonly follow: boolean
  readonly timestamps: boolean
  readonly tailLines?: number
  readonly sinceMs?: number
  readonly signal?: AbortSignal
}

export interface RuntimeEvent {
  readonly kind: 'created' | 'started' | 'exited' | 'removed' | 'oom'
  readonly podUid: string
  readonly containerId: string
}

export interface ContainerUsage {
  readonly cpuNanoseconds: number
  readonly memoryBytes: number
  readonly memoryWorkingSetBytes: number
}

export interface RuntimeVersion {
  readonly runtimeName: string
  readonly runtimeVersion: string
  readonly kernelVersion: string
  readonly osImage: string
  readonly architecture: string
}

/** An engine. Every method rejects with an error that says what could not be done, to what, and why. */
export interface ContainerRuntime {
  /** The scheme of container ids in pod statuses: `docker`, `containerd`. */
  readonly name: string
  /** Who runs the CNI plugins: the kubelet (Docker) or the engine itself (CRI). */
  readonly networkedBy: 'kubelet' | 'runtime'

  version(): Promise<RuntimeVersion>

  runSandbox(config: SandboxConfig): Promise<Sandbox>
  stopSandbox(id: string): Promise<void>
  removeSandbox(id: string): Promise<void>
  listSandboxes(podUid?: string): Promise<Sandbox[]>

  createContainer(sandbox: Sandbox, config: ContainerConfig): Promise<string>
  startContainer(id: string): Promise<void>
  /** Asks the process to end, and ends it after the grace period. Done when it has ended. */
  stopContainer(id: string, graceSeconds: number): Promise<void>
  removeContainer(id: string): Promise<void>
  listContainers(podUid?: string): Promise<RuntimeContainer[]>
  containerStatus(id: string): Promise<RuntimeContainerStatus>
  containerUsage(id: string): Promise<ContainerUsage>

  imageStatus(reference: string): Promise<ImageStatus | undefined>
  pullImage(reference: string, credentials: readonly RegistryCredentials[], signal?: AbortSignal): Promise<void>
  listImages(): Promise<ImageStatus[]>

  execSync(id: string, command: readonly string[], timeoutMs: number): Promise<ExecResult>
  exec(id: string, command: readonly string[], options: StreamOptions): Promise<StreamSession>
  attach(id: string, options: StreamOptions): Promise<StreamSession>
  logs(id: string, options: LogOptions): AsyncIterable<OutputChunk>
  /** A connection to a port of the sandbox's own loopback. */
  portForward(sandboxId: string, port: number): Promise<Duplex>

  /** What happens to containers from now on, until the signal fires. Ends with an error when the engine goes away. */
  events(signal: AbortSignal): AsyncIterable<RuntimeEvent>
}

/** Thrown where a sandbox, container or image does not exist (any more). */
export class RuntimeNotFoundError extends Error {
  override readonly name = 'RuntimeNotFoundError'
}

/** Thrown by `execSync` when the command took longer than it may. */
export class ExecTimeoutError extends Error {
  override readonly name = 'ExecTimeoutError'
}
