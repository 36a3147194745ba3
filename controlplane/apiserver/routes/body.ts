// Bodies of writes: read, decoded, and held to the fields that the kind has.
import { decodeBody, toObject } from '../codec.ts'
import type { DeleteOptions, ResourceDescriptor } from '../descriptor.ts'
import type { HttpRequest } from '../http.ts'
import { isInt64, parseJson } from '../json.ts'
import { isRecord } from '../object.ts'
import type { ApiObject } from '../object.ts'
import { jsonPatch, mergePatch } from '../patch/merge.ts'
import { strategicMerge } from '../patch/strategic.ts'
import { isTrue } from '../request-info.ts'
import { checkFields, strictMessage } from '../schema/index.ts'
import { badRequest, invalid, unsupportedMediaType } from '../status.ts'
import { duplicateKey } from '../yaml.ts'
import type { Call } from './call.ts'
import { duplicateFields } from './duplicate-fields.ts'

/** As kube-apiserver's --max-request-bytes. */
export const bodyBytesMax = 3 * 1024 * 1024
/** Causes named in one answer. */
const namedMax = 20

type Validation = 'Ignore' | 'Warn' | 'Strict'

/** The object that a client sends to be created or to replace another. */
export async function readObject(call: Call): Promise<ApiObject> {
  const { request, descriptor } = call
  const validation = validationOf(request)
  const bytes = await request.readBody(bodyBytesMax)
  const type = request.headers['content-type']
  const duplicates = validation === 'Ignore' ? [] : duplicatesOf(bytes, type)
  return checked(call, toObject(decodeBody(bytes, type), descriptor), duplicates)
}

/** A body of another kind than the resource's own: a Binding, an Eviction, a TokenRequest. */
export async function readKind(request: HttpRequest, kind: Pick<ResourceDescriptor, 'group' | 'version' | 'kind'>): Promise<ApiObject> {
  return toObject(decodeBody(await request.readBody(bodyBytesMax), request.headers['content-type']), kind)
}

export const applyType = 'application/apply-patch+yaml'
const strategicType = 'application/strategic-merge-patch+json'

export function patchType({ headers }: HttpRequest): string {
  return (headers['content-type'] ?? '').split(';')[0]?.trim() ?? ''
}

/** A configuration to be applied (server-side apply), in YAML or JSON. */
export async function readConfiguration(call: Call, kind: Pick<ResourceDescriptor, 'group' | 'version' | 'kind' | 'schema'> = call.descriptor): Promise<{ readonly config: ApiObject; readonly force: boolean }> {
  const { request, descriptor } = call
  if ((request.query.get('fieldManager') ?? '') === '') {
    throw invalid({ group: 'meta.k8s.io', kind: 'PatchOptions' }, '', [{ field: 'fieldManager', type: 'FieldValueRequired', detail: 'is required for apply patch' }])
  }
  const validation = validationOf(request)
  const bytes = await request.readBody(bodyBytesMax)
  const decoded = decodeBody(bytes, applyType)
  if (isRecord(decoded) && (decoded['apiVersion'] === undefined || decoded['kind'] === undefined)) throw badRequest('the applied configuration must say its apiVersion and kind')
  const object = toObject(decoded, kind)
  const config = kind.kind === descriptor.kind ? checked(call, object, validation === 'Ignore' ? [] : duplicatesOf(bytes, applyType)) : object
  if (config.metadata.managedFields !== undefined) throw badRequest('metadata.managedFields must be nil')
  return { config, force: isTrue(request.query.get('force')) }
}

/** What turns the current state of an object into the wanted one. */
export type Patch = (current: ApiObject) => ApiObject

/** Reads a patch, once, to be applied as often as it takes. `kind` is what the patch is written for. */
export async function readPatch(call: Call, kind: Pick<ResourceDescriptor, 'group' | 'version' | 'kind' | 'schema'>): Promise<Patch> {
  const { request, descriptor } = call
  const validation = validationOf(request)
  if (request.query.has('force')) throw invalid({ group: 'meta.k8s.io', kind: 'PatchOptions' }, '', [{ field: 'force', type: 'FieldValueForbidden', detail: 'may not be specified for non-apply patch' }])
  const type = patchType(request)
  if (type === strategicType && descriptor.schema !== undefined && kind.kind === descriptor.kind) throw unsupportedMediaType(type, ['application/json-patch+json', 'application/merge-patch+json', applyType])
  const apply = patchOf(type, kind.kind)
  const text = (await request.readBody(bodyBytesMax)).toString()
  const duplicates = validation === 'Ignore' ? [] : duplicateFields(text).map(twice)
  const patch = parseJson(text)
  return (current) => {
    const patched = toObject(apply(current, patch), kind)
    return kind.kind === descriptor.kind ? checked(call, patched, duplicates) : patched
  }
}

