import t from 'tap'
import type { Condition, Pod, ReplicaSet } from '../../../api/types.ts'
import { template } from '../test-support/cluster.ts'
import { inDeletionOrder, planReplicas, replicaSetStatus } from './plan.ts'

interface PodSketch {
  readonly node?: string
  readonly phase?: 'Pending' | 'Running' | 'Succeeded' | 'Failed'
  readonly ready?: string
  readonly cost?: number
  readonly restarts?: number
  readonly created?: string
  readonly deleted?: boolean
  readonly labels?: Record<string, string>
}

function pod(name: string, { node = 'n1', phase = 'Running', ready = '10:00', cost, restarts = 0, created = '09:00', deleted = false, labels = { app: 'x' } }: PodSketch = {}): Pod {
  const condition: Condition = { type: 'Ready', status: ready === '' ? 'False' : 'True', lastTransitionTime: `2026-01-01T${ready}:00Z` }
  return {
    metadata: {
      name, labels, creationTimestamp: `2026-01-01T${created}:00Z`, ...(deleted ? { deletionTimestamp: '2026-01-01T11:00:00Z' } : {}),
      ...(cost === undefined ? {} : { annotations: { 'controller.kubernetes.io/pod-deletion-cost': String(cost) } }),
    },
    spec: { containers: [], ...(node === '' ? {} : { nodeName: node }) },
    status: { phase, conditions: [condition], containerStatuses: [{ name: 'c', ready: true, restartCount: restarts, image: '', imageID: '' }] },
  }
}

function set(replicas: number, minReadySeconds = 0): ReplicaSet {
  return { metadata: { name: 'web', generation: 3 }, spec: { replicas, minReadySeconds, selector: { matchLabels: { app: 'x' } }, template: template({ app: 'x' }) } }
}

const orders: readonly { readonly title: string; readonly pods: readonly Pod[]; readonly first: string }[] = [
  { title: 'a pod without a node goes before one that has one', pods: [pod('a'), pod('b', { node: '' })], first: 'b' },
  { title: 'a pending pod goes before a running one', pods: [pod('a'), pod('b', { phase: 'Pending' })], first: 'b' },
  { title: 'a pod that is not ready goes before one that is', pods: [pod('a'), pod('b', { ready: '' })], first: 'b' },
  { title: 'the cheaper pod goes first, whatever its age', pods: [pod('a', { cost: 5, created: '09:30' }), pod('b', { cost: -1 })], first: 'b' },
  { title: 'where two stand on a node, one of them goes', pods: [pod('a', { node: 'n2' }), pod('b'), pod('c')], first: 'b' },
  { title: 'the one that has been ready for less long goes first', pods: [pod('a', { ready: '10:00' }), pod('b', { ready: '10:30' })], first: 'b' },
  { title: 'the one that restarts more goes first', pods: [pod('a'), pod('b', { restarts: 3 })], first: 'b' },
  { title: 'the youngest goes first', pods: [pod('a'), pod('b', { created: '09:30' })], first: 'b' },
]
for (const { title, pods, first } of orders) t.test(title, async (t) => t.equal(inDeletionOrder(pods, pods)[0]?.metadata.name, first))

t.test('finished and ending pods are replaced; surplus is deleted', async (t) => {
  t.equal(planReplicas(set(3), [pod('a'), pod('b', { phase: 'Failed' }), pod('c', { deleted: true })]).create, 2)
  t.same(planReplicas(set(1), [pod('a'), pod('b', { ready: '' })]).delete.map(({ metadata }) => metadata.name), ['b'])
  t.same(planReplicas(set(1), [pod('a')]), { create: 0, delete: [] })
  t.equal(planReplicas(set(2000), []).create, 500, 'no more than 500 at a time')
})

t.test('crowding counts the pods of sibling sets', async (t) => {
  const own = [pod('a'), pod('b', { node: 'n2' })]
  t.equal(inDeletionOrder(own, [...own, pod('sibling', { node: 'n2' })])[0]?.metadata.name, 'b')
})

t.test('the status counts what is ready, available and fully labelled, and leaves zeros out', async (t) => {
  const now = Date.parse('2026-01-01T10:00:30Z')
  const pods = [pod('a'), pod('b', { ready: '09:00' }), pod('c', { ready: '', labels: { app: 'x', more: 'y' } }), pod('d', { labels: {} }), pod('e', { deleted: true })]
  t.same(replicaSetStatus(set(4, 60), pods, now), { replicas: 4, fullyLabeledReplicas: 3, readyReplicas: 3, availableReplicas: 1, terminatingReplicas: 1, observedGeneration: 3 })
  t.same(replicaSetStatus(set(0), [], now), { replicas: 0, observedGeneration: 3 })
  const failed = replicaSetStatus(set(1), [], now, { reason: 'FailedCreate', message: 'quota' })
  t.match(failed.conditions, [{ type: 'ReplicaFailure', status: 'True', reason: 'FailedCreate', message: 'quota' }])
  t.equal(replicaSetStatus({ ...set(1), status: failed }, [], now).conditions, undefined)
})
