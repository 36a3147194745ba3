/**
 * The host's own nftables table, one per family: what pods send out of the cluster carries the host's address, for nobody out there knows theirs;
 * and cluster DNS, which answers on the host itself, is not tracked, nor are the tunnel's outer packets: what they hold has been tracked or will be. Pure.
 *
 *   table ip fairway-host {
 *     set pods { type ipv4_addr; flags interval; elements = { 10.244.0.0/24, 10.244.1.0/24 } }
 *     chain postrouting { type nat hook postrouting priority srcnat; ip saddr 10.244.0.0/24 ip daddr != @pods masquerade }
 *     chain prerouting { type filter hook prerouting priority raw; ip daddr 10.90.0.1 udp dport 4789 notrack; ip daddr 10.96.0.10 notrack; ip saddr 10.96.0.10 notrack }
 *     chain output { type filter hook output priority raw; ip saddr 10.90.0.1 udp dport 4789 notrack; … the same }
 *     chain forward { type filter hook forward priority filter; ct state new iifname "fw*" fib saddr . iif oif 0 drop }
 *   }
 *
 * Services need no exception: what is sent to one has an endpoint's address by then. Other hosts are outside: their links need not carry our pods'
 * addresses.
 */
import { differs, drop, equal, has, isIn, masquerade, notIn, notrack, priorities, sameRule, sameSet } from '../../netlink/nftables/index.ts'
import type { Chain, ChainSpec, ElementSpec, Operation, RuleSpec, Ruleset, SetSpec, TableId } from '../../netlink/nftables/index.ts'
import { familyOf } from './want.ts'
import type { Family, Host } from './want.ts'

export const hostTableName = 'fairway-host'

export interface HostTable {
  readonly table: TableId
  readonly chains: readonly { readonly chain: ChainSpec; readonly rules: readonly RuleSpec[] }[]
  readonly pods: SetSpec
  readonly elements: readonly ElementSpec[]
}

const families: readonly Family[] = ['ipv4', 'ipv6']

export interface HostTableOptions {
  readonly own: Host
  readonly peers: readonly Host[]
  readonly clusterDns: readonly string[]
  /** This host's end of the tunnel, and the port of all ends. */
  readonly tunnel?: { readonly address: string; readonly port: number } | undefined
  /** The only link on which pods of other hosts are heard; left out, any. */
  readonly encryptedLink?: string | undefined
}

export function hostTableId(family: Family): TableId {
  return { family: family === 'ipv4' ? 'ip' : 'ip6', name: hostTableName }
}

/** A table for each family; undefined where this host has no need of one. */
export function wantHostTables(options: HostTableOptions): ReadonlyMap<Family, HostTable | undefined> {
  return new Map(families.map((family) => [family, wantHostTable(family, options)]))
}

