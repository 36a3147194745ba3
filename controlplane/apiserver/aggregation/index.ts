// Aggregation: groups and versions that another API server serves, asked for here. An APIService says which and where
// (apiregistration.k8s.io/v1, kube-aggregator).
import type { Clock, Random } from '../../../api/clock.ts'
import type { Logger } from '../../../api/log.ts'
import { WorkQueue } from '../../../api/work-queue.ts'
import { isStoreError } from '../../store/index.ts'
import { serverUser } from '../bootstrap/objects.ts'
import type { WatchCache } from '../cache/index.ts'
import type { ResourceDescriptor, UserInfo } from '../descriptor.ts'
import type { HttpRequest, Reply, Upstream } from '../http.ts'
import { relay } from '../kubelet-access.ts'
import { equalJson, isRecord, timestamp, valueAt } from '../object.ts'
import type { ApiObject } from '../object.ts'
import type { Outbound } from '../outbound.ts'
import type { Credential } from '../pki/authority.ts'
import type { Registry } from '../registry.ts'
import { StatusError } from '../status.ts'
import type { Writer } from '../write/writer.ts'
import { reconcileLocalServices } from './local.ts'
import { check, identityHeaders, RemoteConnections, remoteSpec } from './remote.ts'
import type { Checked, RemoteSpec, RemoteVersion } from './remote.ts'

export type { RemoteVersion } from './remote.ts'

export interface AggregationOptions {
  readonly cache: WatchCache
  readonly registry: Registry
  readonly writer: Writer
  readonly outbound: Outbound
  readonly credential: Credential
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
}

const resource = 'apiservices.apiregistration.k8s.io'
const bodyBytesMax = 3 * 1024 * 1024
/** How often a server is asked whether it is still there, and one that is not whether it is there again. */
const checkAgainMs = 30_000
const checkAgainSoonMs = 2000
const local = 'local'
/** Of the client's headers, what is between it and us; `x-remote-…` in particular is for us alone to say. */
const keptBack = /^(:.*|authorization|host|impersonate-.*|cookie|connection|keep-alive|transfer-encoding|content-length|upgrade|expect|te|accept-encoding|x-remote-.*)$/

export class Aggregation {
  readonly #options: AggregationOptions
  readonly #connections: RemoteConnections
  readonly #queue: WorkQueue
  readonly #versions = new Map<string, RemoteVersion>()
  #generation = 0
  #release: (() => void)[] = []

