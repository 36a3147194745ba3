/**
 * Links: network interfaces, real and virtual.
 */
import { LayoutError, NetlinkError, errnoNumber, isNotFound } from '../errors.ts'
import type { Decoded, Encodable } from '../layout.ts'
import type { NetnsHandle } from '../netns.ts'
import { NLM_F_CREATE, NLM_F_EXCL } from '../socket.ts'
import {
  IFF_LOOPBACK, IFF_LOWER_UP, IFF_UP, RTM_DELLINK, RTM_DELLINKPROP, RTM_GETLINK, RTM_NEWLINK, RTM_NEWLINKPROP,
  bridgeData, linkMessage, vethData, vxlanData,
} from './layouts.ts'
import type { LinkAttributes, LinkMessage, linkStatistics } from './layouts.ts'
import type { RouteTransport } from './transport.ts'

export type LinkStatistics = Decoded<typeof linkStatistics>

/** What a VXLAN link does. Addresses as text. */
export interface Vxlan {
  readonly id: number
  readonly local?: string | undefined
  readonly group?: string | undefined
  readonly port: number
  readonly learning: boolean
  readonly ttl: number
  /** index of the link that carries it */
  readonly link?: number | undefined
}

/** A link as the kernel has it. */
export interface Link {
  readonly index: number
  readonly name: string
  readonly altNames: readonly string[]
  /** administratively up */
  readonly up: boolean
  /** the carrier is there (the other end of a veth is up) */
  readonly lowerUp: boolean
  readonly loopback: boolean
  /** IFF_* */
  readonly flags: number
  readonly mtu: number
  readonly mac?: string | undefined
  /** `veth`, `vxlan`, `bridge`, …; none for hardware and `lo` */
  readonly kind?: string | undefined
  /** index of the bridge (or other master) it belongs to */
  readonly master?: number | undefined
  /** index of the link below it, or of a veth's peer (in namespace `linkNetnsId` if that is set) */
  readonly link?: number | undefined
  readonly linkNetnsId?: number | undefined
  readonly txQueueLength?: number | undefined
  readonly vxlan?: Vxlan | undefined
  readonly statistics?: LinkStatistics | undefined
}

/** Which link: by index, or by name or alternative name. */
export type LinkSelector = number | string

/** What any new link may be given. */
interface LinkBasics {
  readonly name: string
  readonly mtu?: number | undefined
  readonly mac?: string | undefined
  readonly up?: boolean | undefined
  readonly index?: number | undefined
  readonly txQueueLength?: number | undefined
  /** the namespace to make it in, if not the socket's */
  readonly netns?: NetnsHandle | undefined
}

/** The other end of a veth. It cannot be made up at once: the kernel refuses, as the pair is not joined yet. */
export type VethPeer = Omit<LinkBasics, 'up'>

/** A link to be made. */
export type LinkSpec = LinkBasics & { readonly master?: number | undefined } & (
  | { readonly kind: 'veth'; readonly peer: VethPeer }
  | { readonly kind: 'vxlan'; readonly vxlan: VxlanSpec }
  | { readonly kind: 'bridge'; readonly bridge?: Encodable<typeof bridgeData> | undefined }
  | { readonly kind: 'dummy' }
  /** Keys and peers are set by `Wireguard`. */
  | { readonly kind: 'wireguard' }
)

/** A VXLAN to be made: learning is off unless asked for, the port 4789, the TTL inherited (0). */
export interface VxlanSpec {
  readonly id: number
  readonly local?: string | undefined
  readonly group?: string | undefined
  readonly port?: number | undefined
  readonly learning?: boolean | undefined
  readonly ttl?: number | undefined
  readonly link?: number | undefined
}

/** What can be changed. `master: 0` takes it out of its bridge; `netns` moves it to another namespace. */
export interface LinkChange {
  readonly name?: string | undefined
  readonly up?: boolean | undefined
  readonly mtu?: number | undefined
  readonly mac?: string | undefined
  readonly master?: number | undefined
  readonly txQueueLength?: number | undefined
  readonly netns?: NetnsHandle | { readonly pid: number } | undefined
}

