/** Search paths: misses are answered from the index at once; with autopath the server searches, and never for the wrong pod. */
import t from 'tap'
import { FakeClock } from '../api/clock.ts'
import { silentLogger } from '../api/log.ts'
import type { Pod } from '../api/types.ts'
import { searchDomains } from './answers/autopath.ts'
import { queryNames } from './query.ts'
import { FakeApi } from './test-support/fake-api.ts'
import { plainUpstream } from './test-support/plain-upstream.ts'
import { data, namespace, service, start, web } from './test-support/started.ts'
import type { Started } from './test-support/started.ts'
import { TYPE, addressBytes } from './wire/index.ts'
import { PodOwners } from './zone/pod-owners.ts'

const pod = (name: string, ip: string, parts: { uid?: string; namespace?: string; spec?: Partial<Pod['spec']>; ending?: boolean; phase?: string } = {}): Pod => ({
  metadata: { name, namespace: parts.namespace ?? 'default', uid: parts.uid ?? `uid-${name}`, ...(parts.ending === true ? { deletionTimestamp: '2026-01-01T00:00:00Z' } : {}) },
  spec: { containers: [], ...parts.spec }, status: { phase: parts.phase ?? 'Running', podIP: ip, podIPs: [{ ip }] } as Pod['status'] & object,
})

interface Upstream { readonly port: number; readonly asked: string[] }
/** Knows names below `example.` by one address, and those of host domains. */
async function upstream(t: { teardown(end: () => void): void }): Promise<Upstream> {
  const asked: string[] = []
  const port = await plainUpstream(t, {
    records: (name, type) => {
      // The server looks for loops with questions of its own.
      if (type !== 'HINFO') asked.push(`${name.toLowerCase()} ${type}`)
      if (!/(^|\.)(api\.example|wiki\.corp\.test)$/i.test(name) || /cluster/.test(name)) return undefined
      return type === 'A' ? [{ name, type: 'A', ttl: 60, data: '192.0.2.80' }] : []
    },
  })
  return { port, asked }
}

const me = '127.0.0.1'
async function startSearching(t: Parameters<typeof start>[0], pods: readonly Pod[]): Promise<Started & { up: Upstream }> {
  const up = await upstream(t)
  const objects = { services: [web, service('alias', { type: 'ExternalName', externalName: 'api.example' })], namespaces: [namespace('default'), namespace('other')], pods }
  const started = await start(t, objects, { upstreams: [{ address: me, port: up.port }], autopath: { hostDomains: ['corp.test'] } })
  await started.server.ready
  for (let tries = 0; tries < 100 && (await started.ask('api.example.default.svc.cluster.local')).rcode !== 'NOERROR' && pods.length > 0; tries += 1) await new Promise((resolve) => setTimeout(resolve, 5))
  up.asked.length = 0
  return { ...started, up }
}
const later = (): Promise<void> => new Promise((resolve) => void setTimeout(resolve, 30))

t.test('without it, misses of the search path are answered from the index, and nobody elsewhere is asked', async (t) => {
  const up = await upstream(t)
  const { server, ask } = await start(t, { services: [web] }, { upstreams: [{ address: me, port: up.port }] })
  await server.ready
  for (const domain of ['default.svc.cluster.local', 'svc.cluster.local', 'cluster.local']) t.equal((await ask(`api.example.${domain}`)).rcode, 'NXDOMAIN')
  t.same(up.asked, [])
  t.same(data(await ask('api.example')), ['192.0.2.80'])
  t.same(up.asked, ['api.example A'])
})

t.test('one question in the first search domain gets what the whole search finds', async (t) => {
  const { ask, up, server } = await startSearching(t, [pod('a', me)])
  t.same(data(await ask('api.example.default.svc.cluster.local')), ['api.example', '192.0.2.80'])
  const v6 = await ask('api.example.default.svc.cluster.local', 'AAAA')
  t.same([v6.rcode, data(v6)], ['NOERROR', ['api.example']], 'a name that exists without this type ends the search as well')
  t.same(data(await ask('wiki.default.svc.cluster.local')), ['wiki.corp.test', '192.0.2.80'], "with the host's domains")
  t.same(data(await ask('web.default.default.svc.cluster.local')), ['web.default.svc.cluster.local', '10.96.0.7'], 'in the cluster too')
  t.same(data(await ask('web.default.svc.default.svc.cluster.local')), ['web.default.svc.cluster.local', '10.96.0.7'])
  up.asked.length = 0
  t.same(data(await ask('web.default.svc.cluster.local')), ['10.96.0.7'], 'what is there is not searched for')
  t.same(data(await ask('alias.default.svc.cluster.local')), ['api.example', '192.0.2.80'])
  const miss = await ask('nowhere.default.svc.cluster.local')
  t.same([miss.rcode, data(miss), miss.authorities?.[0]?.type], ['NXDOMAIN', [], 'SOA'], 'what nobody has is not there')
  t.equal((await ask('api.example.default.svc.cluster.local', 'SRV')).rcode, 'NXDOMAIN', 'other types are not searched for')
  await server.stop()
})

