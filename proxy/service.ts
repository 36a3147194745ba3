/**
 * What one Service asks of the kernel: its frontends, and for each where its packets go. Pure.
 *
 * A frontend is an address, a protocol and a port that clients use; keys are text with the fields that the kernel's keys have, in
 * their order: `10.96.0.53 tcp 80`.
 */
import type { EndpointSlice, Service, ServicePort } from '../api/types.ts'
import { candidatesOf, chooseAnywhere, chooseLocal, endpointKey, isPort } from './endpoints.ts'
import type { Candidate, Choice, Place } from './endpoints.ts'
import { addressOf, familyOf, outermost, prefixOf } from './families.ts'
import type { Family } from './families.ts'

/** The node, as far as the proxy looks at it. */
export interface NodeView extends Place {
  /** Whose node ports are served. */
  readonly nodePortAddresses: readonly string[]
  /** Prefixes of the pods on this node; none where that is not known. */
  readonly podCIDRs: readonly string[]
  /** Ranges of cluster IPs: what is in them and not in use is dropped. */
  readonly serviceCIDRs: readonly string[]
}

export type FrontendKind = 'clusterIP' | 'nodePort' | 'externalIP' | 'loadBalancer'

/** `inside` frontends answer only clients on this node; they are looked up before the others. */
export interface Frontend {
  readonly address: string
  readonly protocol: 'tcp' | 'udp' | 'sctp'
  readonly port: number
  readonly inside: boolean
}

/** An element of one of the sets that are not about frontends' targets. */
export interface Member {
  readonly set: string
  readonly key: string
  /** For maps: the chain of the verdict. */
  readonly data?: string
}

/** Where packets to a frontend go. */
export interface Target {
  readonly service: string
  readonly port: string
  readonly kind: FrontendKind
  /** The chain of the verdict, or `drop`. */
  readonly chain: string
  /** What is spread over, as `10.244.0.5 8080`. */
  readonly endpoints: readonly string[]
  /** Endpoints that are there but get no new connections; open ones go on. */
  readonly draining: readonly string[]
  /** Elements that are wanted as long as this target is the frontend's. */
  readonly members: readonly Member[]
  /** When the service was made: of several claims to one frontend the oldest counts. */
  readonly created: string
}

export interface ServiceWant {
  /** By `frontendId`. */
  readonly targets: ReadonlyMap<string, Target>
  readonly members: readonly Member[]
  /** What was wrong and left out. */
  readonly problems: readonly string[]
  /** Where a balancer asks whether this node has endpoints, and how many are ready. */
  readonly healthCheck?: { readonly port: number; readonly localEndpoints: number } | undefined
}

/** Refuses, as a closed port does. */
export const refuseChain = 'refuse'
export const dropVerdict = 'drop'

/** `10.96.0.53 tcp 80`: the key in the kernel's maps. */
export function frontendKey({ address, protocol, port }: Omit<Frontend, 'inside'>): string {
  return `${address} ${protocol} ${port}`
}

/** The key, and before it which of the maps. */
export function frontendId(frontend: Frontend): string {
  return frontend.inside ? `inside ${frontendKey(frontend)}` : frontendKey(frontend)
}

export function parseFrontendId(id: string): Frontend {
  const inside = id.startsWith('inside ')
  const [address = '', protocol = 'tcp', port = '0'] = (inside ? id.slice(7) : id).split(' ')
  return { address, protocol: protocol as Frontend['protocol'], port: Number(port), inside }
}

/** A chain that is there while some frontend needs it; its name says what its rules are. */
export type CountedChain =
  /** `n3`: spreads over three endpoints; `i3` for inside frontends; `n3-sticky`: but where a client went before, it goes again. */
  | { readonly kind: 'spread'; readonly count: number; readonly inside: boolean; readonly sticky: boolean }
  /** `stick-10800`: has the client go there again for so many seconds. */
  | { readonly kind: 'stick'; readonly seconds: number }

function chainName(chain: CountedChain): string {
  if (chain.kind === 'stick') return `stick-${chain.seconds}`
  return `${chain.inside ? 'i' : 'n'}${chain.count}${chain.sticky ? '-sticky' : ''}`
}

/** What such a name says; `undefined` for another. */
export function parseChainName(name: string): CountedChain | undefined {
  const [, seconds] = /^stick-([1-9]\d*)$/.exec(name) ?? []
  if (seconds !== undefined) return { kind: 'stick', seconds: Number(seconds) }
  const [, letter, count, sticky] = /^([ni])([1-9]\d*)(-sticky)?$/.exec(name) ?? []
  return count === undefined ? undefined : { kind: 'spread', count: Number(count), inside: letter === 'i', sticky: sticky !== undefined }
}

export const proxyNameLabel = 'service.kubernetes.io/service-proxy-name'
export const serviceNameLabel = 'kubernetes.io/service-name'
/** discovery/v1 EndpointsLastChangeTriggerTime: when the pod or service changed for which the slice was written. */
export const triggerAnnotation = 'endpoints.kubernetes.io/last-change-trigger-time'
/** core/v1 DefaultClientIPServiceAffinitySeconds */
const stickySecondsDefault = 10_800

