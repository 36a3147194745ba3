/** `/health` (it lives), `/ready` (it knows the cluster's names) and `/metrics`, under the paths and names that CoreDNS has. */
import { createServer } from 'node:http'
import type { Responder } from '../answers/responder.ts'
import { rcodeName } from '../wire/index.ts'

interface Readiness {
  readonly isReady: boolean
  readonly isCurrent: boolean
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

/** Prometheus text format 0.0.4. */
function metrics(names: Readiness, { counts, cache }: Responder): string {
  const lines = [
    '# TYPE coredns_dns_requests_total counter', `coredns_dns_requests_total ${counts.queries}`,
    '# TYPE coredns_dns_responses_total counter', ...[...counts.byRcode.entries()].filter(([, count]) => count > 0).map(([rcode, count]) => `coredns_dns_responses_total{rcode="${rcodeName(rcode)}"} ${count}`),
    '# TYPE coredns_panics_total counter', `coredns_panics_total ${counts.failed}`,
    '# TYPE fairway_dns_malformed_total counter', `fairway_dns_malformed_total ${counts.malformed}`,
    '# TYPE fairway_dns_rendered_hits_total counter', `fairway_dns_rendered_hits_total ${cache.hits}`,
    '# TYPE fairway_dns_rendered_entries gauge', `fairway_dns_rendered_entries ${cache.size}`,
    '# TYPE fairway_dns_watch_connected gauge', `fairway_dns_watch_connected ${names.isCurrent ? 1 : 0}`,
  ]
  return `${lines.join('\n')}\n`
}
