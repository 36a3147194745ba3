/** What one attachment is to look like, from its configuration and the addresses it was given. Pure. */
import { createHash } from 'node:crypto'
import { canonicalAddress, parsePrefix } from '../../netlink/addresses.ts'
import { ipamType } from '../ipam/index.ts'
import { invalidConfig, isObject, looseField, objectField } from '../protocol/config.ts'
import type { PluginConfig } from '../protocol/config.ts'
import type { AttachmentId, Invocation } from '../protocol/environment.ts'
import { CniError } from '../protocol/error.ts'
import { decodeDns } from '../protocol/result.ts'
import type { Dns, Result, ResultRoute } from '../protocol/result.ts'
import { parseBandwidth } from './bandwidth.ts'
import type { Bandwidth } from './bandwidth.ts'
import { parsePortMappings } from './ports.ts'
import type { PortMapping } from './ports.ts'
import { parseSettings } from './settings.ts'
import type { Setting } from './settings.ts'
import type { Translation } from './translation.ts'
import { refuseUnsupported } from './unsupported.ts'

/** Routes that this plugin made carry it, so that they can be told from others' (RTPROT_*, free for users from 5 to 255). */
export const podRouteProtocol = 70

/**
 * The next hop of every pod, on every host: nobody has these addresses. The pod knows by a permanent neighbour entry which link address they have,
 * that of the host's end, and the host routes whatever it gets there.
 */
export const gateways = { ipv4: '169.254.1.1', ipv6: 'fe80::1' } as const
/** The host's end of every pair: links of their own, so one address does for all. */
export const gatewayMac = '02:fa:1e:00:00:01'

export type Family = 'ipv4' | 'ipv6'

export interface Attachment {
  readonly hostLink: string
  readonly podLink: string
  readonly mtu: number
  readonly podMac: string
  readonly addresses: readonly { readonly family: Family; readonly address: string }[]
  /** Routes of the pod; a gateway left out is the family's. */
  readonly routes: readonly ResultRoute[]
  /** Rules of the pod: what it sends from these addresses leaves by the routes of that table. */
  readonly rules: readonly { readonly from: string; readonly table: number }[]
  readonly bandwidth: Bandwidth
  readonly settings: readonly Setting[]
  readonly translation: Translation
}

/** What the configuration asks for, as far as that can be said before there are addresses. */
export interface Request {
  readonly mtu: number
  readonly mac: string
  readonly mappings: readonly PortMapping[]
  readonly masquerade: boolean
  readonly bandwidth: Bandwidth
  readonly settings: readonly Setting[]
}

/** Checks all of a configuration but its addresses, so that nothing was done when it is refused. */
export function parseRequest(config: PluginConfig, invocation: Invocation, hostMtu: () => number): Request {
  const { fields, runtimeConfig } = config
  const { ipMasq } = fields
  refuseUnsupported(config)
  if (ipMasq !== undefined && ipMasq !== null && typeof ipMasq !== 'boolean') throw invalidConfig(`ipMasq is ${JSON.stringify(ipMasq)}, not true or false`)
  if (fields['dns'] !== undefined && fields['dns'] !== null) decodeDns(fields['dns'], 'configuration')
  ipamTypeOf(config)
  const mtu = configuredMtu(config) ?? hostMtu()
  return {
    mtu,
    mac: macOf(config, invocation),
    mappings: parsePortMappings(runtimeConfig['portMappings']),
    masquerade: ipMasq === true,
    bandwidth: parseBandwidth(runtimeConfig['bandwidth'] ?? fields['bandwidth'], mtu),
    settings: parseSettings(fields, invocation.ifname),
  }
}

/** Which IPAM plugin gives the addresses: the name of an executable. */
export function ipamTypeOf({ ipam }: PluginConfig): string {
  const type = ipam?.['type'] ?? undefined
  if (type === undefined) throw invalidConfig(`ipam.type is missing: ${ipamType}, or another IPAM plugin`)
  if (typeof type !== 'string' || !/^[a-zA-Z0-9][\w.-]*$/.test(type)) throw invalidConfig(`ipam.type ${JSON.stringify(type)} is not the name of an executable`)
  return type
}

/** A routing table of the pod for one link of several. 24 bits: two of a pod's links never meet in practice. */
function tableOf(attachment: AttachmentId): number {
  return 0x6600_0000 + Number.parseInt(digest('table', attachment).slice(0, 6), 16)
}

function digest(kind: string, { containerId, ifname }: AttachmentId): string {
  return createHash('sha256').update(`${kind}\0${containerId}\0${ifname}`).digest('hex')
}

/** The host's end is named after the attachment, so that DEL and GC find it without a record. 44 bits: two of 10,000 meet in one of 350,000 hosts. */
export function hostLinkName(attachment: AttachmentId): string {
  return `fw${digest('link', attachment).slice(0, 11)}`
}

/** Locally administered, unicast. */
export function derivedMac(attachment: AttachmentId): string {
  return `02:${digest('mac', attachment).slice(0, 10).match(/../g)?.join(':') ?? ''}`
}

/** The configured MTU; undefined or 0 leaves it to the host. */
function configuredMtu({ fields }: PluginConfig): number | undefined {
  const mtu = fields['mtu'] ?? 0
  if (typeof mtu !== 'number' || !Number.isInteger(mtu) || mtu < 0 || mtu > 65535 || (mtu > 0 && mtu < 68)) throw invalidConfig(`mtu ${JSON.stringify(mtu)} is not 68 to 65535`)
  return mtu === 0 ? undefined : mtu
}

