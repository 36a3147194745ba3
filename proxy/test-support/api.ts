/** An API server as small as the proxy needs: lists and watches Services, EndpointSlices and Nodes that the test puts in. */
import { Client } from '../../api/client.ts'
import { endpointSlices, ingresses, nodes, resourcePath, secrets, services } from '../../api/resources.ts'
import type { Resource } from '../../api/resources.ts'
import type { ApiRequest, ApiResponse, Transport } from '../../api/transport.ts'
import type { AnyObject, EndpointSlice, Event, KubeObject, Node, Secret, Service } from '../../api/types.ts'

interface Watcher {
  readonly lines: string[]
  wake(): void
}

export class SmallApi {
  readonly events: Event[] = []
  readonly #objects = new Map<string, Map<string, KubeObject>>()
  readonly #watchers = new Map<string, Set<Watcher>>()
  #revision = 1

  readonly client = new Client(this.transport)

  get transport(): Transport {
    return (request) => this.#answer(request)
  }

  putService(service: Service): void {
    this.#put(services, service)
  }

  putSlice(slice: EndpointSlice): void {
    this.#put(endpointSlices, slice)
  }

  putNode(node: Node): void {
    this.#put(nodes, node)
  }

  putIngress(ingress: AnyObject): void {
    this.#put(ingresses, ingress)
  }

  putSecret(secret: Secret): void {
    this.#put(secrets, secret)
  }

  deleteService(name: string): void {
    this.#delete(services, `default/${name}`)
  }

  deleteSlice(name: string): void {
    this.#delete(endpointSlices, `default/${name}`)
  }

  #put(resource: Resource<KubeObject>, object: KubeObject): void {
    const path = resourcePath(resource)
    const objects = this.#objects.get(path) ?? new Map<string, KubeObject>()
    this.#objects.set(path, objects)
    const key = `${object.metadata.namespace ?? ''}/${object.metadata.name ?? ''}`
    const stored = { ...object, metadata: { ...object.metadata, resourceVersion: String(++this.#revision) } }
    this.#tell(path, objects.has(key) ? 'MODIFIED' : 'ADDED', stored)
    objects.set(key, stored)
  }

  #delete(resource: Resource<KubeObject>, key: string): void {
    const path = resourcePath(resource)
    const object = this.#objects.get(path)?.get(key)
    if (object === undefined) return
    this.#objects.get(path)?.delete(key)
    this.#tell(path, 'DELETED', { ...object, metadata: { ...object.metadata, resourceVersion: String(++this.#revision) } })
  }

  #tell(path: string, type: string, object: KubeObject): void {
    for (const watcher of this.#watchers.get(path) ?? []) {
      watcher.lines.push(`${JSON.stringify({ type, object })}\n`)
      watcher.wake()
    }
  }

  #answer({ method, path, body, signal }: ApiRequest): Promise<ApiResponse> {
    const url = new URL(path, 'http://api')
    if (method !== 'GET') {
      if (url.pathname.endsWith('/status')) this.#put(ingresses, JSON.parse(String(body)) as AnyObject)
      if (method === 'POST') this.events.push(JSON.parse(String(body)) as Event)
      return Promise.resolve(json(200, JSON.parse(String(body ?? '{}'))))
    }
    const [, named, collection = '', name] = /^(\/(?:api|apis)\/.*?)(?:namespaces\/[^/]+\/)?(services|endpointslices|nodes|ingresses|secrets)(?:\/([^/]+))?$/.exec(url.pathname)?.slice(0) ?? []
    const objects = this.#objects.get(`${named ?? ''}${collection}`) ?? new Map<string, KubeObject>()
    if (name !== undefined) {
      const object = [...objects.values()].find(({ metadata }) => metadata.name === name)
      return Promise.resolve(object === undefined ? json(404, { kind: 'Status', code: 404, reason: 'NotFound', message: `${collection} "${name}" not found` }) : json(200, object))
    }
    if (url.searchParams.has('watch')) return Promise.resolve({ status: 200, headers: {}, body: this.#stream(`${named ?? ''}${collection}`, signal) })
    // In pages, as a real one does; what changes meanwhile comes by the watch.
    const [from, limit] = ['continue', 'limit'].map((name) => Number(url.searchParams.get(name) ?? 0)) as [number, number]
    const to = limit > 0 ? from + limit : objects.size
    return Promise.resolve(json(200, { metadata: { resourceVersion: String(this.#revision), ...(to < objects.size ? { continue: String(to) } : {}) }, items: [...objects.values()].slice(from, to) }))
  }

  async *#stream(path: string, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array> {
    let wake = (): void => undefined
    const watcher: Watcher = { lines: [], wake: () => wake() }
    const watchers = this.#watchers.get(path) ?? new Set<Watcher>()
    this.#watchers.set(path, watchers.add(watcher))
    let ended = false
    signal?.addEventListener('abort', () => {
      ended = true
      wake()
    })
    for (;;) {
      if (ended) break
      const line = watcher.lines.shift()
      if (line === undefined) await new Promise<void>((resolve) => (wake = resolve))
      else yield Buffer.from(line)
    }
    watchers.delete(watcher)
  }
}

function json(status: number, value: unknown): ApiResponse {
  return { status, headers: {}, body: (async function* () { yield Buffer.from(JSON.stringify(value)) })() }
}
