/**
 * A ruleset such as a host of the cluster has: services as elements of maps, affinity, masquerade, refusals, both families.
 */
import { accept, assign, counter, dnat, drop, equal, goTo, has, isIn, jhash, jump, lacks, log, map, masquerade, notIn, notrack, or, priorities, random, redirect, reject, snat, update, vmap } from '../index.ts'
import type { BaseChain, Operation, SetSpec, Statement } from '../index.ts'

const proxy = { family: 'ip', name: 'fairway-proxy', comment: 'services' } as const
const host = { family: 'inet', name: 'fairway-host' } as const
const frontend = ['ip daddr', 'meta l4proto', 'th dport'] as const

const service = { name: 'service', key: ['ipv4_addr', 'inet_proto', 'inet_service'], data: 'verdict', comment: 'frontends', size: 65_536 } as const satisfies SetSpec
const endpoint = { name: 'endpoint', key: ['ipv4_addr', 'inet_proto', 'inet_service', 'integer'], data: ['ipv4_addr', 'inet_service'] } as const satisfies SetSpec
const affinity = { name: 'affinity', key: ['ipv4_addr', 'ipv4_addr', 'inet_proto', 'inet_service'], data: ['integer'], timeout: true, dynamic: true, size: 65_535, defaultTimeoutMs: 10_800_000 } as const satisfies SetSpec
const sources = { name: 'sources', key: ['ipv4_addr', 'inet_service'], interval: true, comment: 'loadBalancerSourceRanges' } as const satisfies SetSpec
const traffic = { name: 'traffic', key: ['ipv4_addr', 'inet_service'], counter: true } as const satisfies SetSpec
const pods = { name: 'pods', key: ['ipv4_addr'], interval: true } as const satisfies SetSpec
const endpoint6 = { name: 'endpoint6', key: ['ipv6_addr', 'inet_proto', 'inet_service', 'integer'], data: ['ipv6_addr', 'inet_service'] } as const satisfies SetSpec

const base = (type: BaseChain['type'], hook: BaseChain['hook'], priority: number, policy: BaseChain['policy'] = 'accept'): BaseChain => ({ type, hook, priority, policy })

function rules(table: typeof proxy | typeof host, chain: string, ...texts: readonly (readonly [comment: string | undefined, ...statements: Statement[]])[]): Operation[] {
  return texts.map(([comment, ...statements]) => ({ kind: 'addRule', table, chain, rule: comment === undefined ? { statements } : { statements, comment } }))
}

