/**
 * Programs of the host that listen where a service takes their clients away. A node port or an external address is translated before
 * the host's own sockets are asked, so such a program would just never hear of anyone; it is looked for, and told.
 */
import { readFileSync } from 'node:fs'
import { formatAddress } from '../netlink/addresses.ts'
import { RouteSocket } from '../netlink/route/index.ts'
import type { Netns } from '../netlink/netns.ts'
import { parseFrontendId } from './service.ts'
import type { Frontend, ServiceWant } from './service.ts'

/** A socket that waits for clients. */
export interface ListeningSocket {
  readonly protocol: 'tcp' | 'udp'
  /** `0.0.0.0` or `::` where it is any of the host's. */
  readonly address: string
  readonly port: number
}

/** The host's, as far as frontends can be in their way. */
export interface HostSockets {
  readonly sockets: readonly ListeningSocket[]
  readonly addresses: ReadonlySet<string>
}

// include/net/tcp_states.h: TCP_LISTEN, and TCP_CLOSE, in which UDP sockets are that are not connected.
const waiting = { tcp: '0A', udp: '07' } as const

/** Reads what listens in a network namespace, and the addresses it has. */
export function hostSockets(netns: Netns | undefined): HostSockets {
  const read = (): string[] => ['tcp', 'tcp6', 'udp', 'udp6'].map(readTable)
  const [tcp = '', tcp6 = '', udp = '', udp6 = ''] = netns === undefined ? read() : netns.run<string[]>(read)
  const addresses = new Set(hostAddresses(netns))
  return { sockets: [...parseSockets('tcp', `${tcp}${tcp6}`), ...parseSockets('udp', `${udp}${udp6}`)], addresses }
}

/** All addresses of a network namespace. */
export function hostAddresses(netns: Netns | undefined): readonly string[] {
  using route = RouteSocket.open({ netns })
  return route.addresses.list().map(({ address }) => address)
}

/** A host without IPv6 has no such table. */
function readTable(name: string): string {
  try {
    return readFileSync(`/proc/thread-self/net/${name}`, 'latin1')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return ''
    throw error
  }
}

/** The sockets of `/proc/net/tcp` and its like that wait for clients. Addresses stand there as words of the processor's order. */
export function parseSockets(protocol: 'tcp' | 'udp', text: string): ListeningSocket[] {
  return [...text.matchAll(/^ *\d+: ([0-9A-F]{8}|[0-9A-F]{32}):([0-9A-F]{4}) \S+ ([0-9A-F]{2}) /gm)].flatMap(([, address = '', port = '', state]) => {
    const bytes = Buffer.from(address, 'hex')
    return state === waiting[protocol] ? [{ protocol, address: formatAddress(bytes.swap32()), port: Number.parseInt(port, 16) }] : []
  })
}

/** The socket that a frontend hides; `undefined` where none does. */
export function hiddenBy({ address, protocol, port }: Omit<Frontend, 'inside'>, { sockets, addresses }: HostSockets): ListeningSocket | undefined {
  const isHost = addresses.has(address) || address.startsWith('127.')
  if (!isHost) return undefined
  const wildcards = address.includes(':') ? ['::'] : ['0.0.0.0', '::']
  return sockets.find((socket) => socket.protocol === protocol && socket.port === port && (socket.address === address || wildcards.includes(socket.address)))
}

/** Which services hide which of the host's sockets, by `namespace/name`. */
export class HiddenSockets {
  readonly #netns: Netns | undefined
  /** Frontends that are none of the cluster's own addresses; services of which it was not yet asked; and the answers. */
  readonly #frontends = new Map<string, readonly string[]>()
  readonly #unasked = new Set<string>()
  readonly #hidden = new Map<string, readonly string[]>()

  constructor(netns: Netns | undefined) {
    this.#netns = netns
  }

  /** Notes a service's frontends on the host's own addresses; what they were before was asked for. */
  set(key: string, want: ServiceWant | undefined): void {
    const present = [...(want?.targets ?? [])].filter(([id, { kind }]) => kind !== 'clusterIP' && !id.startsWith('inside ')).map(([id]) => id)
    const before = this.#frontends.get(key) ?? []
    if (present.length === before.length && present.every((id) => before.includes(id))) return
    if (present.length > 0) this.#frontends.set(key, present)
    else this.#frontends.delete(key)
    this.#hidden.delete(key)
    if (present.length > 0) this.#unasked.add(key)
  }

  /** Looks for what new frontends hide. */
  look(): void {
    if (this.#unasked.size === 0) return
    const host = hostSockets(this.#netns)
    for (const key of this.#unasked) {
      const hidden = (this.#frontends.get(key) ?? []).flatMap((id) => {
        const socket = hiddenBy(parseFrontendId(id), host)
        return socket === undefined ? [] : [`${id} hides what listens on ${socket.address} port ${socket.port}`]
      })
      if (hidden.length > 0) this.#hidden.set(key, hidden)
      else this.#hidden.delete(key)
    }
    this.#unasked.clear()
  }

  /** Looks for what all of them hide by now; returns whom it looked for. */
  again(): string[] {
    const keys = [...this.#frontends.keys()]
    for (const key of keys) this.#unasked.add(key)
    this.look()
    return keys
  }

  /** What a service hides, in words. */
  of(key: string): readonly string[] {
    return this.#hidden.get(key) ?? []
  }
}
