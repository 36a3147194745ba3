/**
 * What nftables is relied on for, as cases that hold of the kernel and of the fake alike.
 */
import { NetlinkError } from '../../errors.ts'
import {
  accept, assign, counter, dnat, drop, equal, goTo, has, increment, isIn, isStale, jhash, jump, lacks, log, map, masquerade, notIn, notrack, or, random, redirect, reject, snat, update, vmap,
} from '../index.ts'
import type { ChainSpec, Element, ElementSpec, Nftables, Operation, RuleSpec, SetSpec, Statement, Verdict } from '../index.ts'

export const table = { family: 'ip', name: 'fairway-proxy', comment: 'made by fairway' } as const
export const frontend = ['ip daddr', 'meta l4proto', 'th dport'] as const
export const service = { name: 'service', key: ['ipv4_addr', 'inet_proto', 'inet_service'], data: 'verdict', comment: 'one element a service' } as const satisfies SetSpec
export const endpoint = { name: 'endpoint', key: ['ipv4_addr', 'inet_proto', 'inet_service', 'integer'], data: ['ipv4_addr', 'inet_service'] } as const satisfies SetSpec
export const ranges = { name: 'ranges', key: ['ipv4_addr'], interval: true } as const satisfies SetSpec
export const affinity = {
  name: 'affinity', key: ['ipv4_addr', 'ipv4_addr', 'inet_proto', 'inet_service'], data: ['integer'], timeout: true, dynamic: true, size: 65_535,
} as const satisfies SetSpec
export const prerouting = { name: 'prerouting', base: { type: 'nat', hook: 'prerouting', priority: -100, policy: 'accept' } } as const satisfies ChainSpec
const output = { name: 'output', base: { type: 'filter', hook: 'output', priority: 0, policy: 'accept' } } as const satisfies ChainSpec

/** `run` begins in a namespace without tables; what it returns is then compared with `expected`. */
export interface NftablesCase {
  readonly title: string
  run(nftables: Nftables): unknown
  readonly expected: unknown
}

/** The error's message up to the kernel's words, or 'done'. */
export function outcome(fn: () => void): string {
  try {
    fn()
    return 'done'
  } catch (error) {
    if (!(error instanceof NetlinkError)) throw error
    return `Cannot ${error.operation} ${error.object}: ${error.code}`
  }
}

const addSet = (set: SetSpec): Operation => ({ kind: 'addSet', table, set })
const addChain = (chain: ChainSpec | string): Operation => ({ kind: 'addChain', table, chain: typeof chain === 'string' ? { name: chain } : chain })
const addRule = (chain: string, statements: readonly Statement[], comment?: string): Operation => ({ kind: 'addRule', table, chain, rule: comment === undefined ? { statements } : { statements, comment } })
const addElements = (set: SetSpec, ...elements: ElementSpec[]): Operation => ({ kind: 'addElements', table, set, elements })
const deleteElements = (set: SetSpec, ...keys: ElementSpec['key'][]): Operation => ({ kind: 'deleteElements', table, set, elements: keys.map((key) => ({ key })) })
const toTen: Verdict = { verdict: 'goto', chain: 'n10' }

/** A table with the maps, a chain to go to and a base chain. */
export function begin(nftables: Nftables, ...more: Operation[]): void {
  nftables.apply([{ kind: 'addTable', table }, addSet(service), addSet(endpoint), addSet(ranges), addChain('n10'), addChain(prerouting), ...more])
}

/** Elements in an order of their own, without what differs from run to run. */
export function elementsOf(nftables: Nftables, set: string): readonly Element[] {
  return [...nftables.list(table)?.sets.get(set)?.elements ?? []].sort((a, b) => a.key.join().localeCompare(b.key.join()))
}

const rulesOf = (nftables: Nftables, chain: string): RuleSpec[] =>
  nftables.list(table)?.chains.get(chain)?.rules.map(({ statements, comment }) => (comment === undefined ? { statements } : { statements, comment })) ?? []

