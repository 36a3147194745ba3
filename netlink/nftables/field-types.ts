/**
 * The types that fields, keys and data have, named as nft names them: how large they are, how their values are spelled.
 * Numbers are those of nft's `datatypes` (its include/datatype.h), which travel in NFTA_SET_KEY_TYPE so that `nft list` prints values well.
 */
import { formatAddress, formatMac, parseAddress, parseMac } from '../addresses.ts'
import { LayoutError } from '../errors.ts'

type Value = string | number

interface TypeLayout {
  /** nft's number */
  readonly id: number
  readonly bytes: number
  /** in which order nft keeps it: 0 undefined, 1 the host's, 2 big-endian (its `enum byteorder`) */
  readonly byteOrder: 0 | 1 | 2
  /** values are sets of bits */
  readonly bits?: boolean
  write(data: Buffer, offset: number, value: Value): void
  read(data: Buffer, offset: number): Value
}

function refuse(value: Value, type: string): never {
  throw new LayoutError(`Cannot write ${JSON.stringify(value)} as ${type}`)
}

function toNumber(value: Value, max: number, type: string): number {
  const number = typeof value === 'number' ? value : /^(0x[0-9a-f]+|\d+)$/.test(value) ? Number(value) : refuse(value, type)
  return Number.isInteger(number) && number >= 0 && number <= max ? number : refuse(value, type)
}

type Names = Readonly<Record<string, number>>
type Integer = { readonly id: number; readonly bytes: 1 | 2 | 4; readonly byteOrder: 0 | 1 | 2; readonly names?: Names }

/** A number, some of whose values have names. */
function integer(type: string, { id, bytes, byteOrder, names = {} }: Integer): TypeLayout {
  const numbers = new Map(Object.entries(names))
  const words = new Map([...numbers].map(([word, number]) => [number, word]))
  const max = 2 ** (8 * bytes) - 1
  return {
    id, bytes, byteOrder,
    write(data, offset, value) {
      const number = numbers.get(value as string) ?? toNumber(value, max, type)
      if (byteOrder === 2) data.writeUIntBE(number, offset, bytes)
      else data.writeUIntLE(number, offset, bytes)
    },
    read(data, offset) {
      const number = byteOrder === 2 ? data.readUIntBE(offset, bytes) : data.readUIntLE(offset, bytes)
      return words.get(number) ?? number
    },
  }
}

/** A set of bits: names with commas, or a number. Read as names, lowest bit first, where all bits have one. */
function flags(type: string, { id, bytes, byteOrder, names = {} }: Integer): TypeLayout {
  const entries = Object.entries(names)
  const base = integer(type, { id, bytes, byteOrder })
  return {
    ...base,
    bits: true,
    write(data, offset, value) {
      const number = typeof value === 'number' ? value : value.split(',').reduce((sum, word) => sum | (names[word] ?? toNumber(word, 2 ** (8 * bytes) - 1, type)), 0)
      base.write(data, offset, number)
    },
    read(data, offset) {
      const number = base.read(data, offset) as number
      const set = entries.filter(([, bit]) => (number & bit) !== 0)
      const named = set.reduce((sum, [, bit]) => sum | bit, 0)
      return number !== 0 && named === number ? set.map(([word]) => word).join(',') : number
    },
  }
}

/** Dotted decimals straight into bytes: sets have hundred thousands of them. */
function writeIpv4(data: Buffer, offset: number, value: Value): void {
  let at = offset
  let byte = -1
  if (typeof value === 'string') {
    for (let i = 0; i < value.length; i++) {
      const digit = value.charCodeAt(i) - 48
      if (digit >= 0 && digit <= 9 && byte !== 0 && byte < 26) byte = byte < 0 ? digit : byte * 10 + digit
      else if (digit === -2 && byte >= 0 && byte < 256 && at < offset + 3) {
        data[at++] = byte
        byte = -1
      } else return refuse(value, 'ipv4_addr')
    }
  }
  if (at !== offset + 3 || byte < 0 || byte > 255) refuse(value, 'ipv4_addr')
  data[at] = byte
}

const IFNAMSIZ = 16

// include/uapi/linux/in.h
const protocols = { icmp: 1, igmp: 2, tcp: 6, udp: 17, dccp: 33, gre: 47, esp: 50, ah: 51, icmpv6: 58, sctp: 132, udplite: 136 }
// include/uapi/linux/rtnetlink.h, RTN_*
const addressTypes = { unspec: 0, unicast: 1, local: 2, broadcast: 3, anycast: 4, multicast: 5, blackhole: 6, unreachable: 7, prohibit: 8 }
// include/uapi/linux/netfilter/nf_conntrack_common.h: NF_CT_STATE_BIT, IPS_*
const states = { invalid: 1, established: 2, related: 4, new: 8, untracked: 64 }
const statuses = { expected: 1, 'seen-reply': 2, assured: 4, confirmed: 8, snat: 16, dnat: 32, dying: 512 }
const tcpFlags = { fin: 1, syn: 2, rst: 4, psh: 8, ack: 16, urg: 32, ecn: 64, cwr: 128 }

