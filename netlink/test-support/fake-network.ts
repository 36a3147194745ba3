/**
 * A fake kernel for route sockets: links, addresses, routes, neighbours, forwarding entries and rules in memory.
 * It speaks the wire format (it takes and gives encoded messages), so what it is asked is what the kernel would be.
 * `route.kernel.test.ts` runs the same cases against it and against a real namespace.
 *
 *     const network = new FakeNetwork()
 *     const host = network.namespace(), pod = network.namespace()
 *     const route = RouteSocket.over(host)
 *     route.links.add({ kind: 'veth', name: 'pod1', peer: { name: 'eth0', netns: pod } })
 */
import { NetlinkError } from '../errors.ts'
import { AF_BRIDGE, AF_INET, AF_INET6 } from '../ffi.ts'
import type { NetnsHandle } from '../netns.ts'
import {
  IFA_F_NODAD, IFA_F_NOPREFIXROUTE, IFA_F_PERMANENT, IFF_LOOPBACK, IFF_LOWER_UP, IFF_RUNNING, IFF_UP, NTF_PROXY,
  RTM_DELADDR, RTM_DELLINK, RTM_DELLINKPROP, RTM_DELNEIGH, RTM_DELROUTE, RTM_DELRULE, RTM_GETADDR, RTM_GETLINK, RTM_GETNEIGH, RTM_GETROUTE, RTM_GETRULE,
  RTM_NEWADDR, RTM_NEWLINK, RTM_NEWLINKPROP, RTM_NEWNEIGH, RTM_NEWROUTE, RTM_NEWRULE, RTPROT_KERNEL, RT_SCOPE_HOST, RT_SCOPE_LINK, RT_TABLE_LOCAL, RT_TABLE_MAIN,
  addressMessage, linkMessage, neighbourMessage, routeMessage, routeTypes, ruleMessage, vethData, vxlanData,
} from '../route/layouts.ts'
import type { AddressMessage, LinkMessage, NeighbourMessage, RouteMessage } from '../route/layouts.ts'
import type { RouteTransport } from '../route/transport.ts'
import { NLM_F_CREATE, NLM_F_EXCL } from '../socket.ts'
import type { Listening, Message, What } from '../socket.ts'
import { ForwardingTable, NeighbourTable, Refusal, RouteTable, RuleTable, network } from './fake-tables.ts'

interface FakeLink {
  index: number
  name: string
  altNames: string[]
  up: boolean
  mtu: number
  mac: string
  kind: string | undefined
  data: Uint8Array | undefined
  master: number | undefined
  lowerLink: number | undefined
  txQueueLength: number
  peer: FakeLink | undefined
  home: FakeNamespace
}

/** Namespaces that can move links to one another. */
export class FakeNetwork {
  readonly #namespaces: FakeNamespace[] = []

  /** A new namespace with `lo`, down. */
  namespace(): FakeNamespace {
    const made = new FakeNamespace(this, 1000 + this.#namespaces.length)
    this.#namespaces.push(made)
    return made
  }

  byDescriptor(descriptor: number): FakeNamespace {
    const found = this.#namespaces.find((namespace) => namespace.descriptor === descriptor)
    if (found === undefined) throw new Refusal('EINVAL')
    return found
  }
}

interface Listener {
  readonly groups: readonly number[]
  readonly onMessage: (message: Message) => void
  readonly onOverrun: () => void
}

/** One namespace of the fake kernel; what a RouteSocket is opened over. */
export class FakeNamespace implements RouteTransport, NetnsHandle {
  readonly descriptor: number
  readonly #network: FakeNetwork
  readonly #listeners = new Set<Listener>()
  #links: FakeLink[] = []
  #addresses: AddressMessage[] = []
  readonly #routes = new RouteTable({ isUp: (index) => this.#links.find((link) => link.index === index)?.up })
  readonly #neighbours = new NeighbourTable()
  readonly #proxies = new NeighbourTable()
  readonly #forwarding = new ForwardingTable()
  readonly #rules = new RuleTable()
  #nextIndex = 2
  /** every request made, in order, as `operation object`: for tests that look at what was done */
  readonly log: string[] = []

