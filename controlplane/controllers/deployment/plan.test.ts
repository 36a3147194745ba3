import * as fc from 'fast-check'
import t from 'tap'
import type { Deployment, IntOrString, ReplicaSet } from '../../../api/types.ts'
import { conditionOf } from '../status.ts'
import { template } from '../test-support/cluster.ts'
import { planRollout } from './plan.ts'
import type { RolloutPlan } from './plan.ts'
import { boundsOf } from './rolling.ts'
import { sizeOf } from './replica-sets.ts'

const now = Date.UTC(2026, 0, 1, 12)

interface DeploymentSketch {
  readonly replicas?: number
  readonly surge?: IntOrString
  readonly unavailable?: IntOrString
  readonly image?: string
  readonly more?: Partial<Deployment['spec']>
}

function deployment({ replicas = 4, surge = 1, unavailable = 0, image = 'v2', more = {} }: DeploymentSketch = {}): Deployment {
  return {
    metadata: { namespace: 'default', name: 'web', uid: 'web', generation: 1 },
    spec: { replicas, selector: { matchLabels: { app: 'x' } }, template: template({ app: 'x' }, image), strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: surge, maxUnavailable: unavailable } }, progressDeadlineSeconds: 600, ...more },
  }
}

/** A set of an image with so many replicas, of which so many are available. */
function set(image: string, replicas: number, available = replicas, annotations: Record<string, string> = {}): ReplicaSet {
  return {
    metadata: { namespace: 'default', name: `web-${image}`, uid: image, creationTimestamp: `2026-01-01T00:00:0${image.slice(1)}Z`, generation: 1, annotations: { 'deployment.kubernetes.io/revision': image.slice(1), ...annotations } },
    spec: { replicas, selector: { matchLabels: { app: 'x' } }, template: template({ app: 'x', 'pod-template-hash': image }, image) },
    status: { replicas, readyReplicas: available, availableReplicas: available, observedGeneration: 1 },
  }
}

/** `v1:4>3` for a set that goes from 4 to 3, `+v2:1` for a new one, `-v1` for a forgotten one. */
function sizesOf({ operations }: RolloutPlan): string[] {
  return operations.flatMap((operation) => {
    if (operation.kind === 'annotate') return []
    const image = operation.set.spec.template.spec.containers[0]?.image ?? ''
    if (operation.kind === 'create') return `+${image}:${sizeOf(operation.set)}`
    if (operation.kind === 'delete') return `-${image}`
    return operation.from === sizeOf(operation.set) ? [] : `${image}:${operation.from}>${sizeOf(operation.set)}`
  })
}

