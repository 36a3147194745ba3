/** Who may be connected, whatever they speak: bounded in all and for each client; a full house lets go whoever has been idle longest. */
import { createServer } from 'node:net'
import type { Socket } from 'node:net'
import type { Clock } from '../../api/clock.ts'
import type { OpenPlace } from './sockets.ts'

/** RFC 7766 section 6.2.3: a few seconds; resolvers that ask again open another. */
const idleMs = 10_000
const sweepMs = 1000
const connectionsMax = 1000
/** Connections of one client address: a stub resolver needs one or two. */
const connectionsPerClientMax = 100
/** How long those who are connected may go on when this process is to end. */
const leaveMs = 3000

/** Who may be connected; the defaults are for a cluster's DNS server. */
export interface TcpLimits {
  readonly idleMs?: number
  readonly connectionsMax?: number
  readonly connectionsPerClientMax?: number
}

/** A connection. What it owes is a whole question, or to take its answers. */
export interface Guest {
  /** When it last did. */
  readonly progressAtMs: number
  destroy(): void
  /** Goes as soon as nothing is under way. */
  leave(): void
}

export interface StreamListener {
  /** Takes no more connections; resolves when those that are there have gone, soon. */
  leave(): Promise<void>
  close(): Promise<void>
}

export interface HouseOptions extends TcpLimits {
  readonly clock: Clock
  /** Makes a guest of a connection; `onProgress` is to be called whenever `progressAtMs` grew. */
  readonly welcome: (socket: Socket, client: string, onProgress: () => void) => Guest
}

/** Takes connections from a socket, which is its own from here on. */
export async function openHouse({ fd }: OpenPlace, options: HouseOptions): Promise<StreamListener> {
  const house = new House(options)
  const server = createServer({ noDelay: true }, (socket) => house.admit(socket))
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen({ fd }, () => {
      server.removeListener('error', reject)
      resolve()
    })
  })
  const closed = (): Promise<void> => new Promise((resolve) => void server.close(() => resolve()))
  return {
    async leave() {
      const timer = options.clock.setTimeout(() => house.close(), leaveMs)
      const empty = closed()
      house.leave()
      await empty
      timer.cancel()
    },
    async close() {
      const empty = closed()
      house.close()
      await empty
    },
  }
}

/** The connections that are open. */
class House {
  readonly #options: HouseOptions
  /** Those that made progress last stand at the end. */
  readonly #open = new Set<Guest>()
  readonly #ofClient = new Map<string, Set<Guest>>()
  #sweeping = false
  #closed = false

  constructor(options: HouseOptions) {
    this.#options = options
  }

  admit(socket: Socket): void {
    const client = socket.remoteAddress ?? ''
    const { connectionsMax: most = connectionsMax, connectionsPerClientMax: mostOfOne = connectionsPerClientMax, welcome } = this.#options
    const own = this.#ofClient.get(client) ?? new Set()
    if (own.size >= mostOfOne) first(own)?.destroy()
    else if (this.#open.size >= most) first(this.#open)?.destroy()
    const guest = welcome(socket, client, () => {
      for (const guests of [this.#open, own]) if (guests.delete(guest)) guests.add(guest)
    })
    this.#open.add(guest)
    this.#ofClient.set(client, own.add(guest))
    socket.once('close', () => {
      this.#open.delete(guest)
      own.delete(guest)
      if (own.size === 0 && this.#ofClient.get(client) === own) this.#ofClient.delete(client)
    })
    this.#sweep()
  }

  leave(): void {
    for (const guest of this.#open) guest.leave()
  }

  close(): void {
    this.#closed = true
    for (const guest of this.#open) guest.destroy()
  }

  /** Lets those go that owe something for too long; looks again as long as anyone is there. */
  #sweep(): void {
    if (this.#sweeping || this.#closed) return
    const { clock, idleMs: most = idleMs } = this.#options
    this.#sweeping = true
    clock.setTimeout(() => {
      this.#sweeping = false
      const since = clock.monotonicMs() - most
      for (const guest of this.#open) if (guest.progressAtMs <= since) guest.destroy()
      if (this.#open.size > 0) this.#sweep()
    }, Math.min(sweepMs, most))
  }
}

/** The one that has been idle longest. */
function first(guests: ReadonlySet<Guest>): Guest | undefined {
  return guests.values().next().value
}
