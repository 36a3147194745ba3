// Objects as Tables (what `kubectl get` prints) and as PartialObjectMetadata, and lists put together from cached bytes.
import { dump } from 'js-yaml'
import type { Entry } from './cache/index.ts'
import { encodedHead } from './codec.ts'
import type { Column, ResourceDescriptor } from './descriptor.ts'
import { bytesReply } from './http.ts'
import type { Reply } from './http.ts'
import type { Format } from './negotiation.ts'
import { apiVersionOf } from './object.ts'
import type { ApiObject } from './object.ts'

export interface ListMeta {
  readonly resourceVersion: string
  readonly continue?: string
  readonly remainingItemCount?: number
}

/** How much of each object goes into a Table's rows (`includeObject`). */
type Include = 'None' | 'Metadata' | 'Object'

/** The columns of custom resources that declare none. */
const defaultColumns: readonly Column[] = [
  { name: 'Name', type: 'string', format: 'name', description: 'Name must be unique within a namespace.', value: (object) => object.metadata.name ?? '' },
  { name: 'Created At', type: 'date', description: 'When the object was created.', value: (object) => object.metadata.creationTimestamp ?? null },
]

const comma = Buffer.from(',')
const listEnd = Buffer.from(']}\n')

export class Representation {
  readonly #descriptor: ResourceDescriptor
  readonly #columns: readonly Column[]
  readonly #head: Buffer
  readonly #now: () => number
  readonly format: Format
  readonly #include: Include

  constructor(descriptor: ResourceDescriptor, format: Format, query: URLSearchParams, now: () => number) {
    this.#descriptor = descriptor
    this.#columns = descriptor.columns.length === 0 ? defaultColumns : descriptor.columns
    this.#head = encodedHead(descriptor)
    this.#now = now
    this.format = format
    const include = query.get('includeObject')
    this.#include = include === 'None' || include === 'Object' ? include : 'Metadata'
  }

  /** A key under which equal representations of one change can be shared. */
  get key(): string {
    return `${this.format.as} ${this.#include} ${this.#descriptor.version}`
  }

  object(status: number, entry: Entry, headers: Readonly<Record<string, string>> = {}): Reply {
    return this.#reply(status, [this.encode(entry)], headers)
  }

  /** The bytes of one object in this representation. */
  encode(entry: Entry): Buffer {
    if (this.format.as === 'object') return entry.withHead(this.#head)
    if (this.format.as === 'metadata') return Buffer.from(JSON.stringify(partial(entry.object)))
    return Buffer.from(JSON.stringify(this.#table([entry], { resourceVersion: String(entry.revision) })))
  }

  list(entries: readonly Entry[], meta: ListMeta): Reply {
    if (this.format.as === 'table') return this.#reply(200, [Buffer.from(JSON.stringify(this.#table(entries, meta)))])
    const metadata = this.format.as === 'metadata'
    const { listKind, kind } = this.#descriptor
    const head = metadata
      ? { kind: 'PartialObjectMetadataList', apiVersion: 'meta.k8s.io/v1', metadata: meta }
      : { kind: listKind ?? `${kind}List`, apiVersion: apiVersionOf(this.#descriptor), metadata: meta }
    const pieces: Buffer[] = [Buffer.from(`${JSON.stringify(head).slice(0, -1)},"items":[`)]
    entries.forEach((entry, i) => {
      if (i > 0) pieces.push(comma)
      pieces.push(this.encode(entry))
    })
    pieces.push(listEnd)
    return this.#reply(200, [Buffer.concat(pieces)])
  }

  /** A bookmark: nothing but a revision, in the shape of this representation. */
  bookmark(revision: number, annotations?: Readonly<Record<string, string>>): Buffer {
    const metadata = { resourceVersion: String(revision), creationTimestamp: null, ...(annotations === undefined ? {} : { annotations }) }
    if (this.format.as === 'table') return Buffer.from(JSON.stringify({ ...this.#table([], { resourceVersion: String(revision) }), rows: [bookmarkRow(metadata, this.#columns.length)] }))
    const kind = this.format.as === 'metadata' ? { kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1' } : { kind: this.#descriptor.kind, apiVersion: apiVersionOf(this.#descriptor) }
    return Buffer.from(JSON.stringify({ ...kind, metadata }))
  }

  #table(entries: readonly Entry[], meta: ListMeta): Record<string, unknown> {
    const context = { now: this.#now() }
    return {
      kind: 'Table',
      apiVersion: 'meta.k8s.io/v1',
      metadata: meta,
      columnDefinitions: this.#columns.map(({ name, type, format, description, priority }) => ({ name, type, format: format ?? '', description: description ?? '', priority: priority ?? 0 })),
      rows: entries.map(({ object }) => ({
        cells: this.#columns.map((column) => column.value(object, context)),
        ...(this.#include === 'None' ? {} : { object: this.#include === 'Object' ? object : partial(object) }),
      })),
    }
  }

  #reply(status: number, body: readonly Buffer[], headers: Readonly<Record<string, string>> = {}): Reply {
    if (this.format.encoding === 'json') return bytesReply(status, body, headers)
    const text = dump(JSON.parse(Buffer.concat(body).toString()), { noRefs: true })
    return bytesReply(status, [Buffer.from(text)], { ...headers, 'content-type': 'application/yaml' })
  }
}

function bookmarkRow(metadata: Record<string, unknown>, columns: number): Record<string, unknown> {
  return { cells: Array.from({ length: columns }, () => ''), object: { kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata } }
}

function partial(object: ApiObject): Record<string, unknown> {
  return { kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata: object.metadata }
}
