/** Starts one container: image, configuration, engine, and the hook that runs beside its first moments. */
import type { Container, Pod } from '../../api/types.ts'
import { eventTarget } from '../options.ts'
import type { KubeletParts } from '../options.ts'
import { runHandler } from '../probes/handler.ts'
import type { ImageStatus, Sandbox } from '../runtime/runtime.ts'
import type { VolumePaths } from '../volumes/volumes.ts'
import { containerConfigOf } from './container-config.ts'
import { ContainerConfigError } from './environment.ts'
import type { PodFiles } from './files.ts'
import { isHold } from './hold.ts'
import type { Hold } from './hold.ts'
import type { Images } from './images.ts'

export interface StarterOptions {
  readonly parts: KubeletParts
  readonly images: Images
  readonly files: PodFiles
  readonly changed: (podUid: string) => void
}

export interface StartRequest {
  readonly pod: Pod
  readonly container: Container
  readonly attempt: number
  readonly sandbox: Sandbox
  readonly podIPs: readonly string[]
  readonly volumes: VolumePaths
}

/** A hook may take as long as it likes; this bounds a request that is never answered. */
const hookMsMax = 24 * 3_600_000
const retryConfigMs = 10_000

export class ContainerStarter {
  readonly #options: StarterOptions
  /** Containers whose postStart hook still runs. */
  readonly #hooksRunning = new Set<string>()
  readonly #hooksFailed = new Map<string, string>()

  constructor(options: StarterOptions) {
    this.#options = options
  }

  /** Undefined when the container was handed to the engine, or what it has to wait for. */
  async start(request: StartRequest): Promise<Hold | undefined> {
    const { pod, container, attempt } = request
    const image = await this.#options.images.ensure(pod, container, attempt)
    if (isHold(image)) return image
    const id = await this.#create(request, image)
    if (typeof id !== 'string') return id
    const { runtime, events } = this.#options.parts
    try {
      await runtime.startContainer(id)
    } catch (error) {
      // The engine keeps it as one that could not run: it is started again with back-off, like others that fail.
      events.event(eventTarget(pod, container.name), 'Warning', 'Failed', `Error: ${(error as Error).message}`)
      return undefined
    }
    events.event(eventTarget(pod, container.name), 'Normal', 'Started', `Started container ${container.name}`)
    if (container.lifecycle?.postStart !== undefined) void this.#runHook(request, id)
    return undefined
  }

  /** Whether the container's postStart hook is over. */
  isHookDone(containerId: string): boolean {
    return !this.#hooksRunning.has(containerId)
  }

  /** Why the container has to be restarted for its hook. */
  hookFailure(containerId: string): string | undefined {
    return this.#hooksFailed.get(containerId)
  }

  forget(containerIds: readonly string[]): void {
    for (const id of containerIds) this.#hooksFailed.delete(id)
  }

  async #create(request: StartRequest, image: ImageStatus): Promise<string | Hold> {
    const { pod, container, attempt, sandbox, podIPs, volumes } = request
    const { parts: { runtime, events, objects, options, machine, directories, services }, files, images } = this.#options
    const { uid = '', namespace = '' } = pod.metadata
    try {
      const config = containerConfigOf({
        pod, container, attempt, image, volumes, memoryBytes: machine.memoryBytes, seccompDir: `${options.dataDir}/seccomp`,
        ...files.network(pod, podIPs),
        terminationLog: directories.terminationLog(uid, container.name, attempt),
        sources: {
          pod, nodeName: options.nodeName, hostIPs: options.nodeAddresses, podIPs: pod.spec.hostNetwork === true ? options.nodeAddresses : podIPs,
          allocatable: machine.capacity, services: services(),
          configMap: (name) => objects.configMap(namespace, name),
          secret: (name) => objects.secret(namespace, name),
        },
      })
      const id = await runtime.createContainer(sandbox, config)
      events.event(eventTarget(pod, container.name), 'Normal', 'Created', `Created container: ${container.name}`)
      return id
    } catch (error) {
      images.invalidate(container.image ?? '')
      const { message } = error as Error
      events.event(eventTarget(pod, container.name), 'Warning', 'Failed', `Error: ${message}`)
      const reason = error instanceof ContainerConfigError ? 'CreateContainerConfigError' : 'CreateContainerError'
      return { reason, message, retryInMs: retryConfigMs }
    }
  }

  async #runHook({ pod, container, podIPs }: StartRequest, id: string): Promise<void> {
    const { parts: { runtime, events, options }, changed } = this.#options
    const hook = container.lifecycle?.postStart
    if (hook === undefined) return
    this.#hooksRunning.add(id)
    const target = { containerId: id, container, podIP: podIPs[0] ?? options.nodeAddresses[0] ?? '' }
    const { ok, output } = await runHandler(hook, target, hookMsMax, { runtime, clock: options.clock })
    this.#hooksRunning.delete(id)
    if (!ok) {
      events.event(eventTarget(pod, container.name), 'Warning', 'FailedPostStartHook', `PostStartHook failed: ${output}`)
      this.#hooksFailed.set(id, `Container ${container.name} failed its postStart hook, will be restarted`)
    }
    changed(pod.metadata.uid ?? '')
  }
}