const steps: readonly { readonly title: string; readonly deployment: Deployment; readonly sets: ReplicaSet[]; readonly oldPodsRun?: boolean; readonly expect: string[] }[] = [
  { title: 'a first set has full size', deployment: deployment(), sets: [], expect: ['+v2:4'] },
  { title: 'a new set begins with the surge', deployment: deployment(), sets: [set('v1', 4)], expect: ['+v2:1'] },
  { title: 'a new set begins with surge and what is missing', deployment: deployment({ surge: '50%' }), sets: [set('v1', 3)], expect: ['+v2:3'] },
  { title: 'no old pod goes before a new one is available', deployment: deployment(), sets: [set('v1', 4), set('v2', 1, 0)], expect: [] },
  { title: 'for each available new pod an old one goes', deployment: deployment(), sets: [set('v1', 4), set('v2', 1)], expect: ['v1:4>3'] },
  { title: 'then the new set grows again', deployment: deployment(), sets: [set('v1', 3), set('v2', 1)], expect: ['v2:1>2'] },
  { title: 'without surge, as many go first as may be missing', deployment: deployment({ surge: 0, unavailable: 2 }), sets: [set('v1', 4), set('v2', 0)], expect: ['v1:4>2'] },
  { title: 'surge and unavailability that both round to nothing allow one to be missing', deployment: deployment({ surge: 0, unavailable: '10%' }), sets: [set('v1', 4), set('v2', 0)], expect: ['v1:4>3'] },
  { title: 'old pods that do not work go at once', deployment: deployment(), sets: [set('v1', 4, 2), set('v2', 1, 0)], expect: [] },
  { title: 'broken old pods go as far as what is there allows', deployment: deployment({ unavailable: 2 }), sets: [set('v1', 4, 2), set('v2', 1, 0)], expect: ['v1:4>2'] },
  { title: 'scaling up in the middle of a rollout is shared out', deployment: deployment({ replicas: 20 }), sets: [set('v1', 6, 6, sized(10)), set('v2', 4, 4, sized(10))], expect: ['v1:6>13', 'v2:4>8'] },
  { title: 'scaling down in the middle of a rollout is shared out', deployment: deployment({ replicas: 5 }), sets: [set('v1', 6, 6, sized(10)), set('v2', 5, 5, sized(10))], expect: ['v1:6>3', 'v2:5>3'] },
  { title: 'scaling changes the only set there is', deployment: deployment({ replicas: 6, image: 'v1' }), sets: [set('v1', 4, 4, sized(4))], expect: ['v1:4>6'] },
  { title: 'a paused deployment rolls nothing out', deployment: deployment({ more: { paused: true } }), sets: [set('v1', 4)], expect: [] },
  { title: 'a paused deployment still scales', deployment: deployment({ replicas: 2, more: { paused: true } }), sets: [set('v1', 4)], expect: ['v1:4>2'] },
  { title: 'Recreate takes the old ones down first', deployment: deployment({ more: { strategy: { type: 'Recreate' } } }), sets: [set('v1', 4)], expect: ['v1:4>0'] },
  { title: 'Recreate waits for the last old pod', deployment: deployment({ more: { strategy: { type: 'Recreate' } } }), sets: [set('v1', 0)], oldPodsRun: true, expect: [] },
  { title: 'Recreate then starts all at once', deployment: deployment({ more: { strategy: { type: 'Recreate' } } }), sets: [set('v1', 0)], expect: ['+v2:4'] },
  { title: 'what is rolled out keeps no more old sets than the limit', deployment: deployment({ image: 'v4', more: { revisionHistoryLimit: 1 } }), sets: [set('v1', 0), set('v2', 0), set('v3', 0), set('v4', 4)], expect: ['-v1', '-v2'] },
  { title: 'a deployment that is being deleted does nothing more', deployment: { ...deployment(), metadata: { name: 'web', deletionTimestamp: '2026-01-01T00:00:00Z' } }, sets: [set('v1', 3)], expect: [] },
]
function sized(desired: number): Record<string, string> {
  return { 'deployment.kubernetes.io/desired-replicas': String(desired), 'deployment.kubernetes.io/max-replicas': String(desired + 1) }
}
for (const { title, deployment, sets, oldPodsRun = false, expect } of steps) t.test(title, async (t) => t.same(sizesOf(planRollout({ deployment, sets, oldPodsRun, now })), expect))

t.test('going back makes the old set the newest revision, which remembers its number', async (t) => {
  const { operations } = planRollout({ deployment: deployment({ image: 'v1' }), sets: [set('v1', 0), set('v2', 4)], oldPodsRun: false, now })
  const updated = operations.flatMap((operation) => (operation.kind === 'update' ? operation.set : []))
  t.match(updated[0]?.metadata.annotations, { 'deployment.kubernetes.io/revision': '3', 'deployment.kubernetes.io/revision-history': '1' })
  t.match(operations.at(-1), { kind: 'annotate', revision: '3' })
})

t.test('annotations of the deployment are carried to its newest set, those of kubectl are not', async (t) => {
  const annotated = { ...deployment(), metadata: { ...deployment().metadata, annotations: { 'kubernetes.io/change-cause': 'why', 'kubectl.kubernetes.io/last-applied-configuration': '{}' } } }
  const [created] = planRollout({ deployment: annotated, sets: [], oldPodsRun: false, now }).operations
  t.match(created, { kind: 'create', set: { metadata: { annotations: { 'kubernetes.io/change-cause': 'why' } } } })
  t.notMatch(created, { set: { metadata: { annotations: { 'kubectl.kubernetes.io/last-applied-configuration': /./ } } } })
})

