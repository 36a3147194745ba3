// What the handler sees of HTTP: a request and a reply that know nothing of sockets, so that the same handler
// answers over TLS and inside the process.
import type { UserInfo } from './descriptor.ts'

/** Who speaks, as far as the transport knows: a verified client certificate, or a user of this process. */
export interface Peer {
  readonly user?: UserInfo
  readonly address?: string
}

export interface HttpRequest {
  readonly method: string
  /** Path without the query, still percent-encoded. */
  readonly path: string
  readonly query: URLSearchParams
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string | undefined>>
  readonly peer: Peer
  /** Aborted when the client has gone away. */
  readonly signal: AbortSignal
  /** The whole body; throws a 413 `StatusError` beyond `bytesMax`. */
  readBody(bytesMax: number): Promise<Buffer>
}

/** Where a stream writes to. */
export interface Sink {
  write(chunk: Uint8Array): void
  /** Bytes written that the client has not taken yet. */
  readonly pendingBytes: number
  /** Resolves when the client has taken what was written. */
  drained(): Promise<void>
  end(): void
}

export interface Reply {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  /** The body in pieces, or what writes it as it comes. Pieces that are made while they are sent are taken once. */
  readonly body: Iterable<Uint8Array> | ((sink: Sink) => void)
  /** What the body says in JSON, if that is an object of the API: other encodings are made of it. */
  readonly object?: Readonly<Record<string, unknown>>
  /** The client's request is led there, whose answer takes the place of this one. */
  readonly forward?: Upstream
}

export type Handler = (request: HttpRequest) => Promise<Reply>

/** Where a request (proxy) or a connection (exec, attach, port-forward) of a client is led to. */
export interface Upstream {
  readonly host: string
  readonly port: number
  /** With its query. */
  readonly path: string
  /** PEM; undefined: in the clear. An empty CA: whoever answers is believed. */
  readonly tls?: { readonly ca: string; readonly certificate: string; readonly key: string; readonly serverName?: string }
  /** Told to it beside what the client sends. */
  readonly headers?: Readonly<Record<string, string | string[]>>
}

export type UpgradeHandler = (request: HttpRequest) => Promise<Upstream>

export function jsonReply(status: number, value: Readonly<Record<string, unknown>>, headers: Readonly<Record<string, string>> = {}): Reply {
  const reply = bytesReply(status, [Buffer.from(`${JSON.stringify(value)}\n`)], headers)
  return value['kind'] === undefined ? reply : { ...reply, object: value }
}

/** A reply of JSON that is already encoded. */
export function bytesReply(status: number, body: Iterable<Uint8Array>, headers: Readonly<Record<string, string>> = {}): Reply {
  return { status, headers: { 'content-type': 'application/json', 'cache-control': 'no-cache, private', ...headers }, body }
}

export function textReply(status: number, text: string): Reply {
  return { status, headers: { 'content-type': 'text/plain; charset=utf-8', 'x-content-type-options': 'nosniff' }, body: [Buffer.from(text)] }
}
