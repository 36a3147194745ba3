/**
 * What nftables holds, as plain data: tables, chains, sets and maps, elements, rules; the operations that change it; and what
 * either kernel, real or fake, does with them. `*Spec` is what is written, the names without it what is read.
 *
 * What is read back is spelled in one way (`types and spelling` in the README), so that it can be compared with what was written.
 */
import type { Listening } from '../socket.ts'
import type { FieldType } from './field-types.ts'
import type { Statement, Verdict } from './statements.ts'

export type TableFamily = 'ip' | 'ip6' | 'inet'

/** Which table. */
export interface TableId {
  readonly family: TableFamily
  readonly name: string
}

export interface TableSpec extends TableId {
  readonly comment?: string | undefined
}

/** NF_IP_PRI_*, as nft names them (include/uapi/linux/netfilter_ipv4.h). */
export const priorities = { raw: -300, mangle: -150, dstnat: -100, filter: 0, security: 50, srcnat: 100 } as const

/** Makes a chain one that packets enter by themselves. */
export interface BaseChain {
  readonly type: 'filter' | 'nat' | 'route'
  readonly hook: 'prerouting' | 'input' | 'forward' | 'output' | 'postrouting'
  /** lower is earlier; see `priorities` */
  readonly priority: number
  readonly policy: 'accept' | 'drop'
}

/** A chain: with `base` one that packets enter by themselves, without one to jump to. */
export interface ChainSpec {
  readonly name: string
  readonly base?: BaseChain | undefined
  readonly comment?: string | undefined
}

/** What may be asked of sets and maps alike. */
interface SetOptions {
  readonly name: string
  /** one type, or several in concatenation */
  readonly key: readonly FieldType[]
  /** keys may be prefixes and ranges */
  readonly interval?: boolean | undefined
  /** elements may end by themselves */
  readonly timeout?: boolean | undefined
  /** rules may add elements */
  readonly dynamic?: boolean | undefined
  /** the timeout of elements that say none */
  readonly defaultTimeoutMs?: number | undefined
  /** how many elements at most; needed where `dynamic` */
  readonly size?: number | undefined
  /** every element counts packets and bytes */
  readonly counter?: boolean | undefined
  readonly comment?: string | undefined
}

/** A named set; with `data` a map from keys to values or verdicts. */
export interface SetSpec extends SetOptions {
  readonly data?: readonly FieldType[] | 'verdict' | undefined
}

/**
 * A field of a key or of data: addresses as text, `'tcp'` or 6, ports as numbers, marks and integers as numbers.
 * Where the set is `interval`: `'10.0.0.0/8'`, `'10.0.0.1-10.0.0.9'`, `'8000-8080'` too.
 */
export type Value = string | number

/** An element of a set or map. */
export interface ElementSpec {
  /** one value for each type of the set's key */
  readonly key: readonly Value[]
  /** for maps: one value for each type of the map's data, or a verdict */
  readonly data?: readonly Value[] | Verdict | undefined
  readonly timeoutMs?: number | undefined
  /** for handing over: how much of the timeout is left */
  readonly expiresMs?: number | undefined
  readonly comment?: string | undefined
}

export interface Counter {
  readonly packets: number
  readonly bytes: number
}

/** An element as it was read. */
export interface Element extends ElementSpec {
  readonly counter?: Counter | undefined
}

export interface RuleSpec {
  readonly statements: readonly Statement[]
  readonly comment?: string | undefined
}

/** A rule as it was read. `handle` names it in its table. */
export interface Rule extends RuleSpec {
  readonly handle: number
  /** the state of its `counter` statements, in order */
  readonly counters?: readonly Counter[] | undefined
}

/** A chain as it was read, with its rules in order. */
export interface Chain extends ChainSpec {
  readonly handle: number
  readonly rules: readonly Rule[]
}

/** A set or map as it was read. */
export interface NamedSet extends SetSpec {
  readonly handle: number
  readonly elements: readonly Element[]
}