const comments = (nftables: Nftables, chain: string): unknown[] => rulesOf(nftables, chain).map(({ comment }) => comment)
const handles = (nftables: Nftables, chain: string): number[] => nftables.list(table)?.chains.get(chain)?.rules.map(({ handle }) => handle) ?? []

const whole: readonly NftablesCase[] = [
  {
    title: 'a table, its chains and its sets are read as they were written',
    run(nftables) {
      begin(nftables, addSet(affinity), addChain(output))
      const ruleset = nftables.list(table)
      const strip = ({ handle: _handle, ...rest }: { readonly handle: number }): unknown => rest
      return [ruleset?.table, [...ruleset?.chains.values() ?? []].map(strip), [...ruleset?.sets.values() ?? []].map(strip)]
    },
    expected: [
      table,
      [{ name: 'n10', rules: [] }, { ...prerouting, rules: [] }, { ...output, rules: [] }],
      [service, endpoint, ranges, affinity].map((set) => ({ ...set, elements: [] })),
    ],
  },
  {
    title: 'a table that is not there is not listed',
    run: (nftables) => [nftables.list(table), outcome(() => nftables.apply([{ kind: 'deleteTable', table }])), outcome(() => nftables.apply([{ kind: 'deleteTable', table, ifExists: true }]))],
    expected: [undefined, 'Cannot delete table ip fairway-proxy: ENOENT', 'done'],
  },
  {
    title: 'what is not there is not deleted, but the table and the set around it have to be there',
    run(nftables) {
      const missing: readonly Operation[] = [
        { kind: 'deleteTable', table, ifExists: true }, { kind: 'deleteChain', table, chain: 'n11', ifExists: true }, { kind: 'deleteSet', table, set: 'nothing', ifExists: true },
        { kind: 'deleteElements', table, set: { ...service, name: 'nothing' }, elements: [{ key: ['10.96.0.1', 'tcp', 443] }], ifExists: true },
      ]
      const without = missing.map((operation) => outcome(() => nftables.apply([operation])).replace(/.*: /, ''))
      return [without, missing.map((operation) => (begin(nftables), outcome(() => nftables.apply([operation])).replace(/.*: /, '')))]
    },
    expected: [['done', 'ENOENT', 'ENOENT', 'ENOENT'], ['done', 'done', 'done', 'ENOENT']],
  },
  {
    title: 'what is there already may be added again, unless exclusively or otherwise',
    run(nftables) {
      begin(nftables)
      begin(nftables)
      return [
        outcome(() => nftables.apply([{ kind: 'addTable', table, exclusive: true }])),
        outcome(() => nftables.apply([{ kind: 'addChain', table, chain: prerouting, exclusive: true }])),
        outcome(() => nftables.apply([addChain({ ...prerouting, base: { ...prerouting.base, hook: 'output' } })])),
        outcome(() => nftables.apply([addSet({ ...service, key: ['ipv4_addr', 'inet_service'] })])),
        outcome(() => nftables.apply([{ kind: 'addSet', table, set: service, exclusive: true }])),
      ]
    },
    expected: [
      'Cannot add table ip fairway-proxy: EEXIST', 'Cannot add chain prerouting in table ip fairway-proxy: EEXIST', 'Cannot add chain prerouting in table ip fairway-proxy: EOPNOTSUPP',
      'Cannot add map service in table ip fairway-proxy: EEXIST', 'Cannot add map service in table ip fairway-proxy: EEXIST',
    ],
  },
  {
    title: 'a refused operation takes the whole transaction with it',
    run(nftables) {
      begin(nftables, addElements(endpoint, { key: ['10.96.0.1', 'tcp', 443, 0], data: ['10.244.0.1', 6443] }))
      const before = nftables.generation()
      const said = outcome(() => nftables.apply([
        deleteElements(endpoint, ['10.96.0.1', 'tcp', 443, 0]), addChain('n3'), addRule('n3', [accept]),
        addElements(service, { key: ['10.96.0.1', 'tcp', 443], data: toTen }, { key: ['10.96.0.1', 'tcp', 444], data: { verdict: 'goto', chain: 'n4' } }),
      ]))
      return [said, nftables.generation() - before, elementsOf(nftables, 'endpoint'), elementsOf(nftables, 'service'), nftables.list(table)?.chains.has('n3')]
    },
    expected: ['Cannot add element 10.96.0.1 . tcp . 444 to service in table ip fairway-proxy: ENOENT', 0, [{ key: ['10.96.0.1', 'tcp', 443, 0], data: ['10.244.0.1', 6443] }], [], false],
  },
  {
    title: 'each transaction makes the next generation, and is refused when another was expected',
    run(nftables) {
      const first = nftables.generation()
      const second = nftables.apply([{ kind: 'addTable', table }])
      const third = nftables.apply([addChain('n10')], { generation: second })
      let stale: unknown
      try {
        nftables.apply([addChain('n11')], { generation: second })
      } catch (error) {
        stale = error
      }
      return [second - first, third - first, nftables.generation() - first, nftables.list(table)?.generation === third, isStale(stale), nftables.list(table)?.chains.has('n11'), nftables.apply([]) - first]
    },
    expected: [1, 2, 2, true, true, false, 2],
  },
  {
    title: 'what changes nothing makes no generation, but for chains and sets',
    run(nftables) {
      const element = { key: ['10.96.0.1', 'tcp', 443], data: toTen } as const
      begin(nftables, addElements(service, element))
      const nothing: readonly Operation[] = [
        { kind: 'addTable', table }, addElements(service, element), { kind: 'flushTable', table }, { kind: 'flushChain', table, chain: 'n10' }, { kind: 'flushSet', table, set: 'ranges' },
        { ...deleteElements(service, ['10.96.0.2', 'tcp', 443]), ifExists: true } as Operation, { kind: 'deleteChain', table, chain: 'n11', ifExists: true }, addSet(service), addChain('n10'), addChain(prerouting),
      ]
      return nothing.map((operation) => {
        const before = nftables.generation()
        const returned = nftables.apply([operation])
        return returned === nftables.generation() ? returned - before : 'wrong'
      })
    },
    expected: [0, 0, 0, 0, 0, 0, 0, 1, 1, 1],
  },
  {
    title: 'tables go with all that is in them',
    run(nftables) {
      begin(nftables, addElements(service, { key: ['10.96.0.1', 'tcp', 443], data: toTen }), addRule('prerouting', [vmap(frontend, 'service')]))
      nftables.apply([{ kind: 'deleteTable', table }, { kind: 'addTable', table: { ...table, family: 'inet' } }])
      return [nftables.list(table), nftables.list({ ...table, family: 'inet' })?.chains.size]
    },
    expected: [undefined, 0],
  },
]

