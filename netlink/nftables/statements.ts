/**
 * What rules say, as plain data made by functions that read like nft's syntax. A field is its name in nft: `'ip daddr'`.
 *
 *     // ip daddr . meta l4proto . th dport vmap @service
 *     vmap(['ip daddr', 'meta l4proto', 'th dport'], 'service')
 *     // dnat ip to ip daddr . meta l4proto . th dport . numgen random mod 10 map @endpoint
 *     dnat('ip', map(['ip daddr', 'meta l4proto', 'th dport', random(10)], endpoint))
 *     // ct state established,related accept
 *     has('ct state', 'established,related'), accept
 *
 * nft adds what a field depends on by itself; here nothing is added: in an `inet` table `equal('meta nfproto', 'ipv4')` comes before
 * `ip` fields, and `th` fields want a transport protocol that has ports.
 */
import type { FieldName } from './fields.ts'
import type { FieldType } from './field-types.ts'
import type { SetSpec, Value } from './types.ts'

/** What happens to the packet. */
export type Verdict =
  | { readonly verdict: 'accept' | 'drop' | 'return' | 'continue' }
  | { readonly verdict: 'jump' | 'goto'; readonly chain: string }

export interface NumberGenerator {
  readonly kind: 'numgen'
  readonly mode: 'random' | 'inc'
  readonly modulus: number
  readonly offset: number
}

/** Jenkins' hash of fields. */
export interface Hash {
  readonly kind: 'jhash'
  readonly of: readonly Expression[]
  readonly modulus: number
  readonly seed: number
  readonly offset: number
}

/** What a map holds under a key. A rule ends here where it holds nothing. */
export interface MapLookup {
  readonly kind: 'map'
  readonly key: readonly Expression[]
  readonly map: string
  readonly data: readonly FieldType[]
}

/** `(of & mask) ^ xor`, of 32-bit fields such as marks. */
export interface Bitwise {
  readonly kind: 'bitwise'
  readonly of: Expression
  readonly mask: number
  readonly xor: number
}

export interface Constant {
  readonly kind: 'value'
  readonly type: FieldType
  readonly value: Value
}

/** What can be computed of a packet. */
export type Expression = FieldName | NumberGenerator | Hash | MapLookup | Bitwise | Constant

export type ComparisonOperator = '==' | '!=' | '<' | '<=' | '>' | '>='
export type NatFlag = 'random' | 'persistent' | 'fully-random'
/** Where to translate to; ranges as `'10.0.0.1-10.0.0.9'`, `'8000-8080'`. */
export type NatTarget = MapLookup | { readonly address?: Value | undefined; readonly port?: Value | undefined }
export type LogLevel = 'emerg' | 'alert' | 'crit' | 'err' | 'warn' | 'notice' | 'info' | 'debug'

/** How a packet is refused; `icmpx` is ICMP or ICMPv6 as the packet is. */
export type Refusal =
  | 'tcp reset'
  | `icmp ${'net-unreachable' | 'host-unreachable' | 'prot-unreachable' | 'port-unreachable' | 'net-prohibited' | 'host-prohibited' | 'admin-prohibited'}`
  | `icmpv6 ${'no-route' | 'admin-prohibited' | 'addr-unreachable' | 'port-unreachable'}`
  | `icmpx ${'no-route' | 'port-unreachable' | 'host-unreachable' | 'admin-prohibited'}`

/** A step of a rule. A match that fails ends the rule. */
export type Statement =
  | { readonly kind: 'match'; readonly left: Expression; readonly operator: ComparisonOperator; readonly right: Value }
  | { readonly kind: 'bits'; readonly left: Expression; readonly operator: 'any' | 'none'; readonly right: Value }
  | { readonly kind: 'lookup'; readonly key: readonly Expression[]; readonly set: string; readonly negated: boolean }
  | { readonly kind: 'vmap'; readonly key: readonly Expression[]; readonly map: string }
  | { readonly kind: 'verdict'; readonly verdict: Verdict }
  | { readonly kind: 'counter' }
  | { readonly kind: 'dnat' | 'snat'; readonly family: 'ip' | 'ip6'; readonly to: NatTarget; readonly flags: readonly NatFlag[] }
  | { readonly kind: 'masquerade' | 'redirect'; readonly port?: Value | undefined; readonly flags: readonly NatFlag[] }
  | { readonly kind: 'reject'; readonly with: Refusal }
  | { readonly kind: 'notrack' }
  | { readonly kind: 'assign'; readonly field: FieldName; readonly to: Expression }
  | { readonly kind: 'update'; readonly operation: 'add' | 'update' | 'delete'; readonly set: string; readonly key: readonly Expression[]; readonly data?: readonly Expression[] | undefined; readonly timeoutMs?: number | undefined }
  | { readonly kind: 'log'; readonly prefix?: string | undefined; readonly level?: LogLevel | undefined; readonly group?: number | undefined }
  /** part of a rule that someone else wrote, in words that are not among these */
  | { readonly kind: 'foreign'; readonly name: string; readonly data: string }

/** `left == right`; `right` may be a prefix, a range, or an interface's name ending in `*`. */
export function equal(left: Expression, right: Value): Statement {
  return { kind: 'match', left, operator: '==', right }
}

/** `left != right`. */
export function differs(left: Expression, right: Value): Statement {
  return { kind: 'match', left, operator: '!=', right }
}

/** Any comparison. */
export function compare(left: Expression, operator: ComparisonOperator, right: Value): Statement {
  return { kind: 'match', left, operator, right }
}

/** Any of the bits is set: `has('ct state', 'established,related')`, `has('ct status', 'dnat')`, `has('meta mark', 0x4000)`. */
export function has(left: Expression, right: Value): Statement {
  return { kind: 'bits', left, operator: 'any', right }
}

