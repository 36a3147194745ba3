/**
 * A table of the fake kernel: what it holds, what it refuses. Every change can be taken back.
 */
import { NetlinkError, errnoNumber } from '../../errors.ts'
import { compile, typeOf } from '../compile.ts'
import { decompile } from '../decompile.ts'
import { readElements, writeElements } from '../elements.ts'
import { layoutOf } from '../field-types.ts'
import type { FieldType } from '../field-types.ts'
import { sameSet } from '../sameness.ts'
import { elementsMessage } from '../layouts.ts'
import { familyNumbers } from '../operations.ts'
import type { Expression, Statement, Verdict } from '../statements.ts'
import type { BaseChain, Chain, ChainSpec, Counter, Element, ElementSpec, NamedSet, Operation, Rule, RuleSpec, Ruleset, SetSpec, TableSpec, Value } from '../types.ts'
import { formatKey, parseSpan } from '../values.ts'
import { describe } from '../words.ts'

interface FakeChain {
  spec: ChainSpec
  readonly handle: number
  rules: readonly Rule[]
}

interface FakeSet {
  readonly spec: SetSpec
  readonly handle: number
  readonly elements: Map<string, Element>
}

/** NFT_JUMP_STACK_SIZE: loops are noticed by it too. */
const JUMP_STACK_SIZE = 16

/** What undoes the changes of a transaction, last first. */
export type Undo = (() => void)[]

type Of<K extends Operation['kind']> = Extract<Operation, { readonly kind: K }>

/** The kernel's refusal of an operation. */
export function refuse(operation: Operation, code: string, element?: ElementSpec): never {
  const { operation: verb, object } = describe(operation, element)
  throw new NetlinkError(verb, object, errnoNumber(code))
}

export class FakeTable {
  readonly spec: TableSpec
  readonly chains = new Map<string, FakeChain>()
  readonly sets = new Map<string, FakeSet>()
  #handle = 0

  constructor(spec: TableSpec) {
    this.spec = spec
  }

  /** All of it, as it is now. */
  read(generation: number): Ruleset {
    const chains = new Map<string, Chain>([...this.chains].map(([name, { spec, handle, rules }]) => [name, { ...spec, handle, rules }]))
    const sets = new Map<string, NamedSet>([...this.sets].map(([name, { spec, handle, elements }]) => [name, { ...spec, handle, elements: [...elements.values()] }]))
    return { table: this.spec, generation, chains, sets }
  }

  /** Applies one operation on what the table holds. */
  apply(operation: Exclude<Operation, Of<'addTable' | 'deleteTable'>>, undo: Undo): void {
    switch (operation.kind) {
      case 'flushTable':
        for (const chain of this.chains.values()) this.#setRules(chain, [], undo)
        return
      case 'addChain':
        return this.#addChain(operation, undo)
      case 'deleteChain':
        return this.#deleteChain(operation, undo)
      case 'flushChain':
        return this.#setRules(this.#chain(operation), [], undo)
      case 'addRule':
      case 'insertRule':
      case 'replaceRule':
      case 'deleteRule':
        return this.#changeRule(operation, undo)
      case 'addSet':
        return this.#addSet(operation, undo)
      case 'deleteSet':
        return this.#deleteSet(operation, undo)
      case 'flushSet': {
        const set = this.sets.get(operation.set) ?? refuse(operation, 'ENOENT')
        for (const [key, element] of set.elements) this.#put(set, key, undefined, element, undo)
        return
      }
      case 'addElements':
        return this.#addElements(operation, undo)
      case 'deleteElements':
        return this.#deleteElements(operation, undo)
    }
  }

  /** The element of a set with that key. */
  find(set: string, key: readonly Value[]): Element | undefined {
    return this.sets.get(set)?.elements.get(formatKey(key))
  }

