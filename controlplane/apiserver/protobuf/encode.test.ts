// The tables of numbers against the fields of the API, and what is written against what is read.
import { isDeepStrictEqual } from 'node:util'
import * as fc from 'fast-check'
import t from 'tap'
import { builtinResources } from '../resources/index.ts'
import { apiVersionOf, isRecord } from '../object.ts'
import { definition, definitionName } from '../schema/definitions.ts'
import type { FieldType, Plain } from '../schema/definitions.ts'
import { decodeProtobuf } from './decode.ts'
import { encodeProtobuf, encodeWatchEvent, envelope, itemHead, listFrame } from './encode.ts'
import { kindMessage, message } from './table.ts'
import type { Field } from './table.ts'

const table = builtinResources()
const kinds = table.filter(({ group, version, kind }) => kindMessage(apiVersionOf({ group, version }), kind) !== undefined)

t.test('every built-in kind has a message', (t) => {
  const without = table.filter((one) => !kinds.includes(one))
  t.same(without.map(({ group, kind }) => `${kind}.${group}`), [])
  t.ok(kinds.length > 40, `${kinds.length} kinds`)
  t.end()
})

const words: Readonly<Record<Plain, string>> = {
  string: 'string', boolean: 'bool', int32: 'int', int64: 'int', double: 'double', time: 'time', microtime: 'microTime', bytes: 'bytes', intOrString: 'intOrString', quantity: 'quantity', any: 'raw',
}

/** All fields of a message by name, those of its inlined messages too. */
function fieldsOf(name: string): Map<string, Field> {
  const fields = message(name)?.fields ?? []
  return new Map(fields.flatMap((field) => (field.name === '' ? [...fieldsOf(field.type)] : [[field.name, field] as [string, Field]])))
}

/** Holds a definition of the API against its message, and all that it refers to. Returns what does not agree. */
function disagreements(name: string, seen: Set<string>): string[] {
  if (seen.has(name)) return []
  seen.add(name)
  const fields = fieldsOf(name)
  const wrong: string[] = []
  for (const [field, { type }] of definition(name)) {
    if (field === 'apiVersion' || field === 'kind') if (!fields.has(field)) continue
    const row = fields.get(field)
    if (row === undefined) wrong.push(`${name}.${field} has no number`)
    else wrong.push(...compare(`${name}.${field}`, type, row, seen))
    fields.delete(field)
  }
  return [...wrong, ...[...fields.keys()].map((field) => `${name}.${field} is no field of the API`)]
}

function compare(at: string, type: FieldType, { shape, type: word }: Pick<Field, 'shape' | 'type'>, seen: Set<string>): string[] {
  const wanted = type.of === 'list' || type.of === 'map' ? type.of : 'one'
  if (word.startsWith('items/')) return type.of === 'map' && type.item.of === 'list' && shape === 'map' ? compare(at, type.item.item, { shape: 'one', type: word.slice('items/'.length) }, seen) : [`${at} is no list`]
  if (shape !== wanted) return [`${at} is a ${shape}, not a ${wanted}`]
  const item = type.of === 'list' || type.of === 'map' ? type.item : type
  if (item.of === 'plain') return words[item.plain] === word || (item.plain === 'any' && word.startsWith('schemaOr')) ? [] : [`${at} holds ${word}, not ${item.plain}`]
  if (item.of !== 'object') return [`${at} is nested`]
  return word === item.name ? disagreements(word, seen) : word === 'raw' ? [] : [`${at} holds ${word}, not ${item.name}`]
}

/** Where the published description says less than Go's types: quantities as strings, an empty object as anything, and a type under the name of another package. */
const known = [
  'core.v1.NodeAllocatableResourceClaimStatus.resources holds quantity, not string', 'autoscaling.v2.HPAScalingRules.tolerance holds quantity, not string',
  'apiextensions.v1.CustomResourceSubresources.status holds apiextensions.v1.CustomResourceSubresourceStatus, not any',
  'authorization.v1.FieldSelectorAttributes.requirements holds meta.v1.FieldSelectorRequirement, not authorization.v1.FieldSelectorRequirement',
]

t.test('every field of every kind has its number and its type', (t) => {
  const seen = new Set<string>()
  const wrong = kinds.flatMap((kind) => disagreements(definitionName(kind) ?? '', seen)).filter((line) => !known.includes(line))
  t.same(wrong, [])
  t.ok(seen.size > 300, `${seen.size} definitions`)
  t.end()
})

const text = fc.string({ minLength: 1, maxLength: 6 })
const date = fc.integer({ min: 0, max: 4_000_000_000 })
const int64 = fc.oneof(fc.integer({ min: 1 }), fc.bigInt({ min: 2n ** 53n, max: 2n ** 63n - 1n }), fc.bigInt({ min: -(2n ** 63n), max: -(2n ** 53n) }))
const plains: Readonly<Record<Plain, fc.Arbitrary<unknown>>> = {
  string: text, boolean: fc.constant(true), int32: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }).filter((value) => value !== 0), int64, double: fc.double({ noNaN: true }).filter((value) => value !== 0),
  time: date.map((seconds) => `${new Date(seconds * 1000).toISOString().slice(0, 19)}Z`), microtime: fc.tuple(date, fc.integer({ min: 0, max: 999_999 })).map(([seconds, micros]) => `${new Date(seconds * 1000).toISOString().slice(0, 19)}.${String(micros).padStart(6, '0')}Z`),
  bytes: fc.uint8Array({ minLength: 1, maxLength: 9 }).map((bytes) => Buffer.from(bytes).toString('base64')), intOrString: fc.oneof(fc.integer({ min: -9, max: 9 }), text), quantity: fc.constantFrom('1', '250m', '64Mi', '1e3'),
  any: fc.constantFrom({ 'f:a': {} }, 'x', 7, [1, { b: null }], { large: 9_007_199_254_740_993n }),
}

