/** `/health` (it lives), `/ready` (it knows the cluster's names) and `/metrics`, under the paths and names that CoreDNS has. */
import type { Histogram } from '../answers/histogram.ts'
import type { Responder } from '../answers/responder.ts'
import type { Outside } from '../forward/outside.ts'
import type { StreamListener } from './house.ts'
import { metrics } from './metrics.ts'
import type { OpenPlace } from './sockets.ts'

// Imported by name, it would have Node load its client for fetch and WebSocket too (which `node:http` passes on): 4.5 MB that nobody needs here.
const { createServer } = process.getBuiltinModule('node:http')

export interface Readiness {
  readonly isReady: boolean
  readonly isCurrent: boolean
  readonly staleSeconds: number | undefined
  readonly outside: Outside
  readonly autopath: { readonly found: number } | undefined
  readonly programming: Histogram
}

export interface Observed {
  readonly names: () => Readiness
  readonly responder: Responder
  readonly config?: { readonly refused: number } | undefined
}

/** Serves them on a socket, which is its own from here on. `names` may be others at the next request. */
export async function startHealth({ fd }: OpenPlace, { names, responder, config }: Observed): Promise<StreamListener> {
  const server = createServer({ requestTimeout: 5000, headersTimeout: 5000 }, (request, response) => {
    const path = (request.url ?? '').split('?')[0]
    const answer = (status: number, text: string): void => void response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8' }).end(text)
    if (request.method !== 'GET' && request.method !== 'HEAD') return answer(405, 'only GET\n')
    if (path === '/health') return answer(200, 'OK\n')
    if (path === '/ready') return names().isReady ? answer(200, 'OK\n') : answer(503, 'the names of the cluster are not known yet\n')
    if (path === '/metrics') return answer(200, metrics({ names: names(), responder, config }))
    return answer(404, 'known are /health, /ready and /metrics\n')
  })
  server.maxConnections = 100
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen({ fd }, resolve)
  })
  const end = (): Promise<void> => new Promise((resolve) => {
    server.close(() => resolve())
    server.closeAllConnections()
  })
  return { leave: end, close: end }
}
