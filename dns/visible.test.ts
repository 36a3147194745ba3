/** What a person who looks can see: metrics, the query log, readiness, times to live. */
import t from 'tap'
import { createLogger } from '../api/log.ts'
import type { EndpointSlice } from '../api/types.ts'
import { Histogram, exponentialBounds } from './answers/histogram.ts'
import { FakeApi } from './test-support/fake-api.ts'
import { plainUpstream } from './test-support/plain-upstream.ts'
import { headless, service, slice, start, web } from './test-support/started.ts'

t.test('metrics count under the names that CoreDNS has, and say how old the names may be', async (t) => {
  const health = { address: '127.0.0.1', port: 19_153 }
  const { api, server, ask } = await start(t, { services: [web] }, { health, upstreams: [{ address: '192.0.2.1', port: 53 }], stubs: [{ zone: 'corp.example', upstreams: [{ address: '192.0.2.2', port: 54 }] }] })
  await server.ready
  await ask('web.default.svc.cluster.local')
  await ask('web.default.svc.cluster.local')
  await ask('web.default.svc.cluster.local', 'SRV', { tcp: true })
  await ask('nothing.default.svc.cluster.local')
  const ours = 'server="dns://:53",zone=".",view=""'
  const get = async (path: string): Promise<string> => (await fetch(`http://127.0.0.1:${health.port}${path}`)).text()
  const text = await get('/metrics')
  for (const line of [
    `coredns_dns_requests_total{${ours},family="1",proto="udp",type="A"} 3`, `coredns_dns_requests_total{${ours},family="1",proto="tcp",type="SRV"} 1`,
    `coredns_dns_responses_total{${ours},rcode="NOERROR",plugin="kubernetes"} 3`, `coredns_dns_responses_total{${ours},rcode="NXDOMAIN",plugin="kubernetes"} 1`, 'coredns_forward_requests_total{to="192.0.2.2:54"} 0',
    'coredns_cache_entries{server="dns://:53",zones="corp.example.",view=""} 0',
    `coredns_dns_request_duration_seconds_count{${ours}} 4`, `coredns_dns_request_duration_seconds_bucket{${ours},le="+Inf"} 4`, `coredns_dns_do_requests_total{${ours}} 0`, `coredns_plugin_enabled{${ours},name="kubernetes"} 1`,
    `coredns_dns_request_size_bytes_bucket{${ours},proto="udp",le="0"} 0`, `coredns_dns_request_size_bytes_bucket{${ours},proto="udp",le="100"} 3`, `coredns_dns_request_size_bytes_count{${ours},proto="tcp"} 1`,
    `coredns_dns_response_size_bytes_bucket{${ours},proto="tcp",le="100"} 0`, `coredns_dns_response_size_bytes_bucket{${ours},proto="tcp",le="300"} 1`, 'fairway_dns_rendered_hits_total 1', 'fairway_dns_watch_connected 1', 'fairway_dns_stale_seconds 0',
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

t.test('how long answers, other servers and changes take, and who answered, is counted', async (t) => {
  const port = await plainUpstream(t, { delayMs: 20 })
  const health = { address: '127.0.0.1', port: 19_156 }
  const endpoints = (ip: string): EndpointSlice => ({ ...slice('db', [{ ip }]), metadata: { ...slice('db', []).metadata, annotations: { 'endpoints.kubernetes.io/last-change-trigger-time': new Date(Date.now() - 3000).toISOString() } } })
  const { api, server, ask } = await start(t, { services: [web, headless], endpointslices: [endpoints('10.244.0.5')] }, { health, upstreams: [{ address: '127.0.0.1', port }] })
  await server.ready
  const text = async (): Promise<string> => (await fetch(`http://127.0.0.1:${health.port}/metrics`)).text()
  const value = async (name: string): Promise<number> => Number(new RegExp(`^${name.replaceAll(/[{}+.]/g, String.raw`\$&`)} (\\S+)$`, 'm').exec(await text())?.[1] ?? Number.NaN)
  t.notMatch(await text(), /dns_programming_duration_seconds_count/, 'the first list says nothing of how long changes take')
  api.put('endpointslices', endpoints('10.244.0.6'))
  await new Promise((resolve) => setTimeout(resolve, 30))
  t.equal(await value('coredns_kubernetes_dns_programming_duration_seconds_count{service_kind="headless_with_selector"}'), 1)
  t.ok((await value('coredns_kubernetes_dns_programming_duration_seconds_sum{service_kind="headless_with_selector"}')) >= 3)
  await ask('a.example')
  await ask('a.example')
  await ask('localhost')
  await ask('example.com', 'AXFR')
  const ours = 'server="dns://:53",zone=".",view=""'
  t.equal(await value(`coredns_forward_request_duration_seconds_bucket{to="127.0.0.1:${port}",rcode="NOERROR",le="0.016"}`), 0)
  t.ok((await value(`coredns_forward_request_duration_seconds_sum{to="127.0.0.1:${port}",rcode="NOERROR"}`)) >= 0.02)
  t.ok((await value(`coredns_proxy_request_duration_seconds_count{proxy_name="forward",to="127.0.0.1:${port}",rcode="NOERROR"}`)) >= 1)
  t.ok((await value(`coredns_dns_request_duration_seconds_sum{${ours}}`)) >= 0.02, 'waiting for others is part of it')
  t.equal(await value(`coredns_dns_responses_total{${ours},rcode="NOERROR",plugin="forward"}`), 2)
  t.equal(await value(`coredns_dns_responses_total{${ours},rcode="NOERROR",plugin="local"}`), 1)
  t.equal(await value(`coredns_dns_responses_total{${ours},rcode="REFUSED",plugin=""}`), 1)
  t.equal(await value('coredns_cache_requests_total{server="dns://:53",zones=".",view=""}'), 2)
  t.equal(await value('coredns_cache_hits_total{server="dns://:53",zones=".",view=""}'), 1)
})

t.test('histograms count each value up to its bounds', (t) => {
  const one = new Histogram([1, 2, 4])
  for (const value of [0, 1, 1.5, 4, 9]) one.observe(value)
  t.same([...one.cumulative()], [['1', 2], ['2', 3], ['4', 4], ['+Inf', 5]])
  t.equal(one.sum, 15.5)
  t.same([...Histogram.sum([one, one]).cumulative()], [['1', 4], ['2', 6], ['4', 8], ['+Inf', 10]])
  t.same(exponentialBounds(0.00025, 2, 4), [0.00025, 0.0005, 0.001, 0.002])
  t.end()
})
