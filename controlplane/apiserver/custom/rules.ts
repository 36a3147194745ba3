// Rules in CEL (`x-kubernetes-validations`): of a value as it is, or of how it changes. KEP-2876.
import type { ASTNode, ParseResult } from '@marcbachmann/cel-js'
import { kubernetesEnvironment } from '../cel/library.ts'
import type { FieldError } from '../descriptor.ts'
import { isRecord } from '../object.ts'
import { propertyOf } from './schema.ts'
import type { Rule, Schema } from './schema.ts'

/** Steps that one rule may take, as its bound is reckoned (k8s.io/apiserver/pkg/apis/cel: PerCallLimit). */
const stepsMax = 1_000_000
const compiledMax = 5000
const loops = new Set(['all', 'exists', 'exists_one', 'existsOne', 'map', 'filter', 'transformList', 'transformMap'])

const environment = kubernetesEnvironment().registerVariable('self', 'dyn').registerVariable('oldSelf', 'dyn')

interface Compiled {
  readonly evaluate: ParseResult
  readonly usesOld: boolean
  readonly nodes: number
  /** How deep loops stand in each other. */
  readonly depth: number
}

const compiled = new Map<string, Compiled>()

/** Why a rule cannot be used, if so. */
export function ruleError(text: string): string | undefined {
  try {
    const { valid, error, type } = environment.check(text)
    if (!valid) return `compilation failed: ${firstLine(error)}`
    return type === 'bool' || type === 'dyn' ? undefined : 'compilation failed: must evaluate to a bool'
  } catch (error) {
    return `compilation failed: ${firstLine(error)}`
  }
}

function firstLine(error: unknown): string {
  return ((error as Error | undefined)?.message ?? 'unknown').split('\n')[0] ?? ''
}

function compile(text: string): Compiled {
  let known = compiled.get(text)
  if (known === undefined) {
    const evaluate = environment.parse(text)
    known = { evaluate, usesOld: /\boldSelf\b/.test(text), ...sizeOf(evaluate.ast) }
    if (compiled.size >= compiledMax) compiled.clear()
    compiled.set(text, known)
  }
  return known
}

function sizeOf(node: unknown): { nodes: number; depth: number } {
  if (Array.isArray(node)) {
    const sizes = node.map(sizeOf)
    return { nodes: sizes.reduce((sum, { nodes }) => sum + nodes, 0), depth: Math.max(0, ...sizes.map(({ depth }) => depth)) }
  }
  if (!isRecord(node) || typeof node['op'] !== 'string') return { nodes: 0, depth: 0 }
  const { op, args } = node as unknown as ASTNode
  const below = sizeOf(args)
  return { nodes: below.nodes + 1, depth: below.depth + (op === 'rcall' && loops.has(args[0]) ? 1 : 0) }
}

/** Holds a value and all below it to the rules of its schema: those about the value itself or, with what was before, those about the change. */
export function checkRules(schema: Schema, value: unknown, before?: { readonly value: unknown }, path = ''): FieldError[] {
  if (!hasRules(schema) || (before !== undefined && before.value === undefined)) return []
  const errors: FieldError[] = []
  for (const rule of schema['x-kubernetes-validations'] ?? []) {
    const error = checkRule(rule, schema, value, before?.value, path)
    if (error !== undefined) errors.push(error)
  }
  if (Array.isArray(value)) {
    const { items } = schema
    if (items !== undefined) value.forEach((item, i) => errors.push(...checkRules(items, item, before && { value: oldItem(schema, before.value, item) }, `${path}[${i}]`)))
  } else if (isRecord(value)) {
    for (const key in value) {
      const property = propertyOf(schema, key)
      if (property !== undefined) errors.push(...checkRules(property, value[key], before && { value: isRecord(before.value) ? before.value[key] : undefined }, path === '' ? key : `${path}.${key}`))
    }
  }
  return errors
}

const withRules = new WeakMap<Schema, boolean>()

function hasRules(schema: Schema): boolean {
  let has = withRules.get(schema)
  if (has === undefined) {
    const below = [...Object.values(schema.properties ?? {}), ...(typeof schema.additionalProperties === 'object' ? [schema.additionalProperties] : []), ...(schema.items === undefined ? [] : [schema.items])]
    has = (schema['x-kubernetes-validations']?.length ?? 0) > 0 || below.some(hasRules)
    withRules.set(schema, has)
  }
  return has
}

/** Items of lists that are maps are the same by their keys; of others nothing is known of before. */
function oldItem(schema: Schema, old: unknown, item: unknown): unknown {
  if (schema['x-kubernetes-list-type'] !== 'map' || !Array.isArray(old) || !isRecord(item)) return undefined
  return old.find((one) => isRecord(one) && (schema['x-kubernetes-list-map-keys'] ?? []).every((key) => one[key] === item[key]))
}

function checkRule(rule: Rule, schema: Schema, value: unknown, old: unknown, path: string): FieldError | undefined {
  const field = rule.fieldPath === undefined ? path : `${path}${rule.fieldPath.startsWith('.') && path === '' ? rule.fieldPath.slice(1) : rule.fieldPath}`
  const bad = (detail: string): FieldError => ({ field, type: 'FieldValueInvalid', value: Array.isArray(value) ? 'array' : isRecord(value) ? 'object' : value, detail })
  try {
    const { evaluate, usesOld, nodes, depth } = compile(rule.rule)
    if (usesOld !== (old !== undefined)) return undefined
    if (longest(value) ** depth * nodes > stepsMax) return bad('call cost exceeds limit for rule: no further validation rules will be run')
    const context = { self: toCel(schema, value), oldSelf: old === undefined ? undefined : toCel(schema, old) }
    if (evaluate(context) === true) return undefined
    return { ...bad(messageOf(rule, context)), ...(rule.reason === undefined ? {} : { type: rule.reason as FieldError['type'] }) }
  } catch (error) {
    return bad(`rule evaluation error: ${firstLine(error)}`)
  }
}

function messageOf({ rule, message, messageExpression }: Rule, context: Record<string, unknown>): string {
  const said: unknown = messageExpression === undefined ? undefined : compile(messageExpression).evaluate(context)
  if (typeof said === 'string' && said !== '') return said
  return message ?? `failed rule: ${rule}`
}

/** The most items that any list or map of a value has: what a loop can run over. */
function longest(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 1
  const items: unknown[] = Array.isArray(value) ? value : Object.values(value)
  return items.reduce<number>((most, item) => Math.max(most, longest(item)), items.length)
}

/** JSON as CEL sees it: integers are no doubles, times are times. */
function toCel(schema: Schema | undefined, value: unknown): unknown {
  if (Array.isArray(value)) return value.map((item) => toCel(schema?.items, item))
  if (isRecord(value)) return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, toCel(schema === undefined ? undefined : propertyOf(schema, key), item)]))
  if (typeof value === 'number') return schema?.type !== 'number' && Number.isInteger(value) ? BigInt(value) : value
  return typeof value === 'string' && schema?.format === 'date-time' ? new Date(value) : value
}