  /** Takes time off the elements that have some left, and those away that have none. */
  pass(ms: number): void {
    for (const { elements } of this.sets.values()) {
      for (const [key, element] of elements) {
        if (element.expiresMs === undefined) continue
        if (element.expiresMs > ms) elements.set(key, { ...element, expiresMs: element.expiresMs - ms })
        else elements.delete(key)
      }
    }
  }

  /** What the kernel checks when all is in place: no chain too deep, and statements where they may stand. */
  validate(operation: Operation): void {
    for (const { spec } of this.chains.values()) if (spec.base !== undefined) this.#walk(operation, spec.name, spec.base, 0)
  }

  #walk(operation: Operation, name: string, base: BaseChain, depth: number): void {
    if (depth >= JUMP_STACK_SIZE) refuse(operation, 'EMLINK')
    for (const { statements } of this.chains.get(name)?.rules ?? []) {
      for (const statement of statements) {
        const hooks = hooksOf(statement)
        if (hooks !== undefined && (!hooks.includes(base.hook) || (translating.has(statement.kind) && base.type !== 'nat'))) refuse(operation, 'EOPNOTSUPP')
        for (const next of this.#targets(statement)) this.#walk(operation, next, base, depth + 1)
      }
    }
  }

  /** The chains that a statement may lead to. */
  #targets(statement: Statement): readonly string[] {
    if (statement.kind === 'verdict') return chainOf(statement.verdict)
    if (statement.kind !== 'vmap') return []
    return [...new Set([...this.sets.get(statement.map)?.elements.values() ?? []].flatMap(({ data }) => (data !== undefined && 'verdict' in data ? chainOf(data) : [])))]
  }

  #chain(operation: Extract<Operation, { readonly chain: string }>): FakeChain {
    return this.chains.get(operation.chain) ?? refuse(operation, 'ENOENT')
  }

  #addChain(operation: Of<'addChain'>, undo: Undo): void {
    const { chain: spec, exclusive } = operation
    const there = this.chains.get(spec.name)
    if (there === undefined) {
      this.chains.set(spec.name, { spec, handle: ++this.#handle, rules: [] })
      undo.push(() => void this.chains.delete(spec.name))
      return
    }
    const { base } = there.spec
    if (exclusive === true) refuse(operation, 'EEXIST')
    if (spec.base !== undefined && (base?.hook !== spec.base.hook || base.priority !== spec.base.priority)) refuse(operation, 'EOPNOTSUPP')
    if (spec.base !== undefined && base?.type !== spec.base.type) refuse(operation, 'EEXIST')
    const before = there.spec
    if (spec.base !== undefined) there.spec = { ...before, base: spec.base }
    undo.push(() => void (there.spec = before))
  }

  #deleteChain(operation: Of<'deleteChain'>, undo: Undo): void {
    const chain = this.chains.get(operation.chain)
    if (chain === undefined) return operation.ifExists === true ? undefined : refuse(operation, 'ENOENT')
    const own = new Set(chain.rules)
    if (this.#refersTo((statement, rule) => !own.has(rule) && statement.kind === 'verdict' && chainOf(statement.verdict).includes(operation.chain))) refuse(operation, 'EBUSY')
    for (const { elements } of this.sets.values()) {
      for (const { data } of elements.values()) if (data !== undefined && 'verdict' in data && chainOf(data).includes(operation.chain)) refuse(operation, 'EBUSY')
    }
    this.chains.delete(operation.chain)
    undo.push(() => void this.chains.set(operation.chain, chain))
  }

  #refersTo(matches: (statement: Statement, rule: Rule) => boolean): boolean {
    return [...this.chains.values()].some(({ rules }) => rules.some((rule) => rule.statements.some((statement) => matches(statement, rule))))
  }

  #setRules(chain: FakeChain, rules: readonly Rule[], undo: Undo): void {
    const before = chain.rules
    if (before.length === 0 && rules.length === 0) return
    chain.rules = rules
    undo.push(() => void (chain.rules = before))
  }

  #changeRule(operation: Of<'addRule' | 'insertRule' | 'replaceRule' | 'deleteRule'>, undo: Undo): void {
    const chain = this.#chain(operation)
    const at = (handle: number): number => {
      const index = chain.rules.findIndex((rule) => rule.handle === handle)
      return index < 0 ? refuse(operation, 'ENOENT') : index
    }
    switch (operation.kind) {
      case 'addRule': {
        const index = operation.after !== undefined ? at(operation.after) + 1 : operation.before !== undefined ? at(operation.before) : chain.rules.length
        return this.#setRules(chain, chain.rules.toSpliced(index, 0, this.#rule(operation, operation.rule)), undo)
      }
      case 'insertRule':
        return this.#setRules(chain, [this.#rule(operation, operation.rule), ...chain.rules], undo)
      case 'replaceRule':
        return this.#setRules(chain, chain.rules.with(at(operation.handle), this.#rule(operation, operation.rule)), undo)
      case 'deleteRule':
        return this.#setRules(chain, chain.rules.toSpliced(at(operation.handle), 1), undo)
    }
  }

  /** The rule as it would be listed. */
  #rule(operation: Operation, { statements, comment }: RuleSpec): Rule {
    for (const statement of statements) this.#checkStatement(operation, statement)
    const sets = new Map([...this.sets].map(([name, { spec }]) => [name, spec]))
    const listed = decompile(compile(statements), { family: this.spec.family, sets })
    const counters: readonly Counter[] = listed.counters
    return { handle: ++this.#handle, statements: listed.statements, ...(comment === undefined ? {} : { comment }), ...(counters.length === 0 ? {} : { counters }) }
  }

  #checkStatement(operation: Operation, statement: Statement): void {
    for (const expression of expressionsOf(statement)) this.#checkExpression(operation, expression)
    switch (statement.kind) {
      case 'verdict':
        for (const name of chainOf(statement.verdict)) this.#checkJump(operation, name)
        return
      case 'lookup':
        this.#checkKey(operation, statement.set, statement.key)
        return
      case 'vmap':
        if (this.#checkKey(operation, statement.map, statement.key).data !== 'verdict') refuse(operation, 'EINVAL')
        return
      case 'update': {
        const set = this.#checkKey(operation, statement.set, statement.key)
        if (set.dynamic !== true) refuse(operation, 'EOPNOTSUPP')
        if (statement.timeoutMs !== undefined && set.timeout !== true) refuse(operation, 'EINVAL')
        if ((statement.data === undefined) !== (set.data === undefined) || set.data === 'verdict') refuse(operation, 'EINVAL')
      }
    }
  }

  #checkJump(operation: Operation, name: string, element?: ElementSpec): void {
    const chain = this.chains.get(name) ?? refuse(operation, 'ENOENT', element)
    if (chain.spec.base !== undefined) refuse(operation, 'EOPNOTSUPP', element)
  }

  #checkExpression(operation: Operation, expression: Expression): void {
    if (typeof expression === 'string') return
    if (expression.kind === 'bitwise') return this.#checkExpression(operation, expression.of)
    if (expression.kind === 'jhash') for (const part of expression.of) this.#checkExpression(operation, part)
    if (expression.kind !== 'map') return
    for (const part of expression.key) this.#checkExpression(operation, part)
    const { data } = this.#checkKey(operation, expression.map, expression.key)
    if (data === undefined || data === 'verdict' || data.join() !== expression.data.join()) refuse(operation, 'EINVAL')
  }

  /** The set, if a key may be looked up in it: the fields take as much room as the set's. (The kernel does not notice a longer key.) */
  #checkKey(operation: Operation, name: string, key: readonly Expression[]): SetSpec {
    const { spec } = this.sets.get(name) ?? refuse(operation, 'ENOENT')
    const words = (types: readonly FieldType[]): string => types.map((type) => Math.ceil(layoutOf(type).bytes / 4)).join()
    if (words(key.map(typeOf)) !== words(spec.key)) refuse(operation, 'EINVAL')
    return spec
  }

  #addSet(operation: Of<'addSet'>, undo: Undo): void {
    const { set, exclusive } = operation
    const there = this.sets.get(set.name)
    if (there !== undefined) {
      if (exclusive === true || !sameSet({ ...there.spec, comment: undefined }, { ...set, comment: undefined })) refuse(operation, 'EEXIST')
      undo.push(() => undefined) // counts as a change
      return
    }
    this.sets.set(set.name, { spec: listedSet(set), handle: ++this.#handle, elements: new Map() })
    undo.push(() => void this.sets.delete(set.name))
  }

  #deleteSet(operation: Of<'deleteSet'>, undo: Undo): void {
    const set = this.sets.get(operation.set)
    if (set === undefined) return operation.ifExists === true ? undefined : refuse(operation, 'ENOENT')
    if (this.#refersTo((statement) => setsOf(statement).includes(operation.set))) refuse(operation, 'EBUSY')
    this.sets.delete(operation.set)
    undo.push(() => void this.sets.set(operation.set, set))
  }

  #put(set: FakeSet, key: string, element: Element | undefined, before: Element | undefined, undo: Undo): void {
    if (element === undefined) set.elements.delete(key)
    else set.elements.set(key, element)
    undo.push(() => void (before === undefined ? set.elements.delete(key) : set.elements.set(key, before)))
  }

  /** Elements as they would be listed. */
  #listed(set: FakeSet, elements: readonly ElementSpec[]): readonly Element[] {
    const { family, name } = this.spec
    return elements.flatMap((element) =>
      [...writeElements(familyNumbers[family], name, set.spec, [element])].flatMap(({ payload }) => readElements(elementsMessage.decode(payload).attributes.elements ?? [], set.spec)))
  }

  #setFor(operation: Of<'addElements' | 'deleteElements'>): FakeSet {
    const set = this.sets.get(operation.set.name) ?? refuse(operation, 'ENOENT')
    const { key, data, interval = false } = operation.set
    const like = key.join() === set.spec.key.join() && String(data) === String(set.spec.data) && interval === (set.spec.interval ?? false)
    return like ? set : refuse(operation, 'EINVAL')
  }

  #addElements(operation: Of<'addElements'>, undo: Undo): void {
    const set = this.#setFor(operation)
    for (const [index, element] of this.#listed(set, operation.elements).entries()) {
      this.#checkElement(operation, set, operation.elements[index] as ElementSpec)
      const key = formatKey(element.key)
      const there = set.elements.get(key)
      const timeoutMs = element.timeoutMs ?? set.spec.defaultTimeoutMs
      const expires = timeoutMs === undefined || timeoutMs === 0 ? {} : { expiresMs: element.expiresMs ?? timeoutMs }
      const made: Element = { ...element, ...expires, ...(set.spec.counter === true ? { counter: { packets: 0, bytes: 0 } } : {}) }
      if (there === undefined) {
        if (set.spec.interval === true && overlaps(set, element)) refuse(operation, 'ENOTEMPTY', element)
        if (set.spec.size !== undefined && set.elements.size >= set.spec.size) refuse(operation, 'ENFILE', element)
        this.#put(set, key, made, undefined, undo)
      } else {
        if (operation.exclusive === true || JSON.stringify(there.data) !== JSON.stringify(element.data)) refuse(operation, 'EEXIST', element)
        if (element.timeoutMs !== undefined || element.expiresMs !== undefined) this.#put(set, key, { ...there, ...expires, ...(element.timeoutMs === undefined ? {} : { timeoutMs: element.timeoutMs }) }, there, undo)
      }
    }
  }

  #checkElement(operation: Operation, { spec }: FakeSet, element: ElementSpec): void {
    const { data, timeoutMs, expiresMs } = element
    if ((data === undefined) !== (spec.data === undefined)) refuse(operation, 'EINVAL', element)
    if (data !== undefined && 'verdict' in data !== (spec.data === 'verdict')) refuse(operation, 'EINVAL', element)
    if ((timeoutMs !== undefined || expiresMs !== undefined) && spec.timeout !== true) refuse(operation, 'EINVAL', element)
    if (data !== undefined && 'verdict' in data) for (const name of chainOf(data)) this.#checkJump(operation, name, element)
  }

  #deleteElements(operation: Of<'deleteElements'>, undo: Undo): void {
    const set = this.#setFor(operation)
    for (const { key } of this.#listed(set, operation.elements.map(({ key }) => ({ key })))) {
      const there = set.elements.get(formatKey(key))
      if (there !== undefined) this.#put(set, formatKey(key), undefined, there, undo)
      else if (operation.ifExists !== true) refuse(operation, 'ENOENT', { key })
    }
  }
}

