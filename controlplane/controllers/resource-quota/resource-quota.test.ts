/** What quotas say is used follows what there is. */
import t from 'tap'
import { configMaps, pods, resourceQuotas } from '../../../api/resources.ts'
import type { Pod } from '../../../api/types.ts'
import { startTestCluster } from '../test-support/cluster.ts'

t.test('used is counted for a new quota and goes down with what is deleted or over', async (t) => {
  const cluster = await startTestCluster()
  t.teardown(() => cluster.stop())
  const { client } = cluster
  const place = { namespace: 'default', name: 'q' }
  await cluster.until('the service account', async () => (await client.raw({ method: 'GET', path: '/api/v1/namespaces/default/serviceaccounts' }) as { items: unknown[] }).items.length > 0)
  const map = (name: string) => client.create(configMaps, { apiVersion: 'v1', kind: 'ConfigMap', metadata: { namespace: 'default', name } })
  await map('a')
  await map('b')
  const hard = { configmaps: '10', pods: '2', 'requests.cpu': '1', 'count/deployments.apps': '1', 'count/nothing.example.com': '1' }
  await client.create(resourceQuotas, { apiVersion: 'v1', kind: 'ResourceQuota', metadata: place, spec: { hard } })
  const used = async (): Promise<Record<string, unknown>> => (await client.get(resourceQuotas, place)).status?.used ?? {}
  await cluster.until('the first count', async () => (await used())['configmaps'] === '2')
  t.match(await client.get(resourceQuotas, place), { status: { hard, used: { pods: '0', 'requests.cpu': '0', 'count/deployments.apps': '0', 'count/nothing.example.com': '0' } } })
  const pod = (name: string): Pod => ({ apiVersion: 'v1', kind: 'Pod', metadata: { namespace: 'default', name }, spec: { containers: [{ name: 'c', image: 'x', resources: { requests: { cpu: '400m' } } }] } })
  for (const name of ['a', 'b']) await client.create(pods, pod(name))
  await t.rejects(client.create(pods, pod('c')), { message: /exceeded quota: q, requested: pods=1,requests.cpu=400m, used: pods=2,requests.cpu=800m, limited: pods=2,requests.cpu=1/ })
  await client.patch(pods, { namespace: 'default', name: 'a', subresource: 'status' }, { status: { phase: 'Succeeded' } }, { type: 'merge' })
  await cluster.until('the finished pod not to count', async () => (await used())['pods'] === '1')
  t.equal((await used())['requests.cpu'], '400m')
  await client.create(pods, pod('c'))
  await client.delete(configMaps, { namespace: 'default', name: 'a' })
  await cluster.until('the deleted one not to count', async () => (await used())['configmaps'] === '1')
  await client.delete(pods, { namespace: 'default', name: 'b' }, { gracePeriodSeconds: 0 })
  await cluster.until('the deleted pod not to count', async () => (await used())['pods'] === '1')
  await client.patch(resourceQuotas, place, { spec: { hard: { configmaps: '5', secrets: '3' } } }, { type: 'merge' })
  await cluster.until('new limits in the status', async () => (await client.get(resourceQuotas, place)).status?.hard?.['secrets'] === '3')
})
