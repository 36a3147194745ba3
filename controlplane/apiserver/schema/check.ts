// Whether the fields of an object are those of its kind, as Go's decoder sees it (sigs.k8s.io/json with strict mode).
import { prune } from '../custom/schema.ts'
import type { Schema } from '../custom/schema.ts'
import type { ApiObject } from '../object.ts'
import { isInt64 } from '../json.ts'
import { isRecord } from '../object.ts'
import { badRequest } from '../status.ts'
import { definition, definitionName } from './definitions.ts'
import type { FieldType, Plain } from './definitions.ts'
import { canonicalQuantity } from './quantity.ts'

const metadata = 'meta.v1.ObjectMeta'

interface GroupVersionKind {
  readonly group: string
  readonly version: string
  readonly kind: string
}

/** Where a value stands: as strict decoding names it, and as Go's type errors do. */
interface Place {
  /** `spec.containers[0].image` */
  readonly path: string
  /** `spec.containers.image` */
  readonly fields: string
  /** The definition that has the field. */
  readonly owner: string
}

/** What is wrong with a value, in the decoder's words. */
class DecodeError extends Error {}

/**
 * Takes unknown fields out of an object and returns them as `fieldValidation` names them: `unknown field "spec.containers[0].imagge"`.
 * Quantities get their canonical form. A value of the wrong type is a `StatusError` 400, in the words of Go's decoder. Custom
 * resources are held to their schema, kinds of which there is none pass as they are.
 */
export function checkFields(kind: GroupVersionKind & { readonly schema?: Schema }, object: ApiObject): string[] {
  const name = definitionName(kind)
  if (name === undefined && kind.schema === undefined) return []
  const unknown: string[] = []
  try {
    if (name !== undefined) checkObject(object, name, { path: '', fields: '', owner: name }, unknown)
    else if (kind.schema !== undefined) {
      checkObject(object.metadata as Record<string, unknown>, metadata, { path: 'metadata', fields: 'metadata', owner: metadata }, unknown)
      unknown.push(...prune(kind.schema, object))
    }
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error
    throw badRequest(`${kind.kind} in version ${JSON.stringify(kind.version)} cannot be handled as a ${kind.kind}: ${error.message}`)
  }
  return unknown
}

/** The refusal of unknown fields under `fieldValidation=Strict`. */
export function strictMessage(kind: GroupVersionKind, unknown: readonly string[]): string {
  return `${kind.kind} in version ${JSON.stringify(kind.version)} cannot be handled as a ${kind.kind}: strict decoding error: ${unknown.join(', ')}`
}

function checkObject(object: Record<string, unknown>, name: string, place: Place, unknown: string[]): void {
  const fields = definition(name)
  for (const field of Object.keys(object)) {
    const known = fields.get(field)
    const path = place.path === '' ? field : `${place.path}.${field}`
    if (known === undefined) {
      unknown.push(`unknown field ${JSON.stringify(path)}`)
      delete object[field]
      continue
    }
    const value = checkValue(object[field], known.type, { path, fields: place.fields === '' ? field : `${place.fields}.${field}`, owner: name }, unknown)
    if (value === undefined) delete object[field]
    else object[field] = value
  }
}

/** The value as it is to be kept. `null` is what Go makes of it: nothing. */
function checkValue(value: unknown, type: FieldType, place: Place, unknown: string[]): unknown {
  if (value === null || value === undefined) return undefined
  switch (type.of) {
    case 'plain':
      return checkPlain(value, type.plain, place)
    case 'list':
      if (!Array.isArray(value)) throw mismatch(value, type, place)
      return value.map((item, i) => checkValue(item ?? zero(type.item), type.item, { ...place, path: `${place.path}[${i}]` }, unknown))
    case 'map':
      if (!isRecord(value)) throw mismatch(value, type, place)
      for (const key of Object.keys(value)) value[key] = checkValue(value[key] ?? zero(type.item), type.item, { ...place, path: `${place.path}.${key}` }, unknown)
      return value
    case 'object':
      if (!isRecord(value)) throw mismatch(value, type, place)
      checkObject(value, type.name, place, unknown)
      return value
  }
}

