/** The server as its askers see it: over sockets, by an independent decoder, fed by a watch. */
import { createSocket } from 'node:dgram'
import packet from 'dns-packet'
import DNS from 'dns2'
import t from 'tap'
import { FakeClock } from '../api/clock.ts'
import { silentLogger } from '../api/log.ts'
import type { Pod, Service } from '../api/types.ts'
import { queryNames } from './query.ts'
import { FakeApi } from './test-support/fake-api.ts'
import { plainUpstream } from './test-support/plain-upstream.ts'
import { data, headless, namespace, overUdp, service, slice, start, web } from './test-support/started.ts'
import { TYPE } from './wire/index.ts'

t.test('a service has an address, ports, a name for its address, and the next question sees its change', async (t) => {
  const { api, server, ask } = await start(t, { services: [web] })
  await server.ready
  const answer = await ask('web.default.svc.cluster.local')
  t.same(data(answer), ['10.96.0.7'])
  t.equal(answer.flag_aa, true)
  t.same(data(await ask('_http._tcp.web.default.svc.cluster.local', 'SRV')), [{ priority: 0, weight: 100, port: 80, target: 'web.default.svc.cluster.local' }])
  t.same(data(await ask('_dns._udp.web.default.svc.cluster.local', 'SRV')), [{ priority: 0, weight: 100, port: 53, target: 'web.default.svc.cluster.local' }])
  t.same(data(await ask('7.0.96.10.in-addr.arpa', 'PTR')), ['web.default.svc.cluster.local'])
  t.same(data(await ask('WEB.default.SVC.cluster.local')), ['10.96.0.7'], 'whatever the case')
  t.same(data(await ask('web.default.svc.cluster.local', 'AAAA')), [], 'and no other family')
  api.put('services', { ...web, spec: { ...web.spec, clusterIP: '10.96.0.8', clusterIPs: ['10.96.0.8'] } } as Service)
  await new Promise((resolve) => setTimeout(resolve, 20))
  t.same(data(await ask('web.default.svc.cluster.local')), ['10.96.0.8'])
  t.equal((await ask('7.0.96.10.in-addr.arpa', 'PTR')).rcode, 'NXDOMAIN')
  api.remove('services', web)
  await new Promise((resolve) => setTimeout(resolve, 20))
  t.equal((await ask('web.default.svc.cluster.local')).rcode, 'NXDOMAIN')
})

t.test('a new service never hides behind a negative answer', async (t) => {
  const { api, server, ask } = await start(t)
  await server.ready
  const missing = await ask('web.default.svc.cluster.local')
  t.equal(missing.rcode, 'NXDOMAIN')
  t.equal(missing.authorities?.[0]?.type, 'SOA')
  api.put('services', web)
  await new Promise((resolve) => setTimeout(resolve, 20))
  t.same(data(await ask('web.default.svc.cluster.local')), ['10.96.0.7'])
})

t.test('a headless service is its ready endpoints, by address and by host name, and nothing without them', async (t) => {
  const { api, server, ask } = await start(t, { services: [headless], endpointslices: [slice('db', [{ ip: '10.244.0.5', hostname: 'db-0' }, { ip: '10.244.1.6' }, { ip: '10.244.1.7', ready: false }])] })
  await server.ready
  t.same(data(await ask('db.default.svc.cluster.local')).map(String).sort(), ['10.244.0.5', '10.244.1.6'])
  t.same(data(await ask('db-0.db.default.svc.cluster.local')), ['10.244.0.5'])
  t.same(data(await ask('10-244-1-6.db.default.svc.cluster.local')), ['10.244.1.6'])
  const srv = await ask('_sql._tcp.db.default.svc.cluster.local', 'SRV')
  t.same((data(srv) as { target: string }[]).map(({ target }) => target).sort(), ['10-244-1-6.db.default.svc.cluster.local', 'db-0.db.default.svc.cluster.local'])
  t.equal(srv.additionals?.length, 2, 'with their addresses beside them')
  t.same(data(await ask('5.0.244.10.in-addr.arpa', 'PTR')), ['db-0.db.default.svc.cluster.local'])
  api.put('endpointslices', slice('db', []))
  await new Promise((resolve) => setTimeout(resolve, 20))
  t.equal((await ask('db.default.svc.cluster.local')).rcode, 'NXDOMAIN')
})

