// Objects beside their types: which fields an object has, and in which two objects differ.
// The rules are those of sigs.k8s.io/structured-merge-diff/v6/typed (tofieldset.go, compare.go).
import { equalJson, isRecord } from '../object.ts'
import { leaf } from './field-set.ts'
import type { Fields } from './field-set.ts'
import type { MergeType } from './types.ts'

/** Names of fields whose elements are kept ready. */
const elementsMax = 4096

type ObjectType = Extract<MergeType, { of: 'object' }>
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
  return within(type, value, isAppliedField, false) ?? {}
}

/** Whether a field is in a set itself, beside what is below it. */
type IsMember = (type: ObjectType, key: string, item: unknown) => boolean

const isAppliedField: IsMember = (type, key, item) => !type.isNamed(key) || isEmptyRecord(item)
const isWrittenField: IsMember = (type, key, item) => type.isRecorded(key) || isEmptyRecord(item)

/** All that is in a value, as a node of a set; undefined when there is nothing to be in the set. */
function within(type: MergeType, value: unknown, isMember: IsMember, member: boolean): Fields | undefined {
  const node: Fields = member ? { '.': leaf } : {}
  let isBare = true
  if (type.of === 'object' && isRecord(value)) {
    for (const key in value) {
      const item = value[key]
      if (item === undefined) continue
      const inner = within(type.field(key), item, isMember, isMember(type, key, item))
      if (inner === undefined) continue
      node[fieldElement(key)] = inner
      isBare = false
    }
  } else if ((type.of === 'list' || type.of === 'set') && Array.isArray(value)) {
    // Of an ordinary write, items that share an element stand together.
    const isApplied = isMember === isAppliedField
    value.forEach((item, i) => {
      const element = elementOf(type, item) ?? (isApplied ? undefined : `i:${i}`)
      if (element === undefined) throw new ListError(`element ${i}: associative list with keys has an element that omits key field ${JSON.stringify(type.of === 'list' ? type.keys[0] : '')}`)
      if (isApplied && Object.hasOwn(node, element)) throw new ListError(`duplicate entries for key ${element.slice(2)}`)
      node[element] = (type.of === 'list' ? within(type.item, item, isMember, true) : undefined) ?? leaf
      isBare = false
    })
  } else return leaf
  return isBare ? (member ? leaf : undefined) : node
}

const elements = new Map<string, string>()

/** `f:name`, made once for the names that come again and again. */
function fieldElement(key: string): string {
  let element = elements.get(key)
  if (element === undefined) {
    element = `f:${key}`
    if (elements.size < elementsMax) elements.set(key, element)
  }
  return element
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
  const { changed = {}, removed = {} } = compareAt(type, before, after, '', false)
  return { changed, removed }
}

/** Nodes of the sets of what changed and what went, if anything did. */
interface Difference {
  changed?: Fields
  removed?: Fields
}

/** `place` is the element of the value at the first level, the root's is empty. `member`: whether it is itself in the set when it comes. */
function compareAt(type: MergeType, before: unknown, after: unknown, place: string | undefined, member: boolean): Difference {
  if (before === after) return {}
  const isRoot = place === '' || place === 'f:metadata'
  if (after === undefined && !isRoot) return { removed: within(type, before, isRemoved, true) ?? leaf }
  if (before === undefined && !isRoot) return only('changed', within(type, after, isWrittenField, member))
  if (type.of === 'object' && isRecord(before ?? {}) && isRecord(after ?? {})) return compareObjects(type, (before ?? {}) as Record<string, unknown>, (after ?? {}) as Record<string, unknown>, place)
  if ((type.of === 'list' || type.of === 'set') && Array.isArray(before) && Array.isArray(after)) return compareLists(type, before, after)
  return equalJson(before, after) ? {} : { changed: leaf }
}

const isRemoved: IsMember = () => true

function only(what: keyof Difference, node: Fields | undefined): Difference {
  return node === undefined ? {} : { [what]: node }
}

function compareObjects(type: ObjectType, before: Record<string, unknown>, after: Record<string, unknown>, place: string | undefined): Difference {
  const skipped = place === undefined ? undefined : unowned[place]
  const out: Difference = {}
  const step = (key: string): void => {
    const [was, is] = [before[key], after[key]]
    if (was === is || skipped?.has(key) === true) return
    const element = fieldElement(key)
    put(out, element, compareAt(type.field(key), was, is, place === '' ? element : undefined, isWrittenField(type, key, is)))
  }
  for (const key in before) step(key)
  for (const key in after) if (!Object.hasOwn(before, key)) step(key)
  return out
}

function compareLists(type: ListType, before: readonly unknown[], after: readonly unknown[]): Difference {
  const [was, is] = [itemsOf(type, before), itemsOf(type, after)]
  const out: Difference = {}
  const itemType: MergeType = type.of === 'list' ? type.item : { of: 'whole' }
  for (const element of new Set([...was.keys(), ...is.keys()])) {
    const [old, now] = [was.get(element), is.get(element)]
    const isSingle = (old?.length ?? 1) === 1 && (now?.length ?? 1) === 1
    if (isSingle) put(out, element, compareAt(itemType, old?.[0], now?.[0], undefined, true))
    else if (now === undefined) put(out, element, { removed: leaf })
    else if (!equalJson(old, now)) put(out, element, { changed: leaf })
  }
  return out
}

function put(out: Difference, element: string, { changed, removed }: Difference): void {
  if (changed !== undefined) (out.changed ??= {})[element] = changed
  if (removed !== undefined) (out.removed ??= {})[element] = removed
}
