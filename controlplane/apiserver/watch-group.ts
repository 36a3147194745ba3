// Watches that want the same in the same form: what a change means to them is found out and encoded once, and then written to each.
import type { CacheChange, Entry, ResourceCache } from './cache/index.ts'

export type WatchEvent = NonNullable<ReturnType<CacheChange['eventFor']>>

/** One watch of a group. */
export interface Member {
  /** The number of the line that it gets next; the group's. */
  next: number
  deliver(line: Buffer): void
}

/** So many are written to before the loop does something else: clients of the first read already while the last are written to. */
const sliceMax = 128

export class WatchGroup {
  readonly #members = new Set<Member>()
  readonly #unlisten: () => void
  /** Lines that some member has not got yet, and the number of the first. */
  #lines: Buffer[] = []
  #first = 0
  #round: Iterator<Member> | undefined
  #roundEnd = 0
  #soon: NodeJS.Immediate | undefined

  constructor(cache: ResourceCache, matches: (entry: Entry) => boolean, lineOf: (change: CacheChange, event: WatchEvent) => Buffer) {
    this.#unlisten = cache.listen((change) => {
      const event = change.eventFor(matches)
      if (event === undefined) return
      this.#lines.push(lineOf(change, event))
      if (this.#soon === undefined) this.#deliver(sliceMax)
    })
  }

  get isEmpty(): boolean {
    return this.#members.size === 0
  }

  /** From now on: what was before, the member knows already. */
  add(member: Member): void {
    member.next = this.#first + this.#lines.length
    this.#members.add(member)
  }

  remove(member: Member): void {
    this.#members.delete(member)
  }

  /** Writes to all what only some have: before anything is told that comes after it. */
  flush(): void {
    this.#deliver(Infinity)
  }

  close(): void {
    clearImmediate(this.#soon)
    this.#unlisten()
  }

  #deliver(most: number): void {
    clearImmediate(this.#soon)
    this.#soon = undefined
    for (let left = most; this.#lines.length > 0; ) {
      if (this.#round === undefined) {
        this.#round = this.#members.values()
        this.#roundEnd = this.#first + this.#lines.length
      }
      const { value: member, done } = this.#round.next()
      if (done === true) {
        this.#round = undefined
        this.#lines = this.#lines.slice(this.#roundEnd - this.#first)
        this.#first = this.#roundEnd
      } else if (left-- === 0) {
        this.#give(member)
        this.#soon = setImmediate(() => this.#deliver(sliceMax))
        return
      } else this.#give(member)
    }
  }

  #give(member: Member): void {
    const end = this.#first + this.#lines.length
    while (member.next < end) member.deliver(this.#lines[member.next++ - this.#first] as Buffer)
  }
}