/** What may stand where the API says only that there is something. */
const schemas: Readonly<Record<string, fc.Arbitrary<unknown>>> = {
  schemaOrList: fc.constantFrom({}, { type: 'string' }, [{ type: 'string' }, { items: { not: {} } }]), schemaOrBool: fc.constantFrom(true, false, {}, { additionalProperties: false }),
  schemaOrNames: fc.constantFrom({}, { type: 'object' }, ['a', 'b']), 'apiextensions.v1.CustomResourceSubresourceStatus': fc.constant({}),
}

/** Values of a type; deeper ones are smaller, so that a pod is not a forest. */
function valueOf(type: FieldType, depth: number): fc.Arbitrary<unknown> {
  switch (type.of) {
    case 'plain':
      return plains[type.plain]
    case 'list':
      return fc.array(valueOf(type.item, depth + 1), { minLength: 1, maxLength: 2 })
    case 'map':
      return fc.dictionary(text.filter((key) => key !== '__proto__'), valueOf(type.item, depth + 1), { minKeys: 1, maxKeys: 2 }).map((map) => ({ ...map }))
    case 'object':
      return objectOf(type.name, depth + 1)
  }
}

function objectOf(name: string, depth: number): fc.Arbitrary<Record<string, unknown>> {
  const fields = [...definition(name)].filter(([field]) => fieldsOf(name).has(field))
  return fc.subarray(fields, { minLength: 0, maxLength: depth > 7 ? 0 : Math.min(depth > 2 ? 2 : 6, fields.length) }).chain((some) =>
    fc.record(Object.fromEntries(some.map(([field, { type }]) => [field, schemas[fieldsOf(name).get(field)?.type ?? ''] ?? valueOf(type, depth)])), { noNullPrototype: true }),
  )
}

t.test('what is written is what is read, for any object of any kind', (t) => {
  for (const kind of kinds) {
    const apiVersion = apiVersionOf(kind)
    fc.assert(fc.property(objectOf(definitionName(kind) ?? '', 0), (fields) => {
      const object = { apiVersion, kind: kind.kind, ...fields }
      const bytes = encodeProtobuf(object) as Buffer
      return isDeepStrictEqual(sorted(decodeProtobuf(bytes)), sorted(object))
    }), { numRuns: process.env['FAIRWAY_SOAK'] === '1' ? 300 : 4 })
  }
  t.pass('all of them')
  t.end()
})

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted)
  return isRecord(value) ? Object.fromEntries(Object.keys(value).sort().map((key) => [key, sorted(value[key])])) : value
}

t.test('what has no value is told from what is zero, where a pointer tells it', (t) => {
  const deployment = { apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'a', creationTimestamp: null }, spec: { replicas: 0, minReadySeconds: 0, template: { spec: { containers: [], volumes: [{ name: 'v', emptyDir: {} }], hostNetwork: false } } }, status: {} }
  t.same(decodeProtobuf(encodeProtobuf(deployment) as Buffer), { apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'a' }, spec: { replicas: 0, template: { spec: { volumes: [{ name: 'v', emptyDir: {} }] } } }, status: {} })
  t.equal(encodeProtobuf({ apiVersion: 'example.com/v1', kind: 'Pod' }), undefined)
  t.equal(encodeProtobuf({ apiVersion: 'apps.example.com/v1', kind: 'Deployment' }), undefined)
  t.end()
})

/** Bytes, with spaces where one looks. */
function hex(text: string): Buffer {
  return Buffer.from(text.replaceAll(' ', ''), 'hex')
}

t.test('bytes are as the protocol says: envelope, list, frame of a watch', (t) => {
  const namespace = encodeProtobuf({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'a' } })
  t.same(namespace, hex('6b387300 0a0f 0a027631 12094e616d657370616365 1205 0a03 0a0161 1a00 2200'))
  const item = hex('0a030a0161')
  const { head, tail } = listFrame('v1', 'NamespaceList', { resourceVersion: '7' }, item.length + 2)
  t.same(Buffer.concat([head, itemHead(item.length), item, tail]), hex('6b387300 0a13 0a027631 120d4e616d6573706163654c697374 120c 0a03 120137 1205 0a030a0161 1a00 2200'))
  t.same(encodeWatchEvent('ADDED', envelope('v1', 'X', Buffer.alloc(0))), hex('0000001e 0a05 4144444544 1215 0a13 6b387300 0a07 0a027631 120158 1200 1a00 2200'))
  t.end()
})
