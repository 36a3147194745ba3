/** The difference between what is wanted and what the kernel has. Pure. */
import type { ConntrackFilter } from '../netlink/conntrack.ts'
import { families, familyOf } from './families.ts'
import { slotsOf } from './have.ts'
import type { Have, Slots } from './have.ts'
import { mapsOf, memberSets } from './rules.ts'
import { dropVerdict, frontendId, frontendKey, parseFrontendId, parseChainName, refuseChain } from './service.ts'
import type { Target } from './service.ts'
import type { Touched, Want } from './want.ts'

/** One change of the table. An element that leads elsewhere is deleted and added. */
export type Change =
  | SingleChange
  /** The endpoints of a frontend, those that differ. All of them are one change: of hundreds of thousands each would cost its own object. */
  | { readonly kind: 'place'; readonly set: string; readonly frontend: string; readonly from: Slots; readonly to: Slots }

export type SingleChange =
  /** The whole table anew, empty: what was there goes. */
  | { readonly kind: 'addTable' }
  | { readonly kind: 'addChain' | 'mendChain' | 'deleteChain'; readonly chain: string }
  | { readonly kind: 'deleteSet'; readonly set: string }
  | { readonly kind: 'add'; readonly set: string; readonly key: string; readonly data: string }
  | { readonly kind: 'delete'; readonly set: string; readonly key: string }
  /** Of an element that may end by itself. */
  | { readonly kind: 'forget'; readonly set: string; readonly key: string }

/** A change in single elements. */
export function* singly(change: Change): Generator<SingleChange> {
  if (change.kind !== 'place') return yield change
  const { set, frontend, from, to } = change
  for (let index = 0; index < Math.max(from.length, to.length); index += 1) {
    const [before, after] = [from[index], to[index]]
    if (before === after) continue
    const key = `${frontend} ${index}`
    if (before !== undefined) yield { kind: 'delete', set, key }
    if (after !== undefined) yield { kind: 'add', set, key, data: after }
  }
}

/** How many elements, chains and sets change. */
export function countOf(changes: readonly Change[]): number {
  return changes.reduce((sum, change) => sum + (change.kind === 'place' ? countOfSlots(change.from, change.to) : 1), 0)
}

function countOfSlots(from: Slots, to: Slots): number {
  let count = 0
  for (let index = 0; index < Math.max(from.length, to.length); index += 1) if (from[index] !== to[index]) count += Number(from[index] !== undefined) + Number(to[index] !== undefined)
  return count
}

export interface Plan {
  readonly changes: readonly Change[]
  /** Connections whose endpoint is no more; to be forgotten once the changes are there. */
  readonly stale: readonly ConntrackFilter[]
  /** Clients may stick to an endpoint that has gone: the table is to be read and compared once more when the changes are there. */
  readonly again: boolean
}

export interface PlanOptions {
  /** Names of the chains that are always there. */
  readonly fixedChains: readonly string[]
  /** Only what was touched; without it everything is compared. */
  readonly touched?: Touched | undefined
}

/** What to change so that the kernel has what is wanted. Endpoints that stay keep their index, so nothing is replaced that did not change. */
export function plan(want: Want, have: Have, { fixedChains, touched }: PlanOptions): Plan {
  const changes: Change[] = []
  const stale: ConntrackFilter[] = []
  let again = false
  if (touched === undefined) planTable(want, have, { fixedChains, changes })
  else planTouchedChains(want, have, { chains: touched.chains, changes })
  for (const id of touched?.frontends.keys() ?? allFrontends(want, have)) {
    const slots = planFrontend(id, want.target(id), have, changes)
    const before = touched?.frontends.get(id)
    for (const filter of staleConnections(id, want, { slots, have, before })) stale.push(filter)
    again ||= before !== undefined && isSticky(before) && before.endpoints.some((endpoint) => want.target(id)?.endpoints.includes(endpoint) !== true)
  }
  for (const [set, keys] of touched?.members ?? allMembers(want, have)) planMembers(set, keys, { want, have, changes })
  if (touched === undefined) for (const { set, key, frontend, endpoint } of have.sticky) if (!mayStick(want, frontend, endpoint)) changes.push({ kind: 'forget', set, key })
  return { changes, stale, again }
}

