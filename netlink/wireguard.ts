/**
 * WireGuard links of the kernel: keys, port and peers (include/uapi/linux/wireguard.h). The link itself is made like others, of kind `wireguard`.
 *
 * Keys are text as wg(8) writes them: 32 bytes in base64.
 */
import { LayoutError } from './errors.ts'
import { GenericSocket, genericMessage } from './generic.ts'
import { address, arrayOf, attributes, be16, byteArray, codec, cstring, ipv4, ipv6, struct, u16, u32, u64, u8 } from './layout.ts'
import type { Decoded, Encodable } from './layout.ts'
import type { Netns } from './netns.ts'
import { parsePrefix } from './addresses.ts'
import { AF_INET, AF_INET6 } from './ffi.ts'

export interface WireguardEndpoint {
  readonly address: string
  readonly port: number
}

/** A peer as the device has it. */
export interface WireguardPeer {
  readonly publicKey: string
  readonly endpoint?: WireguardEndpoint | undefined
  readonly allowedIPs: readonly string[]
  /** Seconds since 1970; 0 or none: never. */
  readonly lastHandshakeSeconds?: number | undefined
  readonly receivedBytes?: bigint | undefined
  readonly sentBytes?: bigint | undefined
}

export interface WireguardDevice {
  /** Told to root only. */
  readonly privateKey?: string | undefined
  readonly listenPort: number
  readonly peers: readonly WireguardPeer[]
}

/** What is to become of a peer: gone, or there with this endpoint and exactly these ranges. */
export type WireguardPeerChange =
  | { readonly publicKey: string; readonly remove: true }
  | { readonly publicKey: string; readonly remove?: undefined; readonly endpoint: WireguardEndpoint; readonly allowedIPs: readonly string[] }

export interface WireguardChange {
  readonly privateKey?: string | undefined
  readonly listenPort?: number | undefined
  /** Peers that are not named stay as they are. */
  readonly peers: readonly WireguardPeerChange[]
}

const WG_CMD_GET_DEVICE = 0
const WG_CMD_SET_DEVICE = 1
const WGPEER_F_REMOVE_ME = 1
const WGPEER_F_REPLACE_ALLOWEDIPS = 2
/** An attribute has 65,535 bytes at most, a peer with two ranges some 200. */
const peersPerMessage = 128

const key = codec<string>({
  read: (data, start, end) => keyBytes.read(data, start, end).toString('base64'),
  write: (out, value) => keyBytes.write(out, Buffer.from(value, 'base64')),
})
const keyBytes = byteArray(32)

// struct sockaddr_in, struct sockaddr_in6
const sockaddr4 = struct({ family: u16, port: be16, address: ipv4, zero: u64 })
const sockaddr6 = struct({ family: u16, port: be16, flowInfo: u32, address: ipv6, scope: u32 })
const endpoint = codec<WireguardEndpoint>({
  read(data, start, end) {
    const family = u16.read(data, start, end)
    if (family !== AF_INET && family !== AF_INET6) throw new LayoutError(`Cannot decode endpoint: it is of family ${family}`)
    const { address, port } = (family === AF_INET ? sockaddr4 : sockaddr6).read(data, start, end)
    return { address, port }
  },
  write(out, { address, port }) {
    if (address.includes(':')) sockaddr6.write(out, { family: AF_INET6, port, address })
    else sockaddr4.write(out, { family: AF_INET, port, address })
  },
})

const allowedIP = attributes({ family: [1, u16], address: [2, address], prefixLength: [3, u8] })
const peer = attributes({
  publicKey: [1, key],
  presharedKey: [2, key],
  flags: [3, u32],
  endpoint: [4, endpoint],
  keepaliveSeconds: [5, u16],
  lastHandshake: [6, struct({ seconds: u64, nanoseconds: u64 })],
  receivedBytes: [7, u64],
  sentBytes: [8, u64],
  allowedIPs: [9, arrayOf(allowedIP, { type: 0 })],
  protocolVersion: [10, u32],
})
export const wireguardMessage = genericMessage(attributes({
  link: [1, u32],
  name: [2, cstring],
  privateKey: [3, key],
  publicKey: [4, key],
  flags: [5, u32],
  listenPort: [6, u16],
  mark: [7, u32],
  peers: [8, arrayOf(peer, { type: 0 })],
}))

