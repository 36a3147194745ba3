/**
 * The kernel's expressions back to statements: registers are followed in mind, each word knowing what was loaded into it, until a
 * statement uses them. A rule with anything that `compile` would not have written comes back as `foreign` statements, bytes and all.
 */
import { LOG_LEVEL, NFT_NAT_DNAT, NFT_REG_VERDICT, comparisons, dynsetOperations, families, logLevels, natFlags, refusals, typeOf, verdictCodes } from './compile.ts'
import { layoutOf } from './field-types.ts'
import type { FieldType } from './field-types.ts'
import { fieldLoadedBy } from './fields.ts'
import type { FieldName } from './fields.ts'
import { expressionBytes } from './layouts.ts'
import type { KernelExpression } from './layouts.ts'
import type { ComparisonOperator, Expression, NatFlag, NatTarget, Refusal, Statement, Verdict } from './statements.ts'
import type { Counter, TableFamily, Value } from './types.ts'
import { formatSpan, prefixLengthOf } from './values.ts'

/** What a rule looks up, as far as reading it needs: the types of keys and data. */
interface SetTypes {
  readonly key: readonly FieldType[]
  readonly data?: readonly FieldType[] | 'verdict' | undefined
}

export interface Context {
  readonly family: TableFamily
  readonly sets: ReadonlyMap<string, SetTypes>
}

/** The rule is none of ours. */
class Foreign extends Error {}

/** What a register holds: an expression, one with a mask that no expression can say, or bytes. */
type Held = { readonly expression: Expression } | { readonly of: Expression; readonly mask: Buffer } | { readonly bytes: Buffer }

type KernelData<N> = Extract<KernelExpression, { readonly name: N }> extends { readonly data: infer D } ? D : never

/** The statements of a rule, and the state of its counters. */
export function decompile(expressions: readonly KernelExpression[], context: Context): { readonly statements: readonly Statement[]; readonly counters: readonly Counter[] } {
  const counters = expressions.flatMap((expression) =>
    expression.name === 'counter' ? [{ packets: Number(expression.data.packets ?? 0n), bytes: Number(expression.data.bytes ?? 0n) }] : [])
  try {
    const reader = new RuleReader(context)
    return { statements: expressions.flatMap((expression) => reader.read(expression) ?? []), counters }
  } catch (error) {
    if (!(error instanceof Foreign)) throw error
    return { statements: expressions.map(asForeign), counters }
  }
}

function asForeign(expression: KernelExpression): Statement {
  const name = expression.name === 'foreign' ? expression.of : expression.name
  return { kind: 'foreign', name, data: expressionBytes(expression).toString('hex') }
}

/** What a verdict of the kernel's is. */
export function decodeVerdict({ code = 0, chain }: { readonly code?: number | undefined; readonly chain?: string | undefined }): Verdict | undefined {
  const name = verdictNames.get(code | 0)
  if (name === undefined) return undefined
  if (name === 'jump' || name === 'goto') return { verdict: name, chain: chain ?? '' }
  return { verdict: name }
}

function invert<K extends string>(table: Readonly<Record<K, number>>): ReadonlyMap<number, K> {
  return new Map(Object.entries(table).map(([name, number]) => [number as number, name as K]))
}
const verdictNames = invert(verdictCodes)
const comparisonNames = invert(comparisons)
const familyNames = invert(families)
const updateNames = invert(dynsetOperations)

function must<T>(value: T | undefined): T {
  if (value === undefined) throw new Foreign()
  return value
}

function wordOf(register: number | undefined): number {
  const number = must(register)
  if (number >= 8 && number < 24) return number - 8
  if (number >= 1 && number <= 4) return (number - 1) * 4
  throw new Foreign()
}

function flagsOf(bits: number | undefined): readonly NatFlag[] {
  return (Object.keys(natFlags) as NatFlag[]).filter((name) => ((bits ?? 0) & natFlags[name]) !== 0)
}

const wordsOf = (type: FieldType): number => Math.ceil(layoutOf(type).bytes / 4)

/** Reads one rule, expression by expression. */
class RuleReader {
  readonly #context: Context
  readonly #words = new Map<number, Held>()