t.test('a rollout that does not get on is said to have timed out, when its deadline is over', async (t) => {
  const sets = [set('v1', 4), set('v2', 1, 0)]
  const before = deployment()
  const started = planRollout({ deployment: before, sets, oldPodsRun: false, now })
  t.equal(conditionOf(started.status.conditions, 'Progressing')?.reason, 'ReplicaSetUpdated')
  t.equal(started.againAfterMs, 601_000)
  const later = planRollout({ deployment: { ...before, status: started.status }, sets, oldPodsRun: false, now: now + 601_000 })
  t.match(conditionOf(later.status.conditions, 'Progressing'), { status: 'False', reason: 'ProgressDeadlineExceeded' })
  t.equal(later.againAfterMs, undefined)
  const recovered = planRollout({ deployment: { ...before, status: later.status }, sets: [set('v1', 4), set('v2', 1)], oldPodsRun: false, now: now + 700_000 })
  t.equal(conditionOf(recovered.status.conditions, 'Progressing')?.status, 'True')
})

t.test('availability is said by what is available, and a pause and its end are said', async (t) => {
  const paused = planRollout({ deployment: deployment({ more: { paused: true } }), sets: [set('v1', 4, 3)], oldPodsRun: false, now }).status
  t.equal(conditionOf(paused.conditions, 'Available')?.status, 'False')
  t.match(conditionOf(paused.conditions, 'Progressing'), { status: 'Unknown', reason: 'DeploymentPaused' })
  const resumed = planRollout({ deployment: { ...deployment({ image: 'v1' }), status: paused }, sets: [set('v1', 4)], oldPodsRun: false, now }).status
  t.equal(conditionOf(resumed.conditions, 'Available')?.status, 'True')
  t.match(conditionOf(resumed.conditions, 'Progressing'), { status: 'Unknown', reason: 'DeploymentResumed' })
})

t.test('whatever the order in which pods come and become available, a rollout keeps its bounds and ends', async () => {
  const percentOrNumber = fc.oneof(fc.integer({ min: 0, max: 4 }), fc.integer({ min: 0, max: 100 }).map((percent) => `${percent}%`))
  fc.assert(fc.property(fc.integer({ min: 1, max: 12 }), percentOrNumber, percentOrNumber, fc.infiniteStream(fc.boolean()), (replicas, surge, unavailable, chances) => {
    const wanted = deployment({ replicas, surge, unavailable })
    const { most, least } = boundsOf(wanted)
    let sets = [set('v1', replicas)]
    let current = wanted
    for (let step = 0; step < 400; step += 1) {
      const plan = planRollout({ deployment: current, sets, oldPodsRun: false, now })
      current = { ...current, status: plan.status }
      for (const operation of plan.operations) {
        if (operation.kind === 'create') sets = [...sets, { ...operation.set, metadata: { ...operation.set.metadata, uid: 'new', creationTimestamp: '2026-01-01T00:00:09Z', generation: 1 }, status: { replicas: 0, observedGeneration: 1 } }]
        if (operation.kind === 'update') sets = sets.map((one) => (one.metadata.uid === operation.set.metadata.uid ? { ...operation.set, status: one.status ?? { replicas: 0 } } : one))
      }
      // What a replica set controller and kubelets do to one set at a time: make or delete pods, one becomes available.
      sets = sets.map((one) => {
        const { replicas: have = 0, availableReplicas: available = 0 } = one.status ?? {}
        if (have > sizeOf(one)) return { ...one, status: { ...one.status, replicas: sizeOf(one), availableReplicas: Math.min(available, sizeOf(one)) } }
        if (chances.next().value === true) return one
        return { ...one, status: { ...one.status, replicas: sizeOf(one), availableReplicas: Math.min(available + 1, have) } }
      })
      const sum = (field: 'replicas' | 'availableReplicas'): number => sets.reduce((all, { status }) => all + (status?.[field] ?? 0), 0)
      if (sets.reduce((all, one) => all + sizeOf(one), 0) > most || sum('availableReplicas') < least) return false
      const newest = sets.find(({ metadata }) => metadata.uid === 'new')
      if (newest?.status?.availableReplicas === replicas && sum('replicas') === replicas) return true
    }
    return false
  }), { numRuns: 200 })
})
