/** Takes away all that the proxy made. */
import type { Netns } from '../netlink/netns.ts'
import { openNftables } from '../netlink/nftables/index.ts'
import { unrouteLocalhost } from './localhost.ts'
import { table } from './rules.ts'

/** Removes the proxy's table from a network namespace, and the way to 127.0.0.1 that it opened; false where there was no table. Connections that were translated go on. */
export function cleanupProxy({ netns }: { readonly netns?: Netns | undefined } = {}): boolean {
  using nftables = openNftables({ netns })
  const present = nftables.list(table) !== undefined
  // First: without the table whoever is on the same link would reach what listens on 127.0.0.1.
  if (present) unrouteLocalhost(netns)
  nftables.apply([{ kind: 'deleteTable', table, ifExists: true }])
  return present
}