/** IFNAMSIZ less the terminator (include/uapi/linux/if.h). */
const NAME_BYTES = 15
/** ALTIFNAMSIZ less the terminator. */
const ALT_NAME_BYTES = 127

/** Names and kinds are checked here because the kernel's answer to a bad one (EINVAL, ERANGE) does not say why. */
function checkName(operation: string, name: string, bytesMax = NAME_BYTES): void {
  const size = Buffer.byteLength(name)
  if (size >= 1 && size <= bytesMax && name !== '.' && name !== '..' && !/[\s/:\0]/.test(name)) return
  throw new NetlinkError(operation, `link ${JSON.stringify(name)}`, errnoNumber('EINVAL'), `(a name has 1 to ${bytesMax} bytes, no slash, colon or space)`)
}

/** The `links` part of a route socket. */
export class Links {
  readonly #transport: RouteTransport

  constructor(transport: RouteTransport) {
    this.#transport = transport
  }

  /** All links, or those of one kind, or those in one bridge. */
  list(filter: { kind?: string; master?: number } = {}): Link[] {
    const attributes: LinkAttributes = { master: filter.master, ...(filter.kind === undefined ? {} : { info: { kind: filter.kind } }) }
    const payload = linkMessage.encode({ header: {}, attributes })
    const messages = this.#transport.dump(RTM_GETLINK, 0, payload, { operation: 'list', object: 'links' })
    return messages
      .map(({ payload }) => readLink(linkMessage.decode(payload)))
      .filter((link) => (filter.kind === undefined || link.kind === filter.kind) && (filter.master === undefined || link.master === filter.master))
  }

  /** One link, or undefined where there is none. */
  get(selector: LinkSelector): Link | undefined {
    const payload = linkMessage.encode(select(selector))
    try {
      const [answer] = this.#transport.request(RTM_GETLINK, 0, payload, { operation: 'get', object: `link ${selector}` })
      return answer === undefined ? undefined : readLink(linkMessage.decode(answer.payload))
    } catch (error) {
      if (isNotFound(error)) return undefined
      throw error
    }
  }

  /** Makes a link. With `peer.netns`, a veth's other end appears in that namespace at once, never in this one. */
  add(spec: LinkSpec): void {
    checkName('add', spec.name)
    if (spec.kind === 'veth') checkName('add', spec.peer.name)
    const basics = linkBasics(spec)
    const payload = linkMessage.encode({
      header: basics.header,
      attributes: { ...basics.attributes, master: spec.master, info: { kind: spec.kind, data: kindData(spec) } },
    })
    this.#transport.request(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, payload, { operation: 'add', object: `${spec.kind} link ${spec.name}` })
  }

  /** Changes a link. A new name takes effect first, so that `up` in the same change finds it renamed. */
  set(selector: LinkSelector, change: LinkChange): void {
    const what = { operation: 'set', object: `${describe(change)} of link ${selector}` }
    let by = select(selector)
    if (change.name !== undefined) {
      checkName('rename', change.name)
      by = select(this.#index(selector, what.operation, what.object))
    }
    const attributes: LinkAttributes = {
      ...by.attributes,
      ...(change.name === undefined ? {} : { name: change.name }),
      mtu: change.mtu,
      mac: change.mac,
      master: change.master,
      txQueueLength: change.txQueueLength,
      ...(change.netns === undefined ? {} : 'pid' in change.netns ? { netnsPid: change.netns.pid } : { netnsFd: change.netns.descriptor }),
    }
    const flags = change.up === undefined ? {} : { flags: change.up ? IFF_UP : 0, change: IFF_UP }
    this.#transport.request(RTM_NEWLINK, 0, linkMessage.encode({ header: { ...by.header, ...flags }, attributes }), what)
  }

  /** Removes a link; of a veth, both ends. */
  delete(selector: LinkSelector): void {
    this.#transport.request(RTM_DELLINK, 0, linkMessage.encode(select(selector)), { operation: 'delete', object: `link ${selector}` })
  }

  /**
   * `delete` in a thread of the pool: the kernel waits until no CPU can still be using the link, 10 to 30 ms, and several such
   * waits pass together. This socket is not to be used until then.
   */
  async deleteInThread(selector: LinkSelector): Promise<void> {
    await this.#transport.requestInThread(RTM_DELLINK, 0, linkMessage.encode(select(selector)), { operation: 'delete', object: `link ${selector}` })
  }

  /** Gives a link a further name, of up to 127 bytes. */
  addAltName(selector: LinkSelector, altName: string): void {
    this.#altName(RTM_NEWLINKPROP, NLM_F_CREATE | NLM_F_EXCL, 'add', selector, altName)
  }

  deleteAltName(selector: LinkSelector, altName: string): void {
    this.#altName(RTM_DELLINKPROP, 0, 'delete', selector, altName)
  }

  #altName(type: number, flags: number, operation: string, selector: LinkSelector, altName: string): void {
    checkName(operation, altName, ALT_NAME_BYTES)
    const object = `alternative name ${altName} of link ${selector}`
    const index = this.#index(selector, operation, object)
    this.#transport.request(type, flags, linkMessage.encode({ header: { index }, attributes: { altNames: [altName] } }), { operation, object })
  }

