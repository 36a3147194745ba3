// The transport within one process: a request goes to the handler as it is, without a socket between.
import type { ApiRequest, ApiResponse, Transport } from '../../../api/transport.ts'
import type { UserInfo } from '../descriptor.ts'
import type { Handler, HttpRequest, Sink } from '../http.ts'
import { StatusError } from '../status.ts'

/** A transport that speaks as `user`. */
export function inProcessTransport(handle: Handler, user: UserInfo): Transport {
  const peer = { user: { ...user, groups: user.groups.includes('system:authenticated') ? user.groups : [...user.groups, 'system:authenticated'] } }
  return async (request) => {
    request.signal?.throwIfAborted()
    const abort = new AbortController()
    const onAbort = (): void => abort.abort(request.signal?.reason)
    request.signal?.addEventListener('abort', onAbort, { once: true })
    const { status, headers, body, forward } = await handle(requestOf(request, peer, abort.signal))
    if (forward !== undefined) throw new Error(`Cannot lead ${request.method} ${request.path} elsewhere: that takes a connection of the client's own`)
    if (typeof body === 'function') return { status, headers, body: streamed(body, abort, () => request.signal?.removeEventListener('abort', onAbort)) }
    request.signal?.removeEventListener('abort', onAbort)
    return { status, headers, body: pieces(body) }
  }
}

function requestOf({ method, path, headers = {}, body }: ApiRequest, peer: HttpRequest['peer'], signal: AbortSignal): HttpRequest {
  const mark = path.indexOf('?')
  return {
    method,
    path: mark < 0 ? path : path.slice(0, mark),
    query: new URLSearchParams(mark < 0 ? '' : path.slice(mark + 1)),
    headers: Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value])),
    peer,
    signal,
    readBody: async (bytesMax) => {
      const bytes = body === undefined ? Buffer.alloc(0) : Buffer.from(body)
      if (bytes.length > bytesMax) throw new StatusError(413, 'RequestEntityTooLarge', `Request entity too large: limit is ${bytesMax} bytes`)
      return bytes
    },
  }
}

async function* pieces(body: Iterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield* body
}

/** The pieces of a stream as they come. Leaving the loop early closes the request, as does its signal, which is thrown. */
async function* streamed(write: (sink: Sink) => void, abort: AbortController, release: () => void): ApiResponse['body'] & AsyncGenerator<Uint8Array> {
  const queue = new PieceQueue()
  abort.signal.addEventListener('abort', () => queue.end(), { once: true })
  write(queue)
  try {
    for (;;) {
      const piece = queue.take() ?? (queue.isEnded ? undefined : await queue.next())
      if (piece === undefined) {
        abort.signal.throwIfAborted()
        return
      }
      yield piece
    }
  } finally {
    release()
    abort.abort()
  }
}

class PieceQueue implements Sink {
  #pieces: Uint8Array[] = []
  #bytes = 0
  #ended = false
  #wake: (() => void)[] = []

  get pendingBytes(): number {
    return this.#bytes
  }

  get isEnded(): boolean {
    return this.#ended
  }

  write(chunk: Uint8Array): void {
    if (this.#ended) return
    this.#pieces.push(chunk)
    this.#bytes += chunk.length
    this.#notify()
  }

  end(): void {
    this.#ended = true
    this.#notify()
  }

  async drained(): Promise<void> {
    while (this.#bytes > 0 && !this.#ended) await this.#changed()
  }

  take(): Uint8Array | undefined {
    const piece = this.#pieces.shift()
    if (piece === undefined) return undefined
    this.#bytes -= piece.length
    if (this.#bytes === 0) this.#notify()
    return piece
  }

  async next(): Promise<Uint8Array | undefined> {
    while (this.#pieces.length === 0 && !this.#ended) await this.#changed()
    return this.take()
  }

  #changed(): Promise<void> {
    return new Promise((resolve) => void this.#wake.push(resolve))
  }

  #notify(): void {
    const waiting = this.#wake
    this.#wake = []
    for (const wake of waiting) wake()
  }
}
