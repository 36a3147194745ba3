// Objects as Tables (what `kubectl get` prints) and as PartialObjectMetadata, in JSON, YAML or protobuf, and lists put together from cached bytes.
import type { Entry } from './cache/index.ts'
import { encodedHead } from './codec.ts'
import type { Column, ResourceDescriptor } from './descriptor.ts'
import { bytesReply } from './http.ts'
import type { Reply } from './http.ts'
import { parseJson } from './json.ts'
import { negotiate } from './negotiation.ts'
import type { Format } from './negotiation.ts'
import { apiVersionOf } from './object.ts'
import type { ApiObject } from './object.ts'
import { encodeMessage, encodePartial, encodeProtobuf, encodeWatchEvent, envelope, itemHead, listFrame } from './protobuf/encode.ts'
import { kindMessage } from './protobuf/table.ts'
import { toYaml } from './yaml.ts'

export interface ListMeta {
  readonly resourceVersion: string
  readonly continue?: string
  readonly remainingItemCount?: number
}

const protobufType = 'application/vnd.kubernetes.protobuf'

/** How much of each object goes into a Table's rows (`includeObject`). */
type Include = 'None' | 'Metadata' | 'Object'

/** The columns of custom resources that declare none. */
const defaultColumns: readonly Column[] = [
  { name: 'Name', type: 'string', format: 'name', description: 'Name must be unique within a namespace.', value: (object) => object.metadata.name ?? '' },
  { name: 'Created At', type: 'date', description: 'When the object was created.', value: (object) => object.metadata.creationTimestamp ?? null },
]

/** Lists are put together in pieces of about this size as the client takes them. */
const pieceBytes = 128 * 1024