t.test('a new service is found by whoever searched in vain before', async (t) => {
  const { ask, api } = await startSearching(t, [pod('a', me)])
  t.equal((await ask('late.default.svc.cluster.local')).rcode, 'NXDOMAIN')
  api.put('services', { ...web, metadata: { name: 'late', namespace: 'default' } })
  await later()
  t.same(data(await ask('late.default.svc.cluster.local')), ['10.96.0.7'])
})

t.test('nobody is searched for in the name of another: strangers, other namespaces, an address that has gone to another pod', async (t) => {
  const { ask, api } = await startSearching(t, [pod('a', me)])
  const found = async (where: string): Promise<boolean> => (await ask(`api.example.${where}.svc.cluster.local`)).rcode === 'NOERROR'
  t.ok(await found('default'))
  t.notOk(await found('other'), 'that is not its first search domain')
  api.put('pods', pod('a', me, { ending: true }))
  await later()
  t.notOk(await found('default'), 'a pod that ends is not searched for: its address may go to another before we hear of it')
  api.put('pods', pod('b', me, { namespace: 'other' }))
  await later()
  t.notOk(await found('other'), 'as long as two have the address, neither')
  t.notOk(await found('default'))
  api.remove('pods', pod('a', me))
  await later()
  t.ok(await found('other'), 'then the new one')
  t.notOk(await found('default'))
  api.put('pods', pod('b', me, { namespace: 'other', uid: 'another pod of that name', spec: { dnsConfig: { searches: ['corp.example'] } } }))
  await later()
  t.notOk(await found('other'), 'a resolver with domains of its own searches by itself')
  api.put('pods', pod('b', me, { namespace: 'other', uid: 'a third' }))
  await later()
  t.ok(await found('other'))
  const gone = Promise.reject(new Error('the API server is gone'))
  gone.catch(() => undefined)
  api.reachable = gone
  api.hangUp()
  await later()
  t.notOk(await found('other'), 'and while the watch is broken nobody, for it may have gone to another')
})

t.test('whose an address is', (t) => {
  const owners = new PodOwners()
  const at = addressBytes('10.244.0.5') ?? new Uint8Array()
  const [old, next] = [pod('db-0', '10.244.0.5', { uid: 'old' }), pod('db-0', '10.244.0.5', { uid: 'new' })]
  owners.setPod(undefined, old)
  t.equal(owners.ownerOf(at)?.uid, 'old')
  owners.setPod(undefined, next)
  t.equal(owners.ownerOf(at), undefined)
  owners.setPod(old, undefined)
  t.equal(owners.ownerOf(at)?.uid, 'new', 'that the old one goes, late, takes nothing from the new one of the same name')
  owners.setPod(next, pod('db-0', '10.244.0.6', { uid: 'new' }))
  t.equal(owners.ownerOf(at), undefined)
  t.equal(owners.ownerOf(addressBytes('10.244.0.6') ?? at)?.uid, 'new')
  for (const parts of [{ phase: 'Succeeded' }, { phase: 'Failed' }, { spec: { hostNetwork: true } }, { spec: { dnsPolicy: 'Default' as const } }]) {
    const other = pod('x', '10.244.0.7', parts)
    owners.setPod(undefined, other)
    t.equal(owners.ownerOf(addressBytes('10.244.0.7') ?? at), undefined, JSON.stringify(parts))
    owners.setPod(other, undefined)
  }
  t.same(searchDomains('search old.test\nnameserver 10.0.0.1\nsearch corp.test lab.corp.test .\n'), ['corp.test', 'lab.corp.test'])
  t.same(searchDomains('nameserver 10.0.0.1\n'), [])
  t.end()
})

t.test('a query says what a pod would be answered', async (t) => {
  const api = new FakeApi()
  for (const one of [namespace('default')]) api.put('namespaces', one)
  api.put('services', web)
  api.put('pods', pod('a', '10.244.0.9'))
  const options = { client: api.client, zone: 'cluster.local', pods: 'disabled' as const, upstreams: [], autopath: { hostDomains: [] }, serverAddresses: [], clock: new FakeClock(), random: () => 0, randomInt: () => 0, log: silentLogger }
  const question = { name: 'web.default.default.svc.cluster.local', type: TYPE.A }
  const found = await queryNames(options, { ...question, pod: 'default/a' })
  t.match(found.text, /NOERROR, authoritative, by autopath, to pod default\/a at 10\.244\.0\.9\n; answer\n.* CNAME web\.default\.svc\.cluster\.local\.\nweb\.default\.svc\.cluster\.local\. 5 IN A 10\.96\.0\.7/)
  t.match((await queryNames(options, question)).text, /NXDOMAIN/)
})
