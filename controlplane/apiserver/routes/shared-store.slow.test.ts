// Several API servers on one etcd are one API.
import t from 'tap'
import { Client } from '../../../api/client.ts'
import { configMaps } from '../../../api/resources.ts'
import { openEtcdStore } from '../../store/etcd/index.ts'
import { hasEtcd, startEtcd } from '../../store/test-support/etcd.ts'
import { admin, ask, startTestServer } from '../test-support/server.ts'
import type { TestServer } from '../test-support/server.ts'

t.test('several API servers on one etcd are one API', { skip: !hasEtcd && 'needs etcd (Debian: etcd-server)' }, async (t) => {
  const [member] = await startEtcd(t.testdir({ pki: {} }))
  if (member === undefined) throw new Error('Cannot test: there is no etcd')
  t.teardown(() => member.kill())
  const dataDir = `${t.testdirName}/server`
  const start = (place: { readonly advertiseAddress: string; readonly bind: string; readonly port: number }): Promise<TestServer> => startTestServer(t, { store: openEtcdStore({ endpoints: [member.url] }), dataDir, ...place })
  const first = await start({ advertiseAddress: '192.0.2.1', bind: '127.0.0.1', port: 0 })
  const second = await start({ advertiseAddress: '192.0.2.2', bind: '127.0.0.2', port: first.server.port })

  await t.test('several may start at once on an empty etcd', async (t) => {
    const started = await Promise.all([1, 2, 3].map(() => startTestServer(t, { store: openEtcdStore({ endpoints: [member.url], root: '/at-once' }) })))
    for (const { server } of started) t.equal((await ask(server, 'GET', '/api/v1/namespaces/kube-public')).status, 200)
  })

  await t.test('what is written at one is read at the other at once', async (t) => {
    for (let i = 0; i < 20; i++) {
      await ask(first.server, 'POST', '/api/v1/namespaces/default/configmaps', { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: `a-${i}` } })
      t.equal((await ask(second.server, 'GET', `/api/v1/namespaces/default/configmaps/a-${i}`)).status, 200)
    }
    await ask(first.server, 'POST', '/api/v1/namespaces', { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'new' } })
    t.equal((await ask(second.server, 'POST', '/api/v1/namespaces/new/configmaps', { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'in-new' } })).status, 201, 'a namespace of the other is known')
  })

  await t.test('the service `kubernetes` leads to both, and each says that it is there', async (t) => {
    const { body } = await ask(first.server, 'GET', '/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes')
    t.same((body['endpoints'] as { addresses: string[] }[]).map(({ addresses }) => addresses[0]), ['192.0.2.1', '192.0.2.2'])
    const leases = await ask(second.server, 'GET', '/apis/coordination.k8s.io/v1/namespaces/kube-system/leases?labelSelector=apiserver.kubernetes.io/identity%3Dkube-apiserver')
    t.same(new Set((leases.body['items'] as { spec: { holderIdentity: string } }[]).map(({ spec }) => spec.holderIdentity.split(':')[0])), new Set(['192.0.2.1', '192.0.2.2']))
  })

  await t.test('watches at both tell the same in the same order', async (t) => {
    const seen = await Promise.all([first, second].map(async ({ server }, i) => {
      const names: string[] = []
      const stop = new AbortController()
      const { metadata } = await new Client(server.transport(admin)).list(configMaps, { namespace: 'default' })
      const watching = (async () => {
        for await (const event of new Client(server.transport(admin)).watch(configMaps, { namespace: 'default', resourceVersion: metadata.resourceVersion ?? '', signal: stop.signal })) {
          if (event.type === 'ADDED') names.push(event.object.metadata.name ?? '')
          if (names.length === 40) return
        }
      })()
      return { names, watching, i }
    }))
    await Promise.all(Array.from({ length: 40 }, (_, i) => ask((i % 2 === 0 ? first : second).server, 'POST', '/api/v1/namespaces/default/configmaps', { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: `w-${i}` } })))
    await Promise.all(seen.map(({ watching }) => watching))
    t.same(seen[0]?.names, seen[1]?.names)
  })

  await t.test('no cluster IP and no node port is given out twice', async (t) => {
    const made = await Promise.all(Array.from({ length: 24 }, (_, i) =>
      ask((i % 2 === 0 ? first : second).server, 'POST', '/api/v1/namespaces/default/services', { apiVersion: 'v1', kind: 'Service', metadata: { name: `s-${i}` }, spec: { type: 'NodePort', ports: [{ port: 80 }] } })))
    const specs = made.map(({ body }) => body['spec'] as { clusterIP: string; ports: { nodePort: number }[] })
    t.equal(new Set(specs.map(({ clusterIP }) => clusterIP)).size, 24)
    t.equal(new Set(specs.map(({ ports }) => ports[0]?.nodePort)).size, 24)
    const asked = await Promise.all([first, second, first, second].map(({ server }, i) =>
      ask(server, 'POST', '/api/v1/namespaces/default/services', { apiVersion: 'v1', kind: 'Service', metadata: { name: `asked-${i}` }, spec: { clusterIP: '10.96.77.77', ports: [{ port: 80 }] } })))
    t.same(asked.map(({ status }) => status).toSorted((a, b) => a - b), [201, 422, 422, 422], 'one that all ask for is one server\'s to give')
  })

  await t.test('a conditional update at both succeeds at one', async (t) => {
    const path = '/api/v1/namespaces/default/configmaps/a-0'
    const { body } = await ask(first.server, 'GET', path)
    const answers = await Promise.all([first, second].map(({ server }, i) => ask(server, 'PUT', path, { ...body, data: { by: `${i}` } })))
    t.same(answers.map(({ status }) => status).toSorted((a, b) => a - b), [200, 409])
  })
})
