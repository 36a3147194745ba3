/** Every place where the server answers: opened anew, or taken over from the process before. */
import type { Clock } from '../api/clock.ts'
import type { Logger } from '../api/log.ts'
import { close } from '../netlink/ffi.ts'
import type { Transport } from './answers/handler.ts'
import type { Responder } from './answers/responder.ts'
import { Certificate } from './server/certificate.ts'
import type { Inheritance } from './server/hand-over.ts'
import { startHealth } from './server/health.ts'
import type { Readiness } from './server/health.ts'
import type { TcpLimits } from './server/house.ts'
import { listenHttps } from './server/https.ts'
import { isOwnAddress, openPlace } from './server/sockets.ts'
import type { Kind, OpenPlace } from './server/sockets.ts'
import { listenTcp } from './server/tcp.ts'
import { listenUdp } from './server/udp.ts'
import type { Respond } from './server/udp.ts'

export interface HostPort {
  readonly address: string
  readonly port: number
}

export interface ListenOptions {
  /** Where to listen, UDP and TCP. Port 0: a free one, the same for both. */
  readonly listen: readonly HostPort[]
  /** Where to listen with TLS (RFC 7858) and HTTPS (RFC 8484). */
  readonly tlsListen?: readonly HostPort[] | undefined
  readonly httpsListen?: readonly HostPort[] | undefined
  /** For those two; read again when the files change. */
  readonly certificate?: { readonly certFile: string; readonly keyFile: string } | undefined
  /** Who may be connected by TCP, TLS and HTTPS, for each place. */
  readonly tcp?: TcpLimits
  /** Where `/health`, `/ready` and `/metrics` are served, without TLS; nowhere when left out. */
  readonly health?: HostPort | undefined
  readonly clock: Clock
  readonly log: Logger
}

export interface Answering {
  readonly responder: Responder
  /** They may be others later. */
  readonly names: () => Readiness
  /** What is followed for settings. */
  readonly config?: { readonly refused: number } | undefined
}

interface Listener {
  leave(): Promise<void>
  close(): void | Promise<void>
}

/** Tries at a free port that is free for UDP and TCP alike. */
const triesMax = 10

export class Listeners {
  readonly places: OpenPlace[] = []
  readonly #listeners: Listener[] = []
  /** Sockets that no listener has yet. */
  readonly #bare = new Set<OpenPlace>()
  #certificate: Certificate | undefined

  /** Opens all of them. Rejects with which could not be had; nothing is open then. */
  async open(options: ListenOptions, answering: Answering, inheritance: Inheritance | undefined): Promise<void> {
    const { listen, tlsListen = [], httpsListen = [], health, certificate, clock, log } = options
    try {
      if (tlsListen.length + httpsListen.length > 0) {
        if (certificate === undefined) throw new Error('Cannot listen with TLS: a certificate and its key are needed')
        this.#certificate = await Certificate.read({ ...certificate, clock, log })
      }
      const sockets = [
        ...listen.flatMap((place) => pair(place, inheritance)),
        ...tlsListen.map((place) => one('tls', place, inheritance)), ...httpsListen.map((place) => one('https', place, inheritance)),
        ...(health === undefined ? [] : [one('health', health, inheritance)]),
      ]
      for (const socket of sockets) this.#bare.add(socket)
      for (const socket of sockets) {
        this.#bare.delete(socket)
        this.places.push(socket)
        this.#listeners.push(await this.#start(socket, options, answering))
        if (socket.kind !== 'tcp' && !isOwnAddress(socket.address)) log.info('the address to listen on is not of this host yet', { address: socket.address })
      }
    } catch (error) {
      await this.close()
      throw error
    }
  }

  /** Takes nothing more; resolves when what is under way has ended, or some seconds have passed. */
  async leave(): Promise<void> {
    this.#certificate?.close()
    await Promise.all(this.#listeners.splice(0).map((listener) => listener.leave()))
  }

  async close(): Promise<void> {
    this.#certificate?.close()
    for (const { fd } of this.#bare) close(fd)
    this.#bare.clear()
    for (const listener of this.#listeners.splice(0)) await listener.close()
  }

  #start(place: OpenPlace, { clock, tcp }: ListenOptions, { responder, names, config }: Answering): Listener | Promise<Listener> {
    const respond = (transport: Transport): Respond => (packet, client) => responder.respond(packet, transport, client)
    const certificate = this.#certificate
    switch (place.kind) {
      case 'udp': return listenUdp(place, respond('udp'))
      case 'tcp': return listenTcp(place, respond('tcp'), { clock, ...tcp })
      case 'health': return startHealth(place, { responder, names, config })
      case 'tls':
      case 'https':
        if (certificate === undefined) throw new Error('Cannot listen with TLS: there is no certificate')
        if (place.kind === 'tls') return listenTcp(place, respond('tls'), { clock, ...tcp, secure: () => certificate.context })
        return listenHttps(place, respond('https'), { clock, ...tcp, certificate, onAnswer: (status) => responder.counts.answeredHttps(status) })
    }
  }
}

function one(kind: Kind, { address, port }: HostPort, inheritance: Inheritance | undefined): OpenPlace {
  try {
    return inheritance?.take({ kind, address, port }) ?? openPlace({ kind, address, port })
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    throw new Error(`Cannot listen on ${address} port ${port}${kind === 'health' ? ' for health' : ''}: ${code === 'EADDRINUSE' ? 'the port is in use' : message}`, { cause: error })
  }
}

/** UDP and TCP at the same port. */
function pair(place: HostPort, inheritance: Inheritance | undefined): OpenPlace[] {
  for (let attempt = 1; ; attempt += 1) {
    const udp = one('udp', place, inheritance)
    try {
      return [udp, one('tcp', { address: place.address, port: udp.port }, inheritance)]
    } catch (error) {
      close(udp.fd)
      if (place.port !== 0 || attempt >= triesMax) throw error
    }
  }
}