const translating: ReadonlySet<string> = new Set(['dnat', 'snat', 'masquerade', 'redirect'])

/** Where a statement may stand (nft_*_validate); `undefined`: anywhere. */
function hooksOf({ kind }: Statement): readonly BaseChain['hook'][] | undefined {
  switch (kind) {
    case 'dnat':
    case 'redirect':
      return ['prerouting', 'output']
    case 'snat':
      return ['postrouting', 'input']
    case 'masquerade':
      return ['postrouting']
    case 'reject':
      return ['input', 'forward', 'output', 'prerouting']
    default:
      return undefined
  }
}

function chainOf(verdict: Verdict): readonly string[] {
  return 'chain' in verdict ? [verdict.chain] : []
}

function expressionsOf(statement: Statement): readonly Expression[] {
  switch (statement.kind) {
    case 'match':
    case 'bits':
      return [statement.left]
    case 'lookup':
    case 'vmap':
      return statement.key
    case 'assign':
      return [statement.to]
    case 'update':
      return statement.data === undefined ? statement.key : [...statement.key, ...statement.data]
    case 'dnat':
    case 'snat':
      return 'map' in statement.to ? [statement.to] : []
    default:
      return []
  }
}

function mapsIn(expression: Expression): readonly string[] {
  if (typeof expression === 'string') return []
  if (expression.kind === 'map') return [expression.map, ...expression.key.flatMap(mapsIn)]
  return expression.kind === 'jhash' ? expression.of.flatMap(mapsIn) : expression.kind === 'bitwise' ? mapsIn(expression.of) : []
}

