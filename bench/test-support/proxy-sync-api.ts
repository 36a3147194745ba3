/** The API server of `proxy-sync`, in a process of its own so that its objects are not counted as the proxy's: SOCKET SERVICES ENDPOINTS. A message changes a service. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import { pipeline } from 'node:stream/promises'
import { SmallApi } from '../../proxy/test-support/api.ts'
import { serviceOf, sliceOf } from './proxy-sync-objects.ts'

/** Gives a service other endpoints. */
export interface Moved {
  readonly at: number
  readonly turn: number
}

const [socket = '', services = '0', endpoints = '0'] = process.argv.slice(2)
const size = { services: Number(services), endpoints: Number(endpoints) }
const api = new SmallApi()
for (let at = 0; at < size.services; at += 1) {
  api.putService(serviceOf(at))
  api.putSlice(sliceOf(at, size))
}

const server = createServer((request, response) => {
  const abort = new AbortController()
  response.on('close', () => abort.abort())
  void api.transport({ method: request.method ?? 'GET', path: request.url ?? '/', signal: abort.signal }).then(({ status, body }) => {
    response.writeHead(status).flushHeaders()
    return pipeline(body, response)
  }).catch((error: unknown) => {
    if (!abort.signal.aborted) throw error
  })
})
server.listen(socket)
await once(server, 'listening')
process.on('message', ({ at, turn }: Moved) => api.putSlice(sliceOf(at, { ...size, turn })))
process.on('disconnect', () => process.exit())
process.send?.('ready')
