import t from 'tap'
import type { KubeObject, NetworkPolicy, Pod } from '../../api/types.ts'
import { rangesOfBlocks } from './address-set.ts'
import { wantPolicy } from './want.ts'
import type { PolicyWant } from './want.ts'

const namespaces: KubeObject[] = [
  { metadata: { name: 'shop', labels: { team: 'a' } } },
  { metadata: { name: 'bank', labels: { team: 'b' } } },
]

function pod(name: string, address: string, { namespace = 'shop', node = 'here', labels = { app: name }, ...more }: { namespace?: string; node?: string; labels?: Record<string, string>; ports?: { name: string; containerPort: number }[]; hostNetwork?: boolean; phase?: 'Succeeded' | 'Running' } = {}): Pod {
  return {
    metadata: { name, namespace, labels },
    spec: { nodeName: node, ...(more.hostNetwork === undefined ? {} : { hostNetwork: more.hostNetwork }), containers: [{ name: 'main', image: '', ...(more.ports === undefined ? {} : { ports: more.ports }) }] },
    status: { phase: more.phase ?? 'Running', podIPs: [{ ip: address }] },
  }
}

function policy(spec: NonNullable<NetworkPolicy['spec']>, namespace = 'shop'): NetworkPolicy {
  return { metadata: { name: 'p', namespace }, spec: { podSelector: {}, ...spec } }
}

const pods = [
  pod('web', '10.244.0.1', { ports: [{ name: 'http', containerPort: 8080 }] }), pod('db', '10.244.0.2'), pod('far', '10.244.1.1', { node: 'there', ports: [{ name: 'http', containerPort: 9090 }] }),
  pod('teller', '10.244.0.3', { namespace: 'bank' }), pod('host', '192.0.2.1', { hostNetwork: true }), pod('ended', '10.244.0.9', { phase: 'Succeeded' }),
]

function want(...policies: NetworkPolicy[]): PolicyWant {
  return wantPolicy({ nodeName: 'here', policies, pods, namespaces })
}

/** What a chain lets pass, in words: the fields that it compares, with the members of sets in their place. */
function passes(of: PolicyWant, chain: string | undefined): string[] {
  return (of.chains.get(chain ?? '') ?? []).slice(0, -1).map((statements) => statements.flatMap((statement) => {
    if (statement.kind === 'match' && statement.left !== 'meta nfproto') return [`${String(statement.left)} ${statement.right}`]
    if (statement.kind === 'lookup') return [`${String(statement.key[0])} {${[...(of.peers.get(statement.set)?.members ?? [])].join(' ')}}`]
    return []
  }).join(', ')).filter((words) => !words.includes('{}'))
}

const inOf = (of: PolicyWant, address = '10.244.0.1'): string[] => passes(of, of.isolated.ingress4.get(address))
const outOf = (of: PolicyWant, address = '10.244.0.1'): string[] => passes(of, of.isolated.egress4.get(address))

t.test('whom a policy isolates, and in which direction', (t) => {
  t.same([...want(policy({})).isolated.ingress4.keys()], ['10.244.0.1', '10.244.0.2'], 'pods of its namespace and this node that have addresses of their own')
  t.equal(want(policy({})).isolated.egress4.size, 0, 'what they send only where it says so')
  t.equal(want(policy({ policyTypes: ['Egress'] })).isolated.ingress4.size, 0)
  t.equal(want(policy({ egress: [{}] })).isolated.egress4.size, 2, 'rules for it say so')
  t.same([...want(policy({ podSelector: { matchLabels: { app: 'db' } } })).isolated.ingress4.keys()], ['10.244.0.2'])
  t.same(want().isolated.ingress4.size, 0)
  const chains = want(policy({}))
  t.equal(chains.isolated.ingress4.get('10.244.0.1'), chains.isolated.ingress4.get('10.244.0.2'), 'of whom the same is wanted share a chain')
  t.same(inOf(chains), [], 'in which nothing passes')
  t.end()
})

