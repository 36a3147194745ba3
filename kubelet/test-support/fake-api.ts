/** An API server as far as a kubelet speaks to one: objects in memory behind a `Transport`, with watches, status patches and graceful deletion. */
import { randomUUID } from 'node:crypto'
import { strategicMerge } from '../../controlplane/apiserver/patch/strategic.ts'
import type { ApiRequest, ApiResponse, Transport } from '../../api/transport.ts'
import type { KubeObject, Pod, WatchEvent } from '../../api/types.ts'

const kinds: Readonly<Record<string, string>> = {
  pods: 'Pod', nodes: 'Node', services: 'Service', configmaps: 'ConfigMap', secrets: 'Secret', events: 'Event', leases: 'Lease',
}

interface Address {
  readonly plural: string
  readonly namespace: string
  readonly name: string | undefined
  readonly subresource: string | undefined
  readonly query: URLSearchParams
}

interface Watcher {
  readonly address: Address
  readonly send: (line: string) => void
}

function addressOf(path: string): Address {
  const url = new URL(path, 'http://fake')
  const parts = url.pathname.split('/').slice(url.pathname.startsWith('/api/') ? 3 : 4)
  const namespace = parts[0] === 'namespaces' ? (parts.splice(0, 2)[1] ?? '') : ''
  const [plural = '', name, subresource] = parts
  return { plural, namespace, name, subresource, query: url.searchParams }
}

export class FakeApi {
  readonly #objects = new Map<string, KubeObject>()
  readonly #watchers = new Set<Watcher>()
  #revision = 100
  /** While true, nobody is reached. */
  isAway = false
  readonly requests: string[] = []

  readonly transport: Transport = async (request) => {
    if (this.isAway) throw Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' })
    return this.#answer(request)
  }

  put<T extends KubeObject>(plural: string, object: T): T {
    const { namespace = '', name = '' } = object.metadata
    const key = `${plural}/${namespace}/${name}`
    const before = this.#objects.get(key)
    this.#revision += 1
    const stored: T = {
      kind: kinds[plural] ?? '', apiVersion: 'v1', ...object,
      metadata: { uid: before?.metadata.uid ?? randomUUID(), creationTimestamp: new Date().toISOString(), ...object.metadata, resourceVersion: String(this.#revision) },
    }
    this.#objects.set(key, stored)
    this.#tell({ type: before === undefined ? 'ADDED' : 'MODIFIED', object: stored }, plural)
    return stored
  }

  get<T extends KubeObject>(plural: string, namespace: string, name: string): T | undefined {
    return this.#objects.get(`${plural}/${namespace}/${name}`) as T | undefined
  }

  list<T extends KubeObject>(plural: string): T[] {
    return [...this.#objects].filter(([key]) => key.startsWith(`${plural}/`)).map(([, object]) => object as T)
  }

  pod(name: string): Pod | undefined {
    return this.get<Pod>('pods', 'default', name)
  }

  /** As `kubectl delete` would; a grace period of 0 takes it away at once. */
  delete(plural: string, namespace: string, name: string, graceSeconds = 0): void {
    const key = `${plural}/${namespace}/${name}`
    const object = this.#objects.get(key)
    if (object === undefined) return
    if (graceSeconds > 0) {
      this.put(plural, { ...object, metadata: { ...object.metadata, deletionTimestamp: new Date(Date.now() + graceSeconds * 1000).toISOString(), deletionGracePeriodSeconds: graceSeconds } })
      return
    }
    this.#objects.delete(key)
    this.#revision += 1
    this.#tell({ type: 'DELETED', object: { ...object, metadata: { ...object.metadata, resourceVersion: String(this.#revision) } } }, plural)
  }

  #tell(event: WatchEvent<KubeObject>, plural: string): void {
    for (const { address, send } of this.#watchers) if (address.plural === plural && matches(address, event.object)) send(`${JSON.stringify(event)}\n`)
  }

  #answer(request: ApiRequest): ApiResponse {
    const { method, path, body } = request
    this.requests.push(`${method} ${path}`)
    const address = addressOf(path)
    if (method === 'GET' && address.query.has('watch')) return this.#watch(address, request.signal)
    const { plural, namespace, name, subresource } = address
    const json = body === undefined ? {} : (JSON.parse(String(body)) as Record<string, unknown>)
    if (method === 'GET' && name === undefined) {
      return answer(200, { metadata: { resourceVersion: String(this.#revision) }, items: this.list(plural).filter((object) => matches(address, object)) })
    }
    if (method === 'POST' && subresource === 'token') return answer(201, { status: { token: `token-of-${name}`, expirationTimestamp: new Date(Date.now() + 3_600_000).toISOString() } })
    if (method === 'POST') return answer(201, this.put(plural, json as unknown as KubeObject))
    const object = this.get(plural, namespace, name ?? '')
    if (object === undefined) return answer(404, { kind: 'Status', status: 'Failure', reason: 'NotFound', code: 404, message: `${plural} "${name}" not found` })
    if (method === 'PUT') return answer(200, this.put(plural, json as unknown as KubeObject))
    if (method === 'PATCH') return answer(200, this.put(plural, strategicMerge(kinds[plural] ?? '', object, json) as KubeObject))
    if (method === 'DELETE') this.delete(plural, namespace, name ?? '', Number(json['gracePeriodSeconds'] ?? 0))
    return answer(200, object)
  }

  #watch(address: Address, signal: AbortSignal | undefined): ApiResponse {
    const lines: Buffer[] = []
    let wake = (): void => {}
    const watcher: Watcher = {
      address,
      send: (line) => {
        lines.push(Buffer.from(line))
        wake()
      },
    }
    this.#watchers.add(watcher)
    signal?.addEventListener('abort', () => wake(), { once: true })
    const watchers = this.#watchers
    const body = (async function* stream(): AsyncGenerator<Uint8Array> {
      try {
        for (;;) {
          if (signal?.aborted === true) return
          const line = lines.shift()
          if (line !== undefined) yield line
          else await new Promise<void>((resolve) => (wake = resolve))
        }
      } finally {
        watchers.delete(watcher)
      }
    })()
    return { status: 200, headers: {}, body }
  }
}

function matches({ namespace, query }: Address, object: KubeObject): boolean {
  if (namespace !== '' && object.metadata.namespace !== namespace) return false
  const [field, value] = (query.get('fieldSelector') ?? '').split('=')
  if (field === 'metadata.name') return object.metadata.name === value
  return field !== 'spec.nodeName' || (object as Pod).spec.nodeName === value
}

function answer(status: number, body: unknown): ApiResponse {
  return { status, headers: {}, body: [Buffer.from(JSON.stringify(body))] as unknown as AsyncIterable<Uint8Array> }
}
