/** What the kernel has: our table as it was read, in the same keys as `want`. Kept current by what is applied, so it is read once. */
import { isDeepStrictEqual } from 'node:util'
import { sameRule, sameSet } from '../netlink/nftables/index.ts'
import type { Chain, Element, NamedSet, Ruleset, Verdict } from '../netlink/nftables/index.ts'
import { fixedChains, isDynamic, sets, countedRules } from './rules.ts'
import type { ChainPlan, FixedOptions } from './rules.ts'
import { dropVerdict, parseChainName } from './service.ts'

export interface Have {
  /** Nothing of the table can be kept: it is not there, or is another one's of that name. */
  readonly fresh: boolean
  /** Chains that are as they should be. */
  readonly chains: Set<string>
  /** Chains that are there with other rules or hooks than they should have. */
  readonly wrongChains: ReadonlySet<string>
  /** Sets that are none of ours. */
  readonly foreignSets: ReadonlySet<string>
  /** Elements by set, but for the endpoint maps: the key as text, and for maps what it leads to (`n2`); empty for sets. */
  readonly sets: Map<string, Map<string, string>>
  /** Of the endpoint maps: what each frontend has at each index (`10.244.0.5 8080`). */
  readonly slots: Map<string, Map<string, Slots>>
  /** Clients that stuck to an endpoint when the table was read. */
  readonly sticky: readonly StickyClient[]
}

/** Endpoints by index; undefined where an element is missing. They are never changed in place. */
export type Slots = readonly (string | undefined)[]

/** An element that packets made: which set, its key, and the frontend and the endpoint in it. */
export interface StickyClient {
  readonly set: string
  readonly key: string
  readonly frontend: string
  readonly endpoint: string
}

/** Before anything is there. */
export function nothing(): Have {
  return { fresh: true, chains: new Set(), wrongChains: new Set(), foreignSets: new Set(), sets: emptySets(), slots: new Map(), sticky: [] }
}

/** Reads a table's state. */
export function readHave(ruleset: Ruleset | undefined, options: FixedOptions): Have {
  const fixed = new Map(fixedChains(options).map((chain) => [chain.name, chain]))
  if (ruleset === undefined || !hasOurSets(ruleset) || !hasOurHooks(ruleset, fixed)) return nothing()
  const have: Have = { ...nothing(), fresh: false }
  const wrongChains = new Set<string>()
  for (const chain of ruleset.chains.values()) {
    if (isAsPlanned(chain, fixed.get(chain.name) ?? countedPlan(chain.name))) have.chains.add(chain.name)
    else wrongChains.add(chain.name)
  }
  const foreignSets = new Set([...ruleset.sets.keys()].filter((name) => !sets.has(name)))
  for (const set of ruleset.sets.values()) {
    if (isEndpointMap(set.name)) readSlots(have, set)
    else if (sets.has(set.name) && !isDynamic(set.name)) readElements(have, set)
  }
  const sticky = [...ruleset.sets.values()].filter(({ name }) => isDynamic(name)).flatMap(readSticky)
  return { ...have, wrongChains, foreignSets, sticky }
}

function emptySets(): Map<string, Map<string, string>> {
  return new Map([...sets.keys()].map((name) => [name, new Map<string, string>()]))
}

/** Types cannot be changed in place. */
function hasOurSets(ruleset: Ruleset): boolean {
  return [...sets.values()].every((wanted) => {
    const set = ruleset.sets.get(wanted.name)
    return set !== undefined && sameSet(set, wanted)
  })
}

/** Nor can hooks. */
function hasOurHooks(ruleset: Ruleset, fixed: ReadonlyMap<string, ChainPlan>): boolean {
  return [...ruleset.chains.values()].every(({ name, base }) => (fixed.has(name) || parseChainName(name) !== undefined) ? isDeepStrictEqual(base, fixed.get(name)?.base) : true)
}

export function countedPlan(name: string): ChainPlan | undefined {
  const rules = countedRules(name)
  return rules === undefined ? undefined : { name, rules }
}

function isAsPlanned(chain: Chain, plan: ChainPlan | undefined): boolean {
  return plan !== undefined && chain.rules.length === plan.rules.length && plan.rules.every((rule, at) => sameRule(rule, chain.rules[at] ?? { statements: [] }))
}

/** As many as there are indices up to the highest. */
function readSlots(have: Have, set: NamedSet): void {
  const byFrontend = new Map<string, (string | undefined)[]>()
  for (const element of set.elements) {
    const frontend = element.key.slice(0, -1).join(' ')
    const slots = byFrontend.get(frontend) ?? []
    const index = Number(element.key.at(-1))
    while (slots.length <= index) slots.push(undefined)
    slots[index] = dataText(element)
    byFrontend.set(frontend, slots)
  }
  have.slots.set(set.name, byFrontend)
}

function readElements(have: Have, set: NamedSet): void {
  const elements = have.sets.get(set.name)
  if (elements === undefined) return
  for (const element of set.elements) {
    elements.set(element.key.join(' '), dataText(element))
  }
}

function readSticky(set: NamedSet): StickyClient[] {
  return set.elements.map((element) => ({ set: set.name, key: element.key.join(' '), frontend: element.key.slice(1).join(' '), endpoint: dataText(element) }))
}

function dataText({ data }: Element): string {
  if (data === undefined) return ''
  if (!isVerdict(data)) return data.join(' ')
  return 'chain' in data ? data.chain : data.verdict === 'drop' ? dropVerdict : `verdict ${data.verdict}`
}

function isVerdict(data: NonNullable<Element['data']>): data is Verdict {
  return 'verdict' in data
}

/** What a frontend has at each index of an endpoint map. */
export function slotsOf({ slots }: Have, map: string, frontend: string): Slots {
  return slots.get(map)?.get(frontend) ?? []
}

function isEndpointMap(set: string): boolean {
  return set.startsWith('endpoint')
}