/** The WireGuard links of one network namespace. */
export class Wireguard {
  readonly #socket: GenericSocket

  private constructor(socket: GenericSocket) {
    this.#socket = socket
  }

  /** Undefined where the kernel has no WireGuard. */
  static open(options: { readonly netns?: Netns | undefined } = {}): Wireguard | undefined {
    const socket = GenericSocket.open('wireguard', options)
    return socket === undefined ? undefined : new Wireguard(socket)
  }

  /** ENODEV where there is no such link, EOPNOTSUPP where it is of another kind. */
  get(name: string): WireguardDevice {
    const payload = wireguardMessage.encode({ header: { command: WG_CMD_GET_DEVICE, version: 1 }, attributes: { name } })
    return readDevice(this.#socket.dump(payload, { operation: 'read', object: `WireGuard link ${name}` }).map((one) => wireguardMessage.decode(one)))
  }

  set(name: string, change: WireguardChange): void {
    for (const payload of encodeChange(name, change)) this.#socket.request(payload, { operation: 'set', object: `WireGuard link ${name}` })
  }

  close(): void {
    this.#socket.close()
  }

  [Symbol.dispose](): void {
    this.close()
  }
}

/** A device from the messages of its dump: a peer with many ranges is continued in the next, by its key alone. For tests. */
export function readDevice(messages: readonly Decoded<typeof wireguardMessage>[]): WireguardDevice {
  const peers: WireguardPeer[] = []
  for (const { publicKey = '', endpoint, allowedIPs = [], lastHandshake, receivedBytes, sentBytes } of messages.flatMap(({ attributes }) => attributes.peers ?? [])) {
    const ranges = allowedIPs.map(({ address = '', prefixLength = 0 }) => `${address}/${prefixLength}`)
    const last = peers.at(-1)
    if (last?.publicKey === publicKey) peers[peers.length - 1] = { ...last, allowedIPs: [...last.allowedIPs, ...ranges] }
    else peers.push({ publicKey, endpoint, allowedIPs: ranges, lastHandshakeSeconds: Number(lastHandshake?.seconds ?? 0n), receivedBytes, sentBytes })
  }
  const first = messages[0]?.attributes
  return { privateKey: first?.privateKey, listenPort: first?.listenPort ?? 0, peers }
}

/** The messages that make a change; key and port are in the first. For tests. */
export function encodeChange(name: string, { privateKey, listenPort, peers }: WireguardChange): Buffer[] {
  const header = { command: WG_CMD_SET_DEVICE, version: 1 }
  const parts = Array.from({ length: Math.max(1, Math.ceil(peers.length / peersPerMessage)) }, (_, index) => peers.slice(index * peersPerMessage, (index + 1) * peersPerMessage))
  return parts.map((part, index) => wireguardMessage.encode({
    header,
    attributes: { name, ...(index === 0 ? { privateKey, listenPort } : {}), ...(part.length === 0 ? {} : { peers: part.map(encodePeer) }) },
  }))
}

function encodePeer(change: WireguardPeerChange): Encodable<typeof peer> {
  if (change.remove === true) return { publicKey: change.publicKey, flags: WGPEER_F_REMOVE_ME }
  return {
    publicKey: change.publicKey,
    flags: WGPEER_F_REPLACE_ALLOWEDIPS,
    endpoint: change.endpoint,
    allowedIPs: change.allowedIPs.map((range) => {
      const { address, prefixLength } = parsePrefix(range)
      return { family: address.includes(':') ? AF_INET6 : AF_INET, address, prefixLength }
    }),
  }
}
