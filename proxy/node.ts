/** What the proxy makes of its Node and of its options. Pure. */
import type { Node } from '../api/types.ts'
import { addressOf, isWithin, prefixOf } from './families.ts'
import type { NodeView } from './service.ts'

export interface NodeOptions {
  /** Prefixes whose addresses on this node serve node ports (`--nodeport-addresses`); by default the node's own addresses. */
  readonly nodePortAddresses?: readonly string[] | undefined
  /** All addresses of the host, for `nodePortAddresses`. */
  readonly hostAddresses?: readonly string[] | undefined
  /** Node ports answer on 127.0.0.1 too; default true. */
  readonly localhostNodePorts?: boolean | undefined
  /** Ranges of cluster IPs: packets to those without a service are dropped. */
  readonly serviceClusterIPRange?: readonly string[] | undefined
}

const zoneLabel = 'topology.kubernetes.io/zone'

/** The node as it is known, which at first is not at all. */
export function nodeView(name: string, node: Node | undefined, options: NodeOptions): NodeView {
  const own = (node?.status?.addresses ?? []).filter(({ type }) => type === 'InternalIP').flatMap(({ address }) => addressOf(address) ?? [])
  const chosen = options.nodePortAddresses?.flatMap((text) => prefixOf(text.includes('/') ? text : `${text}/${text.includes(':') ? 128 : 32}`) ?? [])
  const candidates = [...new Set([...own, ...(options.hostAddresses ?? [])])]
  const addresses = chosen === undefined ? own : candidates.filter((address) => chosen.some((prefix) => isWithin(address, prefix)))
  const { podCIDRs, podCIDR } = node?.spec ?? {}
  return {
    name,
    zone: node?.metadata.labels?.[zoneLabel],
    nodePortAddresses: [...new Set([...addresses, ...(options.localhostNodePorts === false ? [] : ['127.0.0.1'])])],
    podCIDRs: podCIDRs ?? (podCIDR === undefined ? [] : [podCIDR]),
    serviceCIDRs: options.serviceClusterIPRange ?? [],
  }
}
