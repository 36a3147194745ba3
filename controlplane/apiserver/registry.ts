// The resources being served, found by path, by kind or by name.
import type { ResourceDescriptor, Subresource, Verb } from './descriptor.ts'
import { qualified } from './status.ts'

const allVerbs: readonly Verb[] = ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'update', 'watch']

/** Verbs of a resource in discovery's order. Virtual ones can only be created. */
export function verbsOf(descriptor: ResourceDescriptor): readonly Verb[] {
  return descriptor.verbs ?? (descriptor.virtual === true ? ['create'] : allVerbs)
}

export function hasSubresource(descriptor: ResourceDescriptor, name: Subresource): boolean {
  return descriptor.subresources?.includes(name) ?? false
}

/** As which resource the objects of this one are in the store and in the cache. */
export function storedAs(descriptor: ResourceDescriptor): ResourceDescriptor {
  return descriptor.kept?.as ?? descriptor
}

/** Where the objects of a resource live in the store. The version is no part of it: one object, whatever version asks. */
export function storePrefix(descriptor: ResourceDescriptor): string {
  const { group, plural } = storedAs(descriptor)
  return `/registry/${group === '' ? 'core' : group}/${plural}/`
}

export function storeKey(descriptor: ResourceDescriptor, namespace: string, name: string): string {
  return descriptor.namespaced ? `${storePrefix(descriptor)}${namespace}/${name}` : `${storePrefix(descriptor)}${name}`
}

export class Registry {
  readonly #byPath = new Map<string, ResourceDescriptor>()
  readonly #byName = new Map<string, ResourceDescriptor>()
  #all: readonly ResourceDescriptor[] = []
  #generation = 0
  readonly #listeners = new Set<() => void>()

  constructor(descriptors: readonly ResourceDescriptor[]) {
    for (const descriptor of descriptors) this.add(descriptor)
    // Of several versions, the first is the one that a name alone means.
    for (const descriptor of descriptors.toReversed()) this.#byName.set(qualified(descriptor), descriptor)
  }

  add(descriptor: ResourceDescriptor): void {
    this.#byPath.set(`${descriptor.group}/${descriptor.version}/${descriptor.plural}`, descriptor)
    this.#byName.set(qualified(descriptor), descriptor)
    this.#changed()
  }

  remove(descriptor: ResourceDescriptor): void {
    this.#byPath.delete(`${descriptor.group}/${descriptor.version}/${descriptor.plural}`)
    if (this.#byName.get(qualified(descriptor))?.version === descriptor.version) this.#byName.delete(qualified(descriptor))
    this.#changed()
  }

  #changed(): void {
    this.#all = [...this.#byPath.values()]
    this.#generation++
    for (const listener of this.#listeners) listener()
  }

  /** Tells when a resource comes or goes. Returns what ends that. */
  listen(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  /** Counts changes, so that what is computed from all resources knows when it is stale. */
  get generation(): number {
    return this.#generation
  }

  get all(): readonly ResourceDescriptor[] {
    return this.#all
  }

  atPath(group: string, version: string, plural: string): ResourceDescriptor | undefined {
    return this.#byPath.get(`${group}/${version}/${plural}`)
  }

  /** `plural` or `plural.group`. */
  named(name: string): ResourceDescriptor | undefined {
    return this.#byName.get(name)
  }

  /** Groups in the order in which they were added, each with its versions. */
  groups(): Map<string, string[]> {
    const groups = new Map<string, string[]>()
    for (const { group, version } of this.#all) {
      const versions = groups.get(group) ?? []
      if (!versions.includes(version)) versions.push(version)
      groups.set(group, versions)
    }
    return groups
  }

  ofGroupVersion(group: string, version: string): ResourceDescriptor[] {
    return this.#all.filter((descriptor) => descriptor.group === group && descriptor.version === version)
  }
}
