// A test of a controller against an API server of its own: `node --test examples/operator-test.ts`.
// In a project of yours (Node 22 or newer): `npm pack --ignore-scripts=false` in the checkout, then `npm install --save-dev PATH/fairway-0.1.0.tgz` gives you 'fairway/testing'.
import { strict as assert } from 'node:assert'
import { test } from 'node:test'
import { CoreV1Api, KubeConfig, Watch } from '@kubernetes/client-node'
import { startApiServer } from 'fairway/testing'

/** The controller under test: gives every ConfigMap that is labelled so a copy in its namespace. */
async function copyConfigMaps(config: KubeConfig, namespace: string): Promise<AbortController> {
  const api = config.makeApiClient(CoreV1Api)
  return new Watch(config).watch(`/api/v1/namespaces/${namespace}/configmaps`, { labelSelector: 'copy=yes' }, async (phase, map: { metadata: { name: string }; data: Record<string, string> }) => {
    if (phase === 'ADDED') await api.createNamespacedConfigMap({ namespace, body: { metadata: { name: `${map.metadata.name}-copy` }, data: map.data } })
  }, () => undefined)
}

await test('a labelled ConfigMap gets its copy', async () => {
  await using server = await startApiServer()
  const config = new KubeConfig()
  config.loadFromString(server.kubeconfig)
  const api = config.makeApiClient(CoreV1Api)
  const controller = await copyConfigMaps(config, 'default')
  await api.createNamespacedConfigMap({ namespace: 'default', body: { metadata: { name: 'settings', labels: { copy: 'yes' } }, data: { colour: 'green' } } })
  for (let attempt = 0; ; attempt++) {
    const { items } = await api.listNamespacedConfigMap({ namespace: 'default' })
    const copy = items.find(({ metadata }) => metadata?.name === 'settings-copy')
    if (copy !== undefined) {
      assert.deepEqual(copy.data, { colour: 'green' })
      break
    }
    assert.ok(attempt < 200, 'the copy appears')
    await new Promise((resolve) => void setTimeout(resolve, 10))
  }
  controller.abort()
})