const metaVersion = 'meta.k8s.io/v1'

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
    return `${this.format.encoding} ${this.format.as} ${this.#include} ${this.#descriptor.version}`
  }

  get watchType(): string {
    return this.format.encoding === 'protobuf' ? `${protobufType};stream=watch` : 'application/json'
  }

  object(status: number, entry: Entry, headers: Readonly<Record<string, string>> = {}): Reply {
    return this.#reply(status, [this.encode(entry)], headers)
  }

  /** The bytes of one object in this representation. */
  encode(entry: Entry): Buffer {
    if (this.format.encoding === 'protobuf') return this.#envelope(this.#message(entry))
    return this.format.as === 'table' ? Buffer.from(JSON.stringify(this.#table([entry], { resourceVersion: String(entry.revision) }))) : this.#json(entry)
  }

  list(entries: readonly Entry[], meta: ListMeta): Reply {
    if (this.format.encoding === 'protobuf') return this.#reply(200, pieces(this.#protobufList(entries, meta)))
    const { rows, ...head } = this.format.as === 'table' ? this.#table([], meta) : { ...this.#listKind, metadata: meta, rows: undefined }
    const start = `${JSON.stringify(head).slice(0, -1)},"${rows === undefined ? 'items' : 'rows'}":[`
    return this.#reply(200, pieces(this.#jsonList(entries, start)))
  }

  /** An event of a watch, `object` being in this representation. */
  event(type: string, object: Buffer): Buffer {
    if (this.format.encoding === 'protobuf') return encodeWatchEvent(type, object)
    return Buffer.concat([Buffer.from(`{"type":"${type}","object":`), object, Buffer.from('}\n')])
  }

  /** The event that ends a watch which failed. */
  failure(status: Readonly<Record<string, unknown>>): Buffer {
    return this.event('ERROR', (this.format.encoding === 'protobuf' ? encodeProtobuf(status) : undefined) ?? Buffer.from(JSON.stringify(status)))
  }

  /** A bookmark: nothing but a revision, in the shape of this representation. */
  bookmark(revision: number, annotations?: Readonly<Record<string, string>>): Buffer {
    const metadata = { resourceVersion: String(revision), creationTimestamp: null, ...(annotations === undefined ? {} : { annotations }) }
    if (this.format.as === 'table') return Buffer.from(JSON.stringify({ ...this.#table([], { resourceVersion: String(revision) }), rows: [bookmarkRow(metadata, this.#columns.length)] }))
    // Metadata is the first field of every kind.
    if (this.format.encoding === 'protobuf') return this.#envelope(encodePartial(metadata))
    return Buffer.from(JSON.stringify({ ...this.#kind, metadata }))
  }

  get #kind(): { readonly kind: string; readonly apiVersion: string } {
    return this.format.as === 'metadata' ? { kind: 'PartialObjectMetadata', apiVersion: metaVersion } : { kind: this.#descriptor.kind, apiVersion: apiVersionOf(this.#descriptor) }
  }

  get #listKind(): { readonly kind: string; readonly apiVersion: string } {
    const { kind, apiVersion } = this.#kind
    return { kind: (this.format.as === 'object' ? this.#descriptor.listKind : undefined) ?? `${kind}List`, apiVersion }
  }

  #json(entry: Entry): Buffer {
    return this.format.as === 'object' ? entry.withHead(this.#head) : Buffer.from(JSON.stringify(partial(entry.object)))
  }

  *#jsonList(entries: readonly Entry[], start: string): Generator<Uint8Array> {
    yield Buffer.from(start)
    const context = { now: this.#now() }
    for (const [i, entry] of entries.entries()) {
      if (i > 0) yield comma
      yield this.format.as === 'table' ? Buffer.from(JSON.stringify(this.#row(entry, context))) : this.#json(entry)
    }
    yield listEnd
  }

  #envelope(message: Uint8Array): Buffer {
    const { apiVersion, kind } = this.#kind
    return envelope(apiVersion, kind, message)
  }

  #message(entry: Entry): Buffer {
    if (this.format.as === 'metadata') return encodePartial(entry.object.metadata as Record<string, unknown>)
    const name = kindMessage(apiVersionOf(this.#descriptor), this.#descriptor.kind) ?? ''
    return entry.message(name, (object) => encodeMessage(name, object))
  }

  *#protobufList(entries: readonly Entry[], meta: ListMeta): Generator<Uint8Array> {
    const items = entries.map((entry) => this.#message(entry))
    const heads = items.map(({ length }) => itemHead(length))
    const { apiVersion, kind } = this.#listKind
    const { head, tail } = listFrame(apiVersion, kind, { ...meta }, items.reduce((sum, { length }, i) => sum + length + (heads[i]?.length ?? 0), 0))
    yield head
    for (const [i, item] of items.entries()) {
      yield heads[i] ?? item
      yield item
    }
    yield tail
  }

  #table(entries: readonly Entry[], meta: ListMeta): Record<string, unknown> {
    const context = { now: this.#now() }
    return {
      kind: 'Table',
      apiVersion: metaVersion,
      metadata: meta,
      columnDefinitions: this.#columns.map(({ name, type, format, description, priority }) => ({ name, type, format: format ?? '', description: description ?? '', priority: priority ?? 0 })),
      rows: entries.map((entry) => this.#row(entry, context)),
    }
  }

  #row({ object }: Entry, context: { readonly now: number }): Record<string, unknown> {
    return {
      cells: this.#columns.map((column) => column.value(object, context)),
      ...(this.#include === 'None' ? {} : { object: this.#include === 'Object' ? object : partial(object) }),
    }
  }

  #reply(status: number, body: Iterable<Uint8Array>, headers: Readonly<Record<string, string>> = {}): Reply {
    const { encoding } = this.format
    if (encoding === 'yaml') return bytesReply(status, [toYaml(parseJson(Buffer.concat([...body]).toString()))], { ...headers, 'content-type': 'application/yaml' })
    return bytesReply(status, body, encoding === 'protobuf' ? { ...headers, 'content-type': protobufType } : headers)
  }
}

/** A reply that is one object, a Status often, in the encoding that the client would rather have. */
export function inEncoding(reply: Reply, accept: string | undefined): Reply {
  const { object, headers } = reply
  if (object === undefined) return reply
  let encoding: Format['encoding']
  try {
    encoding = negotiate(accept, true).encoding
  } catch {
    // A refusal of all that we have is said in JSON.
    return reply
  }
  const bytes = encoding === 'protobuf' ? encodeProtobuf(object) : encoding === 'yaml' ? toYaml(object) : undefined
  return bytes === undefined ? reply : { ...reply, headers: { ...headers, 'content-type': encoding === 'yaml' ? 'application/yaml' : protobufType }, body: [bytes] }
}

/** Whether objects of a resource have an encoding as protobuf. */
export function hasProtobuf(descriptor: ResourceDescriptor): boolean {
  return descriptor.schema === undefined && kindMessage(apiVersionOf(descriptor), descriptor.kind) !== undefined
}

const comma = Buffer.from(',')
const listEnd = Buffer.from(']}\n')

/** Small pieces joined to such as are worth a write of their own. */
function* pieces(parts: Iterable<Uint8Array>): Generator<Buffer> {
  let some: Uint8Array[] = []
  let bytes = 0
  for (const part of parts) {
    some.push(part)
    bytes += part.length
    if (bytes < pieceBytes) continue
    yield Buffer.concat(some, bytes)
    some = []
    bytes = 0
  }
  if (bytes > 0) yield Buffer.concat(some, bytes)
}

function bookmarkRow(metadata: Record<string, unknown>, columns: number): Record<string, unknown> {
  return { cells: Array.from({ length: columns }, () => ''), object: { kind: 'PartialObjectMetadata', apiVersion: metaVersion, metadata } }
}

function partial(object: ApiObject): Record<string, unknown> {
  return { kind: 'PartialObjectMetadata', apiVersion: metaVersion, metadata: object.metadata }
}
