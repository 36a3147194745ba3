/**
 * The fields that rules read, under their names in nft: what type they have and which expression of the kernel loads them.
 * include/uapi/linux/netfilter/nf_tables.h: nft_payload_bases, nft_meta_keys, nft_ct_keys, nft_fib_result, nft_fib_flags.
 */
import type { FieldType } from './field-types.ts'

/** How the kernel loads a field. `direction`: 0 original, 1 reply. */
export type Loader =
  | { readonly from: 'payload'; readonly base: 1 | 2; readonly offset: number; readonly bytes: number }
  | { readonly from: 'meta'; readonly key: number }
  | { readonly from: 'ct'; readonly key: number; readonly direction?: 0 | 1 }
  | { readonly from: 'fib'; readonly result: number; readonly flags: number }

interface Field {
  readonly type: FieldType
  readonly loader: Loader
}

const network = (offset: number, bytes: number): Loader => ({ from: 'payload', base: 1, offset, bytes })
const transport = (offset: number, bytes: number): Loader => ({ from: 'payload', base: 2, offset, bytes })
const meta = (key: number): Loader => ({ from: 'meta', key })
const ct = (key: number, direction?: 0 | 1): Loader => (direction === undefined ? { from: 'ct', key } : { from: 'ct', key, direction })
const fib = (result: number, flags: number): Loader => ({ from: 'fib', result, flags })

const FIB_SADDR = 1
const FIB_DADDR = 2
const FIB_IIF = 8
const FIB_OIF = 16
const FIB_RESULT_OIF = 1
const FIB_RESULT_OIFNAME = 2
const FIB_RESULT_ADDRTYPE = 3

export const fields = {
  'ip saddr': { type: 'ipv4_addr', loader: network(12, 4) },
  'ip daddr': { type: 'ipv4_addr', loader: network(16, 4) },
  'ip protocol': { type: 'inet_proto', loader: network(9, 1) },
  'ip6 saddr': { type: 'ipv6_addr', loader: network(8, 16) },
  'ip6 daddr': { type: 'ipv6_addr', loader: network(24, 16) },
  'ip6 nexthdr': { type: 'inet_proto', loader: network(6, 1) },
  'th sport': { type: 'inet_service', loader: transport(0, 2) },
  'th dport': { type: 'inet_service', loader: transport(2, 2) },
  'tcp flags': { type: 'tcp_flag', loader: transport(13, 1) },
  'icmp type': { type: 'icmp_type', loader: transport(0, 1) },
  'meta mark': { type: 'mark', loader: meta(3) },
  'meta priority': { type: 'mark', loader: meta(2) },
  'meta iif': { type: 'iface_index', loader: meta(4) },
  'meta oif': { type: 'iface_index', loader: meta(5) },
  'meta iifname': { type: 'ifname', loader: meta(6) },
  'meta oifname': { type: 'ifname', loader: meta(7) },
  'meta nftrace': { type: 'boolean', loader: meta(12) },
  'meta nfproto': { type: 'nf_proto', loader: meta(15) },
  'meta l4proto': { type: 'inet_proto', loader: meta(16) },
  'ct state': { type: 'ct_state', loader: ct(0) },
  'ct direction': { type: 'ct_dir', loader: ct(1) },
  'ct status': { type: 'ct_status', loader: ct(2) },
  'ct mark': { type: 'mark', loader: ct(3) },
  'ct original ip saddr': { type: 'ipv4_addr', loader: ct(19, 0) },
  'ct original ip daddr': { type: 'ipv4_addr', loader: ct(20, 0) },
  'ct original ip6 saddr': { type: 'ipv6_addr', loader: ct(21, 0) },
  'ct original ip6 daddr': { type: 'ipv6_addr', loader: ct(22, 0) },
  'ct original proto-src': { type: 'inet_service', loader: ct(11, 0) },
  'ct original proto-dst': { type: 'inet_service', loader: ct(12, 0) },
  'ct reply ip saddr': { type: 'ipv4_addr', loader: ct(19, 1) },
  'ct reply ip daddr': { type: 'ipv4_addr', loader: ct(20, 1) },
  'ct reply ip6 saddr': { type: 'ipv6_addr', loader: ct(21, 1) },
  'ct reply ip6 daddr': { type: 'ipv6_addr', loader: ct(22, 1) },
  'ct reply proto-src': { type: 'inet_service', loader: ct(11, 1) },
  'ct reply proto-dst': { type: 'inet_service', loader: ct(12, 1) },
  'fib daddr type': { type: 'fib_addrtype', loader: fib(FIB_RESULT_ADDRTYPE, FIB_DADDR) },
  'fib saddr type': { type: 'fib_addrtype', loader: fib(FIB_RESULT_ADDRTYPE, FIB_SADDR) },
  'fib daddr . iif type': { type: 'fib_addrtype', loader: fib(FIB_RESULT_ADDRTYPE, FIB_DADDR | FIB_IIF) },
  'fib daddr . oif type': { type: 'fib_addrtype', loader: fib(FIB_RESULT_ADDRTYPE, FIB_DADDR | FIB_OIF) },
  'fib saddr . iif oif': { type: 'iface_index', loader: fib(FIB_RESULT_OIF, FIB_SADDR | FIB_IIF) },
  'fib daddr oifname': { type: 'ifname', loader: fib(FIB_RESULT_OIFNAME, FIB_DADDR) },
} as const satisfies Readonly<Record<string, Field>>

/** A field, as nft names it. */
export type FieldName = keyof typeof fields

/** What a field is. */
export function fieldOf(name: FieldName): Field {
  return fields[name]
}

const byLoader: ReadonlyMap<string, FieldName> = new Map(Object.entries(fields).map(([name, { loader }]) => [JSON.stringify(loader), name as FieldName]))

/** The field that a loader loads; `undefined` where it is none of ours. Written with the same order of properties. */
export function fieldLoadedBy(loader: Loader): FieldName | undefined {
  return byLoader.get(JSON.stringify(loader))
}