/** Why a service is none of the proxy's business; `undefined` where it is. */
export function whyIgnored({ metadata, spec }: Service): string | undefined {
  if (metadata.labels?.[proxyNameLabel] !== undefined) return `another proxy serves it: label ${proxyNameLabel}`
  if (spec.type === 'ExternalName') return 'it is an ExternalName'
  if (spec.clusterIP === 'None') return 'it is headless'
  if ((spec.clusterIP ?? '') === '' && (spec.clusterIPs ?? []).length === 0) return 'it has no cluster IP yet'
  return undefined
}

/** All that a service wants on a node. */
export function wantService(key: string, service: Service, slices: readonly EndpointSlice[], node: NodeView): ServiceWant {
  const building: Building = { key, service, slices, node, targets: new Map(), members: [], problems: new Set() }
  if (whyIgnored(service) !== undefined) return finished(building)
  const byFamily = Map.groupBy(frontendsOf(building), ({ address }) => familyOf(address))
  for (const [family, addresses] of byFamily) {
    for (const port of service.spec.ports ?? []) wantPort(building, port, family, addresses)
  }
  return { ...finished(building), healthCheck: healthCheckOf(building) }
}

function healthCheckOf({ service: { spec }, slices, node }: Building): ServiceWant['healthCheck'] {
  const { type, externalTrafficPolicy, healthCheckNodePort: port = 0 } = spec
  if (type !== 'LoadBalancer' || externalTrafficPolicy !== 'Local' || !isPort(port)) return undefined
  const local = slices.flatMap(({ endpoints }) => endpoints ?? []).filter(({ nodeName, conditions }) => nodeName === node.name && (conditions?.ready ?? true))
  return { port, localEndpoints: new Set(local.map(({ addresses }) => addresses[0])).size }
}

/** What is wanted whatever the services are. */
export function wantNode(node: NodeView, families: readonly Family[]): ServiceWant {
  const members = families.flatMap((family): Member[] => {
    const own = (prefixes: readonly string[]): string[] => outermost(prefixes.flatMap((prefix) => prefixOf(prefix) ?? [])).filter((prefix) => familyOf(prefix) === family)
    const pods = own(node.podCIDRs)
    // Where the pods of this node cannot be told, those that use cluster IPs are taken for pods and keep their address.
    const inside = pods.length > 0 ? pods : [family.all]
    return [
      ...pods.map((key) => ({ set: `pod-range${family.digit}`, key })),
      ...inside.map((key) => ({ set: `inside${family.digit}`, key })),
      ...own(node.serviceCIDRs).map((key) => ({ set: `service-range${family.digit}`, key })),
    ]
  })
  return { targets: new Map(), members, problems: [] }
}

interface Building {
  readonly key: string
  readonly service: Service
  readonly slices: readonly EndpointSlice[]
  readonly node: NodeView
  readonly targets: Map<string, Target>
  readonly members: Member[]
  readonly problems: Set<string>
}

interface FrontendAddress {
  readonly address: string
  readonly kind: FrontendKind
}

function finished({ targets, members, problems }: Building): ServiceWant {
  return { targets, members, problems: [...problems] }
}

function frontendsOf({ service: { spec, status }, node, members, problems }: Building): FrontendAddress[] {
  const found: FrontendAddress[] = []
  const add = (text: string | undefined, kind: FrontendKind): void => {
    const address = addressOf(text)
    if (address === undefined) problems.add(`${kind} ${JSON.stringify(text ?? '')} is no address`)
    else if (!found.some((present) => present.address === address)) found.push({ address, kind })
  }
  for (const text of spec.clusterIPs ?? [spec.clusterIP]) add(text, 'clusterIP')
  for (const { address } of found) members.push({ set: `cluster-ip${familyOf(address).digit}`, key: address })
  const served = new Set(found.map(({ address }) => familyOf(address)))
  for (const text of spec.externalIPs ?? []) add(text, 'externalIP')
  if (spec.type === 'LoadBalancer') {
    // Of mode Proxy the balancer itself sends to node ports (KEP-1860).
    for (const { ip, ipMode } of status?.loadBalancer?.ingress ?? []) if (ip !== undefined && ipMode !== 'Proxy') add(ip, 'loadBalancer')
  }
  if (spec.type === 'NodePort' || spec.type === 'LoadBalancer') {
    for (const address of node.nodePortAddresses) if (served.has(familyOf(address))) add(address, 'nodePort')
  }
  return found.filter(({ address }) => served.has(familyOf(address)))
}

