/** Why a packet to a service goes where it goes: what the API says, what the kernel has, and the difference. */
import { isForbidden, isNotFound } from '../api/client.ts'
import type { Client } from '../api/client.ts'
import { endpointSlices, nodes, services } from '../api/resources.ts'
import type { EndpointSlice, Node, Service, ServicePort } from '../api/types.ts'
import type { Netns } from '../netlink/netns.ts'
import { openNftables } from '../netlink/nftables/index.ts'
import type { Nftables, Ruleset } from '../netlink/nftables/index.ts'
import { candidatesOf, endpointKey } from './endpoints.ts'
import type { Candidate } from './endpoints.ts'
import { families, familyOf } from './families.ts'
import { readHave, slotsOf } from './have.ts'
import type { Have } from './have.ts'
import { nodeView } from './node.ts'
import type { NodeOptions } from './node.ts'
import { mapsOf, table } from './rules.ts'
import { frontendKey, parseFrontendId, serviceNameLabel, wantService, whyIgnored } from './service.ts'
import type { NodeView, Target } from './service.ts'
import { hostAddresses } from './sockets.ts'

export interface ExplainOptions extends NodeOptions {
  readonly client: Client
  readonly nodeName: string
  /** `default/web`, `web`, `default/web:80`, `web:http` */
  readonly service: string
  readonly netns?: Netns | undefined
  /** For tests: in place of the kernel's. */
  readonly nftables?: Nftables | undefined
}

/** The text of `fairway proxy explain`. Throws a sentence when there is no such service or port. */
export async function explainService(options: ExplainOptions): Promise<string> {
  const { client, nodeName } = options
  const { namespace, name, port } = parseServiceName(options.service)
  const service = await client.get(services, { namespace, name })
  const slices = await client.list(endpointSlices, { namespace, labelSelector: `${serviceNameLabel}=${name}` })
  const addresses = options.nodePortAddresses === undefined ? undefined : (options.hostAddresses ?? hostAddresses(options.netns))
  const node = nodeView(nodeName, await findNode(client, nodeName), { ...options, hostAddresses: addresses })
  const ruleset = readTable(options)
  return explain({ service, slices: slices.items, node, ruleset, port })
}

/** What explaining needs, all of it data. */
interface Explained {
  readonly service: Service
  readonly slices: readonly EndpointSlice[]
  readonly node: NodeView
  /** The table as the kernel has it. */
  readonly ruleset: Ruleset | undefined
  readonly port?: string | undefined
}

function explain({ service, slices, node, ruleset, port }: Explained): string {
  const { namespace = 'default', name = '' } = service.metadata
  const key = `${namespace}/${name}`
  const ignored = whyIgnored(service)
  const lines = [`Service ${key}, ${service.spec.type ?? 'ClusterIP'}, as node ${node.name} has it`]
  if (ignored !== undefined) return [...lines, `  not served: ${ignored}`, ''].join('\n')
  const ports = (service.spec.ports ?? []).filter((each) => port === undefined || each.name === port || String(each.port) === port)
  if (ports.length === 0) throw new Error(`Cannot explain port ${port ?? ''} of service ${key}: it has ${(service.spec.ports ?? []).map(portText).join(', ')}`)
  const want = wantService(key, service, slices, node)
  const have = ruleset === undefined ? undefined : readHave(ruleset, {})
  if (have === undefined) lines.push(`  the kernel has no table ${table.family} ${table.name}: is the proxy running on this node?`)
  for (const each of ports) {
    lines.push('', `port ${portText(each)}`)
    for (const [id, target] of want.targets) if (target.port === (each.name ?? '')) lines.push(...frontendLines(id, target, have))
    for (const family of families) lines.push(...endpointLines(candidatesOf(slices, { name: each.name ?? '', protocol: each.protocol ?? 'TCP' }, family, { place: node, onProblem: () => undefined }), { targets: want.targets, service, node }))
  }
  for (const problem of want.problems) lines.push(`  left out: ${problem}`)
  return [...lines, ''].join('\n')
}

function portText({ name, port, protocol = 'TCP' }: ServicePort): string {
  return `${name === undefined ? '' : `${name} `}${port}/${protocol}`
}

