/**
 * Statements to the kernel's expressions. Registers are sixteen words of four bytes, free again after every statement; the verdict
 * has one of its own (0). A concatenation lies in consecutive words.
 */
import { LayoutError } from '../errors.ts'
import { layoutOf } from './field-types.ts'
import type { FieldType } from './field-types.ts'
import { fieldOf } from './fields.ts'
import type { KernelExpression } from './layouts.ts'
import type { Expression, MapLookup, NatFlag, NatTarget, Refusal, Statement, Verdict } from './statements.ts'
import type { Value } from './types.ts'
import { encodeValue, parseMasked, parseSpan } from './values.ts'

const WORDS = 16
export const NFT_REG_VERDICT = 0
/** NFT_REG_1…4 are sixteen bytes wide, NFT_REG32_00… four; the kernel names what it can by the former. */
const NFT_REG_1 = 1
const NFT_REG32_00 = 8

/** The kernel's name for the register that begins at a word. */
function registerOf(word: number): number {
  if (word >= WORDS) throw new LayoutError(`Cannot compile rule: a statement needs more than ${WORDS * 4} bytes of registers`)
  return word % 4 === 0 ? NFT_REG_1 + word / 4 : NFT_REG32_00 + word
}

export const comparisons = { '==': 0, '!=': 1, '<': 2, '<=': 3, '>': 4, '>=': 5 } as const
// include/uapi/linux/netfilter/nf_nat.h: NF_NAT_RANGE_*
export const natFlags = { random: 4, persistent: 8, 'fully-random': 16 } as const satisfies Readonly<Record<NatFlag, number>>
const NFT_JUMP = -3
const NFT_GOTO = -4
export const verdictCodes = { drop: 0, accept: 1, continue: -1, jump: NFT_JUMP, goto: NFT_GOTO, return: -5 } as const
const NFT_NAT_SNAT = 0
export const NFT_NAT_DNAT = 1
export const families = { ip: 2, ip6: 10 } as const
export const dynsetOperations = { add: 0, update: 1, delete: 2 } as const
export const logLevels = ['emerg', 'alert', 'crit', 'err', 'warn', 'notice', 'info', 'debug'] as const
/** `warn`, which the kernel takes where none is said */
export const LOG_LEVEL = 4
const NFT_LOOKUP_F_INV = 1

/** Type (NFT_REJECT_*) and code of each refusal; ICMP's from include/uapi/linux/icmp.h, icmpv6.h. */
export const refusals: Readonly<Record<Refusal, { readonly type: 0 | 1 | 2; readonly code?: number }>> = {
  'tcp reset': { type: 1 },
  'icmp net-unreachable': { type: 0, code: 0 }, 'icmp host-unreachable': { type: 0, code: 1 }, 'icmp prot-unreachable': { type: 0, code: 2 },
  'icmp port-unreachable': { type: 0, code: 3 }, 'icmp net-prohibited': { type: 0, code: 9 }, 'icmp host-prohibited': { type: 0, code: 10 },
  'icmp admin-prohibited': { type: 0, code: 13 },
  'icmpv6 no-route': { type: 0, code: 0 }, 'icmpv6 admin-prohibited': { type: 0, code: 1 }, 'icmpv6 addr-unreachable': { type: 0, code: 3 },
  'icmpv6 port-unreachable': { type: 0, code: 4 },
  'icmpx no-route': { type: 2, code: 0 }, 'icmpx port-unreachable': { type: 2, code: 1 }, 'icmpx host-unreachable': { type: 2, code: 2 },
  'icmpx admin-prohibited': { type: 2, code: 3 },
}

/** What type a single-valued expression has; a map that holds several fields has none. */
export function typeOf(expression: Expression): FieldType {
  if (typeof expression === 'string') return fieldOf(expression).type
  switch (expression.kind) {
    case 'numgen':
    case 'jhash':
      return 'integer'
    case 'bitwise':
      return typeOf(expression.of)
    case 'value':
      return expression.type
    case 'map': {
      const [type, ...others] = expression.data
      if (type === undefined || others.length > 0) throw new LayoutError(`Cannot compile rule: map ${expression.map} does not hold one field`)
      return type
    }
  }
}

