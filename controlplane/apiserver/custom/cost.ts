// What a CEL expression may cost, reckoned from its syntax and from how large that is which it looks at: as a schema bounds it, when a
// definition is written (k8s.io/apiserver/pkg/cel and cel-go's checker/cost.go), or as it is, before a rule runs.
import type { ASTNode } from '@marcbachmann/cel-js'
import { matchesMethod } from '../cel/environment.ts'
import { isRecord } from '../object.ts'
import { propertyNamed, propertyOf } from './schema.ts'
import type { Schema } from './schema.ts'

/** How large something is, and what is in it. */
export interface Shape {
  /** Items of a list, entries of a map, characters of a text; 1 of anything else. */
  readonly size: number
  item(): Shape
  field(name: string): Shape
}

interface Cost {
  readonly cost: number
  readonly shape: Shape
}

/** A request has no more bytes than this, and so bounds what a schema leaves open. */
const requestBytesMax = 3 * 1024 * 1024
/** cel-go: looking at a part of a text or list costs this much of it, and a pattern so much more. */
const traversal = 0.1
const patternPart = 0.25

function shapeOf(size: number, item?: Shape): Shape {
  const shape: Shape = { size, item: () => item ?? scalar, field: () => item ?? scalar }
  return shape
}

const scalar: Shape = { size: 1, item: () => scalar, field: () => scalar }

/** The fewest bytes that a value of a schema takes in JSON. */
function bytesMin(schema: Schema | undefined): number {
  const required = (schema?.required ?? []).map((name) => name.length + 3 + bytesMin(schema === undefined ? undefined : propertyOf(schema, name)))
  if (schema?.type === 'object') return required.reduce((sum, bytes) => sum + bytes + 1, 2)
  return schema?.type === 'boolean' ? 4 : schema?.type === 'integer' || schema?.type === 'number' ? 1 : 2
}

/** Sizes that a format bounds. */
const formatSizes: Readonly<Record<string, number>> = { 'date-time': 35, date: 10, duration: 40, ipv4: 15, ipv6: 45, uuid: 36, cidr: 49 }

/** As many as a schema allows. */
export function schemaShape(schema: Schema | undefined): Shape {
  if (schema === undefined) return shapeOf(requestBytesMax, shapeOf(requestBytesMax))
  const named = (name: string): Shape => schemaShape(propertyNamed(schema, name))
  return { size: entriesMax(schema), item: () => schemaShape(schema.items ?? (typeof schema.additionalProperties === 'object' ? schema.additionalProperties : undefined)), field: named }
}

/** How often a value of a schema can stand in one request. */
export function timesInRequest(schema: Schema): number {
  return Math.floor(requestBytesMax / (bytesMin(schema) + 1))
}

/** How many items, entries or characters a value of a schema may have. */
function entriesMax(schema: Schema): number {
  const { type, items, additionalProperties, maxItems, maxProperties, maxLength, format = '', properties } = schema
  if (schema.enum !== undefined) return Math.max(1, ...schema.enum.map((one) => (typeof one === 'string' ? one.length : 1)))
  if (type === 'array') return maxItems ?? Math.floor(requestBytesMax / (bytesMin(items) + 1))
  if (type === 'object') return maxProperties ?? (properties === undefined || additionalProperties !== undefined ? Math.floor(requestBytesMax / (bytesMin(typeof additionalProperties === 'object' ? additionalProperties : undefined) + 4)) : Object.keys(properties).length)
  if (type === 'string' || schema['x-kubernetes-int-or-string'] === true) return maxLength ?? (Object.hasOwn(formatSizes, format) ? (formatSizes[format] ?? 1) : requestBytesMax)
  return type === undefined || type === '' ? requestBytesMax : 1
}

/** As many as there are. */
export function valueShape(value: unknown): Shape {
  if (typeof value === 'string') return shapeOf(value.length)
  if (Array.isArray(value)) return { size: value.length, item: () => largest(value), field: () => largest(value) }
  if (isRecord(value)) return { size: Object.keys(value).length, item: () => largest(Object.values(value)), field: (name) => (Object.hasOwn(value, name) ? valueShape(value[name]) : scalar) }
  return scalar
}

