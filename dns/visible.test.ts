/** What a person who looks can see: metrics, the query log, readiness, times to live. */
import t from 'tap'
import { createLogger } from '../api/log.ts'
import { FakeApi } from './test-support/fake-api.ts'
import { service, start, web } from './test-support/started.ts'

t.test('metrics count under the names that CoreDNS has, and say how old the names may be', async (t) => {
  const health = { address: '127.0.0.1', port: 19_153 }
  const { api, server, ask } = await start(t, { services: [web] }, { health, upstreams: [{ address: '192.0.2.1', port: 53 }], stubs: [{ zone: 'corp.example', upstreams: [{ address: '192.0.2.2', port: 54 }] }] })
  await server.ready
  await ask('web.default.svc.cluster.local')
  await ask('web.default.svc.cluster.local')
  await ask('web.default.svc.cluster.local', 'SRV', { tcp: true })
  await ask('nothing.default.svc.cluster.local')
  const get = async (path: string): Promise<string> => (await fetch(`http://127.0.0.1:${health.port}${path}`)).text()
  const text = await get('/metrics')
  for (const line of [
    'coredns_dns_requests_total{family="1",proto="udp",type="A"} 3', 'coredns_dns_requests_total{family="1",proto="tcp",type="SRV"} 1',
    'coredns_dns_responses_total{rcode="NOERROR"} 3', 'coredns_dns_responses_total{rcode="NXDOMAIN"} 1', 'coredns_forward_requests_total{to="192.0.2.2:54"} 0',
    'coredns_cache_entries{zones="corp.example."} 0', 'fairway_dns_rendered_hits_total 1', 'fairway_dns_watch_connected 1', 'fairway_dns_stale_seconds 0',
  ]) t.ok(text.split('\n').includes(line), line)
  t.equal(await get('/ready'), 'OK\n')
  await new Promise((resolve) => setTimeout(resolve, 1100))
  const gone = Promise.reject(new Error('the API server is gone'))
  gone.catch((error: Error) => t.match(error, /gone/))
  api.reachable = gone
  api.hangUp()
  await new Promise((resolve) => setTimeout(resolve, 150))
  const later = await get('/metrics')
  t.match(later, /fairway_dns_watch_connected 0/)
  t.ok(Number(/^fairway_dns_stale_seconds (\S+)/m.exec(later)?.[1]) > 0)
})

t.test('ready is said once the names are known, not before', async (t) => {
  const health = { address: '127.0.0.1', port: 19_154 }
  const api = new FakeApi()
  const gate = Promise.withResolvers<void>()
  api.reachable = gate.promise
  const { server } = await start(t, {}, { health }, api)
  const ready = async (): Promise<number> => (await fetch(`http://127.0.0.1:${health.port}/ready`)).status
  t.equal(await ready(), 503)
  gate.resolve()
  await server.ready
  t.equal(await ready(), 200)
})

t.test('the query log has one line for so many questions, whoever answers them', async (t) => {
  const lines: string[] = []
  const { server, ask } = await start(t, { services: [web] }, { queryLogEvery: 2, log: createLogger({ write: (line) => void (line.includes('msg=query') && lines.push(line)) }) })
  await server.ready
  for (let n = 0; n < 4; n += 1) await ask('web.default.svc.cluster.local')
  await ask('example.com')
  await ask('nothing.default.svc.cluster.local', 'A', { tcp: true })
  t.equal(lines.length, 3)
  t.match(lines[0], /client=127\.0\.0\.1 transport=udp id=4711 name=web\.default\.svc\.cluster\.local\. type=A rcode=NOERROR/)
  t.match(lines[2], /transport=tcp .*rcode=NXDOMAIN/)
})

t.test('times to live are as asked for', async (t) => {
  const { server, ask } = await start(t, { services: [web, service('out', { type: 'ExternalName', externalName: 'example.com' })] }, { ttlSeconds: 30 })
  await server.ready
  t.equal((await ask('web.default.svc.cluster.local')).answers?.[0]?.ttl, 30)
  t.equal((await ask('out.default.svc.cluster.local')).answers?.[0]?.ttl, 30)
  t.equal((await ask('nothing.default.svc.cluster.local')).authorities?.[0]?.ttl, 30)
})