function wantHostTable(family: Family, { own, peers, clusterDns, tunnel: ends, encryptedLink }: HostTableOptions): HostTable | undefined {
  const ours = own.podCIDRs.filter((cidr) => familyOf(cidr) === family)
  const dns = clusterDns.filter((address) => familyOf(address) === family)
  const tunnel = ends !== undefined && familyOf(ends.address) === family ? ends : undefined
  if (ours.length === 0 && dns.length === 0 && tunnel === undefined) return undefined
  const [source, destination] = family === 'ipv4' ? (['ip saddr', 'ip daddr'] as const) : (['ip6 saddr', 'ip6 daddr'] as const)
  const pods: SetSpec = { name: 'pods', key: [family === 'ipv4' ? 'ipv4_addr' : 'ipv6_addr'], interval: true }
  const everyPod = [...new Set([own, ...peers].flatMap(({ podCIDRs }) => podCIDRs).filter((cidr) => familyOf(cidr) === family))]
  const untracked = dns.flatMap((address) => [{ statements: [equal(destination, address), notrack] }, { statements: [equal(source, address), notrack] }])
  const outer = (side: typeof source | typeof destination): RuleSpec[] => (
    tunnel === undefined ? [] : [{ statements: [equal(side, tunnel.address), equal('meta l4proto', 'udp'), equal('th dport', tunnel.port), notrack] }])
  // whoever says in clear text that it is a pod of another host is not believed
  const forged: RuleSpec[] = encryptedLink === undefined ? [] : [
    { statements: [isIn([source], pods.name), ...ours.map((cidr) => differs(source, cidr)), differs('meta iifname', encryptedLink), drop] },
  ]
  // a pod speaks in its own name only: for IPv6 there is no rp_filter, and policies go by the address that a packet says it is from
  const spoofed: RuleSpec = { statements: [has('ct state', 'new'), equal('meta iifname', 'fw*'), equal('fib saddr . iif oif', 0), drop] }
  return {
    table: hostTableId(family),
    pods,
    elements: everyPod.map((cidr) => ({ key: [cidr] })),
    chains: [
      {
        chain: { name: 'postrouting', base: { type: 'nat', hook: 'postrouting', priority: priorities.srcnat, policy: 'accept' } },
        rules: ours.map((cidr) => ({ statements: [equal(source, cidr), notIn([destination], pods.name), masquerade()] })),
      },
      { chain: { name: 'prerouting', base: { type: 'filter', hook: 'prerouting', priority: priorities.raw, policy: 'accept' } }, rules: [...forged, ...outer(destination), ...untracked] },
      { chain: { name: 'output', base: { type: 'filter', hook: 'output', priority: priorities.raw, policy: 'accept' } }, rules: [...outer(source), ...untracked] },
      { chain: { name: 'forward', base: { type: 'filter', hook: 'forward', priority: priorities.filter, policy: 'accept' } }, rules: ours.length === 0 ? [] : [spoofed] },
    ],
  }
}

/**
 * One transaction: the elements that differ, where the rest is as it should be, and the table anew where it is not. Connections do not notice: what
 * was translated stays so.
 */
export function planHostTable(family: Family, want: HostTable | undefined, have: Ruleset | undefined): Operation[] {
  if (want === undefined) return have === undefined ? [] : [{ kind: 'deleteTable', table: hostTableId(family) }]
  if (have === undefined || !isSameTable(want, have)) return [{ kind: 'deleteTable', table: want.table, ifExists: true }, ...makeTable(want)]
  const present = new Set(have.sets.get(want.pods.name)?.elements.map(keyOf))
  const wanted = new Set(want.elements.map(keyOf))
  const stale = [...present].filter((key) => !wanted.has(key)).map((key) => ({ key: [key] }))
  const missing = want.elements.filter((element) => !present.has(keyOf(element)))
  return [
    ...(stale.length === 0 ? [] : [{ kind: 'deleteElements', table: want.table, set: want.pods, elements: stale } as const]),
    ...(missing.length === 0 ? [] : [{ kind: 'addElements', table: want.table, set: want.pods, elements: missing } as const]),
  ]
}

function keyOf({ key }: ElementSpec): string {
  return String(key[0])
}

function isSameTable({ chains, pods }: HostTable, have: Ruleset): boolean {
  const set = have.sets.get(pods.name)
  if (set === undefined || !sameSet(pods, set) || have.sets.size !== 1 || have.chains.size !== chains.length) return false
  return chains.every(({ chain, rules }) => {
    const present = have.chains.get(chain.name)
    return present !== undefined && isSameChain(chain, present) && rules.length === present.rules.length
      && rules.every((rule, index) => sameRule(rule, present.rules[index] ?? { statements: [] }))
  })
}

function isSameChain({ base: want }: ChainSpec, { base: have }: Chain): boolean {
  return want?.type === have?.type && want?.hook === have?.hook && want?.priority === have?.priority && want?.policy === have?.policy
}

function makeTable({ table, chains, pods, elements }: HostTable): Operation[] {
  return [
    { kind: 'addTable', table },
    { kind: 'addSet', table, set: pods },
    { kind: 'addElements', table, set: pods, elements },
    ...chains.flatMap(({ chain, rules }) => [
      { kind: 'addChain', table, chain } as const,
      ...rules.map((rule) => ({ kind: 'addRule', table, chain: chain.name, rule } as const)),
    ]),
  ]
}
