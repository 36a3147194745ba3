// How the API server reaches kubelets: HTTPS with a client certificate of its own, at the address and port that the Node shows.
import { Agent, request as httpsRequest } from 'node:https'
import type { IncomingMessage } from 'node:http'
import type { Node } from '../../api/types.ts'
import type { Reply, Sink, Upstream } from './http.ts'
import type { Credential } from './pki/authority.ts'
import { limitConnecting } from './server/connect-timeout.ts'
import { StatusError } from './status.ts'

/** Unread bytes at which a stream from a kubelet is held back. */
const pendingBytesMax = 1024 * 1024
/** Headers that concern one connection only, and so are not passed on. */
const connectionHeaders = new Set(['connection', 'keep-alive', 'transfer-encoding', 'upgrade', 'trailer'])

export class KubeletAccess {
  readonly #tls: { readonly ca: string; readonly certificate: string; readonly key: string }
  readonly #agent: Agent

  constructor(client: Credential, ca: string) {
    this.#tls = { ca, certificate: client.certificate, key: client.key }
    this.#agent = new Agent({ keepAlive: true, ca, cert: client.certificate, key: client.key })
  }

  close(): void {
    this.#agent.destroy()
  }

  /** Where a path of a node's kubelet is. */
  upstream(node: Node, path: string): Upstream {
    const { addresses = [], daemonEndpoints } = node.status ?? {}
    const host = addresses.find(({ type }) => type === 'InternalIP')?.address ?? addresses.find(({ type }) => type === 'Hostname')?.address
    if (host === undefined) throw new StatusError(503, 'ServiceUnavailable', `node ${node.metadata.name ?? ''} has not told its address yet`)
    return { host, port: daemonEndpoints?.kubeletEndpoint?.Port ?? 10250, path, tls: this.#tls }
  }

  /** Passes a GET on, and its answer back as it comes. */
  stream({ host, port, path }: Upstream, signal: AbortSignal): Promise<Reply> {
    return new Promise((resolve, reject) => {
      const outgoing = httpsRequest({ agent: this.#agent, host, port, path, method: 'GET', signal })
      limitConnecting(outgoing)
      outgoing.on('error', (error) => reject(new StatusError(503, 'ServiceUnavailable', `Cannot reach the kubelet at ${host}:${port}: ${error.message}`)))
      outgoing.on('response', (response) => resolve(relay(response)))
      outgoing.end()
    })
  }
}

/** An answer from elsewhere as ours, piece by piece, no faster than the client takes it. */
export function relay(response: IncomingMessage): Reply {
  const headers = Object.fromEntries(Object.entries(response.headers).flatMap(([name, value]) => (value === undefined || connectionHeaders.has(name) ? [] : [[name, String(value)]])))
  return {
    status: response.statusCode ?? 502,
    headers,
    body: (sink) => {
      response.on('data', (chunk: Buffer) => void pass(response, sink, chunk))
      // A stream that breaks off ends: what has come is what there is.
      response.on('error', () => sink.end())
      response.on('close', () => sink.end())
    },
  }
}

async function pass(response: IncomingMessage, sink: Sink, chunk: Buffer): Promise<void> {
  sink.write(chunk)
  if (sink.pendingBytes <= pendingBytesMax) return
  response.pause()
  await sink.drained()
  response.resume()
}
