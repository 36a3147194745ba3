/** The typed client: one method per verb, over whatever transport it is given. */
import { ApiError } from './errors.ts'
import { resourcePath } from './resources.ts'
import type { Resource } from './resources.ts'
import type { ApiRequest, ApiResponse, Transport } from './transport.ts'
import type { KubeObject, List, Status, WatchEvent } from './types.ts'

export * from './errors.ts'

export interface ObjectKey {
  readonly namespace?: string | undefined
  readonly name: string
}

export interface ListOptions {
  readonly namespace?: string | undefined
  readonly labelSelector?: string
  readonly fieldSelector?: string
  readonly resourceVersion?: string
  readonly resourceVersionMatch?: 'Exact' | 'NotOlderThan'
  readonly limit?: number
  readonly continue?: string
  readonly signal?: AbortSignal
}

export interface WatchOptions {
  readonly namespace?: string | undefined
  readonly labelSelector?: string
  readonly fieldSelector?: string
  readonly resourceVersion?: string
  readonly allowWatchBookmarks?: boolean
  readonly timeoutSeconds?: number
  readonly signal?: AbortSignal
}

export interface WriteOptions {
  readonly fieldManager?: string
  readonly dryRun?: boolean
  readonly signal?: AbortSignal
}

export interface PatchOptions extends WriteOptions {
  readonly type: 'merge' | 'strategic' | 'json' | 'apply'
  /** Takes over fields of other managers; only with `apply`. */
  readonly force?: boolean
}

export interface DeleteRequestOptions {
  readonly gracePeriodSeconds?: number
  readonly propagationPolicy?: 'Orphan' | 'Background' | 'Foreground'
  readonly preconditions?: { readonly uid?: string; readonly resourceVersion?: string }
  readonly signal?: AbortSignal
}

const patchTypes = {
  merge: 'application/merge-patch+json',
  strategic: 'application/strategic-merge-patch+json',
  json: 'application/json-patch+json',
  apply: 'application/apply-patch+yaml',
} as const

/** No answer of an API server that we read whole is larger than this. */
const bodyBytesMax = 512 * 1024 * 1024

/** Speaks to one API server. Every method rejects with an `ApiError`, or with the transport's error when no answer came. */
export class Client {
  readonly #transport: Transport

  constructor(transport: Transport) {
    this.#transport = transport
  }

  get<T extends KubeObject>(resource: Resource<T>, key: ObjectKey, options: { readonly signal?: AbortSignal; readonly resourceVersion?: string } = {}): Promise<T> {
    const query = queryOf({ resourceVersion: options.resourceVersion })
    return this.#json<T>({ method: 'GET', path: resourcePath(resource, key) + query, ...signalOf(options) }, `get ${nameOf(resource, key)}`)
  }

  list<T extends KubeObject>(resource: Resource<T>, options: ListOptions = {}): Promise<List<T>> {
    const { namespace, signal: _signal, ...query } = options
    return this.#json<List<T>>({ method: 'GET', path: resourcePath(resource, { namespace }) + queryOf(query), ...signalOf(options) }, `list ${resource.plural}`)
  }

  /** Events as they come. Ends when the server ends the watch; throws an `ApiError` for an ERROR event (410 when the revision is gone). */
  async *watch<T extends KubeObject>(resource: Resource<T>, options: WatchOptions = {}): AsyncGenerator<WatchEvent<T>> {
    const { namespace, signal: _signal, ...query } = options
    const doing = `watch ${resource.plural}`
    const response = await this.#transport({ method: 'GET', path: resourcePath(resource, { namespace }) + queryOf({ watch: true, ...query }), headers: accept, ...signalOf(options) })
    if (response.status !== 200) throw await refusal(response, doing)
    for await (const line of linesOf(response.body)) {
      const event = JSON.parse(line) as WatchEvent<T> | { type: 'ERROR'; object: Status }
      if (event.type === 'ERROR') throw new ApiError(event.object.code, event.object, doing)
      yield event
    }
  }

  create<T extends KubeObject>(resource: Resource<T>, object: T, options: WriteOptions = {}): Promise<T> {
    const { namespace, name, generateName } = object.metadata
    return this.#write('POST', resourcePath(resource, { namespace }), object, options, `create ${nameOf(resource, { namespace, name: name ?? `${generateName ?? ''}…` })}`)
  }

  /** Replaces an object; with a resourceVersion in it, only if it is still that one. */
  update<T extends KubeObject>(resource: Resource<T>, object: T, options: WriteOptions = {}): Promise<T> {
    const key = keyOf(object)
    return this.#write('PUT', resourcePath(resource, key), object, options, `update ${nameOf(resource, key)}`)
  }

  updateStatus<T extends KubeObject>(resource: Resource<T>, object: T, options: WriteOptions = {}): Promise<T> {
    const key = keyOf(object)
    return this.#write('PUT', resourcePath(resource, { ...key, subresource: 'status' }), object, options, `update status of ${nameOf(resource, key)}`)
  }

