// Structural schemas of custom resources (apiextensions.k8s.io/v1, JSONSchemaProps): what is unknown is taken out, what is missing
// gets its default.
import { cloneJson, isRecord } from '../object.ts'

/** As much of JSONSchemaProps as a structural schema may use. */
export interface Schema {
  readonly type?: string
  readonly format?: string
  readonly description?: string
  readonly properties?: Readonly<Record<string, Schema>>
  readonly additionalProperties?: Schema | boolean
  readonly items?: Schema
  readonly required?: readonly string[]
  readonly nullable?: boolean
  readonly default?: unknown
  readonly enum?: readonly unknown[]
  readonly pattern?: string
  readonly minimum?: number
  readonly maximum?: number
  readonly exclusiveMinimum?: boolean
  readonly exclusiveMaximum?: boolean
  readonly multipleOf?: number
  readonly minLength?: number
  readonly maxLength?: number
  readonly minItems?: number
  readonly maxItems?: number
  readonly uniqueItems?: boolean
  readonly minProperties?: number
  readonly maxProperties?: number
  readonly allOf?: readonly Schema[]
  readonly anyOf?: readonly Schema[]
  readonly oneOf?: readonly Schema[]
  readonly not?: Schema
  readonly 'x-kubernetes-preserve-unknown-fields'?: boolean
  readonly 'x-kubernetes-embedded-resource'?: boolean
  readonly 'x-kubernetes-int-or-string'?: boolean
  readonly 'x-kubernetes-list-type'?: 'atomic' | 'set' | 'map'
  readonly 'x-kubernetes-list-map-keys'?: readonly string[]
  readonly 'x-kubernetes-map-type'?: 'atomic' | 'granular'
  readonly 'x-kubernetes-validations'?: readonly Rule[]
}

export interface Rule {
  readonly rule: string
  readonly message?: string
  readonly messageExpression?: string
  readonly reason?: string
  readonly fieldPath?: string
  readonly optionalOldSelf?: boolean
}

/** What every object has, whatever its schema says. */
const ofObjects = new Set(['apiVersion', 'kind', 'metadata'])

/** Words that CEL keeps for itself (k8s.io/apiserver/pkg/cel: celReservedSymbols). */
const reserved = new Set(['true', 'false', 'null', 'in', 'as', 'break', 'const', 'continue', 'else', 'for', 'function', 'if', 'import', 'let', 'loop', 'package', 'namespace', 'return'])
const escapes = { __: '__underscores__', '.': '__dot__', '-': '__dash__', '/': '__slash__' } as const

/** The name of a property in rules, where not every name can be written: `namespace` is `__namespace__`, `a.b-c` is `a__dot__b__dash__c`. */
export function celName(property: string): string {
  if (reserved.has(property)) return `__${property}__`
  return property.replaceAll(/__|[./-]/g, (part) => escapes[part as keyof typeof escapes])
}

/** The property that a rule calls so. */
export function propertyNamed(schema: Schema, name: string): Schema | undefined {
  const named = schema.properties === undefined || Object.hasOwn(schema.properties, name) ? name : (Object.keys(schema.properties).find((property) => celName(property) === name) ?? name)
  return propertyOf(schema, named)
}

/** The schema of a property, as far as one is declared. */
export function propertyOf(schema: Schema, key: string): Schema | undefined {
  const { properties, additionalProperties } = schema
  if (properties !== undefined && Object.hasOwn(properties, key)) return properties[key]
  return typeof additionalProperties === 'object' ? additionalProperties : undefined
}

/** What was before, if something was: of a value that could be found again. */
export interface Before {
  readonly value: unknown
}

/** What a field was before, if it was there. */
export function fieldBefore(before: Before | undefined, key: string): Before | undefined {
  return before !== undefined && isRecord(before.value) && before.value[key] !== undefined ? { value: before.value[key] } : undefined
}

/** What an item was before: those of lists that are maps are the same by their keys, of others nothing is known. */
export function itemBefore(schema: Schema, before: Before | undefined, item: unknown): Before | undefined {
  if (before === undefined || schema['x-kubernetes-list-type'] !== 'map' || !Array.isArray(before.value) || !isRecord(item)) return undefined
  const keys = schema['x-kubernetes-list-map-keys'] ?? []
  const found = itemsOf(before.value, keys).get(identityOf(item, keys))
  return found === undefined ? undefined : { value: found }
}

/** Takes out of an object what its schema does not know; returns it as `fieldValidation` names it. */
export function prune(schema: Schema, object: Record<string, unknown>): string[] {
  const unknown: string[] = []
  pruneRecord({ ...schema, 'x-kubernetes-embedded-resource': true }, object, '', unknown)
  return unknown
}

function pruneRecord(schema: Schema, record: Record<string, unknown>, path: string, unknown: string[]): void {
  const isFree = schema['x-kubernetes-preserve-unknown-fields'] === true || schema.additionalProperties === true
  for (const key of Object.keys(record)) {
    const at = path === '' ? key : `${path}.${key}`
    if (schema['x-kubernetes-embedded-resource'] === true && ofObjects.has(key)) continue
    const property = propertyOf(schema, key)
    if (property !== undefined) pruneValue(property, record[key], at, unknown)
    else if (!isFree) {
      unknown.push(`unknown field ${JSON.stringify(at)}`)
      delete record[key]
    }
  }
}

function pruneValue(schema: Schema, value: unknown, path: string, unknown: string[]): void {
  if (Array.isArray(value)) {
    const { items } = schema
    if (items !== undefined) value.forEach((item, i) => pruneValue(items, item, `${path}[${i}]`, unknown))
  } else if (isRecord(value)) pruneRecord(schema, value, path, unknown)
}

/** Fills in what is missing, at every depth that is there. A null is missing too, unless the schema allows it. */
export function fillDefaults(schema: Schema, value: unknown): void {
  if (Array.isArray(value)) {
    if (schema.items !== undefined) for (const item of value) fillDefaults(schema.items, item)
    return
  }
  if (!isRecord(value)) return
  for (const [key, property] of Object.entries(schema.properties ?? {})) {
    const isMissing = value[key] === undefined || (value[key] === null && property.nullable !== true)
    if (property.default !== undefined && isMissing) value[key] = cloneJson(property.default)
  }
  for (const key of Object.keys(value)) {
    const property = propertyOf(schema, key)
    if (property === undefined) continue
    if (value[key] === null && property.nullable !== true) delete value[key]
    else fillDefaults(property, value[key])
  }
}

/** Items by their keys, once for each list: a list may be long, and each of its new items asks. */
const indexed = new WeakMap<readonly unknown[], { readonly keys: readonly string[]; readonly items: ReadonlyMap<string, unknown> }>()

function itemsOf(list: readonly unknown[], keys: readonly string[]): ReadonlyMap<string, unknown> {
  const known = indexed.get(list)
  if (known?.keys === keys) return known.items
  const items = new Map<string, unknown>()
  for (const item of list) {
    const identity = isRecord(item) ? identityOf(item, keys) : ''
    if (identity !== '' && !items.has(identity)) items.set(identity, item)
  }
  indexed.set(list, { keys, items })
  return items
}

function identityOf(item: Record<string, unknown>, keys: readonly string[]): string {
  return JSON.stringify(keys.map((key) => item[key]))
}
