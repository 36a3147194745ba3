/** The container engine behind the Docker Engine API (1.41 or newer), reached through its Unix socket. */
import { readFileSync } from 'node:fs'
import type { Duplex } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import type Dockerode from 'dockerode'
import { engineCall, engineCallIdempotent, statusOf } from './docker-error.ts'
import { containerOf, labelFilter, podUidLabel, sandboxOf } from './docker-names.ts'
import { containerOptions, leastOomScore, sandboxOptions, type DockerDefaults } from './docker-options.ts'
import { Docker } from './dockerode.ts'
import { connectionOver, demultiplex, jsonLines, sessionOver, undivided } from './docker-streams.ts'
import { ExecTimeoutError, RuntimeNotFoundError } from './runtime.ts'
import type {
  ContainerConfig, ContainerRuntime, ContainerUsage, ExecResult, ImageStatus, LogOptions, OutputChunk, RegistryCredentials, RuntimeContainer,
  RuntimeContainerStatus, RuntimeEvent, RuntimeVersion, Sandbox, SandboxConfig, StreamOptions, StreamSession,
} from './runtime.ts'

export interface DockerRuntimeOptions extends Partial<DockerDefaults> {
  readonly socketPath: string
}

/** An engine's socket as a `ContainerRuntime`. Nothing is asked of the engine until the first call. */
export function createDockerRuntime(options: DockerRuntimeOptions): ContainerRuntime {
  return new DockerRuntime(options)
}

const eventKinds: Readonly<Record<string, RuntimeEvent['kind']>> = {
  create: 'created', start: 'started', die: 'exited', destroy: 'removed', oom: 'oom',
}

class DockerRuntime implements ContainerRuntime {
  readonly name = 'docker'
  readonly networkedBy = 'kubelet'
  readonly #docker: Dockerode
  readonly #socketPath: string
  readonly #defaults: DockerDefaults