function isSticky({ chain }: Target): boolean {
  const parsed = parseChainName(chain)
  return parsed?.kind === 'spread' && parsed.sticky
}

function mayStick(want: Want, frontend: string, endpoint: string): boolean {
  return [frontend, `inside ${frontend}`].some((id) => {
    const target = want.target(id)
    return target !== undefined && isSticky(target) && target.endpoints.includes(endpoint)
  })
}

interface Planning {
  readonly changes: Change[]
}

function planTable(want: Want, have: Have, { fixedChains, changes }: Planning & { readonly fixedChains: readonly string[] }): void {
  if (have.fresh) changes.push({ kind: 'addTable' })
  const needed = new Set(have.fresh ? [] : fixedChains)
  for (const chain of want.chains()) needed.add(chain)
  for (const chain of needed) if (!have.chains.has(chain)) changes.push({ kind: have.wrongChains.has(chain) ? 'mendChain' : 'addChain', chain })
  for (const chain of [...have.chains, ...have.wrongChains]) if (!needed.has(chain)) changes.push({ kind: 'deleteChain', chain })
  for (const set of have.foreignSets) changes.push({ kind: 'deleteSet', set })
}

function planTouchedChains(want: Want, have: Have, { chains, changes }: Planning & { readonly chains: ReadonlySet<string> }): void {
  for (const chain of chains) {
    if (want.needsChain(chain) && !have.chains.has(chain)) changes.push({ kind: 'addChain', chain })
    if (!want.needsChain(chain) && have.chains.has(chain)) changes.push({ kind: 'deleteChain', chain })
  }
}

function allFrontends(want: Want, have: Have): Set<string> {
  const ids = new Set(want.frontends())
  for (const { digit } of families) {
    for (const inside of [false, true]) {
      const { services, endpoints } = mapsOf(digit, inside)
      for (const key of [...(have.sets.get(services)?.keys() ?? []), ...(have.slots.get(endpoints)?.keys() ?? [])]) ids.add(inside ? `inside ${key}` : key)
    }
  }
  return ids
}

function allMembers(want: Want, have: Have): Map<string, Set<string>> {
  return new Map(memberSets.map((name) => [name, new Set([...want.members(name), ...(have.sets.get(name)?.keys() ?? [])])]))
}

function planMembers(set: string, keys: ReadonlySet<string>, { want, have, changes }: Planning & { readonly want: Want; readonly have: Have }): void {
  for (const key of keys) replace(set, key, { from: have.sets.get(set)?.get(key), to: want.member(set, key) }, changes)
}

/** Returns the endpoints that the kernel had, by index. */
function planFrontend(id: string, target: Target | undefined, have: Have, changes: Change[]): Slots {
  const frontend = parseFrontendId(id)
  // The same string where it can be: each is kept.
  const key = frontend.inside ? frontendKey(frontend) : id
  const { services, endpoints } = mapsOf(familyOf(frontend.address).digit, frontend.inside)
  replace(services, key, { from: have.sets.get(services)?.get(key), to: target?.chain }, changes)
  const from = slotsOf(have, endpoints, key)
  const to = place(target?.endpoints ?? [], from)
  if (from.length !== to.length || from.some((slot, index) => slot !== to[index])) changes.push({ kind: 'place', set: endpoints, frontend: key, from, to })
  return from
}

function replace(set: string, key: string, { from, to }: { readonly from: string | undefined; readonly to: string | undefined }, changes: Change[]): void {
  if (from === to) return
  if (from !== undefined) changes.push({ kind: 'delete', set, key })
  if (to !== undefined) changes.push({ kind: 'add', set, key, data: to })
}