  constructor(network: FakeNetwork, descriptor: number) {
    this.#network = network
    this.descriptor = descriptor
    this.#links.push({ ...this.#newLink('lo', undefined), index: 1, mtu: 65536, mac: '00:00:00:00:00:00' })
    for (const family of [AF_INET, AF_INET6]) {
      for (const [priority, table] of [[0, 255], [32766, 254], [32767, 253]] as const) {
        if (family === AF_INET6 && table === 253) continue
        const header = { family, destinationLength: 0, sourceLength: 0, tos: 0, table, reserved1: 0, reserved2: 0, action: 1, flags: 0 }
        this.#rules.add({ header, attributes: { priority, table, protocol: RTPROT_KERNEL } })
      }
    }
  }

  request(type: number, flags: number, payload: Uint8Array, what: What): readonly Message[] {
    this.log.push(`${what.operation} ${what.object}`)
    return this.#answer(what, () => this.#handle(type, flags, payload))
  }

  async requestInThread(type: number, flags: number, payload: Uint8Array, what: What): Promise<readonly Message[]> {
    await Promise.resolve()
    return this.request(type, flags, payload, what)
  }

  dump(type: number, _flags: number, payload: Uint8Array, what: What): readonly Message[] {
    return this.#answer(what, () => this.#list(type, payload))
  }