t.test('pods have names as they are asked for: not at all, by any address, or by addresses of pods', async (t) => {
  const pod: Pod = { metadata: { name: 'p', namespace: 'default' }, spec: { containers: [] }, status: { podIP: '10.244.0.9', podIPs: [{ ip: '10.244.0.9' }] } }
  for (const [mode, real, made] of [['disabled', 0, 0], ['insecure', 1, 1], ['verified', 1, 0]] as const) {
    const { server, ask } = await start(t, { pods: [pod] }, { pods: mode })
    await server.ready
    t.equal(data(await ask('10-244-0-9.default.pod.cluster.local')).length, real, mode)
    t.equal(data(await ask('10-244-0-8.default.pod.cluster.local')).length, made, mode)
  }
})

t.test('the apex, empty names in between, other classes and unknown types are answered as the specification has them', async (t) => {
  const { server, ask } = await start(t, { services: [web] })
  await server.ready
  t.match(data(await ask('cluster.local', 'SOA')), [{ mname: 'ns.dns.cluster.local' }])
  t.same(data(await ask('ns.dns.cluster.local')), ['127.0.0.1'])
  t.same(String(data(await ask('dns-version.cluster.local', 'TXT'))), '1.1.0')
  t.equal((await ask('default.svc.cluster.local')).rcode, 'NOERROR')
  t.equal((await ask('_tcp.web.default.svc.cluster.local')).rcode, 'NOERROR')
  t.equal((await ask('nowhere.svc.cluster.local')).rcode, 'NXDOMAIN')
  t.equal((await ask('web.default.svc.cluster.local', 'NAPTR')).rcode, 'NOERROR')
  t.equal((await ask('cluster.local', 'AXFR')).rcode, 'REFUSED')
  t.equal((await ask('example.com')).rcode, 'REFUSED', 'without a server for other names')
})

t.test('before the first list the names are unknown and not absent', async (t) => {
  const api = new FakeApi()
  const gate = Promise.withResolvers<void>()
  api.reachable = gate.promise
  const { server, ask } = await start(t, { services: [web] }, {}, api)
  t.equal((await ask('web.default.svc.cluster.local')).rcode, 'SERVFAIL')
  gate.resolve()
  await server.ready
  t.same(data(await ask('web.default.svc.cluster.local')), ['10.96.0.7'])
})

t.test('what is known is served on while the API server is away', async (t) => {
  const { api, server, ask } = await start(t, { services: [web] })
  await server.ready
  api.reachable = new Promise(() => undefined)
  api.hangUp()
  await new Promise((resolve) => setTimeout(resolve, 50))
  t.same(data(await ask('web.default.svc.cluster.local')), ['10.96.0.7'])
})

t.test('an answer that is too large for UDP is cut and comes whole by TCP; EDNS makes room', async (t) => {
  const endpoints = Array.from({ length: 60 }, (_, n) => ({ ip: `10.244.0.${n + 1}` }))
  const { server, ask } = await start(t, { services: [headless], endpointslices: [slice('db', endpoints)] })
  await server.ready
  const cut = await ask('db.default.svc.cluster.local')
  t.equal(cut.flag_tc, true)
  t.ok(data(cut).length < 60)
  t.equal(data(await ask('db.default.svc.cluster.local', 'A', { tcp: true })).length, 60)
  const roomy = await ask('db.default.svc.cluster.local', 'A', { edns: 1232 })
  t.equal(roomy.flag_tc, false)
  t.equal(data(roomy).length, 60)
})

t.test('who listens on all addresses answers from the one that was asked, at once and later', async (t) => {
  const upstream = await plainUpstream(t, { delayMs: 1 })
  const { server, port } = await start(t, { services: [web] }, { listen: [{ address: '0.0.0.0', port: 0 }], upstreams: [{ address: '127.0.0.1', port: upstream }] })
  await server.ready
  for (const address of ['127.0.0.1', '127.0.0.2', '127.9.9.9']) {
    const socket = createSocket('udp4')
    await new Promise<void>((resolve) => socket.connect(port, address, resolve))
    for (const name of ['web.default.svc.cluster.local', `${address}.example`]) {
      // Connected, the kernel lets through what comes from there alone.
      const came = new Promise((resolve) => {
        socket.once('message', () => resolve('answer'))
        setTimeout(() => resolve('nothing'), 500).unref()
      })
      socket.send(packet.encode({ type: 'query', id: 1, flags: packet.RECURSION_DESIRED, questions: [{ name, type: 'A' }] }))
      t.equal(await came, 'answer', `${name} at ${address}`)
    }
    socket.close()
  }
})