function wantPort(building: Building, port: ServicePort, family: Family, addresses: readonly FrontendAddress[]): void {
  const { service: { spec }, slices, node, problems, members } = building
  const { name = '', protocol = 'TCP' } = port
  const candidates = candidatesOf(slices, { name, protocol }, family, { place: node, onProblem: (problem) => problems.add(problem) })
  const anywhere = chooseAnywhere(candidates, node)
  const local = chooseLocal(candidates)
  const chosen = (policy: 'Cluster' | 'Local' | undefined): Choice => (policy === 'Local' ? local : anywhere)
  for (const { address, kind } of addresses) {
    const number = kind === 'nodePort' ? (port.nodePort ?? 0) : port.port
    if (kind === 'nodePort' && number === 0) continue
    if (!isPort(number)) {
      problems.add(`port ${name === '' ? '' : `${name} `}${number} is no port`)
      continue
    }
    const policy = kind === 'clusterIP' ? spec.internalTrafficPolicy : spec.externalTrafficPolicy
    const frontend: Frontend = { address, protocol: protocol.toLowerCase() as Frontend['protocol'], port: number, inside: false }
    setTarget(building, frontend, { port: name, kind, candidates, choice: chosen(policy), fallback: anywhere })
    // Clients on this node need no balancer to come back to them: they may use endpoints anywhere.
    if (kind !== 'clusterIP' && policy === 'Local') setTarget(building, { ...frontend, inside: true }, { port: name, kind, candidates, choice: anywhere, fallback: anywhere })
  }
  for (const candidate of new Set([...anywhere.endpoints, ...local.endpoints])) for (const member of placeOf(candidate, family)) members.push(member)
}

/** On this node replies pass by themselves, and an endpoint may reach itself. */
function placeOf({ address, local, placeless }: Candidate, { digit }: Family): Member[] {
  return [
    ...(local ? [{ set: `local${digit}`, key: address }] : []),
    ...(local || placeless ? [{ set: `hairpin${digit}`, key: `${address} ${address}` }] : []),
  ]
}

interface TargetParts {
  readonly port: string
  readonly kind: FrontendKind
  readonly candidates: readonly Candidate[]
  readonly choice: Choice
  /** What there is, were it not for the policy. */
  readonly fallback: Choice
}

function setTarget({ key, service, targets, problems }: Building, frontend: Frontend, { port, kind, candidates, choice, fallback }: TargetParts): void {
  const id = frontendId(frontend)
  if (targets.has(id)) {
    problems.add(`${frontendKey(frontend)} is named twice`)
    return
  }
  const { sessionAffinity, sessionAffinityConfig } = service.spec
  const stickySeconds = sessionAffinity === 'ClientIP' ? (sessionAffinityConfig?.clientIP?.timeoutSeconds ?? stickySecondsDefault) : undefined
  const endpoints = choice.endpoints.map(endpointKey)
  const used = new Set(endpoints)
  targets.set(id, {
    service: key, port, kind, endpoints,
    chain: chainFor(endpoints.length, fallback.endpoints.length, { inside: frontend.inside, sticky: stickySeconds !== undefined }),
    draining: kept(candidates.map(endpointKey).filter((endpoint) => !used.has(endpoint))),
    members: frontend.inside ? none : targetMembers(frontend, kind, { stickySeconds, ranges: kind === 'loadBalancer' ? (service.spec.loadBalancerSourceRanges ?? []) : [], problems }),
    created: service.metadata.creationTimestamp ?? '',
  })
}

function chainFor(count: number, elsewhere: number, { inside, sticky }: { readonly inside: boolean; readonly sticky: boolean }): string {
  if (count > 0) return chainName({ kind: 'spread', count, inside, sticky })
  // Nobody at all refuses; somebody who must not be used is for another node to answer (kube-proxy does so too).
  return elsewhere > 0 ? dropVerdict : refuseChain
}

interface MemberParts {
  readonly stickySeconds: number | undefined
  readonly ranges: readonly string[]
  readonly problems: Set<string>
}

function targetMembers(frontend: Frontend, kind: FrontendKind, { stickySeconds, ranges, problems }: MemberParts): readonly Member[] {
  const { digit } = familyOf(frontend.address)
  const key = frontendKey(frontend)
  const members: Member[] = kind === 'clusterIP' ? [] : [{ set: `external${digit}`, key }]
  if (stickySeconds !== undefined) members.push({ set: `sticky${digit}`, key, data: chainName({ kind: 'stick', seconds: stickySeconds }) })
  const prefixes = ranges.flatMap((text) => {
    const prefix = prefixOf(text)
    if (prefix === undefined) problems.add(`source range ${JSON.stringify(text)} is no prefix`)
    return prefix ?? []
  }).filter((prefix) => familyOf(prefix).digit === digit)
  // Where none of the given ranges can be read, nobody is let in: that the service is open to all was not asked for.
  const isRanged = prefixes.length > 0 || (ranges.length > 0 && ranges.every((text) => prefixOf(text) === undefined))
  if (isRanged) members.push({ set: `ranged${digit}`, key }, ...outermost(prefixes).map((prefix) => ({ set: `source-range${digit}`, key: `${key} ${prefix}` })))
  return kept(members)
}

/** Of the many that are empty there is one. */
function kept<T>(list: readonly T[]): readonly T[] {
  return list.length === 0 ? none : list
}

const none: readonly never[] = []
