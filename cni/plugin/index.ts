/** The main plugin `fairway`: one routed veth pair per attachment, no bridge. */
import { openNftables } from '../../netlink/nftables/index.ts'
import { RouteSocket } from '../../netlink/route/index.ts'
import { DelegatedIpam } from '../ipam/delegate.ts'
import { attachmentKey } from '../ipam/entry.ts'
import { ipamType } from '../ipam/index.ts'
import type { Ipam } from '../ipam/index.ts'
import type { PluginConfig } from '../protocol/config.ts'
import type { AttachmentId, Invocation } from '../protocol/environment.ts'
import { CniError, errorCodes } from '../protocol/error.ts'
import type { Result } from '../protocol/result.ts'
import type { Plugin } from '../protocol/run.ts'
import { applyPlan, removeLink, removeOrphanedRules } from './apply.ts'
import { findProblems } from './difference.ts'
import { defaultMtu, openPlaces, readHostState } from './have.ts'
import type { Places } from './have.ts'
import { planAttach } from './plan.ts'
import { Records } from './record.ts'
import type { AttachmentRecord } from './record.ts'
import { addTranslation, forgetConnections, forgetEarlierDatagrams, removeTranslation, sweepTranslations } from './translate.ts'
import { isTranslated, ownerComment, ownerLink } from './translation.ts'
import { besideOthers, derivedMac, describeAttachment, hostLinkName, ipamTypeOf, parseRequest, wantAttachment } from './want.ts'
import type { Attachment } from './want.ts'

export class FairwayPlugin implements Plugin {
  readonly #ipam: Ipam

  /** Addresses come from the IPAM plugin in the same process, or from another that is executed. */
  constructor(ipam: Ipam) {
    this.#ipam = ipam
  }

