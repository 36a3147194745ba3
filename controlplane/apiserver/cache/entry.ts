// One revision of one object: its bytes, encoded once for every reader, and what is read out of them when needed.
import { replaceRevision, withRevision } from '../codec.ts'
import { parseJson } from '../json.ts'
import type { ApiObject } from '../object.ts'

export class Entry {
  readonly namespace: string
  readonly name: string
  readonly revision: number
  /** The object as clients get it, with its resourceVersion. */
  readonly json: Buffer
  readonly #head: Buffer
  #object: ApiObject | undefined
  #message: { readonly name: string; readonly bytes: Buffer } | undefined

  constructor(head: Buffer, namespace: string, name: string, revision: number, json: Buffer) {
    this.#head = head
    this.namespace = namespace
    this.name = name
    this.revision = revision
    this.json = json
  }

  static fromStored(head: Buffer, namespace: string, name: string, revision: number, stored: Uint8Array): Entry {
    const bytes = withRevision(head, stored, revision)
    return new Entry(bytes.head, namespace, name, revision, bytes.json)
  }

  /** The decoded object. Shared by all: never change it. */
  get object(): ApiObject {
    this.#object ??= parseJson(this.json.toString()) as ApiObject
    return this.#object
  }

  /** The same for who looks once, at many: what was not decoded yet is not kept decoded. */
  peek(): ApiObject {
    return this.#object ?? (parseJson(this.json.toString()) as ApiObject)
  }

  /** The object as a protobuf message, which is encoded once like the JSON is. */
  message(name: string, encode: (object: ApiObject) => Buffer): Buffer {
    if (this.#message?.name !== name) this.#message = { name, bytes: encode(this.object) }
    return this.#message.bytes
  }

  /** The bytes as another version of the kind has them; versions differ in nothing but their name. */
  withHead(head: Buffer): Buffer {
    return head.equals(this.#head) ? this.json : Buffer.concat([head, this.json.subarray(this.#head.length)])
  }

  /** The same state seen at a later revision: the last one before a deletion. */
  at(revision: number): Entry {
    return new Entry(this.#head, this.namespace, this.name, revision, replaceRevision(this.#head, this.json, revision))
  }
}

/** One step in the life of an object, as watchers are told of it. */
export class CacheChange {
  readonly revision: number
  /** The new state; of a deletion, the last one, at the revision of the deletion. */
  readonly entry: Entry
  readonly previous: Entry | undefined
  readonly deleted: boolean
  readonly #lines = new Map<string, Buffer>()

  constructor(revision: number, entry: Entry, previous: Entry | undefined, deleted: boolean) {
    this.revision = revision
    this.entry = entry
    this.previous = previous
    this.deleted = deleted
  }

  /** What a watcher must be shown that did (not) see the object before and does (not) want to see it now. */
  eventFor(matches: (entry: Entry) => boolean): { type: 'ADDED' | 'MODIFIED' | 'DELETED'; entry: Entry } | undefined {
    const before = this.previous !== undefined && matches(this.previous)
    const now = !this.deleted && matches(this.entry)
    if (now) return { type: before ? 'MODIFIED' : 'ADDED', entry: this.entry }
    if (!before) return undefined
    return { type: 'DELETED', entry: this.deleted ? this.entry : this.previous.at(this.revision) }
  }

  /** A line of a watch, encoded once per format and type however many watchers want it. */
  line(format: string, type: string, encode: () => Buffer): Buffer {
    const key = `${format} ${type}`
    let line = this.#lines.get(key)
    if (line === undefined) {
      line = encode()
      this.#lines.set(key, line)
    }
    return line
  }
}
