// Requests that are led elsewhere as they are: the proxy subresource of pods, services and nodes. Bodies stream both ways.
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Upstream } from '../http.ts'
import { StatusError } from '../status.ts'
import { limitConnecting } from './connect-timeout.ts'
import { authorityOf, keptBack } from './upgrade.ts'

/** Leads a request to an upstream, and its answer back. `refuse` says why when that cannot be reached. */
export async function forward({ host, port, path, tls }: Upstream, incoming: IncomingMessage, outgoing: ServerResponse, refuse: (error: StatusError) => void): Promise<void> {
  const { createProxyServer } = await import('http-proxy-3')
  const proxy = createProxyServer({ ignorePath: true, xfwd: true, changeOrigin: true })
  proxy.on('proxyReq', (request) => limitConnecting(request))
  // `Expect` has been answered; with it, the proxy would not tell of its request.
  for (const name of Object.keys(incoming.headers)) if (name === 'expect' || (keptBack.test(name) && name !== 'host')) delete incoming.headers[name]
  const authority = authorityOf(host, port)
  const url = new URL(`${tls === undefined ? 'http' : 'https'}://${authority}${path}`)
  // The proxy takes certificates from its target, and from nowhere else.
  const target = tls === undefined || tls.ca === '' ? url : Object.assign(url, { ca: tls.ca, cert: tls.certificate, key: tls.key })
  const failed = (error: Error): void => {
    if (outgoing.headersSent) outgoing.destroy()
    else refuse(new StatusError(503, 'ServiceUnavailable', `error trying to reach service: ${authority}: ${error.message}`))
  }
  proxy.web(incoming, outgoing, { target, secure: tls !== undefined && tls.ca !== '' }, failed)
}
