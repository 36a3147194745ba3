// /openapi/v3 and /openapi/v2: the schemas by which kubectl explains, validates and merges. Documents are made when they
// are first asked for, and named by their hash, so that clients keep them.
import { createHash } from 'node:crypto'
import type { RemoteVersion } from '../aggregation/index.ts'
import type { HttpRequest, Reply } from '../http.ts'
import { apiVersionOf, isRecord } from '../object.ts'
import type { Registry } from '../registry.ts'
import { encodeOpenApiV2, openApiV2, openApiV3 } from '../schema/index.ts'

/** A group and version, with its document if another server made it. */
interface Place {
  readonly group: string
  readonly version: string
  readonly remote?: Record<string, unknown>
}

interface Document {
  readonly type: string
  readonly bytes: Buffer
  readonly hash: string
}

const json = 'application/json'
const protobuf = 'application/com.github.proto-openapi.spec.v2.v1.0+protobuf'

export class OpenApi {
  readonly #registry: Registry
  readonly #remote: { readonly versions: readonly RemoteVersion[]; readonly generation: number }
  readonly #documents = new Map<string, Document>()
  #generation = 0
  #remoteGeneration = 0

  /** What other API servers say of themselves is part of the documents. */
  constructor(registry: Registry, remote: { readonly versions: readonly RemoteVersion[]; readonly generation: number }) {
    this.#registry = registry
    this.#remote = remote
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
    if (this.#generation === this.#registry.generation && this.#remoteGeneration === this.#remote.generation) return
    this.#generation = this.#registry.generation
    this.#remoteGeneration = this.#remote.generation
    const isLasting = ({ group, version, remote }: Place): boolean => remote === undefined && this.#registry.ofGroupVersion(group, version).every(({ schema }) => schema === undefined)
    const lasting = new Set([...this.#roots()].filter(([, place]) => isLasting(place)).map(([root]) => root))
    for (const name of this.#documents.keys()) if (!lasting.has(name)) this.#documents.delete(name)
  }

  /** Version 2, also in the encoding that kubectl insists on. */
  #swagger(headers: HttpRequest['headers']): Reply {
    const make = (): Record<string, unknown> => merged(openApiV2(this.#registry.all), this.#remote.versions)
    const isProtobuf = headers.accept?.includes('proto-openapi.spec.v2') === true
    const document = isProtobuf ? this.#encoded('v2 protobuf', protobuf, () => encodeOpenApiV2(make())) : this.#document('v2', make)
    return reply(document, headers['if-none-match'], false)
  }

  /** Where each group and version is described: `api/v1`, `apis/apps/v1`. */
  #roots(): Map<string, Place> {
    const roots = new Map<string, Place>()
    for (const [group, versions] of this.#registry.groups()) {
      for (const version of versions) roots.set(group === '' ? `api/${version}` : `apis/${apiVersionOf({ group, version })}`, { group, version })
    }
    for (const { group, version, openApiV3: remote } of this.#remote.versions) if (remote !== undefined) roots.set(`apis/${group}/${version}`, { group, version, remote })
    return roots
  }

  #groupVersion(root: string, place: Place): Document {
    return this.#document(root, () => place.remote ?? openApiV3(place, this.#registry.ofGroupVersion(place.group, place.version)))
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

type Json = Record<string, unknown>

/** A Swagger 2 document with what others serve: their paths, and those of their schemas that we do not have. */
function merged(own: Json, remote: readonly RemoteVersion[]): Json {
  const record = (value: unknown): Json => (isRecord(value) ? value : {})
  let { paths, definitions } = { paths: record(own['paths']), definitions: record(own['definitions']) }
  for (const { group, version, openApiV2: document } of remote) {
    const theirs = Object.entries(record(document?.['paths'])).filter(([path]) => `${path}/`.startsWith(`/apis/${group}/${version}/`))
    paths = { ...paths, ...Object.fromEntries(theirs) }
    definitions = { ...record(document?.['definitions']), ...definitions }
  }
  return { ...own, paths, definitions }
}

function reply({ type, bytes, hash }: Document, seen: string | undefined, isNamedByHash: boolean): Reply {
  const etag = `"${hash}"`
  const headers = { etag, 'content-type': type, vary: 'Accept', 'cache-control': isNamedByHash ? 'public, max-age=31536000, immutable' : 'no-cache, private' }
  return seen === etag ? { status: 304, headers, body: [] } : { status: 200, headers, body: [bytes] }
}
