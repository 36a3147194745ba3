// An API server of a test's own: in memory, on a port that was free, with a client that may do everything.
import { Client } from '../../../api/client.ts'
import { systemClock } from '../../../api/clock.ts'
import { httpsTransport } from '../../../api/https-transport.ts'
import { parseKubeconfig } from '../../../api/kubeconfig.ts'
import { silentLogger } from '../../../api/log.ts'
import type { ApiRequest } from '../../../api/transport.ts'
import { openMemoryStore } from '../../store/index.ts'
import type { Store } from '../../store/index.ts'
import { startApiServer } from '../index.ts'
import type { ApiServer, ApiServerOptions } from '../index.ts'

interface Teardown {
  teardown(callback: () => Promise<void>): void
}

export const admin = { name: 'admin', groups: ['system:masters'] }

export interface TestServer {
  readonly server: ApiServer
  readonly store: Store
  readonly client: Client
}

export async function startTestServer(t: Teardown, options: Partial<ApiServerOptions> = {}): Promise<TestServer> {
  const store = options.store ?? openMemoryStore()
  const server = await startApiServer({ store, dataDir: undefined, bind: '127.0.0.1', port: 0, clock: systemClock, random: Math.random, log: silentLogger, ...options })
  t.teardown(async () => {
    await server.stop()
    await store.close()
  })
  return { server, store, client: new Client(server.transport(admin)) }
}

export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  /** Decoded if it is JSON, text otherwise. */
  readonly body: Record<string, unknown>
  readonly text: string
}

/** One request within the process, answered whole, whatever the status. */
export async function ask(server: ApiServer, method: string, path: string, body?: unknown, headers: Readonly<Record<string, string>> = {}, user = admin): Promise<Answer> {
  return whole(await server.transport(user)(requestOf(method, path, body, headers)))
}

/** The same over TLS, as whoever a kubeconfig says. */
export async function askOver(t: Teardown, kubeconfig: string, method: string, path: string, body?: unknown, token?: string): Promise<Answer> {
  const { clientCert: _cert, clientKey: _key, ...stranger } = parseKubeconfig(kubeconfig, { directory: '/' })
  const transport = httpsTransport(token === undefined ? parseKubeconfig(kubeconfig, { directory: '/' }) : token === '' ? stranger : { ...stranger, token })
  t.teardown(async () => transport.close())
  return whole(await transport(requestOf(method, path, body, {})))
}

function requestOf(method: string, path: string, body: unknown, headers: Readonly<Record<string, string>>): ApiRequest {
  const text = body === undefined ? {} : { body: typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body) }
  return { method, path, headers: { accept: 'application/json', 'content-type': 'application/json', ...headers }, ...text }
}

async function whole({ status, headers, body }: { status: number; headers: Readonly<Record<string, string>>; body: AsyncIterable<Uint8Array> }): Promise<Answer> {
  const pieces: Uint8Array[] = []
  for await (const piece of body) pieces.push(piece)
  const text = Buffer.concat(pieces).toString()
  return { status, headers, text, body: /^\s*\{/.test(text) ? (JSON.parse(text) as Record<string, unknown>) : {} }
}

export function pod(name: string, more: Record<string, unknown> = {}): Record<string, unknown> {
  return { apiVersion: 'v1', kind: 'Pod', metadata: { name, labels: { app: name } }, spec: { containers: [{ name: 'main', image: 'busybox:1' }], ...more } }
}