const services: readonly Operation[] = [
  { kind: 'addTable', table: proxy },
  ...[service, endpoint, affinity, sources, traffic].map((set): Operation => ({ kind: 'addSet', table: proxy, set })),
  ...['n1', 'n2', 'sticky2', 'reject', 'translate'].map((name): Operation => ({ kind: 'addChain', table: proxy, chain: name === 'n2' ? { name, comment: 'services with 2 endpoints' } : { name } })),
  { kind: 'addChain', table: proxy, chain: { name: 'prerouting', base: base('nat', 'prerouting', priorities.dstnat) } },
  { kind: 'addChain', table: proxy, chain: { name: 'postrouting', base: base('nat', 'postrouting', priorities.srcnat) } },
  { kind: 'addChain', table: proxy, chain: { name: 'input', base: base('filter', 'input', priorities.filter - 5, 'drop') } },
  ...rules(proxy, 'n1', [undefined, dnat('ip', map([...frontend, random(1)], endpoint))]),
  ...rules(proxy, 'n2', [undefined, dnat('ip', map([...frontend, random(2)], endpoint))]),
  ...rules(proxy, 'sticky2',
    ['known clients', assign('meta mark', map(['ip saddr', ...frontend], affinity)), dnat('ip', map([...frontend, 'meta mark'], endpoint))],
    ['new clients', update('affinity', ['ip saddr', ...frontend], { data: [random(2)], timeoutMs: 300_000 }), goTo('n2')]),
  ...rules(proxy, 'reject', ['a reset at once', equal('meta l4proto', 'tcp'), reject('tcp reset')], [undefined, reject('icmp port-unreachable')]),
  ...rules(proxy, 'translate',
    [undefined, equal('meta l4proto', 'tcp'), equal('th dport', '30000-32767'), dnat('ip', { address: '10.0.0.1-10.0.0.9', port: 80 }, ['random', 'persistent'])],
    [undefined, equal('meta l4proto', 'udp'), redirect({ port: 5353 })],
    [undefined, equal(jhash(['ip saddr', 'th sport'], { modulus: 5, seed: 7 }), 3), drop]),
  ...rules(proxy, 'prerouting',
    [undefined, vmap(frontend, 'service')],
    ['node ports', equal('fib daddr type', 'local'), equal('meta iifname', 'eth*'), isIn(['ip saddr', 'th dport'], 'sources'), jump('translate')]),
  ...rules(proxy, 'postrouting',
    [undefined, has('meta mark', 0x4000), masquerade({ flags: ['fully-random'] })],
    [undefined, equal('ip saddr', '10.244.0.0/16'), snat('ip', { address: '192.0.2.1' })]),
  ...rules(proxy, 'input',
    [undefined, has('ct state', 'established,related'), counter, accept],
    [undefined, lacks('ct status', 'dnat'), equal('ip saddr', '10.0.0.1-10.0.0.9'), log({ prefix: 'refused: ', level: 'info' }), jump('reject')]),
  { kind: 'addElements', table: proxy, set: service, elements: [
    { key: ['10.96.0.1', 'tcp', 443], data: { verdict: 'goto', chain: 'n1' }, comment: 'default/kubernetes:https' },
    { key: ['10.96.0.20', 'udp', 53], data: { verdict: 'goto', chain: 'n2' } },
    { key: ['10.96.0.21', 'sctp', 80], data: { verdict: 'drop' } },
  ] },
  { kind: 'addElements', table: proxy, set: endpoint, elements: [
    { key: ['10.96.0.1', 'tcp', 443, 0], data: ['192.0.2.10', 6443] },
    { key: ['10.96.0.20', 'udp', 53, 0], data: ['10.244.0.5', 5353] },
    { key: ['10.96.0.20', 'udp', 53, 1], data: ['10.244.1.7', 5353] },
  ] },
  { kind: 'addElements', table: proxy, set: sources, elements: [{ key: ['203.0.113.0/24', 80] }, { key: ['198.51.100.3-198.51.100.9', '8000-8080'] }] },
  { kind: 'addElements', table: proxy, set: traffic, elements: [{ key: ['10.96.0.1', 443] }] },
]

const hosts: readonly Operation[] = [
  { kind: 'addTable', table: host },
  { kind: 'addSet', table: host, set: pods },
  { kind: 'addSet', table: host, set: endpoint6 },
  { kind: 'addChain', table: host, chain: { name: 'dns', base: base('filter', 'prerouting', priorities.raw) } },
  { kind: 'addChain', table: host, chain: { name: 'masquerade', base: base('nat', 'postrouting', priorities.srcnat), comment: 'what leaves the cluster' } },
  { kind: 'addChain', table: host, chain: { name: 'forward', base: base('filter', 'forward', priorities.filter) } },
  { kind: 'addChain', table: host, chain: { name: 'six', base: base('nat', 'output', priorities.dstnat) } },
  ...rules(host, 'dns', [undefined, equal('meta nfproto', 'ipv4'), equal('ip daddr', '10.96.0.10'), notrack]),
  ...rules(host, 'masquerade', [undefined, equal('meta nfproto', 'ipv4'), isIn(['ip saddr'], 'pods'), notIn(['ip daddr'], 'pods'), assign('meta mark', or('meta mark', 0x10)), masquerade()]),
  ...rules(host, 'forward', [undefined, equal('meta oifname', 'eth0'), reject('icmpx admin-prohibited')]),
  ...rules(host, 'six', [undefined, equal('meta nfproto', 'ipv6'), equal('ip6 daddr', 'fd00:10:96::/112'), dnat('ip6', map(['ip6 daddr', 'meta l4proto', 'th dport', random(3)], endpoint6))]),
  { kind: 'addElements', table: host, set: pods, elements: [{ key: ['10.244.0.0/16'] }, { key: ['192.0.2.0/28'] }] },
  { kind: 'addElements', table: host, set: endpoint6, elements: [{ key: ['fd00:10:96::1', 'tcp', 443, 2], data: ['fd00:10:244:1::5', 6443] }] },
]

export const typicalRuleset: readonly Operation[] = [...services, ...hosts]
