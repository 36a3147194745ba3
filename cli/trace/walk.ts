/**
 * The way from here to there, a step at a time: what the API says, what the kernels of the hosts on the way have, and what came of trying.
 * The walk goes on where it can after a step that failed, for the first cause is not always the only one.
 */
import type { Pod, Service, ServicePort } from '../../api/types.ts'
import { serviceNameLabel } from '../../proxy/service.ts'
import { policyFate } from '../../cni/policy/explain.ts'
import { isolating } from '../../cni/policy/want.ts'
import { whereTo } from '../../proxy/model.ts'
import type { Fate } from '../../proxy/model.ts'
import type { Connected } from './attempt.ts'
import { addressesOf, findNode, findPod, findService, hasEnded, internalAddresses, nameOf, nodeAt, podAt, serviceAt, whyNoEndpoints, whyNotReady } from './cluster-view.ts'
import type { ClusterView } from './cluster-view.ts'
import type { HostView, NamespaceView, Way } from './host-view.ts'
import type { Source, Target } from './places.ts'

export type Protocol = 'tcp' | 'udp'

export interface Step {
  /** `note` says something that is neither right nor wrong. */
  readonly mark: 'good' | 'bad' | 'note'
  readonly subject: string
  readonly text: string
  /** A way of its own within the whole: one of several endpoints. */
  readonly inner?: boolean
}

export interface TraceOptions {
  readonly cluster: ClusterView
  /** A host as far as it can be looked at from here. */
  readonly host: (node: string) => HostView | undefined
  /** Default: that of the service's port, or TCP. */
  readonly protocol?: Protocol | undefined
  readonly zone: string
  readonly clusterDns: string
}

/** Where packets start. */
interface Start {
  readonly node: string
  readonly host: HostView
  /** The first of its addresses. */
  readonly address: string
  readonly addresses: readonly string[]
  readonly inside: NamespaceView
}

interface Destination {
  readonly address: string
  readonly port: number
  readonly protocol: Protocol
}

/** Ends with the step that says what became of it; that one is `good` when no step was `bad` and the target was reached, or could not be tried. */
export async function* walk(source: Source, target: Target, options: TraceOptions): AsyncGenerator<Step> {
  let wrong = 0
  for await (const step of steps(source, target, options)) {
    if (step.mark === 'bad') wrong += 1
    yield isEnd(step) && step.mark === 'good' && wrong > 0 ? { ...step, mark: 'bad', subject: step.subject === untried ? untried : 'in part' } : step
  }
}

async function* steps(source: Source, target: Target, options: TraceOptions): AsyncGenerator<Step> {
  const start: Start | Step = findStart(source, options)
  if ('mark' in start) return yield* endWith(start)
  yield startStep(source, start)
  if (target.kind === 'service') return yield* toService(findService(options.cluster, target.namespace, target.name), target.port, start, options)
  if (target.kind === 'address') return yield* toAddress(target, start, options)
  const pod = findPod(options.cluster, target.namespace, target.name)
  const [address] = addressesOf(pod)
  const why = whyNotReady(pod)
  if (why !== undefined) yield { mark: address === undefined ? 'bad' : 'note', subject: 'pod', text: `${nameOf(pod)}: ${why}` }
  if (address === undefined) return yield verdict(false, `pod ${nameOf(pod)} has no address`)
  return yield* toEndpointAlone({ address, port: portOfPod(pod, target.port), protocol: options.protocol ?? 'tcp' }, start, options)
}

function* endWith(step: Step): Generator<Step> {
  yield step
  yield verdict(false, 'there is nowhere to start from')
}

function findStart(source: Source, { cluster, host: hostOf }: TraceOptions): Start | Step {
  const bad = (text: string): Step => ({ mark: 'bad', subject: 'from', text })
  const pod = source.kind === 'pod' ? findPod(cluster, source.namespace, source.name) : undefined
  const node = pod === undefined ? findNode(cluster, source.name).metadata.name : pod.spec.nodeName
  const addresses = pod === undefined ? internalAddresses(findNode(cluster, source.name)) : addressesOf(pod)
  const [address] = addresses
  if (node === undefined || address === undefined || (pod !== undefined && hasEnded(pod))) return bad(`${source.kind} ${source.name} has no address: ${pod === undefined ? 'its node has said none' : (whyNotReady(pod) ?? 'it is only just starting')}`)
  const host = hostOf(node)
  if (host === undefined) return bad(`host ${node} does not run, or cannot be looked at from here`)
  if (pod === undefined || pod.spec.hostNetwork === true) return { node, host, address, addresses, inside: host.own }
  const inside = host.pod(address)
  return inside === undefined ? bad(`no network namespace on ${node} has the address ${address} of pod ${nameOf(pod)}`) : { node, host, address, addresses, inside }
}