  constructor(options: AggregationOptions) {
    const { clock, random, log } = options
    this.#options = options
    this.#connections = new RemoteConnections(options.outbound, options.credential)
    this.#queue = new WorkQueue({
      clock, random,
      reconcile: async (name) => (name === local ? this.#reconcileLocal() : this.#reconcile(name)),
      onError: (error, name) => {
        if (!isStoreError(error, 'closed')) log.warn('an API service could not be followed', { name, error })
      },
      concurrency: 8,
    })
  }

  /** What others serve, the most preferred group and version first. */
  get versions(): readonly RemoteVersion[] {
    return [...this.#versions.values()].toSorted((a, b) => b.groupPriority - a.groupPriority || (a.group < b.group ? -1 : a.group > b.group ? 1 : b.versionPriority - a.versionPriority))
  }

  /** Counts changes of `versions`. */
  get generation(): number {
    return this.#generation
  }

  /** Resolves when what this server serves itself is in the list of API services. */
  async start(): Promise<void> {
    const { cache, registry } = this.#options
    const services = cache.named(resource)
    if (services === undefined) return
    this.#release = [
      registry.listen(() => this.#queue.add(local)),
      services.listen(({ entry, deleted, previous }) => {
        if (deleted) this.#queue.add(local)
        if (remoteSpec(entry.object) !== undefined || (previous !== undefined && remoteSpec(previous.object) !== undefined)) this.#queue.add(entry.name)
      }),
      ...['services', 'endpointslices.discovery.k8s.io'].map((name) => cache.named(name)?.listen(({ entry }) => this.#touch(entry.namespace, entry.object))).filter((release) => release !== undefined),
    ]
    for (const { name, object } of services.list()) if (remoteSpec(object) !== undefined) this.#queue.add(name)
    await this.#reconcileLocal()
  }

  stop(): void {
    for (const release of this.#release) release()
    this.#release = []
    void this.#queue.stop()
    this.#connections.close()
  }

  /** The API service that a path belongs to, if another server answers for it. */
  serviceFor(path: string): ApiObject | undefined {
    const [, group, version] = /^\/apis\/([^/]+)\/([^/]+)/.exec(path) ?? []
    if (group === undefined || version === undefined) return undefined
    const object = this.#options.cache.named(resource)?.get('', `${version}.${group}`)?.object
    return object !== undefined && remoteSpec(object) !== undefined ? object : undefined
  }

  /** Passes a request on, and its answer back as it comes. */
  async pass(service: ApiObject, request: HttpRequest, user: UserInfo): Promise<Reply> {
    const spec = this.#reachable(service)
    const { method, headers, signal } = request
    const body = method === 'GET' || method === 'HEAD' ? undefined : await request.readBody(bodyBytesMax)
    const kept = Object.fromEntries(Object.entries(headers).filter((pair): pair is [string, string] => pair[1] !== undefined && !keptBack.test(pair[0])))
    try {
      return relay(await this.#connections.ask(spec, { method, path: pathOf(request), headers: { ...kept, ...identityHeaders(user) }, signal, ...(body === undefined ? {} : { body }) }))
    } catch (error) {
      throw unavailable(spec, (error as Error).message)
    }
  }

  /** Where a connection that is to be upgraded goes. */
  upstream(service: ApiObject, request: HttpRequest, user: UserInfo): Upstream {
    return this.#connections.upstream(this.#reachable(service), pathOf(request), identityHeaders(user))
  }

  #reachable(service: ApiObject): RemoteSpec {
    const spec = remoteSpec(service) as RemoteSpec
    const available = conditionOf(service)
    if (available?.['status'] !== 'True') throw unavailable(spec, String(available?.['message'] ?? 'it has not been asked yet'))
    return spec
  }

  /** A service or its endpoints changed: whoever stands behind is asked again. */
  #touch(namespace: string, object: ApiObject): void {
    const name = object.metadata.labels?.['kubernetes.io/service-name'] ?? object.metadata.name
    for (const entry of this.#options.cache.named(resource)?.list() ?? []) {
      const service = remoteSpec(entry.object)?.service
      if (service?.namespace === namespace && service.name === name) this.#queue.add(entry.name)
    }
  }

  async #reconcileLocal(): Promise<void> {
    const { cache, registry, writer } = this.#options
    const descriptor = registry.named(resource)
    if (descriptor !== undefined) await reconcileLocalServices({ cache, registry, writer, descriptor })
  }

  async #reconcile(name: string): Promise<void | { readonly requeueAfterMs: number }> {
    const { cache, registry } = this.#options
    const object = cache.named(resource)?.get('', name)?.object
    const spec = object === undefined ? undefined : remoteSpec(object)
    const descriptor = registry.named(resource)
    if (object === undefined || spec === undefined || descriptor === undefined) {
      if (this.#versions.delete(name)) this.#generation++
      return
    }
    const checked = await check(this.#connections, spec)
    this.#learn(name, spec, checked)
    await this.#note(descriptor, name, object, checked)
    return { requeueAfterMs: checked.status === 'True' ? checkAgainMs : checkAgainSoonMs }
  }

  /** What a server that is away said of itself before still holds, but is stale. */
  #learn(name: string, spec: RemoteSpec, { status, found }: Checked): void {
    const { group, version, groupPriorityMinimum, versionPriority } = spec
    const before = this.#versions.get(name)
    const now: RemoteVersion = { resources: [], ...before, ...found, group, version, groupPriority: groupPriorityMinimum, versionPriority, isAvailable: status === 'True' }
    if (before !== undefined && equalJson(before, now)) return
    this.#versions.set(name, now)
    this.#generation++
  }

  async #note(descriptor: ResourceDescriptor, name: string, object: ApiObject, { status, reason, message }: Checked): Promise<void> {
    const { writer, clock } = this.#options
    const present = conditionOf(object)
    if (present?.['status'] === status && present['reason'] === reason && present['message'] === message) return
    const since = present?.['status'] === status ? present['lastTransitionTime'] : timestamp(clock.now())
    const condition = { type: 'Available', status, lastTransitionTime: since, reason, message }
    try {
      await writer.update({ descriptor, namespace: '', name }, { part: 'status', make: (current) => ({ ...current, status: { conditions: [condition] } }) }, { user: serverUser })
    } catch (error) {
      // Gone, or noted by another server in the same moment.
      if (!(error instanceof StatusError && (error.code === 404 || error.code === 409))) throw error
    }
  }
}

function conditionOf(object: ApiObject): Record<string, unknown> | undefined {
  const conditions = valueAt(object, '.status.conditions')
  return Array.isArray(conditions) ? conditions.filter(isRecord).find(({ type }) => type === 'Available') : undefined
}

function pathOf({ path, query }: HttpRequest): string {
  const text = query.toString()
  return text === '' ? path : `${path}?${text}`
}

function unavailable({ group, version }: RemoteSpec, why: string): StatusError {
  return new StatusError(503, 'ServiceUnavailable', `the server is currently unable to handle the request: ${version}.${group}: ${why}`, { retryAfterSeconds: 1 })
}
