/** The official client library for Node against a running cluster: list, watch and informer, over a restart of the control plane. */
import { CoreV1Api, KubeConfig, Watch, makeInformer } from '@kubernetes/client-node'
import type { V1ConfigMap } from '@kubernetes/client-node'
import t from 'tap'
import { eventually, upCluster } from '../support/cluster.ts'

const cluster = await upCluster(t, 'e2e-client', ['--nodes', '1'])
const config = new KubeConfig()
config.loadFromFile(cluster.kubeconfig)
const core = config.makeApiClient(CoreV1Api)

t.test('objects are created, listed, replaced and deleted', async (t) => {
  const created = await core.createNamespacedConfigMap({ namespace: 'default', body: { metadata: { name: 'one' }, data: { a: '1' } } })
  t.match(created, { metadata: { name: 'one', uid: /./ } })
  const replaced = await core.replaceNamespacedConfigMap({ namespace: 'default', name: 'one', body: { ...created, data: { a: '2' } } })
  t.match(replaced.data, { a: '2' })
  await t.rejects(core.replaceNamespacedConfigMap({ namespace: 'default', name: 'one', body: { ...created, data: { a: '3' } } }), { code: 409 }, 'a stale revision is a conflict')
  const list = await core.listNamespacedConfigMap({ namespace: 'default', fieldSelector: 'metadata.name=one' })
  t.equal(list.items.length, 1)
  await core.deleteNamespacedConfigMap({ namespace: 'default', name: 'one' })
  await t.rejects(core.readNamespacedConfigMap({ namespace: 'default', name: 'one' }), { code: 404 })
})

t.test('a watch reports what happens after it began', async (t) => {
  const seen: string[] = []
  const watch = new Watch(config)
  const request = await watch.watch('/api/v1/namespaces/default/configmaps', {}, (phase, object: V1ConfigMap) => seen.push(`${phase} ${object.metadata?.name}`), () => undefined)
  await core.createNamespacedConfigMap({ namespace: 'default', body: { metadata: { name: 'watched' } } })
  await core.deleteNamespacedConfigMap({ namespace: 'default', name: 'watched' })
  await eventually('both events', () => seen.includes('ADDED watched') && seen.includes('DELETED watched'))
  request.abort()
  t.pass('seen')
})

t.test('an informer holds what exists, and goes on after the control plane was killed', async (t) => {
  const informer = makeInformer<V1ConfigMap>(config, '/api/v1/namespaces/default/configmaps', () => core.listNamespacedConfigMap({ namespace: 'default' }))
  const names = new Set<string>()
  informer.on('add', (object) => void names.add(object.metadata?.name ?? ''))
  informer.on('delete', (object) => void names.delete(object.metadata?.name ?? ''))
  let restarts = 0
  let isOver = false
  informer.on('error', () => {
    restarts += 1
    if (!isOver) setTimeout(() => void informer.start(), 200)
  })
  await informer.start()
  t.teardown(() => {
    isOver = true
    return informer.stop()
  })
  await core.createNamespacedConfigMap({ namespace: 'default', body: { metadata: { name: 'before' } } })
  await eventually('the object from before', () => names.has('before'))
  const killed = await cluster.fairway(['node', 'exec', '--name', cluster.name, 'control-plane', '--', 'sh', '-c', 'kill -9 $(cat /run/fairway/server.pid)'])
  t.equal(killed.code, 0, killed.stderr)
  await eventually('writes work again', async () => core.createNamespacedConfigMap({ namespace: 'default', body: { metadata: { name: 'after' } } }).then(() => true), 20_000, 200)
  await eventually('the object from after', () => names.has('after'), 20_000)
  t.ok(names.has('before'), 'nothing that was acknowledged is lost')
  t.comment(`the informer started anew ${restarts} times`)
})
