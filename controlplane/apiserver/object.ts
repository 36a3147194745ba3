// Objects as the request path sees them: whatever JSON the client sent, with the metadata every kind has.
import type { KubeObject } from '../../api/types.ts'

/** An object of any kind, its own fields unknown. */
export interface ApiObject extends KubeObject {
  [field: string]: unknown
}

/** A deep copy of JSON. Faster than structuredClone, and keeps no identity with what is cached. */
export function cloneJson<T>(value: T): T {
  if (Array.isArray(value)) return value.map(cloneJson) as T
  if (value === null || typeof value !== 'object') return value
  const copy: Record<string, unknown> = {}
  for (const key in value) copy[key] = cloneJson((value as Record<string, unknown>)[key])
  return copy as T
}

/** Whether two JSON values are the same, whatever the order of keys. An absent key and `undefined` are the same. */
export function equalJson(a: unknown, b: unknown): boolean {
  if (a === b) return true
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false
  if (Array.isArray(a) || Array.isArray(b)) {
    return Array.isArray(a) && Array.isArray(b) && a.length === b.length && a.every((item, i) => equalJson(item, b[i]))
  }
  return sameFields(a as Record<string, unknown>, b as Record<string, unknown>)
}

/** Each pair of fields is compared once: twice would be twice at every level, and so beyond all bounds in what lies deep. */
function sameFields(a: Record<string, unknown>, b: Record<string, unknown>): boolean {
  for (const key in a) if (!equalJson(a[key], Object.hasOwn(b, key) ? b[key] : undefined)) return false
  for (const key in b) if (b[key] !== undefined && !Object.hasOwn(a, key)) return false
  return true
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** RFC 3339 with whole seconds, as metav1.Time is written. */
export function timestamp(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`
}

/** `v1` for the core group, `group/version` elsewhere. */
export function apiVersionOf({ group, version }: { readonly group: string; readonly version: string }): string {
  return group === '' ? version : `${group}/${version}`
}

/** Follows a dotted path (`.spec.replicas`). */
export function valueAt(object: unknown, path: string): unknown {
  let value = object
  for (const step of path.split('.')) {
    if (step === '') continue
    if (!isRecord(value)) return undefined
    value = value[step]
  }
  return value
}

/** Sets a value at a dotted path, making what is missing on the way. */
export function setValueAt(object: Record<string, unknown>, path: string, value: unknown): void {
  const steps = path.split('.').filter((step) => step !== '')
  const last = steps.pop()
  let target = object
  for (const step of steps) {
    if (!isRecord(target[step])) target[step] = {}
    target = target[step] as Record<string, unknown>
  }
  if (last !== undefined) target[last] = value
}
