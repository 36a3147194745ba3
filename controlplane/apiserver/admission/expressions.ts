// CEL as match conditions and policies see it: the object, what it was, the request, parameters, and who may do what
// (k8s.io/apiserver/pkg/admission/plugin/cel).
import type { Environment, ParseResult } from '@marcbachmann/cel-js'
import type { Attributes, Authorizer } from '../authorization/rbac.ts'
import { kubernetesEnvironment } from '../cel/library.ts'
import { costOf, valueShape } from '../custom/cost.ts'
import type { UserInfo } from '../descriptor.ts'
import { isRecord } from '../object.ts'
import type { AdmissionRequest } from './request.ts'

const compiledMax = 5000

/** What expressions can name. */
export type Scope = Readonly<Record<string, unknown>>

/** What an expression can name beside `object`, `oldObject`, `request`, `namespaceObject` and `authorizer`. */
interface Names {
  readonly params?: boolean
  readonly variables?: boolean
}

/** `authorizer.group('').resource('pods').namespace('a').check('get').allowed()` */
class Authorization {
  readonly user: UserInfo
  readonly authorizer: Authorizer
  readonly requestResource: ResourceCheck | undefined

  constructor(user: UserInfo, authorizer: Authorizer, asked?: Partial<Attributes>) {
    this.user = user
    this.authorizer = authorizer
    this.requestResource = asked === undefined ? undefined : new ResourceCheck(this, asked)
  }
}

class ResourceCheck {
  readonly by: Authorization
  readonly asked: Partial<Attributes>

  constructor(by: Authorization, asked: Partial<Attributes>) {
    this.by = by
    this.asked = asked
  }

  with(asked: Partial<Attributes>): ResourceCheck {
    return new ResourceCheck(this.by, { ...this.asked, ...asked })
  }
}

class Decision {
  readonly allowed: boolean

  constructor({ by: { user, authorizer }, asked }: ResourceCheck, verb: string) {
    this.allowed = authorizer.isAllowed(user, { group: '', resource: '', subresource: '', namespace: '', name: '', path: '', ...asked, verb })
  }
}

function addAuthorizer(environment: Environment): Environment {
  const [authorizer, check, decision] = ['Authorizer', 'ResourceCheck', 'Decision'].map((name) => `kubernetes.authorization.${name}`) as [string, string, string]
  return environment
    .registerType(decision, { ctor: Decision, fields: {} })
    .registerType(check, { ctor: ResourceCheck, fields: {} })
    .registerType(authorizer, { ctor: Authorization, fields: { requestResource: check } })
    .registerFunction(`${authorizer}.group(string): ${check}`, (by: Authorization, group: string) => new ResourceCheck(by, { group }))
    .registerFunction(`${authorizer}.path(string): ${check}`, (by: Authorization, path: string) => new ResourceCheck(by, { path }))
    .registerFunction(`${authorizer}.serviceAccount(string, string): ${authorizer}`, (by: Authorization, namespace: string, name: string) => new Authorization({ name: `system:serviceaccount:${namespace}:${name}`, groups: ['system:serviceaccounts', `system:serviceaccounts:${namespace}`, 'system:authenticated'] }, by.authorizer))
    .registerFunction(`${check}.resource(string): ${check}`, (of: ResourceCheck, resource: string) => of.with({ resource }))
    .registerFunction(`${check}.subresource(string): ${check}`, (of: ResourceCheck, subresource: string) => of.with({ subresource }))
    .registerFunction(`${check}.namespace(string): ${check}`, (of: ResourceCheck, namespace: string) => of.with({ namespace }))
    .registerFunction(`${check}.name(string): ${check}`, (of: ResourceCheck, name: string) => of.with({ name }))
    .registerFunction(`${check}.check(string): ${decision}`, (of: ResourceCheck, verb: string) => new Decision(of, verb))
    .registerFunction(`${decision}.allowed(): bool`, ({ allowed }: Decision) => allowed)
    .registerFunction(`${decision}.errored(): bool`, () => false)
    .registerFunction(`${decision}.error(): string`, () => '')
    .registerFunction(`${decision}.reason(): string`, ({ allowed }: Decision) => (allowed ? 'RBAC allows it' : ''))
    .registerVariable('authorizer', authorizer)
}

const environments = new Map<string, Environment>()

