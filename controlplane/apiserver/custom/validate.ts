// Whether a value is as its schema says, in the words of kube-openapi's validation (k8s.io/kube-openapi/pkg/validation).
import { isIPv4, isIPv6 } from 'node:net'
import type { FieldError } from '../descriptor.ts'
import { equalJson, isRecord } from '../object.ts'
import { patternOf } from '../pattern.ts'
import { fieldBefore, itemBefore, propertyOf } from './schema.ts'
import type { Before, Schema } from './schema.ts'

/** What is wrong with a value; `path` names it (`spec.replicas`). What is as it was before is let through, as the schema may be newer (ratcheting, KEP-4008). */
export function validateValue(schema: Schema, value: unknown, path: string, before?: Before): FieldError[] {
  if (before !== undefined && equalJson(before.value, value)) return []
  const errors: FieldError[] = []
  const wrongType = typeError(schema, value, path)
  if (wrongType !== undefined) return [wrongType]
  if (value === null) return []
  if (schema.enum !== undefined && !schema.enum.some((one) => equalJson(one, value))) {
    errors.push({ field: path, type: 'FieldValueNotSupported', value, detail: `supported values: ${schema.enum.map((one) => JSON.stringify(one)).join(', ')}` })
  }
  if (typeof value === 'string') checkString(schema, value, path, errors)
  else if (typeof value === 'number' || typeof value === 'bigint') checkNumber(schema, value, path, errors)
  else if (Array.isArray(value)) checkList(schema, { value, path, before }, errors)
  else if (isRecord(value)) checkRecord(schema, { value, path, before }, errors)
  checkCombinations(schema, value, path, errors)
  return errors
}

function kindOf(value: unknown): string {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'array'
  if (typeof value === 'bigint') return 'integer'
  return typeof value === 'number' ? (Number.isInteger(value) ? 'integer' : 'number') : typeof value
}

function typeError(schema: Schema, value: unknown, path: string): FieldError | undefined {
  const kind = kindOf(value)
  const { type } = schema
  if (value === null && schema.nullable === true) return undefined
  if (schema['x-kubernetes-int-or-string'] === true) return kind === 'integer' || kind === 'string' ? undefined : ofType(path, 'integer,string', kind)
  if (type === undefined || type === '' || kind === type || (type === 'number' && kind === 'integer')) return undefined
  return ofType(path, type, kind)
}

function ofType(path: string, type: string, kind: string): FieldError {
  return { field: path, type: 'FieldValueInvalid', value: kind, detail: `${inBody(path)} must be of type ${type}: ${JSON.stringify(kind)}` }
}

function inBody(path: string): string {
  return path === '' ? 'in body' : `${path} in body`
}

const formats: Readonly<Record<string, (text: string) => boolean>> = {
  'date-time': (text) => /^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d)$/.test(text) && !Number.isNaN(Date.parse(text)),
  date: (text) => /^\d{4}-\d\d-\d\d$/.test(text) && !Number.isNaN(Date.parse(text)),
  byte: (text) => /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(text),
  ipv4: isIPv4,
  ipv6: isIPv6,
  uuid: (text) => /^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$/i.test(text),
  duration: (text) => /^[+-]?(?:\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h|d|w))+$/.test(text) || text === '0',
  uri: (text) => URL.canParse(text),
  email: (text) => /^[^@\s]+@[^@\s]+$/.test(text),
  hostname: (text) => /^(?=.{1,253}$)[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?)*$/i.test(text),
  cidr: (text) => /^[0-9a-fA-F.:]+\/\d{1,3}$/.test(text),
}

function checkString(schema: Schema, value: string, path: string, errors: FieldError[]): void {
  const { minLength, maxLength, pattern, format } = schema
  const bad = (detail: string): void => void errors.push({ field: path, type: 'FieldValueInvalid', value, detail: `${inBody(path)} ${detail}` })
  const length = [...value].length
  if (maxLength !== undefined && length > maxLength) errors.push({ field: path, type: 'FieldValueTooLong', detail: `may not be more than ${maxLength} bytes` })
  if (minLength !== undefined && length < minLength) bad(`should be at least ${minLength} chars long`)
  if (pattern !== undefined && patternOf(pattern)?.test(value) === false) bad(`should match '${pattern}'`)
  const check = format !== undefined && Object.hasOwn(formats, format) ? formats[format] : undefined
  if (check?.(value) === false) bad(`must be of type ${format ?? ''}: ${JSON.stringify(value)}`)
}

