// Objects that are kept otherwise than they are served: another version of a kind, one kind under two groups, custom resources
// whose schema has defaults. What was made of an entry is remembered as long as the entry is.
import { Entry } from './cache/entry.ts'
import { encodedHead, encodeStored } from './codec.ts'
import type { ResourceDescriptor } from './descriptor.ts'
import { apiVersionOf, cloneJson, equalJson } from './object.ts'
import type { ApiObject } from './object.ts'

const served = new WeakMap<ResourceDescriptor, WeakMap<Entry, Entry>>()

/** Entries of the cache as a resource serves them: a promise only if somebody else has to be asked. */
export function asServed(descriptor: ResourceDescriptor, entries: readonly Entry[]): readonly Entry[] | Promise<readonly Entry[]> {
  const { kept } = descriptor
  if (kept === undefined || entries.length === 0) return entries
  const known = served.get(descriptor) ?? new WeakMap<Entry, Entry>()
  served.set(descriptor, known)
  const found = (): readonly Entry[] => entries.map((entry) => known.get(entry) ?? entry)
  const missing = entries.filter((entry) => !known.has(entry))
  if (missing.length === 0) return found()
  const note = (objects: readonly ApiObject[]): readonly Entry[] => {
    missing.forEach((entry, i) => known.set(entry, shown(descriptor, entry, objects[i] as ApiObject)))
    return found()
  }
  const read = kept.read(missing.map(({ object }) => cloneJson(object)))
  return read instanceof Promise ? read.then(note) : note(read)
}

function shown(descriptor: ResourceDescriptor, entry: Entry, object: ApiObject): Entry {
  return equalJson(entry.object, object) ? entry : Entry.fromStored(encodedHead(descriptor), entry.namespace, entry.name, entry.revision, encodeStored(descriptor, object))
}

/** The bytes of an object that go into the store, and the entry that clients are shown of it. */
export async function encoded(descriptor: ResourceDescriptor, place: { readonly namespace: string; readonly name: string }, object: ApiObject): Promise<{ readonly stored: Buffer; readonly entry: (revision: number) => Entry }> {
  const { kept } = descriptor
  const bytes = encodeStored(descriptor, object)
  const stored = kept === undefined ? bytes : encodeStored(kept.as, await kept.write(object))
  return { stored, entry: (revision) => Entry.fromStored(encodedHead(descriptor), place.namespace, place.name, revision, bytes) }
}

/** Whether an object is kept under a version that is not the one in which it would be kept now. */
export function isOutdated({ kept }: ResourceDescriptor, stored: Entry): boolean {
  return kept !== undefined && stored.object.apiVersion !== apiVersionOf(kept.as)
}
