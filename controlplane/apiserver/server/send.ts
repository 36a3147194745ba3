// Replies onto the wire: whole or in pieces as the client takes them, compressed for those who take that.
// As kube-apiserver (endpoints/handlers/responsewriters): gzip at its lowest level, beyond 128 KiB, for what is no stream of events.
import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import type { Http2ServerResponse } from 'node:http2'
import { createGzip } from 'node:zlib'
import type { Gzip } from 'node:zlib'
import type { Reply } from '../http.ts'

/** What is smaller is sent as it is: compressing it costs more than it saves. */
const gzipBytesMin = 128 * 1024

export interface Receiver {
  readonly isHead: boolean
  readonly acceptEncoding: string | undefined
}

/** Sends a reply whose body is there, or comes in pieces. Resolves when all of it is handed over, or the client has gone. */
export async function sendWhole({ status, headers, body }: Reply & { readonly body: Iterable<Uint8Array> }, outgoing: ServerResponse | Http2ServerResponse, { isHead, acceptEncoding }: Receiver): Promise<void> {
  const response = outgoing as ServerResponse
  const pieces = body[Symbol.iterator]()
  const { start, bytes, isAll } = beginning(pieces)
  const isPacked = bytes > gzipBytesMin && status === 200 && takesGzip(acceptEncoding) && headers['content-encoding'] === undefined
  const packed = isPacked ? { 'content-encoding': 'gzip', vary: 'Accept-Encoding' } : {}
  const sized = isPacked || !isAll || status === 304 ? {} : { 'content-length': String(bytes) }
  response.writeHead(status, { ...headers, ...packed, ...sized })
  if (isHead) return void response.end()
  if (isAll && !isPacked) return void (bytes === 0 ? response.end() : response.end(start.length === 1 ? start[0] : Buffer.concat(start, bytes)))
  const gzip = isPacked ? createGzip({ level: 1 }) : undefined
  gzip?.pipe(response)
  const target: Gzip | ServerResponse = gzip ?? response
  for (const piece of start) await write(target, piece, response)
  for (let next = pieces.next(); next.done !== true && response.writable; next = pieces.next()) await write(target, next.value, response)
  if (response.writable) target.end()
  else gzip?.destroy()
}

/** The first pieces, until it is known whether the whole is small. */
function beginning(pieces: Iterator<Uint8Array>): { readonly start: readonly Uint8Array[]; readonly bytes: number; readonly isAll: boolean } {
  const start: Uint8Array[] = []
  let bytes = 0
  for (let next = pieces.next(); ; next = pieces.next()) {
    if (next.done === true) return { start, bytes, isAll: true }
    start.push(next.value)
    bytes += next.value.length
    if (bytes > 2 * gzipBytesMin) return { start, bytes, isAll: false }
  }
}

/** Whether `gzip` is among the encodings by its bare name, as kube-apiserver looks for it. */
function takesGzip(acceptEncoding: string | undefined): boolean {
  return (acceptEncoding ?? '').split(',').some((encoding) => encoding.trim() === 'gzip')
}

/** Writes a piece, and waits while the client does not take it. */
async function write(target: Gzip | ServerResponse, piece: Uint8Array, response: ServerResponse): Promise<void> {
  if (target.write(piece) || !response.writable) return
  const left = new AbortController()
  await Promise.race([once(target, 'drain', left), once(response, 'close', left)]).finally(() => left.abort())
}