function startStep(source: Source, { node, host, address }: Start): Step {
  if (source.kind === 'node') return { mark: 'good', subject: 'from', text: `${address}, host ${node} itself` }
  const back = host.wayTo(address)
  const isThere = back.kind === 'pod' && back.up
  const link = back.kind === 'pod' ? `link ${back.link}${back.up ? '' : ', which is down'}` : back.kind === 'own' ? "the host's own network" : `no link of a pod: answers would go ${wayText(back)}`
  return { mark: isThere || back.kind === 'own' ? 'good' : 'bad', subject: 'from', text: `${address} on ${node}, ${link}` }
}

/** `chosen`: one of its addresses; left out, that of the client's family. */
async function* toService(service: Service, portText: string | undefined, start: Start, options: TraceOptions, chosen?: string): AsyncGenerator<Step> {
  const { spec, metadata: { namespace = 'default', name = '' } } = service
  if (spec.type === 'ExternalName') return yield verdict(false, `service ${nameOf(service)} is another name for ${spec.externalName ?? 'nothing'}, which is not traced`)
  yield* nameStep(service, start, `${name}.${namespace}.svc.${options.zone}`, options)
  const port = servicePort(service, portText, options.protocol)
  const protocol: Protocol = port.protocol === 'UDP' ? 'udp' : 'tcp'
  const address = chosen ?? clusterAddress(service, start.address)
  if (address !== undefined) return yield* throughTable({ address, port: port.port, protocol }, service, start, options)
  yield { mark: 'note', subject: 'service', text: `${nameOf(service)} is headless: clients choose one of its endpoints themselves` }
  yield* toEndpoints(headlessEndpoints(service, port, protocol, options.cluster), service, start, options)
}

/** That of the client's own family, where the service has one. */
function clusterAddress({ spec: { clusterIP, clusterIPs = [] } }: Service, client: string): string | undefined {
  const addresses = [...clusterIPs, clusterIP ?? ''].filter((address) => address !== '' && address !== 'None')
  return addresses.find((address) => address.includes(':') === client.includes(':')) ?? addresses[0]
}

async function* nameStep(service: Service, { inside, address }: Start, name: string, { clusterDns, cluster }: TraceOptions): AsyncGenerator<Step> {
  const cluster4 = clusterAddress(service, address)
  const resolved = await inside.resolve(name, clusterDns)
  if ('failed' in resolved) return yield { mark: 'bad', subject: 'name', text: `${name}: ${resolved.failed} from ${clusterDns}` }
  const right = cluster4 === undefined ? resolved.addresses.every((each) => podAt(cluster, each) !== undefined) : resolved.addresses.includes(cluster4)
  yield { mark: right ? 'good' : 'bad', subject: 'name', text: `${name} is ${resolved.addresses.join(', ')}, says ${clusterDns}${right ? '' : `; the API says ${cluster4 ?? 'otherwise'}`}` }
}

function servicePort(service: Service, text: string | undefined, protocol: Protocol | undefined): ServicePort {
  const ports = service.spec.ports ?? []
  const fitting = ports.filter((port) => (text === undefined || port.name === text || String(port.port) === text) && (protocol === undefined || (port.protocol ?? 'TCP') === protocol.toUpperCase()))
  const [port] = fitting
  if (port === undefined) throw new Error(`Cannot trace to ${text === undefined ? '' : `port ${text} of `}service ${nameOf(service)}${protocol === undefined ? '' : ` by ${protocol}`}: it has ${ports.map((each) => `${each.port}/${each.protocol ?? 'TCP'}`).join(', ') || 'no ports'}`)
  return port
}

