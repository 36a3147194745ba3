/** The cluster's DNS server: names from the watch, answers over UDP and TCP. */
import type { Component } from '../api/component.ts'
import { Responder } from './answers/responder.ts'
import { ClusterNames } from './names.ts'
import type { NamesOptions } from './names.ts'
import { QueryLog } from './answers/query-log.ts'
import { startHealth } from './server/health.ts'
import { RateLimit } from './server/rate-limit.ts'
import { listenTcp } from './server/tcp.ts'
import type { TcpLimits, TcpListener } from './server/tcp.ts'
import { listenUdp } from './server/udp.ts'
import type { UdpListener } from './server/udp.ts'

export { queryNames } from './query.ts'
export { parseStub } from './forward/outside.ts'
export { parseResolvConf, parseUpstream } from './forward/resolv-conf.ts'

export interface DnsOptions extends Omit<NamesOptions, 'serverAddresses'> {
  /** Where to listen, UDP and TCP. Port 0: a free one, the same for both. */
  readonly listen: readonly { readonly address: string; readonly port: number }[]
  /** Answers a second that one client (an IPv6 network of /64 is one) may have; 0 or left out: no limit. */
  readonly rateLimit?: number
  /** One line in the log for so many questions; 0 or left out: none. */
  readonly queryLogEvery?: number
  /** Who may be connected by TCP. */
  readonly tcp?: TcpLimits
  /** Where `/health`, `/ready` and `/metrics` are served, without TLS; nowhere when left out. */
  readonly health?: { readonly address: string; readonly port: number } | undefined
}

export interface DnsServer extends Component {
  readonly listening: readonly { readonly address: string; readonly port: number }[]
  /** Resolves when the names of the cluster are known. Until then they are answered with SERVFAIL. */
  readonly ready: Promise<void>
}

/** An address that is not there yet (the agent gives the host the cluster DNS address) is waited for this long between tries. */
const retryMs = 100

/** Starts answering; resolves when it listens, which is before the cluster's names are known. */
export async function startDns(options: DnsOptions): Promise<DnsServer> {
  const { clock, random, log, listen } = options
  const names = new ClusterNames({ ...options, serverAddresses: listen.map(({ address }) => address).filter((address) => address !== '0.0.0.0' && address !== '::') })
  const limit = new RateLimit(options.rateLimit ?? 0, clock)
  const responder = new Responder({
    handlers: () => names.handlers, recursionAvailable: () => names.takesOtherNames, random, log,
    allows: limit.isOn ? (client) => limit.allows(client) : undefined,
    queryLog: new QueryLog({ every: options.queryLogEvery ?? 0, clock, log }),
  })
  const open: (UdpListener | TcpListener)[] = []
  const stopAll = async (): Promise<void> => {
    for (const one of open.splice(0)) await one.close()
    await names.stop()
  }
  const listening: { address: string; port: number }[] = []
  try {
    // Whoever asks first finds what was known before.
    await names.restore()
    // The first list is under way while we wait for the address.
    const ready = names.start()
    for (const place of listen) listening.push(await listenAt(place, responder, options, open))
    if (options.health !== undefined) open.push(await startHealth(options.health, names, responder))
    log.info('answering', { at: listening.map(({ address, port }) => `${address}:${port}`).join(' '), zone: options.zone })
    const { promise: done, resolve } = Promise.withResolvers<void>()
    return {
      listening, ready, done,
      stop: async () => {
        await stopAll()
        resolve()
      },
    }
  } catch (error) {
    await stopAll()
    throw error
  }
}

async function listenAt(place: { readonly address: string; readonly port: number }, responder: Responder, { clock, log, tcp }: DnsOptions, open: (UdpListener | TcpListener)[]): Promise<{ address: string; port: number }> {
  for (let attempt = 0; ; attempt += 1) {
    let udp: UdpListener | undefined
    try {
      udp = listenUdp(place, (packet, client) => responder.respond(packet, 'udp', client))
      const overTcp = await listenTcp({ address: place.address, port: udp.port }, (packet, client) => responder.respond(packet, 'tcp', client), { clock, ...tcp })
      open.push(udp, overTcp)
      return { address: place.address, port: udp.port }
    } catch (error) {
      udp?.close()
      const { code } = error as NodeJS.ErrnoException
      if (code === 'EADDRINUSE' && place.port === 0 && attempt < 10) continue
      if (code !== 'EADDRNOTAVAIL') throw new Error(`Cannot listen on ${place.address} port ${place.port}: ${code === 'EADDRINUSE' ? 'the port is in use' : (error as Error).message}`, { cause: error })
      if (attempt === 0) log.info('waiting for the address to listen on', { address: place.address })
      await clock.sleep(retryMs)
    }
  }
}
