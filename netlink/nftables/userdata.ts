/**
 * What nft keeps beside objects for its own use (NFTA_*_USERDATA), opaque to the kernel: comments, and what the fields of sets are,
 * so that `nft list` can print them.
 *
 *     +------+-------+-----------------+
 *     | u8 T | u8 L  | value (L bytes) |   one after another; libnftnl's include/libnftnl/udata.h numbers them
 *     +------+-------+-----------------+
 */
import type { FieldType } from './field-types.ts'
import { layoutOf } from './field-types.ts'

const ATTRIBUTE_BYTES_MAX = 255

function attribute(type: number, value: Uint8Array): Buffer {
  return Buffer.concat([Uint8Array.of(type, value.length), value])
}

function number(type: number, value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return attribute(type, bytes)
}

/** Comments of tables, chains, rules and elements are attribute 0; those of sets are 7. */
const COMMENT = 0
const SET_COMMENT = 7

function encodeComment(type: number, comment: string): Buffer {
  const text = Buffer.from(`${comment}\0`)
  if (text.length > ATTRIBUTE_BYTES_MAX) throw new TypeError(`Cannot write comment ${JSON.stringify(comment.slice(0, 40))}…: longer than ${ATTRIBUTE_BYTES_MAX - 1} bytes`)
  return attribute(type, text)
}

function readComment(type: number, userdata: Buffer = Buffer.alloc(0)): string | undefined {
  for (let offset = 0; offset + 2 <= userdata.length; offset += 2 + (userdata[offset + 1] ?? 0)) {
    if (userdata[offset] !== type) continue
    return userdata.toString('utf8', offset + 2, offset + 2 + (userdata[offset + 1] ?? 0)).replace(/\0.*$/s, '')
  }
  return undefined
}

/** The userdata of anything but a set. */
export function commentUserdata(comment: string | undefined): Buffer | undefined {
  return comment === undefined ? undefined : encodeComment(COMMENT, comment)
}

/** The comment of anything but a set. */
export function commentOf(userdata: Buffer | undefined): string | undefined {
  return readComment(COMMENT, userdata)
}

/** The comment of a set. */
export function setCommentOf(userdata: Buffer | undefined): string | undefined {
  return readComment(SET_COMMENT, userdata)
}

// libnftnl's enum udata_set_type
const KEY_BYTE_ORDER = 0
const DATA_BYTE_ORDER = 1
const KEY_TYPEOF = 3
const DATA_TYPEOF = 4
// nft's enum expr_ops
const EXPR_VERDICT = 1
const EXPR_PAYLOAD = 7
const EXPR_META = 9
const EXPR_CONCAT = 13
const EXPR_NUMGEN = 23
// nft's enum proto_desc_id
const PROTO_DESC_TH = 11
const PROTO_DESC_IP = 12
const PROTO_DESC_IP6 = 13

function typeofExpression(kind: number, data: Uint8Array): Buffer {
  return Buffer.concat([number(0, kind), attribute(1, data)])
}

const payload = (protocol: number, field: number): Buffer => typeofExpression(EXPR_PAYLOAD, Buffer.concat([number(0, protocol), number(1, field)]))
const meta = (key: number): Buffer => typeofExpression(EXPR_META, number(0, key))

/** For each type some expression that has it. Only numbers without a size need one, and those beside them. */
const typeofs: Readonly<Partial<Record<FieldType, Buffer>>> = {
  ipv4_addr: payload(PROTO_DESC_IP, 12),
  ipv6_addr: payload(PROTO_DESC_IP6, 9),
  inet_proto: meta(16),
  inet_service: payload(PROTO_DESC_TH, 2),
  mark: meta(3),
  ifname: meta(6),
  iface_index: meta(4),
  nf_proto: meta(15),
  integer: typeofExpression(EXPR_NUMGEN, Buffer.concat([number(0, 1), number(1, 0x10000), number(2, 0)])),
}

function typeofAttribute(type: number, types: readonly FieldType[] | 'verdict'): Buffer | undefined {
  if (types === 'verdict') return attribute(type, typeofExpression(EXPR_VERDICT, Buffer.alloc(0)))
  const expressions = types.map((type) => typeofs[type])
  if (expressions.includes(undefined)) return undefined
  const [first, ...others] = expressions as Buffer[]
  if (first === undefined || others.length === 0) return first && attribute(type, first)
  const fields = Buffer.concat([first, ...others].map((expression, index) => attribute(index, expression)))
  return fields.length + 14 > ATTRIBUTE_BYTES_MAX ? undefined : attribute(type, typeofExpression(EXPR_CONCAT, fields))
}

const byteOrderOf = (types: readonly FieldType[]): number => (types.length === 1 && types[0] !== undefined ? layoutOf(types[0]).byteOrder : 0)

/**
 * The userdata of a set or map. nft names types by number, but `integer` has no size of its own: where one is among the types,
 * they are told as expressions that have them (`typeof`).
 */
export function setUserdata({ key, data, comment }: { readonly key: readonly FieldType[]; readonly data?: readonly FieldType[] | 'verdict' | undefined; readonly comment?: string | undefined }): Buffer {
  const parts: (Buffer | undefined)[] = [number(KEY_BYTE_ORDER, byteOrderOf(key))]
  if (data !== undefined) parts.push(number(DATA_BYTE_ORDER, data === 'verdict' ? 0 : byteOrderOf(data)))
  if ([...key, ...(data === 'verdict' ? [] : data ?? [])].includes('integer')) {
    parts.push(typeofAttribute(KEY_TYPEOF, key))
    if (data !== undefined) parts.push(typeofAttribute(DATA_TYPEOF, data))
  }
  if (comment !== undefined) parts.push(encodeComment(SET_COMMENT, comment))
  return Buffer.concat(parts.filter((part) => part !== undefined))
}
