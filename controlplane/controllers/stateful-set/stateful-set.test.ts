import t from 'tap'
import type { Test } from 'tap'
import { controllerRevisions, persistentVolumeClaims, pods, statefulSets } from '../../../api/resources.ts'
import type { Pod, StatefulSet } from '../../../api/types.ts'
import { startTestCluster, template } from '../test-support/cluster.ts'
import type { TestCluster } from '../test-support/cluster.ts'

const key = { namespace: 'default', name: 'db' }

async function upWith(t: Test, spec: Partial<StatefulSet['spec']> = {}): Promise<TestCluster> {
  const cluster = await startTestCluster()
  t.teardown(() => cluster.stop())
  for (const name of ['node-1', 'node-2']) await cluster.kubelet.addNode(name)
  await cluster.client.create(statefulSets, { apiVersion: 'apps/v1', kind: 'StatefulSet', metadata: key, spec: { replicas: 3, serviceName: 'db', selector: { matchLabels: { app: 'db' } }, template: template({ app: 'db' }), ...spec } })
  return cluster
}

const ready = (cluster: TestCluster, count: number): Promise<StatefulSet> => cluster.until(`${count} ready`, async () => {
  const set = await cluster.client.get(statefulSets, key)
  return (set.status?.readyReplicas ?? 0) === count && set.status?.replicas === count && set.status.observedGeneration === set.metadata.generation && set
})
const names = (all: readonly Pod[]): string[] => all.map(({ metadata }) => metadata.name ?? '').sort()

/** The sets of living pods as they follow one another. */
function history(cluster: TestCluster): string[] {
  const seen: string[] = []
  cluster.eachState((all) => {
    const now = names(all.filter(({ metadata }) => metadata.deletionTimestamp === undefined)).map((name) => name.slice(3)).join('')
    if (seen.at(-1) !== now) seen.push(now)
  })
  return seen
}

t.test('pods come in order, each when the one before is ready, and go in reverse', async (t) => {
  const cluster = await upWith(t, { volumeClaimTemplates: [{ metadata: { name: 'data' }, spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } } }] })
  const seen = history(cluster)
  await ready(cluster, 3)
  t.same(seen.filter((state) => state !== ''), ['0', '01', '012'])
  const pod = await cluster.client.get(pods, { namespace: 'default', name: 'db-1' })
  t.match(pod, { metadata: { labels: { 'statefulset.kubernetes.io/pod-name': 'db-1', 'apps.kubernetes.io/pod-index': '1' } }, spec: { hostname: 'db-1', subdomain: 'db', volumes: [{ name: 'data', persistentVolumeClaim: { claimName: 'data-db-1' } }] } })
  t.same((await cluster.client.list(persistentVolumeClaims)).items.map(({ metadata }) => metadata.name ?? '').sort(), ['data-db-0', 'data-db-1', 'data-db-2'])
  await cluster.client.patch(statefulSets, key, { spec: { replicas: 1 } }, { type: 'merge' })
  await ready(cluster, 1)
  t.same(seen.slice(-2), ['01', '0'])
  t.equal((await cluster.client.list(persistentVolumeClaims)).items.length, 3, 'claims stay')
})

t.test('a pod that is not ready holds up those after it, and a lost one comes back under its name', async (t) => {
  const cluster = await upWith(t)
  cluster.kubelet.readies = ({ metadata }) => metadata.name !== 'db-1'
  await cluster.until('two', async () => (await cluster.client.list(pods)).items.length === 2)
  await cluster.settle(2000)
  t.same(names((await cluster.client.list(pods)).items), ['db-0', 'db-1'])
  cluster.kubelet.readies = () => true
  await cluster.kubelet.review()
  await ready(cluster, 3)
  const { metadata } = await cluster.client.get(pods, { namespace: 'default', name: 'db-0' })
  await cluster.client.delete(pods, { namespace: 'default', name: 'db-0' })
  await cluster.until('another of that name', async () => {
    const { items } = await cluster.client.list(pods)
    return items.length === 3 && items.every((pod) => pod.metadata.uid !== metadata.uid)
  })
})

t.test('all at once when that is wished', async (t) => {
  const cluster = await upWith(t, { podManagementPolicy: 'Parallel', ordinals: { start: 5 } })
  cluster.kubelet.readies = () => false
  await cluster.until('three', async () => (await cluster.client.list(pods)).items.length === 3)
  t.same(names((await cluster.client.list(pods)).items), ['db-5', 'db-6', 'db-7'])
})

t.test('a new template goes from the last pod down to the partition, one at a time', async (t) => {
  const cluster = await upWith(t, { updateStrategy: { type: 'RollingUpdate', rollingUpdate: { partition: 1 } } })
  await ready(cluster, 3)
  let fewest = 3
  cluster.eachState((all) => (fewest = Math.min(fewest, all.filter(({ metadata, status }) => metadata.deletionTimestamp === undefined && status?.phase === 'Running').length)))
  const images = async (): Promise<string[]> => (await cluster.client.list(pods)).items.sort((a, b) => (a.metadata.name ?? '').localeCompare(b.metadata.name ?? '')).map(({ spec }) => spec.containers[0]?.image ?? '')
  await cluster.client.patch(statefulSets, key, { spec: { template: template({ app: 'db' }, 'busybox:2') } }, { type: 'strategic' })
  await cluster.until('two updated', async () => JSON.stringify(await images()) === JSON.stringify(['busybox:1', 'busybox:2', 'busybox:2']))
  await ready(cluster, 3)
  t.equal(fewest, 2)
  // One below the partition that is lost comes back as it was.
  await cluster.client.delete(pods, { namespace: 'default', name: 'db-0' })
  await cluster.settle(200)
  await ready(cluster, 3)
  t.same(await images(), ['busybox:1', 'busybox:2', 'busybox:2'])
  const partly = await cluster.client.get(statefulSets, key)
  t.match(partly.status, { updatedReplicas: 2, currentReplicas: 1 })
  t.not(partly.status?.currentRevision, partly.status?.updateRevision)
  await cluster.client.patch(statefulSets, key, { spec: { updateStrategy: { rollingUpdate: { partition: 0 } } } }, { type: 'merge' })
  await cluster.until('all updated', async () => (await cluster.client.get(statefulSets, key)).status?.currentReplicas === 3)
  t.same(await images(), ['busybox:2', 'busybox:2', 'busybox:2'])
  const done = await cluster.client.get(statefulSets, key)
  t.equal(done.status?.currentRevision, done.status?.updateRevision)
  t.equal((await cluster.client.list(controllerRevisions)).items.length, 2)
})
