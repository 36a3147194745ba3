/** Which objects have names, when not all are to: the options of CoreDNS's kubernetes plugin; and where names of addresses that nobody here has are asked for. */
import t from 'tap'
import type { Namespace, Service } from '../api/types.ts'
import { plainUpstream } from './test-support/plain-upstream.ts'
import { data, headless, namespace, service, slice, start, web } from './test-support/started.ts'
import { everything } from './zone/exposed.ts'

const labelled = <T extends Service | Namespace>(object: T, labels: Record<string, string>): T => ({ ...object, metadata: { ...object.metadata, labels } })
const elsewhere: Service = { metadata: { name: 'web', namespace: 'other' }, spec: { clusterIP: '10.96.0.8', clusterIPs: ['10.96.0.8'], ports: [] } }
const later = (): Promise<void> => new Promise((resolve) => void setTimeout(resolve, 30))

t.test('names of some namespaces alone', async (t) => {
  const { server, ask } = await start(t, { services: [web, elsewhere], namespaces: [namespace('default'), namespace('other')] }, { exposed: { ...everything, namespaces: ['default'] } })
  await server.ready
  t.same(data(await ask('web.default.svc.cluster.local')), ['10.96.0.7'])
  t.equal((await ask('web.other.svc.cluster.local')).rcode, 'NXDOMAIN')
  t.equal((await ask('other.svc.cluster.local')).rcode, 'NXDOMAIN')
  t.equal((await ask('8.0.96.10.in-addr.arpa', 'PTR')).rcode, 'NXDOMAIN')
})

t.test('names of services with some labels, which may come and go', async (t) => {
  const { server, ask, api } = await start(t, { services: [labelled(web, { dns: 'yes' }), service('hidden', { clusterIP: '10.96.0.9', clusterIPs: ['10.96.0.9'] })] }, { exposed: { ...everything, labels: 'dns=yes' } })
  await server.ready
  t.same(data(await ask('web.default.svc.cluster.local')), ['10.96.0.7'])
  t.equal((await ask('hidden.default.svc.cluster.local')).rcode, 'NXDOMAIN')
  api.put('services', labelled(web, { dns: 'no' }))
  await later()
  t.equal((await ask('web.default.svc.cluster.local')).rcode, 'NXDOMAIN')
})

t.test('names of namespaces with some labels, which may come and go, with all that is in them', async (t) => {
  const { server, ask, api } = await start(t, { services: [web, elsewhere], namespaces: [labelled(namespace('default'), { dns: 'yes' }), namespace('other')] }, { exposed: { ...everything, namespaceLabels: 'dns=yes' }, pods: 'insecure' })
  await server.ready
  const there = async (): Promise<unknown[]> => [data(await ask('web.other.svc.cluster.local')), data(await ask('8.0.96.10.in-addr.arpa', 'PTR')), data(await ask('10-0-0-1.other.pod.cluster.local'))]
  t.same(data(await ask('web.default.svc.cluster.local')), ['10.96.0.7'])
  t.same(await there(), [[], [], []])
  api.put('namespaces', labelled(namespace('other'), { dns: 'yes' }))
  await later()
  t.same(await there(), [['10.96.0.8'], ['web.other.svc.cluster.local'], ['10.0.0.1']])
  api.put('namespaces', namespace('other'))
  await later()
  t.same(await there(), [[], [], []], 'nothing of it is left in memory')
})

t.test('no names of endpoints', async (t) => {
  const { server, ask } = await start(t, { services: [web, headless], endpointslices: [slice('db', [{ ip: '10.244.0.5', hostname: 'db-0' }])] }, { exposed: { ...everything, endpoints: false } })
  await server.ready
  t.same(data(await ask('web.default.svc.cluster.local')), ['10.96.0.7'])
  for (const name of ['db', 'db-0.db']) t.equal((await ask(`${name}.default.svc.cluster.local`)).rcode, 'NXDOMAIN')
  t.equal((await ask('5.0.244.10.in-addr.arpa', 'PTR')).rcode, 'NXDOMAIN')
})

t.test('no names of services without a ready endpoint, until they have one', async (t) => {
  const out = service('out', { type: 'ExternalName', externalName: 'web.default.svc.cluster.local' })
  const { server, ask, api } = await start(t, { services: [web, out], endpointslices: [slice('web', [{ ip: '10.244.0.5', ready: false }])] }, { exposed: { ...everything, ignoreEmptyServices: true } })
  await server.ready
  t.equal((await ask('web.default.svc.cluster.local')).rcode, 'NXDOMAIN')
  t.equal((await ask('out.default.svc.cluster.local')).rcode, 'NXDOMAIN', 'what an external name leads to')
  t.equal((await ask('out.default.svc.cluster.local', 'CNAME')).rcode, 'NOERROR')
  api.put('endpointslices', slice('web', [{ ip: '10.244.0.5' }]))
  await later()
  t.same(data(await ask('web.default.svc.cluster.local')), ['10.96.0.7'])
  api.put('endpointslices', slice('web', []))
  await later()
  t.equal((await ask('web.default.svc.cluster.local')).rcode, 'NXDOMAIN')
})

t.test('endpoints by the names of their pods', async (t) => {
  const pods = slice('db', [{ ip: '10.244.0.5' }, { ip: '10.244.0.6', hostname: 'own' }, { ip: '10.244.0.7' }])
  const endpoints = pods.endpoints?.map((endpoint, n) => ({ ...endpoint, ...(n === 2 ? {} : { targetRef: { kind: 'Pod', name: `db-pod-${n}` } }) }))
  const { server, ask } = await start(t, { services: [headless], endpointslices: [{ ...pods, endpoints } as typeof pods] }, { exposed: { ...everything, endpointPodNames: true } })
  await server.ready
  t.same(data(await ask('db-pod-0.db.default.svc.cluster.local')), ['10.244.0.5'])
  t.same(data(await ask('own.db.default.svc.cluster.local')), ['10.244.0.6'], 'a hostname comes first')
  t.same(data(await ask('10-244-0-7.db.default.svc.cluster.local')), ['10.244.0.7'])
  t.equal((await ask('10-244-0-5.db.default.svc.cluster.local')).rcode, 'NXDOMAIN')
})

t.test('names of addresses that are not the cluster’s are asked for elsewhere, also of private ones', async (t) => {
  const port = await plainUpstream(t, { records: (name) => [{ name, type: 'PTR', ttl: 60, data: 'printer.corp.example' }] })
  const { server, ask } = await start(t, { services: [web] }, { upstreams: [{ address: '127.0.0.1', port }] })
  await server.ready
  t.same(data(await ask('7.0.96.10.in-addr.arpa', 'PTR')), ['web.default.svc.cluster.local'])
  t.same(data(await ask('9.9.9.10.in-addr.arpa', 'PTR')), ['printer.corp.example'])
  t.same(data(await ask('1.1.1.1.in-addr.arpa', 'PTR')), ['printer.corp.example'])
})
