// /openapi/v3 and /openapi/v2: the schemas by which kubectl explains, validates and merges. Documents are made when they
// are first asked for, and named by their hash, so that clients keep them.
import { createHash } from 'node:crypto'
import type { HttpRequest, Reply } from '../http.ts'
import { apiVersionOf } from '../object.ts'
import type { Registry } from '../registry.ts'
import { openApiV2, openApiV3 } from '../schema/index.ts'

interface Document {
  readonly bytes: Buffer
  readonly hash: string
}

export class OpenApi {
  readonly #registry: Registry
  readonly #documents = new Map<string, Document>()

  constructor(registry: Registry) {
    this.#registry = registry
  }

  /** Answers paths below /openapi; undefined for others. */
  answer({ path, headers, query }: HttpRequest): Reply | undefined {
    if (path === '/openapi/v2') return reply(this.#document('v2', () => openApiV2(this.#registry.all)), headers['if-none-match'], false)
    if (path === '/openapi/v3') return reply(this.#index(), headers['if-none-match'], false)
    const [, root] = /^\/openapi\/v3\/(.+?)\/?$/.exec(path) ?? []
    const place = root === undefined ? undefined : this.#roots().get(root)
    if (root === undefined || place === undefined) return undefined
    return reply(this.#groupVersion(root, place), headers['if-none-match'], query.get('hash') !== null)
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
    const known = this.#documents.get(name)
    if (known !== undefined) return known
    const bytes = Buffer.from(JSON.stringify(make()))
    const document = { bytes, hash: createHash('sha256').update(bytes).digest('hex').toUpperCase() }
    this.#documents.set(name, document)
    return document
  }
}

function reply({ bytes, hash }: Document, seen: string | undefined, isNamedByHash: boolean): Reply {
  const etag = `"${hash}"`
  const headers = { etag, 'content-type': 'application/json', vary: 'Accept', 'cache-control': isNamedByHash ? 'public, max-age=31536000, immutable' : 'no-cache, private' }
  return seen === etag ? { status: 304, headers, body: [] } : { status: 200, headers, body: [bytes] }
}