function setsOf(statement: Statement): readonly string[] {
  const inside = expressionsOf(statement).flatMap(mapsIn)
  if (statement.kind === 'vmap') return [statement.map, ...inside]
  return statement.kind === 'lookup' || statement.kind === 'update' ? [statement.set, ...inside] : inside
}

/** A set as it would be listed: what is not so is not said. */
function listedSet(set: SetSpec): SetSpec {
  const timeout = set.timeout === true || set.defaultTimeoutMs !== undefined ? true : undefined
  return Object.fromEntries(Object.entries({ ...set, timeout }).filter(([, value]) => value !== undefined && value !== false)) as unknown as SetSpec
}

function overlaps(set: FakeSet, element: ElementSpec): boolean {
  const ends = ({ key }: ElementSpec): readonly (readonly [Buffer, Buffer])[] => key.map((value, index) => {
    const type = set.spec.key[index] as FieldType
    const span = parseSpan(type, value)
    if (span !== undefined) return [span.first, span.last]
    const bytes = Buffer.alloc(layoutOf(type).bytes)
    layoutOf(type).write(bytes, 0, value)
    return [bytes, bytes]
  })
  const mine = ends(element)
  return [...set.elements.values()].some((other) =>
    ends(other).every(([first, last], index) => {
      const [from, to] = mine[index] ?? [first, last]
      return first.compare(to) <= 0 && from.compare(last) <= 0
    }))
}
