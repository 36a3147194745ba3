/** The addresses of local clusters by IP family: of hosts, pods, services and name servers. Pure. */

/** As `--ip-family` has it. */
export type IpFamily = 'ipv4' | 'ipv6' | 'dual'

export interface Ranges {
  readonly family: 'ipv4' | 'ipv6'
  /** What follows the number of the cluster's network and precedes that of a place in it. */
  readonly hostAddress: (subnet: number, place: number) => string
  readonly hostPrefixLength: number
  /** Of all addresses. */
  readonly anywhere: string
  readonly unspecified: string
  readonly serviceRange: string
  readonly podRange: string
  readonly clusterDns: string
}

const ipv4: Ranges = {
  family: 'ipv4',
  hostAddress: (subnet, place) => `10.90.${subnet}.${place}`, hostPrefixLength: 24, anywhere: '0.0.0.0/0', unspecified: '0.0.0.0',
  serviceRange: '10.96.0.0/12', podRange: '10.244.0.0/16', clusterDns: '10.96.0.10',
}

/** Numbers are written as in IPv4, though they are read as hexadecimal: host 11 of network 3 is fd00:10:90:3::11 as it is 10.90.3.11. */
const ipv6: Ranges = {
  family: 'ipv6',
  hostAddress: (subnet, place) => `fd00:10:90:${subnet === 0 ? '' : `${subnet}:`}:${place}`, hostPrefixLength: 64, anywhere: '::/0', unspecified: '::',
  serviceRange: 'fd00:10:96::/112', podRange: 'fd00:10:244::/56', clusterDns: 'fd00:10:96::a',
}

/** Those of a cluster, the default family first. */
export function rangesOf(family: IpFamily = 'ipv4'): readonly [Ranges, ...Ranges[]] {
  return family === 'dual' ? [ipv4, ipv6] : [family === 'ipv6' ? ipv6 : ipv4]
}

/** An address as URLs and `ADDRESS:PORT` have it. */
export function inUrl(address: string): string {
  return address.includes(':') ? `[${address}]` : address
}