const elements: readonly NftablesCase[] = [
  {
    title: 'elements carry verdicts, addresses with ports, and comments',
    run(nftables) {
      begin(
        nftables,
        addElements(service, { key: ['10.96.0.1', 'tcp', 443], data: toTen, comment: 'default/kubernetes:https' }, { key: ['10.96.0.10', 17, '53'], data: { verdict: 'drop' } }),
        addElements(endpoint, { key: ['10.96.0.1', 'tcp', 443, 70_000], data: ['10.244.0.1', 6443] }),
      )
      return [elementsOf(nftables, 'service'), elementsOf(nftables, 'endpoint')]
    },
    expected: [
      [{ key: ['10.96.0.1', 'tcp', 443], data: toTen, comment: 'default/kubernetes:https' }, { key: ['10.96.0.10', 'udp', 53], data: { verdict: 'drop' } }],
      [{ key: ['10.96.0.1', 'tcp', 443, 70_000], data: ['10.244.0.1', 6443] }],
    ],
  },
  {
    title: 'an element is added twice, but not with other data, unless it is deleted before',
    run(nftables) {
      const key = ['10.96.0.1', 'tcp', 443, 0]
      const one = addElements(endpoint, { key, data: ['10.244.0.1', 6443] })
      const other = addElements(endpoint, { key: ['10.96.0.1', 'tcp', 443, 1], data: ['10.244.0.9', 1] }, { key, data: ['10.244.0.2', 6443] })
      begin(nftables, one, one)
      return [
        outcome(() => nftables.apply([one])), outcome(() => nftables.apply([{ ...one, exclusive: true } as Operation])), outcome(() => nftables.apply([other])),
        outcome(() => nftables.apply([deleteElements(endpoint, key), other])), elementsOf(nftables, 'endpoint').map(({ data }) => data),
      ]
    },
    expected: [
      'done', 'Cannot add element 10.96.0.1 . tcp . 443 . 0 to endpoint in table ip fairway-proxy: EEXIST', 'Cannot add element 10.96.0.1 . tcp . 443 . 0 to endpoint in table ip fairway-proxy: EEXIST',
      'done', [['10.244.0.2', 6443], ['10.244.0.9', 1]],
    ],
  },
  {
    title: 'deleting an element that is not there is refused, unless told otherwise',
    run(nftables) {
      begin(nftables, addElements(endpoint, { key: ['10.96.0.1', 'tcp', 443, 0], data: ['10.244.0.1', 6443] }))
      const both = deleteElements(endpoint, ['10.96.0.1', 'tcp', 443, 0], ['10.96.0.1', 'tcp', 443, 1])
      return [outcome(() => nftables.apply([both])), elementsOf(nftables, 'endpoint').length, outcome(() => nftables.apply([{ ...both, ifExists: true } as Operation])), elementsOf(nftables, 'endpoint').length]
    },
    expected: ['Cannot delete element 10.96.0.1 . tcp . 443 . 1 of endpoint in table ip fairway-proxy: ENOENT', 1, 'done', 0],
  },
  {
    title: 'prefixes, ranges and single addresses lie side by side, and do not overlap',
    run(nftables) {
      begin(nftables, addElements(ranges, ...['10.0.0.0/8', '172.16.0.3-172.16.0.9', '192.168.1.5', '192.168.1.6', '224.0.0.0/3', '0.0.0.0/8'].map((key) => ({ key: [key] }))))
      const listed = elementsOf(nftables, 'ranges').map(({ key }) => key[0])
      nftables.apply([deleteElements(ranges, ['172.16.0.3-172.16.0.9'], ['224.0.0.0/3'], ['0.0.0.0-0.255.255.255'])])
      const overlap = outcome(() => nftables.apply([addElements(ranges, { key: ['10.0.0.0/16'] })])).replace(/E[A-Z]+$/, 'refused')
      return [listed, elementsOf(nftables, 'ranges').map(({ key }) => key[0]), overlap]
    },
    expected: [
      ['0.0.0.0/8', '10.0.0.0/8', '172.16.0.3-172.16.0.9', '192.168.1.5', '192.168.1.6', '224.0.0.0/3'], ['10.0.0.0/8', '192.168.1.5', '192.168.1.6'],
      'Cannot add element 10.0.0.0/16 to ranges in table ip fairway-proxy: refused',
    ],
  },
  {
    title: 'keys of several fields may have ranges in each, and interval maps hold data',
    run(nftables) {
      const sources = { name: 'sources', key: ['ipv4_addr', 'inet_proto', 'inet_service'], interval: true } as const
      const policy = { name: 'policy', key: ['ipv4_addr'], interval: true, data: 'verdict' } as const
      begin(nftables, addSet(sources), addSet(policy), addElements(sources, { key: ['10.0.0.0/8', 'tcp', '8000-8080'] }, { key: ['192.0.2.1', 'udp', 53], comment: 'dns' }), addElements(policy, { key: ['10.244.0.0/16'], data: toTen, comment: 'pods' }))
      nftables.apply([deleteElements(sources, ['10.0.0.0/8', 'tcp', '8000-8080']), addElements(sources, { key: ['10.0.0.0/9', 'tcp', '8000-8080'] })])
      return [elementsOf(nftables, 'sources'), elementsOf(nftables, 'policy')]
    },
    expected: [[{ key: ['10.0.0.0/9', 'tcp', '8000-8080'] }, { key: ['192.0.2.1', 'udp', 53], comment: 'dns' }], [{ key: ['10.244.0.0/16'], data: toTen, comment: 'pods' }]],
  },
  {
    title: 'elements have timeouts, of their own or of the set',
    run(nftables) {
      const timed = { name: 'timed', key: ['ipv4_addr'], timeout: true, defaultTimeoutMs: 60_000 } as const
      begin(nftables, addSet(timed), addElements(timed, { key: ['10.0.0.1'] }, { key: ['10.0.0.2'], timeoutMs: 3_600_000, expiresMs: 1_800_000 }))
      return elementsOf(nftables, 'timed').map(({ key, timeoutMs, expiresMs = 0 }) => [key[0], timeoutMs, Math.ceil(expiresMs / 10_000)])
    },
    expected: [['10.0.0.1', undefined, 6], ['10.0.0.2', 3_600_000, 180]],
  },
  {
    title: 'elements count where the set says so',
    run(nftables) {
      const counted = { ...service, name: 'counted', counter: true, comment: undefined } as const
      begin(nftables, addSet(counted), addElements(counted, { key: ['10.96.0.1', 'tcp', 443], data: toTen }))
      return [elementsOf(nftables, 'counted'), nftables.list(table)?.sets.get('counted')?.counter]
    },
    expected: [[{ key: ['10.96.0.1', 'tcp', 443], data: toTen, counter: { packets: 0, bytes: 0 } }], true],
  },
  {
    title: 'sets are emptied, and hold no more than their size',
    run(nftables) {
      const two = { name: 'two', key: ['ipv4_addr', 'inet_service'], size: 2 } as const
      const keys = (...ports: number[]): Operation => addElements(two, ...ports.map((port) => ({ key: ['10.0.0.1', port] })))
      begin(nftables, addSet(two), keys(1, 2))
      const full = outcome(() => nftables.apply([keys(3)]))
      nftables.apply([{ kind: 'flushSet', table, set: 'two' }, keys(3)])
      return [full, elementsOf(nftables, 'two')]
    },
    expected: ['Cannot add element 10.0.0.1 . 3 to two in table ip fairway-proxy: ENFILE', [{ key: ['10.0.0.1', 3] }]],
  },
  {
    title: 'many elements go in one transaction',
    run(nftables) {
      const many = Array.from({ length: 5_000 }, (_, i): ElementSpec => ({ key: [`10.96.${i >> 8}.${i & 255}`, 'tcp', 80, 0], data: [`10.244.${i >> 8}.${i & 255}`, 8080], comment: `default/service-${i}:http` }))
      begin(nftables, addElements(endpoint, ...many))
      const listed = elementsOf(nftables, 'endpoint')
      nftables.apply([{ kind: 'deleteElements', table, set: endpoint, elements: many.slice(1) }])
      return [listed.length, listed.find(({ key }) => key[0] === '10.96.19.135'), elementsOf(nftables, 'endpoint').length]
    },
    expected: [5_000, { key: ['10.96.19.135', 'tcp', 80, 0], data: ['10.244.19.135', 8080], comment: 'default/service-4999:http' }, 1],
  },
]

