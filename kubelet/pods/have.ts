/** What the engine and the network have of a pod, read back. */
import { closeSync, openSync, readSync } from 'node:fs'
import type { Container, Pod } from '../../api/types.ts'
import type { PodNetwork } from '../network/pod-network.ts'
import { RuntimeNotFoundError } from '../runtime/runtime.ts'
import type { ContainerRuntime, RuntimeContainer, RuntimeContainerStatus } from '../runtime/runtime.ts'
import type { PodDirectories } from '../volumes/pod-directory.ts'
import { rolesOf } from './plan.ts'
import type { PodState } from './plan.ts'

export interface ObserverOptions {
  readonly runtime: ContainerRuntime
  readonly network: PodNetwork
  readonly directories: PodDirectories
}

// As in Kubernetes (kubelet/container/runtime.go: MaxContainerTerminationMessage…).
const messageBytesMax = 4096
const logMessageBytesMax = 2048
const logMessageLinesMax = 80

export class PodObserver {
  readonly #options: ObserverOptions
  /** Containers that have ended, by id: nothing about them changes any more. */
  readonly #ended = new Map<string, RuntimeContainerStatus>()

  constructor(options: ObserverOptions) {
    this.#options = options
  }

  async observe(pod: Pod): Promise<PodState> {
    const { runtime, network } = this.#options
    const { uid = '' } = pod.metadata
    const [sandboxes, listed] = await Promise.all([runtime.listSandboxes(uid), runtime.listContainers(uid)])
    const containers = (await Promise.all(listed.map((container) => this.#statusOf(pod, container)))).flatMap((status) => status ?? [])
    sandboxes.sort((a, b) => b.metadata.attempt - a.metadata.attempt || b.createdAtMs - a.createdAtMs)
    containers.sort((a, b) => b.attempt - a.attempt || b.createdAtMs - a.createdAtMs)
    const newest = sandboxes[0]
    return { sandboxes, containers, addresses: newest === undefined ? undefined : network.addresses(newest.id) }
  }

  /** What tells two states of the engine apart, by pod, without looking into containers. */
  async fingerprints(): Promise<Map<string, string>> {
    const { runtime } = this.#options
    const [sandboxes, containers] = await Promise.all([runtime.listSandboxes(), runtime.listContainers()])
    const parts = new Map<string, string[]>()
    const add = (uid: string, part: string): void => void parts.set(uid, [...(parts.get(uid) ?? []), part])
    for (const { id, metadata, state } of sandboxes) add(metadata.uid, `${id} ${state === 'ready'}`)
    for (const { id, podUid, state } of containers) add(podUid, `${id} ${state === 'running'}`)
    return new Map([...parts].map(([uid, list]) => [uid, list.sort().join()]))
  }

  forget(state: PodState): void {
    for (const { id } of state.containers) this.#ended.delete(id)
  }

  async #statusOf(pod: Pod, listed: RuntimeContainer): Promise<RuntimeContainerStatus | undefined> {
    const known = this.#ended.get(listed.id)
    if (known !== undefined && listed.state === 'exited') return known
    try {
      const status = await this.#options.runtime.containerStatus(listed.id)
      if (status.state !== 'exited') return status
      const message = await this.#terminationMessage(pod, status)
      const ended = message === undefined ? status : { ...status, message }
      this.#ended.set(listed.id, ended)
      return ended
    } catch (error) {
      // Removed since it was listed.
      if (error instanceof RuntimeNotFoundError) return undefined
      throw error
    }
  }

  async #terminationMessage(pod: Pod, status: RuntimeContainerStatus): Promise<string | undefined> {
    const container = rolesOf(pod).find(({ container: { name } }) => name === status.name)?.container
    if (container === undefined || status.startedAtMs === undefined) return undefined
    const written = readStart(this.#options.directories.terminationLog(pod.metadata.uid ?? '', status.name, status.attempt))
    if (written !== '') return written
    return status.exitCode === 0 ? undefined : this.#lastWords(container, status)
  }

  async #lastWords(container: Container, { id }: RuntimeContainerStatus): Promise<string | undefined> {
    if (container.terminationMessagePolicy !== 'FallbackToLogsOnError') return undefined
    const parts: Buffer[] = []
    for await (const { data } of this.#options.runtime.logs(id, { follow: false, timestamps: false, tailLines: logMessageLinesMax })) parts.push(data)
    const text = Buffer.concat(parts).subarray(-logMessageBytesMax).toString()
    return text === '' ? undefined : text
  }
}

function readStart(file: string): string {
  let descriptor: number
  try {
    descriptor = openSync(file, 'r')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return ''
    throw error
  }
  try {
    const buffer = Buffer.alloc(messageBytesMax)
    return buffer.subarray(0, readSync(descriptor, buffer)).toString()
  } finally {
    closeSync(descriptor)
  }
}
