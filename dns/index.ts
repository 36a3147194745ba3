/** The cluster's DNS server: names from the watch, answers over UDP and TCP, and over TLS and HTTPS when asked for. */
import type { Component } from '../api/component.ts'
import { FollowedConfig } from './config/followed-config.ts'
import type { Settings } from './config/settings.ts'
import { Listeners } from './listeners.ts'
import type { HostPort, ListenOptions } from './listeners.ts'
import type { NamesOptions } from './names.ts'
import { defaultTtlSeconds } from './names.ts'
import { inherit, offer } from './server/hand-over.ts'
import { Serving } from './serving.ts'
import { canonical } from './wire/index.ts'
import { everything } from './zone/exposed.ts'

export { searchDomains } from './answers/autopath.ts'
export { queryNames } from './query.ts'
export { parseStub } from './forward/outside.ts'
export { parseResolvConf, parseUpstream } from './forward/resolv-conf.ts'

export interface DnsOptions extends Omit<NamesOptions, 'serverAddresses'>, ListenOptions {
  /** Answers a second that one client (an IPv6 network of /64 is one) may have; 0 or left out: no limit. */
  readonly rateLimit?: number
  /** One line in the log for so many questions; 0 or left out: none. */
  readonly queryLogEvery?: number
  /** A ConfigMap whose settings come before these, as NAMESPACE/NAME; it is followed. */
  readonly configMap?: string | undefined
  /** Reads files that a Corefile names. */
  readonly readFile?: (path: string) => string
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

/** How long an API server may take to say what the ConfigMap holds, before there are answers without. */
const configMs = 2000

/** Starts answering; resolves when it listens: at once, though the cluster's names are not known yet, or when they are, if there is somebody to take over from. */
export async function startDns(options: DnsOptions): Promise<DnsServer> {
  const { log, listen, handOver } = options
  const before = handOver === undefined ? undefined : await inherit(handOver, options.clock)
  const serverAddresses = listen.map(({ address }) => address).filter((address) => address !== '0.0.0.0' && address !== '::')
  const settings = settingsOf(options)
  const serving = new Serving({ ...options, serverAddresses }, settings)
  const config = options.configMap === undefined ? undefined : new FollowedConfig({
    ...options, name: options.configMap, base: settings, readFile: options.readFile ?? noFiles, onChange: (changed) => serving.change(changed),
  })
  const listeners = new Listeners()
  const { promise: done, resolve: end } = Promise.withResolvers<void>()
  let offered: { close(): void } | undefined
  let taken = false
  const stop = async (): Promise<void> => {
    offered?.close()
    config?.stop()
    await listeners.close()
    // Who has taken over writes the same snapshot: the two would write into one another's.
    await serving.stop({ save: !taken })
    end()
  }
  try {
    // Whoever asks first finds what was known before.
    await serving.names.restore()
    const ready = serving.names.start()
    await config?.start(configMs)
    if (before !== undefined) await Promise.race([ready, before.orphaned])
    await listeners.open(options, { responder: serving.responder, names: () => serving.names, config }, before)
    serving.names.outside.start()
    await before?.finish()
    if (handOver !== undefined) {
      const onTaken = (): void => {
        taken = true
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

function settingsOf({ zone, pods, ttlSeconds = defaultTtlSeconds, upstreams, stubs = [], exposed = everything, autopath, rateLimit = 0, queryLogEvery = 0 }: DnsOptions): Settings {
  return { zone: canonical(zone), pods, ttlSeconds, upstreams, stubs, exposed, autopath, rateLimit, queryLogEvery }
}

function noFiles(path: string): string {
  throw new Error(`Cannot read the configuration: ${path} is not read here`)
}
