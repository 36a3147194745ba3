/** The main plugin `fairway`: one routed veth pair per attachment, no bridge. */
import { canonicalAddress, parsePrefix } from '../../netlink/addresses.ts'
import { RouteSocket } from '../../netlink/route/index.ts'
import type { Ipam } from '../ipam/index.ts'
import type { PluginConfig } from '../protocol/config.ts'
import type { AttachmentId, Invocation } from '../protocol/environment.ts'
import { CniError, errorCodes } from '../protocol/error.ts'
import type { Result } from '../protocol/result.ts'
import type { Plugin } from '../protocol/run.ts'
import { applyPlan, removeLink } from './apply.ts'
import { defaultMtu, openPlaces, readHostState } from './have.ts'
import type { Places } from './have.ts'
import { planAttach } from './plan.ts'
import { configuredMtu, derivedMac, describeAttachment, hostLinkName, refuseUnsupported, wantAttachment } from './want.ts'

export class FairwayPlugin implements Plugin {
  readonly #ipam: Ipam

  /** Addresses come from the IPAM plugin in the same process. */
  constructor(ipam: Ipam) {
    this.#ipam = ipam
  }

  async add(config: PluginConfig, invocation: Invocation): Promise<Result> {
    refuseUnsupported(config)
    using host = RouteSocket.open()
    using places = openPlaces(host, invocation.netns)
    const links = { hostLink: hostLinkName(invocation), podLink: invocation.ifname }
    refuseExisting(places, links)
    const mtu = configuredMtu(config) ?? defaultMtu(host)
    const allocation = await this.#ipam.add(config, invocation)
    try {
      const want = wantAttachment(config, invocation, allocation, mtu)
      applyPlan(planAttach(want, readHostState(places, links)), places)
      return describeAttachment(want, invocation, config, allocation.dns)
    } catch (error) {
      // where another ADD of the same attachment was faster, the address is its
      if (!(error instanceof CniError && error.code === errorCodes.exists)) await this.#ipam.del(config, invocation)
      throw error
    }
  }

  /** The links first, then the addresses: an address is free when nothing of it is left. */
  async del(config: PluginConfig, invocation: Invocation): Promise<void> {
    using host = RouteSocket.open()
    await removeLink(host, hostLinkName(invocation))
    if (invocation.netns !== '') await removePodEnd(host, invocation)
    if (config.ipam !== undefined) await this.#ipam.del(config, invocation)
  }

  async check(config: PluginConfig, invocation: Invocation): Promise<void> {
    await this.#ipam.check(config, invocation)
    using host = RouteSocket.open()
    using places = openPlaces(host, invocation.netns)
    const problems = findProblems(places, invocation, config.prevResult)
    if (problems.length > 0) throw new CniError('notAsLeft', `Cannot confirm attachment ${invocation.ifname} of container ${invocation.containerId}: ${problems.join('; ')}`)
  }

  async gc(config: PluginConfig, valid: readonly AttachmentId[]): Promise<void> {
    const keep = new Set(valid.map(hostLinkName))
    const stale = this.#ipam.attachments(config).filter((attachment) => !keep.has(hostLinkName(attachment)))
    using host = RouteSocket.open()
    for (const attachment of stale) await removeLink(host, hostLinkName(attachment))
    await this.#ipam.release(config, stale)
  }

  async status(config: PluginConfig): Promise<void> {
    refuseUnsupported(config)
    if (process.geteuid?.() !== 0) throw new CniError('notAvailable', 'Cannot make links without root')
    await this.#ipam.status(config)
  }
}

function refuseExisting({ host, pod }: Places, { hostLink, podLink }: { readonly hostLink: string; readonly podLink: string }): void {
  if (pod.links.get(podLink) !== undefined) throw new CniError('exists', `Cannot attach: the container has a link ${podLink} already`)
  if (host.links.get(hostLink) !== undefined) throw new CniError('exists', `Cannot attach: the host's link ${hostLink} of this attachment is there already`)
}

/** Where the host's end was renamed or moved away, the pod's end still leads to it. */
async function removePodEnd(host: RouteSocket, invocation: Invocation): Promise<void> {
  try {
    using places = openPlaces(host, invocation.netns)
    const link = places.pod.links.get(invocation.ifname)
    if (link?.kind === 'veth' && link.mac === derivedMac(invocation)) await removeLink(places.pod, link.index)
  } catch (error) {
    // the namespace is gone, or what is there now is none: nothing of ours is in it
    const gone: readonly number[] = [errorCodes.unknownContainer, errorCodes.invalidEnvironment]
    if (!(error instanceof CniError && gone.includes(error.code))) throw error
  }
}

/** How an attachment differs from what ADD said it had made. */
function findProblems({ host, pod }: Places, invocation: Invocation, previous: Result | undefined): string[] {
  const hostName = hostLinkName(invocation)
  const [hostLink, podLink] = [host.links.get(hostName), pod.links.get(invocation.ifname)]
  if (podLink === undefined) return [`link ${invocation.ifname} is gone`]
  if (hostLink === undefined) return [`link ${hostName} of the host is gone`]
  const at = previous?.interfaces.findIndex(({ name, sandbox }) => name === invocation.ifname && sandbox !== undefined && sandbox !== '') ?? -1
  const mac = previous?.interfaces[at]?.mac
  const expected = (previous?.ips ?? []).filter((ip) => ip.interface === at && at >= 0).map(({ address }) => parsePrefix(address))
  const addresses = new Set(pod.addresses.list({ link: podLink.index }).map(({ address }) => address))
  const hostRoutes = new Set(host.routes.list({ link: hostLink.index }).map(({ destination }) => destination))
  const podRoutes = new Set(pod.routes.list({ link: podLink.index }).map(({ destination }) => destination))
  const routes = (previous?.routes ?? []).filter(({ dst }) => expected.some(({ address }) => address.includes(':') === dst.includes(':')))
  return [
    ...(at < 0 ? [`prevResult has no interface ${invocation.ifname} in the container`] : []),
    ...(podLink.up ? [] : [`link ${invocation.ifname} is down`]),
    ...(hostLink.up ? [] : [`link ${hostName} of the host is down`]),
    ...(mac !== undefined && mac.toLowerCase() !== podLink.mac ? [`link ${invocation.ifname} has address ${podLink.mac ?? 'none'}, not ${mac}`] : []),
    ...expected.filter(({ address }) => !addresses.has(address)).map(({ address }) => `address ${address} is gone`),
    ...expected.filter(({ address, prefixLength }) => !hostRoutes.has(`${address}/${prefixLength}`)).map(({ address }) => `the host's route to ${address} is gone`),
    ...routes.filter(({ dst }) => !podRoutes.has(canonicalPrefix(dst))).map(({ dst }) => `route to ${dst} is gone`),
  ]
}

function canonicalPrefix(text: string): string {
  const [address = '', length] = text.split('/')
  return `${canonicalAddress(address)}/${length}`
}