function frontendLines(id: string, target: Target, have: Have | undefined): string[] {
  const frontend = parseFrontendId(id)
  const key = frontendKey(frontend)
  const { services: map, endpoints } = mapsOf(familyOf(frontend.address).digit, frontend.inside)
  const lines = [`  ${target.kind}${frontend.inside ? ' for clients on this node' : ''} ${key} ─► ${meaning(target)}${clientsOf(target)}`]
  if (have === undefined) return lines
  const present = have.sets.get(map)?.get(key)
  if (present !== target.chain) return [...lines, `    the kernel's map ${map} has ${present ?? 'nothing'}, not ${target.chain}`]
  lines.push(`    map ${map}: ${key.replaceAll(' ', ' . ')} : ${present}`)
  const wanted = new Set(target.endpoints)
  for (const [index, endpoint] of slotsOf(have, endpoints, key).entries()) {
    if (endpoint === undefined) continue
    lines.push(`    map ${endpoints}: ${key.replaceAll(' ', ' . ')} . ${index} : ${endpoint.replace(' ', ' . ')}${wanted.delete(endpoint) ? '' : '  (not wanted)'}`)
  }
  for (const endpoint of wanted) lines.push(`    the kernel's map ${endpoints} lacks ${endpoint}`)
  return lines
}

function meaning({ chain, endpoints }: Target): string {
  if (chain === 'drop') return 'dropped: its policy is Local and no endpoint is on this node'
  if (endpoints.length === 0) return 'refused: it has no endpoints'
  return `one of ${endpoints.length} at random${chain.endsWith('-sticky') ? ', then the same for each client' : ''}`
}

/** Whom source ranges let in; others are dropped. */
function clientsOf({ members }: Target): string {
  if (!members.some(({ set }) => set.startsWith('ranged'))) return ''
  const prefixes = members.flatMap(({ set, key }) => (set.startsWith('source-range') ? (key.split(' ').at(-1) ?? []) : []))
  return prefixes.length === 0 ? ', for no client: no source range can be read' : `, for clients of ${prefixes.join(', ')} alone`
}

interface Using {
  readonly targets: ReadonlyMap<string, Target>
  readonly service: Service
  readonly node: NodeView
}

function endpointLines(candidates: readonly Candidate[], using: Using): string[] {
  const used = new Set([...using.targets.values()].flatMap(({ endpoints }) => endpoints))
  return candidates.map((candidate) => {
    const place = candidate.local ? ', on this node' : ''
    return `  endpoint ${endpointKey(candidate).replace(' ', ' port ')}${place}: ${used.has(endpointKey(candidate)) ? 'used' : `not used, ${whyUnused(candidate, using, candidates)}`}`
  })
}

function whyUnused({ ready, serving, terminating, nodes, zones }: Candidate, { service: { spec }, node }: Using, all: readonly Candidate[]): string {
  if (terminating) {
    if (!serving) return 'it is terminating and serves no more'
    return all.some((other) => other.ready) ? 'it is terminating and others are ready' : 'it is terminating, and not on this node while the policy is Local'
  }
  if (!ready) return 'it is not ready'
  if (spec.internalTrafficPolicy === 'Local') return 'it is not on this node, and internalTrafficPolicy is Local'
  const hinted = [...(nodes ?? []).map((name) => `node ${name}`), ...(zones ?? []).map((name) => `zone ${name}`)]
  return hinted.length === 0 ? 'a Local policy prefers others' : `its hints are for ${hinted.join(', ')}, and this node is ${node.name}${node.zone === undefined ? '' : ` in zone ${node.zone}`}`
}

function parseServiceName(text: string): { readonly namespace: string; readonly name: string; readonly port: string | undefined } {
  const match = /^(?:([^/:]+)\/)?([^/:]+)(?::([^/:]+))?$/.exec(text)
  if (match === null) throw new Error(`Cannot explain ${JSON.stringify(text)}: it is no NAMESPACE/NAME:PORT`)
  return { namespace: match[1] ?? 'default', name: match[2] ?? '', port: match[3] }
}

async function findNode(client: Client, name: string): Promise<Node | undefined> {
  try {
    return await client.get(nodes, { name })
  } catch (error) {
    // The proxy does without, too.
    if (isNotFound(error) || isForbidden(error)) return undefined
    throw error
  }
}

function readTable({ netns, nftables }: ExplainOptions): Ruleset | undefined {
  if (nftables !== undefined) return nftables.list(table)
  using kernel = openNftables({ netns })
  return kernel.list(table)
}
