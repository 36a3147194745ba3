/**
 * What network policies (https://kubernetes.io/docs/concepts/services-networking/network-policies/) want of a host: which of its pods are isolated, and
 * what each of those may still send and be sent. Pure.
 *
 *   pod 10.244.0.5 ─ egress4 ─► chain eg-… ─ one rule for each peer set and port that is allowed ─► return; else drop
 *                  ─ ingress4 ─► chain in-… ─ the same
 *
 * A chain is named by what is in it, and a set by whom it selects, so pods of which the same is wanted share both, and neither ever changes its meaning: only
 * the addresses in the sets of pods come and go.
 */
import { createHash } from 'node:crypto'
import { matchesLabelSelector } from '../../api/selectors.ts'
import type { KubeObject, NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort, Pod } from '../../api/types.ts'
import { drop, equal, goBack, isIn } from '../../netlink/nftables/index.ts'
import type { FieldName, SetSpec, Statement } from '../../netlink/nftables/index.ts'
import { rangesOfBlocks } from './address-set.ts'

export interface ClusterState {
  readonly nodeName: string
  readonly policies: readonly NetworkPolicy[]
  readonly pods: readonly Pod[]
  readonly namespaces: readonly KubeObject[]
}

/** The same everywhere, kept as small as may be: an agent has all pods of the cluster. */
export interface PolicyWant {
  /** Rules of each chain, by its name. */
  readonly chains: ReadonlyMap<string, readonly (readonly Statement[])[]>
  /** Members of each set of peers, by its name. */
  readonly peers: ReadonlyMap<string, { readonly spec: SetSpec; readonly members: ReadonlySet<string> }>
  /** For each of the maps, the chain of each isolated pod by its address. */
  readonly isolated: Readonly<Record<IsolationMap, ReadonlyMap<string, string>>>
}

export const isolationMaps = ['egress4', 'egress6', 'ingress4', 'ingress6'] as const
export type IsolationMap = (typeof isolationMaps)[number]
export type Direction = 'ingress' | 'egress'

interface Family {
  readonly digit: '4' | '6'
  readonly name: 'ipv4' | 'ipv6'
  readonly ip: 'ip' | 'ip6'
  readonly type: 'ipv4_addr' | 'ipv6_addr'
}

export const families: readonly Family[] = [{ digit: '4', name: 'ipv4', ip: 'ip', type: 'ipv4_addr' }, { digit: '6', name: 'ipv6', ip: 'ip6', type: 'ipv6_addr' }]

/** Nothing is isolated where `isolated` is empty. */
export function wantPolicy(state: ClusterState): PolicyWant {
  const builder = new Builder(state)
  for (const pod of state.pods) if (pod.spec.nodeName === state.nodeName && hasOwnAddress(pod)) builder.isolate(pod)
  return builder.want()
}

/** Those that share their host's addresses are not spoken of by policies, and those that have ended have none. */
function hasOwnAddress({ spec, status }: Pod): boolean {
  return spec.hostNetwork !== true && status?.phase !== 'Succeeded' && status?.phase !== 'Failed' && (status?.podIPs?.length ?? 0) > 0
}

/** The policies that isolate a pod in a direction. */
export function isolating(policies: readonly NetworkPolicy[], direction: Direction, { metadata }: Pod): NetworkPolicy[] {
  return policies.filter((policy) => policy.metadata.namespace === metadata.namespace && speaksOf(policy, direction) && matchesLabelSelector(policy.spec?.podSelector ?? {}, metadata.labels))
}

/** Where a policy does not name its directions: what comes in always, what goes out only where it has rules for it. */
function speaksOf({ spec = {} }: NetworkPolicy, direction: Direction): boolean {
  const types = spec.policyTypes ?? ['Ingress', ...(spec.egress === undefined || spec.egress.length === 0 ? [] : ['Egress'])]
  return types.some((type) => type.toLowerCase() === direction)
}

