/**
 * What goes through each service, from connection tracking: the kernel says of each connection that ends how much it carried, and of those
 * that are open it is asked when somebody wants to know. No rule counts, so no packet is slower for it.
 */
import type { Logger } from '../api/log.ts'
import { Conntrack, listenForEnds } from '../netlink/conntrack.ts'
import type { ConntrackEntry } from '../netlink/conntrack.ts'
import type { Netns } from '../netlink/netns.ts'
import { writeSysctl } from '../netlink/sysctl.ts'
import { frontendKey } from './service.ts'
import type { Frontend } from './service.ts'

export interface ServiceTraffic {
  /** `namespace/name` */
  readonly service: string
  /** The port's name in the service, or its number where it has none. */
  readonly port: string
  readonly connections: number
  readonly bytesIn: number
  readonly bytesOut: number
}

/** Whose a frontend is; undefined: nobody's. */
export type OwnerOf = (frontend: string) => { readonly service: string; readonly port: string } | undefined

type Sums = { -readonly [key in keyof ServiceTraffic]: ServiceTraffic[key] }

const protocolNames: Readonly<Record<number, Frontend['protocol']>> = { 6: 'tcp', 17: 'udp', 132: 'sctp' }
/** enum ip_conntrack_status: IPS_DST_NAT */
const translated = 1 << 5

/** Sums of connections by service and port. Pure but for what it keeps. */
export class TrafficSums {
  readonly #ownerOf: OwnerOf
  readonly #ended = new Map<string, Sums>()
  /** What was said last: a counter never falls. */
  readonly #said = new Map<string, ServiceTraffic>()

  constructor(ownerOf: OwnerOf) {
    this.#ownerOf = ownerOf
  }

  ended(entry: ConntrackEntry): void {
    this.#add(this.#ended, entry)
  }

  /** Of all connections that were, with these that are. */
  with(open: readonly ConntrackEntry[]): ServiceTraffic[] {
    const sums = new Map([...this.#ended].map(([key, sum]) => [key, { ...sum }]))
    for (const entry of open) this.#add(sums, entry)
    for (const [key, sum] of sums) {
      const before = this.#said.get(key)
      if (before === undefined) continue
      for (const field of ['connections', 'bytesIn', 'bytesOut'] as const) sum[field] = Math.max(sum[field], before[field])
    }
    for (const [key, sum] of sums) this.#said.set(key, sum)
    return [...this.#said.values()]
  }

  /** A service that is no more is no more spoken of. */
  forget(service: string): void {
    for (const map of [this.#ended, this.#said]) for (const [key, sum] of map) if (sum.service === service) map.delete(key)
  }

  #add(sums: Map<string, Sums>, { protocol, status, original, originalBytes = 0, replyBytes = 0 }: ConntrackEntry): void {
    const name = protocolNames[protocol]
    if (name === undefined || (status & translated) === 0) return
    const owner = this.#ownerOf(frontendKey({ address: original.destination, protocol: name, port: original.destinationPort ?? 0 }))
    if (owner === undefined) return
    const key = `${owner.service} ${owner.port}`
    const sum = sums.get(key) ?? { ...owner, connections: 0, bytesIn: 0, bytesOut: 0 }
    sum.connections += 1
    sum.bytesIn += originalBytes
    sum.bytesOut += replyBytes
    sums.set(key, sum)
  }
}

export interface TrafficOptions {
  readonly netns?: Netns | undefined
  readonly ownerOf: OwnerOf
  readonly log: Logger
}

/** Counts from now on. */
export class Traffic {
  readonly #options: TrafficOptions
  readonly #sums: TrafficSums
  readonly #listening: { close(): void }

  constructor(options: TrafficOptions) {
    const { netns, ownerOf, log } = options
    this.#options = options
    this.#sums = new TrafficSums(ownerOf)
    try {
      writeSysctl('netfilter/nf_conntrack_acct', 1, { netns })
    } catch (error) {
      log.warn('bytes of services will not be counted', { error })
    }
    this.#listening = listenForEnds((entry) => this.#sums.ended(entry), () => log.warn('connections of services ended faster than they could be counted'), { netns })
  }

  async read(): Promise<ServiceTraffic[]> {
    using conntrack = Conntrack.open({ netns: this.#options.netns })
    return this.#sums.with(await conntrack.listInThread())
  }

  forget(service: string): void {
    this.#sums.forget(service)
  }

  close(): void {
    this.#listening.close()
  }
}