  #index(selector: LinkSelector, operation: string, object: string): number {
    if (typeof selector === 'number') return selector
    const link = this.get(selector)
    if (link === undefined) throw new NetlinkError(operation, object, errnoNumber('ENODEV'))
    return link.index
  }
}

function select(selector: LinkSelector): { header: { index?: number }; attributes: LinkAttributes } {
  if (typeof selector === 'number') return { header: { index: selector }, attributes: {} }
  return { header: {}, attributes: Buffer.byteLength(selector) > NAME_BYTES ? { altName: selector } : { name: selector } }
}

function linkBasics(spec: LinkBasics): { header: { index?: number; flags?: number; change?: number }; attributes: LinkAttributes } {
  return {
    header: { index: spec.index ?? 0, ...(spec.up === true ? { flags: IFF_UP, change: IFF_UP } : {}) },
    attributes: { name: spec.name, mtu: spec.mtu, mac: spec.mac, txQueueLength: spec.txQueueLength, netnsFd: spec.netns?.descriptor },
  }
}

function kindData(spec: LinkSpec): Uint8Array | undefined {
  switch (spec.kind) {
    case 'veth':
      return vethData.encode({ peer: linkBasics(spec.peer) })
    case 'bridge':
      return spec.bridge === undefined ? undefined : bridgeData.encode(spec.bridge)
    case 'vxlan': {
      const { id, local, group, port, learning, ttl, link } = spec.vxlan
      return vxlanData.encode({
        id, link, ttl, learning: learning === true ? 1 : 0, port: port ?? 4789,
        ...(local?.includes(':') ? { local6: local } : { local }),
        ...(group?.includes(':') ? { group6: group } : { group }),
      })
    }
    case 'dummy':
    case 'wireguard':
      return undefined
  }
}

function describe(change: LinkChange): string {
  return Object.entries(change)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => (typeof value === 'object' ? name : `${name} ${String(value)}`))
    .join(', ')
}

/** A link from its message; for listeners and tests. */
export function readLink({ header, attributes }: LinkMessage): Link {
  const kind = attributes.info?.kind
  return {
    index: header.index,
    name: attributes.name ?? '',
    altNames: attributes.altNames ?? [],
    up: (header.flags & IFF_UP) !== 0,
    lowerUp: (header.flags & IFF_LOWER_UP) !== 0,
    loopback: (header.flags & IFF_LOOPBACK) !== 0,
    flags: header.flags,
    mtu: attributes.mtu ?? 0,
    mac: attributes.mac,
    kind,
    master: attributes.master,
    link: attributes.link,
    linkNetnsId: attributes.linkNetnsId,
    txQueueLength: attributes.txQueueLength,
    statistics: attributes.statistics,
    vxlan: kind === 'vxlan' ? readVxlan(attributes.info?.data) : undefined,
  }
}

function readVxlan(data: Uint8Array | undefined): Vxlan {
  const { id, local, local6, group, group6, port, learning, ttl, link } = vxlanData.decode(data ?? new Uint8Array())
  if (id === undefined) throw new LayoutError('Cannot read VXLAN link: it has no id')
  return { id, local: local ?? local6, group: group ?? group6, port: port ?? 0, learning: learning === 1, ttl: ttl ?? 0, link }
}
