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
import type { Netns } from '../netns.ts'
import type { Nftables } from './types.ts'

export * from './statements.ts'
export * from './types.ts'
export type { FieldName } from './fields.ts'
export type { FieldType } from './field-types.ts'
export { isStale } from './stale.ts'

/** Opens nftables of a namespace, or of the current one. Root (CAP_NET_ADMIN) is needed, for reading too. */
export function openNftables(_options: { readonly netns?: Netns | undefined } = {}): Nftables {
  throw new Error('Cannot open nftables: not there yet')
}