t.test('whom rules let in', (t) => {
  const cases: readonly (readonly [string, NonNullable<NonNullable<NetworkPolicy['spec']>['ingress']>, readonly string[]])[] = [
    ['everybody', [{}], ['']],
    ['everybody on a port', [{ ports: [{ port: 80 }] }], ['meta l4proto tcp, th dport 80']],
    ['a range of ports, a protocol', [{ ports: [{ protocol: 'UDP', port: 8000, endPort: 8100 }, { protocol: 'SCTP' }] }], ['meta l4proto udp, th dport 8000-8100', 'meta l4proto sctp']],
    ['the port that has a name here', [{ ports: [{ port: 'http' }] }], ['meta l4proto tcp, th dport 8080']],
    ['a name that no port has', [{ ports: [{ port: 'nope' }] }], []],
    ['pods of its own namespace', [{ from: [{ podSelector: { matchLabels: { app: 'db' } } }] }], ['ip saddr {10.244.0.2}']],
    ['all of its own namespace, also on other nodes', [{ from: [{ podSelector: {} }] }], ['ip saddr {10.244.0.1 10.244.0.2 10.244.1.1}']],
    ['another namespace', [{ from: [{ namespaceSelector: { matchLabels: { team: 'b' } } }] }], ['ip saddr {10.244.0.3}']],
    ['pods of chosen namespaces', [{ from: [{ namespaceSelector: {}, podSelector: { matchExpressions: [{ key: 'app', operator: 'In', values: ['db', 'teller'] }] } }] }], ['ip saddr {10.244.0.2 10.244.0.3}']],
    ['either of two', [{ from: [{ podSelector: { matchLabels: { app: 'db' } } }, { namespaceSelector: { matchLabels: { team: 'b' } } }] }], ['ip saddr {10.244.0.2 10.244.0.3}']],
    ['blocks with holes', [{ from: [{ ipBlock: { cidr: '10.0.0.0/8', except: ['10.1.0.0/16', '10.255.255.255/32'] } }], ports: [{ port: 443 }] }], ['ip saddr {10.0.0.0-10.0.255.255 10.2.0.0-10.255.255.254}, meta l4proto tcp, th dport 443']],
  ]
  for (const [name, ingress, expected] of cases) t.same(inOf(want(policy({ ingress }))), expected, name)
  t.same(inOf(want(policy({ ingress: [{ ports: [{ port: 1 }] }] }), policy({ ingress: [{ ports: [{ port: 2 }] }] }))), ['meta l4proto tcp, th dport 1', 'meta l4proto tcp, th dport 2'], 'policies add up')
  t.end()
})

t.test('a port by name for what is sent means what each peer calls so', (t) => {
  t.same(outOf(want(policy({ policyTypes: ['Egress'], egress: [{ to: [{ podSelector: {} }], ports: [{ port: 'http' }] }] })), '10.244.0.2'), [
    'ip daddr {10.244.0.1}, meta l4proto tcp, th dport 8080', 'ip daddr {10.244.1.1}, meta l4proto tcp, th dport 9090',
  ])
  t.end()
})

t.test('blocks of both families, whose holes and neighbours are joined', (t) => {
  const blocks = [{ cidr: '10.0.0.0/25' }, { cidr: '10.0.0.128/25' }, { cidr: 'fd00::/8', except: ['fd00::/9'] }, { cidr: '192.0.2.7/32' }]
  t.same(rangesOfBlocks(blocks, 'ipv4'), ['10.0.0.0-10.0.0.255', '192.0.2.7'])
  t.same(rangesOfBlocks(blocks, 'ipv6'), ['fd80::-fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'])
  t.same(rangesOfBlocks([{ cidr: '0.0.0.0/0', except: ['0.0.0.0/0'] }], 'ipv4'), [])
  t.same(rangesOfBlocks([{ cidr: '10.0.0.0/33' }, { cidr: 'x' }, { cidr: '10.0.0.0/8', except: ['?'] }, { cidr: '192.0.2.0/24' }], 'ipv4'), ['192.0.2.0-192.0.2.255'], 'what cannot be read lets nobody in')
  t.end()
})