const time = /^\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])[Tt](?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:[.,]\d+)?(?:[Zz]|[+-]\d\d:\d\d)$/
const base64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/

function checkPlain(value: unknown, plain: Plain, place: Place): unknown {
  switch (plain) {
    case 'any':
      return value
    case 'string':
    case 'boolean':
      if (typeof value !== plain) throw mismatch(value, { of: 'plain', plain }, place)
      return value
    case 'double':
      if (typeof value === 'bigint') return Number(value)
      if (typeof value !== 'number') throw mismatch(value, { of: 'plain', plain }, place)
      return value
    case 'int32':
    case 'int64':
      if (!isInt64(value) || (plain === 'int32' && (value >= 2 ** 31 || value < -(2 ** 31)))) throw mismatch(value, { of: 'plain', plain }, place)
      return value
    case 'intOrString':
      if (typeof value === 'string') return value
      if (typeof value === 'number' && Number.isInteger(value) && Math.abs(value) < 2 ** 31) return value
      throw new DecodeError(`json: cannot unmarshal ${jsonKind(value)} into Go value of type int32`)
    case 'quantity':
      return checkQuantity(value)
    default:
      return checkText(value, plain)
  }
}

function checkQuantity(value: unknown): string {
  const canonical = typeof value === 'string' || typeof value === 'number' || typeof value === 'bigint' ? canonicalQuantity(String(value)) : undefined
  if (canonical === undefined) throw new DecodeError(`quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'`)
  return canonical
}

function checkText(value: unknown, plain: 'time' | 'microtime' | 'bytes'): string {
  if (typeof value !== 'string') throw new DecodeError(`json: cannot unmarshal ${jsonKind(value)} into Go value of type ${plain === 'bytes' ? '[]uint8' : 'string'}`)
  if (plain === 'bytes') {
    const bytes = value.replaceAll(/[\r\n]/g, '')
    if (base64.test(bytes)) return bytes
    const wrong = bytes.search(/[^A-Za-z0-9+/]/)
    throw new DecodeError(`illegal base64 data at input byte ${wrong < 0 ? bytes.length - (bytes.length % 4) : wrong}`)
  }
  if (time.test(value) && !Number.isNaN(Date.parse(value.replace(',', '.')))) return value
  const layout = plain === 'time' ? '2006-01-02T15:04:05Z07:00' : '2006-01-02T15:04:05.000000Z07:00'
  throw new DecodeError(`parsing time ${JSON.stringify(value)} as "${layout}": cannot parse ${JSON.stringify(value)} as "2006"`)
}

function mismatch(value: unknown, type: FieldType, { fields, owner }: Place): DecodeError {
  return new DecodeError(`json: cannot unmarshal ${jsonKind(value)} into Go struct field ${owner.split('.').at(-1)}.${fields} of type ${goType(type)}`)
}

function jsonKind(value: unknown): string {
  if (Array.isArray(value)) return 'array'
  // Of a number that is a number, its value is what does not fit.
  if (typeof value === 'bigint') return `number ${value}`
  return typeof value === 'number' ? (Number.isInteger(value) && Math.abs(value) < 2 ** 31 ? 'number' : `number ${value}`) : typeof value === 'boolean' ? 'bool' : typeof value
}

function goType(type: FieldType): string {
  switch (type.of) {
    case 'list':
      return `[]${goType(type.item)}`
    case 'map':
      return `map[string]${goType(type.item)}`
    case 'object':
      return type.name.split('.').slice(-2).join('.')
    case 'plain':
      return goNames[type.plain] ?? type.plain
  }
}

const goNames: Readonly<Record<string, string>> = {
  boolean: 'bool', double: 'float64', time: 'v1.Time', microtime: 'v1.MicroTime', bytes: '[]uint8', intOrString: 'intstr.IntOrString', quantity: 'resource.Quantity', any: 'interface {}',
}

/** What Go makes of a `null` inside a list or map. */
function zero(type: FieldType): unknown {
  if (type.of !== 'plain') return type.of === 'list' ? [] : {}
  switch (type.plain) {
    case 'boolean':
      return false
    case 'int32':
    case 'int64':
    case 'double':
    case 'intOrString':
      return 0
    case 'quantity':
      return '0'
    default:
      return ''
  }
}
