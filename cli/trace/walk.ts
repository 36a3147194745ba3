/**
 * The way from here to there, a step at a time: what the API says, what the kernels of the hosts on the way have, and what came of trying.
 * The walk goes on where it can after a step that failed, for the first cause is not always the only one.
 */
import type { Pod, Service, ServicePort } from '../../api/types.ts'
import { serviceNameLabel } from '../../proxy/service.ts'
import { inUrl } from '../local/addressing.ts'
import type { Connected } from './attempt.ts'
import { addressesOf, findNode, findPod, findService, hasEnded, internalAddresses, nameOf, podAt, serviceAt, whyNoEndpoints, whyNotReady } from './cluster-view.ts'
import type { ClusterView } from './cluster-view.ts'
import { listenStep, readFates, toEndpoint, triedText, wayText } from './endpoint.ts'
import type { Source, Target } from './places.ts'
import type { Destination, Protocol, Start, Step, TraceOptions } from './step.ts'

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
  if (text === undefined) throw new Error(`Cannot trace to ${address}: it is no service's, and so wants a port, as in ${inUrl(address)}:80`)
  const destination: Destination = { address, port: Number(text), protocol: options.protocol ?? 'tcp' }
  const fates = readFates(destination, start)
  const taken = fates?.some(({ kind }) => kind !== 'untouched') === true
  if (taken) return yield* throughTable(destination, undefined, start, options)
  yield* toEndpointAlone(destination, start, options)
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

function portOfPod(pod: Pod, text: string | undefined): number {
  const ports = pod.spec.containers.flatMap(({ ports: all = [] }) => all)
  const port = text === undefined ? ports[0]?.containerPort : /^\d+$/.test(text) ? Number(text) : ports.find(({ name }) => name === text)?.containerPort
  if (port === undefined || port < 1 || port > 65_535) throw new Error(text === undefined ? `Cannot trace to pod ${nameOf(pod)}: its containers name no port; write one after the name, as in pod/web:80` : `Cannot trace to port ${text} of pod ${nameOf(pod)}: there is none such`)
  return port
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
