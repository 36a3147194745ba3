// Requests that are led elsewhere as they are: the proxy subresource of pods, services and nodes. Bodies stream both ways.
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Upstream } from '../http.ts'
import { StatusError } from '../status.ts'
import { keptBack } from './upgrade.ts'

/** Leads a request to an upstream, and its answer back. `refuse` says why when that cannot be reached. */
export async function forward({ host, port, path, tls }: Upstream, incoming: IncomingMessage, outgoing: ServerResponse, refuse: (error: StatusError) => void): Promise<void> {
  const { createProxyServer } = await import('http-proxy-3')
  const proxy = createProxyServer({ ignorePath: true, xfwd: true, changeOrigin: true })
  proxy.on('proxyReq', (request) => {
    for (const name of request.getHeaderNames()) if (keptBack.test(name) && name !== 'host') request.removeHeader(name)
  })
  const authority = `${host.includes(':') ? `[${host}]` : host}:${port}`
  const options = tls === undefined ? {} : { secure: tls.ca !== '', ...(tls.ca === '' ? {} : { ssl: { ca: tls.ca, cert: tls.certificate, key: tls.key } }) }
  const failed = (error: Error): void => {
    if (outgoing.headersSent) outgoing.destroy()
    else refuse(new StatusError(503, 'ServiceUnavailable', `error trying to reach service: ${error.message}`))
  }
  proxy.web(incoming, outgoing, { target: `${tls === undefined ? 'http' : 'https'}://${authority}${path}`, ...options }, failed)
}