/** A shape that no item of a list is larger than. */
function largest(items: readonly unknown[]): Shape {
  const shapes = (): Shape[] => items.map(valueShape)
  return {
    size: items.reduce<number>((most, item) => Math.max(most, valueShape(item).size), 1),
    item: () => joined(shapes().map((shape) => shape.item())),
    field: (name) => joined(shapes().map((shape) => shape.field(name))),
  }
}

function joined(shapes: readonly Shape[]): Shape {
  return {
    size: shapes.reduce((most, { size }) => Math.max(most, size), 1),
    item: () => joined(shapes.map((shape) => shape.item())),
    field: (name) => joined(shapes.map((shape) => shape.field(name))),
  }
}

/** What an expression costs at most, with variables of these shapes. */
export function costOf(ast: ASTNode, variables: Readonly<Record<string, Shape>>): number {
  return cost(ast, new Map(Object.entries(variables))).cost
}

type Scope = ReadonlyMap<string, Shape>

function cost(node: ASTNode, scope: Scope): Cost {
  switch (node.op) {
    case 'value':
      return { cost: 0, shape: typeof node.args === 'string' ? shapeOf(node.args.length) : scalar }
    case 'id':
      return { cost: 1, shape: scope.get(node.args) ?? scalar }
    case '.':
    case '.?': {
      const of = cost(node.args[0], scope)
      return { cost: of.cost + 1, shape: of.shape.field(node.args[1]) }
    }
    case '[]':
    case '[?]': {
      const [of, at] = [cost(node.args[0], scope), cost(node.args[1], scope)]
      const name = node.args[1].op === 'value' && typeof node.args[1].args === 'string' ? node.args[1].args : undefined
      return { cost: of.cost + at.cost + 1, shape: name === undefined ? of.shape.item() : joined([of.shape.field(name), of.shape.item()]) }
    }
    case '?:': {
      const [condition, yes, no] = node.args.map((one) => cost(one, scope)) as [Cost, Cost, Cost]
      return { cost: condition.cost + Math.max(yes.cost, no.cost), shape: joined([yes.shape, no.shape]) }
    }
    case 'list':
      return collected(node.args, scope, 10)
    case 'map':
      return collected(node.args.flat(), scope, 30)
    case 'call':
      return called(node.args[0], node.args[1], scope)
    case 'rcall':
      return method(node.args[0], node.args[1], node.args[2], scope)
    case '!_':
    case '-_':
      return { cost: cost(node.args, scope).cost + 1, shape: scalar }
    default:
      return binary(node.op, node.args, scope)
  }
}

function collected(nodes: readonly ASTNode[], scope: Scope, base: number): Cost {
  const all = nodes.map((one) => cost(one, scope))
  return { cost: sum(all) + base, shape: shapeOf(all.length, joined(all.map(({ shape }) => shape))) }
}

function sum(costs: readonly Cost[]): number {
  return costs.reduce((total, one) => total + one.cost, 0)
}

function binary(op: string, [left, right]: readonly [ASTNode, ASTNode], scope: Scope): Cost {
  const [a, b] = [cost(left, scope), cost(right, scope)]
  const both = a.cost + b.cost
  switch (op) {
    case '&&':
    case '||':
      return { cost: both, shape: scalar }
    case '==':
    case '!=':
    case '<':
    case '<=':
    case '>':
    case '>=':
      return { cost: both + Math.max(1, Math.min(a.shape.size, b.shape.size) * traversal), shape: scalar }
    case 'in':
      return { cost: both + Math.max(1, b.shape.size), shape: scalar }
    case '+':
      return { cost: both + Math.max(1, (a.shape.size + b.shape.size) * traversal), shape: a.shape.size + b.shape.size > 2 ? shapeOf(a.shape.size + b.shape.size, joined([a.shape.item(), b.shape.item()])) : scalar }
    default:
      return { cost: both + 1, shape: scalar }
  }
}