/** From the capability `mac`, the conventional `args.cni.mac`, CNI_ARGS, or derived from the attachment. */
function macOf({ runtimeConfig, fields }: PluginConfig, invocation: Invocation): string {
  const conventional = objectField(objectField(fields, 'args') ?? {}, 'cni')?.['mac']
  const mac = runtimeConfig['mac'] ?? conventional ?? invocation.args.mac ?? derivedMac(invocation)
  if (typeof mac !== 'string' || !/^[0-9a-f][02468ace](?::[0-9a-f]{2}){5}$/i.test(mac) || /^(?:00[:]?){6}$/.test(mac)) throw invalidConfig(`mac ${JSON.stringify(mac)} is not the address of one link, such as 02:11:22:33:44:55`)
  return mac.toLowerCase()
}

export function wantAttachment(request: Request, invocation: Invocation, allocation: Result): Attachment {
  const given = allocation.ips.map(({ address }) => parseGiven(address))
  if (given.length === 0) throw new CniError('noAddress', 'Cannot attach: the IPAM plugin gave no address')
  const families = [...new Set(given.map(({ family }) => family))]
  const everywhere = families.map((family) => ({ dst: family === 'ipv4' ? '0.0.0.0/0' : '::/0' }))
  const { mappings, masquerade, mtu, mac, bandwidth, settings } = request
  const stray = mappings.find((mapping) => !mapping.families.some((family) => families.includes(family)))
  if (stray !== undefined) throw invalidConfig(`portMappings leads ${stray.hostIP ?? `every ${stray.families.join()} address`} of the host to a container without ${stray.families.join()} address`)
  return {
    hostLink: hostLinkName(invocation),
    podLink: invocation.ifname,
    mtu,
    podMac: mac,
    addresses: given.map(({ family, address }) => ({ family, address })),
    routes: (allocation.routes.length > 0 ? allocation.routes : everywhere).map((route) => withGateway(route)),
    rules: [],
    bandwidth,
    settings,
    translation: { addresses: families.flatMap((family) => given.find((one) => one.family === family) ?? []), mappings, masquerade },
  }
}

function parseGiven(address: string): { readonly family: Family; readonly address: string; readonly subnet: string } {
  try {
    const { address: bare, prefixLength } = parsePrefix(address)
    return { family: familyOf(bare), address: canonicalAddress(bare), subnet: `${canonicalAddress(bare)}/${prefixLength}` }
  } catch (error) {
    throw new CniError('undecodable', `Cannot use address ${JSON.stringify(address)} of the IPAM plugin: ${(error as Error).message}`)
  }
}

/**
 * Beside another link that has the pod's default route this one gets a routing table of its own, and what is sent from its addresses is looked up there:
 * so answers leave by the link that the question came by.
 */
export function besideOthers(attachment: Attachment, invocation: Invocation, defaultRoutes: ReadonlySet<Family>): Attachment {
  const table = tableOf(invocation)
  const isSecond = (prefix: string): boolean => defaultRoutes.has(familyOf(prefix))
  const own = attachment.routes.map((route) => (route.dst.endsWith('/0') && isSecond(route.dst) && route.table === undefined ? { ...route, table } : route))
  const sources = own.some((route) => route.table === table) ? attachment.addresses.filter(({ address }) => isSecond(address)) : []
  return { ...attachment, routes: own, rules: sources.map(({ family, address }) => ({ from: `${address}/${family === 'ipv4' ? 32 : 128}`, table })) }
}

/** Everything goes to the host: a gateway of the configuration is that of the subnet, which is no link here. */
function withGateway(route: ResultRoute): ResultRoute {
  const family = familyOf(route.dst.split('/')[0] ?? '')
  try {
    parsePrefix(route.dst)
  } catch (error) {
    throw invalidConfig(`route to ${route.dst}: ${(error as Error).message}`)
  }
  return { ...route, gw: gateways[family] }
}

function familyOf(address: string): Family {
  return address.includes(':') ? 'ipv6' : 'ipv4'
}

/** The result of ADD. `sandbox` is the namespace's path as the runtime named it. */
export function describeAttachment(attachment: Attachment, { netns }: Invocation, { prevResult, runtimeConfig, fields }: PluginConfig, allocated: Dns): Result {
  const { hostLink, podLink, mtu, podMac, addresses, routes } = attachment
  const before = prevResult?.interfaces ?? []
  return {
    interfaces: [...before, { name: hostLink, mac: gatewayMac, mtu }, { name: podLink, mac: podMac, mtu, sandbox: netns }],
    ips: [
      ...(prevResult?.ips ?? []),
      ...addresses.map(({ family, address }) => ({ address: `${address}/${family === 'ipv4' ? 32 : 128}`, gateway: gateways[family], interface: before.length + 1 })),
    ],
    routes: [...(prevResult?.routes ?? []), ...routes],
    dns: dnsOf(runtimeConfig['dns'], fields['dns'] === undefined || fields['dns'] === null ? undefined : decodeDns(fields['dns'], 'configuration')) ?? prevResult?.dns ?? allocated,
  }
}

/** The capability `dns` says servers and searches where results say nameservers and search. */
function dnsOf(capability: unknown, configured: Dns | undefined): Dns | undefined {
  if (!isObject(capability)) return configured
  const list = (name: string): string[] | undefined => {
    const value = looseField(capability, name)
    return Array.isArray(value) ? value.map(String) : undefined
  }
  return { nameservers: list('servers'), search: list('searches'), options: list('options') }
}