  listen(groups: readonly number[], onMessage: (message: Message) => void, onOverrun: () => void): Listening {
    const listener = { groups, onMessage, onOverrun }
    this.#listeners.add(listener)
    return { close: () => void this.#listeners.delete(listener) }
  }

  /** Lets every listener believe that it missed something. */
  overrun(): void {
    for (const listener of this.#listeners) listener.onOverrun()
  }

  close(): void {
    this.#listeners.clear()
  }

  #answer(what: What, fn: () => readonly Message[]): readonly Message[] {
    try {
      return fn()
    } catch (error) {
      if (error instanceof Refusal) throw new NetlinkError(what.operation, what.object, error.errno, error.kernelMessage)
      throw error
    }
  }

  /** Events reach listeners as the real ones do: later, not within the request. */
  #emit(groups: readonly number[], type: number, payload: Buffer): void {
    for (const listener of this.#listeners) {
      if (!groups.some((group) => listener.groups.includes(group))) continue
      setImmediate(() => {
        if (this.#listeners.has(listener)) listener.onMessage({ type, payload })
      })
    }
  }

  #handle(type: number, flags: number, payload: Uint8Array): readonly Message[] {
    switch (type) {
      case RTM_NEWLINK: {
        const message = linkMessage.decode(payload)
        if (flags & NLM_F_CREATE && message.attributes.info !== undefined) this.#addLink(message, flags)
        else this.#setLink(message)
        return []
      }
      case RTM_DELLINK:
        this.#deleteLink(this.#find(linkMessage.decode(payload)))
        return []
      case RTM_GETLINK:
        return [{ type: RTM_NEWLINK, payload: linkMessage.encode(this.#show(this.#find(linkMessage.decode(payload)))) }]
      case RTM_NEWLINKPROP:
      case RTM_DELLINKPROP:
        this.#setAltNames(type === RTM_NEWLINKPROP, linkMessage.decode(payload))
        return []
      case RTM_NEWADDR:
        this.#addAddress(addressMessage.decode(payload), flags)
        return []
      case RTM_DELADDR:
        this.#deleteAddress(addressMessage.decode(payload))
        return []
      case RTM_NEWROUTE: {
        const { added } = this.#routes.add(routeMessage.decode(payload), flags)
        this.#emitRoute(RTM_NEWROUTE, added)
        return []
      }
      case RTM_DELROUTE:
        this.#emitRoute(RTM_DELROUTE, this.#routes.delete(routeMessage.decode(payload)))
        return []
      case RTM_GETROUTE: {
        const { destination } = routeMessage.decode(payload).attributes
        if (destination === undefined) throw new Refusal('EINVAL')
        return [{ type: RTM_NEWROUTE, payload: routeMessage.encode(this.#routes.resolve(destination)) }]
      }
      case RTM_NEWNEIGH:
      case RTM_DELNEIGH:
        this.#changeNeighbour(type, neighbourMessage.decode(payload), flags)
        return []
      case RTM_NEWRULE:
      case RTM_DELRULE: {
        const message = ruleMessage.decode(payload)
        const rule = type === RTM_NEWRULE ? this.#rules.add(message) : this.#rules.delete(message)
        this.#emit([rule.header.family === AF_INET ? 8 : 19], type, ruleMessage.encode(rule))
        return []
      }
      default:
        throw new Refusal('EOPNOTSUPP')
    }
  }

  #list(type: number, payload: Uint8Array): readonly Message[] {
    switch (type) {
      case RTM_GETLINK:
        return this.#links.map((link) => ({ type: RTM_NEWLINK, payload: linkMessage.encode(this.#show(link)) }))
      case RTM_GETADDR: {
        const { family } = addressMessage.decode(payload).header
        return ofFamily(this.#addresses, family).map((address) => ({ type: RTM_NEWADDR, payload: addressMessage.encode(address) }))
      }
      case RTM_GETROUTE: {
        const { family } = routeMessage.decode(payload).header
        return ofFamily(this.#routes.routes, family).map((route) => ({ type: RTM_NEWROUTE, payload: routeMessage.encode(route) }))
      }
      case RTM_GETNEIGH: {
        const { family, flags } = neighbourMessage.decode(payload).header
        const table = family === AF_BRIDGE ? this.#forwarding : flags & NTF_PROXY ? this.#proxies : this.#neighbours
        return ofFamily(table.entries, family).map((entry) => ({ type: RTM_NEWNEIGH, payload: neighbourMessage.encode(entry) }))
      }
      case RTM_GETRULE: {
        const { family } = ruleMessage.decode(payload).header
        return ofFamily(this.#rules.rules, family).map((rule) => ({ type: RTM_NEWRULE, payload: ruleMessage.encode(rule) }))
      }
      default:
        throw new Refusal('EOPNOTSUPP')
    }
  }

  // Links

  #newLink(name: string, kind: string | undefined): FakeLink {
    const index = this.#nextIndex
    const octets = [index >> 8, index & 0xff].map((byte) => byte.toString(16).padStart(2, '0'))
    return {
      index, name, altNames: [], up: false, mtu: 1500, mac: `02:fa:ce:${(this.descriptor & 0xff).toString(16).padStart(2, '0')}:${octets.join(':')}`,
      kind, data: undefined, master: undefined, lowerLink: undefined, txQueueLength: 1000, peer: undefined, home: this,
    }
  }

  #find({ header, attributes }: LinkMessage): FakeLink {
    const name = attributes.name ?? attributes.altName
    const found = this.#links.find((link) => (header.index !== 0 ? link.index === header.index : link.name === name || link.altNames.includes(name ?? '')))
    if (found === undefined) throw new Refusal('ENODEV')
    return found
  }

  #named(name: string): boolean {
    return this.#links.some((link) => link.name === name || link.altNames.includes(name))
  }

  /** Puts a link into this namespace, under its index if that is free. */
  #place(link: FakeLink, wantedIndex = link.index): void {
    if (this.#named(link.name)) throw new Refusal('EEXIST')
    link.index = wantedIndex !== 0 && !this.#links.some((other) => other.index === wantedIndex) ? wantedIndex : this.#nextIndex++
    this.#nextIndex = Math.max(this.#nextIndex, link.index + 1)
    link.home = this
    this.#links.push(link)
  }

  #create(message: LinkMessage, kind: string, destination: FakeNamespace): FakeLink {
    const { name } = message.attributes
    if (name === undefined) throw new Refusal('EINVAL')
    if (destination.#named(name)) throw new Refusal('EEXIST')
    const link = destination.#newLink(name, kind)
    if (message.attributes.mtu !== undefined) link.mtu = checkMtu(message.attributes.mtu)
    if (message.attributes.mac !== undefined) link.mac = message.attributes.mac
    if (message.attributes.txQueueLength !== undefined) link.txQueueLength = message.attributes.txQueueLength
    link.master = message.attributes.master
    destination.#place(link, message.header.index)
    return link
  }

  #destination({ attributes }: LinkMessage): FakeNamespace {
    return attributes.netnsFd === undefined ? this : this.#network.byDescriptor(attributes.netnsFd)
  }

  #addLink(message: LinkMessage, flags: number): void {
    const { info } = message.attributes
    const kind = info?.kind ?? ''
    if (this.#named(message.attributes.name ?? '') && flags & NLM_F_EXCL) throw new Refusal('EEXIST')
    if (kind === 'vxlan') this.#checkVxlan(info?.data)
    else if (kind !== 'veth' && kind !== 'bridge' && kind !== 'dummy') throw new Refusal('EOPNOTSUPP', 'Unknown device type')
    let peer: FakeLink | undefined
    if (kind === 'veth') {
      const described = vethData.decode(info?.data ?? new Uint8Array()).peer
      if (described === undefined) throw new Refusal('EINVAL')
      if (described.header.flags & IFF_UP) throw new Refusal('ENOTCONN')
      peer = this.#create(described, kind, this.#destination(described))
    }
    const link = this.#create(message, kind, this.#destination(message))
    link.data = kind === 'vxlan' ? info?.data : undefined
    if (peer !== undefined) [link.peer, peer.peer] = [peer, link]
    link.home.#announce(RTM_NEWLINK, link)
    if (peer !== undefined) peer.home.#announce(RTM_NEWLINK, peer)
    if (message.header.flags & IFF_UP) link.home.#turn(link, true)
  }

  #checkVxlan(data: Uint8Array | undefined): void {
    const wanted = vxlanData.decode(data ?? new Uint8Array())
    for (const link of this.#links.filter((link) => link.kind === 'vxlan')) {
      const { id, port } = vxlanData.decode(link.data ?? new Uint8Array())
      if (id === wanted.id && port === wanted.port) throw new Refusal('EEXIST', 'A VXLAN device with the specified VNI already exists')
    }
  }

  #setLink(message: LinkMessage): void {
    const { header, attributes } = message
    const link = this.#find(message)
    if (attributes.master !== undefined && attributes.master !== 0 && !this.#links.some((other) => other.index === attributes.master)) throw new Refusal('EINVAL')
    if (attributes.mtu !== undefined) link.mtu = checkMtu(attributes.mtu)
    if (attributes.name !== undefined && attributes.name !== link.name) {
      if (this.#named(attributes.name)) throw new Refusal('EEXIST')
      link.name = attributes.name
    }
    if (attributes.mac !== undefined) link.mac = attributes.mac
    if (attributes.txQueueLength !== undefined) link.txQueueLength = attributes.txQueueLength
    if (attributes.master !== undefined) link.master = attributes.master === 0 ? undefined : attributes.master
    const destination = this.#destination(message)
    if (destination !== this) this.#move(link, destination)
    const up = header.change & IFF_UP ? (header.flags & IFF_UP) !== 0 : link.up
    if (up !== link.up) link.home.#turn(link, up)
    else link.home.#announce(RTM_NEWLINK, link)
  }

  #move(link: FakeLink, destination: FakeNamespace): void {
    if (link.kind === undefined || link.kind === 'bridge') throw new Refusal('EINVAL', 'The interface netns is immutable')
    if (destination.#named(link.name)) throw new Refusal('EEXIST')
    this.#forget(link)
    this.#links = this.#links.filter((other) => other !== link)
    this.#announce(RTM_DELLINK, link)
    link.up = false
    link.master = undefined
    destination.#place(link)
  }

  #deleteLink(link: FakeLink): void {
    if (link.kind === undefined) throw new Refusal('EOPNOTSUPP')
    for (const end of [link, link.peer]) {
      if (end === undefined) continue
      const { home } = end
      home.#forget(end)
      home.#links = home.#links.filter((other) => other !== end)
      for (const other of home.#links) if (other.master === end.index) other.master = undefined
      home.#announce(RTM_DELLINK, end)
    }
  }

  #setAltNames(add: boolean, message: LinkMessage): void {
    const link = this.#find(message)
    for (const altName of message.attributes.altNames ?? []) {
      if (add && this.#named(altName)) throw new Refusal('EEXIST')
      if (!add && !link.altNames.includes(altName)) throw new Refusal('ENOENT')
      link.altNames = add ? [...link.altNames, altName] : link.altNames.filter((other) => other !== altName)
    }
    this.#announce(RTM_NEWLINK, link)
  }

  /** Up brings the routes to the link's own prefixes; down takes every route, neighbour and IPv6 address with it. */
  #turn(link: FakeLink, up: boolean): void {
    link.up = up
    this.#announce(RTM_NEWLINK, link)
    if (link.peer !== undefined) link.peer.home.#announce(RTM_NEWLINK, link.peer)
    if (up) {
      for (const address of this.#addresses.filter(({ header }) => header.index === link.index)) this.#addPrefixRoute(address)
      return
    }
    const gone = this.#addresses.filter(({ header }) => header.index === link.index && header.family === AF_INET6)
    for (const address of gone) this.#dropAddress(address)
    this.#dropRoutes((route) => route.attributes.outputLink === link.index && !(route.header.family === AF_INET && route.header.type === LOCAL))
    this.#dropNeighbours(link)
  }

  #forget(link: FakeLink): void {
    for (const address of this.#addresses.filter(({ header }) => header.index === link.index)) this.#dropAddress(address)
    this.#dropRoutes((route) => route.attributes.outputLink === link.index)
    this.#dropNeighbours(link)
    this.#proxies.entries = this.#proxies.entries.filter((entry) => entry.header.index !== link.index)
    this.#forwarding.entries = this.#forwarding.entries.filter((entry) => entry.header.index !== link.index)
  }

  #show(link: FakeLink): LinkMessage {
    const lowerUp = link.up && (link.peer === undefined || link.peer.up)
    const flags = (link.up ? IFF_UP : 0) | (lowerUp ? IFF_LOWER_UP | IFF_RUNNING : 0) | (link.name === 'lo' ? IFF_LOOPBACK : 0)
    const message = {
      header: { family: 0, type: 1, index: link.index, flags, change: 0 },
      attributes: {
        name: link.name, mtu: link.mtu, mac: link.mac, master: link.master, txQueueLength: link.txQueueLength,
        link: link.peer?.index ?? link.lowerLink,
        ...(link.peer !== undefined && link.peer.home !== this ? { linkNetnsId: link.peer.home.descriptor - 1000 } : {}),
        ...(link.altNames.length === 0 ? {} : { altNames: link.altNames }),
        ...(link.kind === undefined ? {} : { info: { kind: link.kind, data: link.data } }),
      },
    }
    return linkMessage.decode(linkMessage.encode(message))
  }

  #announce(type: number, link: FakeLink): void {
    this.#emit([1], type, linkMessage.encode(this.#show(link)))
  }

  // Addresses

  #addAddress({ header, attributes }: AddressMessage, flags: number): void {
    const link = this.#links.find((link) => link.index === header.index)
    if (link === undefined) throw new Refusal('ENODEV', header.family === AF_INET ? 'ipv4: Device not found' : 'ipv6: Unable to find the interface')
    const given = (attributes.flags ?? header.flags) & (IFA_F_NODAD | IFA_F_NOPREFIXROUTE)
    const address: AddressMessage = {
      header: { ...header, flags: (given | IFA_F_PERMANENT) & 0xff },
      attributes: { ...attributes, ...(header.family === AF_INET ? { label: link.name } : { local: undefined }), flags: given | IFA_F_PERMANENT },
    }
    const same = this.#addresses.findIndex((other) => addressKey(other) === addressKey(address))
    if (same >= 0 && flags & NLM_F_EXCL) throw new Refusal('EEXIST', header.family === AF_INET ? 'ipv4: Address already assigned' : 'ipv6: address already assigned')
    if (same >= 0) this.#addresses[same] = address
    else this.#addresses.push(address)
    this.#emit([header.family === AF_INET ? 5 : 9], RTM_NEWADDR, addressMessage.encode(address))
    if (link.up) this.#addPrefixRoute(address)
  }

  #deleteAddress(request: AddressMessage): void {
    const found = this.#addresses.find((other) => addressKey(other) === addressKey(request))
    if (found === undefined) throw new Refusal('EADDRNOTAVAIL', request.header.family === AF_INET ? 'ipv4: Address not found' : 'ipv6: address not found')
    this.#dropAddress(found)
  }

