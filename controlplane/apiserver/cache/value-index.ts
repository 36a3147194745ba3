// Which objects have a value: made when it is first asked for, and kept from then on with every change.
import type { ValuesOf } from '../descriptor.ts'
import type { Entry } from './entry.ts'

export class ValueIndex {
  readonly #valuesOf: ValuesOf
  readonly #holders = new Map<string, Set<Entry>>()
  /** What an entry was found to have, so that it need not be decoded again when it goes. */
  readonly #values = new Map<Entry, readonly string[]>()

  constructor(valuesOf: ValuesOf, entries: Iterable<Entry>) {
    this.#valuesOf = valuesOf
    for (const entry of entries) this.#add(entry)
  }

  holders(value: string): readonly Entry[] {
    return [...(this.#holders.get(value) ?? [])]
  }

  change(previous: Entry | undefined, next: Entry | undefined): void {
    if (previous !== undefined) this.#remove(previous)
    if (next !== undefined) this.#add(next)
  }

  #add(entry: Entry): void {
    const values = this.#valuesOf(entry.peek())
    if (values.length === 0) return
    this.#values.set(entry, values)
    for (const value of values) {
      const present = this.#holders.get(value)
      if (present === undefined) this.#holders.set(value, new Set([entry]))
      else present.add(entry)
    }
  }

  #remove(entry: Entry): void {
    for (const value of this.#values.get(entry) ?? []) {
      const present = this.#holders.get(value)
      present?.delete(entry)
      if (present?.size === 0) this.#holders.delete(value)
    }
    this.#values.delete(entry)
  }
}
