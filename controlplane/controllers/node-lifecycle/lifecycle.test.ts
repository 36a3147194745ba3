import t from 'tap'
import type { Test } from 'tap'
import { deployments, endpointSlices, nodes, pods, services } from '../../../api/resources.ts'
import type { Node, Pod } from '../../../api/types.ts'
import { conditionOf } from '../status.ts'
import { startTestCluster, template } from '../test-support/cluster.ts'
import type { TestCluster } from '../test-support/cluster.ts'

const taintsOf = ({ spec }: Node): string[] => (spec.taints ?? []).map(({ key, effect }) => `${key.replace('node.kubernetes.io/', '')}:${effect}`).sort()
const readyOf = ({ status }: Node | Pod): string | undefined => conditionOf(status?.conditions, 'Ready')?.status

/** Moves time on with heartbeats of the nodes that have not fallen silent. */
async function pass(cluster: TestCluster, seconds: number): Promise<void> {
  for (let second = 0; second < seconds; second += 1) {
    await cluster.settle(1000)
    await cluster.kubelet.beat()
    await cluster.settle(20)
  }
}

async function upWithPods(t: Test, names: readonly string[]): Promise<TestCluster> {
  const cluster = await startTestCluster({ nodeMonitorGracePeriodMs: 8000, tolerationSeconds: 5 })
  t.teardown(() => cluster.stop())
  for (const name of names) await cluster.kubelet.addNode(name)
  await cluster.client.create(services, { apiVersion: 'v1', kind: 'Service', metadata: { namespace: 'default', name: 'web' }, spec: { selector: { app: 'web' }, ports: [{ port: 80, targetPort: 'http' }] } })
  await cluster.client.create(deployments, { apiVersion: 'apps/v1', kind: 'Deployment', metadata: { namespace: 'default', name: 'web' }, spec: { replicas: names.length * 2, selector: { matchLabels: { app: 'web' } }, template: template({ app: 'web' }) } })
  await cluster.until('all pods ready', async () => {
    const { items } = await cluster.client.list(pods, { namespace: 'default' })
    return items.length === names.length * 2 && items.every((pod) => readyOf(pod) === 'True')
  })
  return cluster
}


async function readyEndpointNodes({ client }: TestCluster): Promise<string[]> {
  const { items } = await client.list(endpointSlices, { namespace: 'default' })
  return items.flatMap(({ endpoints }) => endpoints ?? []).filter(({ conditions }) => conditions?.ready === true).map(({ nodeName = '' }) => nodeName)
}

t.test('a node that falls silent leaves the slices at once, loses its pods after their toleration, and is taken back', async (t) => {
  const cluster = await upWithPods(t, ['node-1', 'node-2'])
  const { client, kubelet } = cluster
  await pass(cluster, 10)
  t.equal(readyOf(await client.get(nodes, { name: 'node-2' })), 'True', 'a node that is heard stays')

  kubelet.silence('node-2')
  await pass(cluster, 7)
  t.equal(readyOf(await client.get(nodes, { name: 'node-2' })), 'True', 'not before the grace period is over')
  await pass(cluster, 2)
  const lost = await client.get(nodes, { name: 'node-2' })
  t.equal(readyOf(lost), 'Unknown')
  t.same(taintsOf(lost), ['unreachable:NoExecute', 'unreachable:NoSchedule'])
  t.notOk((await readyEndpointNodes(cluster)).includes('node-2'), 'none of its pods is offered')
  t.equal((await client.list(pods, { namespace: 'default' })).items.filter(({ metadata }) => metadata.deletionTimestamp !== undefined).length, 0, 'its pods are tolerated for a while')

  await pass(cluster, 6)
  const replaced = (await client.list(pods, { namespace: 'default' })).items
  t.equal(replaced.filter((pod) => pod.metadata.deletionTimestamp === undefined && readyOf(pod) === 'True' && pod.spec.nodeName === 'node-1').length, 4, 'replaced elsewhere')
  t.equal(replaced.filter((pod) => pod.metadata.deletionTimestamp !== undefined && pod.spec.nodeName === 'node-2').length, 2, 'the lost ones wait for their kubelet')

  await kubelet.wake('node-2')
  await pass(cluster, 1)
  const back = await client.get(nodes, { name: 'node-2' })
  t.equal(readyOf(back), 'True')
  t.same(taintsOf(back), [])
  t.equal((await client.list(pods, { namespace: 'default' })).items.length, 4)
})

t.test('a node that comes back in time keeps its pods', async (t) => {
  const cluster = await upWithPods(t, ['node-1', 'node-2'])
  const before = (await cluster.client.list(pods, { namespace: 'default' })).items.map(({ metadata }) => metadata.uid ?? '').sort()
  cluster.kubelet.silence('node-2')
  await pass(cluster, 10)
  await cluster.kubelet.wake('node-2')
  await pass(cluster, 10)
  const after = (await cluster.client.list(pods, { namespace: 'default' })).items
  t.same(after.map(({ metadata }) => metadata.uid ?? '').sort(), before)
  t.ok((await readyEndpointNodes(cluster)).includes('node-2'))
})

t.test('when every node falls silent it is we who are cut off, and no pod is driven off', async (t) => {
  const cluster = await upWithPods(t, ['node-1', 'node-2'])
  for (const name of ['node-1', 'node-2']) cluster.kubelet.silence(name)
  await pass(cluster, 40)
  const { items } = await cluster.client.list(nodes)
  t.same(items.map(readyOf), ['Unknown', 'Unknown'])
  t.same(items.map(taintsOf), [['unreachable:NoSchedule'], ['unreachable:NoSchedule']])
  t.equal((await cluster.client.list(pods, { namespace: 'default' })).items.filter(({ metadata }) => metadata.deletionTimestamp === undefined).length, 4)
})

t.test('pods of a node that was deleted are removed for good', async (t) => {
  const cluster = await upWithPods(t, ['node-1', 'node-2'])
  cluster.kubelet.silence('node-2')
  await cluster.client.delete(nodes, { name: 'node-2' })
  await pass(cluster, 62)
  const { items } = await cluster.client.list(pods, { namespace: 'default' })
  t.same(items.map(({ spec }) => spec.nodeName), ['node-1', 'node-1', 'node-1', 'node-1'])
})
