// CEL's environment with what cel-js does otherwise than the language: `has(e.f)` of any expression e, as in `has(self.items[0].name)`, where the library takes
// only names with dots between; and `matches` by RE2's patterns instead of JavaScript's. The library does not let what it has be replaced, so these stand
// under names of their own, with which expressions are read.
import { Environment } from '@marcbachmann/cel-js'
import type { ASTNode, ParseResult, TypeCheckResult } from '@marcbachmann/cel-js'

const hasMacro = 'hasField'
/** The name under which the method `matches` is known to the library. */
export const matchesMethod = 'matchesPattern'

interface MacroCall {
  readonly args: readonly ASTNode[]
}

/** The parts of the library's checker and evaluator that a macro is handed. */
interface Checker {
  check(node: ASTNode, context: unknown): unknown
  getType(name: string): unknown
}
interface Evaluator {
  run(node: ASTNode, context: unknown): unknown
}

export class CelEnvironment extends Environment {
  constructor(options: ConstructorParameters<typeof Environment>[0]) {
    super(options)
    this.registerFunction(`${hasMacro}(ast): bool`, ({ args }: MacroCall) => ({ field: fieldOf(args[0]), typeCheck: checkHas, evaluate: evaluateHas, async: false }))
  }

  override parse(expression: string): ParseResult {
    return super.parse(withOwnNames(expression))
  }

  override check(expression: string): TypeCheckResult {
    return super.check(withOwnNames(expression))
  }

  override evaluate(expression: string, context?: Record<string, unknown>): unknown {
    return this.parse(expression)(context)
  }
}

interface Field {
  readonly of: ASTNode
  readonly name: string
}

function fieldOf(node: ASTNode | undefined): Field {
  if (node?.op !== '.' && node?.op !== '.?') throw new Error('invalid argument to has() macro')
  return { of: node.args[0], name: node.args[1] }
}

function checkHas(checker: Checker, { field }: { readonly field: Field }, context: unknown): unknown {
  checker.check(field.of, context)
  return checker.getType('bool')
}

function evaluateHas(evaluator: Evaluator, { field: { of, name } }: { readonly field: Field }, context: unknown): boolean {
  const value = evaluator.run(of, context)
  if (value instanceof Map) return value.has(name)
  if (typeof value !== 'object' || value === null) throw new Error(`no such key: ${name}`)
  return Object.hasOwn(value, name) && (value as Record<string, unknown>)[name] !== undefined
}

/** Words outside of texts and comments: https://github.com/google/cel-spec/blob/master/doc/langdef.md#syntax */
const token = /\/\/[^\n]*|(?:[rRbB]{0,2})(?:"""[^]*?"""|'''[^]*?'''|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')|(?:\.\s*)?[A-Za-z_][A-Za-z0-9_]*(?:\s*\()?|[^]/g

function withOwnNames(expression: string): string {
  if (!expression.includes('has') && !expression.includes('matches')) return expression
  return expression.replaceAll(token, (word) => (/^has\s*\($/.test(word) ? `${hasMacro}(` : /^\.\s*matches\s*\($/.test(word) ? `.${matchesMethod}(` : word))
}
