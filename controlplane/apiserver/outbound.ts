// Calls that the API server makes to others: webhooks for admission and conversion, aggregated API servers. They are named by a
// URL or by a service of the cluster, and trusted by the CA that is given with them (admissionregistration WebhookClientConfig).
import { Agent, request as httpsRequest } from 'node:https'
import type { IncomingMessage } from 'node:http'
import { isIP } from 'node:net'
import type { Clock, Random } from '../../api/clock.ts'
import type { WatchCache } from './cache/index.ts'
import { parseJson } from './json.ts'
import { serviceEndpoint } from './service-endpoint.ts'

export interface ClientConfig {
  /** `https://…`, without user, query and fragment. */
  readonly url?: string
  readonly service?: { readonly namespace: string; readonly name: string; readonly path?: string; readonly port?: number }
  /** PEM in base64; without it, the CAs that Node trusts. */
  readonly caBundle?: string
}

/** Where a call goes, and whom it believes there. */
interface Route {
  readonly host: string
  readonly port: number
  readonly path: string
  /** For which the certificate has to be. */
  readonly serverName: string
  /** PEM; undefined: the CAs that Node trusts. */
  readonly ca: string | undefined
}

interface Post {
  readonly body: unknown
  readonly timeoutMs: number
  /** Default 3 MiB, as kube-apiserver reads of webhooks. */
  readonly bytesMax?: number
  /** Added to the path, as `?timeout=10s`. */
  readonly query?: string
}

const answerBytesMax = 3 * 1024 * 1024
/** What is shown of an answer that is none. */
const shownMax = 1024

export class Outbound {
  readonly #cache: WatchCache
  readonly #clock: Clock
  readonly #random: Random
  readonly #agent = new Agent({ keepAlive: true, timeout: 60_000 })

  constructor({ cache, clock, random }: { readonly cache: WatchCache; readonly clock: Clock; readonly random: Random }) {
    this.#cache = cache
    this.#clock = clock
    this.#random = random
  }

  close(): void {
    this.#agent.destroy()
  }

  /** Where a call goes. A service is one of its ready endpoints; its certificate is for NAME.NAMESPACE.svc. Throws a `StatusError` when there is none. */
  route({ url, service, caBundle = '' }: ClientConfig): Route {
    const ca = caBundle === '' ? undefined : Buffer.from(caBundle, 'base64').toString()
    if (service !== undefined) {
      const { namespace, name, path = '/', port = 443 } = service
      const address = serviceEndpoint(this.#cache, this.#random, { namespace, name, port: String(port) })
      return { ...address, path: path.startsWith('/') ? path : `/${path}`, serverName: `${name}.${namespace}.svc`, ca }
    }
    const { hostname, port, pathname } = new URL(url ?? '')
    return { host: hostname.replace(/^\[|\]$/g, ''), port: port === '' ? 443 : Number(port), path: pathname, serverName: hostname, ca }
  }

  /** Posts JSON and returns the JSON that comes back. Throws an `Error` that says where it called and what went wrong. */
  async post(config: ClientConfig, { body, timeoutMs, bytesMax = answerBytesMax, query = '' }: Post): Promise<unknown> {
    const where = `Post ${JSON.stringify(`${addressOf(config)}${query}`)}`
    const aborting = new AbortController()
    const timer = this.#clock.setTimeout(() => aborting.abort(), timeoutMs)
    try {
      const route = this.route(config)
      const sent = Buffer.from(JSON.stringify(body))
      const { status, text } = await this.#exchange({ ...route, path: route.path + query }, sent, bytesMax, aborting.signal)
      if (status !== 200) throw new Error(`the server answered ${status}: ${text.slice(0, shownMax)}`)
      return parseJson(text)
    } catch (error) {
      throw new Error(`${where}: ${aborting.signal.aborted ? 'context deadline exceeded' : (error as Error).message}`, { cause: error })
    } finally {
      timer.cancel()
    }
  }

  /** A connection that was kept may have been closed meanwhile at the other end: then another is made. */
  async #exchange(route: Route, sent: Buffer, bytesMax: number, signal: AbortSignal): Promise<{ status: number; text: string }> {
    for (;;) {
      const attempt = this.#once(route, sent, bytesMax, signal)
      try {
        return await attempt.answer
      } catch (error) {
        if (!attempt.wasReused() || signal.aborted || (error as NodeJS.ErrnoException).code !== 'ECONNRESET') throw error
      }
    }
  }

  #once({ host, port, path, serverName, ca }: Route, sent: Buffer, bytesMax: number, signal: AbortSignal): { answer: Promise<{ status: number; text: string }>; wasReused: () => boolean } {
    const { promise, resolve, reject } = Promise.withResolvers<{ status: number; text: string }>()
    const outgoing = httpsRequest({
      agent: this.#agent, host, port, path, method: 'POST', signal, 
      ...(isIP(serverName) === 0 ? { servername: serverName } : {}),
      ...(ca === undefined ? {} : { ca }),
      headers: { host: `${serverName}:${port}`, 'content-type': 'application/json', accept: 'application/json', 'content-length': sent.length, 'user-agent': 'kube-apiserver-admission' },
    })
    outgoing.on('error', reject)
    outgoing.on('response', (response) => void read(response, bytesMax).then((text) => resolve({ status: response.statusCode ?? 0, text }), reject))
    outgoing.end(sent)
    return { answer: promise, wasReused: () => outgoing.reusedSocket }
  }
}

async function read(response: IncomingMessage, bytesMax: number): Promise<string> {
  const pieces: Buffer[] = []
  let bytes = 0
  for await (const piece of response) {
    bytes += (piece as Buffer).length
    if (bytes > bytesMax) {
      response.destroy()
      throw new Error(`the answer is longer than ${bytesMax} bytes`)
    }
    pieces.push(piece as Buffer)
  }
  return Buffer.concat(pieces).toString()
}

/** How a call is named to those who read of it: by its service, whichever endpoint it went to. */
function addressOf({ url = '', service }: ClientConfig): string {
  if (service === undefined) return url
  const { namespace, name, path = '/', port = 443 } = service
  return `https://${name}.${namespace}.svc:${port}${path}`
}
