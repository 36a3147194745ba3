/** `/metrics` of the agent, for Prometheus: on the port that kube-proxy has for it, since the proxy is part of the same process. */
import { createServer } from 'node:http'
import type { Component } from '../../api/component.ts'

export interface MetricsOptions {
  readonly address: string
  readonly port: number
  /** Prometheus' text format 0.0.4. */
  readonly text: () => string | Promise<string>
}

/** Serves it; rejects when the address cannot be had. */
export async function startMetrics({ address, port, text }: MetricsOptions): Promise<Component & { readonly port: number }> {
  const server = createServer({ requestTimeout: 5000, headersTimeout: 5000 }, (request, response) => {
    const answer = (status: number, body: string): void => void response.writeHead(status, { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' }).end(body)
    if (request.method !== 'GET' && request.method !== 'HEAD') return answer(405, 'only GET\n')
    if ((request.url ?? '').split('?')[0] !== '/metrics') return answer(404, 'known is /metrics\n')
    void Promise.try(text).then((body) => answer(200, body), (error: Error) => answer(500, `${error.message}\n`))
  })
  server.maxConnections = 100
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => reject(new Error(`Cannot serve metrics on ${address} port ${port}: ${error.code === 'EADDRINUSE' ? 'the port is in use' : error.message}; --metrics-bind-address names another`, { cause: error })))
    server.listen(port, address, resolve)
  })
  const bound = server.address()
  const { promise: done, resolve: ended } = Promise.withResolvers<void>()
  return {
    done,
    port: typeof bound === 'object' && bound !== null ? bound.port : port,
    stop: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
      ended()
    },
  }
}
