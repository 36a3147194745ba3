/** A server elsewhere, what it is asked, and how that looks from outside. */
import type { Clock } from '../../api/clock.ts'
import type { Message } from '../wire/index.ts'

/** Where to ask. */
export interface Upstream {
  readonly address: string
  readonly port: number
  /** With TLS, and the name that its certificate has to be for: DNS over TLS (RFC 7858), or over HTTPS where there is a path. */
  readonly tls?: { readonly serverName: string; readonly ca?: string }
  readonly https?: { readonly path: string }
}

/** What is asked: everything of a query that a server elsewhere needs to know. */
export interface ForwardedQuestion {
  /** Canonical. */
  readonly name: string
  readonly type: number
  readonly class: number
  readonly dnssecOk: boolean
  readonly checkingDisabled: boolean
  /** The marks of the servers that it has come through, this one last. */
  readonly trail?: Uint8Array
}

export interface ExchangeOptions {
  readonly clock: Clock
  /** An integer from 0 up to, but without, `max` (at most 65536) that nobody can foresee. */
  readonly randomInt: (max: number) => number
  readonly timeoutMs: number
  readonly signal: AbortSignal
}

/** Sends a question and resolves to the checked answer. Rejects with why there is none. */
export type Exchange = (upstream: Upstream, question: ForwardedQuestion, options: ExchangeOptions) => Promise<Message>

/** `10.0.0.1:53`, `[fd00::1]:53`, `tls://1.1.1.1:853`, `https://1.1.1.1:443/dns-query`. */
export function nameOf({ address, port, tls, https }: Upstream): string {
  const name = address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`
  if (https !== undefined) return `https://${name}${https.path}`
  return tls === undefined ? name : `tls://${name}`
}
