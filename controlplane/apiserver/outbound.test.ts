import { createServer } from 'node:https'
import type { RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import type { Test } from 'tap'
import { systemClock } from '../../api/clock.ts'
import { openMemoryStore } from '../store/index.ts'
import { WatchCache } from './cache/index.ts'
import { Outbound } from './outbound.ts'
import { CertificateAuthority, yearMs } from './pki/authority.ts'
import { builtinResources } from './resources/index.ts'
import { ask, startTestServer } from './test-support/server.ts'
import { unansweringPort } from './test-support/unanswering.ts'

async function listen(t: Test, names: readonly string[], listener: RequestListener): Promise<{ readonly port: number; readonly caBundle: string }> {
  const authority = await CertificateAuthority.create('webhook-ca', () => Date.now())
  const { certificate, key } = await authority.issue({ subject: { commonName: 'webhook' }, usages: ['server'], names, validMs: yearMs })
  const server = createServer({ cert: certificate, key }, listener)
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return { port: (server.address() as AddressInfo).port, caBundle: Buffer.from(authority.certificate).toString('base64') }
}

function outbound(t: Test, cache = new WatchCache(openMemoryStore(), builtinResources())): Outbound {
  const calls = new Outbound({ cache, clock: systemClock, random: Math.random })
  t.teardown(() => calls.close())
  return calls
}

t.test('a URL is posted to, and believed with the CA that is given only', async (t) => {
  const { port, caBundle } = await listen(t, ['127.0.0.1'], (request, response) => {
    let text = ''
    request.on('data', (piece: Buffer) => (text += piece.toString()))
    request.on('end', () => response.end(JSON.stringify({ url: request.url, sent: JSON.parse(text) as unknown, type: request.headers['content-type'] })))
  })
  const calls = outbound(t)
  const url = `https://127.0.0.1:${port}/check`
  t.same(await calls.post({ url, caBundle }, { body: { a: 1 }, timeoutMs: 5000, query: '?timeout=5s' }), { url: '/check?timeout=5s', sent: { a: 1 }, type: 'application/json' })
  await t.rejects(calls.post({ url }, { body: {}, timeoutMs: 5000 }), { message: /^Post "https:\/\/127\.0\.0\.1:\d+\/check": .*(self-signed|unable to verify)/ })
})

t.test('what does not answer in time, answers too much or is no JSON is an error with its place', async (t) => {
  const { port, caBundle } = await listen(t, ['127.0.0.1'], (request, response) => {
    if (request.url === '/late') return
    if (request.url === '/refusing') response.statusCode = 503
    response.end(request.url === '/long' ? JSON.stringify('x'.repeat(5000)) : 'sorry')
  })
  const calls = outbound(t)
  const post = (path: string): Promise<unknown> => calls.post({ url: `https://127.0.0.1:${port}${path}`, caBundle }, { body: {}, timeoutMs: path === '/late' ? 100 : 5000, bytesMax: 4000 })
  await t.rejects(post('/late'), { message: /: context deadline exceeded$/ })
  await t.rejects(post('/long'), { message: /longer than 4000 bytes/ })
  await t.rejects(post('/refusing'), { message: /: the server answered 503: sorry$/ })
  await t.rejects(post('/text'), { message: /JSON/ })
  await t.rejects(calls.post({ url: `https://127.0.0.1:${await unansweringPort(t)}/` }, { body: {}, timeoutMs: 200 }), { message: /context deadline exceeded/ })
})

t.test('a service is one of its ready endpoints, with a certificate for NAME.NAMESPACE.svc', async (t) => {
  const { port, caBundle } = await listen(t, ['hook.tools.svc'], (request, response) => void response.end(JSON.stringify({ host: request.headers.host, url: request.url })))
  const { server, store } = await startTestServer(t)
  const cache = new WatchCache(store, builtinResources())
  await cache.start((error) => t.fail(error.message))
  t.teardown(() => cache.stop())
  const calls = outbound(t, cache)
  const service = { namespace: 'tools', name: 'hook', path: '/admit' }
  await t.rejects(calls.post({ service, caBundle }, { body: {}, timeoutMs: 5000 }), { message: 'Post "https://hook.tools.svc:443/admit": services "hook" not found' })
  await ask(server, 'POST', '/api/v1/namespaces', { metadata: { name: 'tools' } })
  await ask(server, 'POST', '/api/v1/namespaces/tools/services', { metadata: { name: 'hook' }, spec: { ports: [{ name: 'https', port: 443, targetPort: port }] } })
  await cache.upToDate()
  await t.rejects(calls.post({ service, caBundle }, { body: {}, timeoutMs: 5000 }), { message: /no endpoints available for service "hook:443"/ })
  // Past the validation, which lets no loopback address through.
  await store.create('/registry/discovery.k8s.io/endpointslices/tools/hook-1', Buffer.from(JSON.stringify({
    apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice', metadata: { name: 'hook-1', namespace: 'tools', labels: { 'kubernetes.io/service-name': 'hook' } }, addressType: 'IPv4',
    ports: [{ name: 'https', port }], endpoints: [{ addresses: ['127.0.0.2'], conditions: { ready: false } }, { addresses: ['127.0.0.1'], conditions: { ready: true } }],
  })))
  await cache.upToDate()
  t.match(await calls.post({ service, caBundle }, { body: {}, timeoutMs: 5000 }), { host: /^hook\.tools\.svc/, url: '/admit' })
})
