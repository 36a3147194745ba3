/** Takes away all that the proxy made. */
import type { Netns } from '../netlink/netns.ts'
import { openNftables } from '../netlink/nftables/index.ts'
import { table } from './rules.ts'

/** Removes the proxy's table from a network namespace; false where there was none. Connections that were translated go on. */
export function cleanupProxy({ netns }: { readonly netns?: Netns | undefined } = {}): boolean {
  using nftables = openNftables({ netns })
  const present = nftables.list(table) !== undefined
  nftables.apply([{ kind: 'deleteTable', table, ifExists: true }])
  return present
}
