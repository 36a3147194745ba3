/** The proxy's health over HTTP, with kube-proxy's paths and words: `/healthz`, `/livez`, `/proxyMode`; and its metrics. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Clock } from '../api/clock.ts'

/** What the server asks of the proxy. */
export interface Health {
  /** When changes have waited for the kernel since, in monotonic milliseconds; undefined when none wait. */
  readonly waitingSince: number | undefined
  /** When the kernel was last brought up to date, in milliseconds since the epoch. */
  readonly lastSync: number | undefined
  /** Whether balancers may send new clients to the node. */
  readonly nodeEligible: boolean
}

export interface HealthServer {
  /** `127.0.0.1:10256` */
  readonly address: string
  close(): Promise<void>
}

export interface HealthOptions {
  /** `127.0.0.1:10256`, `[::1]:10256`; port 0 is any. */
  readonly bindAddress: string
  readonly clock: Clock
  readonly health: () => Health
  /** The text of `/metrics`; left out, there is none. */
  readonly metrics?: (() => Promise<string>) | undefined
}

/** Changes that wait longer than this are not healthy: two of kube-proxy's default sync periods. */
const waitingMsMax = 60_000

/** Whether what is wanted is in the kernel, or has not waited long. */
export function isHealthy({ waitingSince, lastSync }: Omit<Health, 'nodeEligible'>, clock: Clock): boolean {
  return waitingSince === undefined ? lastSync !== undefined : clock.monotonicMs() - waitingSince < waitingMsMax
}

/** Starts serving; rejects with a sentence when it cannot. */
export async function startHealthServer({ bindAddress, clock, health, metrics }: HealthOptions): Promise<HealthServer> {
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(bindAddress)
  if (match === null) throw new Error(`Cannot serve health on ${bindAddress}: it is no ADDRESS:PORT`)
  const server = createServer((request, response) => {
    const path = (request.url ?? '').split('?')[0]
    if (path === '/proxyMode') {
      response.end('nftables')
      return
    }
    if (path === '/metrics' && metrics !== undefined) {
      metrics().then(
        (text) => response.writeHead(200, { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' }).end(text),
        (error: Error) => response.writeHead(500).end(`${error.message}\n`),
      )
      return
    }
    if (path !== '/healthz' && path !== '/livez') {
      response.writeHead(404).end()
      return
    }
    const { nodeEligible, ...state } = health()
    const healthy = isHealthy(state, clock)
    const now = new Date(clock.now()).toISOString()
    const times = { lastUpdated: healthy ? now : new Date(state.lastSync ?? 0).toISOString(), currentTime: now }
    // A proxy that works on a node that is about to go is alive, but balancers are to leave it.
    const isLive = path === '/livez'
    response.writeHead(healthy && (isLive || nodeEligible) ? 200 : 503, { 'content-type': 'application/json', 'x-content-type-options': 'nosniff' })
    response.end(JSON.stringify(isLive ? times : { ...times, nodeEligible }))
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => reject(new Error(`Cannot serve health on ${bindAddress}: ${error.message}`)))
    server.listen(Number(match[3]), match[1] ?? match[2], resolve)
  })
  server.unref()
  const { address, port, family } = server.address() as AddressInfo
  return {
    address: family === 'IPv6' ? `[${address}]:${port}` : `${address}:${port}`,
    close: () => new Promise((resolve) => {
      server.close(() => resolve())
      server.closeAllConnections()
    }),
  }
}
