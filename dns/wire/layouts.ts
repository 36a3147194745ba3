/**
 * What the data of each record type is made of. Types that are not here are opaque bytes (RFC 3597). Names are expanded when
 * read, in all types whose senders are known to compress them (RFC 3597 section 4); they are compressed when written only in the types of RFC 1035.
 */
import { TYPE } from './constants.ts'

/**
 * `name` may be compressed when written, `plainName` is not; `strings` is one or more character strings up to the end, `rest`
 * what is left of the data.
 */
export type FieldKind = 'u8' | 'u16' | 'u32' | 'ipv4' | 'ipv6' | 'name' | 'plainName' | 'string' | 'strings' | 'rest'

/** One value: numbers, names in presentation form, addresses and strings as bytes. */
export type Field = number | string | Uint8Array | readonly Uint8Array[]
export type Fields = readonly Field[]

const opaque: readonly FieldKind[] = ['rest']

const layouts: ReadonlyMap<number, readonly FieldKind[]> = new Map<number, readonly FieldKind[]>([
  [TYPE.A, ['ipv4']],
  [TYPE.NS, ['name']],
  [TYPE.MD, ['name']],
  [TYPE.MF, ['name']],
  [TYPE.CNAME, ['name']],
  // mname, rname, serial, refresh, retry, expire, minimum
  [TYPE.SOA, ['name', 'name', 'u32', 'u32', 'u32', 'u32', 'u32']],
  [TYPE.MB, ['name']],
  [TYPE.MG, ['name']],
  [TYPE.MR, ['name']],
  [TYPE.PTR, ['name']],
  [TYPE.HINFO, ['string', 'string']],
  [TYPE.MINFO, ['name', 'name']],
  [TYPE.MX, ['u16', 'name']],
  [TYPE.TXT, ['strings']],
  [TYPE.RP, ['plainName', 'plainName']],
  [TYPE.AFSDB, ['u16', 'plainName']],
  [TYPE.RT, ['u16', 'plainName']],
  [TYPE.PX, ['u16', 'plainName', 'plainName']],
  [TYPE.AAAA, ['ipv6']],
  // priority, weight, port, target (RFC 2782: the target is not compressed)
  [TYPE.SRV, ['u16', 'u16', 'u16', 'plainName']],
  [TYPE.NAPTR, ['u16', 'u16', 'string', 'string', 'string', 'plainName']],
  [TYPE.KX, ['u16', 'plainName']],
  [TYPE.DNAME, ['plainName']],
  [TYPE.SPF, ['strings']],
])

/** The fields of a type's data. */
export function layoutOf(type: number): readonly FieldKind[] {
  return layouts.get(type) ?? opaque
}
