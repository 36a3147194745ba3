// Objects beside their types: which fields an object has, and in which two objects differ.
// The rules are those of sigs.k8s.io/structured-merge-diff/v6/typed (tofieldset.go, compare.go).
import { equalJson, isRecord } from '../object.ts'
import { insert } from './field-set.ts'
import type { Fields } from './field-set.ts'
import type { MergeType } from './types.ts'

export type ListType = Extract<MergeType, { of: 'list' | 'set' }>

/** A list cannot be taken as the map that it is. */
export class ListError extends Error {}

/** By which path element an item of a list is known; undefined when it lacks a key. */
export function elementOf(type: ListType, item: unknown): string | undefined {
  if (type.of === 'set') return `v:${JSON.stringify(item)}`
  if (!isRecord(item)) return undefined
  const keys: Record<string, unknown> = {}
  for (const key of type.keys) {
    const value = item[key] ?? type.defaults[key]
    if (value !== undefined) keys[key] = value
  }
  for (const _key in keys) return `k:${JSON.stringify(keys)}`
  return undefined
}

/** The items of a list by their elements, in order. Items that share one, which the API allows in some lists, stand together. */
export function itemsOf(type: ListType, list: readonly unknown[]): Map<string, unknown[]> {
  const items = new Map<string, unknown[]>()
  list.forEach((item, i) => {
    const element = elementOf(type, item) ?? `i:${i}`
    const present = items.get(element)
    if (present === undefined) items.set(element, [item])
    else present.push(item)
  })
  return items
}

/** The fields that an object sets: what somebody who applies it owns. */
export function fieldsOf(type: MergeType, value: unknown): Fields {
  const fields: Fields = {}
  collect(type, value, [], fields)
  return fields
}

function collect(type: MergeType, value: unknown, path: string[], fields: Fields): void {
  if (type.of === 'object' && isRecord(value)) {
    for (const key in value) {
      const item = value[key]
      if (item === undefined) continue
      path.push(`f:${key}`)
      collect(type.field(key), item, path, fields)
      if (!type.isNamed(key) || isEmptyRecord(item)) insert(fields, path)
      path.pop()
    }
  } else if ((type.of === 'list' || type.of === 'set') && Array.isArray(value)) {
    const seen = new Set<string>()
    value.forEach((item, i) => {
      const element = elementOf(type, item)
      if (element === undefined) throw new ListError(`element ${i}: associative list with keys has an element that omits key field ${JSON.stringify(type.of === 'list' ? type.keys[0] : '')}`)
      if (seen.has(element)) throw new ListError(`duplicate entries for key ${element.slice(2)}`)
      seen.add(element)
      path.push(element)
      if (type.of === 'list') collect(type.item, item, path, fields)
      insert(fields, path)
      path.pop()
    })
  } else if (path.length > 0) insert(fields, path)
}

function isEmptyRecord(value: unknown): boolean {
  return isRecord(value) && Object.keys(value).length === 0
}

export interface Comparison {
  /** Added and modified. */
  readonly changed: Fields
  readonly removed: Fields
}

/** What the server itself decides has no owner. */
const unowned: Readonly<Record<string, ReadonlySet<string>>> = {
  '': new Set(['apiVersion', 'kind']),
  'f:metadata': new Set(['name', 'namespace', 'creationTimestamp', 'selfLink', 'uid', 'generation', 'managedFields', 'resourceVersion']),
}

/** Takes out of a set what has no owner. */
export function withoutUnowned(fields: Fields): Fields {
  const { 'f:apiVersion': _apiVersion, 'f:kind': _kind, 'f:metadata': metadata, ...rest } = fields
  const owned = Object.fromEntries(Object.entries(metadata ?? {}).filter(([key]) => key !== '.' && unowned['f:metadata']?.has(key.slice(2)) !== true))
  return Object.keys(owned).length === 0 ? rest : { 'f:metadata': owned, ...rest }
}

/** What has changed from one state to another. */
export function compare(type: MergeType, before: unknown, after: unknown): Comparison {
  const comparison = { changed: {}, removed: {} }
  compareAt(type, before, after, [], comparison)
  return comparison
}

function compareAt(type: MergeType, before: unknown, after: unknown, path: string[], out: Comparison): void {
  if (before === after) return
  if (type.of === 'object' && isRecord(before ?? {}) && isRecord(after ?? {})) return compareObjects(type, (before ?? {}) as Record<string, unknown>, (after ?? {}) as Record<string, unknown>, path, out)
  if ((type.of === 'list' || type.of === 'set') && Array.isArray(before ?? []) && Array.isArray(after ?? [])) return compareLists(type, (before ?? []) as unknown[], (after ?? []) as unknown[], path, out)
  if (after === undefined) insert(out.removed, path)
  else if (before === undefined || !equalJson(before, after)) insert(out.changed, path)
}

function compareObjects(type: Extract<MergeType, { of: 'object' }>, before: Record<string, unknown>, after: Record<string, unknown>, path: string[], out: Comparison): void {
  const skipped = path.length < 2 ? unowned[path[0] ?? ''] : undefined
  const step = (key: string): void => {
    if (skipped?.has(key) === true) return
    const [was, is] = [before[key], after[key]]
    if (was === is) return
    path.push(`f:${key}`)
    compareAt(type.field(key), was, is, path, out)
    if (is === undefined) insert(out.removed, path)
    else if (was === undefined && (type.isRecorded(key) || isEmptyRecord(is))) insert(out.changed, path)
    path.pop()
  }
  for (const key in before) step(key)
  for (const key in after) if (!Object.hasOwn(before, key)) step(key)
}

function compareLists(type: ListType, before: readonly unknown[], after: readonly unknown[], path: string[], out: Comparison): void {
  const [was, is] = [itemsOf(type, before), itemsOf(type, after)]
  for (const element of new Set([...was.keys(), ...is.keys()])) {
    const [old, now] = [was.get(element), is.get(element)]
    path.push(element)
    if (type.of === 'list' && (old?.length ?? 1) === 1 && (now?.length ?? 1) === 1) compareAt(type.item, old?.[0], now?.[0], path, out)
    else if (old !== undefined && now !== undefined && !equalJson(old, now)) insert(out.changed, path)
    if (now === undefined) insert(out.removed, path)
    else if (old === undefined) insert(out.changed, path)
    path.pop()
  }
}
