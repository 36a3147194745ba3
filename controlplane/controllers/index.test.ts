import t from 'tap'
import { Client } from '../../api/client.ts'
import { FakeClock } from '../../api/clock.ts'
import { silentLogger } from '../../api/log.ts'
import { deployments, namespaces, pods, replicaSets, serviceAccounts } from '../../api/resources.ts'
import { startControllers } from './index.ts'
import { startTestCluster, template } from './test-support/cluster.ts'

t.test('only the chosen controllers run, and a name that none has is refused', async (t) => {
  const cluster = await startTestCluster({ controllers: ['*', '-serviceaccount'] })
  t.teardown(() => cluster.stop())
  await cluster.client.create(namespaces, { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop' } })
  await cluster.settle(2000)
  t.equal((await cluster.client.list(serviceAccounts, { namespace: 'shop' })).items.length, 0)
  const client = new Client(() => Promise.reject(new Error('never asked')))
  await t.rejects(startControllers({ client, clock: new FakeClock(), random: () => 0, log: silentLogger, controllers: ['deploment'] }), /Cannot start controller "deploment": there is deployment/)
})

t.test('controllers that are started again go on without making anything twice', async (t) => {
  const cluster = await startTestCluster()
  t.teardown(() => cluster.stop())
  const { client, kubelet } = cluster
  await kubelet.addNode('node-1')
  await client.create(deployments, { apiVersion: 'apps/v1', kind: 'Deployment', metadata: { namespace: 'default', name: 'web' }, spec: { replicas: 20, selector: { matchLabels: { app: 'web' } }, template: template({ app: 'web' }) } })
  let most = 0
  cluster.eachState((all) => (most = Math.max(most, all.length)))
  for (let again = 0; again < 5; again += 1) {
    await cluster.settle(1)
    await cluster.restartControllers()
  }
  await cluster.until('twenty available', async () => (await client.get(deployments, { namespace: 'default', name: 'web' })).status?.availableReplicas === 20)
  t.equal(most, 20)
  t.equal((await client.list(pods)).items.length, 20)
  t.equal((await client.list(replicaSets)).items.length, 1)
})