function patchOf(type: string, kind: string): (current: unknown, patch: unknown) => unknown {
  switch (type) {
    case 'application/json-patch+json':
      return jsonPatch
    case 'application/merge-patch+json':
      return (current, patch) => {
        if (!isRecord(patch)) throw badRequest('error decoding patch: a merge patch is an object')
        return mergePatch(current, patch)
      }
    case strategicType:
      return (current, patch) => strategicMerge(kind, current, patch)
    default:
      throw unsupportedMediaType(type, ['application/json-patch+json', 'application/merge-patch+json', 'application/strategic-merge-patch+json'])
  }
}

/** Holds an object to the fields of its kind: wrong types are refused, unknown fields treated as the client asked. */
function checked(call: Call, object: ApiObject, duplicates: readonly string[]): ApiObject {
  const validation = validationOf(call.request)
  const unknown = checkFields(call.descriptor, object)
  const complaints = [...duplicates, ...unknown]
  if (complaints.length === 0 || validation === 'Ignore') return object
  if (validation === 'Strict') throw badRequest(strictMessage(call.descriptor, complaints.slice(0, namedMax)))
  for (const complaint of complaints.slice(0, namedMax)) {
    if (!call.warnings.includes(complaint)) call.warnings.push(complaint)
  }
  return object
}

function validationOf({ query }: HttpRequest): Validation {
  const wanted = query.get('fieldValidation') ?? ''
  if (wanted === '') return 'Warn'
  if (wanted === 'Ignore' || wanted === 'Warn' || wanted === 'Strict') return wanted
  throw badRequest(`fieldValidation: Unsupported value: "${wanted}": supported values: "Ignore", "Strict", "Warn"`)
}

/** What a body says twice, each as a complaint. */
function duplicatesOf(bytes: Buffer, type = 'application/json'): string[] {
  const text = bytes.toString()
  if (/^application\/json\b/.test(type) || (type === applyType && /^\s*\{/.test(text))) return duplicateFields(text).map(twice)
  return /yaml/.test(type) ? duplicateKey(text) : []
}

function twice(field: string): string {
  return `duplicate field "${field}"`
}

/** Options of a deletion, in the body or the query. */
export async function readDeleteOptions({ request }: Call): Promise<DeleteOptions> {
  const bytes = await request.readBody(bodyBytesMax)
  const body = bytes.length === 0 ? {} : decodeBody(bytes, request.headers['content-type'])
  if (!isRecord(body)) throw badRequest('the delete options provided are unrecognized (must be of type object)')
  const { query } = request
  const grace = body['gracePeriodSeconds'] ?? numberOf(query.get('gracePeriodSeconds'))
  const policy = body['propagationPolicy'] ?? query.get('propagationPolicy') ?? undefined
  const orphan = body['orphanDependents'] ?? (query.get('orphanDependents') === null ? undefined : isTrue(query.get('orphanDependents')))
  const preconditions = body['preconditions']
  if (grace !== undefined && grace !== null && (!isInt64(grace) || grace < 0)) throw badRequest(`gracePeriodSeconds: Invalid value: ${JSON.stringify(grace)}: must be a whole number of seconds`)
  if (policy !== undefined && policy !== null && policy !== 'Orphan' && policy !== 'Background' && policy !== 'Foreground') {
    throw badRequest(`propagationPolicy: Unsupported value: ${JSON.stringify(policy)}: supported values: "Foreground", "Background", "Orphan"`)
  }
  return {
    ...(isInt64(grace) ? { gracePeriodSeconds: Number(grace) } : {}),
    ...(typeof policy === 'string' ? { propagationPolicy: policy } : {}),
    ...(typeof orphan === 'boolean' ? { orphanDependents: orphan } : {}),
    ...(isRecord(preconditions) ? { preconditions } : {}),
    ...(Array.isArray(body['dryRun']) ? { dryRun: body['dryRun'].map(String) } : {}),
  }
}

function numberOf(text: string | null): number | undefined {
  return text === null || text === '' ? undefined : Number(text)
}
