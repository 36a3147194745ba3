// The generated tables, read when they are first needed.
import { readFileSync } from 'node:fs'

/** How a list of a definition is merged. */
export interface ListRule {
  /** `patchMergeKey`; of a list of plain values, an empty string. */
  readonly merge?: string
  readonly retainKeys?: boolean
  readonly keys?: readonly string[]
  readonly set?: boolean
}

export type Plain = 'string' | 'boolean' | 'int32' | 'int64' | 'double' | 'time' | 'microtime' | 'bytes' | 'intOrString' | 'quantity' | 'any'

export type FieldType =
  | { readonly of: 'plain'; readonly plain: Plain }
  | { readonly of: 'list' | 'map'; readonly item: FieldType }
  | { readonly of: 'object'; readonly name: string }

export interface Field {
  readonly type: FieldType
  readonly required: boolean
}

export type Definition = ReadonlyMap<string, Field>

let tables: { readonly lists: Readonly<Record<string, ListRule>>; readonly definitions: Readonly<Record<string, Readonly<Record<string, string>>>> } | undefined
let descriptions: Readonly<Record<string, Readonly<Record<string, string>>>> | undefined
const parsed = new Map<string, Definition>()

function load(): NonNullable<typeof tables> {
  tables ??= JSON.parse(readFileSync(new URL('fields.json', import.meta.url), 'utf8')) as NonNullable<typeof tables>
  return tables
}

/** `core` for the core group, the first part of the name elsewhere (`rbac` of `rbac.authorization.k8s.io`). */
export function shortGroup(group: string): string {
  return group === '' ? 'core' : (group.split('.')[0] ?? group)
}

/** The name of a kind's definition (`core.v1.Pod`), or undefined when it is none of the built-in ones. */
export function definitionName({ group, version, kind }: { readonly group: string; readonly version: string; readonly kind: string }): string | undefined {
  // A group of somebody else's must not pass for a built-in one that begins with the same word.
  if (group.includes('.') && !group.endsWith('.k8s.io')) return undefined
  const name = `${shortGroup(group)}.${version}.${kind}`
  return Object.hasOwn(load().definitions, name) ? name : undefined
}

/** The fields of a definition. */
export function definition(name: string): Definition {
  let fields = parsed.get(name)
  if (fields === undefined) {
    const table = load().definitions
    const written = Object.hasOwn(table, name) ? table[name] : undefined
    if (written === undefined) throw new Error(`Cannot find definition ${name}`)
    fields = new Map(Object.entries(written).map(([field, type]) => [field, { type: parseType(type.replace('!', '')), required: type.endsWith('!') }]))
    parsed.set(name, fields)
  }
  return fields
}

export function listRule(name: string, field: string): ListRule | undefined {
  const { lists } = load()
  return Object.hasOwn(lists, `${name}.${field}`) ? lists[`${name}.${field}`] : undefined
}

/** What is said of a field, or of the definition itself with an empty name. */
export function describe(name: string, field: string): string | undefined {
  descriptions ??= (JSON.parse(readFileSync(new URL('descriptions.json', import.meta.url), 'utf8')) as { definitions: NonNullable<typeof descriptions> }).definitions
  return descriptions[name]?.[field]
}

function parseType(text: string): FieldType {
  if (text.startsWith('[]')) return { of: 'list', item: parseType(text.slice(2)) }
  if (text.startsWith('{}')) return { of: 'map', item: parseType(text.slice(2)) }
  if (text.startsWith('#')) return { of: 'object', name: text.slice(1) }
  return { of: 'plain', plain: text as Plain }
}
