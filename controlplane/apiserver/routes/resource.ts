// The verbs of every resource: get, list, watch, create, update, patch, delete, deletecollection.
import type { Entry } from '../cache/index.ts'
import type { Reply } from '../http.ts'
import { jsonReply } from '../http.ts'
import { negotiate } from '../negotiation.ts'
import { selected } from '../read.ts'
import { verbsOf } from '../registry.ts'
import { hasProtobuf, Representation } from '../representation.ts'
import { inSelection, parseSelection } from '../selector.ts'
import { badRequest, methodNotAllowed, StatusError, success } from '../status.ts'
import type { ApiObject } from '../object.ts'
import type { DeleteOptions, Verb } from '../descriptor.ts'
import { asServed } from '../versions.ts'
import type { WriteOptions } from '../write/writer.ts'
import { applyType, patchType, readConfiguration, readDeleteOptions, readObject, readPatch } from './body.ts'
import { objectReply, writeOptions } from './call.ts'
import type { Call } from './call.ts'

/** Deletions of one collection that are under way at once. */
const deletionsAtOnce = 32

/** Answers a request that is about a resource itself and no subresource of it. */
export async function handleResource(call: Call): Promise<Reply> {
  const { serving, request, info, descriptor } = call
  const verb = info.verb as Verb
  if (!verbsOf(descriptor).includes(verb)) throw methodNotAllowed(descriptor, info.verb)
  checkScope(call)
  switch (verb) {
    case 'get':
      return serving.reader.get(descriptor, info, request)
    case 'list':
      return serving.reader.list(descriptor, info, request)
    case 'watch':
      return serving.watches.open(descriptor, info, request, () => serving.reader.upToDate())
    case 'create': {
      if (info.name !== '') throw methodNotAllowed(descriptor, 'create')
      const object = await readObject(call)
      return objectReply(call, 201, await serving.writer.create(descriptor, info.namespace, object, writeOptions(call)))
    }
    case 'update':
      return objectReply(call, 200, await change(call, 'main'))
    case 'patch':
      return patch(call, 'main')
    case 'delete':
      return remove(call)
    case 'deletecollection':
      return removeCollection(call)
  }
}

/** PATCH of the object, or of the part of it that a subresource is. A configuration may also be applied where there is nothing yet; `configOf` is what of it counts. */
export async function patch(call: Call, part: 'main' | 'status' | 'other', pick?: Narrow, configOf: (config: ApiObject) => ApiObject = (config) => config): Promise<Reply> {
  if (patchType(call.request) !== applyType) return objectReply(call, 200, await change(call, part, pick))
  const { serving, info, descriptor } = call
  const { config, force } = await readConfiguration(call)
  const target = { descriptor, namespace: info.namespace, name: info.name }
  const { entry, isNew } = await serving.writer.apply(target, { config: configOf(named(call, config)), force, part, ...(pick === undefined ? {} : { pick }), ...subresourceOf(call) }, writeOptions(call))
  return objectReply(call, isNew ? 201 : 200, entry)
}

function subresourceOf({ info }: Call): { subresource?: string } {
  return info.subresource === '' ? {} : { subresource: info.subresource }
}

/** A namespace where there must be one, and none where there cannot. */
function checkScope({ info, descriptor }: Call): void {
  const named = info.name !== '' || info.verb === 'create' || info.verb === 'deletecollection'
  if (descriptor.namespaced && info.namespace === '' && named && info.verb !== 'watch') throw badRequest('an empty namespace may not be set when a resource name is provided')
}

/** What of a wanted object a subresource lets through. */
type Narrow = (wanted: ApiObject, current: ApiObject) => ApiObject

/** PUT or PATCH of the object, or of the part of it that a subresource is. */
export async function change(call: Call, part: 'main' | 'status' | 'other', pick: Narrow = (wanted) => wanted): Promise<Entry> {
  const { serving, info, descriptor } = call
  const target = { descriptor, namespace: info.namespace, name: info.name }
  if (info.verb === 'patch') {
    const patch = await readPatch(call, descriptor)
    return serving.writer.update(target, { part, ...subresourceOf(call), make: (current) => pick(named(call, patch(current)), current) }, writeOptions(call))
  }
  const wanted = named(call, await readObject(call))
  return serving.writer.update(target, { part, ...subresourceOf(call), make: (current) => pick(structuredClone(wanted), current) }, writeOptions(call))
}

function named({ info, descriptor }: Call, object: ApiObject): ApiObject {
  const { metadata } = object
  metadata.name ??= info.name
  if (metadata.name !== info.name) throw badRequest(`the name of the object (${metadata.name}) does not match the name on the URL (${info.name})`)
  if (descriptor.namespaced && (metadata.namespace ?? info.namespace) !== info.namespace) throw badRequest(`the namespace of the object (${metadata.namespace ?? ''}) does not match the namespace on the URL (${info.namespace})`)
  return object
}

async function remove(call: Call): Promise<Reply> {
  const { serving, info, descriptor } = call
  const { dryRun, ...options } = await readDeleteOptions(call)
  const { entry, now } = await serving.writer.delete({ descriptor, namespace: info.namespace, name: info.name }, options, deleteWith(call, dryRun))
  // What is deleted gracefully is shown as it stands; so is a pod that went at once, as its clients expect.
  if (!now || descriptor.kind === 'Pod') return objectReply(call, 200, entry)
  const { group, plural } = descriptor
  return jsonReply(200, success({ name: info.name, ...(group === '' ? {} : { group }), kind: plural, uid: entry.object.metadata.uid ?? '' }))
}

async function removeCollection(call: Call): Promise<Reply> {
  const { serving, info, request, descriptor } = call
  const { dryRun, preconditions: _none, ...options } = await readDeleteOptions(call)
  await serving.reader.upToDate()
  const selection = parseSelection(descriptor, request.query, info.namespace)
  const entries = (await asServed(descriptor, selected(serving.cache.of(descriptor), { ...selection, matches: undefined }))).filter(inSelection(selection))
  const gone: Entry[] = []
  for (let at = 0; at < entries.length; at += deletionsAtOnce) {
    const some = entries.slice(at, at + deletionsAtOnce)
    gone.push(...(await Promise.all(some.map((entry) => removeOne(call, entry, options, deleteWith(call, dryRun))))).filter((entry) => entry !== undefined))
  }
  const representation = new Representation(descriptor, negotiate(request.headers['accept'], hasProtobuf(descriptor)), request.query, () => serving.clock.now())
  return representation.list(gone, { resourceVersion: String(serving.cache.revision) })
}

async function removeOne({ serving, descriptor }: Call, { namespace, name }: Entry, options: DeleteOptions, write: WriteOptions): Promise<Entry | undefined> {
  try {
    return (await serving.writer.delete({ descriptor, namespace, name }, options, write)).entry
  } catch (error) {
    // Somebody else was faster.
    if (error instanceof StatusError && error.code === 404) return undefined
    throw error
  }
}

function deleteWith(call: Call, dryRun: readonly string[] | undefined): WriteOptions {
  const options = writeOptions(call)
  return dryRun?.includes('All') === true ? { ...options, dryRun: true } : options
}
