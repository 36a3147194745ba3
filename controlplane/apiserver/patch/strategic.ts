// Strategic merge patch (k8s.io/apimachinery/pkg/util/strategicpatch): a merge patch that knows which lists are maps,
// with the directives $patch, $retainKeys, $setElementOrder and $deleteFromPrimitiveList.
import { cloneJson, isRecord } from '../object.ts'
import { badRequest } from '../status.ts'
import { listStrategy } from './merge-keys.ts'

type Json = Record<string, unknown>

const orderPrefix = '$setElementOrder/'
const deletePrefix = '$deleteFromPrimitiveList/'

/** Applies a strategic merge patch to an object of a kind. Changes neither argument. */
export function strategicMerge(kind: string, target: unknown, patch: unknown): unknown {
  if (!isRecord(patch)) throw badRequest('error decoding patch: a strategic merge patch is an object')
  return mergeMap(kind, [], isRecord(target) ? target : {}, patch)
}

function mergeMap(kind: string, path: readonly string[], target: Json, patch: Json): Json {
  const directive = patch['$patch']
  if (directive === 'replace') return withoutDirectives(patch)
  if (directive === 'delete') return {}
  if (directive !== undefined && directive !== 'merge') throw badRequest(`Unknown patch type found: ${String(directive)}`)
  const result: Json = retainKeys(target, patch)
  deleteFromPrimitiveLists(result, patch)
  for (const key in patch) {
    if (key.startsWith('$')) continue
    const value = patch[key]
    const order = patch[orderPrefix + key]
    const place = [...path, key]
    if (value === null) delete result[key]
    else if (Array.isArray(value)) result[key] = mergeList(kind, place, result[key], value, order)
    else if (!isRecord(value)) result[key] = value
    else if (value['$patch'] === 'delete') delete result[key]
    else result[key] = mergeMap(kind, place, isRecord(result[key]) ? result[key] : {}, value)
  }
  orderUntouched(kind, path, result, patch)
  return result
}

/** `$retainKeys` names all that may stay of a union such as a deployment's strategy. */
function retainKeys(target: Json, patch: Json): Json {
  const retained = patch['$retainKeys']
  if (retained === undefined) return { ...target }
  if (!Array.isArray(retained)) throw badRequest('error decoding patch: $retainKeys must be a list')
  return Object.fromEntries(Object.entries(target).filter(([key]) => retained.includes(key)))
}

function deleteFromPrimitiveLists(result: Json, patch: Json): void {
  for (const directive in patch) {
    if (!directive.startsWith(deletePrefix)) continue
    const field = directive.slice(deletePrefix.length)
    const gone = patch[directive]
    const present = result[field]
    if (!Array.isArray(gone) || !Array.isArray(present)) continue
    const identities = new Set(gone.map(identityOf))
    result[field] = present.filter((item) => !identities.has(identityOf(item)))
  }
}

/** An order may be given for a list that the patch does not otherwise touch. */
function orderUntouched(kind: string, path: readonly string[], result: Json, patch: Json): void {
  for (const directive in patch) {
    if (!directive.startsWith(orderPrefix)) continue
    const field = directive.slice(orderPrefix.length)
    const present = result[field]
    if (patch[field] !== undefined || !Array.isArray(present)) continue
    result[field] = mergeList(kind, [...path, field], present, [], patch[directive])
  }
}

function mergeList(kind: string, path: readonly string[], target: unknown, patch: readonly unknown[], order: unknown): unknown[] {
  const strategy = listStrategy({ kind, path })
  const present = Array.isArray(target) ? target : []
  if (strategy === undefined) return patch.filter((item) => !(isRecord(item) && item['$patch'] === 'replace' && Object.keys(item).length === 1)).map(withoutDirectivesIn)
  if ('primitives' in strategy) {
    const there = new Set(present.map(identityOf))
    const merged = [...present, ...patch.filter((item) => !there.has(identityOf(item)))]
    return inOrder(merged, present, order, (item) => item)
  }
  const merged = mergeKeyed(kind, path, strategy.by, present, patch)
  return inOrder(merged, present, order, (item) => (isRecord(item) ? item[strategy.by] : undefined))
}

function mergeKeyed(kind: string, path: readonly string[], key: string, present: readonly unknown[], patch: readonly unknown[]): unknown[] {
  const items = patch.map((item) => {
    if (!isRecord(item)) throw badRequest(`error decoding patch: items of ${path.join('.')} must be objects`)
    return item
  })
  if (items.some((item) => item['$patch'] === 'replace')) {
    return items.filter((item) => item['$patch'] !== 'replace' || Object.keys(item).length > 1).map((item) => withoutDirectives(item))
  }
  const result: unknown[] = [...present]
  const places = firstPlaces(result.map((item) => (isRecord(item) ? item[key] : undefined)))
  for (const item of items) {
    const value = item[key]
    if (value === undefined) throw badRequest(`map: ${JSON.stringify(item)} does not contain declared merge key: ${key}`)
    const identity = identityOf(value)
    const at = places.get(identity)
    if (item['$patch'] === 'delete') {
      if (at !== undefined) result[at] = gone
      places.delete(identity)
    } else if (at !== undefined) result[at] = mergeMap(kind, path, result[at] as Json, item)
    else places.set(identity, result.push(mergeMap(kind, path, {}, item)) - 1)
  }
  return result.filter((item) => item !== gone)
}

/** Stands in a list for what was deleted from it. */
const gone = Symbol('gone')

/** What tells items apart, as a key of a map: lists may be long. */
function identityOf(value: unknown): string {
  return typeof value === 'object' ? JSON.stringify(value) : `${typeof value === 'bigint' ? 'number' : typeof value} ${String(value)}`
}

/** Where each value stands first. */
function firstPlaces(values: readonly unknown[]): Map<string, number> {
  const places = new Map<string, number>()
  for (const [i, value] of values.entries()) {
    const identity = identityOf(value)
    if (!places.has(identity)) places.set(identity, i)
  }
  return places
}

/**
 * Puts a merged list into the order that the client gave; items that only the server has keep their place among each
 * other, and stand before a listed item exactly if they did so before (strategicpatch's mergeSortedSlice).
 */
function inOrder(merged: readonly unknown[], before: readonly unknown[], order: unknown, identity: (item: unknown) => unknown): unknown[] {
  if (!Array.isArray(order)) return [...merged]
  const rankIn = (places: Map<string, number>) => (item: unknown): number => places.get(identityOf(identity(item))) ?? -1
  const [wanted, known] = [rankIn(firstPlaces(order.map(identity))), rankIn(firstPlaces(before.map(identity)))]
  const listed = merged.filter((item) => wanted(item) >= 0).sort((a, b) => wanted(a) - wanted(b))
  const others = merged.filter((item) => wanted(item) < 0)
  const result: unknown[] = []
  let [next, other] = [0, 0]
  while (next < listed.length && other < others.length) {
    const [left, right] = [known(others[other]), known(listed[next])]
    result.push(left >= 0 && right >= 0 && left < right ? others[other++] : listed[next++])
  }
  return [...result, ...others.slice(other), ...listed.slice(next)]
}

function withoutDirectivesIn(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutDirectivesIn)
  return isRecord(value) ? withoutDirectives(value) : value
}

/** What a patch says where there is nothing to merge with. */
function withoutDirectives(patch: Json): Json {
  const result: Json = {}
  for (const key in patch) {
    if (!key.startsWith('$') && patch[key] !== null) result[key] = withoutDirectivesIn(cloneJson(patch[key]))
  }
  return result
}