  constructor(context: Context) {
    this.#context = context
  }

  /** The statement that this expression completes, if it does. */
  read(expression: KernelExpression): Statement | undefined {
    switch (expression.name) {
      case 'payload':
      case 'meta':
      case 'ct':
      case 'fib':
        return this.#field(expression)
      case 'numgen': {
        const { dreg, modulus = 0, type, offset = 0 } = expression.data
        return this.#hold(dreg, { kind: 'numgen', mode: type === 0 ? 'inc' : 'random', modulus, offset })
      }
      case 'hash':
        return this.#hash(expression.data)
      case 'bitwise':
        return this.#bitwise(expression.data)
      case 'lookup':
        return this.#lookup(expression.data)
      case 'immediate':
        return this.#immediate(expression.data)
      case 'cmp':
        return this.#comparison(expression.data)
      case 'range':
        return this.#range(expression.data)
      case 'counter':
        return { kind: 'counter' }
      case 'dynset':
        return this.#update(expression.data)
      default:
        return this.#action(expression)
    }
  }

  #action(expression: Extract<KernelExpression, { readonly name: 'nat' | 'masq' | 'redir' | 'reject' | 'notrack' | 'log' | 'foreign' }>): Statement {
    switch (expression.name) {
      case 'nat':
        return this.#nat(expression.data)
      case 'masq':
      case 'redir': {
        const { portMin, portMax, flags } = expression.data
        const port = portMin === undefined ? {} : { port: this.#constant('inet_service', portMin, portMax) }
        return { kind: expression.name === 'masq' ? 'masquerade' : 'redirect', ...port, flags: flagsOf(flags) }
      }
      case 'reject':
        return { kind: 'reject', with: this.#refusal(expression.data) }
      case 'notrack':
        return { kind: 'notrack' }
      case 'log': {
        const { group, prefix, level } = expression.data
        const named = group === undefined && level !== undefined && level !== LOG_LEVEL ? must(logLevels[level]) : undefined
        return { kind: 'log', ...(prefix === undefined ? {} : { prefix }), ...(named === undefined ? {} : { level: named }), ...(group === undefined ? {} : { group }) }
      }
      case 'foreign':
        throw new Foreign()
    }
  }

  #hold(register: number | undefined, expression: Expression): undefined {
    this.#words.set(wordOf(register), { expression })
  }

  /** The expression that a word begins. */
  #expressionAt(word: number): Expression {
    const held = must(this.#words.get(word))
    if (!('expression' in held)) throw new Foreign()
    return held.expression
  }

