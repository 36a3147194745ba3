// JSON Merge Patch (RFC 7386) and JSON Patch (RFC 6902).
import { applyPatch, Pointer } from 'rfc6902'
import type { Operation } from 'rfc6902'
import { cloneJson, isRecord } from '../object.ts'
import { badRequest, StatusError } from '../status.ts'

/** Applies a merge patch: `null` deletes, objects are merged, everything else replaces. Changes neither argument. */
export function mergePatch(target: unknown, patch: unknown): unknown {
  if (!isRecord(patch)) return cloneJson(patch)
  const result: Record<string, unknown> = isRecord(target) ? { ...target } : {}
  for (const key in patch) {
    if (patch[key] === null) delete result[key]
    else result[key] = mergePatch(result[key], patch[key])
  }
  return result
}

const operations = new Set(['add', 'remove', 'replace', 'move', 'copy', 'test'])
/** As kube-apiserver's maxJSONPatchOperations. */
const operationsMax = 10_000
/** As kube-apiserver's JSONPatchMaxCopyBytes. */
const copiedBytesMax = 3 * 1024 * 1024

/** Applies a JSON Patch as a whole or not at all. */
export function jsonPatch(target: unknown, patch: unknown): unknown {
  if (!Array.isArray(patch)) throw badRequest('error decoding patch: a JSON patch is a list of operations')
  if (patch.length > operationsMax) throw new StatusError(413, 'RequestEntityTooLarge', `The allowed maximum operations in a JSON patch is ${operationsMax}, got ${patch.length}`)
  for (const operation of patch) {
    if (!isRecord(operation) || !operations.has(String(operation['op'])) || typeof operation['path'] !== 'string') {
      throw badRequest(`error decoding patch: not an operation: ${JSON.stringify(operation)}`)
    }
    for (const pointer of [operation['path'], operation['from']]) {
      if (typeof pointer === 'string' && pointer.split('/').includes('__proto__')) throw badRequest('error decoding patch: the key "__proto__" is not supported')
    }
  }
  const result = cloneJson(target)
  let copiedBytes = 0
  for (const operation of patch as Operation[]) {
    if (operation.op === 'copy') copiedBytes += sizeAt(result, operation.from)
    // A list that is copied into itself doubles with every operation.
    if (copiedBytes > copiedBytesMax) throw new StatusError(413, 'RequestEntityTooLarge', `Unable to copy, the accumulated size increase of copy is ${copiedBytes}, exceeding the limit ${copiedBytesMax}`)
    const pointers = [operation.path, ...('from' in operation ? [operation.from] : [])]
    if (pointers.every(isPointer) && applyPatch(result, [operation])[0] === null) continue
    throw new StatusError(422, 'Invalid', `the server rejected our request due to an error in our request: the ${operation.op} operation does not apply: path ${operation.path}`)
  }
  return result
}

function isPointer(text: unknown): boolean {
  return typeof text === 'string' && (text === '' || text.startsWith('/'))
}

/** How much stands where a pointer leads; nothing where it leads nowhere. */
function sizeAt(document: unknown, pointer: unknown): number {
  return typeof pointer === 'string' && isPointer(pointer) ? (JSON.stringify(Pointer.fromJSON(pointer).get(document)) ?? '').length : 0
}
