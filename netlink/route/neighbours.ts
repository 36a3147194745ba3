/**
 * Neighbours (which link address an IP address has) and forwarding entries (behind which port, or which remote
 * VXLAN endpoint, a link address is). The kernel keeps both by the same messages.
 */
import { AF_BRIDGE, AF_INET } from '../ffi.ts'
import { NLM_F_APPEND, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE } from '../socket.ts'
import {
  NTF_EXT_LEARNED, NTF_MASTER, NTF_PROXY, NTF_SELF, NUD_DELAY, NUD_FAILED, NUD_INCOMPLETE, NUD_NOARP, NUD_PERMANENT, NUD_PROBE, NUD_REACHABLE,
  NUD_STALE, RTM_DELNEIGH, RTM_GETNEIGH, RTM_NEWNEIGH, neighbourMessage,
} from './layouts.ts'
import type { NeighbourMessage } from './layouts.ts'
import { familyNumber, familyOf } from './transport.ts'
import type { Family, RouteTransport } from './transport.ts'

const states = {
  incomplete: NUD_INCOMPLETE, reachable: NUD_REACHABLE, stale: NUD_STALE, delay: NUD_DELAY, probe: NUD_PROBE,
  failed: NUD_FAILED, noarp: NUD_NOARP, permanent: NUD_PERMANENT,
} as const

/** What is known of a neighbour; `none` of proxy entries. */
export type NeighbourState = keyof typeof states | 'none'

/** A neighbour as the kernel has it. */
export interface Neighbour {
  readonly family: Family
  /** index of its link; 0 of a proxy entry for all links */
  readonly link: number
  readonly address: string
  readonly mac?: string | undefined
  readonly state: NeighbourState
  /** this host answers for that address */
  readonly proxy: boolean
  /** NTF_* */
  readonly flags: number
}

/** A neighbour to be made: permanent unless a state is named. A proxy entry has no mac. */
export interface NeighbourSpec {
  readonly link: number
  readonly address: string
  readonly mac?: string | undefined
  readonly state?: Exclude<NeighbourState, 'none'> | undefined
  readonly proxy?: boolean | undefined
}

/** The `neighbours` part of a route socket. */
export class Neighbours {
  readonly #transport: RouteTransport

  constructor(transport: RouteTransport) {
    this.#transport = transport
  }

  /** Proxy entries are listed on demand only: the kernel keeps them apart. */
  list(filter: { link?: number; family?: Family; proxy?: boolean } = {}): Neighbour[] {
    const proxy = filter.proxy ?? false
    const payload = neighbourMessage.encode({
      header: { family: familyNumber(filter.family), flags: proxy ? NTF_PROXY : 0 },
      attributes: { outputLink: filter.link },
    })
    return this.#transport
      .dump(RTM_GETNEIGH, 0, payload, { operation: 'list', object: 'neighbours' })
      .map(({ payload }) => neighbourMessage.decode(payload))
      .filter(({ header, attributes }) => header.family !== AF_BRIDGE && attributes.destination !== undefined)
      .map(readNeighbour)
      .filter((neighbour) => (filter.link === undefined || neighbour.link === filter.link) && neighbour.proxy === proxy)
  }

  /** EEXIST if the link has that neighbour already. */
  add(spec: NeighbourSpec): void {
    this.#new('add', NLM_F_CREATE | NLM_F_EXCL, spec)
  }

  replace(spec: NeighbourSpec): void {
    this.#new('set', NLM_F_CREATE | NLM_F_REPLACE, spec)
  }

  delete(spec: Pick<NeighbourSpec, 'link' | 'address' | 'proxy'>): void {
    this.#transport.request(RTM_DELNEIGH, 0, encodeNeighbour(spec), { operation: 'delete', object: describe(spec) })
  }

  #new(operation: string, flags: number, spec: NeighbourSpec): void {
    this.#transport.request(RTM_NEWNEIGH, flags, encodeNeighbour(spec), { operation, object: describe(spec) })
  }
}

function describe(spec: NeighbourSpec): string {
  return `${spec.proxy === true ? 'proxy ' : ''}neighbour ${spec.address} on link ${spec.link}`
}

function encodeNeighbour(spec: NeighbourSpec): Buffer {
  return neighbourMessage.encode({
    header: {
      family: familyOf(spec.address),
      index: spec.link,
      state: states[spec.state ?? 'permanent'],
      flags: spec.proxy === true ? NTF_PROXY : 0,
    },
    attributes: { destination: spec.address, mac: spec.mac },
  })
}

function stateName(state: number): NeighbourState {
  const found = Object.entries(states).find(([, bit]) => (state & bit) !== 0)
  return found === undefined ? 'none' : (found[0] as NeighbourState)
}

