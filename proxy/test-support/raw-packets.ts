/** Packets that no socket of Node makes: SCTP, and TCP out of the blue. Sent and seen on raw sockets of a namespace. */
import { AF_INET, SOCK_RAW, close, connectTo, receive, send, socket } from '../../netlink/ffi.ts'
import type { Netns } from '../../netlink/netns.ts'

/** IPPROTO_* */
export const protocols = { tcp: 6, sctp: 132 } as const

// struct sockaddr_in, include/uapi/linux/in.h
function socketAddress(address: string): Buffer {
  return Buffer.from([AF_INET, 0, 0, 0, ...address.split('.').map(Number), 0, 0, 0, 0, 0, 0, 0, 0])
}

/** Sends one datagram of a protocol; the kernel writes the IP header. */
export function sendRaw(netns: Netns, protocol: number, address: string, payload: Uint8Array): void {
  netns.run(() => {
    const fd = socket(AF_INET, SOCK_RAW, protocol)
    try {
      connectTo(fd, socketAddress(address), address)
      send(fd, payload)
    } finally {
      close(fd)
    }
  })
}

/** Sees what arrives in a namespace. */
export class RawListener {
  readonly #fd: number

  constructor(netns: Netns, protocol: number) {
    this.#fd = netns.run<number>(() => socket(AF_INET, SOCK_RAW, protocol))
  }

  /** What has arrived since, as `10.244.0.5:1000 to 10.244.0.6:36412`. */
  heard(): string[] {
    const packets: string[] = []
    const data = Buffer.alloc(2048)
    for (let length = receive(this.#fd, data); length !== undefined; length = receive(this.#fd, data)) {
      const transport = ((data[0] ?? 0) & 15) * 4
      packets.push(`${data.subarray(12, 16).join('.')}:${data.readUInt16BE(transport)} to ${data.subarray(16, 20).join('.')}:${data.readUInt16BE(transport + 2)}`)
    }
    return packets
  }

  [Symbol.dispose](): void {
    close(this.#fd)
  }
}

const initiateTag = 0x1234_5678

/** The first packet of an SCTP association (RFC 9260, 3.3.2). */
export function sctpInit(sourcePort: number, port: number): Buffer {
  return sctpPacket(1, 0, sourcePort, port)
}

/** And the answer to it (3.3.3), as far as connection tracking looks. */
export function sctpInitAck(sourcePort: number, port: number): Buffer {
  return sctpPacket(2, initiateTag, sourcePort, port)
}

function sctpPacket(chunk: number, verificationTag: number, sourcePort: number, port: number): Buffer {
  const packet = Buffer.alloc(32)
  packet.writeUInt16BE(sourcePort, 0)
  packet.writeUInt16BE(port, 2)
  packet.writeUInt32BE(verificationTag, 4)
  packet[12] = chunk
  packet.writeUInt16BE(20, 14)
  packet.writeUInt32BE(initiateTag, 16)
  packet.writeUInt32BE(65_536, 20)
  packet.writeUInt16BE(1, 24)
  packet.writeUInt16BE(1, 26)
  packet.writeUInt32LE(crc32c(packet), 8)
  return packet
}

function crc32c(bytes: Uint8Array): number {
  let crc = 0xffff_ffff
  for (const byte of bytes) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f6_3b78 : 0)
  }
  return ~crc >>> 0
}

export interface Segment {
  readonly source: string
  readonly destination: string
  readonly sourcePort: number
  readonly port: number
  /** TCP flags: SYN is 2, ACK is 16 */
  readonly flags: number
}

/** A TCP segment without data, with its checksum (RFC 9293, 3.1). */
export function tcpSegment({ source, destination, sourcePort, port, flags }: Segment): Buffer {
  const segment = Buffer.alloc(20)
  segment.writeUInt16BE(sourcePort, 0)
  segment.writeUInt16BE(port, 2)
  segment.writeUInt32BE(1000, 4)
  segment.writeUInt32BE(1000, 8)
  segment[12] = 5 << 4
  segment[13] = flags
  segment.writeUInt16BE(1024, 14)
  const pseudo = Buffer.from([...source.split('.').map(Number), ...destination.split('.').map(Number), 0, protocols.tcp, 0, segment.length])
  segment.writeUInt16BE(checksum(Buffer.concat([pseudo, segment])), 16)
  return segment
}

function checksum(bytes: Buffer): number {
  let sum = 0
  for (let at = 0; at < bytes.length; at += 2) sum += bytes.readUInt16BE(at)
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16)
  return ~sum & 0xffff
}