const wordsOf = (type: FieldType): number => Math.ceil(layoutOf(type).bytes / 4)

/** How many words an expression fills. */
function sizeOf(expression: Expression): number {
  return typeof expression !== 'string' && expression.kind === 'map' ? expression.data.reduce((sum, type) => sum + wordsOf(type), 0) : wordsOf(typeOf(expression))
}

/** What a verdict is to the kernel. */
export function encodeVerdict(verdict: Verdict): { readonly code: number; readonly chain?: string } {
  const code = verdictCodes[verdict.verdict] >>> 0
  return 'chain' in verdict ? { code, chain: verdict.chain } : { code }
}

/** The expressions of a rule. */
export function compile(statements: readonly Statement[]): KernelExpression[] {
  const out: KernelExpression[] = []
  for (const statement of statements) compileStatement(out, statement)
  return out
}

function compileStatement(out: KernelExpression[], statement: Statement): void {
  switch (statement.kind) {
    case 'match':
      return compileMatch(out, statement)
    case 'bits': {
      const mask = encodeValue(typeOf(statement.left), statement.right)
      load(out, statement.left, 0)
      out.push(masked(0, mask, Buffer.alloc(mask.length)))
      out.push({ name: 'cmp', data: { sreg: registerOf(0), operation: comparisons[statement.operator === 'any' ? '!=' : '=='], data: { value: Buffer.alloc(mask.length) } } })
      return
    }
    case 'lookup':
      loadKey(out, statement.key, 0)
      out.push({ name: 'lookup', data: { set: statement.set, sreg: registerOf(0), ...(statement.negated ? { flags: NFT_LOOKUP_F_INV } : {}) } })
      return
    case 'vmap':
      loadKey(out, statement.key, 0)
      out.push({ name: 'lookup', data: { set: statement.map, sreg: registerOf(0), dreg: NFT_REG_VERDICT } })
      return
    case 'verdict':
      out.push({ name: 'immediate', data: { dreg: NFT_REG_VERDICT, data: { verdict: encodeVerdict(statement.verdict) } } })
      return
    case 'counter':
      out.push({ name: 'counter', data: { bytes: 0n, packets: 0n } })
      return
    case 'assign':
      return compileAssign(out, statement)
    case 'update':
      return compileUpdate(out, statement)
    case 'foreign':
      out.push({ name: 'foreign', of: statement.name, bytes: Buffer.from(statement.data, 'hex') })
      return
    default:
      return compileAction(out, statement)
  }
}

function compileAction(out: KernelExpression[], statement: Extract<Statement, { readonly kind: 'dnat' | 'snat' | 'masquerade' | 'redirect' | 'reject' | 'notrack' | 'log' }>): void {
  switch (statement.kind) {
    case 'dnat':
    case 'snat':
      return compileNat(out, statement)
    case 'masquerade':
    case 'redirect': {
      const data = { ...loadTarget(out, 'ip', { port: statement.port }), ...encodeFlags(statement.flags) }
      out.push({ name: statement.kind === 'masquerade' ? 'masq' : 'redir', data })
      return
    }
    case 'reject':
      out.push({ name: 'reject', data: refusals[statement.with] })
      return
    case 'notrack':
      out.push({ name: 'notrack', data: {} })
      return
    case 'log': {
      const { prefix, level, group } = statement
      out.push({ name: 'log', data: { group, prefix, level: group !== undefined ? undefined : level === undefined ? LOG_LEVEL : logLevels.indexOf(level) } })
    }
  }
}

function encodeFlags(flags: readonly NatFlag[]): { flags?: number } {
  const bits = flags.reduce((sum, flag) => sum | natFlags[flag], 0)
  return bits === 0 ? {} : { flags: bits }
}