  constructor(options: DockerRuntimeOptions) {
    this.#socketPath = options.socketPath.replace(/^unix:\/\//, '')
    this.#docker = new Docker({ socketPath: this.#socketPath })
    this.#defaults = {
      sandboxImage: options.sandboxImage ?? 'busybox:1',
      sandboxCommand: options.sandboxCommand ?? ['/sbin/tini', '-s', '--', '/bin/sleep', 'infinity'],
      logMaxSize: options.logMaxSize ?? '10m',
      logMaxFiles: options.logMaxFiles ?? 3,
      oomScoreAdjMin: options.oomScoreAdjMin ?? leastOomScore(),
      ...(options.cgroupParent === undefined ? {} : { cgroupParent: options.cgroupParent }),
    }
  }

  async version(): Promise<RuntimeVersion> {
    const [version, info] = await engineCall('reach', `the container engine at ${this.#socketPath}`, () =>
      Promise.all([this.#docker.version(), this.#docker.info() as Promise<{ OperatingSystem?: string }>]))
    return {
      runtimeName: 'docker',
      runtimeVersion: version.Version,
      kernelVersion: version.KernelVersion ?? '',
      osImage: info.OperatingSystem ?? 'Linux',
      architecture: version.Arch,
    }
  }

  async runSandbox(config: SandboxConfig): Promise<Sandbox> {
    const options = sandboxOptions(config, this.#defaults)
    const id = await this.#create('create sandbox', options)
    try {
      await engineCall('start sandbox', options.name, () => this.#docker.getContainer(id).start())
      const found = await engineCall('inspect sandbox', options.name, () => this.#docker.getContainer(id).inspect())
      const netnsPath = (found.NetworkSettings as { SandboxKey?: string }).SandboxKey
      return {
        id, metadata: config.metadata, state: 'ready', createdAtMs: Date.parse(found.Created), labels: found.Config.Labels,
        ...(netnsPath && !config.hostNetwork ? { netnsPath } : {}),
      }
    } catch (error) {
      await this.removeSandbox(id)
      throw error
    }
  }

  async stopSandbox(id: string): Promise<void> {
    await engineCallIdempotent('stop sandbox', id, () => this.#docker.getContainer(id).kill())
  }

  async removeSandbox(id: string): Promise<void> {
    await engineCallIdempotent('remove sandbox', id, () => this.#docker.getContainer(id).remove({ force: true, v: true }))
  }

  async listSandboxes(podUid?: string): Promise<Sandbox[]> {
    return (await this.#list('podsandbox', podUid)).map(sandboxOf)
  }

  async createContainer(sandbox: Sandbox, config: ContainerConfig): Promise<string> {
    return this.#create('create container', containerOptions(sandbox, config, this.#defaults))
  }

  /** Creates; a name that a dead attempt of the same container still holds (a crash between create and start) is freed first. */
  async #create(operation: string, options: Dockerode.ContainerCreateOptions & { name: string }): Promise<string> {
    const create = (): Promise<{ id: string }> => engineCall(operation, options.name, () => this.#docker.createContainer(options))
    try {
      return (await create()).id
    } catch (error) {
      if (statusOf((error as Error).cause) !== 409) throw error
      const holder = await engineCall('inspect', options.name, () => this.#docker.getContainer(options.name).inspect())
      if (holder.State.Running) throw error
      await this.removeContainer(holder.Id)
      return (await create()).id
    }
  }

  async startContainer(id: string): Promise<void> {
    await engineCall('start container', id, () => this.#docker.getContainer(id).start())
  }

  async stopContainer(id: string, graceSeconds: number): Promise<void> {
    await engineCallIdempotent('stop container', id, () => this.#docker.getContainer(id).stop({ t: Math.max(0, Math.ceil(graceSeconds)) }))
  }

  async removeContainer(id: string): Promise<void> {
    await engineCallIdempotent('remove container', id, () => this.#docker.getContainer(id).remove({ force: true, v: true }))
  }

  async listContainers(podUid?: string): Promise<RuntimeContainer[]> {
    return (await this.#list('container', podUid)).map(containerOf)
  }

  #list(type: 'podsandbox' | 'container', podUid?: string): Promise<Dockerode.ContainerInfo[]> {
    return engineCall('list', 'containers', () => this.#docker.listContainers({ all: true, filters: { label: labelFilter(type, podUid) } }))
  }

  async containerStatus(id: string): Promise<RuntimeContainerStatus> {
    const found = await engineCall('inspect container', id, () => this.#docker.getContainer(id).inspect())
    return statusFrom(found)
  }

  async containerUsage(id: string): Promise<ContainerUsage> {
    const stats = await engineCall('read usage of', id, () => this.#docker.getContainer(id).stats({ stream: false, 'one-shot': true }))
    const usage = stats.memory_stats.usage ?? 0
    const inactive = stats.memory_stats.stats?.total_inactive_file ?? stats.memory_stats.stats?.inactive_file ?? 0
    return {
      cpuNanoseconds: stats.cpu_stats.cpu_usage.total_usage,
      memoryBytes: usage,
      memoryWorkingSetBytes: Math.max(0, usage - inactive),
    }
  }

  async imageStatus(reference: string): Promise<ImageStatus | undefined> {
    try {
      const found = await engineCall('inspect image', reference, () => this.#docker.getImage(reference).inspect())
      return { id: found.Id, repoTags: found.RepoTags ?? [], repoDigests: found.RepoDigests ?? [], sizeBytes: found.Size, user: found.Config.User ?? '' }
    } catch (error) {
      if (statusOf((error as Error).cause) === 404) return undefined
      throw error
    }
  }

  async pullImage(reference: string, credentials: readonly RegistryCredentials[], signal?: AbortSignal): Promise<void> {
    const tries = credentials.length === 0 ? [undefined] : credentials
    let failure: unknown
    for (const login of tries) {
      try {
        await engineCall('pull image', reference, () => this.#pull(reference, login, signal))
        return
      } catch (error) {
        failure = error
      }
    }
    throw failure
  }

  async #pull(reference: string, login: RegistryCredentials | undefined, signal: AbortSignal | undefined): Promise<void> {
    // Without a tag the engine would pull every tag that the repository has.
    const named = /[@:][^/]*$/.test(reference) ? reference : `${reference}:latest`
    const progress = await this.#docker.pull(named, {
      ...(signal === undefined ? {} : { abortSignal: signal }),
      ...(login === undefined ? {} : { authconfig: { username: login.username, password: login.password, serveraddress: login.serverAddress ?? '' } }),
    })
    for await (const line of jsonLines(progress as AsyncIterable<Buffer>)) {
      const { error } = line as { error?: string }
      if (error !== undefined) throw new Error(error)
    }
  }

  async listImages(): Promise<ImageStatus[]> {
    const images = await engineCall('list', 'images', () => this.#docker.listImages())
    return images.map((image) => ({
      id: image.Id, repoTags: image.RepoTags ?? [], repoDigests: image.RepoDigests ?? [], sizeBytes: image.Size, user: '',
    }))
  }

  async execSync(id: string, command: readonly string[], timeoutMs: number): Promise<ExecResult> {
    const options = { stdin: false, stdout: true, stderr: true, tty: false }
    const { exec, session } = await this.#exec(id, command, options)
    const parts: Record<'stdout' | 'stderr', Buffer[]> = { stdout: [], stderr: [] }
    let late = false
    const timer = setTimeout(() => {
      late = true
      session.close()
    }, timeoutMs)
    try {
      for await (const { stream, data } of session.output) parts[stream].push(data)
    } catch (error) {
      if (!late) throw error
    } finally {
      clearTimeout(timer)
    }
    if (late) {
      await this.#killExec(id, exec)
      throw new ExecTimeoutError(`Cannot run ${command.join(' ')} in ${id}: it took longer than ${timeoutMs} ms`)
    }
    return { exitCode: (await session.exitCode()) ?? -1, stdout: Buffer.concat(parts.stdout), stderr: Buffer.concat(parts.stderr) }
  }

  /** The engine has no call that ends an exec's process, so it is ended as a process of this host, if it is one of that container. */
  async #killExec(id: string, exec: Dockerode.Exec): Promise<void> {
    const { Pid: pid, Running: running } = await engineCall('inspect exec in', id, () => exec.inspect())
    if (!running || pid <= 0) return
    try {
      if (readFileSync(`/proc/${pid}/cgroup`, 'utf8').includes(id)) process.kill(pid, 'SIGKILL')
    } catch (error) {
      if (!['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error
    }
  }

  async exec(id: string, command: readonly string[], options: StreamOptions): Promise<StreamSession> {
    return (await this.#exec(id, command, options)).session
  }

  async #exec(id: string, command: readonly string[], options: StreamOptions): Promise<{ exec: Dockerode.Exec; session: StreamSession }> {
    const { stdin, stdout, stderr, tty } = options
    const what = `${command.join(' ')} in ${id}`
    const exec = await engineCall('run', what, () => this.#docker.getContainer(id).exec({
      Cmd: [...command], AttachStdin: stdin, AttachStdout: stdout, AttachStderr: stderr && !tty, Tty: tty,
    }))
    const connection: Duplex = await engineCall('run', what, () => exec.start({ hijack: true, stdin: true, Tty: tty }))
    if (!stdin) connection.end()
    const session = sessionOver(connection, {
      tty,
      resize: async (columns, rows) => {
        await engineCall('resize terminal of', what, () => exec.resize({ w: columns, h: rows }))
      },
      exitCode: () => exitCodeOf(exec, what),
    })
    return { exec, session }
  }

  async attach(id: string, options: StreamOptions): Promise<StreamSession> {
    const container = this.#docker.getContainer(id)
    const { stdin, stdout, stderr, tty } = options
    const connection = (await engineCall('attach to', id, () => container.attach({ stream: true, hijack: true, stdin, stdout, stderr }))) as Duplex
    // The engine takes an attach to a process that has just ended, and then never says a word.
    const { State: state } = await engineCall('attach to', id, () => container.inspect())
    if (!state.Running) {
      connection.destroy()
      throw new RuntimeNotFoundError(`Cannot attach to ${id}: its process has ended with exit code ${state.ExitCode}`)
    }
    return sessionOver(connection, {
      tty,
      resize: async (columns, rows) => {
        await engineCall('resize terminal of', id, () => container.resize({ w: columns, h: rows }))
      },
      exitCode: () => Promise.resolve(undefined),
    })
  }

  async *logs(id: string, options: LogOptions): AsyncIterable<OutputChunk> {
    const found = await engineCall('read logs of', id, () => this.#docker.getContainer(id).inspect())
    const query = {
      stdout: 1, stderr: 1, follow: options.follow ? 1 : 0, timestamps: options.timestamps ? 1 : 0,
      tail: options.tailLines ?? 'all',
      ...(options.sinceMs === undefined ? {} : { since: (options.sinceMs / 1000).toFixed(3) }),
    }
    // Not `container.logs`: without `follow` it gathers all of it, and reads what looks like JSON as JSON.
    const stream = await engineCall('read logs of', id, () => this.#dialStream(`/containers/${id}/logs?`, query))
    options.signal?.addEventListener('abort', () => stream.destroy(), { once: true })
    try {
      yield* found.Config.Tty ? undivided(stream) : demultiplex(stream)
    } catch (error) {
      if (!options.signal?.aborted) throw error
    } finally {
      stream.destroy()
    }
  }

  #dialStream(path: string, query: Record<string, unknown>): Promise<Duplex> {
    return new Promise((resolve, reject) => {
      const request = { path, method: 'GET', isStream: true, statusCodes: { 200: true }, options: query }
      this.#docker.modem.dial(request, (error, stream) => {
        if (error) reject(error)
        else resolve(stream as Duplex)
      })
    })
  }

  async portForward(sandboxId: string, port: number): Promise<Duplex> {
    const session = await this.exec(sandboxId, ['nc', '127.0.0.1', String(port)], { stdin: true, stdout: true, stderr: true, tty: false })
    return connectionOver(session, `port ${port}`)
  }

  async *events(signal: AbortSignal): AsyncIterable<RuntimeEvent> {
    const filters = JSON.stringify({ type: ['container'], event: Object.keys(eventKinds), label: [podUidLabel] })
    const stream = (await engineCall('watch', 'the container engine', () => this.#docker.getEvents({ filters }))) as Duplex
    const stop = (): void => void stream.destroy()
    signal.addEventListener('abort', stop, { once: true })
    if (signal.aborted) stop()
    try {
      for await (const line of jsonLines(stream)) {
        const { Action, Actor } = line as { Action: string; Actor: { ID: string; Attributes: Record<string, string> } }
        const kind = eventKinds[Action]
        if (kind !== undefined) yield { kind, containerId: Actor.ID, podUid: Actor.Attributes[podUidLabel] ?? '' }
      }
    } catch (error) {
      if (!signal.aborted) throw new Error(`Cannot watch the container engine: ${(error as Error).message}`, { cause: error })
    } finally {
      signal.removeEventListener('abort', stop)
      stream.destroy()
    }
    if (!signal.aborted) throw new Error('Cannot watch the container engine: it closed the stream of events')
  }
}

/** The output of an exec ends a moment before the engine knows its exit code. */
async function exitCodeOf(exec: Dockerode.Exec, what: string): Promise<number | undefined> {
  for (let waitMs = 2; ; waitMs = Math.min(waitMs * 2, 200)) {
    const found = await engineCall('read the exit code of', what, () => exec.inspect())
    if (!found.Running) return found.ExitCode ?? undefined
    await sleep(waitMs)
  }
}

function timeOf(text: string): number | undefined {
  // Docker writes year 1 for "never".
  return text === '' || text.startsWith('0001-') ? undefined : Date.parse(text)
}

function statusFrom(found: Dockerode.ContainerInspectInfo): RuntimeContainerStatus {
  const { State: state, Config: config } = found
  const listed = containerOf({ Id: found.Id, Created: Date.parse(found.Created) / 1000, State: state.Status, Labels: config.Labels })
  const startedAtMs = timeOf(state.StartedAt)
  const finishedAtMs = timeOf(state.FinishedAt)
  const base = { ...listed, image: config.Image, imageId: found.Image, ...(startedAtMs === undefined ? {} : { startedAtMs }) }
  // A container whose process could not be started stays "created" for Docker, with an exit code and the error.
  const cannotRun = state.Status === 'created' && (state.Error !== '' || state.ExitCode !== 0)
  if (!cannotRun && listed.state !== 'exited') return base
  const reason = cannotRun || state.Error !== '' ? 'ContainerCannotRun' : state.OOMKilled ? 'OOMKilled' : state.ExitCode === 0 ? 'Completed' : 'Error'
  return {
    ...base, state: 'exited', exitCode: state.ExitCode, reason,
    finishedAtMs: finishedAtMs ?? startedAtMs ?? listed.createdAtMs,
    ...(state.Error === '' ? {} : { message: state.Error }),
  }
}
