/**
 * The table: chains and rules that are the same whatever services there are, and one chain for each number of endpoints in use.
 * All that differs between services is elements of its maps and sets.
 *
 *     prerouting, output ─► services ─ service4: 10.96.0.53 . tcp . 80 ─► n2 ─ endpoint4: … . (random 0 or 1) ─► dnat
 *                                   └ cluster-ip4: refuse      └ service-range4: drop
 *     postrouting ─► source4 ─ does the reply come back by itself? ─► masquerade where it would not
 *
 * Nothing is marked: whether a connection is one of ours is told from the address that its first packet had.
 */
import {
  differs, dnat, drop, equal, goBack, goTo, has, isIn, lacks, map, masquerade, notIn, priorities, random, reject, update, vmap,
} from '../netlink/nftables/index.ts'
import type { ChainSpec, FieldName, FieldType, RuleSpec, SetSpec, Statement, TableSpec } from '../netlink/nftables/index.ts'
import { families } from './families.ts'
import type { Family } from './families.ts'
import { parseChainName, refuseChain } from './service.ts'

export const table = { family: 'inet', name: 'fairway-proxy', comment: 'services' } as const satisfies TableSpec

/** A chain with its rules. */
export interface ChainPlan extends ChainSpec {
  readonly rules: readonly RuleSpec[]
}

export interface FixedOptions {
  /** Packets that belong to no connection pass (`nf_conntrack_tcp_be_liberal`). Else they are dropped: a reply that was not translated back would have its client reset the connection. */
  readonly liberal?: boolean | undefined
}

/** Clients that stick to an endpoint, at most, in each family. */
const stickyClientsMax = 1_048_576

const service = (digit: string, inside: boolean): string => `service${inside ? '-inside' : ''}${digit}`
const endpoint = (digit: string, inside: boolean): string => `endpoint${inside ? '-inside' : ''}${digit}`

function familySets({ digit, addressType }: Family): SetSpec[] {
  const frontend: readonly FieldType[] = [addressType, 'inet_proto', 'inet_service']
  const target: readonly FieldType[] = [addressType, 'inet_service']
  return [
    ...[false, true].flatMap((inside): SetSpec[] => [
      { name: service(digit, inside), key: frontend, data: 'verdict' },
      { name: endpoint(digit, inside), key: [...frontend, 'integer'], data: target },
    ]),
    { name: `cluster-ip${digit}`, key: [addressType], comment: 'ports without a service are refused' },
    { name: `service-range${digit}`, key: [addressType], interval: true, comment: 'addresses without a service are dropped' },
    { name: `external${digit}`, key: frontend, comment: 'frontends for clients outside the cluster' },
    { name: `ranged${digit}`, key: frontend, comment: 'frontends for clients in source-range only' },
    { name: `source-range${digit}`, key: [...frontend, addressType], interval: true },
    { name: `local${digit}`, key: [addressType], comment: 'endpoints on this node' },
    { name: `hairpin${digit}`, key: [addressType, addressType], comment: 'endpoints that reach themselves' },
    { name: `pod-range${digit}`, key: [addressType], interval: true, comment: 'pods of this node' },
    { name: `inside${digit}`, key: [addressType], interval: true, comment: 'keep their address to a cluster IP' },
    { name: `sticky${digit}`, key: frontend, data: 'verdict', comment: 'frontends with client affinity' },
    { name: `affinity${digit}`, key: [addressType, ...frontend], data: target, dynamic: true, timeout: true, size: stickyClientsMax, comment: 'clients that stick to an endpoint' },
  ]
}

/** Every set and map of the table, by name. */
export const sets: ReadonlyMap<string, SetSpec> = new Map(families.flatMap(familySets).map((set) => [set.name, set]))

/** Those about which `want` says each element by itself: neither frontends' targets nor what packets make. */
export const memberSets: readonly string[] = [...sets.values()].filter(({ name, dynamic }) => dynamic !== true && !/^(?:service|endpoint)(?:-inside)?[46]$/.test(name)).map(({ name }) => name)

/** Those whose elements only packets make. */
export function isDynamic(set: string): boolean {
  return sets.get(set)?.dynamic === true
}

/** The names of the two maps in which a frontend stands. */
export function mapsOf(digit: string, inside: boolean): { readonly services: string; readonly endpoints: string } {
  return { services: service(digit, inside), endpoints: endpoint(digit, inside) }
}

function specOf(name: string): SetSpec {
  const set = sets.get(name)
  if (set === undefined) throw new Error(`Cannot use set ${name}: the table has none`)
  return set
}

const rule = (...statements: Statement[]): RuleSpec => ({ statements })
const saddr = ({ ip }: Family): FieldName => `${ip} saddr`
const daddr = ({ ip }: Family): FieldName => `${ip} daddr`
const frontendOf = (family: Family): FieldName[] => [daddr(family), 'meta l4proto', 'th dport']
const originalDestination = ({ ip }: Family): FieldName => `ct original ${ip} daddr`
const only = ({ nfproto }: Family): Statement => equal('meta nfproto', nfproto)

