/** What the proxy makes of its Node and of its options. Pure. */
import type { Node } from '../api/types.ts'
import { addressOf, isWithin, prefixOf } from './families.ts'
import type { NodeView } from './service.ts'

export interface NodeOptions {
  /** Prefixes whose addresses on this host serve node ports (`--nodeport-addresses`), or `primary`; by default the node's own addresses and 127.0.0.1. */
  readonly nodePortAddresses?: readonly string[] | undefined
  /** All addresses of the host, for `nodePortAddresses`. */
  readonly hostAddresses?: readonly string[] | undefined
  /** Ranges of cluster IPs: packets to those without a service are dropped. */
  readonly serviceClusterIPRange?: readonly string[] | undefined
}

const zoneLabel = 'topology.kubernetes.io/zone'

/** Set by the cluster autoscaler before it takes a node away (KEP-3836). */
const toBeDeletedTaint = 'ToBeDeletedByClusterAutoscaler'

/** Whether balancers may send new clients to the node: it is not about to go. */
export function isEligible(node: Node | undefined): boolean {
  return node?.metadata.deletionTimestamp === undefined && (node?.spec?.taints ?? []).every(({ key }) => key !== toBeDeletedTaint)
}

/** The node as it is known, which at first is not at all. */
export function nodeView(name: string, node: Node | undefined, options: NodeOptions): NodeView {
  const own = (node?.status?.addresses ?? []).filter(({ type }) => type === 'InternalIP').flatMap(({ address }) => addressOf(address) ?? [])
  const { podCIDRs, podCIDR } = node?.spec ?? {}
  return {
    name,
    zone: node?.metadata.labels?.[zoneLabel],
    nodePortAddresses: [...new Set(nodePortAddresses(own, options))],
    podCIDRs: podCIDRs ?? (podCIDR === undefined ? [] : [podCIDR]),
    serviceCIDRs: options.serviceClusterIPRange ?? [],
  }
}

function nodePortAddresses(own: readonly string[], { nodePortAddresses: chosen, hostAddresses = [] }: NodeOptions): readonly string[] {
  if (chosen === undefined) return [...own, '127.0.0.1']
  const prefixes = chosen.flatMap((text) => prefixOf(text.includes('/') ? text : `${text}/${text.includes(':') ? 128 : 32}`) ?? [])
  const within = [...own, ...hostAddresses].filter((address) => prefixes.some((prefix) => isWithin(address, prefix)))
  return chosen.includes('primary') ? [...own, ...within] : within
}