/** Gives each endpoint an index: its own where it has one that is low enough, else one that is free. */
export function place(endpoints: readonly string[], slots: Slots): readonly string[] {
  if (slots.length === 0) return endpoints
  const homeless = new Set(endpoints)
  const placed: (string | undefined)[] = endpoints.map((_, index) => {
    const slot = slots[index]
    return slot !== undefined && homeless.delete(slot) ? slot : undefined
  })
  const rest = homeless.values()
  return placed.map((slot) => slot ?? String(rest.next().value))
}

interface Before {
  readonly slots: Slots
  readonly have: Have
  readonly before: Target | undefined
}

/**
 * The connections that would go on to what is no endpoint any more. UDP knows no end: its entries go as soon as an endpoint gets no new
 * clients, and, when the first endpoint comes, those of clients that were sent nowhere. TCP and SCTP finish what they began with an
 * endpoint that is draining; when it has left the slices their next packet reaches another one and is reset there.
 */
function staleConnections(id: string, want: Want, { slots, have, before }: Before): ConntrackFilter[] {
  const frontend = parseFrontendId(id)
  const { protocol } = frontend
  const target = want.target(id)
  const originalDestination = { address: frontend.address, port: frontend.port }
  const had = slots.filter((slot) => slot !== undefined)
  if (protocol !== 'udp' && target === undefined) return []
  const other = want.target(frontendId({ ...frontend, inside: !frontend.inside }))
  const kept = new Set([...(target?.endpoints ?? []), ...(other?.endpoints ?? [])])
  const gone = new Set(protocol === 'udp' ? had : [...had, ...(before?.draining ?? [])])
  if (protocol !== 'udp') for (const endpoint of [...(target?.draining ?? []), ...(other?.draining ?? [])]) kept.add(endpoint)
  const stale: ConntrackFilter[] = []
  for (const endpoint of gone) if (!kept.has(endpoint)) stale.push({ protocol, originalDestination, replySource: sideOf(endpoint) })
  const { services } = mapsOf(familyOf(frontend.address).digit, frontend.inside)
  if (protocol === 'udp' && leadsSomewhere(target?.chain) && !leadsSomewhere(have.sets.get(services)?.get(frontendKey(frontend)))) {
    stale.push({ protocol, originalDestination, replySource: originalDestination })
  }
  return stale
}

function sideOf(endpoint: string): { readonly address: string; readonly port: number } {
  const [address = '', port = ''] = endpoint.split(' ')
  return { address, port: Number(port) }
}

function leadsSomewhere(chain: string | undefined): boolean {
  return chain !== undefined && chain !== refuseChain && chain !== dropVerdict
}

/** Brings what the kernel has up to date with changes that were applied. */
export function applyTo(have: Have, changes: readonly Change[]): Have {
  let next = have
  for (const change of changes) {
    switch (change.kind) {
      case 'addTable': {
        next = { ...next, fresh: false }
        break
      }
      case 'addChain':
      case 'mendChain': {
        next.chains.add(change.chain)
        break
      }
      case 'deleteChain': {
        next.chains.delete(change.chain)
        break
      }
      case 'deleteSet':
      case 'forget': {
        break
      }
      case 'add': {
        next.sets.get(change.set)?.set(change.key, change.data)
        break
      }
      case 'delete': {
        next.sets.get(change.set)?.delete(change.key)
        break
      }
      case 'place': {
        const byFrontend = next.slots.get(change.set) ?? new Map<string, Slots>()
        next.slots.set(change.set, byFrontend)
        if (change.to.length > 0) byFrontend.set(change.frontend, change.to)
        else byFrontend.delete(change.frontend)
        break
      }
    }
  }
  return { ...next, wrongChains: new Set(), foreignSets: new Set(), sticky: [] }
}
