// /openapi/v3 and /openapi/v2: the schemas by which kubectl explains, validates and merges. Documents are made when they
// are first asked for, and named by their hash, so that clients keep them.
import { createHash } from 'node:crypto'
import type { HttpRequest, Reply } from '../http.ts'
import { apiVersionOf } from '../object.ts'
import type { Registry } from '../registry.ts'
import { encodeOpenApiV2, openApiV2, openApiV3 } from '../schema/index.ts'

interface Document {
  readonly type: string
  readonly bytes: Buffer
  readonly hash: string
}

const json = 'application/json'
const protobuf = 'application/com.github.proto-openapi.spec.v2.v1.0+protobuf'

export class OpenApi {
  readonly #registry: Registry
  readonly #documents = new Map<string, Document>()
  #generation = 0

  constructor(registry: Registry) {
    this.#registry = registry
  }

  /** Answers paths below /openapi; undefined for others. */
  answer({ path, headers, query }: HttpRequest): Reply | undefined {
    if (!path.startsWith('/openapi/')) return undefined
    this.#forgetStale()
    if (path === '/openapi/v2') return this.#swagger(headers)
    if (path === '/openapi/v3') return reply(this.#index(), headers['if-none-match'], false)
    const [, root] = /^\/openapi\/v3\/(.+?)\/?$/.exec(path) ?? []
    const place = root === undefined ? undefined : this.#roots().get(root)
    if (root === undefined || place === undefined) return undefined
    return reply(this.#groupVersion(root, place), headers['if-none-match'], query.get('hash') !== null)
  }

  /** Custom resources come and go; what describes the built-in kinds of a group stays. */
  #forgetStale(): void {
    if (this.#generation === this.#registry.generation) return
    this.#generation = this.#registry.generation
    const lasting = new Set([...this.#roots()].filter(([, { group, version }]) => this.#registry.ofGroupVersion(group, version).every(({ schema }) => schema === undefined)).map(([root]) => root))
    for (const name of this.#documents.keys()) if (!lasting.has(name)) this.#documents.delete(name)
  }

  /** Version 2, also in the encoding that kubectl insists on. */
  #swagger(headers: HttpRequest['headers']): Reply {
    const make = (): Record<string, unknown> => openApiV2(this.#registry.all)
    const isProtobuf = headers.accept?.includes('proto-openapi.spec.v2') === true
    const document = isProtobuf ? this.#encoded('v2 protobuf', protobuf, () => encodeOpenApiV2(make())) : this.#document('v2', make)
    return reply(document, headers['if-none-match'], false)
  }

  /** Where each group and version is described: `api/v1`, `apis/apps/v1`. */
  #roots(): Map<string, { readonly group: string; readonly version: string }> {
    const roots = new Map<string, { readonly group: string; readonly version: string }>()
    for (const [group, versions] of this.#registry.groups()) {
      for (const version of versions) roots.set(group === '' ? `api/${version}` : `apis/${apiVersionOf({ group, version })}`, { group, version })
    }
    return roots
  }

  #groupVersion(root: string, place: { readonly group: string; readonly version: string }): Document {
    return this.#document(root, () => openApiV3(place, this.#registry.ofGroupVersion(place.group, place.version)))
  }

  /** The index names every document by its hash, which takes making them all: once. */
  #index(): Document {
    return this.#document('v3', () => {
      const entries = [...this.#roots()].map(([root, place]) => [root, { serverRelativeURL: `/openapi/v3/${root}?hash=${this.#groupVersion(root, place).hash}` }])
      return { paths: Object.fromEntries(entries) }
    })
  }

  #document(name: string, make: () => Record<string, unknown>): Document {
    return this.#encoded(name, json, () => Buffer.from(JSON.stringify(make())))
  }

  #encoded(name: string, type: string, encode: () => Buffer): Document {
    const known = this.#documents.get(name)
    if (known !== undefined) return known
    const bytes = encode()
    const document = { type, bytes, hash: createHash('sha256').update(bytes).digest('hex').toUpperCase() }
    this.#documents.set(name, document)
    return document
  }
}

function reply({ type, bytes, hash }: Document, seen: string | undefined, isNamedByHash: boolean): Reply {
  const etag = `"${hash}"`
  const headers = { etag, 'content-type': type, vary: 'Accept', 'cache-control': isNamedByHash ? 'public, max-age=31536000, immutable' : 'no-cache, private' }
  return seen === etag ? { status: 304, headers, body: [] } : { status: 200, headers, body: [bytes] }
}
