/**
 * The plugin's own nftables table, one per family: ports of the host that lead to pods, and pods that leave under the host's address (`ipMasq`). Rules
 * are few and fixed, pods are elements, each with its owner as a comment. Pure.
 *
 *   table ip fairway-cni {
 *     map port       { type inet_proto . inet_service : ipv4_addr . inet_service; elements = { tcp . 8080 comment "fw3a… net" : 10.244.1.5 . 80 } }
 *     map port-at    { type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service }      # of one address of the host
 *     set hairpin    { type ipv4_addr . ipv4_addr }                                                 # pods with ports, to themselves
 *     set masquerade { type ipv4_addr }                                                             # pods with ipMasq …
 *     set inside     { type ipv4_addr . ipv4_addr; flags interval }                                 # … and where they keep their address
 *     chain martian     { filter hook prerouting priority raw;   iifname "fw*" ip daddr 127.0.0.0/8 drop }
 *     chain prerouting  { nat hook prerouting priority dstnat;   jump mappings }
 *     chain output      { nat hook output priority dstnat;       jump mappings }
 *     chain mappings    { fib daddr type local dnat to ip daddr . meta l4proto . th dport map @port-at;   … map @port }
 *     chain postrouting { nat hook postrouting priority srcnat;  three rules that masquerade }
 *   }
 *
 * Who asks at 127.0.0.1 gets there by `route_localnet` on the pod's link, who asks at ::1 by a route to it on that link; `martian` keeps pods from sending to
 * loopback addresses all the same.
 */
import {
  drop, dnat, differs, equal, isIn, jump, map, masquerade, notIn, priorities,
} from '../../netlink/nftables/index.ts'
import type { BaseChain, ElementSpec, Operation, RuleSpec, SetSpec, TableId } from '../../netlink/nftables/index.ts'
import type { PortMapping } from './ports.ts'
import type { Family } from './want.ts'

/** What one attachment has in the tables. */
export interface Translation {
  /** The first address of each family, and the network that it is in. */
  readonly addresses: readonly { readonly family: Family; readonly address: string; readonly subnet: string }[]
  readonly mappings: readonly PortMapping[]
  readonly masquerade: boolean
}

export interface OwnedElement {
  readonly set: SetSpec
  readonly element: ElementSpec
}

export const translationFamilies: readonly Family[] = ['ipv4', 'ipv6']

export function translationTable(family: Family): TableId {
  return { family: family === 'ipv4' ? 'ip' : 'ip6', name: 'fairway-cni' }
}

/** Whether there is anything to be in the tables. */
export function isTranslated({ mappings, masquerade: wanted }: Pick<Translation, 'mappings' | 'masquerade'>): boolean {
  return wanted || mappings.length > 0
}

export const translationSets = {
  ipv4: setsOf('ipv4_addr'),
  ipv6: setsOf('ipv6_addr'),
}

/** Sized, so that they need not grow under way. */
function setsOf(address: 'ipv4_addr' | 'ipv6_addr') {
  const pair = [address, address] as const
  const target = [address, 'inet_service'] as const
  return {
    port: { name: 'port', key: ['inet_proto', 'inet_service'], data: target },
    portAt: { name: 'port-at', key: [address, 'inet_proto', 'inet_service'], data: target },
    hairpin: { name: 'hairpin', key: pair },
    masquerade: { name: 'masquerade', key: [address] },
    inside: { name: 'inside', key: pair, interval: true },
  } as const satisfies Readonly<Record<string, SetSpec>>
}

/** Says whose an element is. A comment has 128 bytes at most; names of networks may be longer. */
export function ownerComment(hostLink: string, network: string): string {
  return `${hostLink} ${network.slice(0, 100)}`
}

/** The host's end that a comment names. */
export function ownerLink(comment: string | undefined): string {
  return comment?.split(' ')[0] ?? ''
}

/** The elements of one attachment, those that claim a port first. */
export function translationElements(family: Family, { addresses, mappings, masquerade: wanted }: Translation, comment: string): OwnedElement[] {
  const own = addresses.find((one) => one.family === family)
  if (own === undefined) return []
  const { port, portAt, hairpin, masquerade: pods, inside } = translationSets[family]
  const here = mappings.filter(({ families }) => families.includes(family))
  return [
    ...here.map(({ protocol, hostPort, containerPort, hostIP }) => {
      const data = [own.address, containerPort]
      return hostIP === undefined ? { set: port, element: { key: [protocol, hostPort], data, comment } } : { set: portAt, element: { key: [hostIP, protocol, hostPort], data, comment } }
    }),
    ...(here.length === 0 ? [] : [{ set: hairpin, element: { key: [own.address, own.address], comment } }]),
    ...(wanted ? [{ set: pods, element: { key: [own.address], comment } }, { set: inside, element: { key: [own.address, own.subnet], comment } }] : []),
  ]
}

/** Whether an element claims what another attachment may have as well: a port. The others are of the pod's own address. */
export function claimsPort({ set }: OwnedElement): boolean {
  return set.data !== undefined
}

/** The table with all that is fixed. Refused (EEXIST) where there is one. */
export function makeTranslationTable(family: Family): Operation[] {
  const table = translationTable(family)
  return [
    { kind: 'addTable', table, exclusive: true },
    ...Object.values(translationSets[family]).map((set) => ({ kind: 'addSet', table, set } as const)),
    ...chainsOf(family).flatMap(({ name, base, rules }) => [
      { kind: 'addChain', table, chain: { name, base } } as const,
      ...rules.map((rule) => ({ kind: 'addRule', table, chain: name, rule } as const)),
    ]),
  ]
}

interface FixedChain {
  readonly name: string
  readonly base?: BaseChain | undefined
  readonly rules: readonly RuleSpec[]
}

function chainsOf(family: Family): FixedChain[] {
  const [ip, source, destination] = family === 'ipv4' ? (['ip', 'ip saddr', 'ip daddr'] as const) : (['ip6', 'ip6 saddr', 'ip6 daddr'] as const)
  const [loopback, multicast] = family === 'ipv4' ? ['127.0.0.0/8', '224.0.0.0/4'] : ['::1', 'ff00::/8']
  const { port, portAt, hairpin, masquerade: pods, inside } = translationSets[family]
  const base = (type: BaseChain['type'], hook: BaseChain['hook'], priority: number): BaseChain => ({ type, hook, priority, policy: 'accept' })
  const local = equal('fib daddr type', 'local')
  const fromPods = equal('meta iifname', 'fw*')
  return [
    { name: 'mappings', rules: [
      { statements: [local, dnat(ip, map([destination, 'meta l4proto', 'th dport'], portAt))] },
      { statements: [local, dnat(ip, map(['meta l4proto', 'th dport'], port))] },
    ] },
    { name: 'martian', base: base('filter', 'prerouting', priorities.raw), rules: [{ statements: [fromPods, equal(destination, loopback), drop] }] },
    { name: 'prerouting', base: base('nat', 'prerouting', priorities.dstnat), rules: [{ statements: [jump('mappings')] }] },
    { name: 'output', base: base('nat', 'output', priorities.dstnat), rules: [{ statements: [jump('mappings')] }] },
    { name: 'postrouting', base: base('nat', 'postrouting', priorities.srcnat), rules: [
      { statements: [isIn([source, destination], hairpin.name), masquerade()] },
      { statements: [equal('meta oifname', 'fw*'), equal(source, loopback), masquerade()] },
      { statements: [isIn([source], pods.name), notIn([source, destination], inside.name), differs(destination, multicast), masquerade()] },
    ] },
  ]
}
