/** Finds what a request names: a pod of this node, its containers in the engine. */
import type { Container, ContainerStatus, Pod } from '../../api/types.ts'
import { rolesOf } from '../pods/plan.ts'
import type { ContainerRuntime, RuntimeContainer, Sandbox } from '../runtime/runtime.ts'

export interface LookupOptions {
  readonly runtime: ContainerRuntime
  readonly pod: (namespace: string, name: string) => Pod | undefined
}

/** What is said to a client, as a Status with this code. */
export class RequestError extends Error {
  override readonly name = 'RequestError'
  readonly code: number
  readonly reason: string

  constructor(code: number, reason: string, message: string) {
    super(message)
    this.code = code
    this.reason = reason
  }
}

function statusOf(pod: Pod, name: string): ContainerStatus | undefined {
  return [...(pod.status?.containerStatuses ?? []), ...(pod.status?.initContainerStatuses ?? [])].find((status) => status.name === name)
}

export class PodLookup {
  readonly #options: LookupOptions

  constructor(options: LookupOptions) {
    this.#options = options
  }

  pod(namespace: string, name: string): Pod {
    const pod = this.#options.pod(namespace, name)
    if (pod === undefined) throw new RequestError(404, 'NotFound', `pod "${name}" is not on this node`)
    return pod
  }

  container(pod: Pod, name: string): Container {
    const found = rolesOf(pod).find(({ container }) => container.name === name)
    if (found === undefined) throw new RequestError(400, 'BadRequest', `container ${name} is not valid for pod ${pod.metadata.name}`)
    return found.container
  }

  /** The container that runs now. */
  async running(pod: Pod, name: string): Promise<RuntimeContainer> {
    this.container(pod, name)
    const found = (await this.#attempts(pod, name)).find(({ state }) => state === 'running')
    if (found === undefined) throw new RequestError(400, 'BadRequest', `container ${name} of pod ${pod.metadata.name} is not running`)
    return found
  }

  /** The container whose output is asked for: the newest that was started, or the one before it. */
  async withLogs(pod: Pod, name: string, previous: boolean): Promise<RuntimeContainer> {
    this.container(pod, name)
    const started = (await this.#attempts(pod, name)).filter(({ state }) => state !== 'created')
    const found = started[previous ? 1 : 0]
    if (found !== undefined) return found
    if (previous) throw new RequestError(400, 'BadRequest', `previous terminated container "${name}" in pod "${pod.metadata.name}" not found`)
    const reason = statusOf(pod, name)?.state?.waiting?.reason ?? 'ContainerCreating'
    throw new RequestError(400, 'BadRequest', `container "${name}" in pod "${pod.metadata.name}" is waiting to start: ${reason}`)
  }

  async sandbox(pod: Pod): Promise<Sandbox> {
    const sandboxes = await this.#options.runtime.listSandboxes(pod.metadata.uid ?? '')
    const found = sandboxes.find(({ state }) => state === 'ready')
    if (found === undefined) throw new RequestError(400, 'BadRequest', `pod ${pod.metadata.name} is not running`)
    return found
  }

  async #attempts(pod: Pod, name: string): Promise<RuntimeContainer[]> {
    const containers = await this.#options.runtime.listContainers(pod.metadata.uid ?? '')
    return containers.filter((container) => container.name === name).sort((a, b) => b.attempt - a.attempt || b.createdAtMs - a.createdAtMs)
  }
}
