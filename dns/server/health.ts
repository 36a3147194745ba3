/** `/health` (it lives), `/ready` (it knows the cluster's names) and `/metrics`, under the paths and names that CoreDNS has. */
import { createServer } from 'node:http'
import type { Responder } from '../answers/responder.ts'
import type { Outside } from '../forward/outside.ts'
import { metrics } from './metrics.ts'

export interface Readiness {
  readonly isReady: boolean
  readonly isCurrent: boolean
  readonly staleSeconds: number | undefined
  readonly outside: Outside
}

/** Serves them; rejects when the address cannot be had. */
export async function startHealth({ address, port }: { readonly address: string; readonly port: number }, names: Readiness, responder: Responder): Promise<{ readonly port: number; close(): Promise<void> }> {
  const server = createServer({ requestTimeout: 5000, headersTimeout: 5000 }, (request, response) => {
    const path = (request.url ?? '').split('?')[0]
    const answer = (status: number, text: string): void => void response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8' }).end(text)
    if (request.method !== 'GET' && request.method !== 'HEAD') return answer(405, 'only GET\n')
    if (path === '/health') return answer(200, 'OK\n')
    if (path === '/ready') return names.isReady ? answer(200, 'OK\n') : answer(503, 'the names of the cluster are not known yet\n')
    if (path === '/metrics') return answer(200, metrics(names, responder))
    return answer(404, 'known are /health, /ready and /metrics\n')
  })
  server.maxConnections = 100
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => reject(new Error(`Cannot serve health on ${address} port ${port}: ${error.code === 'EADDRINUSE' ? 'the port is in use' : error.message}`, { cause: error })))
    server.listen(port, address, resolve)
  })
  const bound = server.address()
  return {
    port: typeof bound === 'object' && bound !== null ? bound.port : port,
    close: () => new Promise((resolve) => {
      server.close(() => resolve())
      server.closeAllConnections()
    }),
  }
}