/** Rules that are read as they were written, by the chain that they may stand in. */
const ruleTexts: Readonly<Record<string, readonly (readonly Statement[])[]>> = {
  prerouting: [
    [vmap(frontend, 'service')],
    [dnat('ip', map([...frontend, random(10)], endpoint))],
    [dnat('ip', map([...frontend, increment(3, 7)], endpoint), ['random', 'persistent'])],
    [has('ct state', 'established,related'), counter, accept],
    [equal('ip saddr', '10.0.0.0/8'), equal('meta iifname', 'veth*'), equal('meta oifname', 'eth0'), drop],
    [equal('meta l4proto', 'tcp'), equal('th dport', '8000-8080'), dnat('ip', { address: '10.0.0.1', port: 80 })],
    [equal('meta l4proto', 'tcp'), dnat('ip', { address: '10.0.0.1-10.0.0.9', port: '80-90' }, ['fully-random'])],
    [isIn(['ip saddr'], 'ranges'), notIn(['ip daddr'], 'ranges'), equal('fib daddr type', 'local'), jump('n10')],
    [equal('meta l4proto', 'udp'), redirect({ port: 5353 })],
    [update('affinity', ['ip saddr', ...frontend], { data: [random(10)], timeoutMs: 5_000 })],
    [assign('meta mark', map(['ip saddr', ...frontend], affinity)), dnat('ip', map([...frontend, 'meta mark'], endpoint))],
    [equal(jhash(['ip saddr', 'th sport'], { modulus: 5, seed: 7 }), 3), goTo('n10')],
    [equal('ct original ip daddr', '10.96.0.1'), equal('ct original proto-dst', 443), has('meta mark', 0x4000), log({ prefix: 'seen ' })],
  ],
  postrouting: [
    [has('ct status', 'dnat'), masquerade({ flags: ['fully-random'] })],
    [snat('ip', { address: '10.0.0.1-10.0.0.9' })],
    [assign('meta mark', or('meta mark', 0x4000)), assign('ct mark', 'meta mark'), assign('meta mark', 5), masquerade()],
  ],
  output: [
    [equal('meta l4proto', 'tcp'), reject('tcp reset')],
    [lacks('ct status', 'dnat'), reject('icmp port-unreachable')],
    [equal('ip daddr', '10.96.0.10'), notrack],
  ],
}