  #fieldsFrom(register: number | undefined, types: readonly FieldType[]): Expression[] {
    let word = wordOf(register)
    return types.map((type) => {
      const expression = this.#operandAt(word, type)
      if (wordsOf(typeOf(expression)) !== wordsOf(type)) throw new Foreign()
      word += wordsOf(type)
      return expression
    })
  }

  #field(expression: Extract<KernelExpression, { readonly name: 'payload' | 'meta' | 'ct' | 'fib' }>): Statement | undefined {
    const field = loadedBy(expression)
    if (expression.name !== 'payload' && expression.name !== 'fib' && expression.data.sreg !== undefined) return this.#assign(must(field), expression.data.sreg)
    return this.#hold(expression.data.dreg, must(field))
  }

  #assign(field: FieldName, sreg: number): Statement {
    return { kind: 'assign', field, to: this.#operandAt(wordOf(sreg), typeOf(field)) }
  }

  /** The expression that a word begins, or the constant there as of a type. */
  #operandAt(word: number, type: FieldType): Expression {
    const held = must(this.#words.get(word))
    return 'bytes' in held ? { kind: 'value', type, value: this.#valueOf(type, held.bytes) } : this.#expressionAt(word)
  }

  #valueOf(type: FieldType, bytes: Buffer): Value {
    if (bytes.length !== layoutOf(type).bytes) throw new Foreign()
    return layoutOf(type).read(bytes, 0)
  }

  #hash({ sreg, dreg, length = 0, modulus = 0, seed = 0, offset = 0, type }: KernelData<'hash'>): undefined {
    if (type !== undefined && type !== 0) throw new Foreign()
    const of: Expression[] = []
    for (let word = wordOf(sreg), end = word + Math.ceil(length / 4); word < end; word += wordsOf(typeOf(of.at(-1) as Expression))) of.push(this.#expressionAt(word))
    return this.#hold(dreg, { kind: 'jhash', of, modulus, seed, offset })
  }

  #bitwise({ sreg, dreg, operation = 0, mask, xor }: KernelData<'bitwise'>): undefined {
    const word = wordOf(sreg)
    const [and, toggled] = [Buffer.from(must(mask?.value)), Buffer.from(must(xor?.value))]
    const of = this.#expressionAt(word)
    if (operation !== 0 || word !== wordOf(dreg)) throw new Foreign()
    const { bits, bytes, byteOrder } = layoutOf(typeOf(of))
    if (and.length !== bytes || toggled.length !== bytes) throw new Foreign()
    if (bytes === 4 && byteOrder === 1) {
      this.#words.set(word, { expression: { kind: 'bitwise', of, mask: and.readUInt32LE(), xor: toggled.readUInt32LE() } })
    } else if (toggled.every((byte) => byte === 0) && (bits === true || prefixLengthOf(and) !== undefined)) {
      this.#words.set(word, { of, mask: and })
    } else throw new Foreign()
  }

  #lookup({ set, sreg, dreg, flags = 0 }: KernelData<'lookup'>): Statement | undefined {
    const name = must(set)
    const { key, data } = must(this.#context.sets.get(name))
    const fields = this.#fieldsFrom(sreg, key)
    if (dreg === undefined) return { kind: 'lookup', key: fields, set: name, negated: flags !== 0 }
    if (dreg === NFT_REG_VERDICT) return { kind: 'vmap', key: fields, map: name }
    if (data === undefined || data === 'verdict') throw new Foreign()
    return this.#hold(dreg, { kind: 'map', key: fields, map: name, data })
  }

  #immediate({ dreg, data }: KernelData<'immediate'>): Statement | undefined {
    if (dreg === NFT_REG_VERDICT) return { kind: 'verdict', verdict: must(decodeVerdict(must(data?.verdict))) }
    this.#words.set(wordOf(dreg), { bytes: Buffer.from(must(data?.value)) })
    return undefined
  }

  #comparison({ sreg, operation = 0, data }: KernelData<'cmp'>): Statement {
    const operator = must(comparisonNames.get(operation))
    const value = Buffer.from(must(data?.value))
    const held = must(this.#words.get(wordOf(sreg)))
    if ('bytes' in held) throw new Foreign()
    const zero = value.every((byte) => byte === 0)
    if ('of' in held) return this.#masked(held, operator, value)
    const left = held.expression
    const type = typeOf(left)
    if (typeof left !== 'string' && left.kind === 'bitwise' && left.xor === 0 && layoutOf(type).bits === true && zero && (operator === '!=' || operator === '==')) {
      return { kind: 'bits', left: left.of, operator: operator === '!=' ? 'any' : 'none', right: bitsOf(type, left.mask) }
    }
    if (type === 'ifname' && value.length < layoutOf(type).bytes) return { kind: 'match', left, operator, right: `${value.toString()}*` }
    return { kind: 'match', left, operator, right: this.#valueOf(type, value) }
  }

  #masked({ of, mask }: { readonly of: Expression; readonly mask: Buffer }, operator: ComparisonOperator, value: Buffer): Statement {
    const type = typeOf(of)
    if (operator !== '==' && operator !== '!=') throw new Foreign()
    if (layoutOf(type).bits === true) {
      if (value.some((byte) => byte !== 0)) throw new Foreign()
      return { kind: 'bits', left: of, operator: operator === '!=' ? 'any' : 'none', right: this.#valueOf(type, mask) }
    }
    return { kind: 'match', left: of, operator, right: `${this.#valueOf(type, value)}/${must(prefixLengthOf(mask))}` }
  }

  #range({ sreg, operation = 0, from, to }: KernelData<'range'>): Statement {
    const left = this.#expressionAt(wordOf(sreg))
    const [first, last] = [Buffer.from(must(from?.value)), Buffer.from(must(to?.value))]
    const type = typeOf(left)
    if (first.length !== layoutOf(type).bytes || last.length !== first.length) throw new Foreign()
    return { kind: 'match', left, operator: operation === 0 ? '==' : '!=', right: `${layoutOf(type).read(first, 0)}-${layoutOf(type).read(last, 0)}` }
  }

  #update({ set, operation = 0, keySreg, dataSreg, timeout, flags = 0 }: KernelData<'dynset'>): Statement {
    const name = must(set)
    const { key, data } = must(this.#context.sets.get(name))
    if (flags !== 0 || data === 'verdict') throw new Foreign()
    return {
      kind: 'update', operation: must(updateNames.get(operation)), set: name, key: this.#fieldsFrom(keySreg, key),
      ...(dataSreg === undefined ? {} : { data: this.#fieldsFrom(dataSreg, must(data)) }),
      ...(timeout === undefined || timeout === 0n ? {} : { timeoutMs: Number(timeout) }),
    }
  }

  #nat({ type, family, addressMin, addressMax, portMin, portMax, flags }: KernelData<'nat'>): Statement {
    const version = must(familyNames.get(must(family)))
    const first = this.#words.get(wordOf(addressMin ?? portMin))
    const mapped = first !== undefined && 'expression' in first && typeof first.expression !== 'string' && first.expression.kind === 'map' ? first.expression : undefined
    const target: NatTarget = mapped ?? {
      ...(addressMin === undefined ? {} : { address: this.#constant(version === 'ip' ? 'ipv4_addr' : 'ipv6_addr', addressMin, addressMax) }),
      ...(portMin === undefined ? {} : { port: this.#constant('inet_service', portMin, portMax) }),
    }
    return { kind: type === NFT_NAT_DNAT ? 'dnat' : 'snat', family: version, to: target, flags: flagsOf(flags) }
  }

  #constant(type: FieldType, min: number, max: number | undefined): Value {
    const [first, last] = [min, max ?? min].map((register) => {
      const held = must(this.#words.get(wordOf(register)))
      if (!('bytes' in held)) throw new Foreign()
      return held.bytes
    })
    if (first === undefined || last === undefined || first.length !== layoutOf(type).bytes || last.length !== first.length) throw new Foreign()
    if (first.equals(last)) return layoutOf(type).read(first, 0)
    return type === 'inet_service' ? formatSpan(type, { first, last }) : `${layoutOf(type).read(first, 0)}-${layoutOf(type).read(last, 0)}`
  }

  #refusal({ type, code }: KernelData<'reject'>): Refusal {
    const found = (Object.keys(refusals) as Refusal[]).filter((name) => refusals[name].type === type && (type === 1 || refusals[name].code === code))
    const icmp = this.#context.family === 'ip6' ? 'icmpv6 ' : 'icmp '
    return must(found.length > 1 ? found.find((name) => name.startsWith(icmp)) : found[0])
  }
}

/** A mask as the value of a type of bits. */
function bitsOf(type: FieldType, mask: number): Value {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(mask)
  return layoutOf(type).read(bytes, 0)
}

function loadedBy(expression: Extract<KernelExpression, { readonly name: 'payload' | 'meta' | 'ct' | 'fib' }>): FieldName | undefined {
  switch (expression.name) {
    case 'payload': {
      const { base, offset = 0, length: bytes = 0 } = expression.data
      return base === 1 || base === 2 ? fieldLoadedBy({ from: 'payload', base, offset, bytes }) : undefined
    }
    case 'meta':
      return fieldLoadedBy({ from: 'meta', key: expression.data.key ?? 0 })
    case 'ct': {
      const { key = 0, direction } = expression.data
      return fieldLoadedBy(direction === 0 || direction === 1 ? { from: 'ct', key, direction } : { from: 'ct', key })
    }
    case 'fib':
      return fieldLoadedBy({ from: 'fib', result: expression.data.result ?? 0, flags: expression.data.flags ?? 0 })
  }
}
