// How a row of the table names its columns.
import type { KubeObject } from '../../../../api/types.ts'
import type { Column } from '../../descriptor.ts'
import { ageOf } from './age.ts'

type Cell = string | number | boolean | null

/** A column that is always shown. Its type is that of its cells: text unless `type` says otherwise. */
export function column<T extends KubeObject>(name: string, value: (object: T, now: number) => Cell, type: Column['type'] = 'string'): Column {
  return { name, type, value: (object, { now }) => value(object as T, now) }
}

export function integer<T extends KubeObject>(name: string, value: (object: T) => number | undefined): Column {
  return column<T>(name, (object) => value(object) ?? 0, 'integer')
}

/** A column that `-o wide` adds. */
export function wide<T extends KubeObject>(name: string, value: (object: T, now: number) => Cell): Column {
  return { ...column(name, value), priority: 1 }
}

export const nameColumn: Column = {
  ...column('Name', (object) => object.metadata.name ?? ''),
  format: 'name',
  description: 'Name must be unique within a namespace. Is required when creating resources, although some resources may allow a client to request the generation of an appropriate name automatically.',
}

export const ageColumn: Column = {
  ...column('Age', (object, now) => ageOf(object.metadata.creationTimestamp, now)),
  description: 'CreationTimestamp is a timestamp representing the server time when this object was created. It is represented in RFC3339 form and is in UTC.',
}

/** What is shown where there is nothing. */
export const none = '<none>'

/** A list in one cell: the first few, and how many more there are. */
export function some(items: readonly string[], max: number): string {
  if (items.length === 0) return none
  const shown = items.slice(0, max).join(',')
  return items.length > max ? `${shown} + ${items.length - max} more...` : shown
}
