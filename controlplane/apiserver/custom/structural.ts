// Whether a schema is structural: every place has one type, and what is said beside that only narrows it
// (apiextensions-apiserver pkg/apiserver/schema/validation.go, pkg/apis/apiextensions/validation).
import { patternOf } from '../pattern.ts'
import type { FieldErrors } from '../resources/validation/errors.ts'
import { ruleError } from './rules.ts'
import type { Schema } from './schema.ts'
import { validateValue } from './validate.ts'

/** Words of JSON Schema that are refused, and how. */
const refused: Readonly<Record<string, string>> = {
  $ref: '$ref is not supported', definitions: 'definitions is not supported', dependencies: 'dependencies is not supported', patternProperties: 'patternProperties is not supported', additionalItems: 'additionalItems is not supported', id: 'id is not supported',
}

/** What may only stand where the types are said, and not in what narrows them. */
const outsideOnly = ['default', 'additionalProperties', 'nullable', 'x-kubernetes-preserve-unknown-fields', 'x-kubernetes-embedded-resource', 'x-kubernetes-int-or-string', 'x-kubernetes-list-type', 'x-kubernetes-list-map-keys', 'x-kubernetes-map-type', 'x-kubernetes-validations'] as const

export function checkStructure(schema: Schema, at: string, errors: FieldErrors): void {
  const metadata = schema.properties?.['metadata']
  const others = Object.keys(metadata?.properties ?? {}).filter((name) => name !== 'name' && name !== 'generateName')
  if (others.length > 0) errors.forbidden(`${at}.properties[metadata]`, 'must not specify anything other than name and generateName, but metadata is implicitly specified')
  checkSchema(schema, at, errors)
}

function checkSchema(schema: Schema, at: string, errors: FieldErrors): void {
  // Lists in `items` and the like are JSON Schema, but not structural.
  if (typeof schema !== 'object' || Array.isArray(schema)) return errors.invalid(at, schema, 'must be a schema')
  checkWords(schema, at, errors)
  const isTyped = schema.type !== undefined && schema.type !== ''
  if (!isTyped && schema['x-kubernetes-int-or-string'] !== true && schema['x-kubernetes-preserve-unknown-fields'] !== true) errors.required(`${at}.type`, 'must not be empty for specified object fields')
  if (schema['x-kubernetes-embedded-resource'] === true && schema.type !== 'object') errors.invalid(`${at}.type`, schema.type ?? '', 'must be object if x-kubernetes-embedded-resource is true')
  if (schema['x-kubernetes-int-or-string'] === true && isTyped) errors.forbidden(`${at}.type`, 'must be empty if x-kubernetes-int-or-string is true')
  if (schema.properties !== undefined && typeof schema.additionalProperties === 'object') errors.forbidden(`${at}.additionalProperties`, 'additionalProperties and properties are mutual exclusive')
  if (schema.type === 'array' && schema.items === undefined) errors.required(`${at}.items`, 'must be specified')
  checkList(schema, at, errors)
  if (schema.default !== undefined) for (const error of validateValue(schema, schema.default, '')) errors.invalid(`${at}.default`, schema.default, error.detail)
  schema['x-kubernetes-validations']?.forEach((rule, i) => {
    const why = ruleError(rule)
    if (why !== undefined) errors.invalid(`${at}.x-kubernetes-validations[${i}].rule`, rule.rule, why)
  })
  for (const [where, narrow] of narrowing(schema)) checkNarrowing(narrow, { schema, at: `${at}.${where}`, isIntOrString: schema['x-kubernetes-int-or-string'] === true }, errors)
  for (const [name, property] of Object.entries(schema.properties ?? {})) checkSchema(property, `${at}.properties[${name}]`, errors)
  if (typeof schema.additionalProperties === 'object') checkSchema(schema.additionalProperties, `${at}.additionalProperties`, errors)
  if (schema.items !== undefined) checkSchema(schema.items, `${at}.items`, errors)
}

/** What is refused wherever it stands. */
function checkWords(schema: Schema, at: string, errors: FieldErrors): void {
  for (const word of Object.keys(schema)) if (Object.hasOwn(refused, word)) errors.forbidden(`${at}.${word}`, refused[word] ?? '')
  if (schema.uniqueItems === true) errors.forbidden(`${at}.uniqueItems`, 'uniqueItems cannot be set to true since the runtime complexity becomes quadratic')
  if (schema.additionalProperties === false) errors.forbidden(`${at}.additionalProperties`, 'additionalProperties cannot be set to false')
  if (schema.pattern !== undefined && patternOf(schema.pattern) === undefined) errors.invalid(`${at}.pattern`, schema.pattern, 'must be a valid regular expression')
}