function masked(word: number, mask: Buffer, xor: Buffer): KernelExpression {
  return { name: 'bitwise', data: { sreg: registerOf(word), dreg: registerOf(word), length: mask.length, operation: 0, mask: { value: mask }, xor: { value: xor } } }
}

function compileMatch(out: KernelExpression[], { left, operator, right }: Extract<Statement, { readonly kind: 'match' }>): void {
  const type = typeOf(left)
  const { byteOrder, bytes } = layoutOf(type)
  const equality = operator === '==' || operator === '!='
  load(out, left, 0)
  const compare = (value: Buffer): void => void out.push({ name: 'cmp', data: { sreg: registerOf(0), operation: comparisons[operator], data: { value } } })
  if (type === 'ifname' && equality && typeof right === 'string' && right.endsWith('*')) return compare(encodeValue(type, right.slice(0, -1)).subarray(0, right.length - 1))
  const prefix = parseMasked(type, right)
  if (prefix !== undefined && equality) {
    out.push(masked(0, prefix.mask, Buffer.alloc(bytes)))
    return compare(prefix.network)
  }
  const span = parseSpan(type, right)
  if (span === undefined && equality) return compare(encodeValue(type, right))
  // registers are compared byte by byte
  if (byteOrder === 1 && bytes > 1) throw new LayoutError(`Cannot compile rule: ${type} is compared for being equal only`)
  if (span === undefined) return compare(encodeValue(type, right))
  if (!equality) throw new LayoutError(`Cannot compile rule: a range is compared with == or !=, not ${operator}`)
  out.push({ name: 'range', data: { sreg: registerOf(0), operation: comparisons[operator], from: { value: span.first }, to: { value: span.last } } })
}

function compileAssign(out: KernelExpression[], { field, to }: Extract<Statement, { readonly kind: 'assign' }>): void {
  const { loader } = fieldOf(field)
  load(out, to, 0)
  if (loader.from === 'meta') out.push({ name: 'meta', data: { key: loader.key, sreg: registerOf(0) } })
  else if (loader.from === 'ct') out.push({ name: 'ct', data: { key: loader.key, sreg: registerOf(0) } })
  else throw new LayoutError(`Cannot compile rule: ${field} cannot be set`)
}

function compileUpdate(out: KernelExpression[], { operation, set, key, data, timeoutMs }: Extract<Statement, { readonly kind: 'update' }>): void {
  const after = loadKey(out, key, 0)
  if (data !== undefined) loadKey(out, data, after)
  out.push({
    name: 'dynset',
    data: {
      set, operation: dynsetOperations[operation], keySreg: registerOf(0), flags: 0,
      ...(data === undefined ? {} : { dataSreg: registerOf(after) }),
      ...(timeoutMs === undefined ? {} : { timeout: BigInt(timeoutMs) }),
    },
  })
}

function compileNat(out: KernelExpression[], { kind, family, to, flags }: Extract<Statement, { readonly kind: 'dnat' | 'snat' }>): void {
  out.push({
    name: 'nat',
    data: { type: kind === 'dnat' ? NFT_NAT_DNAT : NFT_NAT_SNAT, family: families[family], ...loadTarget(out, family, to), ...encodeFlags(flags) },
  })
}

interface NatRegisters {
  addressMin?: number
  addressMax?: number
  portMin?: number
  portMax?: number
}

function loadTarget(out: KernelExpression[], family: 'ip' | 'ip6', to: NatTarget): NatRegisters {
  const type = family === 'ip' ? 'ipv4_addr' : 'ipv6_addr'
  if ('map' in to) return loadMappedTarget(out, type, to)
  const registers: NatRegisters = {}
  let word = 0
  if (to.address !== undefined) {
    const range = loadRange(out, type, to.address, word)
    word = range.next
    registers.addressMin = range.min
    if (range.max !== undefined) registers.addressMax = range.max
  }
  if (to.port !== undefined) {
    const range = loadRange(out, 'inet_service', to.port, word)
    registers.portMin = range.min
    if (range.max !== undefined) registers.portMax = range.max
  }
  return registers
}