async function* toAddress({ address, port: text }: { readonly address: string; readonly port: string | undefined }, start: Start, options: TraceOptions): AsyncGenerator<Step> {
  const service = serviceAt(options.cluster, address)
  if (service !== undefined) return yield* toService(service, text, start, options, address)
  if (text === undefined) throw new Error(`Cannot trace to ${address}: it is no service's, and so wants a port, as in ${address.includes(':') ? `[${address}]` : address}:80`)
  const destination: Destination = { address, port: Number(text), protocol: options.protocol ?? 'tcp' }
  const fates = readFates(destination, start)
  const taken = fates?.some(({ kind }) => kind !== 'untouched') === true
  if (taken) return yield* throughTable(destination, undefined, start, options)
  yield* toEndpointAlone(destination, start, options)
}

/** By its own family's address: what the rules say of others is that of a packet which cannot be. */
function readFates({ address, port, protocol }: Destination, { host, address: first, addresses }: Start): Fate[] | undefined {
  const source = addresses.find((each) => each.includes(':') === address.includes(':')) ?? first
  const ruleset = host.serviceTable()
  return ruleset === undefined ? undefined : whereTo(ruleset, { source, destination: address, protocol, port, hostAddresses: host.addresses })
}

/** By the proxy's rules of the host where packets start. */
async function* throughTable(destination: Destination, service: Service | undefined, start: Start, options: TraceOptions): AsyncGenerator<Step> {
  const { address, port, protocol } = destination
  const what = `${address} ${protocol} ${port}`
  const bad = (text: string): Step => ({ mark: 'bad', subject: 'service', text })
  const fates = readFates(destination, start)
  const [first] = fates ?? []
  if (first === undefined) yield bad(`host ${start.node} has no table of the proxy: does its agent run?`)
  else if (first.kind === 'untouched' && start.host.wayTo(address).kind === 'own') {
    yield { mark: 'good', subject: 'service', text: `${address} is an address of ${start.node} itself, and the proxy leaves it alone` }
    yield listenStep(start.host.own, destination)
  } else if (first.kind === 'endpoint') yield { mark: 'good', subject: 'service', text: `${what} ─► chains ${first.chains.join(', ')} ─► ${fates?.length === 1 ? 'its endpoint' : `one of ${fates?.length} endpoints`}${first.masqueraded ? ", with the host's own address as source" : ''}` }
  else {
    yield bad(first.kind === 'untouched' ? `the proxy of ${start.node} has no rule for ${what}` : `${what} is ${first.kind === 'rejected' ? `refused (${first.with})` : 'dropped'} by chains ${first.chains.join(', ')}`)
    if (service !== undefined) for (const why of whyNoEndpoints(options.cluster, service)) yield { mark: 'note', subject: 'why', text: why }
  }
  const endpoints = new Map((fates ?? []).flatMap((fate) => (fate.kind === 'endpoint' ? [[`${fate.address} ${fate.port}`, { address: fate.address, port: fate.port, protocol }] as const] : [])))
  yield* toEndpoints([...endpoints.values()], undefined, start, options)
  if (protocol === 'udp') return yield notTried(what)
  const tried = await start.inside.connect(address, port)
  yield verdict(tried.connected, triedText(what, tried))
}

function headlessEndpoints({ metadata }: Service, { name = '', protocol: of = 'TCP' }: ServicePort, protocol: Protocol, { slices }: ClusterView): Destination[] {
  return slices.filter((slice) => slice.metadata.namespace === metadata.namespace && slice.metadata.labels?.[serviceNameLabel] === metadata.name).flatMap(({ endpoints, ports }) => {
    const port = ports?.find((each) => (each.name ?? '') === name && (each.protocol ?? 'TCP') === of)?.port
    return port === undefined ? [] : (endpoints ?? []).filter(({ conditions }) => conditions?.ready !== false).flatMap(({ addresses }) => addresses.map((address) => ({ address, port, protocol })))
  })
}

/** All of them; with a verdict of their own where no service address stands before them. */
async function* toEndpoints(endpoints: readonly Destination[], headless: Service | undefined, start: Start, options: TraceOptions): AsyncGenerator<Step> {
  let answered = 0
  for (const endpoint of endpoints) {
    const tried: { outcome?: Connected } = {}
    for await (const step of toEndpoint(endpoint, start, options, tried)) yield { ...step, inner: true }
    if (tried.outcome?.connected === true) answered += 1
  }
  if (headless === undefined) return
  for (const why of endpoints.length === 0 ? whyNoEndpoints(options.cluster, headless) : []) yield { mark: 'note', subject: 'why', text: why }
  if (endpoints[0]?.protocol === 'udp') return yield notTried(`service ${nameOf(headless)}`)
  yield verdict(answered > 0, endpoints.length === 0 ? `service ${nameOf(headless)} has no endpoints` : `${answered} of ${endpoints.length} endpoints answered`)
}

