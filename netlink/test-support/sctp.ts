/**
 * SCTP without a kernel that speaks it: the first two packets of an association (RFC 9260, 3.3.2 and 3.3.3), on raw sockets of a namespace.
 *
 *     +------------------+------------------+
 *     | source port      | destination port |    the common header; the checksum is CRC32c (RFC 9260, appendix A)
 *     | verification tag                    |
 *     | checksum                            |
 *     +------+-------+-----------------------+
 *     | type | flags | length               |    the chunk: INIT is 1, INIT ACK 2
 *     | initiate tag, window, streams, TSN  |
 *     +-------------------------------------+
 */
import { parseAddress, formatAddress } from '../addresses.ts'
import { AF_INET, AF_INET6, MSG_DONTWAIT, SOCK_NONBLOCK, SOCK_RAW, addressOf, close, receiveMany, sendMany, socket, waitReadable } from '../ffi.ts'
import type { Netns } from '../netns.ts'

const IPPROTO_SCTP = 132
const kinds = { init: 1, initAck: 2 } as const
/** A state cookie (7), which an INIT ACK has to hold: its contents are its maker's own business. */
const stateCookie = Buffer.from([0, 7, 0, 12, 1, 2, 3, 4, 5, 6, 7, 8])

interface SctpPacket {
  readonly kind: keyof typeof kinds
  readonly sourcePort: number
  readonly port: number
  /** That of the one who is addressed; 0 of an INIT. */
  readonly verificationTag?: number | undefined
  /** What the other is to write as verification tag; not 0. */
  readonly initiateTag: number
}

interface ReceivedSctp extends SctpPacket {
  readonly source: string
  /** Whether the checksum was right when it arrived. */
  readonly intact: boolean
}

function encodeSctp({ kind, sourcePort, port, verificationTag = 0, initiateTag }: SctpPacket): Buffer {
  const cookie = kind === 'initAck' ? stateCookie : Buffer.alloc(0)
  const packet = Buffer.alloc(32)
  packet.writeUInt16BE(sourcePort, 0)
  packet.writeUInt16BE(port, 2)
  packet.writeUInt32BE(verificationTag, 4)
  packet.writeUInt8(kinds[kind], 12)
  packet.writeUInt16BE(20 + cookie.length, 14)
  packet.writeUInt32BE(initiateTag, 16)
  packet.writeUInt32BE(65_536, 20)
  packet.writeUInt16BE(1, 24)
  packet.writeUInt16BE(1, 26)
  packet.writeUInt32BE(1, 28)
  const whole = Buffer.concat([packet, cookie])
  whole.writeUInt32LE(crc32c(whole), 8)
  return whole
}

/** Undefined where it is neither of the two. */
function decodeSctp(packet: Buffer, source: string): ReceivedSctp | undefined {
  const kind = (Object.keys(kinds) as SctpPacket['kind'][]).find((one) => kinds[one] === packet[12])
  if (packet.length < 32 || kind === undefined) return undefined
  const zeroed = Buffer.from(packet)
  zeroed.writeUInt32LE(0, 8)
  return {
    kind, source, sourcePort: packet.readUInt16BE(0), port: packet.readUInt16BE(2), verificationTag: packet.readUInt32BE(4), initiateTag: packet.readUInt32BE(16),
    intact: packet.readUInt32LE(8) === crc32c(zeroed),
  }
}

function crc32c(bytes: Uint8Array): number {
  let crc = 0xffff_ffff
  for (const byte of bytes) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f6_3b78 : 0)
  }
  return ~crc >>> 0
}

/** Sees every SCTP packet that arrives in a namespace, and sends from there. */
export class SctpSocket {
  readonly #fd: number
  readonly #family: 'ipv4' | 'ipv6'

  constructor(netns: Netns, family: 'ipv4' | 'ipv6' = 'ipv4') {
    this.#family = family
    this.#fd = netns.run<number>(() => socket(family === 'ipv4' ? AF_INET : AF_INET6, SOCK_RAW | SOCK_NONBLOCK, IPPROTO_SCTP))
  }

  /** The kernel writes the IP header. */
  send(to: string, packet: SctpPacket): void {
    const { header, name } = messageHeader(encodeSctp(packet))
    const address = parseAddress(to)
    name.writeUInt16LE(address.length === 4 ? AF_INET : AF_INET6, 0)
    name.set(address, address.length === 4 ? 4 : 8)
    header.writeUInt32LE(address.length === 4 ? 16 : 28, 8)
    sendMany(this.#fd, header, 1)
  }

  /** The next one; undefined where none comes in time. Blocks the thread: milliseconds only. */
  receive(timeoutMs = 500): ReceivedSctp | undefined {
    const data = Buffer.alloc(2048)
    const { header, name } = messageHeader(data)
    if (!waitReadable(this.#fd, timeoutMs) || receiveMany(this.#fd, header, 1, MSG_DONTWAIT) === 0) return undefined
    const length = header.readUInt32LE(56)
    const [source, start] = this.#family === 'ipv4' ? [formatAddress(name, 4, 4), ((data[0] ?? 0) & 15) * 4] : [formatAddress(name, 8, 16), 0]
    return decodeSctp(data.subarray(start, length), source)
  }

  [Symbol.dispose](): void {
    close(this.#fd)
  }
}

/** struct mmsghdr with one buffer. What it points to lives as long as what is returned. */
function messageHeader(data: Buffer): { readonly header: Buffer; readonly name: Buffer; readonly vector: Buffer } {
  const [header, name, vector] = [Buffer.alloc(64), Buffer.alloc(28), Buffer.alloc(16)]
  vector.writeBigUInt64LE(addressOf(data), 0)
  vector.writeBigUInt64LE(BigInt(data.length), 8)
  header.writeBigUInt64LE(addressOf(name), 0)
  header.writeUInt32LE(name.length, 8)
  header.writeBigUInt64LE(addressOf(vector), 16)
  header.writeBigUInt64LE(1n, 24)
  return { header, name, vector }
}

interface Association {
  readonly client: SctpSocket
  readonly server: SctpSocket
  /** Where the client asks. */
  readonly to: string
  readonly port: number
  readonly sourcePort: number
}

/**
 * Asks and answers, as the two ends of an association would. `asked` is what the server saw, `answered` what came back; undefined what did not
 * arrive. The server answers whoever it saw, so that its answer takes the way back through what was translated.
 */
export function associate({ client, server, to, port, sourcePort }: Association): { readonly asked: ReceivedSctp | undefined; readonly answered: ReceivedSctp | undefined } {
  client.send(to, { kind: 'init', sourcePort, port, initiateTag: 0x1234_5678 })
  const asked = server.receive()
  if (asked === undefined) return { asked, answered: undefined }
  server.send(asked.source, { kind: 'initAck', sourcePort: asked.port, port: asked.sourcePort, verificationTag: asked.initiateTag, initiateTag: 0x8765_4321 })
  return { asked, answered: client.receive() }
}
