// Objects that fit the schema and make no sense: every hook answers with field errors or a refusal, and every column shows something.
import * as fc from 'fast-check'
import t from 'tap'
import type { ResourceDescriptor } from '../descriptor.ts'
import { cloneJson } from '../object.ts'
import type { ApiObject } from '../object.ts'
import { verbsOf } from '../registry.ts'
import { definition, definitionName } from '../schema/definitions.ts'
import type { FieldType, Plain } from '../schema/definitions.ts'
import { checkFields } from '../schema/index.ts'
import { StatusError } from '../status.ts'
import { builtinResources } from './index.ts'
import { contextOf, now } from './test-support/table.ts'

const words = fc.constantFrom('', 'a', 'web', 'A_b', 'Always', 'None', 'ClusterIP', 'NodePort', 'LoadBalancer', 'ExternalName', 'RollingUpdate', 'IPv4', '10.96.0.7', '::1', 'TCP', '50%', '__proto__', 'constructor', 'x'.repeat(70))
const plain: Readonly<Record<Plain, fc.Arbitrary<unknown>>> = {
  string: words,
  boolean: fc.boolean(),
  int32: fc.oneof(fc.constantFrom(0, 1, 80, 30_080), fc.integer()),
  int64: fc.integer(),
  double: fc.double({ noNaN: true, noDefaultInfinity: true }),
  time: fc.constant('2026-01-01T00:00:00Z'),
  microtime: fc.constant('2026-01-01T00:00:00.000000Z'),
  bytes: fc.constantFrom('', 'eA=='),
  intOrString: fc.oneof(words, fc.integer({ min: -1, max: 70_000 })),
  quantity: fc.constantFrom('0', '-1', '500m', '1Gi', '1e3'),
  any: fc.constantFrom({}, 'x', 1),
}

function valueOf(type: FieldType, depth: number): fc.Arbitrary<unknown> {
  switch (type.of) {
    case 'plain':
      return plain[type.plain]
    case 'list':
      return fc.array(valueOf(type.item, depth), { maxLength: 3 })
    case 'map':
      return fc.dictionary(fc.constantFrom('a', 'cpu', 'memory', 'a/b', 'constructor', ''), valueOf(type.item, depth), { maxKeys: 3 })
    case 'object':
      return depth === 0 ? fc.constant({}) : objectOf(type.name, depth - 1)
  }
}

const objects = new Map<string, fc.Arbitrary<Record<string, unknown>>>()

/** Any object of a definition, every field there or not. */
function objectOf(name: string, depth: number): fc.Arbitrary<Record<string, unknown>> {
  const key = `${name} ${depth}`
  let made = objects.get(key)
  if (made === undefined) {
    const fields = [...definition(name)].filter(([field]) => field !== 'apiVersion' && field !== 'kind' && field !== 'managedFields')
    made = fc.record(Object.fromEntries(fields.map(([field, { type }]) => [field, valueOf(type, depth)])), { requiredKeys: [] })
    objects.set(key, made)
  }
  return made
}

/** Takes an object all the way a write goes; a refusal is an answer. */
function write(row: ResourceDescriptor, object: ApiObject, old: ApiObject | undefined): ApiObject | undefined {
  const { strategy = {} } = row
  const context = contextOf(old === undefined ? {} : { [row.plural]: [old] })
  try {
    strategy.applyDefaults?.(object)
    if (old === undefined) strategy.prepareForCreate?.(object, context)
    else strategy.prepareForUpdate?.(object, old, context)
    const errors = [...(strategy.validate?.(object, context) ?? []), ...(old === undefined ? [] : (strategy.validateUpdate?.(object, old, context) ?? []))]
    if (errors.length > 0) return undefined
    strategy.warnings?.(object)
    strategy.reserve?.(object, old, context).commit()
    strategy.gracefulDelete?.(object, {}, context)
    return object
  } catch (error) {
    if (error instanceof StatusError) return undefined
    throw error
  }
}

for (const row of builtinResources()) {
  if (!verbsOf(row).includes('update')) continue
  t.test(`${row.plural}: no object that fits the schema breaks its rules or its columns`, (t) => {
    const name = definitionName(row) ?? ''
    fc.assert(
      fc.property(objectOf(name, 4), objectOf(name, 4), (first, second) => {
        const named = (object: object): ApiObject => ({ ...cloneJson(object), metadata: { name: 'x', namespace: 'default' } })
        const [before, after] = [named(first), named(second)]
        for (const object of [before, after]) checkFields(row, object)
        write(row, before, undefined)
        // Whatever is stored is one that the rules took, or came from somewhere else.
        for (const column of row.columns) column.value(before, { now })
        for (const read of Object.values(row.fieldSelectors ?? {})) read(before)
        write(row, cloneJson(after), before)
        const reported = cloneJson(after)
        row.strategy?.applyDefaults?.(reported)
        row.strategy?.prepareForStatusUpdate?.(reported, before, contextOf())
      }),
      { numRuns: 60 },
    )
    t.end()
  })
}
