/**
 * Whether an address answers, with nothing there but a kernel: an echo (RFC 792, RFC 4443), and a datagram to a port on which nobody listens, which a host
 * refuses by ICMP once it has found the datagram's checksum right. The checksum of an echo is computed here, that of a datagram may be left to the links:
 * so an address that answers the one and not the other is behind a link that gets checksums wrong, or a firewall.
 */
import { randomBytes } from 'node:crypto'
import { parseAddress } from './addresses.ts'
import { SystemCallError } from './errors.ts'
import { AF_INET, AF_INET6, SOCK_DGRAM, SOCK_NONBLOCK, SOCK_RAW, close, connectTo, receive, send, socket, watchReadable } from './ffi.ts'
import type { Netns } from './netns.ts'

const IPPROTO_ICMP = 1
const IPPROTO_UDP = 17
const IPPROTO_ICMPV6 = 58
const types = { [AF_INET]: { echo: 8, reply: 0 }, [AF_INET6]: { echo: 128, reply: 129 } } as const

/** Where traceroute sends to: the port that firewalls know as such. */
const closedPort = 33_434

export interface ReachOptions {
  /** Gives up. */
  readonly signal: AbortSignal
  /** The namespace to ask from, when it is not the caller's. */
  readonly netns?: Netns | undefined
  /** How much to send; default 16. */
  readonly bytes?: number | undefined
}

type IpFamily = typeof AF_INET | typeof AF_INET6

/** Whether it answered an echo request before the signal. */
export function answersEcho(address: string, { signal, netns, bytes = 16 }: ReachOptions): Promise<boolean> {
  const family: IpFamily = address.includes(':') ? AF_INET6 : AF_INET
  const { echo, reply } = types[family]
  const message = Buffer.concat([Buffer.alloc(8), randomBytes(Math.max(bytes, 8))])
  message.writeUInt8(echo, 0)
  randomBytes(4).copy(message, 4)
  // that of ICMPv6 covers addresses, and is the kernel's to fill in
  if (family === AF_INET) message.writeUInt16BE(internetChecksum(message), 2)
  const protocol = family === AF_INET ? IPPROTO_ICMP : IPPROTO_ICMPV6
  return exchange({ address, family, kind: SOCK_RAW, protocol, netns, signal, message }, (data) => {
    const icmp = family === AF_INET ? data.subarray(((data[0] ?? 0) & 15) * 4) : data
    return icmp[0] === reply && icmp.subarray(4).equals(message.subarray(4))
  })
}

/** Whether it took a datagram before the signal: refused it, as nobody listens there, or answered. */
export function takesDatagram(address: string, { signal, netns, bytes = 16 }: ReachOptions): Promise<boolean> {
  const family: IpFamily = address.includes(':') ? AF_INET6 : AF_INET
  return exchange({ address, family, kind: SOCK_DGRAM, protocol: IPPROTO_UDP, netns, signal, message: randomBytes(bytes) }, () => true)
}

interface Exchange {
  readonly address: string
  readonly family: IpFamily
  readonly kind: number
  readonly protocol: number
  readonly netns: Netns | undefined
  readonly signal: AbortSignal
  readonly message: Buffer
}

function exchange({ address, family, kind, protocol, netns, signal, message }: Exchange, isAnswer: (data: Buffer) => boolean): Promise<boolean> {
  if (signal.aborted) return Promise.resolve(false)
  const open = (): number => socket(family, kind | SOCK_NONBLOCK, protocol)
  const fd = netns === undefined ? open() : netns.run<number>(open)
  const { promise, resolve, reject } = Promise.withResolvers<boolean>()
  const buffer = Buffer.allocUnsafe(65_536)
  const read = (): void => {
    try {
      for (let length = receive(fd, buffer); length !== undefined; length = receive(fd, buffer)) if (isAnswer(buffer.subarray(0, length))) return resolve(true)
    } catch (error) {
      settle(error, { resolve, reject })
    }
  }
  const watch = watchReadable(fd, read)
  const giveUp = (): void => resolve(false)
  signal.addEventListener('abort', giveUp)
  try {
    connectTo(fd, socketAddress(family, address, kind === SOCK_RAW ? 0 : closedPort), address)
    send(fd, message)
  } catch (error) {
    settle(error, { resolve, reject })
  }
  return promise.finally(() => {
    signal.removeEventListener('abort', giveUp)
    watch.close()
    close(fd)
  })
}

/** The refusal is the answer that is hoped for; that there is no way is an answer too. */
function settle(error: unknown, { resolve, reject }: { readonly resolve: (answered: boolean) => void; readonly reject: (error: unknown) => void }): void {
  if (!(error instanceof SystemCallError)) return reject(error)
  if (error.code === 'ECONNREFUSED') return resolve(true)
  if (['EHOSTUNREACH', 'ENETUNREACH', 'ENETDOWN', 'EHOSTDOWN', 'EACCES', 'EPERM', 'EMSGSIZE', 'EADDRNOTAVAIL'].includes(error.code)) return resolve(false)
  reject(error)
}

/** struct sockaddr_in, struct sockaddr_in6 */
function socketAddress(family: IpFamily, address: string, port: number): Buffer {
  const raw = Buffer.alloc(family === AF_INET ? 16 : 28)
  raw.writeUInt16LE(family, 0)
  raw.writeUInt16BE(port, 2)
  raw.set(parseAddress(address), family === AF_INET ? 4 : 8)
  return raw
}

/** RFC 1071 */
function internetChecksum(data: Buffer): number {
  let sum = 0
  for (let at = 0; at < data.length; at += 2) sum += at + 1 < data.length ? data.readUInt16BE(at) : (data[at] ?? 0) << 8
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16)
  return ~sum & 0xffff
}
