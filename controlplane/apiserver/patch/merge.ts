// JSON Merge Patch (RFC 7386) and JSON Patch (RFC 6902).
import { applyPatch } from 'rfc6902'
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
  const failure = applyPatch(result, patch as Operation[]).findIndex((error) => error !== null)
  if (failure < 0) return result
  const { op, path } = patch[failure] as { op: string; path: string }
  throw new StatusError(422, 'Invalid', `the server rejected our request due to an error in our request: the ${op} operation does not apply: path ${path}`)
}