/** Those that look at the whole of a text; times and durations are reckoned as numbers. */
const readers = new Set(['string', 'bytes', 'matches', 'url', 'isURL', 'quantity', 'isQuantity', 'ip', 'isIP', 'cidr', 'isCIDR'])

function called(name: string, args: readonly ASTNode[], scope: Scope): Cost {
  const all = args.map((one) => cost(one, scope))
  const [first] = all
  const looked = readers.has(name) ? (first?.shape.size ?? 0) * traversal : 0
  return { cost: sum(all) + 1 + looked, shape: name === 'string' || name === 'dyn' ? (first?.shape ?? scalar) : scalar }
}

const loops = new Set(['all', 'exists', 'exists_one', 'existsOne', 'map', 'filter', 'transformList', 'transformMap'])
const halves = new Set(['orValue', 'or', 'value'])

function method(name: string, target: ASTNode, args: readonly ASTNode[], scope: Scope): Cost {
  if (name === 'bind' && target.op === 'id' && target.args === 'cel') return bound(args, scope)
  const of = cost(target, scope)
  if (loops.has(name)) return looped(name, of, args, scope)
  if (name === 'optMap' || name === 'optFlatMap') return mapped(of, args, scope)
  const all = args.map((one) => cost(one, scope))
  const [first] = all
  const whole = of.cost + sum(all) + 1
  // Every item of the one is looked for in the other.
  if (target.op === 'id' && target.args === 'sets') return { cost: whole + all.reduce((product, { shape }) => product * Math.max(1, shape.size), 1), shape: scalar }
  switch (name) {
    case 'size':
      return { cost: whole, shape: scalar }
    case matchesMethod:
    case 'find':
    case 'findAll':
      return { cost: whole + Math.max(1, of.shape.size * traversal) * Math.max(1, (first?.shape.size ?? 1) * patternPart), shape: of.shape }
    case 'contains':
    case 'indexOf':
    case 'lastIndexOf':
      return { cost: whole + of.shape.size * traversal * Math.max(1, (first?.shape.size ?? 1) * traversal), shape: scalar }
    case 'startsWith':
    case 'endsWith':
      return { cost: whole + (first?.shape.size ?? 1) * traversal, shape: scalar }
    case 'split':
      return { cost: whole + of.shape.size * traversal, shape: shapeOf(of.shape.size, of.shape) }
  }
  if (halves.has(name)) return { cost: whole, shape: first === undefined ? of.shape : joined([of.shape, first.shape]) }
  return { cost: whole + of.shape.size * traversal, shape: of.shape }
}

/** The value of an optional one, if there is any, under a name. */
function mapped(of: Cost, [variable, body]: readonly ASTNode[], scope: Scope): Cost {
  if (variable?.op !== 'id' || body === undefined) return { cost: of.cost + 1, shape: scalar }
  const made = cost(body, new Map([...scope, [variable.args, of.shape]]))
  return { cost: of.cost + made.cost + 1, shape: made.shape }
}

function bound([variable, value, body]: readonly ASTNode[], scope: Scope): Cost {
  if (variable?.op !== 'id' || value === undefined || body === undefined) return { cost: 1, shape: scalar }
  const made = cost(value, scope)
  const rest = cost(body, new Map([...scope, [variable.args, made.shape]]))
  return { cost: made.cost + rest.cost + 1, shape: rest.shape }
}

function looped(name: string, of: Cost, args: readonly ASTNode[], scope: Scope): Cost {
  const inner = new Map(scope)
  const bodies: ASTNode[] = []
  for (const [i, arg] of args.entries()) {
    // The variables come first, the expressions after them.
    if (arg.op === 'id' && i < args.length - 1 && bodies.length === 0) inner.set(arg.args, of.shape.item())
    else bodies.push(arg)
  }
  const each = bodies.map((body) => cost(body, inner))
  const result = name === 'map' || name === 'transformList' ? shapeOf(of.shape.size, each.at(-1)?.shape) : name === 'filter' || name === 'transformMap' ? of.shape : scalar
  return { cost: of.cost + of.shape.size * (sum(each) + 1), shape: result }
}
