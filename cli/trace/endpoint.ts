/** The way to one address: whose it is, how it is reached, whether policies let it pass, and whether anyone listens. */
import { policyFate } from '../../cni/policy/explain.ts'
import { isolating } from '../../cni/policy/want.ts'
import { whereTo } from '../../proxy/model.ts'
import type { Fate } from '../../proxy/model.ts'
import type { Pod } from '../../api/types.ts'
import type { Connected } from './attempt.ts'
import { nameOf, nodeAt, podAt } from './cluster-view.ts'
import type { HostView, NamespaceView, Way } from './host-view.ts'
import type { Destination, Start, Step, TraceOptions } from './step.ts'

/** From the start to one address: whose it is, the way there, and whether anyone listens. */
export async function* toEndpoint({ address, port, protocol }: Destination, start: Start, options: TraceOptions, tried: { outcome?: Connected }): AsyncGenerator<Step> {
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

export function wayText(way: Way): string {
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

export function listenStep(there: NamespaceView, { address, port, protocol }: Destination): Step {
  const sockets = there.sockets().filter((socket) => socket.protocol === protocol)
  const wildcards = address.includes(':') ? ['::'] : ['0.0.0.0', '::']
  const onPort = sockets.filter((socket) => socket.port === port)
  const found = onPort.find((socket) => socket.address === address || wildcards.includes(socket.address))
  if (found !== undefined) return { mark: 'good', subject: 'listener', text: `${found.address} ${protocol} ${port}` }
  const others = [...new Set((onPort.length > 0 ? onPort : sockets).map((socket) => `${socket.address} ${socket.port}`))]
  return { mark: 'bad', subject: 'listener', text: `nothing listens on ${address} ${protocol} ${port} there; there is ${others.length === 0 ? 'no listener at all' : others.join(', ')}` }
}

/** By its own family's address: what the rules say of others is that of a packet which cannot be. */
export function readFates({ address, port, protocol }: Destination, { host, address: first, addresses }: Start): Fate[] | undefined {
  const source = addresses.find((each) => each.includes(':') === address.includes(':')) ?? first
  const ruleset = host.serviceTable()
  return ruleset === undefined ? undefined : whereTo(ruleset, { source, destination: address, protocol, port, hostAddresses: host.addresses })
}

export function triedText(what: string, outcome: Connected): string {
  return outcome.connected ? `${what} opened in ${outcome.ms.toFixed(1)} ms` : `${what}: ${outcome.why}`
}
