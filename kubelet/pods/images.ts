/** Images for containers: whether they are here, and pulling them by their policy, with back-off. */
import type { Clock } from '../../api/clock.ts'
import type { EventRecorder } from '../../api/events.ts'
import type { Container, Pod, Secret } from '../../api/types.ts'
import { eventTarget } from '../options.ts'
import type { ContainerRuntime, ImageStatus, RegistryCredentials } from '../runtime/runtime.ts'
import { Backoff } from './backoff.ts'
import type { Hold } from './hold.ts'

export interface ImagesOptions {
  readonly runtime: ContainerRuntime
  readonly events: EventRecorder
  readonly clock: Clock
  readonly secret: (namespace: string, name: string) => Secret | undefined
  /** Told when a pull that a pod waits for has ended. */
  readonly changed: (podUid: string) => void
}

interface Failure {
  readonly message: string
  readonly atMs: number
  told: boolean
}

/** An image that was found stays found this long. */
const knownMs = 60_000

export type ImagePolicy = NonNullable<Container['imagePullPolicy']>

/** The given policy; or `Always` for the tag `latest`, which is also what no tag means. */
export function policyOf({ image = '', imagePullPolicy }: Container): ImagePolicy {
  if (imagePullPolicy !== undefined) return imagePullPolicy
  const tag = image.includes('@') ? 'digest' : (/:([^/:]+)$/.exec(image)?.[1] ?? 'latest')
  return tag === 'latest' ? 'Always' : 'IfNotPresent'
}

