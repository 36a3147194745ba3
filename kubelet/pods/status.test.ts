import t from 'tap'
import type { Pod, PodStatus } from '../../api/types.ts'
import type { RuntimeContainerStatus } from '../runtime/runtime.ts'
import type { PodState } from './plan.ts'
import { statusOf } from './status.ts'
import type { StatusInput } from './status.ts'

const nowMs = Date.UTC(2026, 0, 1, 12)
const pod: Pod = { metadata: { name: 'web', namespace: 'default', uid: 'u' }, spec: { containers: [{ name: 'main', image: 'busybox:1' }] } }

function running(more: Partial<RuntimeContainerStatus> = {}): RuntimeContainerStatus {
  return { id: 'c0', sandboxId: 's0', podUid: 'u', name: 'main', attempt: 0, state: 'running', createdAtMs: nowMs, startedAtMs: nowMs, labels: {}, image: 'busybox:1', imageId: 'sha256:1', ...more }
}

function exited(exitCode: number, more: Partial<RuntimeContainerStatus> = {}): RuntimeContainerStatus {
  return running({ state: 'exited', exitCode, reason: exitCode === 0 ? 'Completed' : 'Error', finishedAtMs: nowMs, ...more })
}

function have(...containers: RuntimeContainerStatus[]): PodState {
  return { sandboxes: [{ id: 's0', metadata: { name: 'web', namespace: 'default', uid: 'u', attempt: 0 }, state: 'ready', createdAtMs: nowMs, labels: {} }], containers, addresses: ['10.0.0.1'] }
}

function status(state: PodState, more: Partial<StatusInput> = {}): PodStatus {
  return statusOf({ pod, have: state, plan: { waiting: new Map(), stopped: false }, nowMs, runtimeName: 'docker', hostIPs: ['192.0.2.1'], ready: () => true, started: () => true, ...more })
}

function conditions({ conditions = [] }: PodStatus): Record<string, string> {
  return Object.fromEntries(conditions.map(({ type, status: value, reason }) => [type, reason === undefined ? value : `${value} ${reason}`]))
}

t.test('a pod that has just arrived is pending, its containers being created', (t) => {
  const found = status({ sandboxes: [], containers: [], addresses: undefined })
  t.match(found, { phase: 'Pending', hostIP: '192.0.2.1', containerStatuses: [{ ready: false, state: { waiting: { reason: 'ContainerCreating' } } }] })
  t.same(conditions(found), { PodReadyToStartContainers: 'False', Initialized: 'True', Ready: 'False ContainersNotReady', ContainersReady: 'False ContainersNotReady', PodScheduled: 'True' })
  t.end()
})

t.test('a pod whose containers run and are ready is ready, with its address', (t) => {
  const found = status(have(running()))
  t.match(found, { phase: 'Running', podIP: '10.0.0.1', podIPs: [{ ip: '10.0.0.1' }], containerStatuses: [{ ready: true, started: true, containerID: 'docker://c0', state: { running: { startedAt: '2026-01-01T12:00:00Z' } } }] })
  t.equal(conditions(found)['Ready'], 'True')
  t.end()
})

t.test('a readiness gate that is not true holds the pod up, not its containers', (t) => {
  const gated: Pod = { ...pod, spec: { ...pod.spec, readinessGates: [{ conditionType: 'example.com/up' }] } }
  t.match(conditions(status(have(running()), { pod: gated })), { Ready: 'False ReadinessGatesNotReady', ContainersReady: 'True' })
  const open = { ...gated, status: { conditions: [{ type: 'example.com/up', status: 'True' as const }] } }
  const found = status(have(running()), { pod: open })
  t.match(conditions(found), { Ready: 'True', 'example.com/up': 'True' }, 'and what others set stays')
  t.end()
})

t.test('a container that waits in back-off tells how it ended', (t) => {
  const found = status(have(exited(3, { attempt: 2 })), { plan: { waiting: new Map([['main', { reason: 'CrashLoopBackOff', message: 'back-off' }]]), stopped: false } })
  t.match(found, { phase: 'Running', containerStatuses: [{ restartCount: 2, state: { waiting: { reason: 'CrashLoopBackOff' } }, lastState: { terminated: { exitCode: 3 } } }] })
  t.end()
})

t.test('a restarted container remembers how the attempt before it ended', (t) => {
  t.match(status(have(running({ id: 'c1', attempt: 1 }), exited(137))).containerStatuses, [{ restartCount: 1, lastState: { terminated: { exitCode: 137, containerID: 'docker://c0' } } }])
  t.end()
})

t.test('the outcome is the phase, and conditions say that the pod is over', (t) => {
  const done = status(have(exited(0)), { plan: { waiting: new Map(), stopped: true, outcome: { phase: 'Succeeded' } } })
  t.match(done, { phase: 'Succeeded', containerStatuses: [{ state: { terminated: { reason: 'Completed', exitCode: 0 } } }] })
  t.match(conditions(done), { Ready: 'False PodCompleted', Initialized: 'True PodCompleted' })
  t.end()
})

t.test('a pod that is over keeps the address that it had', (t) => {
  const over: PodState = { ...have(exited(0)), addresses: undefined }
  const before: Pod = { ...pod, status: { podIP: '10.0.0.1', podIPs: [{ ip: '10.0.0.1' }] } }
  t.match(status(over, { pod: before, plan: { waiting: new Map(), stopped: true, outcome: { phase: 'Succeeded' } } }), { podIP: '10.0.0.1' })
  t.equal(status(over, { pod: before }).podIP, undefined, 'one that goes on will get another')
  t.end()
})

t.test('while init containers run the others are initializing', (t) => {
  const withInit: Pod = { ...pod, spec: { ...pod.spec, initContainers: [{ name: 'first', image: 'busybox:1' }] } }
  const found = status(have(running({ name: 'first', id: 'i0' })), { pod: withInit })
  t.match(found, { phase: 'Pending', initContainerStatuses: [{ ready: false }], containerStatuses: [{ state: { waiting: { reason: 'PodInitializing' } } }] })
  t.equal(conditions(found)['Initialized'], 'False ContainersNotInitialized')
  t.end()
})

t.test('a condition keeps the time of its last change', (t) => {
  const before = status(have(running()))
  const later = status(have(running()), { pod: { ...pod, status: before }, nowMs: nowMs + 60_000 })
  t.same(later.conditions, before.conditions)
  const turned = status(have(running()), { pod: { ...pod, status: before }, nowMs: nowMs + 60_000, ready: () => false })
  t.equal(turned.conditions?.find(({ type }) => type === 'Ready')?.lastTransitionTime, '2026-01-01T12:01:00Z')
  t.end()
})
