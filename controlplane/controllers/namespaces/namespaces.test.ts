import t from 'tap'
import { isNotFound } from '../../../api/client.ts'
import { configMaps, deployments, namespaces, pods, serviceAccounts, services } from '../../../api/resources.ts'
import { startTestCluster, template } from '../test-support/cluster.ts'

t.test('a new namespace gets a service account and the CA, and both again when they are deleted', async (t) => {
  const cluster = await startTestCluster({ rootCA: 'the CA' })
  t.teardown(() => cluster.stop())
  const { client } = cluster
  await client.create(namespaces, { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop' } })
  const both = async (): Promise<boolean> => (await client.list(serviceAccounts, { namespace: 'shop' })).items.length === 1
    && (await client.list(configMaps, { namespace: 'shop' })).items.some(({ metadata, data }) => metadata.name === 'kube-root-ca.crt' && data?.['ca.crt'] === 'the CA')
  await cluster.until('both', both)
  await client.delete(serviceAccounts, { namespace: 'shop', name: 'default' })
  await client.patch(configMaps, { namespace: 'shop', name: 'kube-root-ca.crt' }, { data: { 'ca.crt': 'another' } }, { type: 'merge' })
  await cluster.until('both again', both)
})

t.test('a namespace goes with all that is in it, once its pods have ended and every finalizer is off', async (t) => {
  const cluster = await startTestCluster()
  t.teardown(() => cluster.stop())
  const { client, kubelet } = cluster
  await kubelet.addNode('node-1')
  await client.create(namespaces, { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop' } })
  await cluster.until('a service account', async () => (await client.list(serviceAccounts, { namespace: 'shop' })).items.length === 1)
  await client.create(deployments, { apiVersion: 'apps/v1', kind: 'Deployment', metadata: { namespace: 'shop', name: 'web' }, spec: { replicas: 3, selector: { matchLabels: { app: 'web' } }, template: template({ app: 'web' }) } })
  await client.create(services, { apiVersion: 'v1', kind: 'Service', metadata: { namespace: 'shop', name: 'web' }, spec: { selector: { app: 'web' }, ports: [{ port: 80 }] } })
  await client.create(configMaps, { apiVersion: 'v1', kind: 'ConfigMap', metadata: { namespace: 'shop', name: 'held', finalizers: ['example.com/hold'] } })
  await cluster.until('pods', async () => (await client.get(deployments, { namespace: 'shop', name: 'web' })).status?.availableReplicas === 3)
  kubelet.silence('node-1')
  await client.delete(namespaces, { name: 'shop' })
  await cluster.settle(3000)
  t.equal((await client.list(pods, { namespace: 'shop' })).items.length, 3, 'pods that are still ending keep it')
  const waiting = await client.get(namespaces, { name: 'shop' })
  t.equal(waiting.status?.phase, 'Terminating')
  t.match(waiting.status?.conditions?.find(({ type }) => type === 'NamespaceContentRemaining'), { status: 'True', message: /pods has 3 resource instances/ })

  await kubelet.wake('node-1')
  const held = await cluster.until('only a finalizer left', async () => {
    const namespace = await client.get(namespaces, { name: 'shop' })
    return namespace.status?.conditions?.find(({ type, status }) => type === 'NamespaceFinalizersRemaining' && status === 'True')
  })
  t.match(held.message, /example.com\/hold in 1 resource instances/)
  await client.patch(configMaps, { namespace: 'shop', name: 'held' }, { metadata: { finalizers: null } }, { type: 'merge' })
  await cluster.until('the namespace gone', async () => {
    try {
      await client.get(namespaces, { name: 'shop' })
      return false
    } catch (error) {
      return isNotFound(error)
    }
  }, 200)
})
