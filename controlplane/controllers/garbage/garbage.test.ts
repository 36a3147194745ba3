import t from 'tap'
import type { Test } from 'tap'
import { configMaps, deployments, pods, replicaSets } from '../../../api/resources.ts'
import type { ConfigMap, OwnerReference } from '../../../api/types.ts'
import { startTestCluster, template } from '../test-support/cluster.ts'
import type { TestCluster } from '../test-support/cluster.ts'

const web = { apiVersion: 'apps/v1', kind: 'Deployment', metadata: { namespace: 'default', name: 'web' }, spec: { replicas: 2, selector: { matchLabels: { app: 'web' } }, template: template({ app: 'web' }) } }
const key = { namespace: 'default', name: 'web' }

async function upWithWeb(t: Test): Promise<TestCluster> {
  const cluster = await startTestCluster()
  t.teardown(() => cluster.stop())
  await cluster.kubelet.addNode('node-1')
  await cluster.client.create(deployments, web)
  await cluster.until('two pods', async () => (await cluster.client.get(deployments, key)).status?.availableReplicas === 2)
  return cluster
}

async function left({ client }: TestCluster): Promise<number[]> {
  return [(await client.list(deployments)).items.length, (await client.list(replicaSets)).items.length, (await client.list(pods)).items.length]
}

t.test('in the background the owner goes at once, and all that hangs on it after it', async (t) => {
  const cluster = await upWithWeb(t)
  await cluster.client.delete(deployments, key, { propagationPolicy: 'Background' })
  t.equal((await left(cluster))[0], 0)
  await cluster.until('nothing left', async () => (await left(cluster)).every((count) => count === 0))
})

t.test('in the foreground the owner goes last', async (t) => {
  const cluster = await upWithWeb(t)
  await cluster.client.delete(deployments, key, { propagationPolicy: 'Foreground' })
  const seen = new Set<string>()
  await cluster.until('nothing left', async () => {
    const counts = await left(cluster)
    seen.add(counts.map((count) => Math.sign(count)).join(''))
    return counts.every((count) => count === 0)
  }, 1)
  t.notOk([...seen].some((counts) => counts.startsWith('0') && counts !== '000'), `never a dependent without its owner: ${[...seen].join(' ')}`)
})

t.test('orphans stay and can be adopted again', async (t) => {
  const cluster = await upWithWeb(t)
  const before = (await cluster.client.list(pods)).items.map(({ metadata }) => metadata.uid ?? '').sort()
  await cluster.client.delete(deployments, key, { propagationPolicy: 'Orphan' })
  await cluster.until('the deployment gone', async () => (await left(cluster))[0] === 0)
  await cluster.settle(2000)
  const [set] = (await cluster.client.list(replicaSets)).items
  t.same(set?.metadata.ownerReferences ?? [], [])
  const again = await cluster.client.create(deployments, web)
  await cluster.until('adopted', async () => (await cluster.client.list(replicaSets)).items.every(({ metadata }) => metadata.ownerReferences?.[0]?.uid === again.metadata.uid))
  t.same((await cluster.client.list(pods)).items.map(({ metadata }) => metadata.uid ?? '').sort(), before)
})

t.test('an object lives as long as one of its owners, and one whose owner never was does not', async (t) => {
  const cluster = await startTestCluster({ controllers: ['garbage-collector'] })
  t.teardown(() => cluster.stop())
  const { client } = cluster
  const map = (name: string, ownerReferences: OwnerReference[] = []): Promise<ConfigMap> => client.create(configMaps, { apiVersion: 'v1', kind: 'ConfigMap', metadata: { namespace: 'default', name, ownerReferences } })
  const reference = ({ metadata }: ConfigMap): OwnerReference => ({ apiVersion: 'v1', kind: 'ConfigMap', name: metadata.name ?? '', uid: metadata.uid ?? '' })
  const [a, b] = [await map('a'), await map('b')]
  await map('shared', [reference(a), reference(b)])
  await map('lost', [{ apiVersion: 'v1', kind: 'ConfigMap', name: 'nobody', uid: 'none' }])
  await map('strange', [{ apiVersion: 'example.com/v1', kind: 'Unknown', name: 'x', uid: 'some' }])
  await client.delete(configMaps, { namespace: 'default', name: 'a' })
  const names = async (): Promise<string[]> => (await client.list(configMaps, { namespace: 'default' })).items.map(({ metadata }) => metadata.name ?? '').filter((name) => name !== 'kube-root-ca.crt').sort()
  await cluster.until('the lost one gone', async () => !(await names()).includes('lost'))
  await cluster.until('disowned', async () => (await client.get(configMaps, { namespace: 'default', name: 'shared' })).metadata.ownerReferences?.length === 1)
  t.same(await names(), ['b', 'shared', 'strange'], 'what belongs to an unknown kind is left alone')
  await client.delete(configMaps, { namespace: 'default', name: 'b' })
  await cluster.until('shared gone', async () => !(await names()).includes('shared'))
})