  patch<T extends KubeObject>(resource: Resource<T>, key: ObjectKey & { readonly subresource?: string }, patch: unknown, options: PatchOptions): Promise<T> {
    const path = resourcePath(resource, key) + queryOf({ fieldManager: options.fieldManager, force: options.force, dryRun: options.dryRun === true ? 'All' : undefined })
    const request = { method: 'PATCH', path, headers: { ...accept, 'content-type': patchTypes[options.type] }, body: JSON.stringify(patch), ...signalOf(options) }
    return this.#json<T>(request, `patch ${nameOf(resource, key)}`)
  }

  /** Resolves to the object as it was, or, where it goes later, as it is now. */
  async delete<T extends KubeObject>(resource: Resource<T>, key: ObjectKey, options: DeleteRequestOptions = {}): Promise<T | Status> {
    const { signal: _signal, ...body } = options
    const request = { method: 'DELETE', path: resourcePath(resource, key), headers: jsonHeaders, body: JSON.stringify({ kind: 'DeleteOptions', apiVersion: 'v1', ...body }), ...signalOf(options) }
    return this.#json<T | Status>(request, `delete ${nameOf(resource, key)}`)
  }

  /** POST to a subresource: `binding`, `token`, `eviction`. */
  createSubresource(resource: Resource<KubeObject>, key: ObjectKey & { readonly subresource: string }, body: unknown, options: WriteOptions = {}): Promise<unknown> {
    return this.#write('POST', resourcePath(resource, key), body, options, `create ${key.subresource} of ${nameOf(resource, key)}`)
  }

  /** PUT to a subresource: `approval`, `finalize`, `scale`. */
  updateSubresource(resource: Resource<KubeObject>, key: ObjectKey & { readonly subresource: string }, body: unknown, options: WriteOptions = {}): Promise<unknown> {
    return this.#write('PUT', resourcePath(resource, key), body, options, `update ${key.subresource} of ${nameOf(resource, key)}`)
  }

  /** Any path, such as `/apis` or a kind without a type here; the decoded JSON. */
  raw(request: ApiRequest): Promise<unknown> {
    return this.#json(request, `${request.method} ${request.path}`)
  }

  #write<T>(method: string, path: string, body: unknown, options: WriteOptions, doing: string): Promise<T> {
    const query = queryOf({ fieldManager: options.fieldManager, dryRun: options.dryRun === true ? 'All' : undefined })
    return this.#json<T>({ method, path: path + query, headers: jsonHeaders, body: JSON.stringify(body), ...signalOf(options) }, doing)
  }

  async #json<T>(request: ApiRequest, doing: string): Promise<T> {
    const response = await this.#transport({ headers: accept, ...request })
    if (response.status < 200 || response.status > 299) throw await refusal(response, doing)
    return JSON.parse((await bytesOf(response.body, bodyBytesMax)).toString()) as T
  }
}

const accept = { accept: 'application/json' }
const jsonHeaders = { ...accept, 'content-type': 'application/json' }

function signalOf({ signal }: { readonly signal?: AbortSignal }): { signal?: AbortSignal } {
  return signal === undefined ? {} : { signal }
}

function keyOf(object: KubeObject): { namespace?: string | undefined; name: string } {
  return { namespace: object.metadata.namespace, name: object.metadata.name ?? '' }
}

function nameOf(resource: Resource<KubeObject>, { namespace, name }: ObjectKey): string {
  return `${resource.plural} ${namespace === undefined || namespace === '' ? '' : `${namespace}/`}${name}`
}

function queryOf(values: Readonly<Record<string, string | number | boolean | undefined>>): string {
  const query = new URLSearchParams()
  for (const [name, value] of Object.entries(values)) if (value !== undefined && value !== '') query.set(name, String(value))
  const text = query.toString()
  return text === '' ? '' : `?${text}`
}

/** Reads a body whole, up to a bound. */
export async function bytesOf(body: AsyncIterable<Uint8Array>, bytesMax: number): Promise<Buffer> {
  const parts: Uint8Array[] = []
  let length = 0
  for await (const part of body) {
    length += part.length
    if (length > bytesMax) throw new Error(`Cannot read the answer: it is larger than ${bytesMax} bytes`)
    parts.push(part)
  }
  return Buffer.concat(parts)
}

async function refusal(response: ApiResponse, doing: string): Promise<ApiError> {
  const text = (await bytesOf(response.body, 4 * 1024 * 1024)).toString()
  const retryAfter = Number(response.headers['retry-after'])
  return new ApiError(response.status, statusOf(text), doing, Number.isFinite(retryAfter) && retryAfter > 0 ? retryAfter * 1000 : undefined)
}

function statusOf(text: string): Partial<Status> | undefined {
  try {
    const body: unknown = JSON.parse(text)
    return typeof body === 'object' && body !== null ? body : undefined
  } catch {
    // A proxy's page or plain text: its first line says more than nothing.
    const line = text.trim().split('\n', 1)[0] ?? ''
    return line === '' ? undefined : { message: line.slice(0, 300) }
  }
}

async function* linesOf(body: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  let parts: Uint8Array[] = []
  for await (const part of body) {
    let start = 0
    for (let end = part.indexOf(10, start); end >= 0; end = part.indexOf(10, start)) {
      parts.push(part.subarray(start, end))
      const line = Buffer.concat(parts).toString()
      parts = []
      start = end + 1
      if (line !== '') yield line
    }
    if (start < part.length) parts.push(part.subarray(start))
  }
}