function checkList(schema: Schema, at: string, errors: FieldErrors): void {
  const { items, 'x-kubernetes-list-type': listType, 'x-kubernetes-list-map-keys': keys = [], 'x-kubernetes-map-type': mapType } = schema
  if (mapType !== undefined && schema.type !== 'object') errors.invalid(`${at}.type`, schema.type, 'must be object if x-kubernetes-map-type is specified')
  if (listType === undefined) return
  if (schema.type !== 'array') errors.invalid(`${at}.type`, schema.type, 'must be array if x-kubernetes-list-type is specified')
  if (!['atomic', 'map', 'set'].includes(listType)) errors.unsupported(`${at}.x-kubernetes-list-type`, listType, ['atomic', 'map', 'set'])
  if (listType === 'set' && items !== undefined) {
    if (items.nullable === true) errors.forbidden(`${at}.items.nullable`, 'cannot be nullable when x-kubernetes-list-type is set')
    if (items.type === 'object' && items['x-kubernetes-map-type'] !== 'atomic') errors.invalid(`${at}.items.x-kubernetes-map-type`, items['x-kubernetes-map-type'] ?? 'granular', 'must be atomic as item of a list with x-kubernetes-list-type=set')
    if (items.type === 'array' && items['x-kubernetes-list-type'] !== undefined && items['x-kubernetes-list-type'] !== 'atomic') errors.invalid(`${at}.items.x-kubernetes-list-type`, items['x-kubernetes-list-type'], 'must be atomic as item of a list with x-kubernetes-list-type=set')
  }
  if (listType !== 'map') return
  if (keys.length === 0) errors.required(`${at}.x-kubernetes-list-map-keys`, 'must not be empty if x-kubernetes-list-type is map')
  for (const key of keys) {
    const property = items?.properties?.[key]
    if (property === undefined) errors.invalid(`${at}.items.properties`, key, 'must contain the keys of x-kubernetes-list-map-keys')
    else if (items?.required?.includes(key) !== true && property.default === undefined) errors.required(`${at}.items.properties[${key}].default`, 'this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property')
  }
}

/** The schemas below `allOf` and the like, each with where it stands. */
function narrowing({ allOf = [], anyOf = [], oneOf = [], not }: Schema): [string, Schema][] {
  const listed = Object.entries({ allOf, anyOf, oneOf }).flatMap(([word, schemas]) => schemas.map((schema, i): [string, Schema] => [`${word}[${i}]`, schema]))
  return not === undefined ? listed : [...listed, ['not', not]]
}

interface Narrowing {
  /** What is narrowed, as far as it says anything of this place. */
  readonly schema: Schema | undefined
  readonly at: string
  /** There, the two types are named again. */
  readonly isIntOrString: boolean
}

function checkNarrowing(narrow: Schema, { schema, at, isIntOrString }: Narrowing, errors: FieldErrors): void {
  if (typeof narrow !== 'object' || Array.isArray(narrow)) return errors.invalid(at, narrow, 'must be a schema')
  checkWords(narrow, at, errors)
  if (narrow.type !== undefined && narrow.type !== '' && !(isIntOrString && (narrow.type === 'integer' || narrow.type === 'string'))) errors.forbidden(`${at}.type`, 'must be empty to be structural')
  for (const word of outsideOnly) if (narrow[word] !== undefined && narrow[word] !== false) errors.forbidden(`${at}.${word}`, 'must be undefined to be structural')
  for (const [name, property] of Object.entries(narrow.properties ?? {})) {
    const outside = schema?.properties?.[name] ?? (typeof schema?.additionalProperties === 'object' ? schema.additionalProperties : undefined)
    if (outside === undefined && schema?.['x-kubernetes-preserve-unknown-fields'] !== true) errors.required(`${at.replace(/\.(?:allOf|anyOf|oneOf)\[\d+\]|\.not/g, '')}.properties[${name}]`, `because it is defined in ${at}.properties[${name}]`)
    checkNarrowing(property, { schema: outside, at: `${at}.properties[${name}]`, isIntOrString: outside?.['x-kubernetes-int-or-string'] === true }, errors)
  }
  if (narrow.items !== undefined) checkNarrowing(narrow.items, { schema: schema?.items, at: `${at}.items`, isIntOrString: schema?.items?.['x-kubernetes-int-or-string'] === true }, errors)
  for (const [where, below] of narrowing(narrow)) checkNarrowing(below, { schema, at: `${at}.${where}`, isIntOrString }, errors)
}
