/** The part of dns-packet that the tests use; it ships no types of its own. */
declare module 'dns-packet' {
  export interface Answer {
    name: string
    type: string
    ttl?: number
    data?: unknown
    class?: string
    flags?: number
    udpPayloadSize?: number
    extendedRcode?: number
    options?: unknown[]
  }
  export interface Packet {
    type?: 'query' | 'response'
    id?: number
    flags?: number
    rcode?: string
    flag_tc?: boolean
    flag_aa?: boolean
    flag_ra?: boolean
    questions?: { name: string; type: string; class?: string }[]
    answers?: Answer[]
    authorities?: Answer[]
    additionals?: Answer[]
  }
  const packet: {
    encode(packet: Packet): Buffer
    decode(bytes: Uint8Array): Packet
    streamEncode(packet: Packet): Buffer
    readonly RECURSION_DESIRED: number
  }
  export default packet
}
