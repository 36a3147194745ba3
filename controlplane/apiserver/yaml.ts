// YAML as Kubernetes reads it (sigs.k8s.io/yaml): what JSON could say, with octal numbers as `0644` and integers of 64 bits.
import { CORE_SCHEMA, defineScalarTag, DUMP_SCHEMA, dump, intCoreTag, load, NOT_RESOLVED, YAMLException } from 'js-yaml'
import { exactInteger } from './json.ts'
import { badRequest } from './status.ts'

const octal = /^[-+]?0[0-7]+$/

const integer = defineScalarTag<number | bigint>('tag:yaml.org,2002:int', {
  implicit: true,
  implicitFirstChars: intCoreTag.implicitFirstChars,
  resolve: (source, isExplicit, tagName) => {
    if (octal.test(source)) return parseInt(source, 8)
    const value = intCoreTag.resolve(source, isExplicit, tagName)
    return value === NOT_RESOLVED || Number.isSafeInteger(value) ? value : exactInteger(source.replace(/^\+/, ''), value)
  },
  identify: (value) => typeof value === 'bigint',
})
const readSchema = CORE_SCHEMA.withTags(integer)
/** Numbers as the library writes them; what is larger has a tag of its own. */
const writeSchema = DUMP_SCHEMA.withTags(defineScalarTag<bigint>('tag:yaml.org,2002:int', {
  implicit: true,
  implicitFirstChars: intCoreTag.implicitFirstChars,
  resolve: (source, isExplicit, tagName) => DUMP_SCHEMA.lookupScalarTag('tag:yaml.org,2002:int')?.resolve(source, isExplicit, tagName) as bigint | typeof NOT_RESOLVED,
  identify: (value) => typeof value === 'bigint' || intCoreTag.identify(value),
  represent: String,
}))

const depthMax = 500

/** Reads YAML from outside: a 400 for what is none, what JSON cannot say, and what aliases make far larger than it is. Of a key given twice the last counts. */
export function parseYaml(text: string): unknown {
  const budget = { left: 10_000 + 4 * text.length }
  try {
    return expanded(load(text, { schema: readSchema, json: true }) ?? null, budget, 0)
  } catch (error) {
    throw badRequest(`the object provided is not valid YAML: ${(error as Error).message}`)
  }
}

/** The first key that a mapping has twice, in the words of Go's reader; nothing where there is none, or no YAML. */
export function duplicateKey(text: string): string[] {
  try {
    load(text, { schema: readSchema })
  } catch (error) {
    if (!(error instanceof YAMLException) || !error.reason.startsWith('duplicated mapping key') || error.mark === undefined) return []
    const key = /[^\s:,{}]+/y
    key.lastIndex = error.mark.position
    return [`line ${error.mark.line + 1}: key ${JSON.stringify(key.exec(text)?.[0] ?? '')} already set in map`]
  }
  return []
}

/** A copy in which nothing stands twice by reference. */
function expanded(value: unknown, budget: { left: number }, depth: number): unknown {
  budget.left -= 1
  if (budget.left < 0) throw new Error('its aliases make it too large')
  if (depth > depthMax) throw new Error('it is nested too deeply')
  if (Array.isArray(value)) return value.map((item) => expanded(item, budget, depth + 1))
  if (typeof value === 'number' && !Number.isFinite(value)) return null
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, item]) => {
    if (key === '__proto__') throw new Error('the key "__proto__" is not supported')
    return [key, expanded(item, budget, depth + 1)]
  }))
}

export function toYaml(value: unknown): Buffer {
  return Buffer.from(dump(value, { noRefs: true, schema: writeSchema }))
}
