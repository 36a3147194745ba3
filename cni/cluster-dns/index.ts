/**
 * Keeps names answered while the DNS server of this host is down: pods then ask that of another host, at the same address. Nobody is told, and nothing is
 * translated or tracked: the address is routed there.
 */
import type { Clock, Timer } from '../../api/clock.ts'
import type { Component } from '../../api/component.ts'
import type { Logger } from '../../api/log.ts'
import type { Netns } from '../../netlink/netns.ts'
import { RouteSocket } from '../../netlink/route/index.ts'
import { answersNames, isListening } from './ask.ts'
import { atHome, decide } from './place.ts'
import type { Place } from './place.ts'
import { place as placeAddress, routedPeer, surroundings } from './routes.ts'

export interface ClusterDnsOptions {
  /** Cluster DNS addresses, which the overlay puts on `lo`. Each is looked after by itself. */
  readonly addresses: readonly string[]
  /** `cluster.local` */
  readonly zone: string
  readonly clock: Clock
  readonly log: Logger
  /** The host's network namespace, when it is not the caller's. */
  readonly netns?: Netns | undefined
}

const lookEveryMs = 500
const answerMs = 1000

/** Starts to look after them. Stopping leaves them as they are; the next start goes on from there. */
export function startClusterDns(options: ClusterDnsOptions): Component {
  const route = RouteSocket.open({ netns: options.netns })
  const keepers = options.addresses.map((address) => new Keeper(address, route, options))
  const { promise: done, resolve } = Promise.withResolvers<void>()
  return {
    done,
    async stop() {
      await Promise.all(keepers.map((keeper) => keeper.stop()))
      route.close()
      resolve()
    },
  }
}

class Keeper {
  readonly #address: string
  readonly #route: RouteSocket
  readonly #options: ClusterDnsOptions
  #place: Place
  #timer: Timer | undefined
  #looking: Promise<void> = Promise.resolve()
  #stopped = false
  #problem = ''

  constructor(address: string, route: RouteSocket, options: ClusterDnsOptions) {
    this.#address = address
    this.#route = route
    this.#options = options
    const here = atHome(options.clock.monotonicMs())
    const peer = routedPeer(route, address)
    this.#place = peer === undefined ? here : { ...here, kind: 'away', peer }
    this.#later()
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#timer?.cancel()
    await this.#looking
  }

  #later(): void {
    if (this.#stopped) return
    this.#timer = this.#options.clock.setTimeout(() => {
      this.#looking = this.#look().then(() => this.#later())
    }, lookEveryMs)
  }

  async #look(): Promise<void> {
    const { clock, log, netns } = this.#options
    try {
      const listening = isListening(this.#address, netns)
      const answers = this.#place.kind === 'here' && !listening ? undefined : await this.#ask()
      const { peers, own } = surroundings(this.#route, this.#address)
      const before = this.#place
      this.#place = decide(before, { isListening: listening, answers, peers: peers.map(({ key }) => key), nowMs: clock.monotonicMs() })
      const { kind } = this.#place
      const peer = kind === 'away' ? peers.find(({ key }) => key === (this.#place as { readonly peer?: string }).peer) : undefined
      // Before the overlay has put the address on `lo` there is nothing to be done.
      if (kind === 'here' && before.kind === 'here') return
      placeAddress(this.#route, this.#address, peer, own)
      if (kind !== before.kind) this.#tell(peer?.gateway, listening)
      this.#problem = ''
    } catch (error) {
      const { message } = error as Error
      if (message !== this.#problem) log.warn('cannot look after the cluster DNS address', { address: this.#address, error })
      this.#problem = message
    }
  }

  #tell(via: string | undefined, listening: boolean): void {
    const { log } = this.#options
    if (via === undefined) log.info('names are answered on this host again', { address: this.#address })
    else log.warn('the DNS server of this host is down, another host is asked', { address: this.#address, via, why: listening ? 'it does not answer' : 'nobody listens' })
  }

  async #ask(): Promise<boolean> {
    const { clock, zone, netns } = this.#options
    const abort = new AbortController()
    const timer = clock.setTimeout(() => abort.abort(), answerMs)
    try {
      return await answersNames(this.#address, zone, { netns, signal: abort.signal })
    } finally {
      timer.cancel()
    }
  }
}
