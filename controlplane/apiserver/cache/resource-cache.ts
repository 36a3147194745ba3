// The current objects of one resource and a window of their latest changes. Readers and watchers are served from here.
import { encodedHead } from '../codec.ts'
import type { ResourceDescriptor, ValuesOf } from '../descriptor.ts'
import { storePrefix } from '../registry.ts'
import { CacheChange, Entry } from './entry.ts'
import { ValueIndex } from './value-index.ts'

/** Changes remembered per resource, for watches that resume. */
const windowMax = 2048

export class ResourceCache {
  readonly descriptor: ResourceDescriptor
  readonly head: Buffer
  readonly prefix: string
  /** By namespace (empty for cluster-scoped resources), then by name. */
  readonly #namespaces = new Map<string, Map<string, Entry>>()
  readonly #sorted = new Map<string, readonly Entry[]>()
  #sortedNamespaces: readonly string[] | undefined
  readonly #listeners = new Set<(change: CacheChange) => void>()
  readonly #indexes = new Map<ValuesOf, ValueIndex>()
  #window: CacheChange[] = []
  #size = 0
  /** Every change after this revision is in the window. */
  #windowStart = 0
  /** Counts changes, so that what is computed from a resource knows when it is stale. */
  #generation = 0

  constructor(descriptor: ResourceDescriptor) {
    this.descriptor = descriptor
    this.head = encodedHead(descriptor)
    this.prefix = storePrefix(descriptor)
  }

  get size(): number {
    return this.#size
  }

  get generation(): number {
    return this.#generation
  }

  get windowStart(): number {
    return this.#windowStart
  }

  get(namespace: string, name: string): Entry | undefined {
    return this.#namespaces.get(this.descriptor.namespaced ? namespace : '')?.get(name)
  }

  /** Entries that have a value. `valuesOf` is what names the index: always the same function. */
  holders(valuesOf: ValuesOf, value: string): readonly Entry[] {
    let index = this.#indexes.get(valuesOf)
    if (index === undefined) {
      index = new ValueIndex(valuesOf, [...this.#namespaces.values()].flatMap((names) => [...names.values()]))
      this.#indexes.set(valuesOf, index)
    }
    return index.holders(value)
  }

  /** Entries of a namespace, or of all (`''`), in the order of their keys. The array is shared: never change it. */
  list(namespace = ''): readonly Entry[] {
    if (!this.descriptor.namespaced || namespace !== '') return this.#sortedIn(namespace)
    const all = this.#sorted.get('')
    if (all !== undefined) return all
    this.#sortedNamespaces ??= [...this.#namespaces.keys()].sort()
    const entries = this.#sortedNamespaces.flatMap((name) => this.#sortedIn(name))
    this.#sorted.set('', entries)
    return entries
  }

  /** Begins with the state at a revision; changes after it follow through `apply`. */
  load(revision: number, entries: Iterable<{ readonly key: string; readonly value: Uint8Array; readonly modRevision: number }>): void {
    this.#windowStart = revision
    for (const { key, value, modRevision } of entries) {
      const [namespace, name] = this.#split(key)
      this.#set(Entry.fromStored(this.head, namespace, name, modRevision, value))
    }
  }

  /** Takes over a state that came without the changes that led to it: who listens is told what is different, and the window begins anew. */
  replace(revision: number, entries: readonly { readonly key: string; readonly value: Uint8Array; readonly modRevision: number }[]): void {
    const gone = new Set([...this.#namespaces.values()].flatMap((names) => [...names.values()]).map(({ namespace, name }) => this.#keyOf(namespace, name)))
    const changed = entries.filter(({ key, modRevision }) => {
      gone.delete(key)
      const [namespace, name] = this.#split(key)
      return this.#namespaces.get(namespace)?.get(name)?.revision !== modRevision
    })
    for (const { key, value, modRevision } of changed.sort((a, b) => a.modRevision - b.modRevision)) this.apply(modRevision, key, value)
    for (const key of gone) this.apply(revision, key, undefined)
    this.#window = []
    this.#windowStart = revision
  }

  apply(revision: number, key: string, value: Uint8Array | undefined): void {
    const [namespace, name] = this.#split(key)
    const previous = this.#namespaces.get(namespace)?.get(name)
    let change: CacheChange
    if (value !== undefined) {
      const entry = Entry.fromStored(this.head, namespace, name, revision, value)
      change = new CacheChange(revision, entry, previous, false)
      this.#set(entry)
    } else {
      if (previous === undefined) return
      change = new CacheChange(revision, previous.at(revision), previous, true)
      this.#remove(namespace, name)
    }
    this.#generation++
    this.#window.push(change)
    if (this.#window.length > 2 * windowMax) this.#trim()
    for (const listener of this.#listeners) listener(change)
  }

  /** Changes after a revision, oldest first; undefined when the window no longer reaches back that far. */
  changesAfter(revision: number): readonly CacheChange[] | undefined {
    if (revision < this.#windowStart) return undefined
    let low = 0
    let high = this.#window.length
    while (low < high) {
      const middle = (low + high) >> 1
      if ((this.#window[middle] as CacheChange).revision <= revision) low = middle + 1
      else high = middle
    }
    return this.#window.slice(low)
  }

  listen(listener: (change: CacheChange) => void): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  #trim(): void {
    const dropped = this.#window.length - windowMax
    this.#windowStart = (this.#window[dropped - 1] as CacheChange).revision
    this.#window = this.#window.slice(dropped)
  }

  #keyOf(namespace: string, name: string): string {
    return `${this.prefix}${this.descriptor.namespaced ? `${namespace}/` : ''}${name}`
  }

  #split(key: string): [namespace: string, name: string] {
    const rest = key.slice(this.prefix.length)
    const slash = rest.indexOf('/')
    return slash < 0 ? ['', rest] : [rest.slice(0, slash), rest.slice(slash + 1)]
  }

  #set(entry: Entry): void {
    let names = this.#namespaces.get(entry.namespace)
    if (names === undefined) {
      names = new Map()
      this.#namespaces.set(entry.namespace, names)
      this.#sortedNamespaces = undefined
    }
    const before = names.get(entry.name)
    if (before === undefined) this.#size++
    names.set(entry.name, entry)
    for (const index of this.#indexes.values()) index.change(before, entry)
    this.#forgetOrder(entry.namespace)
  }

  #remove(namespace: string, name: string): void {
    const names = this.#namespaces.get(namespace)
    const before = names?.get(name)
    if (names === undefined || before === undefined) return
    names.delete(name)
    for (const index of this.#indexes.values()) index.change(before, undefined)
    this.#size--
    if (names.size === 0) {
      this.#namespaces.delete(namespace)
      this.#sortedNamespaces = undefined
    }
    this.#forgetOrder(namespace)
  }

  #forgetOrder(namespace: string): void {
    this.#sorted.delete(namespace)
    this.#sorted.delete('')
  }

  #sortedIn(namespace: string): readonly Entry[] {
    const known = this.#sorted.get(namespace)
    if (known !== undefined) return known
    const entries = [...(this.#namespaces.get(namespace)?.values() ?? [])].sort((a, b) => (a.name < b.name ? -1 : 1))
    if (entries.length > 0) this.#sorted.set(namespace, entries)
    return entries
  }
}