async function* toEndpointAlone(destination: Destination, start: Start, options: TraceOptions): AsyncGenerator<Step> {
  const tried: { outcome?: Connected } = {}
  yield* toEndpoint(destination, start, options, tried)
  const what = `${destination.address} ${destination.protocol} ${destination.port}`
  yield tried.outcome === undefined ? notTried(what) : verdict(tried.outcome.connected, triedText(what, tried.outcome))
}

/** From the start to one address: whose it is, the way there, and whether anyone listens. */
async function* toEndpoint({ address, port, protocol }: Destination, start: Start, options: TraceOptions, tried: { outcome?: Connected }): AsyncGenerator<Step> {
  const { cluster, host: hostOf } = options
  const pod = podAt(cluster, address)
  const node = pod?.spec.nodeName ?? nodeAt(cluster, address)?.metadata.name
  const whose = pod !== undefined ? `pod ${nameOf(pod)} on ${node}` : node !== undefined ? `host ${node}` : "no pod's and no node's"
  yield { mark: pod === undefined && node === undefined ? 'note' : 'good', subject: 'endpoint', text: `${address} ${protocol} ${port}, ${whose}` }
  if (!start.addresses.includes(address)) yield* wayStep(address, node, start, options)
  const host = node === undefined ? undefined : hostOf(node)
  if (node !== undefined && host === undefined) yield { mark: 'bad', subject: 'host', text: `${node} does not run, or cannot be looked at from here` }
  if (host !== undefined && pod !== undefined && node !== start.node) yield arrivalStep(address, node ?? '', host)
  yield* policySteps({ address, port, protocol }, pod, host, start, options)
  if (host !== undefined) yield* endStep({ address, port, protocol }, pod, { node: node ?? '', host }, start)
  if (protocol === 'udp') return
  const outcome = await start.inside.connect(address, port)
  tried.outcome = outcome
  yield { mark: outcome.connected ? 'good' : 'bad', subject: 'tried', text: triedText('a connection to it', outcome) }
}

function* wayStep(address: string, node: string | undefined, { host, node: from }: Start, { cluster }: TraceOptions): Generator<Step> {
  const way = host.wayTo(address)
  const text = `from ${from} ${wayText(way)}`
  if (way.kind === 'tunnel') {
    const owner = way.peer === undefined ? undefined : nodeAt(cluster, way.peer)?.metadata.name
    const wrong = way.missing.length > 0 ? `, but has no ${way.missing.join(', no ')}` : owner !== node ? `, which is ${owner ?? 'no node'} and not ${node ?? 'known'}` : ''
    return yield { mark: wrong === '' ? 'good' : 'bad', subject: 'way', text: `${text}${owner === undefined ? '' : ` (${owner})`}${wrong}` }
  }
  const astray = way.kind === 'none' || (way.kind === 'pod' && (!way.up || node !== from)) || (way.kind === 'own' && node !== from)
  yield { mark: astray ? 'bad' : 'good', subject: 'way', text }
}

function wayText(way: Way): string {
  switch (way.kind) {
    case 'pod': return `by link ${way.link}${way.up ? '' : ', which is down'}, a pod of this host`
    case 'tunnel': return `by tunnel ${way.link} (mtu ${way.mtu}) to ${way.peer ?? 'nobody'}`
    case 'routed': return `by link ${way.link} (mtu ${way.mtu})${way.gateway === undefined ? '' : ` and ${way.gateway}`}`
    case 'own': return 'nowhere: it is its own'
    case 'none': return `nowhere: ${way.why}`
  }
}

function arrivalStep(address: string, node: string, host: HostView): Step {
  const way = host.wayTo(address)
  return { mark: way.kind === 'pod' && way.up ? 'good' : 'bad', subject: 'arrival', text: `on ${node} ${wayText(way)}` }
}

/** A host always reaches its own pods. */
function isHostItself({ address, host }: Start, there: HostView | undefined): boolean {
  return host === there && host.addresses.includes(address)
}

