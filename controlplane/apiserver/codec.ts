// Bytes to objects and back. Stored objects carry no resourceVersion: it is the revision that wrote them, spliced into
// the bytes when they enter the cache, so that an object is encoded once for all readers.
import type { ResourceDescriptor } from './descriptor.ts'
import { parseJson } from './json.ts'
import { apiVersionOf, isRecord } from './object.ts'
import type { ApiObject } from './object.ts'
import { decodeProtobuf } from './protobuf/decode.ts'
import { badRequest, unsupportedMediaType } from './status.ts'
import { parseYaml } from './yaml.ts'

/** How every encoded object of a kind begins; `resourceVersion` goes right behind it. */
export function encodedHead(descriptor: ResourceDescriptor): Buffer {
  return Buffer.from(`{"kind":"${descriptor.kind}","apiVersion":"${apiVersionOf(descriptor)}","metadata":{`)
}

/** The bytes that go into the store. */
export function encodeStored(descriptor: ResourceDescriptor, object: ApiObject): Buffer {
  const { kind: _kind, apiVersion: _apiVersion, metadata, ...rest } = object
  const { resourceVersion: _resourceVersion, ...meta } = metadata
  return Buffer.from(JSON.stringify({ kind: descriptor.kind, apiVersion: apiVersionOf(descriptor), metadata: meta, ...rest }))
}

/** Stored bytes to the bytes that clients get, and how these begin: as `usual`, unless the object was written under another version. */
export function withRevision(usual: Buffer, stored: Uint8Array, revision: number): { readonly head: Buffer; readonly json: Buffer } {
  if (usual.compare(stored, 0, usual.length) === 0) {
    return { head: usual, json: Buffer.concat([usual, Buffer.from(`"resourceVersion":"${revision}",`), stored.subarray(usual.length)]) }
  }
  // Written under another version of the kind, or by hand: give it the shape that the rest relies on.
  const object = parseJson(Buffer.from(stored).toString()) as ApiObject
  const { kind, apiVersion, metadata, ...rest } = object
  const head = typeof kind === 'string' && typeof apiVersion === 'string' ? Buffer.from(`{"kind":${JSON.stringify(kind)},"apiVersion":${JSON.stringify(apiVersion)},"metadata":{`) : usual
  const meta = JSON.stringify({ resourceVersion: String(revision), ...metadata }).slice(1)
  const tail = JSON.stringify(rest).slice(1)
  return { head, json: Buffer.concat([head, Buffer.from(meta), Buffer.from(tail === '}' ? tail : `,${tail}`)]) }
}

/** The same object with another revision: what a deletion or a selector's exit shows. */
export function replaceRevision(head: Buffer, json: Buffer, revision: number): Buffer {
  const comma = json.indexOf(0x2c, head.length)
  return Buffer.concat([head, Buffer.from(`"resourceVersion":"${revision}"`), json.subarray(comma)])
}

const bodyTypes = ['application/json', 'application/yaml', 'application/vnd.kubernetes.protobuf']

/** Decodes a body by its content type. */
export function decodeBody(body: Buffer, contentType: string | undefined): unknown {
  const type = (contentType ?? 'application/json').split(';')[0]?.trim().toLowerCase() ?? ''
  if (type === 'application/json' || type === '' || type.endsWith('+json')) return parseJson(body.toString())
  if (type === 'application/yaml' || type === 'application/apply-patch+yaml') return parseYaml(body.toString())
  if (type === 'application/vnd.kubernetes.protobuf') return decodeProtobuf(body)
  throw unsupportedMediaType(type, bodyTypes)
}

/** Checks that a body is an object of the kind the path is about, and fills in what may be left out. */
export function toObject(body: unknown, kind: { readonly group: string; readonly version: string; readonly kind: string; readonly schema?: object }): ApiObject {
  if (!isRecord(body)) throw badRequest('the object provided is unrecognized (must be of type object)')
  const expected = apiVersionOf(kind)
  if (body['apiVersion'] !== undefined && body['apiVersion'] !== expected) {
    throw badRequest(`the API version in the data (${String(body['apiVersion'])}) does not match the expected API version (${expected})`)
  }
  if (body['kind'] !== undefined && body['kind'] !== kind.kind) {
    throw badRequest(`the kind in the data (${String(body['kind'])}) does not match the expected kind (${kind.kind})`)
  }
  if (body['metadata'] !== undefined && body['metadata'] !== null && !isRecord(body['metadata'])) {
    throw badRequest('the object provided is unrecognized (metadata must be of type object)')
  }
  // The schema of a custom resource says where null is a value.
  const object = (kind.schema === undefined ? dropNulls(body) : { ...body, metadata: dropNulls(body['metadata'] ?? {}) }) as ApiObject
  object.apiVersion = expected
  object.kind = kind.kind
  object.metadata ??= {} as ApiObject['metadata']
  return object
}

/** Go's decoder reads `null` as "not given"; so do we, at every depth. Arrays keep their places. */
function dropNulls(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(dropNulls)
  if (!isRecord(value)) return value
  const kept: Record<string, unknown> = {}
  for (const key in value) {
    if (value[key] !== null) kept[key] = dropNulls(value[key])
  }
  return kept
}
