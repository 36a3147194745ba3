// Putting an applied configuration into an object, and taking out what is no longer in it
// (sigs.k8s.io/structured-merge-diff/v6/typed: merge.go, remove.go). Pure.
import { cloneJson, isRecord } from '../object.ts'
import type { Fields } from './field-set.ts'
import type { MergeType } from './types.ts'
import { elementOf, itemsOf } from './walk.ts'
import type { ListType } from './walk.ts'

/** The live value with what is configured laid over it. */
export function mergeApplied(type: MergeType, live: unknown, config: unknown): unknown {
  if (type.of === 'object' && isRecord(live) && isRecord(config)) {
    const merged: Record<string, unknown> = { ...live }
    for (const key in config) merged[key] = mergeApplied(type.field(key), live[key], config[key])
    return merged
  }
  if ((type.of === 'list' || type.of === 'set') && Array.isArray(config)) return mergeLists(type, Array.isArray(live) ? live : [], config)
  return cloneJson(config)
}

/** Items in the order of the configuration; what only the live list has keeps its place among its neighbours. */
function mergeLists(type: ListType, live: readonly unknown[], config: readonly unknown[]): unknown[] {
  const [lived, configured] = [itemsOf(type, live), itemsOf(type, config)]
  const merge = (element: string): unknown => (type.of === 'list' ? mergeApplied(type.item, lived.get(element)?.[0], configured.get(element)?.[0]) : configured.get(element)?.[0])
  const left = live.map((item, i) => ({ item, element: elementOf(type, item) ?? `i:${i}` }))
  const right = [...configured.keys()]
  const shared = right.filter((element) => lived.has(element))
  const merged: unknown[] = []
  const done = new Set<string>()
  const take = (element: string): void => {
    if (!done.has(element)) merged.push(merge(element))
    done.add(element)
    if (shared[0] === element) shared.shift()
  }
  let [l, r] = [0, 0]
  while (l < left.length || r < right.length) {
    const [a, b] = [left[l], right[r]]
    if (a === undefined) take(right[r++] as string)
    else if (!configured.has(a.element)) {
      merged.push(a.item)
      l++
    } else if (done.has(a.element) || (b !== undefined && a.element !== b && shared[0] !== undefined && shared[0] !== a.element)) l++
    else if (b !== undefined) take(right[r++] as string)
    else l++
  }
  return merged
}

/** A value without the fields of a set; undefined when nothing is left. */
export function removeFields(type: MergeType, value: unknown, fields: Fields): unknown {
  if (type.of === 'object' && isRecord(value)) {
    const kept: Record<string, unknown> = {}
    for (const key in value) {
      const rest = withoutAt(type.field(key), value[key], fields, `f:${key}`)
      if (rest !== undefined) kept[key] = rest
    }
    return Object.keys(kept).length === 0 && Object.keys(value).length > 0 ? undefined : kept
  }
  if ((type.of === 'list' || type.of === 'set') && Array.isArray(value)) {
    const itemType: MergeType = type.of === 'list' ? type.item : { of: 'whole' }
    const kept = value.map((item, i) => withoutAt(itemType, item, fields, elementOf(type, item) ?? `i:${i}`)).filter((item) => item !== undefined)
    return kept.length === 0 && value.length > 0 ? undefined : kept
  }
  return value
}

function withoutAt(type: MergeType, value: unknown, fields: Fields, element: string): unknown {
  if (!Object.hasOwn(fields, element)) return value
  const node = fields[element] as Fields
  if (Object.keys(node).length === 0 || Object.hasOwn(node, '.')) return undefined
  return removeFields(type, value, node)
}
