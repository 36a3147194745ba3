import t from 'tap'
import { deployments, pods, replicaSets } from '../../../api/resources.ts'
import type { Deployment, Pod } from '../../../api/types.ts'
import { conditionOf } from '../status.ts'
import { startTestCluster, template } from '../test-support/cluster.ts'
import type { TestCluster } from '../test-support/cluster.ts'

const web: Deployment = {
  apiVersion: 'apps/v1', kind: 'Deployment', metadata: { namespace: 'default', name: 'web' },
  spec: { replicas: 3, selector: { matchLabels: { app: 'web' } }, template: template({ app: 'web' }) },
}
const key = { namespace: 'default', name: 'web' }

async function complete({ client, until }: TestCluster, image: string): Promise<Deployment> {
  return until(`${image} rolled out`, async () => {
    const deployment = await client.get(deployments, key)
    const { replicas = 1 } = deployment.spec
    const { status = {} } = deployment
    return deployment.spec.template.spec.containers[0]?.image === image && status.observedGeneration === deployment.metadata.generation
      && (status.updatedReplicas ?? 0) === replicas && (status.replicas ?? 0) === replicas && (status.availableReplicas ?? 0) === replicas && deployment
  })
}

async function podsOf({ client }: TestCluster): Promise<Pod[]> {
  return (await client.list(pods, { namespace: 'default' })).items.filter(({ metadata }) => metadata.deletionTimestamp === undefined)
}

t.test('a deployment comes up, rolls over without a gap, is scaled, undone, and its history kept short', async (t) => {
  const cluster = await startTestCluster()
  t.teardown(() => cluster.stop())
  const { client, kubelet } = cluster
  for (const name of ['node-1', 'node-2']) await kubelet.addNode(name)
  await client.create(deployments, { ...web, spec: { ...web.spec, revisionHistoryLimit: 1 } })
  const first = await complete(cluster, 'busybox:1')
  t.equal((await podsOf(cluster)).length, 3)
  t.equal(conditionOf(first.status?.conditions, 'Progressing')?.reason, 'NewReplicaSetAvailable')
  t.equal(conditionOf(first.status?.conditions, 'Available')?.status, 'True')
  t.equal(first.metadata.annotations?.['deployment.kubernetes.io/revision'], '1')

  let fewest = 3
  let most = 0
  cluster.eachState((all) => {
    const active = all.filter(({ metadata }) => metadata.deletionTimestamp === undefined)
    fewest = Math.min(fewest, active.filter(({ status }) => conditionOf(status?.conditions, 'Ready')?.status === 'True').length)
    most = Math.max(most, active.length)
  })
  const roll = async (image: string): Promise<Deployment> => {
    await client.patch(deployments, key, { spec: { template: template({ app: 'web' }, image) } }, { type: 'strategic' })
    return cluster.until(image, async () => {
      const deployment = await client.get(deployments, key)
      return conditionOf(deployment.status?.conditions, 'Progressing')?.reason === 'NewReplicaSetAvailable' && deployment.status?.observedGeneration === deployment.metadata.generation
        && (deployment.status?.updatedReplicas ?? 0) === 3 && deployment.status?.replicas === 3 && deployment
    })
  }
  const second = await roll('busybox:2')
  t.equal(second.metadata.annotations?.['deployment.kubernetes.io/revision'], '2')
  t.equal(fewest, 3, 'as many ready as asked for, all the time')
  t.equal(most, 4, 'one more at most')
  t.ok((await podsOf(cluster)).every(({ spec }) => spec.containers[0]?.image === 'busybox:2'))

  await roll('busybox:3')
  const back = await roll('busybox:2')
  t.equal(back.metadata.annotations?.['deployment.kubernetes.io/revision'], '4', 'what was undone to is the newest revision')
  const sets = await cluster.until('one old set', async () => {
    const { items } = await client.list(replicaSets, { namespace: 'default' })
    return items.length === 2 && items
  })
  t.equal(sets.find(({ spec }) => spec.replicas === 3)?.metadata.annotations?.['deployment.kubernetes.io/revision-history'], '2')

  await client.patch(deployments, { ...key, subresource: 'scale' }, { spec: { replicas: 5 } }, { type: 'merge' })
  await cluster.until('five', async () => (await podsOf(cluster)).length === 5 && (await client.get(deployments, key)).status?.availableReplicas === 5)
  await client.patch(deployments, key, { spec: { replicas: 0 } }, { type: 'merge' })
  await cluster.until('none', async () => (await podsOf(cluster)).length === 0)
})
