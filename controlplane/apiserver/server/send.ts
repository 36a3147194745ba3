// Replies onto the wire: whole or in pieces as the client takes them, compressed for those who take that.
// As kube-apiserver (endpoints/handlers/responsewriters): gzip at its lowest level, beyond 128 KiB, for what is no stream of events.
import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import type { Http2ServerResponse } from 'node:http2'
import { createGzip } from 'node:zlib'
import type { Gzip } from 'node:zlib'
import type { Clock } from '../../../api/clock.ts'
import type { Reply } from '../http.ts'

/** What is smaller is sent as it is: compressing it costs more than it saves. */
const gzipBytesMin = 128 * 1024
/** Of what is smaller, so little waits in memory that nobody has to watch it go. */
const pendingBytesMin = 64 * 1024
/** A client that takes nothing of its answer for so long is given up. */
const stalledMs = 60_000

export interface Receiver {
  readonly isHead: boolean
  readonly acceptEncoding: string | undefined
  readonly clock: Clock
}

/** Sends a reply whose body is there, or comes in pieces. Resolves when all of it is handed over, or the client has gone. */
export async function sendWhole({ status, headers, body }: Reply & { readonly body: Iterable<Uint8Array> }, outgoing: ServerResponse | Http2ServerResponse, { isHead, acceptEncoding, clock }: Receiver): Promise<void> {
  const response = outgoing as ServerResponse
  const pieces = body[Symbol.iterator]()
  const { start, bytes, isAll } = beginning(pieces)
  const isPacked = bytes > gzipBytesMin && status === 200 && takesGzip(acceptEncoding) && headers['content-encoding'] === undefined
  const packed = isPacked ? { 'content-encoding': 'gzip', vary: 'Accept-Encoding' } : {}
  const sized = isPacked || !isAll || status === 304 ? {} : { 'content-length': String(bytes) }
  response.writeHead(status, { ...headers, ...packed, ...sized })
  if (isHead) return void response.end()
  if (isAll && !isPacked) {
    if (bytes === 0) return void response.end()
    response.end(start.length === 1 ? start[0] : Buffer.concat(start, bytes))
    return bytes < pendingBytesMin ? undefined : taken(response, response, 'finish', clock)
  }
  const gzip = isPacked ? createGzip({ level: 1 }) : undefined
  gzip?.pipe(response)
  const target: Gzip | ServerResponse = gzip ?? response
  const write = async (piece: Uint8Array): Promise<void> => {
    if (!isGone(response) && !target.write(piece)) await taken(target, response, 'drain', clock)
  }
  for (const piece of start) await write(piece)
  for (let next = pieces.next(); next.done !== true && !isGone(response); next = pieces.next()) await write(next.value)
  if (isGone(response)) return void gzip?.destroy()
  target.end()
  await taken(response, response, 'finish', clock)
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

/** Waits until what was written is taken, and closes the connection of a client that does not take it. */
async function taken(target: Gzip | ServerResponse, response: ServerResponse, event: 'drain' | 'finish', clock: Clock): Promise<void> {
  if (isGone(response)) return
  const left = new AbortController()
  const timer = clock.setTimeout(() => cutOff(response), stalledMs)
  try {
    await Promise.race([once(target, event, left), once(response, 'close', left)])
  } catch {
    // A connection that breaks is taken for one that is closed.
  } finally {
    timer.cancel()
    left.abort()
  }
}

function isGone(response: ServerResponse): boolean {
  return 'stream' in response ? (response as unknown as Http2ServerResponse).stream.destroyed : response.destroyed
}

function cutOff(response: ServerResponse): void {
  if ('stream' in response) (response as unknown as Http2ServerResponse).stream.destroy()
  else response.destroy()
}