function environmentOf({ params = false, variables = false }: Names): Environment {
  const key = `${params}/${variables}`
  let environment = environments.get(key)
  if (environment === undefined) {
    environment = addAuthorizer(kubernetesEnvironment())
    for (const name of ['object', 'oldObject', 'request', 'namespaceObject', ...(params ? ['params'] : []), ...(variables ? ['variables'] : [])]) environment.registerVariable(name, 'dyn')
    environments.set(key, environment)
  }
  return environment
}

/** Why an expression cannot be used, if so. `types` are those that it may evaluate to; `dyn` is settled when it runs. */
export function expressionError(text: string, names: Names, types: readonly string[]): string | undefined {
  try {
    const { valid, error, type = '' } = environmentOf(names).check(text)
    if (!valid) return `compilation failed: ${firstLine(error)}`
    return type === 'dyn' || types.length === 0 || types.some((one) => type === one || type.startsWith(`${one}<`) || type === `optional<${one}>`) ? undefined : `compilation failed: must evaluate to ${types.join(' or ')}`
  } catch (error) {
    return `compilation failed: ${firstLine(error)}`
  }
}

export function firstLine(error: unknown): string {
  return ((error as Error | undefined)?.message ?? 'unknown').split('\n')[0] ?? ''
}

const compiled = new Map<string, ParseResult>()

/** What the expressions of one webhook or policy may still cost (k8s.io/apiserver/pkg/apis/cel). */
export interface Budget {
  left: number
}

const expressionCostMax = 1_000_000

export function budgetOf(what: 'conditions' | 'policy'): Budget {
  return { left: what === 'policy' ? 10_000_000 : 2_500_000 }
}

/** Runs an expression; what goes wrong, or costs too much, is thrown. */
export function evaluate(text: string, scope: Scope, budget: Budget): unknown {
  let run = compiled.get(text)
  if (run === undefined) {
    run = environmentOf({ params: true, variables: true }).parse(text)
    if (compiled.size >= compiledMax) compiled.clear()
    compiled.set(text, run)
  }
  const given = { params: null, variables: {}, ...scope }
  const cost = costOf(run.ast, Object.fromEntries(Object.entries(given).map(([name, value]) => [name, name === 'variables' ? shapeOfVariables(value) : valueShape(value)])))
  budget.left -= cost
  if (cost > expressionCostMax) throw new Error('operation cancelled: actual cost limit exceeded')
  if (budget.left < 0) throw new Error('validation failed due to running out of cost budget, no further validation rules will be run')
  return run(given)
}

/** Variables are computed when they are named; one that cannot be is told of when it is needed. */
function shapeOfVariables(variables: unknown): ReturnType<typeof valueShape> {
  const field = (name: string): ReturnType<typeof valueShape> => {
    try {
      return valueShape(isRecord(variables) ? variables[name] : undefined)
    } catch {
      // Evaluation will say why.
      return valueShape(undefined)
    }
  }
  return { ...valueShape(undefined), field }
}

/** JSON as CEL sees it: whole numbers are integers. */
export function toCel(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(toCel)
  if (isRecord(value)) return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, toCel(item)]))
  if (typeof value === 'number') return Number.isInteger(value) ? BigInt(value) : value
  return value ?? null
}

/** What expressions about a request can name. `review` is the request as webhooks are told of it. */
export function scopeOf(request: AdmissionRequest, review: Readonly<Record<string, unknown>>, authorizer: Authorizer): Record<string, unknown> {
  const { descriptor, context, namespace, name, subresource } = request
  const { object, oldObject, ...rest } = review
  const found = namespace === '' ? undefined : context.lookup('namespaces', undefined, namespace)
  return {
    object: toCel(object),
    oldObject: toCel(oldObject),
    request: toCel(rest),
    namespaceObject: toCel(found ?? null),
    authorizer: new Authorization(context.user, authorizer, { group: descriptor.group, resource: descriptor.plural, subresource, namespace, name }),
  }
}

export interface MatchCondition {
  readonly name: string
  readonly expression: string
}

/** Whether all conditions hold. One that is false decides; otherwise one that cannot be evaluated is an error. */
export function conditionsHold(conditions: readonly MatchCondition[], scope: Scope): boolean | Error {
  const budget = budgetOf('conditions')
  const errors: string[] = []
  for (const { name, expression } of conditions) {
    try {
      if (evaluate(expression, scope, budget) !== true) return false
    } catch (error) {
      errors.push(`expression '${expression}' resulted in error: ${firstLine(error)} (match condition ${JSON.stringify(name)})`)
    }
  }
  return errors.length === 0 ? true : new Error(errors.length === 1 ? (errors[0] ?? '') : `[${errors.join(', ')}]`)
}