/** Logins from the pod's image pull secrets, for the registry that the image is at. */
export function credentialsFor(image: string, pullSecrets: readonly Secret[]): RegistryCredentials[] {
  const first = image.split('/')[0] ?? ''
  const registry = image.includes('/') && /[.:]|^localhost$/.test(first) ? first : 'docker.io'
  return pullSecrets.flatMap(({ data }) => {
    const text = data?.['.dockerconfigjson']
    if (text === undefined) return []
    const { auths = {} } = JSON.parse(Buffer.from(text, 'base64').toString()) as { auths?: Record<string, { username?: string; password?: string; auth?: string }> }
    return Object.entries(auths).flatMap(([server, login]): RegistryCredentials[] => {
      const host = server.replace(/^https?:\/\//, '').split('/')[0] ?? ''
      if (host !== registry && !(registry === 'docker.io' && host === 'index.docker.io')) return []
      const [username = '', ...password] = login.auth === undefined ? [login.username ?? '', login.password ?? ''] : Buffer.from(login.auth, 'base64').toString().split(':')
      return [{ username, password: password.join(':'), serverAddress: server }]
    })
  })
}

export class Images {
  readonly #options: ImagesOptions
  readonly #known = new Map<string, { readonly status: ImageStatus; readonly atMs: number }>()
  /** Pulls that run, by pod and image. */
  readonly #pulling = new Map<string, AbortController>()
  readonly #failures = new Map<string, Failure>()
  /** Containers whose image has been pulled for this attempt. */
  readonly #pulled = new Set<string>()
  readonly #backoff: Backoff

  constructor(options: ImagesOptions) {
    this.#options = options
    this.#backoff = new Backoff(options.clock)
  }

  /** The image of a container that is about to start, or what it has to wait for; a pull is begun, and its end told. */
  async ensure(pod: Pod, container: Container, attempt: number): Promise<ImageStatus | Hold> {
    const { events } = this.#options
    const { image = '' } = container
    const { uid = '' } = pod.metadata
    const policy = policyOf(container)
    const status = await this.#lookUp(image)
    const fresh = this.#pulled.has(`${uid}/${container.name}/${attempt}`)
    if (status !== undefined && (fresh || !mustPull(policy, status))) {
      if (!fresh) events.event(eventTarget(pod, container.name), 'Normal', 'Pulled', `Container image "${image}" already present on machine`)
      return status
    }
    if (policy === 'Never') {
      const message = `Container image "${image}" is not present with pull policy of Never`
      events.event(eventTarget(pod, container.name), 'Warning', 'ErrImageNeverPull', message)
      return { reason: 'ErrImageNeverPull', message, retryInMs: 10_000 }
    }
    return this.#pull(pod, container, attempt)
  }

  /** An image that the engine says it lacks is looked up anew. */
  invalidate(image: string): void {
    this.#known.delete(image)
  }

  /** Ends the pulls of a pod that is going away. */
  cancel(uid: string): void {
    for (const [key, abort] of this.#pulling) if (key.startsWith(`${uid}/`)) abort.abort(new Error('the pod is gone'))
    for (const key of this.#failures.keys()) if (key.startsWith(`${uid}/`)) this.#failures.delete(key)
    for (const key of this.#pulled) if (key.startsWith(`${uid}/`)) this.#pulled.delete(key)
    this.#backoff.forget(`${uid}/`)
  }

  async #lookUp(image: string): Promise<ImageStatus | undefined> {
    const known = this.#known.get(image)
    const now = this.#options.clock.monotonicMs()
    if (known !== undefined && now - known.atMs < knownMs) return known.status
    const status = await this.#options.runtime.imageStatus(image)
    if (status === undefined) this.#known.delete(image)
    else this.#known.set(image, { status, atMs: now })
    return status
  }

  #pull(pod: Pod, container: Container, attempt: number): Hold {
    const { events, clock } = this.#options
    const { image = '', name } = container
    const key = `${pod.metadata.uid}/${image}`
    const failure = this.#failures.get(key)
    if (failure !== undefined) {
      const retryInMs = this.#backoff.remainingMs(key, failure.atMs)
      if (!failure.told) {
        failure.told = true
        return { reason: 'ErrImagePull', message: failure.message, retryInMs: Math.min(1000, retryInMs) }
      }
      if (retryInMs > 0) {
        events.event(eventTarget(pod, name), 'Normal', 'BackOff', `Back-off pulling image "${image}"`)
        return { reason: 'ImagePullBackOff', message: `Back-off pulling image "${image}": ${failure.message}`, retryInMs }
      }
      this.#failures.delete(key)
    }
    if (!this.#pulling.has(key)) {
      events.event(eventTarget(pod, name), 'Normal', 'Pulling', `Pulling image "${image}"`)
      const abort = new AbortController()
      this.#pulling.set(key, abort)
      void this.#finish(pod, container, attempt, key, clock.monotonicMs(), abort.signal)
    }
    return { reason: 'ContainerCreating', message: '' }
  }

  async #finish(pod: Pod, { image = '', name }: Container, attempt: number, key: string, beganMs: number, signal: AbortSignal): Promise<void> {
    const { runtime, events, clock, secret, changed } = this.#options
    const { uid = '', namespace = '' } = pod.metadata
    try {
      const pullSecrets = (pod.spec.imagePullSecrets ?? []).flatMap((reference) => secret(namespace, reference.name) ?? [])
      await runtime.pullImage(image, credentialsFor(image, pullSecrets), signal)
      this.#known.delete(image)
      this.#pulled.add(`${uid}/${name}/${attempt}`)
      events.event(eventTarget(pod, name), 'Normal', 'Pulled', `Successfully pulled image "${image}" in ${Math.round(clock.monotonicMs() - beganMs)}ms`)
    } catch (error) {
      if (!signal.aborted) {
        const { message } = error as Error
        const atMs = clock.now()
        this.#failures.set(key, { message, atMs, told: false })
        this.#backoff.next(key, atMs)
        events.event(eventTarget(pod, name), 'Warning', 'Failed', `Failed to pull image "${image}": ${message}`)
        events.event(eventTarget(pod, name), 'Warning', 'Failed', 'Error: ErrImagePull')
      }
    } finally {
      this.#pulling.delete(key)
      changed(uid)
    }
  }
}

/** An image that came from no registry (built in, loaded or imported) can be renewed from none: it is used as it is, also by `Always`. */
function mustPull(policy: ImagePolicy, { repoDigests }: ImageStatus): boolean {
  return policy === 'Always' && repoDigests.length > 0
}
