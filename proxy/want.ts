/**
 * What all services together ask of the kernel, kept as they change: each service's part is put in by itself, and what that touches
 * is what a sync has to look at. Pure.
 */
import { parseChainName } from './service.ts'
import type { Member, ServiceWant, Target } from './service.ts'

/** What changed since it was last taken. */
export interface Touched {
  /** By `frontendId`, with what was there before, if anything was. */
  readonly frontends: ReadonlyMap<string, Target | undefined>
  readonly members: ReadonlyMap<string, ReadonlySet<string>>
  readonly chains: ReadonlySet<string>
}

/** What of a service's part is needed to take it out again. */
interface Part {
  readonly frontends: readonly string[]
  readonly members: readonly Member[]
}

export class Want {
  readonly #services = new Map<string, Part>()
  /** Who has each frontend, and who else claims it: hardly anybody. */
  readonly #winners = new Map<string, Target>()
  readonly #losers = new Map<string, readonly Target[]>()
  /** What each wanted element leads to, by set and key; and by both, how many ask for it where it is more than one. */
  readonly #members = new Map<string, Map<string, string>>()
  readonly #counts = new Map<string, number>()
  readonly #chains = new Map<string, number>()
  #touched = { frontends: new Map<string, Target | undefined>(), members: new Map<string, Set<string>>(), chains: new Set<string>() }

  /** Replaces a service's part; `undefined` takes it out. */
  put(service: string, want: ServiceWant | undefined): void {
    const before = this.#services.get(service)
    if (want === undefined) this.#services.delete(service)
    else this.#services.set(service, { frontends: [...want.targets.keys()], members: want.members })
    for (const member of want?.members ?? []) this.#retain(member)
    for (const member of before?.members ?? []) this.#release(member)
    for (const id of before?.frontends ?? []) if (want?.targets.has(id) !== true) this.#claim(id, service, undefined)
    for (const [id, target] of want?.targets ?? []) this.#claim(id, service, target)
  }

  target(frontend: string): Target | undefined {
    return this.#winners.get(frontend)
  }

  frontends(): Iterable<string> {
    return this.#winners.keys()
  }

  /** What an element leads to, empty in sets; undefined where it is not wanted. */
  member(set: string, key: string): string | undefined {
    return this.#members.get(set)?.get(key)
  }

  /** The wanted elements of a set that is not about frontends' targets. */
  members(set: string): Iterable<string> {
    return this.#members.get(set)?.keys() ?? []
  }

  /** The chains that some target needs, of those that come and go. */
  chains(): Iterable<string> {
    return this.#chains.keys()
  }

  needsChain(chain: string): boolean {
    return this.#chains.has(chain)
  }

  /** The frontends that a service asks for and another one has. */
  lost(service: string): { readonly frontend: string; readonly to: string }[] {
    return (this.#services.get(service)?.frontends ?? []).flatMap((frontend) => {
      const winner = this.target(frontend)
      return winner === undefined || winner.service === service ? [] : [{ frontend, to: winner.service }]
    })
  }

  /** What was touched since the last time, and forgets it. */
  take(): Touched {
    const touched = this.#touched
    this.#touched = { frontends: new Map(), members: new Map(), chains: new Set() }
    return touched
  }

  #claim(id: string, service: string, target: Target | undefined): void {
    const before = this.#winners.get(id)
    const all = [...(before === undefined ? [] : [before]), ...(this.#losers.get(id) ?? [])].filter((claim) => claim.service !== service)
    if (target !== undefined) all.push(target)
    const [after, ...losers] = all.sort(byAge)
    if (after === undefined) this.#winners.delete(id)
    else this.#winners.set(id, after)
    if (losers.length > 0) this.#losers.set(id, losers)
    else this.#losers.delete(id)
    if (before === after || isSame(before, after)) return
    if (!this.#touched.frontends.has(id)) this.#touched.frontends.set(id, before)
    if (after !== undefined) this.#use(after)
    if (before !== undefined) this.#leave(before)
  }

  #use(target: Target): void {
    for (const member of target.members) this.#retain(member)
    for (const chain of chainsOf(target)) {
      this.#chains.set(chain, (this.#chains.get(chain) ?? 0) + 1)
      this.#touched.chains.add(chain)
    }
  }

  #leave(target: Target): void {
    for (const member of target.members) this.#release(member)
    for (const chain of chainsOf(target)) {
      const count = (this.#chains.get(chain) ?? 0) - 1
      if (count > 0) this.#chains.set(chain, count)
      else this.#chains.delete(chain)
      this.#touched.chains.add(chain)
    }
  }

  #retain({ set, key, data = '' }: Member): void {
    const members = this.#members.get(set) ?? new Map<string, string>()
    this.#members.set(set, members)
    const before = members.get(key)
    members.set(key, data)
    if (before !== undefined) this.#counts.set(`${set} ${key}`, (this.#counts.get(`${set} ${key}`) ?? 1) + 1)
    if (before !== data) this.#touch(set, key)
  }

  #release({ set, key }: Member): void {
    const count = this.#counts.get(`${set} ${key}`)
    if (count === undefined) {
      this.#members.get(set)?.delete(key)
      this.#touch(set, key)
    } else if (count > 2) this.#counts.set(`${set} ${key}`, count - 1)
    else this.#counts.delete(`${set} ${key}`)
  }

  #touch(set: string, key: string): void {
    const keys = this.#touched.members.get(set) ?? new Set<string>()
    this.#touched.members.set(set, keys.add(key))
  }
}

/** The oldest first. */
function byAge(a: Target, b: Target): number {
  if (a.created !== b.created) return a.created < b.created ? -1 : 1
  return a.service < b.service ? -1 : 1
}

function isSame(a: Target | undefined, b: Target | undefined): boolean {
  if (a === undefined || b === undefined) return a === b
  return a.chain === b.chain && sameTexts(a.endpoints, b.endpoints) && sameTexts(a.draining, b.draining)
    && sameTexts(a.members.map(memberText), b.members.map(memberText))
}

function chainsOf({ chain, members }: Target): string[] {
  return [chain, ...members.flatMap(({ data }) => data ?? [])].filter((name) => parseChainName(name) !== undefined)
}

function memberText({ set, key, data = '' }: Member): string {
  return `${set} ${key} ${data}`
}

function sameTexts(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((text, at) => text === b[at])
}
