/** Numbers of the DNS protocol by the names their RFCs give them. https://www.iana.org/assignments/dns-parameters */

export const TYPE = {
  A: 1, NS: 2, MD: 3, MF: 4, CNAME: 5, SOA: 6, MB: 7, MG: 8, MR: 9, PTR: 12, HINFO: 13, MINFO: 14, MX: 15, TXT: 16, RP: 17, AFSDB: 18, RT: 21, SIG: 24, KEY: 25,
  PX: 26, AAAA: 28, NXT: 30, SRV: 33, NAPTR: 35, KX: 36, CERT: 37, DNAME: 39, OPT: 41, DS: 43, SSHFP: 44, RRSIG: 46, NSEC: 47, DNSKEY: 48, NSEC3: 50, TLSA: 52,
  SVCB: 64, HTTPS: 65, SPF: 99, TKEY: 249, TSIG: 250, IXFR: 251, AXFR: 252, MAILB: 253, MAILA: 254, ANY: 255, CAA: 257,
} as const

export const CLASS = { IN: 1, CH: 3, HS: 4, NONE: 254, ANY: 255 } as const

export const OPCODE = { QUERY: 0, IQUERY: 1, STATUS: 2, NOTIFY: 4, UPDATE: 5 } as const

/** BADVERS (RFC 6891) needs the OPT record's upper bits. */
export const RCODE = { NOERROR: 0, FORMERR: 1, SERVFAIL: 2, NXDOMAIN: 3, NOTIMP: 4, REFUSED: 5, BADVERS: 16 } as const

/** Extended DNS Errors (RFC 8914) that this server gives. */
export const EDE = { other: 0, stale: 3, notReady: 14, blocked: 15, prohibited: 18, notSupported: 21, noReachableAuthority: 22, networkError: 23 } as const

/** EDNS option of RFC 8914. */
export const OPTION_EDE = 15
/** Of the range for local use (RFC 6891 section 9): the marks, 8 bytes each, of the Fairway servers that a question has come through. */
export const OPTION_TRAIL = 65_313

const typeNames = namesOf(TYPE)
const rcodeNames = namesOf(RCODE)
const classNames = namesOf(CLASS)

/** `SRV`, or `TYPE4711` (RFC 3597). */
export function typeName(type: number): string {
  return typeNames.get(type) ?? `TYPE${type}`
}

export function className(value: number): string {
  return classNames.get(value) ?? `CLASS${value}`
}

export function rcodeName(rcode: number): string {
  return rcodeNames.get(rcode) ?? `RCODE${rcode}`
}

/** The number of `srv`, `SRV` or `TYPE33`; undefined when there is none. */
export function typeNumber(name: string): number | undefined {
  const upper = name.toUpperCase()
  const known = (TYPE as Readonly<Record<string, number>>)[upper]
  if (known !== undefined) return known
  const number = /^TYPE(\d{1,5})$/.exec(upper)?.[1]
  return number !== undefined && Number(number) <= 0xffff ? Number(number) : undefined
}

function namesOf(table: Readonly<Record<string, number>>): ReadonlyMap<number, string> {
  return new Map(Object.entries(table).map(([name, value]) => [value, name]))
}
