/**
 * A small model of nftables, as far as the proxy's table uses it: where would the first packet of a connection go? It reads a ruleset
 * as the kernel lists it, so it answers for what is there and not for what was meant. Pure.
 */
import type { BaseChain, Element, Expression, FieldName, NamedSet, Ruleset, Statement, Value, Verdict } from '../netlink/nftables/index.ts'
import { familyOf, isWithin } from './families.ts'

/** The first packet of a connection. */
export interface Packet {
  readonly source: string
  readonly destination: string
  readonly protocol: 'tcp' | 'udp' | 'sctp'
  readonly port: number
  /** Addresses of the host whose rules these are; a packet from one of them is its own. */
  readonly hostAddresses: readonly string[]
}

/** What becomes of it. */
export type Fate = (
  | { readonly kind: 'endpoint'; readonly address: string; readonly port: number; readonly masqueraded: boolean }
  | { readonly kind: 'rejected'; readonly with: string }
  | { readonly kind: 'dropped' | 'untouched' }
) & {
  /** The chains that it passed. */
  readonly chains: readonly string[]
}

/** All fates it may have, one for each random choice. */
export function whereTo(ruleset: Ruleset, packet: Packet): Fate[] {
  const first = new Passage(ruleset, packet, 0)
  const fates = [first.fate()]
  for (let choice = 1; choice < first.choices; choice += 1) fates.push(new Passage(ruleset, packet, choice).fate())
  return fates
}

/** What ends a walk through chains; undefined: the chain came to its end. */
type End = 'accept' | 'drop' | { readonly reject: string } | undefined
/** What a rule says of the walk. */
type Step = { readonly kind: 'next' | 'break' } | { readonly kind: 'verdict'; readonly verdict: Verdict } | { readonly kind: 'end'; readonly end: End }

const next: Step = { kind: 'next' }
const broken: Step = { kind: 'break' }

class Passage {
  /** How many choices the random number had. */
  choices = 1
  readonly #ruleset: Ruleset
  readonly #packet: Packet
  readonly #choice: number
  readonly #chains: string[] = []
  #translated: { readonly address: string; readonly port: number } | undefined
  #masqueraded = false

  constructor(ruleset: Ruleset, packet: Packet, choice: number) {
    this.#ruleset = ruleset
    this.#packet = packet
    this.#choice = choice
  }

  fate(): Fate {
    const entry = this.#isLocal(this.#packet.source) ? 'output' : 'prerouting'
    const end = this.#hook(entry)
    if (end === 'accept' || end === undefined) this.#hook('postrouting')
    const chains = this.#chains
    if (end === 'drop') return { kind: 'dropped', chains }
    if (typeof end === 'object') return { kind: 'rejected', with: end.reject, chains }
    return this.#translated === undefined ? { kind: 'untouched', chains } : { kind: 'endpoint', ...this.#translated, masqueraded: this.#masqueraded, chains }
  }

  #hook(hook: BaseChain['hook']): End {
    const chains = [...this.#ruleset.chains.values()].filter(({ base }) => base?.hook === hook).sort((a, b) => (a.base?.priority ?? 0) - (b.base?.priority ?? 0))
    for (const { name, base } of chains) {
      const end = this.#walk(name) ?? base?.policy
      if (end !== 'accept') return end
    }
    return 'accept'
  }

