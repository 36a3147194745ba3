import t from 'tap'
import { refusals } from '../test-support/table.ts'

const from = (...peers: object[]): object => ({ ingress: [{ from: peers }] })
const ports = (...list: object[]): object => ({ egress: [{ ports: list }] })
const block = (cidr: string, ...except: string[]): object => from({ ipBlock: { cidr, except } })

/** What is sent, and the beginning of each refusal; none for what is right. */
const cases: [object, ...string[]][] = [
  [{}],
  [{ podSelector: { matchExpressions: [{ key: 'a', operator: 'Is' }] } }, 'spec.podSelector.matchExpressions[0].operator: '],
  [{ policyTypes: ['Ingress', 'Sideways'] }, 'spec.policyTypes[1]: NotSupported: supported values: "Egress", "Ingress"'],
  [from({})  , 'spec.ingress[0].from[0]: Required: must specify a peer'],
  [from({ podSelector: {} }, { namespaceSelector: {}, podSelector: { matchLabels: { a: 'b' } } })],
  [from({ podSelector: { matchLabels: { 'a b': 'c' } } }), 'spec.ingress[0].from[0].podSelector'],
  [from({ podSelector: {}, ipBlock: { cidr: '10.0.0.0/8' } }), 'spec.ingress[0].from[0]: Forbidden: may not specify both ipBlock and another peer'],
  [block('10.0.0.0/8', '10.1.0.0/16', '10.2.3.4/32')],
  [block('fd00::/8', 'fd01::/16')],
  [block(''), 'spec.ingress[0].from[0].ipBlock.cidr: Required'],
  [block('10.0.0.0'), 'spec.ingress[0].from[0].ipBlock.cidr: Invalid: must be a valid CIDR value'],
  [block('10.0.0.0/33'), 'spec.ingress[0].from[0].ipBlock.cidr: Invalid: must be a valid CIDR value'],
  [block('10.0.0.0/8', 'x/8'), 'spec.ingress[0].from[0].ipBlock.except[0]: Invalid: must be a valid CIDR value'],
  [block('10.0.0.0/8', '11.0.0.0/16'), 'spec.ingress[0].from[0].ipBlock.except[0]: Invalid: must be a strict subset of `cidr`'],
  [block('10.0.0.0/8', '10.0.0.0/8'), 'spec.ingress[0].from[0].ipBlock.except[0]: Invalid: must be a strict subset of `cidr`'],
  [block('10.0.0.0/8', 'fd00::/64'), 'spec.ingress[0].from[0].ipBlock.except[0]: Invalid: must be a strict subset of `cidr`'],
  [ports({ port: 80 }, { port: 'http', protocol: 'UDP' }, { port: 80, endPort: 90 }, {})],
  [ports({ port: 0 }), 'spec.egress[0].ports[0].port: Invalid: must be between 1 and 65535, inclusive'],
  [ports({ port: 'no--name' }), 'spec.egress[0].ports[0].port: Invalid: must not contain consecutive hyphens'],
  [ports({ protocol: 'ICMP' }), 'spec.egress[0].ports[0].protocol: NotSupported: supported values: "SCTP", "TCP", "UDP"'],
  [ports({ endPort: 90 }), 'spec.egress[0].ports[0].endPort: Required: may not be specified when `port` is not specified'],
  [ports({ port: 'http', endPort: 90 }), 'spec.egress[0].ports[0].endPort: Invalid: may not be specified when `port` is non-numeric'],
  [ports({ port: 90, endPort: 80 }), 'spec.egress[0].ports[0].endPort: Invalid: must be greater than or equal to `port`'],
  [ports({ port: 90, endPort: 70_000 }), 'spec.egress[0].ports[0].endPort: Invalid: must be between 1 and 65535, inclusive'],
]

t.test('network policies are refused with the path and the reason', (t) => {
  for (const [spec, ...expected] of cases) {
    const found = refusals('networkpolicies.networking.k8s.io', { spec })
    t.equal(found.length, expected.length, `${JSON.stringify(spec)}: ${found.join('; ')}`)
    expected.forEach((words, at) => t.ok(found[at]?.startsWith(words), `${found[at]} begins with ${words}`))
  }
  t.end()
})