const rules: readonly NftablesCase[] = [
  {
    title: 'rules are read as they were written',
    run(nftables) {
      begin(nftables, addSet(affinity), addChain(output), addChain({ name: 'postrouting', base: { type: 'nat', hook: 'postrouting', priority: 100, policy: 'accept' } }))
      nftables.apply(Object.entries(ruleTexts).flatMap(([chain, texts]) => texts.map((statements, index) => addRule(chain, statements, `rule ${index}`))))
      return Object.keys(ruleTexts).map((chain) => rulesOf(nftables, chain))
    },
    expected: Object.values(ruleTexts).map((texts) => texts.map((statements, index) => ({ statements, comment: `rule ${index}` }))),
  },
  {
    title: 'rules are added at the end, at the beginning, after and before others, replaced and deleted by handle',
    run(nftables) {
      begin(nftables, addRule('n10', [accept], 'b'), addRule('n10', [accept], 'd'))
      const [b = 0, d = 0] = handles(nftables, 'n10')
      const rule = (comment: string): RuleSpec => ({ statements: [accept], comment })
      nftables.apply([
        addRule('n10', [accept], 'e'), { kind: 'insertRule', table, chain: 'n10', rule: rule('a') }, { kind: 'addRule', table, chain: 'n10', rule: rule('c'), after: b },
        { kind: 'addRule', table, chain: 'n10', rule: rule('c2'), before: d },
      ])
      const added = comments(nftables, 'n10')
      nftables.apply([{ kind: 'replaceRule', table, chain: 'n10', handle: d, rule: rule('D') }, { kind: 'deleteRule', table, chain: 'n10', handle: b }])
      return [added, comments(nftables, 'n10'), outcome(() => nftables.apply([{ kind: 'deleteRule', table, chain: 'n10', handle: b }])).replace(/\d+/, 'N')]
    },
    expected: [['a', 'b', 'c', 'c2', 'd', 'e'], ['a', 'c', 'c2', 'D', 'e'], 'Cannot delete rule N of n10 in table ip fairway-proxy: ENOENT'],
  },
  {
    title: 'a chain stays while a rule or an element leads to it',
    run(nftables) {
      begin(nftables, addElements(service, { key: ['10.96.0.1', 'tcp', 443], data: toTen }), addChain('n9'), addRule('prerouting', [jump('n9')]))
      const remove = (chain: string): Operation => ({ kind: 'deleteChain', table, chain })
      return [
        outcome(() => nftables.apply([remove('n10')])), outcome(() => nftables.apply([remove('n9')])),
        outcome(() => nftables.apply([deleteElements(service, ['10.96.0.1', 'tcp', 443]), { kind: 'flushChain', table, chain: 'prerouting' }, remove('n10'), remove('n9')])),
        outcome(() => nftables.apply([remove('n9')])), outcome(() => nftables.apply([{ ...remove('n9'), ifExists: true } as Operation])),
      ]
    },
    expected: [
      'Cannot delete chain n10 in table ip fairway-proxy: EBUSY', 'Cannot delete chain n9 in table ip fairway-proxy: EBUSY', 'done',
      'Cannot delete chain n9 in table ip fairway-proxy: ENOENT', 'done',
    ],
  },
  {
    title: 'chains may not lead back to themselves, neither by rules nor by elements',
    run(nftables) {
      begin(nftables, addChain('n9'), addRule('prerouting', [vmap(frontend, 'service')]), addRule('n9', [goTo('n10')]))
      const ways: Operation[] = [addRule('n10', [jump('n9')]), addRule('n10', [vmap(frontend, 'service')])]
      const toNine = addElements(service, { key: ['10.96.0.1', 'tcp', 443], data: { verdict: 'goto', chain: 'n9' } })
      return [...ways.map((way) => outcome(() => nftables.apply([toNine, way])).replace(/.*: /, '')), outcome(() => nftables.apply([toNine])), nftables.list(table)?.chains.get('n10')?.rules.length]
    },
    expected: ['EMLINK', 'EMLINK', 'done', 0],
  },
  {
    title: 'a set stays while a rule looks into it',
    run(nftables) {
      begin(nftables, addRule('prerouting', [dnat('ip', map([...frontend, random(2)], endpoint))]))
      const remove: Operation = { kind: 'deleteSet', table, set: 'endpoint' }
      return [outcome(() => nftables.apply([remove])), outcome(() => nftables.apply([{ kind: 'flushTable', table }, remove])), nftables.list(table)?.sets.has('endpoint')]
    },
    expected: ['Cannot delete set endpoint in table ip fairway-proxy: EBUSY', 'done', false],
  },
  {
    title: 'rules may only speak of what is there, and in its place',
    run(nftables) {
      begin(nftables, addChain(output))
      return [
        outcome(() => nftables.apply([addRule('prerouting', [jump('n11')], 'leads nowhere')])),
        outcome(() => nftables.apply([addRule('prerouting', [isIn(['ip saddr'], 'nothing')])])),
        outcome(() => nftables.apply([addRule('prerouting', [vmap(frontend.slice(0, 1), 'ranges')])])),
        outcome(() => nftables.apply([addRule('nowhere', [accept])])),
        outcome(() => nftables.apply([addRule('output', [dnat('ip', { address: '10.0.0.1' })])])),
        outcome(() => nftables.apply([addRule('prerouting', [jump('output')])])),
      ]
    },
    expected: [
      'Cannot add rule "leads nowhere" to prerouting in table ip fairway-proxy: ENOENT', 'Cannot add rule to prerouting in table ip fairway-proxy: ENOENT',
      'Cannot add rule to prerouting in table ip fairway-proxy: EINVAL', 'Cannot add rule to nowhere in table ip fairway-proxy: ENOENT',
      'Cannot add rule to output in table ip fairway-proxy: EOPNOTSUPP', 'Cannot add rule to prerouting in table ip fairway-proxy: EOPNOTSUPP',
    ],
  },
]