/** The chains that are always there, those that others refer to first. */
export function fixedChains({ liberal = false }: FixedOptions): ChainPlan[] {
  const chains: ChainPlan[] = [
    {
      name: refuseChain,
      // A refusal by ICMP makes a local client's kernel wait for its retry (RFC 1122, 4.2.3.9): TCP is reset.
      rules: [rule(equal('meta l4proto', 'tcp'), reject('tcp reset')), rule(reject('icmpx port-unreachable'))],
    },
    { name: 'services', rules: families.flatMap(servicesRules) },
    ...families.flatMap(sourceChains),
    {
      name: 'prerouting', base: { type: 'nat', hook: 'prerouting', priority: priorities.dstnat, policy: 'accept' },
      rules: [
        rule(equal('meta nfproto', 'ipv4'), equal('ip daddr', '127.0.0.0/8'), goBack),
        ...families.map((family) => rule(only(family), isIn(frontendOf(family), `ranged${family.digit}`), notIn([...frontendOf(family), saddr(family)], `source-range${family.digit}`), drop)),
        ...families.map((family) => rule(only(family), isIn([saddr(family)], `pod-range${family.digit}`), vmap(frontendOf(family), service(family.digit, true)))),
        rule(goTo('services')),
      ],
    },
    {
      name: 'output', base: { type: 'nat', hook: 'output', priority: priorities.dstnat, policy: 'accept' },
      rules: [
        // An address that the host itself has is its own client's source too.
        ...families.map((family) => rule(only(family), isIn(frontendOf(family), `ranged${family.digit}`), notIn([...frontendOf(family), saddr(family)], `source-range${family.digit}`), differs('fib daddr type', 'local'), drop)),
        ...families.map((family) => rule(only(family), vmap(frontendOf(family), service(family.digit, true)))),
        rule(goTo('services')),
      ],
    },
    {
      name: 'postrouting', base: { type: 'nat', hook: 'postrouting', priority: priorities.srcnat, policy: 'accept' },
      rules: [
        rule(lacks('ct status', 'dnat'), goBack),
        ...families.map((family) => rule(only(family), vmap([originalDestination(family), 'meta l4proto', 'ct original proto-dst'], `sticky${family.digit}`))),
        rule(equal('meta oifname', 'lo'), goBack),
        ...families.map((family) => rule(only(family), goTo(`source${family.digit}`))),
      ],
    },
  ]
  if (!liberal) chains.push({ name: 'forward', base: { type: 'filter', hook: 'forward', priority: priorities.filter, policy: 'accept' }, rules: [rule(has('ct state', 'invalid'), drop)] })
  // 127.0.0.0/8 is routed while node ports answer there, and may be from a time when they did.
  return [...chains, {
    name: 'input', base: { type: 'filter', hook: 'input', priority: priorities.filter, policy: 'accept' },
    rules: [rule(differs('meta iifname', 'lo'), equal('meta nfproto', 'ipv4'), equal('ip daddr', '127.0.0.0/8'), lacks('ct status', 'dnat'), drop)],
  }]
}

function servicesRules(family: Family): RuleSpec[] {
  const { digit } = family
  const frontend = frontendOf(family)
  return [
    rule(only(family), vmap(frontend, service(digit, false))),
    rule(only(family), isIn([daddr(family)], `cluster-ip${digit}`), goTo(refuseChain)),
    rule(only(family), isIn([daddr(family)], `service-range${digit}`), differs('fib daddr type', 'local'), drop),
  ]
}

/** Which translated connections also need another source, so that replies come back here. */
function sourceChains(family: Family): ChainPlan[] {
  const { digit, ip } = family
  const [source, destination] = [saddr(family), daddr(family)]
  const original = originalDestination(family)
  const translated = masquerade({ flags: ['fully-random'] })
  const hairpin = rule(only(family), isIn([source, destination], `hairpin${digit}`), translated)
  const replyPassesHere = rule(only(family), isIn([destination], `local${digit}`), goBack)
  return [
    {
      name: `source-cluster${digit}`,
      rules: [
        hairpin, replyPassesHere,
        rule(equal('fib saddr type', 'local'), translated),
        rule(only(family), notIn([source], `inside${digit}`), translated),
      ],
    },
    {
      name: `source-external${digit}`,
      rules: [
        hairpin,
        ...(ip === 'ip' ? [rule(only(family), equal('ip saddr', '127.0.0.0/8'), translated)] : []),
        replyPassesHere,
        rule(only(family), isIn([source], `pod-range${digit}`), goBack),
        rule(translated),
      ],
    },
    {
      name: `source${digit}`,
      rules: [
        rule(isIn([original], `cluster-ip${digit}`), goTo(`source-cluster${digit}`)),
        rule(isIn([original, 'meta l4proto', 'ct original proto-dst'], `external${digit}`), goTo(`source-external${digit}`)),
      ],
    },
  ]
}

/** The rules of a chain that is there while it is needed; `undefined` where the name is none. */
export function countedRules(name: string): RuleSpec[] | undefined {
  const chain = parseChainName(name)
  if (chain === undefined) return undefined
  return families.flatMap((family) => {
    const frontend = frontendOf(family)
    const affinity = specOf(`affinity${family.digit}`)
    if (chain.kind === 'stick') {
      const client = [saddr(family), originalDestination(family), 'meta l4proto', 'ct original proto-dst'] as const
      return [rule(only(family), update(affinity.name, client, { data: [daddr(family), 'th dport'], timeoutMs: chain.seconds * 1000 }))]
    }
    const again = rule(only(family), dnat(family.ip, map([saddr(family), ...frontend], affinity)))
    const spread = rule(only(family), dnat(family.ip, map([...frontend, random(chain.count)], specOf(endpoint(family.digit, chain.inside)))))
    return chain.sticky ? [again, spread] : [spread]
  })
}