function checkNumber(schema: Schema, value: number | bigint, path: string, errors: FieldError[]): void {
  const { minimum, maximum, exclusiveMinimum, exclusiveMaximum, multipleOf, format } = schema
  const bad = (detail: string): void => void errors.push({ field: path, type: 'FieldValueInvalid', value, detail: `${inBody(path)} ${detail}` })
  if (minimum !== undefined && (exclusiveMinimum === true ? value <= minimum : value < minimum)) bad(`should be greater than ${exclusiveMinimum === true ? '' : 'or equal to '}${minimum}`)
  if (maximum !== undefined && (exclusiveMaximum === true ? value >= maximum : value > maximum)) bad(`should be less than ${exclusiveMaximum === true ? '' : 'or equal to '}${maximum}`)
  if (multipleOf !== undefined && !Number.isInteger(Number(value) / multipleOf)) bad(`should be a multiple of ${multipleOf}`)
  if (format === 'int32' && (value < -(2 ** 31) || value >= 2 ** 31)) bad(`must be of type int32: "integer"`)
}

interface Place<T> {
  readonly value: T
  readonly path: string
  readonly before: Before | undefined
}

function checkList(schema: Schema, { value: list, path, before }: Place<readonly unknown[]>, errors: FieldError[]): void {
  const { minItems, maxItems, items, uniqueItems } = schema
  if (maxItems !== undefined && list.length > maxItems) errors.push({ field: path, type: 'FieldValueTooMany', value: list.length, detail: `must have at most ${maxItems} items` })
  if (minItems !== undefined && list.length < minItems) errors.push({ field: path, type: 'FieldValueInvalid', value: list.length, detail: `${inBody(path)} should have at least ${minItems} items` })
  if (items !== undefined) list.forEach((item, i) => errors.push(...validateValue(items, item, `${path}[${i}]`, itemBefore(schema, before, item))))
  const keys = schema['x-kubernetes-list-type'] === 'map' ? (schema['x-kubernetes-list-map-keys'] ?? []) : undefined
  if (keys === undefined && schema['x-kubernetes-list-type'] !== 'set' && uniqueItems !== true) return
  const seen = new Set<string>()
  list.forEach((item, i) => {
    const identity = keys === undefined ? item : Object.fromEntries(keys.map((key) => [key, isRecord(item) ? item[key] : undefined]))
    const text = JSON.stringify(identity)
    if (seen.has(text)) errors.push({ field: `${path}[${i}]`, type: 'FieldValueDuplicate', value: identity, detail: '' })
    seen.add(text)
  })
}

function checkRecord(schema: Schema, { value: record, path, before }: Place<Record<string, unknown>>, errors: FieldError[]): void {
  const { required = [], minProperties, maxProperties } = schema
  const below = (key: string): string => (path === '' ? key : `${path}.${key}`)
  for (const key of required) if (record[key] === undefined) errors.push({ field: below(key), type: 'FieldValueRequired', detail: '' })
  const count = Object.keys(record).length
  if (maxProperties !== undefined && count > maxProperties) errors.push({ field: path, type: 'FieldValueTooMany', value: count, detail: `must have at most ${maxProperties} items` })
  if (minProperties !== undefined && count < minProperties) errors.push({ field: path, type: 'FieldValueInvalid', value: count, detail: `${inBody(path)} should have at least ${minProperties} properties` })
  for (const key in record) {
    const property = propertyOf(schema, key)
    if (property !== undefined) errors.push(...validateValue(property, record[key], below(key), fieldBefore(before, key)))
  }
}

function checkCombinations(schema: Schema, value: unknown, path: string, errors: FieldError[]): void {
  const passes = (one: Schema): boolean => validateValue(one, value, path).length === 0
  const bad = (detail: string): void => void errors.push({ field: path, type: 'FieldValueInvalid', value: '', detail: `${JSON.stringify(path)} ${detail}` })
  for (const one of schema.allOf ?? []) errors.push(...validateValue(one, value, path))
  if (schema.anyOf !== undefined && !schema.anyOf.some(passes)) bad('must validate at least one schema (anyOf)')
  if (schema.oneOf !== undefined && schema.oneOf.filter(passes).length !== 1) bad(`must validate one and only one schema (oneOf). ${schema.oneOf.some(passes) ? 'Found more than one valid alternative' : 'Found none valid'}`)
  if (schema.not !== undefined && passes(schema.not)) bad('must not validate the schema (not)')
}