/** Whether network policies let it out here and in there, as far as either end is isolated by any. */
function* policySteps({ address, port, protocol }: Destination, pod: Pod | undefined, there: HostView | undefined, start: Start, { cluster }: TraceOptions): Generator<Step> {
  const source = start.addresses.find((each) => each.includes(':') === address.includes(':')) ?? start.address
  for (const [direction, host, subject] of [['egress', start.host, podAt(cluster, source)], ['ingress', isHostItself(start, there) ? undefined : there, pod]] as const) {
    const ruleset = subject === undefined ? undefined : host?.policyTable()
    const fate = ruleset === undefined ? undefined : policyFate(ruleset, direction, { source, destination: address, protocol, port })
    if (fate === undefined || subject === undefined) continue
    const names = isolating(cluster.policies, direction, subject).map(({ metadata }) => metadata.name).join(', ')
    yield { mark: fate.passes ? 'good' : 'bad', subject: 'policy', text: `${names} of pod ${nameOf(subject)} ${fate.passes ? 'lets' : 'does not let'} it ${direction === 'egress' ? 'out' : 'in'} (chain ${fate.chain})` }
  }
}

/** Who takes the packet where it arrives: a program, or for an address of the host a rule of its proxy. */
function* endStep(destination: Destination, pod: Pod | undefined, { node, host }: { readonly node: string; readonly host: HostView }, start: Start): Generator<Step> {
  const { address, port, protocol } = destination
  const [fate] = pod === undefined && start.host !== host ? (readFates(destination, { ...start, host }) ?? []) : []
  if (fate !== undefined && fate.kind !== 'untouched') return yield { mark: fate.kind === 'endpoint' ? 'good' : 'bad', subject: 'arrival', text: `on ${node} ${address} ${protocol} ${port} ─► chains ${fate.chains.join(', ')} ─► ${fate.kind === 'endpoint' ? 'an endpoint of its service' : fate.kind}` }
  const there = pod === undefined || pod.spec.hostNetwork === true ? host.own : host.pod(address)
  yield there === undefined ? { mark: 'bad', subject: 'listener', text: `no network namespace on ${node} has the address ${address}` } : listenStep(there, destination)
}

function listenStep(there: NamespaceView, { address, port, protocol }: Destination): Step {
  const sockets = there.sockets().filter((socket) => socket.protocol === protocol)
  const wildcards = address.includes(':') ? ['::'] : ['0.0.0.0', '::']
  const onPort = sockets.filter((socket) => socket.port === port)
  const found = onPort.find((socket) => socket.address === address || wildcards.includes(socket.address))
  if (found !== undefined) return { mark: 'good', subject: 'listener', text: `${found.address} ${protocol} ${port}` }
  const others = [...new Set((onPort.length > 0 ? onPort : sockets).map((socket) => `${socket.address} ${socket.port}`))]
  return { mark: 'bad', subject: 'listener', text: `nothing listens on ${address} ${protocol} ${port} there; there is ${others.length === 0 ? 'no listener at all' : others.join(', ')}` }
}

function portOfPod(pod: Pod, text: string | undefined): number {
  const ports = pod.spec.containers.flatMap(({ ports: all = [] }) => all)
  const port = text === undefined ? ports[0]?.containerPort : /^\d+$/.test(text) ? Number(text) : ports.find(({ name }) => name === text)?.containerPort
  if (port === undefined || port < 1 || port > 65_535) throw new Error(text === undefined ? `Cannot trace to pod ${nameOf(pod)}: its containers name no port; write one after the name, as in pod/web:80` : `Cannot trace to port ${text} of pod ${nameOf(pod)}: there is none such`)
  return port
}

function triedText(what: string, outcome: Connected): string {
  return outcome.connected ? `${what} opened in ${outcome.ms.toFixed(1)} ms` : `${what}: ${outcome.why}`
}

function verdict(good: boolean, text: string): Step {
  return { mark: good ? 'good' : 'bad', subject: good ? reached : 'failed', text }
}

const untried = 'untried'
const reached = 'reached'

function isEnd({ subject }: Step): boolean {
  return subject === untried || subject === reached
}

function notTried(what: string): Step {
  return { mark: 'good', subject: untried, text: `${what}: UDP says nothing back by itself; what could be looked at stands above` }
}
