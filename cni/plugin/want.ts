/** What one attachment is to look like, from its configuration and the addresses it was given. Pure. */
import { createHash } from 'node:crypto'
import { parsePrefix } from '../../netlink/addresses.ts'
import { invalidConfig, isObject, objectField } from '../protocol/config.ts'
import type { PluginConfig } from '../protocol/config.ts'
import type { AttachmentId, Invocation } from '../protocol/environment.ts'
import { CniError } from '../protocol/error.ts'
import type { Dns, Result, ResultRoute } from '../protocol/result.ts'

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

/** What this plugin is configured to and cannot do is refused, not left out. */
export function refuseUnsupported({ fields, runtimeConfig, ipam }: PluginConfig): void {
  const asked = [
    ...(fields['ipMasq'] === true ? ['ipMasq (the overlay masquerades)'] : []),
    ...['portMappings', 'bandwidth'].filter((name) => isAsked(runtimeConfig[name])).map((name) => `runtimeConfig.${name}`),
  ]
  if (asked.length > 0) throw new CniError('unsupportedField', `Cannot use configuration: this plugin has no ${asked.join(', ')}`)
  if (ipam?.['type'] !== 'fairway-ipam') throw invalidConfig(`ipam.type is ${JSON.stringify(ipam?.['type'])}: this plugin takes addresses from fairway-ipam`)
}

function isAsked(value: unknown): boolean {
  return Array.isArray(value) ? value.length > 0 : isObject(value) && Object.keys(value).length > 0
}

/** The configured MTU; undefined or 0 leaves it to the host. */
export function configuredMtu({ fields }: PluginConfig): number | undefined {
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

export function wantAttachment(config: PluginConfig, invocation: Invocation, allocation: Result, hostMtu: number): Attachment {
  const addresses = allocation.ips.map(({ address }) => {
    const { address: bare } = parsePrefix(address)
    return { family: familyOf(bare), address: bare }
  })
  const families = [...new Set(addresses.map(({ family }) => family))]
  const everywhere = families.map((family) => ({ dst: family === 'ipv4' ? '0.0.0.0/0' : '::/0' }))
  return {
    hostLink: hostLinkName(invocation),
    podLink: invocation.ifname,
    mtu: configuredMtu(config) ?? hostMtu,
    podMac: macOf(config, invocation),
    addresses,
    routes: (allocation.routes.length > 0 ? allocation.routes : everywhere).map((route) => withGateway(route)),
  }
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
    dns: dnsOf(runtimeConfig['dns'], objectField(fields, 'dns')) ?? prevResult?.dns ?? allocated,
  }
}

/** The capability `dns` says servers and searches where results say nameservers and search. */
function dnsOf(capability: unknown, configured: Dns | undefined): Dns | undefined {
  if (!isObject(capability)) return configured
  const list = (name: string): string[] | undefined => (Array.isArray(capability[name]) ? capability[name].map(String) : undefined)
  return { nameservers: list('servers'), search: list('searches'), options: list('options') }
}