  #walk(name: string): End {
    this.#chains.push(name)
    for (const { statements } of this.#ruleset.chains.get(name)?.rules ?? []) {
      const step = this.#rule(statements)
      if (step.kind === 'end') return step.end
      if (step.kind !== 'verdict') continue
      const { verdict } = step
      if (verdict.verdict === 'accept' || verdict.verdict === 'drop') return verdict.verdict
      if (verdict.verdict === 'return') return undefined
      if (verdict.verdict === 'goto') return this.#walk(verdict.chain)
      if (verdict.verdict === 'jump') {
        const end = this.#walk(verdict.chain)
        if (end !== undefined) return end
      }
    }
    return undefined
  }

  #rule(statements: readonly Statement[]): Step {
    for (const statement of statements) {
      const step = this.#statement(statement)
      if (step.kind !== 'next') return step
    }
    return next
  }

  #statement(statement: Statement): Step {
    switch (statement.kind) {
      case 'match': {
        const left = this.#value(statement.left)
        return left !== undefined && matches(left, statement.right) === (statement.operator === '==') ? next : broken
      }
      case 'bits': {
        const bits = String(this.#value(statement.left) ?? '').split(',')
        return String(statement.right).split(',').some((bit) => bits.includes(bit)) === (statement.operator === 'any') ? next : broken
      }
      case 'lookup': {
        const key = this.#values(statement.key)
        return key !== undefined && (this.#find(statement.set, key) !== undefined) !== statement.negated ? next : broken
      }
      case 'vmap': {
        const key = this.#values(statement.key)
        const data = key && this.#find(statement.map, key)?.data
        return data === undefined || !('verdict' in data) ? broken : { kind: 'verdict', verdict: data }
      }
      case 'verdict': return { kind: 'verdict', verdict: statement.verdict }
      case 'reject': return { kind: 'end', end: { reject: statement.with } }
      case 'dnat': {
        if (!('kind' in statement.to)) return broken
        const to = this.#values([statement.to])
        if (to === undefined) return broken
        this.#translated = { address: String(to[0]), port: Number(to[1]) }
        return { kind: 'end', end: 'accept' }
      }
      case 'masquerade': {
        this.#masqueraded = true
        return { kind: 'end', end: 'accept' }
      }
      default: return next
    }
  }

  #values(expressions: readonly Expression[]): readonly Value[] | undefined {
    const values: Value[] = []
    for (const expression of expressions) {
      if (typeof expression === 'object' && expression.kind === 'map') {
        const key = this.#values(expression.key)
        const data = key && this.#find(expression.map, key)?.data
        if (data === undefined || 'verdict' in data) return undefined
        values.push(...data)
        continue
      }
      const value = this.#value(expression)
      if (value === undefined) return undefined
      values.push(value)
    }
    return values
  }

  #value(expression: Expression): Value | undefined {
    if (typeof expression === 'string') return this.#field(expression)
    if (expression.kind === 'value') return expression.value
    if (expression.kind !== 'numgen') return undefined
    this.choices = expression.modulus
    return expression.offset + (this.#choice % expression.modulus)
  }

  #field(name: FieldName): Value | undefined {
    const { source, destination, protocol, port } = this.#packet
    const { address, port: toPort } = this.#translated ?? { address: destination, port }
    const family = familyOf(destination)
    switch (name) {
      case 'meta nfproto': return family.nfproto
      case 'meta l4proto': return protocol
      case 'th dport': return toPort
      case 'meta iifname': return this.#isLocal(source) ? 'lo' : 'link'
      case 'meta oifname': return this.#isLocal(address) ? 'lo' : 'link'
      case 'ct status': return this.#translated === undefined ? '' : 'dnat'
      case 'ct original proto-dst': return port
      case 'fib saddr type': return this.#isLocal(source) ? 'local' : 'unicast'
      case 'fib daddr type': return this.#isLocal(address) ? 'local' : 'unicast'
      case `${family.ip} saddr`: return source
      case `${family.ip} daddr`: return address
      case `ct original ${family.ip} daddr`: return destination
      default: return undefined
    }
  }

  #find(set: string, key: readonly Value[]): Element | undefined {
    const named = this.#ruleset.sets.get(set)
    if (named === undefined) return undefined
    if (named.interval !== true) return indexOf(named).get(key.join(' '))
    return named.elements.find((element) => element.key.every((field, at) => matches(key[at] ?? '', field)))
  }

  #isLocal(address: string): boolean {
    return address === '::1' || address.startsWith('127.') || this.#packet.hostAddresses.includes(address)
  }
}

const indexes = new WeakMap<NamedSet, Map<string, Element>>()

function indexOf(set: NamedSet): Map<string, Element> {
  const present = indexes.get(set)
  if (present !== undefined) return present
  const index = new Map(set.elements.map((element) => [element.key.join(' '), element]))
  indexes.set(set, index)
  return index
}

/** Whether a value is another, or within it where that is a prefix. */
function matches(value: Value, pattern: Value): boolean {
  if (typeof pattern !== 'string' || !pattern.includes('/')) return String(value) === String(pattern)
  return isWithin(String(value), pattern)
}