const finding: readonly NftablesCase[] = [
  {
    title: 'elements are found by their keys, those that are there',
    run(nftables) {
      begin(nftables, addElements(endpoint, { key: ['10.96.0.1', 'tcp', 80, 0], data: ['10.244.0.5', 8080], comment: 'first' }, { key: ['10.96.0.1', 'tcp', 80, 1], data: ['10.244.0.6', 8080] }))
      return [
        nftables.find(table, endpoint, [['10.96.0.1', 'tcp', 80, 0], ['10.96.0.9', 'tcp', 80, 0], ['10.96.0.1', 'tcp', 80, 1]]),
        nftables.find(table, { ...endpoint, name: 'nothing' }, [['10.96.0.1', 'tcp', 80, 0]]),
        nftables.find({ ...table, name: 'nowhere' }, endpoint, [['10.96.0.1', 'tcp', 80, 0]]),
      ]
    },
    expected: [[{ key: ['10.96.0.1', 'tcp', 80, 0], data: ['10.244.0.5', 8080], comment: 'first' }, { key: ['10.96.0.1', 'tcp', 80, 1], data: ['10.244.0.6', 8080] }], [], []],
  },
]

const ipv6 = { family: 'inet', name: 'both' } as const
const families: readonly NftablesCase[] = [
  {
    title: 'an inet table holds rules and elements of both families',
    run(nftables) {
      const endpoint6 = { name: 'endpoint6', key: ['ipv6_addr', 'inet_proto', 'inet_service', 'integer'], data: ['ipv6_addr', 'inet_service'] } as const
      const wide = { name: 'blocked6', key: ['ipv6_addr'], interval: true } as const
      const statements = [equal('meta nfproto', 'ipv6'), equal('ip6 saddr', 'fd00:10:244::/56'), isIn(['ip6 saddr'], 'blocked6'), dnat('ip6', map(['ip6 daddr', 'meta l4proto', 'th dport', random(3)], endpoint6))]
      nftables.apply([
        { kind: 'addTable', table: ipv6 }, { kind: 'addSet', table: ipv6, set: endpoint6 }, { kind: 'addSet', table: ipv6, set: wide },
        { kind: 'addChain', table: ipv6, chain: prerouting }, { kind: 'addChain', table: ipv6, chain: output },
        { kind: 'addRule', table: ipv6, chain: 'prerouting', rule: { statements } }, { kind: 'addRule', table: ipv6, chain: 'output', rule: { statements: [reject('icmpx port-unreachable')] } },
        { kind: 'addElements', table: ipv6, set: endpoint6, elements: [{ key: ['fd00:10:96::A', 'sctp', 80, 1], data: ['fd00:10:244:1:0::5', 8080] }] },
        { kind: 'addElements', table: ipv6, set: wide, elements: [{ key: ['fd00::/8'] }, { key: ['2001:db8::1-2001:db8::9'] }, { key: ['ff00::/8'] }] },
      ])
      const ruleset = nftables.list(ipv6)
      return [ruleset?.chains.get('prerouting')?.rules[0]?.statements, ruleset?.chains.get('output')?.rules[0]?.statements, ruleset?.sets.get('endpoint6')?.elements, ruleset?.sets.get('blocked6')?.elements.map(({ key }) => String(key)).toSorted()].map((part, index) => (index === 0 ? JSON.stringify(part) === JSON.stringify(statements) : part))
    },
    expected: [true, [reject('icmpx port-unreachable')], [{ key: ['fd00:10:96::a', 'sctp', 80, 1], data: ['fd00:10:244:1::5', 8080] }], ['2001:db8::1-2001:db8::9', 'fd00::/8', 'ff00::/8']],
  },
]

export const nftablesCases: readonly NftablesCase[] = [...whole, ...elements, ...finding, ...rules, ...families]