export const fieldTypes = {
  ipv4_addr: { id: 7, bytes: 4, byteOrder: 2, write: writeIpv4, read: (data, offset) => formatAddress(data, offset, 4) },
  ipv6_addr: {
    id: 8, bytes: 16, byteOrder: 2,
    write(data, offset, value) {
      const bytes = parseAddress(String(value))
      if (bytes.length !== 16) refuse(value, 'ipv6_addr')
      data.set(bytes, offset)
    },
    read: (data, offset) => formatAddress(data, offset, 16),
  },
  ether_addr: {
    id: 9, bytes: 6, byteOrder: 2,
    write(data, offset, value) {
      const bytes = parseMac(String(value))
      if (bytes.length !== 6) refuse(value, 'ether_addr')
      data.set(bytes, offset)
    },
    read: (data, offset) => formatMac(data, offset, 6),
  },
  ifname: {
    id: 41, bytes: IFNAMSIZ, byteOrder: 1,
    write(data, offset, value) {
      const bytes = Buffer.from(String(value))
      if (bytes.length === 0 || bytes.length >= IFNAMSIZ || bytes.includes(0)) refuse(value, 'ifname')
      data.set(bytes, offset)
    },
    read(data, offset) {
      const end = data.indexOf(0, offset)
      return data.toString('utf8', offset, end < 0 || end > offset + IFNAMSIZ ? offset + IFNAMSIZ : end)
    },
  },
  nf_proto: integer('nf_proto', { id: 2, bytes: 1, byteOrder: 1, names: { ipv4: 2, ipv6: 10 } }),
  /** 32 bits as `numgen` and `jhash` make them */
  integer: integer('integer', { id: 4, bytes: 4, byteOrder: 1 }),
  inet_proto: integer('inet_proto', { id: 12, bytes: 1, byteOrder: 2, names: protocols }),
  inet_service: integer('inet_service', { id: 13, bytes: 2, byteOrder: 2 }),
  icmp_type: integer('icmp_type', { id: 14, bytes: 1, byteOrder: 2 }),
  icmpv6_type: integer('icmpv6_type', { id: 29, bytes: 1, byteOrder: 2 }),
  tcp_flag: flags('tcp_flag', { id: 15, bytes: 1, byteOrder: 2, names: tcpFlags }),
  mark: flags('mark', { id: 19, bytes: 4, byteOrder: 1 }),
  iface_index: integer('iface_index', { id: 20, bytes: 4, byteOrder: 1 }),
  ct_state: flags('ct_state', { id: 26, bytes: 4, byteOrder: 1, names: states }),
  ct_dir: integer('ct_dir', { id: 27, bytes: 1, byteOrder: 0, names: { original: 0, reply: 1 } }),
  ct_status: flags('ct_status', { id: 28, bytes: 4, byteOrder: 1, names: statuses }),
  fib_addrtype: integer('fib_addrtype', { id: 38, bytes: 4, byteOrder: 1, names: addressTypes }),
  boolean: integer('boolean', { id: 39, bytes: 1, byteOrder: 1 }),
} as const satisfies Readonly<Record<string, TypeLayout>>

/** A type, as nft names it. */
export type FieldType = keyof typeof fieldTypes

/** The layout of a type. */
export function layoutOf(type: FieldType): TypeLayout {
  return fieldTypes[type]
}

const byId: ReadonlyMap<number, FieldType> = new Map(Object.entries(fieldTypes).map(([name, { id }]) => [id, name as FieldType]))

const TYPE_BITS = 6
const TYPE_MASK = (1 << TYPE_BITS) - 1

/** nft's number for a concatenation: six bits a type, the first highest. */
export function typeNumber(types: readonly FieldType[]): number {
  return types.reduce((sum, type) => ((sum << TYPE_BITS) | layoutOf(type).id) >>> 0, 0)
}

/** The types of such a number; `undefined` where one is not among ours. */
export function typesOf(number: number): readonly FieldType[] | undefined {
  const types: FieldType[] = []
  for (let rest = number; rest > 0; rest >>>= TYPE_BITS) {
    const type = byId.get(rest & TYPE_MASK)
    if (type === undefined) return undefined
    types.unshift(type)
  }
  return types
}