  #ipamOf(config: PluginConfig): Plugin {
    const type = ipamTypeOf(config)
    return type === ipamType ? this.#ipam : new DelegatedIpam(type)
  }

  async add(config: PluginConfig, invocation: Invocation): Promise<Result> {
    using host = RouteSocket.open()
    const request = parseRequest(config, invocation, () => defaultMtu(host))
    const records = new Records(config)
    using places = openPlaces(host, invocation.netns)
    const links = { hostLink: hostLinkName(invocation), podLink: invocation.ifname }
    refuseExisting(places, links)
    const allocation = await this.#ipamOf(config).add(config, invocation)
    try {
      const have = readHostState(places, links)
      const want = besideOthers(wantAttachment(request, invocation, allocation), invocation, have.defaultRoutes)
      if (isTranslated(want.translation) || ipamTypeOf(config) !== ipamType) records.write({ containerId: invocation.containerId, ifname: invocation.ifname, translation: want.translation })
      applyPlan(planAttach(want, have), places)
      if (isTranslated(want.translation)) translate(host, want, config)
      return describeAttachment(want, invocation, config, allocation.dns)
    } catch (error) {
      // where another ADD of the same attachment was faster, all of it is its
      if (!(error instanceof CniError && error.code === errorCodes.exists)) await this.del(config, invocation)
      throw error
    }
  }

  /** The links first, then the addresses: an address is free when nothing of it is left. */
  async del(config: PluginConfig, invocation: Invocation): Promise<void> {
    const records = new Records(config)
    using host = RouteSocket.open()
    const record = records.read(invocation)
    await untranslate(host, config, invocation, record)
    await removeLink(host, hostLinkName(invocation))
    if (invocation.netns !== '') await removePodEnd(host, invocation, config.runtimeConfig['mac'])
    if (config.ipam !== undefined) await this.#ipamOf(config).del(config, invocation)
    records.remove(invocation)
  }

  async check(config: PluginConfig, invocation: Invocation): Promise<void> {
    await this.#ipamOf(config).check(config, invocation)
    using host = RouteSocket.open()
    using places = openPlaces(host, invocation.netns)
    const request = parseRequest(config, invocation, () => defaultMtu(host))
    const problems = findProblems(places, { config, invocation, request, record: new Records(config).read(invocation) })
    if (problems.length > 0) throw new CniError('notAsLeft', `Cannot confirm attachment ${invocation.ifname} of container ${invocation.containerId}: ${problems.join('; ')}`)
  }

  /** What is known from journal, records and the tables of nftables, less what is valid. */
  async gc(config: PluginConfig, valid: readonly AttachmentId[]): Promise<void> {
    const records = new Records(config)
    const own = ipamTypeOf(config) === ipamType
    const keep = new Set(valid.map(hostLinkName))
    const recorded = records.list()
    const known = new Map<string, AttachmentId>([...(own ? this.#ipam.attachments(config) : []), ...recorded].map((one) => [attachmentKey(one), one]))
    const stale = [...known.values()].filter((attachment) => !keep.has(hostLinkName(attachment)))
    using host = RouteSocket.open()
    sweep(config, (link) => keep.has(link))
    for (const { translation } of recorded.filter((record) => !keep.has(hostLinkName(record)))) await forgetConnections(host, translation)
    for (const attachment of stale) await removeLink(host, hostLinkName(attachment))
    if (own) await this.#ipam.release(config, stale)
    else for (const attachment of stale) await this.#ipamOf(config).del(config, { ...attachment, netns: '', args: {} })
    if (!own) await this.#ipamOf(config).gc(config, valid)
    for (const attachment of stale) records.remove(attachment)
  }

  async status(config: PluginConfig): Promise<void> {
    if (process.geteuid?.() !== 0) throw new CniError('notAvailable', 'Cannot make links without root')
    await this.#ipamOf(config).status(config)
  }
}

function translate(host: RouteSocket, { hostLink, translation }: Attachment, { name }: PluginConfig): void {
  using nftables = openNftables()
  addTranslation(nftables, host, translation, ownerComment(hostLink, name))
  forgetEarlierDatagrams(host, translation)
}

/** From the record; where that is lost although there should be one, from the tables. */
async function untranslate(host: RouteSocket, config: PluginConfig, invocation: Invocation, record: AttachmentRecord | undefined): Promise<void> {
  const link = hostLinkName(invocation)
  if (record === undefined) {
    if (mayBeTranslated(config)) sweep(config, (other) => other !== link)
    return
  }
  if (!isTranslated(record.translation)) return
  using nftables = openNftables()
  removeTranslation(nftables, record.translation, ownerComment(link, config.name))
  await forgetConnections(host, record.translation)
}

function mayBeTranslated({ fields, runtimeConfig }: PluginConfig): boolean {
  const mappings = runtimeConfig['portMappings']
  return fields['ipMasq'] === true || (Array.isArray(mappings) && mappings.length > 0)
}

/** Removes this network's elements of attachments that do not stay. */
function sweep({ name }: PluginConfig, stays: (hostLink: string) => boolean): void {
  using nftables = openNftables()
  sweepTranslations(nftables, (comment) => {
    const link = ownerLink(comment)
    return comment !== ownerComment(link, name) || stays(link)
  })
}

function refuseExisting({ host, pod }: Places, { hostLink, podLink }: { readonly hostLink: string; readonly podLink: string }): void {
  if (pod.links.get(podLink) !== undefined) throw new CniError('exists', `Cannot attach: the container has a link ${podLink} already`)
  if (host.links.get(hostLink) !== undefined) throw new CniError('exists', `Cannot attach: the host's link ${hostLink} of this attachment is there already`)
}

/** Where the host's end was renamed or moved away, the pod's end still leads to it. */
async function removePodEnd(host: RouteSocket, invocation: Invocation, requested: unknown): Promise<void> {
  try {
    using places = openPlaces(host, invocation.netns)
    const link = places.pod.links.get(invocation.ifname)
    if (link?.kind === 'veth' && (link.mac === derivedMac(invocation) || link.mac === requested)) await removeLink(places.pod, link.index)
    removeOrphanedRules(places.pod)
  } catch (error) {
    // the namespace is gone, or what is there now is none: nothing of ours is in it
    const gone: readonly number[] = [errorCodes.unknownContainer, errorCodes.invalidEnvironment]
    if (!(error instanceof CniError && gone.includes(error.code))) throw error
  }
}