t.test('parts of a private reverse name exist, without data, and what can be none does not', async (t) => {
  const { server, ask } = await start(t, { services: [web] })
  await server.ready
  const rcode = async (name: string): Promise<string | undefined> => (await ask(name, 'PTR')).rcode
  for (const name of ['10.in-addr.arpa', '0.10.in-addr.arpa', '0.96.10.in-addr.arpa', '0.0.d.f.ip6.arpa']) t.equal(await rcode(name), 'NOERROR', name)
  for (const name of ['9.9.9.10.in-addr.arpa', 'x.10.in-addr.arpa', '300.10.in-addr.arpa', '00.10.in-addr.arpa', 'lb._dns-sd._udp.0.0.10.in-addr.arpa', 'a.7.0.96.10.in-addr.arpa', 'g.d.f.ip6.arpa']) t.equal(await rcode(name), 'NXDOMAIN', name)
})

t.test('garbage gets FORMERR or silence, and the server goes on', async (t) => {
  const { server, ask } = await start(t, { services: [web] })
  await server.ready
  const port = server.listening[0]?.port ?? 0
  const garbled = Buffer.concat([packet.encode({ type: 'query', id: 7, questions: [{ name: 'a', type: 'A' }] }), Buffer.from('more')])
  t.equal(packet.decode(await overUdp(port, garbled)).rcode, 'FORMERR')
  for (const silent of [Buffer.alloc(0), Buffer.from('short'), packet.encode({ type: 'response', id: 7, questions: [{ name: 'a', type: 'A' }] })]) await t.rejects(overUdp(port, silent, 100), /no answer/)
  t.same(data(await ask('web.default.svc.cluster.local')), ['10.96.0.7'])
})

t.test('a resolver that shares no code with the server reads its answers', async (t) => {
  const { server } = await start(t, { services: [web, headless], endpointslices: [slice('db', [{ ip: '10.244.0.5', hostname: 'db-0' }])] })
  await server.ready
  const client = new DNS({ nameServers: ['127.0.0.1'], port: server.listening[0]?.port ?? 0 })
  t.match((await client.resolveA('web.default.svc.cluster.local')).answers, [{ address: '10.96.0.7', ttl: 5 }])
  t.match((await client.resolve('_sql._tcp.db.default.svc.cluster.local', 'SRV')).answers, [{ port: 5432, target: 'db-0.db.default.svc.cluster.local' }])
  t.match((await client.resolvePTR('5.0.244.10.in-addr.arpa')).answers, [{ domain: 'db-0.db.default.svc.cluster.local' }])
})

t.test('an external name is followed: in the cluster at once, round in a circle not at all', async (t) => {
  const alias = (name: string, to: string): Service => service(name, { type: 'ExternalName', externalName: to })
  const { server, ask } = await start(t, { services: [web, alias('alias', 'web.default.svc.cluster.local'), alias('a', 'b.default.svc.cluster.local'), alias('b', 'a.default.svc.cluster.local')] })
  await server.ready
  t.same(data(await ask('alias.default.svc.cluster.local')), ['web.default.svc.cluster.local', '10.96.0.7'])
  t.equal((await ask('a.default.svc.cluster.local')).rcode, 'SERVFAIL')
})

t.test('a query says who would answer what, and why', async (t) => {
  const api = new FakeApi()
  api.put('namespaces', namespace('default'))
  api.put('services', web)
  const options = { client: api.client, zone: 'cluster.local', pods: 'disabled' as const, upstreams: [], serverAddresses: ['10.96.0.10'], clock: new FakeClock(), random: () => 0, randomInt: () => 0, log: silentLogger }
  const found = await queryNames(options, { name: 'web.default.svc.cluster.local', type: TYPE.A })
  t.equal(found.answeredBy, 'cluster zone')
  t.equal(found.text, '; web.default.svc.cluster.local. A: NOERROR, authoritative, by cluster zone\n; answer\nweb.default.svc.cluster.local. 5 IN A 10.96.0.7\n')
  t.match((await queryNames(options, { name: 'example.com', type: TYPE.A })).text, /REFUSED/)
})
