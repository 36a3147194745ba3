// Rules in CEL (`x-kubernetes-validations`): of a value as it is, or of how it changes. KEP-2876.
import { Optional } from '@marcbachmann/cel-js'
import type { ParseResult } from '@marcbachmann/cel-js'
import { kubernetesEnvironment } from '../cel/library.ts'
import type { FieldError } from '../descriptor.ts'
import { equalJson, isRecord } from '../object.ts'
import { costOf, schemaShape, timesInRequest, valueShape } from './cost.ts'
import { celName, fieldBefore, itemBefore, propertyOf } from './schema.ts'
import type { Before, Rule, Schema } from './schema.ts'

/** What one rule, and all rules of one object, may cost (k8s.io/apiserver/pkg/apis/cel: PerCallLimit, RuntimeCELCostBudget). */
const ruleCostMax = 1_000_000
const objectCostMax = 10_000_000
/** What a rule, and all rules of a definition, may be reckoned to cost (StaticEstimatedCostLimit, StaticEstimatedCRDCostLimit). */
const estimateMax = 10_000_000
const estimateOfAllMax = 100_000_000
const compiledMax = 5000

const environment = kubernetesEnvironment().registerVariable('self', 'dyn').registerVariable('oldSelf', 'dyn')
/** Of rules to which what was before may be missing (`optionalOldSelf`). */
let optionalEnvironment: typeof environment | undefined

function environmentOf({ optionalOldSelf }: Pick<Rule, 'optionalOldSelf'>): typeof environment {
  if (optionalOldSelf !== true) return environment
  optionalEnvironment ??= kubernetesEnvironment().registerVariable('self', 'dyn').registerVariable('oldSelf', 'optional<dyn>')
  return optionalEnvironment
}

interface Compiled {
  readonly evaluate: ParseResult
  readonly usesOld: boolean
}

const compiled = new Map<string, Compiled>()

/** Why a rule cannot be used, if so. */
export function ruleError(rule: Rule): string | undefined {
  try {
    const { valid, error, type } = environmentOf(rule).check(rule.rule)
    if (!valid) return `compilation failed: ${firstLine(error)}`
    return type === 'bool' || type === 'dyn' ? undefined : 'compilation failed: must evaluate to a bool'
  } catch (error) {
    return `compilation failed: ${firstLine(error)}`
  }
}

function firstLine(error: unknown): string {
  return ((error as Error | undefined)?.message ?? 'unknown').split('\n')[0] ?? ''
}

function compile(text: string, rule: Rule): Compiled {
  const key = `${rule.optionalOldSelf === true ? '?' : ' '}${text}`
  let known = compiled.get(key)
  if (known === undefined) {
    const evaluate = environmentOf(rule).parse(text)
    known = { evaluate, usesOld: /\boldSelf\b/.test(text) }
    if (compiled.size >= compiledMax) compiled.clear()
    compiled.set(key, known)
  }
  return known
}

/** Holds a value and all below it to the rules of its schema. What was wrong before and is unchanged is let through (ratcheting). */
export function checkRules(schema: Schema, value: unknown, before?: Before): FieldError[] {
  const errors: FieldError[] = []
  walk({ schema, value, before, path: '' }, { left: objectCostMax }, errors)
  return errors
}

interface Place {
  readonly schema: Schema
  readonly value: unknown
  readonly before: Before | undefined
  readonly path: string
}

/** What the rules of one object may still cost. */
interface Budget {
  left: number
}

