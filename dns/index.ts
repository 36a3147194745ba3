/** The cluster's DNS server: names from the watch, answers over UDP and TCP, and over TLS and HTTPS when asked for. */
import type { Component } from '../api/component.ts'
import { QueryLog } from './answers/query-log.ts'
import { Responder } from './answers/responder.ts'
import { Listeners } from './listeners.ts'
import type { HostPort, ListenOptions } from './listeners.ts'
import { ClusterNames } from './names.ts'
import type { NamesOptions } from './names.ts'
import { inherit, offer } from './server/hand-over.ts'
import { RateLimit } from './server/rate-limit.ts'

export { searchDomains } from './answers/autopath.ts'
export { queryNames } from './query.ts'
export { parseStub } from './forward/outside.ts'
export { parseResolvConf, parseUpstream } from './forward/resolv-conf.ts'

export interface DnsOptions extends Omit<NamesOptions, 'serverAddresses'>, ListenOptions {
  /** Answers a second that one client (an IPv6 network of /64 is one) may have; 0 or left out: no limit. */
  readonly rateLimit?: number
  /** One line in the log for so many questions; 0 or left out: none. */
  readonly queryLogEvery?: number
  /** A Unix socket by which the next process takes over; what is there already is taken over from. */
  readonly handOver?: string | undefined
}

export interface DnsServer extends Component {
  /** Where UDP and TCP are answered. */
  readonly listening: readonly HostPort[]
  /** Where it is listened with TLS and HTTPS. */
  readonly secure: readonly (HostPort & { readonly kind: 'tls' | 'https' })[]
  /** Resolves when the names of the cluster are known. Until then they are answered with SERVFAIL. */
  readonly ready: Promise<void>
}

/** Starts answering; resolves when it listens: at once, though the cluster's names are not known yet, or when they are, if there is somebody to take over from. */
export async function startDns(options: DnsOptions): Promise<DnsServer> {
  const { clock, random, log, listen, handOver } = options
  const before = handOver === undefined ? undefined : await inherit(handOver)
  const names = new ClusterNames({ ...options, serverAddresses: listen.map(({ address }) => address).filter((address) => address !== '0.0.0.0' && address !== '::') })
  const limit = new RateLimit(options.rateLimit ?? 0, clock)
  const responder = new Responder({
    handlers: () => names.handlers, recursionAvailable: () => names.takesOtherNames, random, log,
    allows: limit.isOn ? (client) => limit.allows(client) : undefined,
    queryLog: new QueryLog({ every: options.queryLogEvery ?? 0, clock, log }),
  })
  const listeners = new Listeners()
  const { promise: done, resolve: end } = Promise.withResolvers<void>()
  let offered: { close(): void } | undefined
  const stop = async (): Promise<void> => {
    offered?.close()
    await listeners.close()
    await names.stop()
    end()
  }
  try {
    // Whoever asks first finds what was known before.
    await names.restore()
    const ready = names.start()
    if (before !== undefined) await Promise.race([ready, before.orphaned])
    await listeners.open(options, { responder, names: () => names }, before)
    names.outside.start()
    await before?.finish()
    if (handOver !== undefined) {
      const onTaken = (): void => {
        log.info('another process has taken over')
        void listeners.leave().then(stop)
      }
      offered = offer(handOver, listeners.places, { onTaken, log })
    }
    const at = (...kinds: readonly string[]): typeof listeners.places => listeners.places.filter(({ kind }) => kinds.includes(kind))
    log.info('answering', { at: at('udp', 'tls', 'https').map(({ kind, address, port }) => `${kind === 'udp' ? '' : `${kind} `}${address}:${port}`).join(' '), zone: options.zone, ...(before === undefined ? {} : { tookOver: true }) })
    return {
      ready, done, stop,
      listening: at('udp').map(({ address, port }) => ({ address, port })),
      secure: at('tls', 'https').map(({ kind, address, port }) => ({ kind: kind === 'tls' ? 'tls' : 'https', address, port })),
    }
  } catch (error) {
    await stop()
    throw error
  }
}
