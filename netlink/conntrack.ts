/**
 * Connection tracking: listing entries with a filter that the kernel applies, and deleting single entries.
 * include/uapi/linux/netfilter/nfnetlink_conntrack.h
 *
 * The kernel walks the whole table for a list however few entries match (35-45 ms for 262,144 buckets), so many
 * filters are better given at once. The table is never flushed.
 */
import { canonicalAddress } from './addresses.ts'
import { NetlinkError, isNotFound, isUnsupported } from './errors.ts'
import { AF_INET, AF_INET6 } from './ffi.ts'
import { attributes, be16, be32, be64, ipv4, ipv6, message, struct, u16, u32, u8 } from './layout.ts'
import type { Decoded, Encodable } from './layout.ts'
import type { Netns } from './netns.ts'
import { NETLINK_NETFILTER, NLM_F_CREATE, NLM_F_EXCL, NetlinkSocket } from './socket.ts'
import type { Listening, Message } from './socket.ts'

const NFNL_SUBSYS_CTNETLINK = 1
const IPCTNL_MSG_CT_NEW = NFNL_SUBSYS_CTNETLINK << 8
const IPCTNL_MSG_CT_GET = (NFNL_SUBSYS_CTNETLINK << 8) | 1
const IPCTNL_MSG_CT_DELETE = (NFNL_SUBSYS_CTNETLINK << 8) | 2

const NFNLGRP_CONNTRACK_DESTROY = 3
const LISTENING_BYTES = 4 << 20

const nfgenmsg = struct({ family: u8, version: u8, resourceId: be16 })

const tuple = attributes({
  ip: [1, attributes({ source4: [1, ipv4], destination4: [2, ipv4], source6: [3, ipv6], destination6: [4, ipv6] })],
  protocol: [2, attributes({
    number: [1, u8], sourcePort: [2, be16], destinationPort: [3, be16], icmpId: [4, be16], icmpType: [5, u8], icmpCode: [6, u8],
    icmp6Id: [7, be16], icmp6Type: [8, u8], icmp6Code: [9, u8],
  })],
  zone: [3, be16],
})
const counters = attributes({ packets: [1, be64], bytes: [2, be64] })
const tcpState = attributes({ state: [1, u8], originalFlags: [4, u16], replyFlags: [5, u16] })

const conntrackAttributes = attributes({
  original: [1, tuple],
  reply: [2, tuple],
  status: [3, be32],
  protocolInfo: [4, attributes({ tcp: [1, tcpState] })],
  timeout: [7, be32],
  mark: [8, be32],
  originalCounters: [9, counters],
  replyCounters: [10, counters],
  id: [12, be32],
  zone: [18, be16],
  markMask: [21, be32],
  filter: [25, attributes({ original: [1, u32], reply: [2, u32] })],
})
const conntrackMessage = message(nfgenmsg, conntrackAttributes)

/** Which parts of a tuple CTA_FILTER compares (net/netfilter/nf_internals.h). */
const CTA_FILTER_F_IP_DST = 1 << 1
const CTA_FILTER_F_IP_SRC = 1 << 0
const CTA_FILTER_F_PROTO_NUM = 1 << 3
const CTA_FILTER_F_SRC_PORT = 1 << 4
const CTA_FILTER_F_DST_PORT = 1 << 5

const protocols = { tcp: 6, udp: 17, sctp: 132, icmp: 1, icmpv6: 58 } as const
export type ConntrackProtocol = keyof typeof protocols

/** One direction of a connection. */
export interface ConntrackTuple {
  readonly source: string
  readonly destination: string
  readonly sourcePort?: number | undefined
  readonly destinationPort?: number | undefined
}

/** A tracked connection. Without translation `reply` is `original` with the sides exchanged. */
export interface ConntrackEntry {
  readonly family: 'ipv4' | 'ipv6'
  /** IPPROTO_* */
  readonly protocol: number
  readonly original: ConntrackTuple
  readonly reply: ConntrackTuple
  /** IPS_* bits */
  readonly status: number
  readonly timeoutSeconds: number
  readonly mark: number
  readonly zone: number
  readonly id?: number | undefined
  /** What it carried in each direction, headers included; where the namespace counts it (`nf_conntrack_acct`). */
  readonly originalBytes?: number | undefined
  readonly replyBytes?: number | undefined
}

