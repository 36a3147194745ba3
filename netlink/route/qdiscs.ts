/**
 * Queueing disciplines at the root of links, as far as they limit a rate: `tbf`, the token bucket (net/sched/sch_tbf.c).
 */
import { isNotFound } from '../errors.ts'
import { NLM_F_CREATE, NLM_F_REPLACE } from '../socket.ts'
import { RTM_DELQDISC, RTM_GETQDISC, RTM_NEWQDISC, TC_H_ROOT, TC_LINKLAYER_ETHERNET, qdiscMessage, tbfOptions } from './layouts.ts'
import type { RouteTransport } from './transport.ts'

/** What a link may send: `rate` bytes a second in the long run, `burst` bytes at once, `limit` bytes that wait. */
export interface TokenBucket {
  readonly bytesPerSecond: number
  readonly burstBytes: number
  readonly limitBytes: number
}

/** A discipline at the root of a link. */
export interface Qdisc {
  /** index of the link */
  readonly link: number
  /** `noqueue`, `tbf`, `fq_codel`, … */
  readonly kind: string
  /** of a `tbf`; its burst is what the kernel made of it, and left out */
  readonly bucket?: Omit<TokenBucket, 'burstBytes'> | undefined
}

const U32_MAX = 0xffff_ffff

/** The `qdiscs` part of a route socket. */
export class Qdiscs {
  readonly #transport: RouteTransport

  constructor(transport: RouteTransport) {
    this.#transport = transport
  }

  /** The roots of all links, or of one. */
  list(filter: { link?: number } = {}): Qdisc[] {
    const payload = qdiscMessage.encode({ header: { index: filter.link }, attributes: {} })
    return this.#transport
      .dump(RTM_GETQDISC, 0, payload, { operation: 'list', object: 'queueing disciplines' })
      .map(({ payload }) => qdiscMessage.decode(payload))
      .filter(({ header }) => header.parent === TC_H_ROOT && (filter.link === undefined || header.index === filter.link))
      .map(({ header, attributes }) => ({ link: header.index, kind: attributes.kind ?? '', ...(attributes.kind === 'tbf' ? { bucket: readBucket(attributes.options) } : {}) }))
  }

  /** Puts a token bucket at the root of a link, in place of what is there. */
  limit(link: number, bucket: TokenBucket): void {
    const { bytesPerSecond, burstBytes, limitBytes } = bucket
    const parameters = { rate: { linkLayer: TC_LINKLAYER_ETHERNET, rate: Math.min(bytesPerSecond, U32_MAX) }, limit: Math.min(limitBytes, U32_MAX) }
    const options = tbfOptions.encode({ parameters, ...(bytesPerSecond > U32_MAX ? { rate64: BigInt(bytesPerSecond) } : {}), burst: Math.min(burstBytes, U32_MAX) })
    const payload = qdiscMessage.encode({ header: { index: link, parent: TC_H_ROOT }, attributes: { kind: 'tbf', options } })
    this.#transport.request(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_REPLACE, payload, { operation: 'limit', object: `rate of link ${link} to ${bytesPerSecond} bytes/s` })
  }

  /** Takes away what was put at the root of a link; nothing there is fine. */
  clear(link: number): void {
    const payload = qdiscMessage.encode({ header: { index: link, parent: TC_H_ROOT }, attributes: {} })
    try {
      this.#transport.request(RTM_DELQDISC, 0, payload, { operation: 'clear', object: `queueing discipline of link ${link}` })
    } catch (error) {
      if (!isNotFound(error)) throw error
    }
  }
}

function readBucket(data: Uint8Array | undefined): Omit<TokenBucket, 'burstBytes'> {
  const { parameters, rate64 } = tbfOptions.decode(data ?? new Uint8Array())
  return { bytesPerSecond: rate64 === undefined ? (parameters?.rate.rate ?? 0) : Number(rate64), limitBytes: parameters?.limit ?? 0 }
}
