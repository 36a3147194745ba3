/** Changes, as the operations of one nftables transaction. Pure. */
import type { ElementSpec, Operation, SetSpec, Value } from '../netlink/nftables/index.ts'
import { countedPlan } from './have.ts'
import type { Change, SingleChange } from './plan.ts'
import { fixedChains, sets, table } from './rules.ts'
import type { ChainPlan, FixedOptions } from './rules.ts'
import { dropVerdict, parseChainName } from './service.ts'

/**
 * In an order that the kernel takes: chains are there before rules and elements lead to them, elements go before they come back
 * with other data, and chains go when nothing leads to them.
 */
export function toOperations(changes: readonly Change[], options: FixedOptions): Operation[] {
  const fixed = new Map(fixedChains(options).map((chain) => [chain.name, chain]))
  const first: Operation[] = []
  const rules: Operation[] = []
  const deleted = new Map<string, ElementSpec[]>()
  const forgotten = new Map<string, ElementSpec[]>()
  const added = new Map<string, ElementSpec[]>()
  const last: Operation[] = []
  const addChain = ({ rules: planned, ...chain }: ChainPlan): void => {
    first.push({ kind: 'addChain', table, chain })
    rules.push(...planned.map((rule): Operation => ({ kind: 'addRule', table, chain: chain.name, rule })))
  }
  for (const change of changes) {
    switch (change.kind) {
      case 'addTable': {
        first.push({ kind: 'deleteTable', table, ifExists: true }, { kind: 'addTable', table }, ...[...sets.values()].map((set): Operation => ({ kind: 'addSet', table, set })))
        for (const chain of fixed.values()) addChain(chain)
        break
      }
      case 'mendChain': {
        first.push({ kind: 'flushChain', table, chain: change.chain })
        addChain(planOf(change.chain, fixed))
        break
      }
      case 'addChain': {
        addChain(planOf(change.chain, fixed))
        break
      }
      case 'deleteChain': {
        first.push({ kind: 'flushChain', table, chain: change.chain })
        last.push({ kind: 'deleteChain', table, chain: change.chain })
        break
      }
      case 'deleteSet': {
        last.push({ kind: 'deleteSet', table, set: change.set })
        break
      }
      case 'delete':
      case 'forget':
      case 'add': {
        of({ add: added, delete: deleted, forget: forgotten }[change.kind], change.set).push(new ChangedElement(change))
        break
      }
      case 'place': {
        const { set, frontend, from, to } = change
        const fields = frontend.split(' ')
        for (const [index, endpoint] of from.entries()) if (endpoint !== undefined && endpoint !== to[index]) of(deleted, set).push(new PlacedElement(fields, index, undefined))
        for (const [index, endpoint] of to.entries()) if (endpoint !== undefined && endpoint !== from[index]) of(added, set).push(new PlacedElement(fields, index, endpoint))
        break
      }
    }
  }
  return [
    ...first, ...rules,
    ...[...deleted].map(([set, elements]): Operation => ({ kind: 'deleteElements', table, set: specOf(set), elements })),
    ...[...forgotten].map(([set, elements]): Operation => ({ kind: 'deleteElements', table, set: specOf(set), elements, ifExists: true })),
    ...[...added].map(([set, elements]): Operation => ({ kind: 'addElements', table, set: specOf(set), elements })),
    ...last,
  ]
}

function planOf(name: string, fixed: ReadonlyMap<string, ChainPlan>): ChainPlan {
  const chain = fixed.get(name) ?? countedPlan(name)
  if (chain === undefined) throw new Error(`Cannot make chain ${name}: it is none of the proxy's`)
  return chain
}

function specOf(name: string): SetSpec {
  const set = sets.get(name)
  if (set === undefined) throw new Error(`Cannot change set ${name}: it is none of the proxy's`)
  return set
}

function of(bySet: Map<string, ElementSpec[]>, set: string): ElementSpec[] {
  const elements = bySet.get(set) ?? []
  bySet.set(set, elements)
  return elements
}

/** The elements of a cold start are many: their fields are made when they are written, and not all at once. */
class ChangedElement implements ElementSpec {
  readonly #change: Extract<SingleChange, { kind: 'add' | 'delete' | 'forget' }>

  constructor(change: Extract<SingleChange, { kind: 'add' | 'delete' | 'forget' }>) {
    this.#change = change
  }

  get key(): readonly Value[] {
    return this.#change.key.split(' ')
  }

  get data(): ElementSpec['data'] {
    const change = this.#change
    if (change.kind !== 'add' || change.data === '') return undefined
    if (specOf(change.set).data !== 'verdict') return change.data.split(' ')
    return change.data === dropVerdict ? { verdict: 'drop' } : { verdict: parseChainName(change.data)?.kind === 'stick' ? 'jump' : 'goto', chain: change.data }
  }
}

/** An endpoint of a frontend; without it, the key that goes. */
class PlacedElement implements ElementSpec {
  readonly #frontend: readonly string[]
  readonly #index: number
  readonly #endpoint: string | undefined

  constructor(frontend: readonly string[], index: number, endpoint: string | undefined) {
    this.#frontend = frontend
    this.#index = index
    this.#endpoint = endpoint
  }

  get key(): readonly Value[] {
    return [...this.#frontend, this.#index]
  }

  get data(): ElementSpec['data'] {
    return this.#endpoint?.split(' ')
  }
}
