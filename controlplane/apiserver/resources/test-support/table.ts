// What tests of the resource table share: finding a row, and taking an object through its rules as the writer does.
import type { KubeObject } from '../../../../api/types.ts'
import type { Column, FieldError, ResourceDescriptor, Strategy, WriteContext } from '../../descriptor.ts'
import { cloneJson } from '../../object.ts'
import type { ApiObject } from '../../object.ts'
import { qualified } from '../../status.ts'
import { builtinResources } from '../index.ts'

export const now = Date.UTC(2026, 0, 10)

/** RFC 3339, so many seconds before `now`. */
export function ago(seconds: number): string {
  return new Date(now - seconds * 1000).toISOString()
}

export function rowNamed(name: string, table: readonly ResourceDescriptor[] = builtinResources()): ResourceDescriptor {
  const row = table.find((row) => qualified(row) === name)
  if (row === undefined) throw new Error(`Cannot find ${name}`)
  return row
}

/** A context over a few objects, by resource. */
export function contextOf(objects: Readonly<Record<string, KubeObject[]>> = {}, random: () => number = Math.random): WriteContext {
  return {
    user: { name: 'jane', groups: ['system:authenticated'] },
    now,
    random,
    dryRun: false,
    lookup: (resource, namespace, name) => objects[resource]?.find(({ metadata }) => metadata.name === name && metadata.namespace === namespace),
    list: (resource, namespace) => (objects[resource] ?? []).filter(({ metadata }) => namespace === undefined || metadata.namespace === namespace),
    holders: (resource, valuesOf, value) => (objects[resource] ?? []).filter((object) => valuesOf(object).includes(value)).map(({ metadata: { namespace = '', name = '' } }) => ({ namespace, name })),
  }
}

function strategyOf(name: string): Strategy {
  return rowNamed(name).strategy ?? {}
}

/** What a create makes of an object, up to its reservation. */
export function created(name: string, object: Record<string, unknown>, context = contextOf()): ApiObject {
  const made = cloneJson({ metadata: {}, ...object }) as ApiObject
  const strategy = strategyOf(name)
  strategy.applyDefaults?.(made)
  strategy.prepareForCreate?.(made, context)
  return made
}

/** `field: type: detail` of everything that is wrong with a new object. */
export function refusals(name: string, object: Record<string, unknown>): string[] {
  const made = created(name, { metadata: { name: 'x', namespace: 'default' }, ...object })
  return (strategyOf(name).validate?.(made, contextOf()) ?? []).map(shown)
}

/** The same for an update of what a create made. */
export function updateRefusals(name: string, before: Record<string, unknown>, after: (object: ApiObject) => void): string[] {
  const old = created(name, { metadata: { name: 'x', namespace: 'default' }, ...before })
  const object = cloneJson(old)
  after(object)
  const strategy = strategyOf(name)
  strategy.applyDefaults?.(object)
  strategy.prepareForUpdate?.(object, old, contextOf())
  return [...(strategy.validate?.(object, contextOf()) ?? []), ...(strategy.validateUpdate?.(object, old, contextOf()) ?? [])].map(shown)
}

function shown({ field, type, detail }: FieldError): string {
  return [field, type.replace('FieldValue', ''), detail].filter((part) => part !== '').join(': ')
}

/** The cells of an object as `kubectl get` prints them, or `-o wide` with `wide`. */
export function cells(columns: readonly Column[], object: object, wide = false): string {
  const shownColumns = columns.filter(({ priority = 0 }) => wide || priority === 0)
  return shownColumns.map((column) => String(column.value(object as KubeObject, { now }))).join(' | ')
}
