import t from 'tap'
import type { Test } from 'tap'
import { jobs, pods } from '../../../api/resources.ts'
import type { Job, JobSpec, Pod } from '../../../api/types.ts'
import { conditionOf } from '../status.ts'
import { startTestCluster, template } from '../test-support/cluster.ts'
import type { TestCluster } from '../test-support/cluster.ts'
import { formatIndexes, parseIndexes } from './indexes.ts'

const key = { namespace: 'default', name: 'work' }

async function upWith(t: Test, spec: Partial<JobSpec>, ends: (pod: Pod) => 'Succeeded' | 'Failed' | undefined): Promise<TestCluster> {
  const cluster = await startTestCluster()
  t.teardown(() => cluster.stop())
  cluster.kubelet.ends = ends
  await cluster.kubelet.addNode('node-1')
  await cluster.client.create(jobs, { apiVersion: 'batch/v1', kind: 'Job', metadata: key, spec: { template: template({}, 'busybox:1', { restartPolicy: 'Never' }), ...spec } })
  return cluster
}

const get = ({ client }: TestCluster): Promise<Job> => client.get(jobs, key)
const finished = (cluster: TestCluster, type: 'Complete' | 'Failed', stepMs = 20): Promise<Job> => cluster.until(type, async () => {
  const job = await get(cluster)
  return conditionOf(job.status?.conditions, type)?.status === 'True' && job
}, stepMs)

t.test('a job makes as many pods as have to succeed, so many at a time, and counts each once', async (t) => {
  const cluster = await upWith(t, { completions: 7, parallelism: 3 }, () => 'Succeeded')
  let most = 0
  cluster.eachState((all) => (most = Math.max(most, all.filter(({ status }) => status?.phase !== 'Succeeded').length)))
  const { status } = await finished(cluster, 'Complete')
  t.match(status, { succeeded: 7, completionTime: /./, startTime: /./ })
  t.equal(status?.active, undefined)
  t.ok(most <= 3)
  const { items } = await cluster.client.list(pods)
  t.equal(items.length, 7)
  t.same(items.flatMap(({ metadata }) => metadata.finalizers ?? []), [], 'finished pods are held by nothing')
})

t.test('a pod that is deleted right after it succeeded still counts', async (t) => {
  const cluster = await upWith(t, { completions: 2, parallelism: 1 }, () => 'Succeeded')
  cluster.eachState((all) => {
    for (const { metadata, status } of all) if (status?.phase === 'Succeeded') void cluster.client.delete(pods, { namespace: 'default', name: metadata.name ?? '' }, { gracePeriodSeconds: 0 }).catch((error: unknown) => error)
  })
  t.equal((await finished(cluster, 'Complete')).status?.succeeded, 2)
})

t.test('a job that keeps failing is tried again more and more slowly, then given up', async (t) => {
  const cluster = await upWith(t, { backoffLimit: 2 }, () => 'Failed')
  await cluster.until('one failure', async () => (await get(cluster)).status?.failed === 1)
  await cluster.settle(5000)
  t.equal((await cluster.client.list(pods)).items.length, 1, 'not yet again')
  await cluster.settle(6000)
  t.equal((await cluster.client.list(pods)).items.length, 2)
  const { status } = await finished(cluster, 'Failed', 1000)
  t.equal(status?.failed, 3)
  t.match(conditionOf(status?.conditions, 'Failed'), { reason: 'BackoffLimitExceeded' })
})

t.test('a job that lasts longer than its deadline fails, and its pods end', async (t) => {
  const cluster = await upWith(t, { activeDeadlineSeconds: 20 }, () => undefined)
  await cluster.until('a running pod', async () => (await get(cluster)).status?.ready === 1)
  await cluster.settle(15_000)
  t.equal((await get(cluster)).status?.active, 1)
  const { status } = await finished(cluster, 'Failed', 1000)
  t.match(conditionOf(status?.conditions, 'Failed'), { reason: 'DeadlineExceeded' })
  t.equal((await cluster.client.list(pods)).items.filter(({ status }) => status?.phase === 'Running').length, 0)
})

t.test('each index of an indexed job is done once, and a failed one again', async (t) => {
  const failedOnce = new Set<string>()
  const cluster = await upWith(t, { completions: 4, parallelism: 2, completionMode: 'Indexed' }, ({ metadata }) => {
    const index = metadata.annotations?.['batch.kubernetes.io/job-completion-index'] ?? ''
    if (index !== '2' || (failedOnce.size > 0 && !failedOnce.has(metadata.name ?? ''))) return 'Succeeded'
    failedOnce.add(metadata.name ?? '')
    return 'Failed'
  })
  const { status } = await finished(cluster, 'Complete', 1000)
  t.match(status, { completedIndexes: '0-3', succeeded: 4, failed: 1 })
  const names = (await cluster.client.list(pods)).items.map(({ metadata }) => (metadata.name ?? '').replace(/-[^-]+$/, '')).sort()
  t.same(names, ['work-0', 'work-1', 'work-2', 'work-2', 'work-3'])
})

t.test('a suspended job has no pods, and goes on where it was', async (t) => {
  const cluster = await upWith(t, { completions: 2, parallelism: 2 }, () => undefined)
  await cluster.until('two running', async () => (await get(cluster)).status?.ready === 2)
  await cluster.client.patch(jobs, key, { spec: { suspend: true } }, { type: 'merge' })
  await cluster.until('none', async () => (await cluster.client.list(pods)).items.length === 0)
  t.match(await get(cluster), { status: { failed: undefined, startTime: undefined } })
  cluster.kubelet.ends = () => 'Succeeded'
  await cluster.client.patch(jobs, key, { spec: { suspend: false } }, { type: 'merge' })
  t.equal((await finished(cluster, 'Complete')).status?.failed, undefined)
})

t.test('a finished job goes when its time to live is over', async (t) => {
  const cluster = await upWith(t, { ttlSecondsAfterFinished: 30 }, () => 'Succeeded')
  await finished(cluster, 'Complete')
  await cluster.settle(25_000)
  t.equal((await cluster.client.list(jobs)).items.length, 1)
  await cluster.until('nothing left', async () => (await cluster.client.list(jobs)).items.length + (await cluster.client.list(pods)).items.length === 0, 1000)
})

t.test('sets of indexes are written short', async (t) => {
  for (const text of ['', '0', '0,1', '0-2', '0-2,5,7-9']) t.equal(formatIndexes(parseIndexes(text)), text)
})
