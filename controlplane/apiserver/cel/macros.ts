// What Kubernetes' CEL has beside cel-js: `optMap` and `optFlatMap` of optional values, comprehensions with an index or key beside the value
// (cel-go's TwoVarComprehensions), and sets (cel-go's ext/sets).
import { Environment, Optional } from '@marcbachmann/cel-js'
import type { ASTNode } from '@marcbachmann/cel-js'

/** Where names have their values, as the interpreter hands it to macros. */
interface Scope {
  forkWithVariable(name: string, type: unknown): Scope
  reuse(outer: Scope): Scope
  setIterValue(value: unknown, evaluator: Evaluator): Scope
}
interface Checker {
  check(node: ASTNode, scope: Scope): unknown
  getType(name: string): unknown
}
interface Evaluator {
  run(node: ASTNode, scope: Scope): unknown
}
interface MacroCall {
  readonly args: readonly ASTNode[]
  readonly receiver: ASTNode
}

/** A call whose last arguments are expressions in which its first ones are names. */
interface Macro {
  readonly receiver: ASTNode
  readonly names: readonly string[]
  readonly bodies: readonly ASTNode[]
  scopes: readonly Scope[]
}

function macroOf({ args, receiver }: MacroCall, nameCount: number): Macro {
  const names = args.slice(0, nameCount).map((node) => {
    if (node.op === 'id') return node.args
    throw new Error('argument must be a simple name')
  })
  return { receiver, names, bodies: args.slice(nameCount), scopes: [] }
}

function checkMacro(checker: Checker, macro: Macro, scope: Scope, result: string): unknown {
  checker.check(macro.receiver, scope)
  const scopes: Scope[] = []
  for (const name of macro.names) scopes.push((scopes.at(-1) ?? scope).forkWithVariable(name, checker.getType('dyn')))
  macro.scopes = scopes
  for (const body of macro.bodies) checker.check(body, scopes.at(-1) ?? scope)
  return checker.getType(result)
}

/** The value of a body with values for its names. */
function valueOf(evaluator: Evaluator, { bodies, scopes }: Macro, scope: Scope, values: readonly unknown[], body = 0): unknown {
  const inner = scopes.reduce((outer, one, i) => one.reuse(outer).setIterValue(values[i], evaluator), scope)
  return evaluator.run(bodies[body] as ASTNode, inner)
}

type Entry = readonly [key: unknown, value: unknown]

function entriesOf(value: unknown): Entry[] {
  if (Array.isArray(value)) return value.map((item: unknown, i): Entry => [BigInt(i), item])
  return value instanceof Map ? [...(value as Map<unknown, unknown>)] : Object.entries(value as object)
}

/** What a comprehension makes of its entries; `ask` evaluates a body for one of them. */
type Comprehend = (entries: readonly Entry[], ask: (entry: Entry, body?: number) => unknown) => unknown

const transformed: Comprehend = (entries, ask) => entries.map((entry) => ask(entry))
const comprehensions: readonly (readonly [name: string, bodies: number, result: string, comprehend: Comprehend])[] = [
  ['all', 1, 'bool', (entries, ask) => entries.every((entry) => ask(entry) === true)],
  ['exists', 1, 'bool', (entries, ask) => entries.some((entry) => ask(entry) === true)],
  ['existsOne', 1, 'bool', (entries, ask) => entries.filter((entry) => ask(entry) === true).length === 1],
  ['transformList', 1, 'list', transformed],
  ['transformList', 2, 'list', (entries, ask) => entries.filter((entry) => ask(entry) === true).map((entry) => ask(entry, 1))],
  ['transformMap', 1, 'map', (entries, ask) => new Map(entries.map((entry) => [entry[0], ask(entry)]))],
  ['transformMap', 2, 'map', (entries, ask) => new Map(entries.filter((entry) => ask(entry) === true).map((entry) => [entry[0], ask(entry, 1)]))],
]

export function addMacros(environment: Environment): void {
  for (const [name, isFlat] of [['optMap', false], ['optFlatMap', true]] as const) {
    environment.registerFunction(`optional.${name}(ast, ast): optional<dyn>`, (call: MacroCall) => ({
      ...macroOf(call, 1),
      async: false,
      typeCheck: (checker: Checker, macro: Macro, scope: Scope) => checkMacro(checker, macro, scope, 'optional'),
      evaluate: (evaluator: Evaluator, macro: Macro, scope: Scope) => {
        const value = evaluator.run(macro.receiver, scope) as Optional
        if (!value.hasValue()) return value
        const made = valueOf(evaluator, macro, scope, [value.value()])
        return isFlat ? made : Optional.of(made)
      },
    }))
  }
  for (const kind of ['list', 'map']) {
    for (const [name, bodies, result, comprehend] of comprehensions) {
      environment.registerFunction(`${kind}.${name}(${Array.from({ length: bodies + 2 }, () => 'ast').join(', ')}): ${result === 'bool' ? 'bool' : 'dyn'}`, (call: MacroCall) => ({
        ...macroOf(call, 2),
        async: false,
        typeCheck: (checker: Checker, macro: Macro, scope: Scope) => checkMacro(checker, macro, scope, result),
        evaluate: (evaluator: Evaluator, macro: Macro, scope: Scope) => comprehend(entriesOf(evaluator.run(macro.receiver, scope)), (entry, body = 0) => valueOf(evaluator, macro, scope, entry, body)),
      }))
    }
  }
  addSets(environment)
}

class SetFunctions {
  readonly name = 'sets'
}

/** Equality of items is CEL's own. */
const membership = new Environment({ homogeneousAggregateLiterals: false }).registerVariable('all', 'dyn').registerVariable('one', 'dyn').parse('one in all')

function holds(all: readonly unknown[], one: unknown): boolean {
  return membership({ all, one }) === true
}

function addSets(environment: Environment): void {
  const type = 'kubernetes.SetFunctions'
  const within = (some: readonly unknown[], list: readonly unknown[]): boolean => some.every((item) => holds(list, item))
  environment
    .registerType(type, { ctor: SetFunctions, fields: {} })
    .registerConstant('sets', type, new SetFunctions())
    .registerFunction(`${type}.contains(list, list): bool`, (_: SetFunctions, list: readonly unknown[], some: readonly unknown[]) => within(some, list))
    .registerFunction(`${type}.equivalent(list, list): bool`, (_: SetFunctions, a: readonly unknown[], b: readonly unknown[]) => within(a, b) && within(b, a))
    .registerFunction(`${type}.intersects(list, list): bool`, (_: SetFunctions, a: readonly unknown[], b: readonly unknown[]) => a.some((item) => holds(b, item)))
}
