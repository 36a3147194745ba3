import t from 'tap'
import { controllerRevisions, daemonSets, nodes, pods } from '../../../api/resources.ts'
import { startTestCluster, template } from '../test-support/cluster.ts'

t.test('every suiting node has one daemon: new nodes get one, tainted ones lose it, a new template replaces one at a time', async (t) => {
  const cluster = await startTestCluster()
  t.teardown(() => cluster.stop())
  const { client, kubelet } = cluster
  const key = { namespace: 'default', name: 'agent' }
  for (const name of ['node-1', 'node-2']) await kubelet.addNode(name)
  await client.create(daemonSets, { apiVersion: 'apps/v1', kind: 'DaemonSet', metadata: key, spec: { selector: { matchLabels: { app: 'agent' } }, template: template({ app: 'agent' }) } })
  const available = async (count: number): Promise<boolean> => {
    const { status } = await client.get(daemonSets, key)
    return status?.desiredNumberScheduled === count && status.numberAvailable === count && status.updatedNumberScheduled === count
  }
  await cluster.until('two', () => available(2))
  await kubelet.addNode('node-3')
  await cluster.until('three', () => available(3))
  t.same((await client.list(pods)).items.map(({ spec }) => spec.nodeName ?? '').sort(), ['node-1', 'node-2', 'node-3'])

  let fewest = 3
  cluster.eachState((all) => (fewest = Math.min(fewest, all.filter(({ metadata, status }) => metadata.deletionTimestamp === undefined && status?.phase === 'Running').length)))
  await client.patch(daemonSets, key, { spec: { template: template({ app: 'agent' }, 'busybox:2') } }, { type: 'strategic' })
  await cluster.until('rolled', async () => {
    const { items } = await client.list(pods)
    return items.length === 3 && items.every(({ spec }) => spec.containers[0]?.image === 'busybox:2') && (await available(3))
  })
  t.equal(fewest, 2)
  t.same((await client.list(controllerRevisions)).items.map(({ revision }) => revision).sort((a, b) => a - b), [1, 2])

  await client.patch(nodes, { name: 'node-2' }, { spec: { taints: [{ key: 'k', effect: 'NoExecute' }] } }, { type: 'merge' })
  await cluster.until('two again', async () => (await available(2)) && (await client.list(pods)).items.length === 2)
})
