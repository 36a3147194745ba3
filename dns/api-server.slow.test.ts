/** Against an API server over TLS, as alone against any: what changes while the way to it is cut is there as soon as it is open again. */
import t from 'tap'
import { Client } from '../api/client.ts'
import { httpsTransport } from '../api/https-transport.ts'
import { parseKubeconfig } from '../api/kubeconfig.ts'
import { endpointSlices, services } from '../api/resources.ts'
import type { ApiRequest } from '../api/transport.ts'
import type { Service } from '../api/types.ts'
import { startTestServer } from '../controlplane/apiserver/test-support/server.ts'
import { data, slice, start } from './test-support/started.ts'

const service = (name: string, spec: Service['spec'] = { ports: [{ name: 'http', port: 80, protocol: 'TCP' }] }): Service => ({ apiVersion: 'v1', kind: 'Service', metadata: { name, namespace: 'default' }, spec })

t.test('a watch that was cut goes on where it was: what came, changed and went meanwhile is answered, with no second list', { timeout: 30_000 }, async (t) => {
  const { server: api, client } = await startTestServer(t)
  const transport = httpsTransport(parseKubeconfig(api.adminKubeconfig(), { directory: '/' }))
  t.teardown(() => transport.close())
  const cuts = new Set<AbortController>()
  const lists: string[] = []
  let cut = false
  const cuttable = async (request: ApiRequest): ReturnType<typeof transport> => {
    if (cut) throw new Error('the way is cut')
    if (request.path.includes('/services') && !request.path.includes('watch=')) lists.push(request.path)
    const controller = new AbortController()
    cuts.add(controller)
    return transport({ ...request, signal: AbortSignal.any([controller.signal, ...(request.signal === undefined ? [] : [request.signal])]) })
  }
  const make = async (name: string): Promise<string> => (await client.create(services, service(name))).spec.clusterIP ?? ''
  const address = await make('web')
  await make('goes')
  await client.create(services, service('db', { clusterIP: 'None', ports: [{ name: 'sql', port: 5432, protocol: 'TCP' }] }))
  await client.create(endpointSlices, slice('db', [{ ip: '10.244.0.5' }]))
  const { server, ask } = await start(t, {}, { client: new Client(cuttable) })
  await server.ready
  t.same(data(await ask('web.default.svc.cluster.local')), [address])
  t.same(data(await ask('db.default.svc.cluster.local')), ['10.244.0.5'])
  const until = async (what: string, name: string, wanted: readonly unknown[]): Promise<void> => {
    for (let tries = 0; tries < 500 && JSON.stringify(data(await ask(name))) !== JSON.stringify(wanted); tries += 1) await new Promise((resolve) => setTimeout(resolve, 20))
    t.same(data(await ask(name)), wanted, what)
  }
  const late = await make('late')
  await until('a change is answered', 'late.default.svc.cluster.local', [late])

  const listed = lists.length
  cut = true
  for (const controller of cuts) controller.abort()
  const meanwhile = await make('meanwhile')
  await client.delete(services, { namespace: 'default', name: 'goes' })
  const { metadata: { resourceVersion } } = await client.get(endpointSlices, { namespace: 'default', name: 'db-1' })
  const changed = slice('db', [{ ip: '10.244.0.6' }])
  await client.update(endpointSlices, { ...changed, metadata: { ...changed.metadata, ...(resourceVersion === undefined ? {} : { resourceVersion }) } })
  t.same(data(await ask('web.default.svc.cluster.local')), [address], 'what is known is served on')
  t.equal((await ask('meanwhile.default.svc.cluster.local')).rcode, 'NXDOMAIN')
  cut = false
  await until('what came', 'meanwhile.default.svc.cluster.local', [meanwhile])
  await until('what went', 'goes.default.svc.cluster.local', [])
  await until('what changed', 'db.default.svc.cluster.local', ['10.244.0.6'])
  t.equal(lists.length, listed, 'from the watch, not from a list')
})
