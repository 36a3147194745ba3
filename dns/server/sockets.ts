/** Sockets that wait for clients, made here rather than by Node so that they can be handed to the process that comes after this one. */
import { networkInterfaces } from 'node:os'
import {
  AF_INET, AF_INET6, SOCK_DGRAM, SOCK_NONBLOCK, SOCK_STREAM, SOL_SOCKET, SO_RCVBUF, SO_RCVBUFFORCE, SO_REUSEADDR, bind, close, listen, setSocketOption, socket, socketName, trySocketOption,
} from '../../netlink/ffi.ts'
import { addressBytes, addressText } from '../wire/index.ts'

/** What is spoken there. */
export type Kind = 'udp' | 'tcp' | 'tls' | 'https' | 'health'

export interface Place {
  readonly kind: Kind
  readonly address: string
  /** 0: a free one. */
  readonly port: number
}

/** A place with its socket, which is bound and, but for UDP, listens. */
export interface OpenPlace extends Place {
  readonly fd: number
}

const receiveBufferBytes = 4 * 1024 * 1024
const backlog = 511
// include/uapi/linux/in.h, in6.h
const IPPROTO_IP = 0
const IP_FREEBIND = 15
const IPPROTO_IPV6 = 41
const IPV6_V6ONLY = 26
const IPV6_FREEBIND = 78

/**
 * Opens a socket at a place. The address need not be the host's yet (`ip-sysctl`, ip_nonlocal_bind): the agent gives it and takes it, and the server
 * is there whenever it is. Throws `SystemCallError`.
 */
export function openPlace({ kind, address, port }: Place): OpenPlace {
  const name = sockaddr(address, port)
  const isV6 = name.readUInt16LE() === AF_INET6
  const fd = socket(name.readUInt16LE(), (kind === 'udp' ? SOCK_DGRAM : SOCK_STREAM) | SOCK_NONBLOCK, 0)
  try {
    if (isV6) setSocketOption(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1)
    setSocketOption(fd, isV6 ? IPPROTO_IPV6 : IPPROTO_IP, isV6 ? IPV6_FREEBIND : IP_FREEBIND, 1)
    if (kind !== 'udp') setSocketOption(fd, SOL_SOCKET, SO_REUSEADDR, 1)
    else if (!trySocketOption(fd, SOL_SOCKET, SO_RCVBUFFORCE, receiveBufferBytes)) setSocketOption(fd, SOL_SOCKET, SO_RCVBUF, receiveBufferBytes)
    bind(fd, name)
    if (kind !== 'udp') listen(fd, backlog)
    return { kind, address, port: socketName(fd).readUInt16BE(2), fd }
  } catch (error) {
    close(fd)
    throw error
  }
}

/** Whether an address is one of this host's, or stands for all of them. */
export function isOwnAddress(address: string): boolean {
  const bytes = addressBytes(address)
  if (bytes === undefined || bytes.every((byte) => byte === 0)) return true
  const own = Object.values(networkInterfaces()).flatMap((addresses) => addresses?.map((one) => addressBytes(one.address.split('%')[0] ?? '')) ?? [])
  return own.some((one) => one !== undefined && addressText(one) === addressText(bytes)) || (bytes.length === 4 && bytes[0] === 127)
}

/** struct sockaddr_in or sockaddr_in6 (include/uapi/linux/in.h, in6.h). */
function sockaddr(address: string, port: number): Buffer {
  const bytes = addressBytes(address)
  if (bytes === undefined) throw new Error(`Cannot listen on ${address}: it is no IP address`)
  const isV4 = bytes.length === 4
  const name = Buffer.alloc(isV4 ? 16 : 28)
  name.writeUInt16LE(isV4 ? AF_INET : AF_INET6)
  name.writeUInt16BE(port, 2)
  name.set(bytes, isV4 ? 4 : 8)
  return name
}
