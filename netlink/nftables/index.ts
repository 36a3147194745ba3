/**
 * nftables of one network namespace: whole transactions, and everything read back.
 *
 *     using nftables = openNftables({ netns })
 *     const table = { family: 'ip', name: 'fairway-proxy' } as const
 *     nftables.apply([
 *       { kind: 'addTable', table },
 *       { kind: 'addChain', table, chain: { name: 'input', base: { type: 'filter', hook: 'input', priority: 0, policy: 'accept' } } },
 *       { kind: 'addRule', table, chain: 'input', rule: { statements: [has('ct state', 'established,related'), accept] } },
 *     ])
 *     nftables.list(table)?.chains.get('input')?.rules
 */
import { NetlinkError, errnoNumber, isNotFound } from '../errors.ts'
import { Netns } from '../netns.ts'
import { NETLINK_NETFILTER, NetlinkSocket } from '../socket.ts'
import type { Listening } from '../socket.ts'
import { BATCH_SUBSYSTEM, NFNL_MSG_BATCH_BEGIN, NFNL_MSG_BATCH_END, NFT_MSG_GETGEN, batchMessage, generationMessage } from './layouts.ts'
import { readContents, readElement, readTable } from './listing.ts'
import { listenForOthers } from './notifications.ts'
import { encodeOperation } from './operations.ts'
import type { Step } from './operations.ts'
import { isStale } from './stale.ts'
import type { Element, Nftables, NftablesEvent, Operation, Ruleset, SetSpec, TableId, Value } from './types.ts'
import { describeTable } from './words.ts'

export * from './statements.ts'
export * from './types.ts'
export { sameRule, sameSet } from './sameness.ts'
export { isStale } from './stale.ts'
export type { FieldType } from './field-types.ts'
export type { FieldName } from './fields.ts'

/** How often a transaction or a list begins anew because someone else wrote meanwhile. */
const ATTEMPTS = 100

/** Opens nftables of a namespace, or of the current one. Root (CAP_NET_ADMIN) is needed, for reading too. */
export function openNftables(options: { readonly netns?: Netns | undefined } = {}): Nftables {
  // a handle of its own, for sockets that are opened later to listen
  const netns = options.netns === undefined ? Netns.current() : Netns.open(`/proc/thread-self/fd/${options.netns.descriptor}`)
  try {
    return new KernelNftables(netns)
  } catch (error) {
    netns.close()
    throw error
  }
}

class KernelNftables implements Nftables {
  readonly #netns: Netns
  readonly #socket: NetlinkSocket

  constructor(netns: Netns) {
    this.#netns = netns
    this.#socket = NetlinkSocket.open(NETLINK_NETFILTER, { netns })
  }

  generation(): number {
    const [reply] = this.#socket.request(NFT_MSG_GETGEN, 0, generationMessage.encode({ header: {}, attributes: {} }), { operation: 'read', object: 'generation of nftables' })
    return reply === undefined ? 0 : (generationMessage.decode(reply.payload).attributes.id ?? 0)
  }

  list(table: TableId): Ruleset | undefined {
    for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
      const generation = this.generation()
      const ruleset = this.#listOnce(table, generation)
      if (this.generation() === generation) return ruleset
    }
    throw new NetlinkError('list table', describeTable(table), errnoNumber('EAGAIN'), `(it changed while being read, ${ATTEMPTS} times in a row)`)
  }

  #listOnce(id: TableId, generation: number): Ruleset | undefined {
    try {
      const table = readTable(this.#socket, id)
      return table && { table, generation, ...readContents(this.#socket, id) }
    } catch (error) {
      if (isNotFound(error)) return undefined // it went while being read, which the generation tells
      throw error
    }
  }

  find(table: TableId, set: SetSpec, keys: readonly (readonly Value[])[]): Element[] {
    return keys.flatMap((key) => readElement(this.#socket, table, set, key) ?? [])
  }

  apply(operations: readonly Operation[], options: { readonly generation?: number | undefined } = {}): number {
    const steps = operations.flatMap((operation) => [...encodeOperation(operation)])
    for (let attempt = 1; ; attempt++) {
      const expected = options.generation ?? this.generation()
      if (steps.length === 0) return expected
      try {
        return this.#transact(steps, expected)
      } catch (error) {
        if (options.generation !== undefined || !isStale(error) || attempt === ATTEMPTS) throw error
      }
    }
  }

  #transact(steps: readonly Step[], generation: number): number {
    const begin = batchMessage.encode({ header: { resourceId: BATCH_SUBSYSTEM }, attributes: { generation } })
    const end = batchMessage.encode({ header: { resourceId: BATCH_SUBSYSTEM }, attributes: {} })
    const messages = [{ type: NFNL_MSG_BATCH_BEGIN, flags: 0, payload: begin }, ...steps, { type: NFNL_MSG_BATCH_END, flags: 0, payload: end }]
    const what = { operation: 'apply', object: `transaction of ${steps.length} messages to nftables` }
    const verdicts = this.#socket.transact(messages, what)
    const refused = verdicts.findIndex(({ errno }) => errno !== 0)
    const verdict = verdicts[refused]
    // a transaction that changes nothing makes no generation
    if (verdict === undefined) return this.generation() === generation ? generation : (generation + 1) >>> 0 || 1
    const { operation, object } = steps[refused - 1]?.what(verdict.offset) ?? what
    throw new NetlinkError(operation, object, verdict.errno, verdict.kernelMessage, verdict.offset)
  }

  listen(handler: (event: NftablesEvent) => void): Listening {
    return listenForOthers(this.#netns, this.#socket, handler)
  }

  close(): void {
    this.#socket.close()
    this.#netns.close()
  }

  [Symbol.dispose](): void {
    this.close()
  }
}