/** None of the bits is set. */
export function lacks(left: Expression, right: Value): Statement {
  return { kind: 'bits', left, operator: 'none', right }
}

/** `key @set`: goes on where the set has it. */
export function isIn(key: readonly Expression[], set: string): Statement {
  return { kind: 'lookup', key, set, negated: false }
}

/** `key != @set`. */
export function notIn(key: readonly Expression[], set: string): Statement {
  return { kind: 'lookup', key, set, negated: true }
}

/** `key vmap @map`: the verdict that the map holds, if it holds one. */
export function vmap(key: readonly Expression[], map: string): Statement {
  return { kind: 'vmap', key, map }
}

/** `key map @map`, as an expression. */
export function map(key: readonly Expression[], { name, data = [] }: Pick<SetSpec, 'name' | 'data'>): MapLookup {
  if (data === 'verdict') throw new TypeError(`Cannot compute with map ${name}: it holds verdicts`)
  return { kind: 'map', key, map: name, data }
}

/** `numgen random mod modulus`: 0 to `modulus - 1`, evenly. */
export function random(modulus: number, offset = 0): NumberGenerator {
  return { kind: 'numgen', mode: 'random', modulus, offset }
}

/** `numgen inc mod modulus`. */
export function increment(modulus: number, offset = 0): NumberGenerator {
  return { kind: 'numgen', mode: 'inc', modulus, offset }
}

/** `jhash of mod modulus seed seed`. */
export function jhash(of: readonly Expression[], { modulus, seed, offset = 0 }: { readonly modulus: number; readonly seed: number; readonly offset?: number }): Hash {
  return { kind: 'jhash', of, modulus, seed, offset }
}

/** `of & mask`. */
export function and(of: Expression, mask: number): Bitwise {
  return { kind: 'bitwise', of, mask, xor: 0 }
}

/** `of | bits`. */
export function or(of: Expression, bits: number): Bitwise {
  return { kind: 'bitwise', of, mask: ~bits >>> 0, xor: bits }
}

/** `of ^ bits`. */
export function xor(of: Expression, bits: number): Bitwise {
  return { kind: 'bitwise', of, mask: 0xffff_ffff, xor: bits }
}

/** A constant as an expression. */
export function constant(type: FieldType, value: Value): Constant {
  return { kind: 'value', type, value }
}

export const accept: Statement = { kind: 'verdict', verdict: { verdict: 'accept' } }
export const drop: Statement = { kind: 'verdict', verdict: { verdict: 'drop' } }
/** `return`. */
export const goBack: Statement = { kind: 'verdict', verdict: { verdict: 'return' } }

/** `jump chain`: comes back at the end of the chain. */
export function jump(chain: string): Statement {
  return { kind: 'verdict', verdict: { verdict: 'jump', chain } }
}

/** `goto chain`: does not come back. */
export function goTo(chain: string): Statement {
  return { kind: 'verdict', verdict: { verdict: 'goto', chain } }
}

export const counter: Statement = { kind: 'counter' }
export const notrack: Statement = { kind: 'notrack' }

/** `dnat ip to …`. Where the map holds address and port both are translated. */
export function dnat(family: 'ip' | 'ip6', to: NatTarget, flags: readonly NatFlag[] = []): Statement {
  return { kind: 'dnat', family, to, flags }
}

/** `snat ip to …`. */
export function snat(family: 'ip' | 'ip6', to: NatTarget, flags: readonly NatFlag[] = []): Statement {
  return { kind: 'snat', family, to, flags }
}

/** `masquerade to :ports random`. */
export function masquerade({ port, flags = [] }: { readonly port?: Value; readonly flags?: readonly NatFlag[] } = {}): Statement {
  return port === undefined ? { kind: 'masquerade', flags } : { kind: 'masquerade', port, flags }
}

/** `redirect to :port`. */
export function redirect({ port, flags = [] }: { readonly port?: Value; readonly flags?: readonly NatFlag[] } = {}): Statement {
  return port === undefined ? { kind: 'redirect', flags } : { kind: 'redirect', port, flags }
}

/** `reject with …`. */
export function reject(refusal: Refusal): Statement {
  return { kind: 'reject', with: refusal }
}

/** `meta mark set …`, `ct mark set …`. */
export function assign(field: 'meta mark' | 'ct mark' | 'meta priority' | 'meta nftrace', to: Expression | number): Statement {
  return { kind: 'assign', field, to: typeof to === 'number' ? constant(field === 'meta nftrace' ? 'boolean' : 'mark', to) : to }
}

interface UpdateOptions {
  /** For maps: one for each type of the map's data. nft 1.0 cannot list what is itself looked up in a map. */
  readonly data?: readonly Expression[] | undefined
  readonly timeoutMs?: number | undefined
}

/**
 * `update @set { key timeout … : data }`: makes the element, or begins its timeout anew (its data stay). The set is `dynamic`.
 * What follows in the chain already finds the element.
 */
export function update(set: string, key: readonly Expression[], { data, timeoutMs }: UpdateOptions = {}): Statement {
  return { kind: 'update', operation: 'update', set, key, ...(data === undefined ? {} : { data }), ...(timeoutMs === undefined ? {} : { timeoutMs }) }
}

/** `add @set { … }`: makes the element unless it is there. */
export function add(set: string, key: readonly Expression[], { data, timeoutMs }: UpdateOptions = {}): Statement {
  return { kind: 'update', operation: 'add', set, key, ...(data === undefined ? {} : { data }), ...(timeoutMs === undefined ? {} : { timeoutMs }) }
}

/** `log prefix "…" level … | group …`. */
export function log(options: { readonly prefix?: string; readonly level?: LogLevel; readonly group?: number } = {}): Statement {
  return { kind: 'log', ...options }
}
