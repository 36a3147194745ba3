/**
 * A kernel's nftables without a kernel: commits whole transactions or nothing, checks what the kernel checks, counts generations, and
 * tells listeners of what others did. `nftables-cases.ts` holds it to the real one.
 *
 *     const nftables = new FakeNftables()
 *     nftables.another().apply([{ kind: 'flushTable', table }]) // some other program
 *     nftables.pass(5_000) // five seconds later
 */
import { NetlinkError } from '../../errors.ts'
import type { Listening } from '../../socket.ts'
import { encodeOperation } from '../operations.ts'
import { ERESTART } from '../stale.ts'
import type { Element, Nftables, NftablesEvent, Operation, Ruleset, SetSpec, TableId, Value } from '../types.ts'
import { describeTable } from '../words.ts'
import { FakeTable, refuse } from './fake-table.ts'
import type { Undo } from './fake-table.ts'

interface Listener {
  readonly owner: FakeNftables
  readonly handler: (event: NftablesEvent) => void
}

/** What all programs of a namespace share. */
class Namespace {
  readonly tables = new Map<string, FakeTable>()
  readonly listeners = new Set<Listener>()
  generation = 1
}

export class FakeNftables implements Nftables {
  /** what was applied, transaction by transaction */
  readonly transactions: (readonly Operation[])[] = []
  readonly #namespace: Namespace
  readonly #processName: string

  constructor(namespace = new Namespace(), processName = 'fairway') {
    this.#namespace = namespace
    this.#processName = processName
  }

  /** Another program's view of the same namespace. */
  another(processName = 'nft'): FakeNftables {
    return new FakeNftables(this.#namespace, processName)
  }

  generation(): number {
    return this.#namespace.generation
  }

  list(table: TableId): Ruleset | undefined {
    return this.#namespace.tables.get(describeTable(table))?.read(this.#namespace.generation)
  }

  find(table: TableId, set: SetSpec, keys: readonly (readonly Value[])[]): Element[] {
    return keys.flatMap((key) => this.#namespace.tables.get(describeTable(table))?.find(set.name, key) ?? [])
  }

  apply(operations: readonly Operation[], { generation }: { readonly generation?: number | undefined } = {}): number {
    // what cannot be written is refused before the kernel sees any of it
    const messages = operations.flatMap((operation) => [...encodeOperation(operation)])
    const namespace = this.#namespace
    if (messages.length === 0) return generation ?? namespace.generation
    if (generation !== undefined && generation !== namespace.generation) {
      throw new NetlinkError('apply', `transaction of ${messages.length} messages to nftables`, ERESTART)
    }
    const undo: Undo = []
    try {
      for (const operation of operations) this.#applyOne(operation, undo)
      const [last] = operations.slice(-1)
      for (const table of namespace.tables.values()) if (last !== undefined) table.validate(last)
    } catch (error) {
      for (const step of undo.toReversed()) step()
      throw error
    }
    this.transactions.push(operations)
    if (undo.length === 0) return namespace.generation // nothing changed
    namespace.generation++
    this.#announce(operations)
    return namespace.generation
  }

  #applyOne(operation: Operation, undo: Undo): void {
    const { tables } = this.#namespace
    const name = describeTable(operation.table)
    const table = tables.get(name)
    if (operation.kind === 'addTable') {
      if (table !== undefined) return operation.exclusive === true ? refuse(operation, 'EEXIST') : undefined
      tables.set(name, new FakeTable(operation.table))
      undo.push(() => void tables.delete(name))
    } else if (table === undefined) {
      if (operation.kind !== 'deleteTable' || operation.ifExists !== true) refuse(operation, 'ENOENT')
    } else if (operation.kind === 'deleteTable') {
      tables.delete(name)
      undo.push(() => void tables.set(name, table))
    } else table.apply(operation, undo)
  }

  #announce(operations: readonly Operation[]): void {
    const tables = [...new Map(operations.map(({ table: { family, name } }) => [`${family} ${name}`, { family, name }])).values()]
    const event: NftablesEvent = { kind: 'transaction', generation: this.#namespace.generation, processName: this.#processName, tables }
    for (const listener of this.#namespace.listeners) if (listener.owner !== this) this.#tell(listener, event)
  }

  /** Later, as from a socket; not to those that have closed meanwhile. */
  #tell(listener: Listener, event: NftablesEvent): void {
    setImmediate(() => {
      if (this.#namespace.listeners.has(listener)) listener.handler(event)
    })
  }

  listen(handler: (event: NftablesEvent) => void): Listening {
    const listener = { owner: this, handler }
    this.#namespace.listeners.add(listener)
    return { close: () => void this.#namespace.listeners.delete(listener) }
  }

  /** Time goes by: elements with a timeout end. */
  pass(ms: number): void {
    for (const table of this.#namespace.tables.values()) table.pass(ms)
  }

  /** Listeners of this program lose events. */
  overrun(): void {
    for (const listener of this.#namespace.listeners) if (listener.owner === this) this.#tell(listener, { kind: 'overrun' })
  }

  close(): void {
    for (const listener of this.#namespace.listeners) if (listener.owner === this) this.#namespace.listeners.delete(listener)
  }

  [Symbol.dispose](): void {
    this.close()
  }
}