/** A rule of a policy with the words of both directions made one. */
interface PeerRule {
  readonly peers: readonly NetworkPolicyPeer[]
  readonly ports: readonly NetworkPolicyPort[]
}

function rulesOf({ spec = {} }: NetworkPolicy, direction: Direction): PeerRule[] {
  if (direction === 'ingress') return (spec.ingress ?? []).map(({ from = [], ports = [] }) => ({ peers: from, ports }))
  return (spec.egress ?? []).map(({ to = [], ports = [] }) => ({ peers: to, ports }))
}

/** A port as a packet has it; `peers` narrows to those for whom the port's name means that number. */
interface WirePort {
  readonly protocol: 'tcp' | 'udp' | 'sctp'
  /** A number or `a-b`; all of them where it is left out. */
  readonly port: number | string | undefined
  readonly named?: { readonly name: string; readonly number: number } | undefined
}

class Builder {
  readonly #state: ClusterState
  readonly #labels: ReadonlyMap<string, Readonly<Record<string, string>>>
  readonly #addressed: readonly Pod[]
  readonly #chains = new Map<string, readonly (readonly Statement[])[]>()
  readonly #peers = new Map<string, { readonly spec: SetSpec; readonly members: ReadonlySet<string> }>()
  readonly #isolated: Record<IsolationMap, Map<string, string>> = { egress4: new Map(), egress6: new Map(), ingress4: new Map(), ingress6: new Map() }

  constructor(state: ClusterState) {
    this.#state = state
    this.#labels = new Map(state.namespaces.map(({ metadata }) => [metadata.name ?? '', metadata.labels ?? {}]))
    this.#addressed = state.pods.filter(hasOwnAddress)
  }