  #dropAddress(address: AddressMessage): void {
    const own = ownAddress(address)
    this.#addresses = this.#addresses.filter((other) => other !== address)
    this.#emit([address.header.family === AF_INET ? 5 : 9], RTM_DELADDR, addressMessage.encode(address))
    const prefix = network(own, address.header.prefixLength)
    this.#dropRoutes(
      ({ header, attributes }) =>
        (attributes.table === RT_TABLE_LOCAL && attributes.destination === own) ||
        (address.header.family === AF_INET && attributes.source === own) ||
        (header.protocol === RTPROT_KERNEL && attributes.outputLink === address.header.index && attributes.destination === prefix && header.destinationLength === address.header.prefixLength),
    )
  }

  #addPrefixRoute(address: AddressMessage): void {
    const { family, prefixLength, index } = address.header
    const own = ownAddress(address)
    const bits = family === AF_INET ? 32 : 128
    const header = { family, sourceLength: 0, tos: 0, protocol: RTPROT_KERNEL, flags: 0 }
    const source = family === AF_INET ? { source: own } : {}
    const add = (route: RouteMessage): void => {
      if (this.#routes.routes.some((other) => other.attributes.table === route.attributes.table && other.attributes.destination === route.attributes.destination && other.attributes.outputLink === index)) return
      this.#emitRoute(RTM_NEWROUTE, this.#routes.add(route, NLM_F_CREATE).added)
    }
    add({
      header: { ...header, destinationLength: bits, table: RT_TABLE_LOCAL, scope: RT_SCOPE_HOST, type: LOCAL },
      attributes: { destination: own, outputLink: index, table: RT_TABLE_LOCAL, ...source, ...(family === AF_INET ? {} : { priority: 0 }) },
    })
    if ((address.attributes.flags ?? 0) & IFA_F_NOPREFIXROUTE || (prefixLength === bits && family === AF_INET)) return
    add({
      header: { ...header, destinationLength: prefixLength, table: RT_TABLE_MAIN, scope: RT_SCOPE_LINK, type: routeTypes.indexOf('unicast') },
      attributes: { destination: network(own, prefixLength), outputLink: index, table: RT_TABLE_MAIN, ...source, ...(family === AF_INET ? {} : { priority: 256 }) },
    })
  }

  // Routes and neighbours

  #emitRoute(type: number, route: RouteMessage): void {
    this.#emit([route.header.family === AF_INET ? 7 : 11], type, routeMessage.encode(route))
  }

  #dropRoutes(which: (route: RouteMessage) => boolean): void {
    const gone = this.#routes.routes.filter(which)
    this.#routes.routes = this.#routes.routes.filter((route) => !gone.includes(route))
    for (const route of gone) this.#emitRoute(RTM_DELROUTE, route)
  }

  #dropNeighbours(link: FakeLink): void {
    const gone = this.#neighbours.entries.filter(({ header }) => header.index === link.index)
    this.#neighbours.entries = this.#neighbours.entries.filter((entry) => !gone.includes(entry))
    for (const entry of gone) this.#emit([3], RTM_DELNEIGH, neighbourMessage.encode(entry))
  }

  #changeNeighbour(type: number, message: NeighbourMessage, flags: number): void {
    const { header } = message
    const link = this.#links.find((link) => link.index === header.index)
    if (link === undefined) throw new Refusal('ENODEV')
    const changed = this.#changeTable(type, message, flags, link)
    for (const entry of changed) this.#emit([3], type, neighbourMessage.encode(entry))
  }

  #changeTable(type: number, message: NeighbourMessage, flags: number, link: FakeLink): readonly NeighbourMessage[] {
    const adds = type === RTM_NEWNEIGH
    if (message.header.family === AF_BRIDGE) {
      if (link.kind !== 'vxlan') throw new Refusal('EOPNOTSUPP')
      if (!adds) return this.#forwarding.delete(message)
      const added = this.#forwarding.add(message, flags)
      return added === undefined ? [] : [added]
    }
    if (!(message.header.flags & NTF_PROXY)) return [adds ? this.#neighbours.add(message, flags) : this.#neighbours.delete(message)]
    // the kernel's proxy entries have no state, and adding one twice is no error
    const proxy = { header: { ...message.header, state: 0 }, attributes: { destination: message.attributes.destination } }
    return [adds ? this.#proxies.add(proxy, flags & ~NLM_F_EXCL) : this.#proxies.delete(proxy)]
  }
}

const LOCAL = routeTypes.indexOf('local')

function ofFamily<T extends { readonly header: { readonly family: number } }>(objects: readonly T[], family: number): readonly T[] {
  return family === 0 ? objects : objects.filter(({ header }) => header.family === family)
}

function ownAddress({ attributes }: AddressMessage): string {
  return attributes.local ?? attributes.address ?? ''
}

function addressKey(message: AddressMessage): string {
  return `${message.header.index} ${ownAddress(message)} ${message.header.family === AF_INET ? message.header.prefixLength : ''}`
}

function checkMtu(mtu: number): number {
  if (mtu < 68) throw new Refusal('EINVAL', 'mtu less than device minimum')
  if (mtu > 65535) throw new Refusal('EINVAL', 'mtu greater than device maximum')
  return mtu
}
