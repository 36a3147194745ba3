/**
 * Addresses of links.
 */
import { canonicalAddress } from '../addresses.ts'
import { NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE } from '../socket.ts'
import {
  IFA_F_DADFAILED, IFA_F_NODAD, IFA_F_NOPREFIXROUTE, IFA_F_PERMANENT, IFA_F_TENTATIVE, RTM_DELADDR, RTM_GETADDR, RTM_NEWADDR,
  addressMessage,
} from './layouts.ts'
import type { AddressMessage } from './layouts.ts'
import { AF_INET } from '../ffi.ts'
import { familyNumber, familyOf } from './transport.ts'
import type { Family, RouteTransport } from './transport.ts'

/** An address as the kernel has it. */
export interface Address {
  readonly family: Family
  /** index of its link */
  readonly link: number
  readonly address: string
  readonly prefixLength: number
  /** the other end's address, on point-to-point links */
  readonly peer?: string | undefined
  readonly broadcast?: string | undefined
  /** RT_SCOPE_*: 0 global, 253 link, 254 host */
  readonly scope: number
  /** IFA_F_* */
  readonly flags: number
  readonly noDad: boolean
  readonly noPrefixRoute: boolean
  readonly permanent: boolean
  /** duplicate address detection (IPv6) still runs: it cannot be used yet */
  readonly tentative: boolean
  readonly dadFailed: boolean
}

/** An address to be given to a link. */
export interface AddressSpec {
  readonly link: number
  readonly address: string
  readonly prefixLength: number
  readonly peer?: string | undefined
  readonly broadcast?: string | undefined
  readonly scope?: number | undefined
  /** IPv6: usable at once */
  readonly noDad?: boolean | undefined
  /** adds no route to the prefix */
  readonly noPrefixRoute?: boolean | undefined
}

/** The `addresses` part of a route socket. */
export class Addresses {
  readonly #transport: RouteTransport

  constructor(transport: RouteTransport) {
    this.#transport = transport
  }

  list(filter: { link?: number; family?: Family } = {}): Address[] {
    const payload = addressMessage.encode({ header: { family: familyNumber(filter.family), index: filter.link }, attributes: {} })
    return this.#transport
      .dump(RTM_GETADDR, 0, payload, { operation: 'list', object: 'addresses' })
      .map(({ payload }) => readAddress(addressMessage.decode(payload)))
      .filter((address) => (filter.link === undefined || address.link === filter.link) && (filter.family === undefined || address.family === filter.family))
  }

  /** EEXIST if the link has it already. */
  add(spec: AddressSpec): void {
    this.#new('add', NLM_F_CREATE | NLM_F_EXCL, spec)
  }

  /** Adds it or brings its flags and lifetimes up to date. */
  replace(spec: AddressSpec): void {
    this.#new('set', NLM_F_CREATE | NLM_F_REPLACE, spec)
  }

  delete(spec: Pick<AddressSpec, 'link' | 'address' | 'prefixLength' | 'peer'>): void {
    this.#transport.request(RTM_DELADDR, 0, encodeAddress(spec), { operation: 'delete', object: describe(spec) })
  }

  #new(operation: string, flags: number, spec: AddressSpec): void {
    this.#transport.request(RTM_NEWADDR, flags, encodeAddress(spec), { operation, object: describe(spec) })
  }
}

function describe(spec: AddressSpec): string {
  return `address ${spec.address}/${spec.prefixLength} of link ${spec.link}`
}

function encodeAddress(spec: AddressSpec): Buffer {
  const flags = (spec.noDad === true ? IFA_F_NODAD : 0) | (spec.noPrefixRoute === true ? IFA_F_NOPREFIXROUTE : 0)
  return addressMessage.encode({
    header: { family: familyOf(spec.address), prefixLength: spec.prefixLength, flags: flags & 0xff, scope: spec.scope, index: spec.link },
    attributes: {
      local: spec.address,
      address: spec.peer ?? spec.address,
      broadcast: spec.broadcast,
      ...(flags === 0 ? {} : { flags }),
    },
  })
}

/** An address from its message. Of IPv4, and of IPv6 with a peer, IFA_LOCAL is the address and IFA_ADDRESS the peer. */
export function readAddress({ header, attributes }: AddressMessage): Address {
  const flags = attributes.flags ?? header.flags
  const own = attributes.local ?? attributes.address ?? ''
  const peer = attributes.local !== undefined && attributes.address !== attributes.local ? attributes.address : undefined
  return {
    family: header.family === AF_INET ? 'ipv4' : 'ipv6',
    link: header.index,
    address: own === '' ? own : canonicalAddress(own),
    prefixLength: header.prefixLength,
    peer,
    broadcast: attributes.broadcast,
    scope: header.scope,
    flags,
    noDad: (flags & IFA_F_NODAD) !== 0,
    noPrefixRoute: (flags & IFA_F_NOPREFIXROUTE) !== 0,
    permanent: (flags & IFA_F_PERMANENT) !== 0,
    tentative: (flags & IFA_F_TENTATIVE) !== 0,
    dadFailed: (flags & IFA_F_DADFAILED) !== 0,
  }
}