function walk(place: Place, budget: Budget, errors: FieldError[]): void {
  const { schema, value, before, path } = place
  if (!hasRules(schema) || budget.left < 0) return
  for (const rule of schema['x-kubernetes-validations'] ?? []) {
    const error = checkRule(rule, place, budget)
    if (error !== undefined) errors.push(error)
    if (budget.left < 0) return
  }
  if (Array.isArray(value)) {
    const { items } = schema
    if (items !== undefined) value.forEach((item, i) => walk({ schema: items, value: item, before: itemBefore(schema, before, item), path: `${path}[${i}]` }, budget, errors))
  } else if (isRecord(value)) {
    for (const key in value) {
      const property = propertyOf(schema, key)
      if (property !== undefined) walk({ schema: property, value: value[key], before: fieldBefore(before, key), path: path === '' ? key : `${path}.${key}` }, budget, errors)
    }
  }
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

function checkRule(rule: Rule, { schema, value, before, path }: Place, budget: Budget): FieldError | undefined {
  const field = rule.fieldPath === undefined ? path : `${path}${rule.fieldPath.startsWith('.') && path === '' ? rule.fieldPath.slice(1) : rule.fieldPath}`
  const bad = (detail: string): FieldError => ({ field, type: 'FieldValueInvalid', value: Array.isArray(value) ? 'array' : isRecord(value) ? 'object' : value, detail })
  try {
    const { evaluate, usesOld } = compile(rule.rule, rule)
    const isOptional = usesOld && rule.optionalOldSelf === true
    if (usesOld && before === undefined && !isOptional) return undefined
    if (!usesOld && before !== undefined && equalJson(before.value, value)) return undefined
    const cost = costOf(evaluate.ast, { self: valueShape(value), oldSelf: valueShape(before?.value) })
    budget.left -= cost
    if (cost > ruleCostMax) return bad('call cost exceeds limit for rule: no further validation rules will be run')
    if (budget.left < 0) return bad('validation failed due to running out of cost budget, no further validation rules will be run')
    const old = before === undefined ? undefined : toCel(schema, before.value)
    const context = { self: toCel(schema, value), oldSelf: isOptional ? (old === undefined ? Optional.none() : Optional.of(old)) : old }
    if (evaluate(context) === true) return undefined
    return { ...bad(messageOf(rule, context)), ...(rule.reason === undefined ? {} : { type: rule.reason as FieldError['type'] }) }
  } catch (error) {
    return bad(`rule evaluation error: ${firstLine(error)}`)
  }
}

function messageOf(rule: Rule, context: Record<string, unknown>): string {
  const { message = `failed rule: ${rule.rule}`, messageExpression } = rule
  if (messageExpression === undefined) return message
  try {
    const said: unknown = compile(messageExpression, rule).evaluate(context)
    return typeof said === 'string' && said.trim() !== '' ? said : message
  } catch {
    // As Kubernetes has it: what cannot be said in the better way is said in the plain one.
    return message
  }
}

/** Rules of a schema that are reckoned to cost too much, by where they stand (`properties[a].x-kubernetes-validations[0].rule`). */
export function expensiveRules(schema: Schema, at: string): { readonly field: string; readonly detail: string }[] {
  const found: { readonly field: string; readonly detail: string }[] = []
  const total = estimate(schema, at, 1, found)
  if (total > estimateOfAllMax) found.push({ field: at, detail: `x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema exceeds budget by ${factor(total / estimateOfAllMax)} (try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)` })
  return found
}

/** `times`: how often a value of this schema can be there by the bounds of those around it; undefined where one of them has none. */
function estimate(schema: Schema, at: string, times: number | undefined, found: { field: string; detail: string }[]): number {
  if (!hasRules(schema)) return 0
  let total = 0
  schema['x-kubernetes-validations']?.forEach((rule, i) => {
    if (ruleError(rule) !== undefined) return
    const cost = (times ?? timesInRequest(schema)) * costOf(compile(rule.rule, rule).evaluate.ast, { self: schemaShape(schema), oldSelf: schemaShape(schema) })
    total += cost
    if (cost > estimateMax) found.push({ field: `${at}.x-kubernetes-validations[${i}].rule`, detail: `estimated rule cost exceeds budget by ${factor(cost / estimateMax)} (try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)` })
  })
  const below = (most: number | undefined): number | undefined => (times === undefined || most === undefined ? undefined : times * most)
  for (const [name, property] of Object.entries(schema.properties ?? {})) total += estimate(property, `${at}.properties[${name}]`, times, found)
  if (typeof schema.additionalProperties === 'object') total += estimate(schema.additionalProperties, `${at}.additionalProperties`, below(schema.maxProperties), found)
  if (schema.items !== undefined) total += estimate(schema.items, `${at}.items`, below(schema.maxItems), found)
  return total
}

function factor(times: number): string {
  return times > 100 ? 'factor of more than 100x' : `factor of ${times.toFixed(1)}x`
}

/** JSON as CEL sees it: integers are no doubles, times are times, properties have names that can be written. */
function toCel(schema: Schema | undefined, value: unknown): unknown {
  if (Array.isArray(value)) return value.map((item) => toCel(schema?.items, item))
  if (isRecord(value)) return Object.fromEntries(Object.entries(value).map(([key, item]) => [Object.hasOwn(schema?.properties ?? {}, key) ? celName(key) : key, toCel(schema === undefined ? undefined : propertyOf(schema, key), item)]))
  if (typeof value === 'number') return schema?.type !== 'number' && Number.isInteger(value) ? BigInt(value) : value
  return typeof value === 'string' && schema?.format === 'date-time' ? new Date(value) : value
}