/** A table with all that is in it, at one generation. */
export interface Ruleset {
  readonly table: TableSpec
  /** of the whole namespace: every transaction of anyone counts it up */
  readonly generation: number
  readonly chains: ReadonlyMap<string, Chain>
  /** sets and maps, which share their names */
  readonly sets: ReadonlyMap<string, NamedSet>
}

/**
 * One change. Adding what is there already is fine unless `exclusive` (and unless it differs: EEXIST); deleting what is not there
 * is ENOENT unless `ifExists`.
 * A chain or set can only go when no rule or element refers to it any more: EBUSY.
 */
export type Operation =
  | { readonly kind: 'addTable'; readonly table: TableSpec; readonly exclusive?: boolean }
  | { readonly kind: 'deleteTable'; readonly table: TableId; readonly ifExists?: boolean }
  | { readonly kind: 'flushTable'; readonly table: TableId }
  | { readonly kind: 'addChain'; readonly table: TableId; readonly chain: ChainSpec; readonly exclusive?: boolean }
  | { readonly kind: 'deleteChain'; readonly table: TableId; readonly chain: string; readonly ifExists?: boolean }
  | { readonly kind: 'flushChain'; readonly table: TableId; readonly chain: string }
  /** at the end of the chain, or after or before the rule with that handle */
  | { readonly kind: 'addRule'; readonly table: TableId; readonly chain: string; readonly rule: RuleSpec; readonly after?: number; readonly before?: number }
  /** at the beginning of the chain */
  | { readonly kind: 'insertRule'; readonly table: TableId; readonly chain: string; readonly rule: RuleSpec }
  | { readonly kind: 'replaceRule'; readonly table: TableId; readonly chain: string; readonly handle: number; readonly rule: RuleSpec }
  | { readonly kind: 'deleteRule'; readonly table: TableId; readonly chain: string; readonly handle: number }
  | { readonly kind: 'addSet'; readonly table: TableId; readonly set: SetSpec; readonly exclusive?: boolean }
  | { readonly kind: 'deleteSet'; readonly table: TableId; readonly set: string; readonly ifExists?: boolean }
  | { readonly kind: 'flushSet'; readonly table: TableId; readonly set: string }
  /** an element of a map that is there with other data is EEXIST: delete it in the same transaction */
  | { readonly kind: 'addElements'; readonly table: TableId; readonly set: SetSpec; readonly elements: readonly ElementSpec[]; readonly exclusive?: boolean }
  /** only the keys count */
  | { readonly kind: 'deleteElements'; readonly table: TableId; readonly set: SetSpec; readonly elements: readonly ElementSpec[]; readonly ifExists?: boolean }

/**
 * A transaction of someone else: what was applied by the one who listens is not told. `tables` are those that it touched.
 * After `overrun` events were lost: list again.
 */
export type NftablesEvent =
  | { readonly kind: 'transaction'; readonly generation: number; readonly processName: string | undefined; readonly tables: readonly TableId[] }
  | { readonly kind: 'overrun' }

/** nftables of one network namespace: the kernel's, or a fake in unit tests. */
export interface Nftables {
  /** Counts up with every transaction of anyone in the namespace. */
  generation(): number
  /** All of a table, read at one generation; `undefined` where there is no such table. */
  list(table: TableId): Ruleset | undefined
  /** The elements of a set (not an interval one) with these keys, as far as they are there. Does not walk the set. */
  find(table: TableId, set: SetSpec, keys: readonly (readonly Value[])[]): Element[]
  /**
   * Applies all operations in one transaction, or none. With `generation`: only if nobody changed anything since (else `isStale`
   * is true of the error). Returns the generation that it made (the same where nothing
   * changed). Throws NetlinkError naming the operation that was refused.
   */
  apply(operations: readonly Operation[], options?: { readonly generation?: number | undefined }): number
  /** Calls `handler` for each transaction of others from now on, until closed. The handler must not block. */
  listen(handler: (event: NftablesEvent) => void): Listening
  /** Subscriptions are to be closed before. */
  close(): void
  [Symbol.dispose](): void
}