  want(): PolicyWant {
    return { chains: this.#chains, peers: this.#peers, isolated: this.#isolated }
  }

  isolate(pod: Pod): void {
    for (const direction of ['egress', 'ingress'] as const) {
      const policies = isolating(this.#state.policies, direction, pod)
      if (policies.length === 0) continue
      const chain = this.#chain(direction, policies, pod)
      for (const { ip } of pod.status?.podIPs ?? []) this.#isolated[`${direction}${ip.includes(':') ? '6' : '4'}`].set(ip, chain)
    }
  }

  #chain(direction: Direction, policies: readonly NetworkPolicy[], pod: Pod): string {
    const allowed = policies.flatMap((policy) => rulesOf(policy, direction).flatMap((rule) => this.#rule(direction, rule, policy, pod)))
    // two policies may say the same
    const rules = [...new Map(allowed.map((statements) => [JSON.stringify(statements), statements])).values()]
    const name = `${direction === 'ingress' ? 'in' : 'eg'}-${digest(rules)}`
    this.#chains.set(name, [...rules.map((statements) => [...statements, goBack]), [{ kind: 'counter' }, drop]])
    return name
  }

  #rule(direction: Direction, { peers, ports }: PeerRule, { metadata: { namespace = '' } }: NetworkPolicy, pod: Pod): Statement[][] {
    const wire = ports.length === 0 ? [undefined] : ports.flatMap((port) => (direction === 'ingress' ? portsAt(pod, port) : this.#portsOfPeers(port)))
    return wire.flatMap((port) => this.#whom(direction, peers, namespace, port?.named).map((whom) => [...whom, ...portStatements(port)]))
  }

  /** Statements that tell whether the other end is one of the peers; one way for each set that holds some. */
  #whom(direction: Direction, peers: readonly NetworkPolicyPeer[], namespace: string, named: WirePort['named']): Statement[][] {
    if (peers.length === 0 && named === undefined) return [[]]
    const selectors = peers.length === 0 ? [{ namespaceSelector: {} }] : peers.filter(({ ipBlock }) => ipBlock === undefined)
    const blocks = named === undefined ? peers.flatMap(({ ipBlock }) => ipBlock ?? []) : []
    return families.flatMap((family) => {
      const field: FieldName = `${family.ip} ${direction === 'ingress' ? 'saddr' : 'daddr'}`
      const sets = [...(selectors.length === 0 ? [] : [this.#podSet(family, selectors, namespace, named)]), ...this.#blockSet(family, blocks)]
      return sets.map((set) => [equal('meta nfproto', family.name), isIn([field], set)])
    })
  }

  #podSet({ digit, type, name: familyName }: Family, selectors: readonly NetworkPolicyPeer[], namespace: string, named: WirePort['named']): string {
    // the policy's namespace counts only where a peer names none
    const within = selectors.some(({ namespaceSelector }) => namespaceSelector === undefined) ? namespace : ''
    const name = `pods${digit}-${digest([within, selectors, named])}`
    if (this.#peers.has(name)) return name
    const chosen = this.#addressed.filter((pod) => selectors.some((peer) => this.#isPeer(pod, peer, namespace)) && (named === undefined || portsAt(pod, { port: named.name }).some(({ port }) => port === named.number)))
    const members = new Set(chosen.flatMap(({ status }) => (status?.podIPs ?? []).map(({ ip }) => ip).filter((ip) => ip.includes(':') === (familyName === 'ipv6'))))
    this.#peers.set(name, { spec: { name, key: [type] }, members })
    return name
  }

  #isPeer({ metadata }: Pod, { podSelector, namespaceSelector }: NetworkPolicyPeer, namespace: string): boolean {
    const isThere = namespaceSelector === undefined ? metadata.namespace === namespace : matchesLabelSelector(namespaceSelector, this.#labels.get(metadata.namespace ?? ''))
    return isThere && (podSelector === undefined || matchesLabelSelector(podSelector, metadata.labels))
  }

  #blockSet({ digit, type, name: familyName }: Family, blocks: readonly NonNullable<NetworkPolicyPeer['ipBlock']>[]): string[] {
    const ranges = rangesOfBlocks(blocks, familyName)
    if (ranges.length === 0) return []
    const name = `blocks${digit}-${digest(ranges)}`
    this.#peers.set(name, { spec: { name, key: [type], interval: true }, members: new Set(ranges) })
    return [name]
  }

  /** A port by name means what each peer calls so: as many ways as there are numbers for it. */
  #portsOfPeers(port: NetworkPolicyPort): WirePort[] {
    const { port: name } = port
    if (typeof name !== 'string') return portsAt(undefined, port)
    const numbers = new Set(this.#addressed.flatMap((pod) => portsAt(pod, port).flatMap((found) => (typeof found.port === 'number' ? [found.port] : []))))
    return [...numbers].map((number) => ({ protocol: protocolOf(port), port: number, named: { name, number } }))
  }
}

function protocolOf({ protocol = 'TCP' }: NetworkPolicyPort): WirePort['protocol'] {
  return protocol.toLowerCase() as WirePort['protocol']
}

/** A port of a policy as it is at a pod; none where the pod has no port of that name. */
function portsAt(pod: Pod | undefined, wanted: NetworkPolicyPort): WirePort[] {
  const protocol = protocolOf(wanted)
  const { port, endPort } = wanted
  if (typeof port !== 'string') return [{ protocol, port: port === undefined || endPort === undefined || endPort === port ? port : `${port}-${endPort}` }]
  const found = pod?.spec.containers.flatMap(({ ports = [] }) => ports).find((each) => each.name === port && (each.protocol ?? 'TCP').toLowerCase() === protocol)
  return found === undefined ? [] : [{ protocol, port: found.containerPort }]
}

function portStatements(port: WirePort | undefined): Statement[] {
  if (port === undefined) return []
  return [equal('meta l4proto', port.protocol), ...(port.port === undefined ? [] : [equal('th dport', port.port)])]
}

/** Names what has the same content; 64 bits of it, as nobody chooses contents to collide but those who write policies for themselves. */
function digest(content: unknown): string {
  return createHash('sha256').update(JSON.stringify(content)).digest('hex').slice(0, 16)
}