function loadMappedTarget(out: KernelExpression[], type: FieldType, to: MapLookup): NatRegisters {
  load(out, to, 0)
  const [first, second, ...others] = to.data
  const wrong = others.length > 0 || !(first === type ? second === undefined || second === 'inet_service' : first === 'inet_service' && second === undefined)
  if (wrong) throw new LayoutError(`Cannot compile rule: map ${to.map} holds ${to.data.join(' . ')}, not ${type} and perhaps inet_service`)
  if (first === 'inet_service') return { portMin: registerOf(0) }
  return { addressMin: registerOf(0), ...(second === undefined ? {} : { portMin: registerOf(wordsOf(type)) }) }
}

/** Loads a constant, or both ends of a range. */
function loadRange(out: KernelExpression[], type: FieldType, value: Value, word: number): { readonly min: number; readonly max?: number; readonly next: number } {
  const span = parseSpan(type, value)
  const immediate = (data: Buffer, at: number): void => void out.push({ name: 'immediate', data: { dreg: registerOf(at), data: { value: data } } })
  immediate(span?.first ?? encodeValue(type, value), word)
  if (span === undefined || span.first.equals(span.last)) return { min: registerOf(word), next: word + wordsOf(type) }
  const second = word + wordsOf(type)
  immediate(span.last, second)
  return { min: registerOf(word), max: registerOf(second), next: second + wordsOf(type) }
}

/** Loads fields side by side and returns the word after them. */
function loadKey(out: KernelExpression[], key: readonly Expression[], word: number): number {
  let at = word
  for (const expression of key) {
    load(out, expression, at)
    at += sizeOf(expression)
  }
  return at
}

/** Loads an expression into the registers from a word on. */
function load(out: KernelExpression[], expression: Expression, word: number): void {
  const dreg = registerOf(word)
  registerOf(word + sizeOf(expression) - 1)
  if (typeof expression === 'string') out.push(loadField(expression, dreg))
  else switch (expression.kind) {
    case 'numgen':
      out.push({ name: 'numgen', data: { dreg, modulus: expression.modulus, type: expression.mode === 'inc' ? 0 : 1, offset: expression.offset } })
      break
    case 'jhash': {
      const end = loadKey(out, expression.of, word)
      const [only, ...others] = expression.of
      const length = only !== undefined && others.length === 0 ? layoutOf(typeOf(only)).bytes : (end - word) * 4
      const { modulus, seed, offset } = expression
      out.push({ name: 'hash', data: { sreg: dreg, dreg, length, modulus, seed, ...(offset === 0 ? {} : { offset }), type: 0 } })
      break
    }
    case 'map':
      loadKey(out, expression.key, word)
      out.push({ name: 'lookup', data: { set: expression.map, sreg: dreg, dreg } })
      break
    case 'bitwise': {
      const type = typeOf(expression.of)
      if (layoutOf(type).bytes !== 4 || layoutOf(type).byteOrder !== 1) throw new LayoutError(`Cannot compile rule: ${type} has no bits to compute with`)
      load(out, expression.of, word)
      out.push(masked(word, encodeValue('integer', expression.mask), encodeValue('integer', expression.xor)))
      break
    }
    case 'value':
      out.push({ name: 'immediate', data: { dreg, data: { value: encodeValue(expression.type, expression.value) } } })
  }
}

function loadField(name: Extract<Expression, string>, dreg: number): KernelExpression {
  const { loader } = fieldOf(name)
  switch (loader.from) {
    case 'payload':
      return { name: 'payload', data: { dreg, base: loader.base, offset: loader.offset, length: loader.bytes } }
    case 'meta':
      return { name: 'meta', data: { dreg, key: loader.key } }
    case 'ct':
      return { name: 'ct', data: { dreg, key: loader.key, direction: loader.direction } }
    case 'fib':
      return { name: 'fib', data: { dreg, result: loader.result, flags: loader.flags } }
  }
}