/** A neighbour from its message. */
export function readNeighbour({ header, attributes }: NeighbourMessage): Neighbour {
  return {
    family: header.family === AF_INET ? 'ipv4' : 'ipv6',
    link: header.index,
    address: attributes.destination ?? '',
    mac: attributes.mac,
    state: stateName(header.state),
    proxy: (header.flags & NTF_PROXY) !== 0,
    flags: header.flags,
  }
}

/** An entry of a VXLAN's or bridge's forwarding table as the kernel has it. */
export interface ForwardingEntry {
  readonly link: number
  readonly mac: string
  /** the remote VXLAN endpoint */
  readonly destination?: string | undefined
  readonly port?: number | undefined
  readonly vni?: number | undefined
  readonly vlan?: number | undefined
  /** index of the bridge, where a bridge keeps the entry */
  readonly master?: number | undefined
  /** the link itself keeps the entry, not its bridge */
  readonly self: boolean
  readonly permanent: boolean
  /** neither permanent nor learned */
  readonly static: boolean
}

/** An entry to be made: kept by the link itself and permanent unless said otherwise. */
export interface ForwardingSpec {
  readonly link: number
  readonly mac: string
  readonly destination?: string | undefined
  readonly port?: number | undefined
  readonly vni?: number | undefined
  readonly vlan?: number | undefined
  /** let the link's bridge keep it */
  readonly master?: boolean | undefined
  readonly permanent?: boolean | undefined
}

/** The `fdb` part of a route socket. */
export class ForwardingEntries {
  readonly #transport: RouteTransport

  constructor(transport: RouteTransport) {
    this.#transport = transport
  }

  list(filter: { link?: number } = {}): ForwardingEntry[] {
    const payload = neighbourMessage.encode({ header: { family: AF_BRIDGE }, attributes: { outputLink: filter.link } })
    return this.#transport
      .dump(RTM_GETNEIGH, 0, payload, { operation: 'list', object: 'forwarding entries' })
      .map(({ payload }) => readForwardingEntry(neighbourMessage.decode(payload)))
      .filter((entry) => filter.link === undefined || entry.link === filter.link)
  }

  /** EEXIST if there is one for that mac already. */
  add(spec: ForwardingSpec): void {
    this.#new('add', NLM_F_CREATE | NLM_F_EXCL, spec)
  }

  /** Adds it, or gives the mac this destination in place of its first one. */
  replace(spec: ForwardingSpec): void {
    this.#new('set', NLM_F_CREATE | NLM_F_REPLACE, spec)
  }

  /** Adds a further destination: what the all-zero mac (everything unknown) has is sent to each of them. */
  append(spec: ForwardingSpec): void {
    this.#new('append', NLM_F_CREATE | NLM_F_APPEND, spec)
  }

  /** Without `destination`, the mac with all its destinations. */
  delete(spec: ForwardingSpec): void {
    this.#transport.request(RTM_DELNEIGH, 0, encodeForwarding(spec), { operation: 'delete', object: describeForwarding(spec) })
  }

  #new(operation: string, flags: number, spec: ForwardingSpec): void {
    this.#transport.request(RTM_NEWNEIGH, flags, encodeForwarding(spec), { operation, object: describeForwarding(spec) })
  }
}

function describeForwarding(spec: ForwardingSpec): string {
  return `forwarding entry ${spec.mac}${spec.destination === undefined ? '' : ` to ${spec.destination}`} on link ${spec.link}`
}

function encodeForwarding(spec: ForwardingSpec): Buffer {
  return neighbourMessage.encode({
    header: {
      family: AF_BRIDGE,
      index: spec.link,
      state: spec.permanent === false ? NUD_NOARP : NUD_PERMANENT,
      flags: spec.master === true ? NTF_MASTER : NTF_SELF,
    },
    attributes: { mac: spec.mac, destination: spec.destination, port: spec.port, vni: spec.vni, vlan: spec.vlan },
  })
}

/** A forwarding entry from its message. */
export function readForwardingEntry({ header, attributes }: NeighbourMessage): ForwardingEntry {
  return {
    link: header.index,
    mac: attributes.mac ?? '',
    destination: attributes.destination,
    port: attributes.port,
    vni: attributes.vni,
    vlan: attributes.vlan,
    master: attributes.master,
    self: (header.flags & NTF_SELF) !== 0,
    permanent: (header.state & NUD_PERMANENT) !== 0,
    static: (header.state & NUD_NOARP) !== 0 && (header.flags & NTF_EXT_LEARNED) === 0,
  }
}