/** An address, and perhaps one port of it. */
export interface Side {
  readonly address: string
  readonly port?: number | undefined
}

/** Which entries. All that is said has to match. */
export interface ConntrackFilter {
  readonly protocol: ConntrackProtocol
  /** whom the first packet was sent to: a cluster IP, say */
  readonly originalDestination?: Side | undefined
  /** who answers: the endpoint behind it (the same address where nothing is translated) */
  readonly replySource?: Side | undefined
}

/** Conntrack of one network namespace. */
export class Conntrack {
  readonly #socket: NetlinkSocket

  private constructor(socket: NetlinkSocket) {
    this.#socket = socket
  }

  static open(options: { readonly netns?: Netns | undefined } = {}): Conntrack {
    return new Conntrack(NetlinkSocket.open(NETLINK_NETFILTER, options))
  }

  /** All entries, or those that one filter matches. */
  list(filter?: ConntrackFilter): ConntrackEntry[] {
    return filter === undefined ? this.#dump({ header: {}, attributes: {} }) : this.#listFamily(familyOf(filter), [filter])
  }

  /** All entries; the look through the table is in a thread of the pool. Not to be used for anything else until it is done. */
  async listInThread(): Promise<ConntrackEntry[]> {
    return (await this.#socket.dumpInThread(IPCTNL_MSG_CT_GET, 0, conntrackMessage.encode({ header: {}, attributes: {} }), listing)).map(read)
  }

  /**
   * Deletes the entries that any of the filters matches and returns how many went. Filters need an address (whole
   * protocols are not deleted). Entries that end meanwhile are not counted.
   */
  deleteMatching(filters: readonly ConntrackFilter[]): number {
    let count = 0
    const groups = Map.groupBy(filters, (filter) => `${familyOf(filter)} ${filter.protocol}`)
    for (const group of groups.values()) {
      const [first] = group
      if (first === undefined) continue
      for (const entry of this.#listFamily(familyOf(first), group)) if (this.delete(entry)) count++
    }
    return count
  }

  /** `deleteMatching` whose look through the table is in a thread of the pool. Not to be used for anything else until it is done. */
  async deleteMatchingInThread(filters: readonly ConntrackFilter[]): Promise<number> {
    let count = 0
    for (const group of Map.groupBy(filters, (filter) => `${familyOf(filter)} ${filter.protocol}`).values()) {
      const [first] = group
      if (first === undefined) continue
      const family = familyOf(first)
      for (const entry of matching(await this.#dumpFilteredInThread(family, sharedBy(group)), group)) if (this.delete(entry)) count++
    }
    return count
  }

  /** Deletes one entry. False where it is gone already. */
  delete(entry: ConntrackEntry): boolean {
    const family = entry.family === 'ipv4' ? AF_INET : AF_INET6
    const payload = conntrackMessage.encode({
      header: { family },
      attributes: { original: encodeTuple(entry.protocol, entry.original), id: entry.id, ...(entry.zone === 0 ? {} : { zone: entry.zone }) },
    })
    try {
      this.#socket.request(IPCTNL_MSG_CT_DELETE, 0, payload, { operation: 'delete', object: `conntrack entry ${describeTuple(entry.original)}` })
      return true
    } catch (error) {
      if (isNotFound(error)) return false
      throw error
    }
  }

  /** Makes an entry: for tests, and for handing connections over. */
  add(entry: ConntrackEntry): void {
    const payload = conntrackMessage.encode({
      header: { family: entry.family === 'ipv4' ? AF_INET : AF_INET6 },
      attributes: {
        original: encodeTuple(entry.protocol, entry.original),
        reply: encodeTuple(entry.protocol, entry.reply),
        status: entry.status,
        timeout: entry.timeoutSeconds,
        mark: entry.mark,
        ...(entry.zone === 0 ? {} : { zone: entry.zone }),
        ...(entry.protocol === protocols.tcp ? { protocolInfo: { tcp: { state: TCP_CONNTRACK_ESTABLISHED } } } : {}),
      },
    })
    this.#socket.request(IPCTNL_MSG_CT_NEW, NLM_F_CREATE | NLM_F_EXCL, payload, { operation: 'add', object: `conntrack entry ${describeTuple(entry.original)}` })
  }

  close(): void {
    this.#socket.close()
  }

  [Symbol.dispose](): void {
    this.close()
  }

  #listFamily(family: number, filters: readonly ConntrackFilter[]): ConntrackEntry[] {
    return filters.length === 0 ? [] : matching(this.#dumpFiltered(family, sharedBy(filters)), filters)
  }

  #dumpFiltered(family: number, filter: ConntrackFilter): ConntrackEntry[] {
    try {
      return this.#dump({ header: { family }, attributes: encodeFilter(family, filter) })
    } catch (error) {
      if (!isWithoutFilter(error)) throw error
      return this.#dump({ header: { family }, attributes: {} })
    }
  }

  async #dumpFilteredInThread(family: number, filter: ConntrackFilter): Promise<ConntrackEntry[]> {
    const payload = conntrackMessage.encode({ header: { family }, attributes: encodeFilter(family, filter) })
    try {
      return (await this.#socket.dumpInThread(IPCTNL_MSG_CT_GET, 0, payload, listing)).map(read)
    } catch (error) {
      if (!isWithoutFilter(error)) throw error
      return this.#dump({ header: { family }, attributes: {} })
    }
  }

  #dump(request: Encodable<typeof conntrackMessage>): ConntrackEntry[] {
    return this.#socket.dump(IPCTNL_MSG_CT_GET, 0, conntrackMessage.encode(request), listing).map(read)
  }
}

const listing = { operation: 'list', object: 'conntrack entries' }

/** Kernels before 5.8 know no CTA_FILTER. */
function isWithoutFilter(error: unknown): boolean {
  return isUnsupported(error) || (error instanceof NetlinkError && error.code === 'EINVAL')
}

function read({ payload }: Message): ConntrackEntry {
  return readEntry(conntrackMessage.decode(payload))
}

/** What the kernel is asked for: one filter whole; of several it compares what they share, the protocol. */
function sharedBy(filters: readonly ConntrackFilter[]): ConntrackFilter {
  const [first] = filters
  if (first === undefined) throw new TypeError('Cannot list conntrack entries by no filter')
  return filters.length === 1 ? first : { protocol: first.protocol }
}

/** The entries that any of the filters matches. */
function matching(entries: readonly ConntrackEntry[], filters: readonly ConntrackFilter[]): ConntrackEntry[] {
  const wanted = filters.map(canonical)
  const byDestination = Map.groupBy(wanted, (filter) => filter.originalDestination?.address)
  const bySource = Map.groupBy(wanted.filter((filter) => filter.originalDestination === undefined), (filter) => filter.replySource?.address)
  const candidates = (entry: ConntrackEntry): readonly ConntrackFilter[] => [
    ...(byDestination.get(entry.original.destination) ?? []),
    ...(bySource.get(entry.reply.source) ?? []),
  ]
  return entries.filter((entry) => candidates(entry).some((filter) => matches(entry, filter)))
}

const TCP_CONNTRACK_ESTABLISHED = 3

/** Opens, deletes what any filter matches, closes. Returns how many entries went. */
export function deleteConntrack(filters: ConntrackFilter | readonly ConntrackFilter[], options: { readonly netns?: Netns | undefined } = {}): number {
  using conntrack = Conntrack.open(options)
  return conntrack.deleteMatching('protocol' in filters ? [filters] : filters)
}

/** Calls for every connection that ends, with what it carried. `onOverrun`: more ended than could be told. */
export function listenForEnds(onEnd: (entry: ConntrackEntry) => void, onOverrun: () => void, options: { readonly netns?: Netns | undefined } = {}): Listening {
  const socket = NetlinkSocket.open(NETLINK_NETFILTER, { ...options, groups: [NFNLGRP_CONNTRACK_DESTROY], receiveBufferBytes: LISTENING_BYTES })
  const listening = socket.listen((message) => message.type === IPCTNL_MSG_CT_DELETE && onEnd(read(message)), onOverrun)
  return {
    close() {
      listening.close()
      socket.close()
    },
  }
}

function familyOf(filter: ConntrackFilter): number {
  const address = filter.originalDestination?.address ?? filter.replySource?.address
  if (address === undefined) throw new TypeError(`Cannot match conntrack entries of ${filter.protocol}: the filter has no address`)
  return address.includes(':') ? AF_INET6 : AF_INET
}

function canonical(filter: ConntrackFilter): ConntrackFilter {
  const side = (given: Side | undefined): Side | undefined => given && { ...given, address: canonicalAddress(given.address) }
  return { protocol: filter.protocol, originalDestination: side(filter.originalDestination), replySource: side(filter.replySource) }
}

function matches(entry: ConntrackEntry, filter: ConntrackFilter): boolean {
  const same = (side: Side | undefined, address: string, port: number | undefined): boolean =>
    side === undefined || (side.address === address && (side.port === undefined || side.port === port))
  return (
    entry.protocol === protocols[filter.protocol] &&
    same(filter.originalDestination, entry.original.destination, entry.original.destinationPort) &&
    same(filter.replySource, entry.reply.source, entry.reply.sourcePort)
  )
}

type TupleAttributes = Encodable<typeof tuple>

function encodeFilter(family: number, { protocol, originalDestination, replySource }: ConntrackFilter): Encodable<typeof conntrackAttributes> {
  const number = protocols[protocol]
  // Linux compares IPv6 addresses the wrong way round (ctnetlink_filter_match_tuple drops what is equal, seen in 6.18):
  // of IPv6 only protocol and ports are left to it.
  const addresses = family === AF_INET
  const ip = (name: 'source4' | 'destination4', side: Side | undefined): TupleAttributes['ip'] => (addresses && side !== undefined ? { [name]: side.address } : {})
  const flags = (side: Side | undefined, address: number, port: number): number =>
    CTA_FILTER_F_PROTO_NUM | (addresses && side !== undefined ? address : 0) | (side?.port === undefined ? 0 : port)
  return {
    filter: {
      original: flags(originalDestination, CTA_FILTER_F_IP_DST, CTA_FILTER_F_DST_PORT),
      reply: flags(replySource, CTA_FILTER_F_IP_SRC, CTA_FILTER_F_SRC_PORT),
    },
    original: { ip: ip('destination4', originalDestination), protocol: { number, destinationPort: originalDestination?.port } },
    reply: { ip: ip('source4', replySource), protocol: { number, sourcePort: replySource?.port } },
  }
}

function encodeTuple(protocol: number, { source, destination, sourcePort, destinationPort }: ConntrackTuple): TupleAttributes {
  return {
    ip: source.includes(':') ? { source6: source, destination6: destination } : { source4: source, destination4: destination },
    protocol: { number: protocol, sourcePort, destinationPort },
  }
}

function readTuple(value: Decoded<typeof tuple> | undefined): ConntrackTuple {
  return {
    source: value?.ip?.source4 ?? value?.ip?.source6 ?? '',
    destination: value?.ip?.destination4 ?? value?.ip?.destination6 ?? '',
    sourcePort: value?.protocol?.sourcePort,
    destinationPort: value?.protocol?.destinationPort,
  }
}

function readEntry({ header, attributes }: Decoded<typeof conntrackMessage>): ConntrackEntry {
  return {
    family: header.family === AF_INET6 ? 'ipv6' : 'ipv4',
    protocol: attributes.original?.protocol?.number ?? 0,
    original: readTuple(attributes.original),
    reply: readTuple(attributes.reply),
    status: attributes.status ?? 0,
    timeoutSeconds: attributes.timeout ?? 0,
    mark: attributes.mark ?? 0,
    zone: attributes.zone ?? 0,
    id: attributes.id,
    originalBytes: byteCount(attributes.originalCounters),
    replyBytes: byteCount(attributes.replyCounters),
  }
}

function byteCount(value: Decoded<typeof counters> | undefined): number | undefined {
  return value?.bytes === undefined ? undefined : Number(value.bytes)
}

function describeTuple({ source, sourcePort, destination, destinationPort }: ConntrackTuple): string {
  return `${source}:${sourcePort ?? ''} to ${destination}:${destinationPort ?? ''}`
}
