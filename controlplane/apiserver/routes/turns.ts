// So many requests are worked on at once; what waits is taken from its clients in turn, so that one that asks for much is
// waited for by nobody but itself (the idea of API Priority and Fairness, with every user a flow of its own).
import type { UserInfo } from '../descriptor.ts'
import type { HttpRequest, Reply } from '../http.ts'
import { checkDepth } from '../json.ts'
import type { RequestInfo } from '../request-info.ts'
import { StatusError } from '../status.ts'
import { bodyBytesMax } from './body.ts'

/** Worked on at once. One client takes as many as it leaves free, so that whoever else comes has not to wait for what its writes wait for. */
const seats = 128
/** Of one client, its bodies that are still on their way included; beyond, it is told to come again later. */
const ofOneMax = 500
/** The streams of a connection are led elsewhere as they are; their bodies are not ours to read. */
const led = new Set(['proxy', 'exec', 'attach', 'portforward'])

export class Turns {
  #free = seats
  /** Who has how many. */
  readonly #held = new Map<string, number>()
  /** Who waits, in the order of their turns. */
  readonly #waiting = new Map<string, (() => void)[]>()
  readonly #inFlight = new Map<string, number>()

  /** Answers a request when it is its client's turn. Its body is read before: who sends slowly takes nobody's place. */
  async take({ user, info }: { readonly user: UserInfo; readonly info: RequestInfo }, request: HttpRequest, work: (request: HttpRequest) => Promise<Reply>): Promise<Reply> {
    const client = user.name
    const inFlight = this.#inFlight.get(client) ?? 0
    if (inFlight >= ofOneMax) throw new StatusError(429, 'TooManyRequests', 'Too many requests, please try again later.', { retryAfterSeconds: 1 })
    this.#inFlight.set(client, inFlight + 1)
    try {
      if (led.has(info.subresource)) return await work(request)
      const received = await withBody(request)
      await this.#enter(client)
      try {
        return await work(received)
      } finally {
        this.#leave(client)
      }
    } finally {
      const left = (this.#inFlight.get(client) ?? 1) - 1
      if (left === 0) this.#inFlight.delete(client)
      else this.#inFlight.set(client, left)
    }
  }

  #enter(client: string): Promise<void> | undefined {
    if (this.#mayTake(client)) return this.#take(client)
    return new Promise((resolve) => {
      const mine = this.#waiting.get(client)
      if (mine === undefined) this.#waiting.set(client, [resolve])
      else mine.push(resolve)
    })
  }

  #mayTake(client: string): boolean {
    return (this.#held.get(client) ?? 0) < this.#free
  }

  #take(client: string): undefined {
    this.#free--
    this.#held.set(client, (this.#held.get(client) ?? 0) + 1)
  }

  #leave(client: string): void {
    const held = (this.#held.get(client) ?? 1) - 1
    if (held === 0) this.#held.delete(client)
    else this.#held.set(client, held)
    this.#free++
    for (const [next, turns] of this.#waiting) {
      if (!this.#mayTake(next)) continue
      const turn = turns.shift()
      // To the end of the row.
      this.#waiting.delete(next)
      if (turns.length > 0) this.#waiting.set(next, turns)
      this.#take(next)
      turn?.()
      return
    }
  }
}

async function withBody(request: HttpRequest): Promise<HttpRequest> {
  if (request.method === 'GET' || request.method === 'HEAD') return request
  const body = await request.readBody(bodyBytesMax)
  if (!/^\s*application\/vnd\.kubernetes\.protobuf\s*(?:;|$)/i.test(request.headers['content-type'] ?? '')) checkDepth(body)
  return { ...request, readBody: () => Promise.resolve(body) }
}
