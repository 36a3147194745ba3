import t from 'tap'
import type { Container, Pod, PodSpec } from '../../api/types.ts'
import type { RuntimeContainerStatus, Sandbox } from '../runtime/runtime.ts'
import { planPod } from './plan.ts'
import type { Plan, PlanInput, PodState } from './plan.ts'

const nowMs = Date.UTC(2026, 0, 1)

function container(name: string, more: Partial<Container> = {}): Container {
  return { name, image: 'busybox:1', ...more }
}

function podOf(spec: Partial<PodSpec>, more: Partial<Pod> = {}): Pod {
  return { metadata: { name: 'web', namespace: 'default', uid: 'u' }, spec: { containers: [container('main')], ...spec }, ...more }
}

const sandbox: Sandbox = { id: 's0', metadata: { name: 'web', namespace: 'default', uid: 'u', attempt: 0 }, state: 'ready', createdAtMs: nowMs, labels: {} }

function status(name: string, state: RuntimeContainerStatus['state'], more: Partial<RuntimeContainerStatus> = {}): RuntimeContainerStatus {
  const attempt = more.attempt ?? 0
  return {
    id: `${name}-${attempt}`, sandboxId: 's0', podUid: 'u', name, attempt, state, createdAtMs: nowMs, labels: {}, image: 'busybox:1', imageId: 'sha256:1',
    ...(state === 'exited' ? { exitCode: 1, finishedAtMs: nowMs } : {}), ...more,
  }
}

function have(...containers: RuntimeContainerStatus[]): PodState {
  return { sandboxes: [sandbox], containers, addresses: ['10.0.0.1'] }
}

const nothing: PodState = { sandboxes: [], containers: [], addresses: undefined }

function plan(pod: Pod, state: PodState, more: Partial<PlanInput> = {}): Plan {
  return planPod({ pod, have: state, nowMs, stopping: new Set(), unhealthy: () => undefined, started: () => true, backoffMs: () => 0, ...more })
}

/** `start main#1` and the like. */
function words({ operations }: Plan): string[] {
  return operations.map((operation) => {
    if (operation.kind === 'startContainer') return `start ${operation.name}#${operation.attempt}`
    if (operation.kind === 'createSandbox') return `sandbox#${operation.attempt}`
    return `${operation.kind} ${operation.id}`
  })
}

t.test('a new pod gets a sandbox, and then its containers', (t) => {
  t.same(words(plan(podOf({}), nothing)), ['sandbox#0'])
  t.same(words(plan(podOf({ containers: [container('a'), container('b')] }), have())), ['start a#0', 'start b#0'])
  t.same(words(plan(podOf({}), have(status('main', 'running')))), [])
  t.end()
})

t.test('a sandbox without a network, or that has ended, is replaced once nothing runs in it', (t) => {
  t.same(words(plan(podOf({}), { ...have(), addresses: undefined })), ['stopSandbox s0', 'removeSandbox s0', 'sandbox#1'])
  const ended: PodState = { ...have(status('main', 'running')), sandboxes: [{ ...sandbox, state: 'notReady' }] }
  t.same(words(plan(podOf({}), ended)), ['stopContainer main-0'])
  t.same(words(plan(podOf({ hostNetwork: true }), { ...have(), addresses: undefined })), ['start main#0'], 'the host network needs no attachment')
  t.end()
})

t.test('init containers run one after the other before the others', (t) => {
  const pod = podOf({ initContainers: [container('one'), container('two')] })
  t.same(words(plan(pod, have())), ['start one#0'])
  t.same(words(plan(pod, have(status('one', 'running')))), [])
  t.same(words(plan(pod, have(status('one', 'exited', { exitCode: 0 })))), ['start two#0'])
  t.same(words(plan(pod, have(status('one', 'exited', { exitCode: 0 }), status('two', 'exited', { exitCode: 0 })))), ['start main#0'])
  t.same(words(plan(pod, have(status('one', 'exited')))), ['start one#1'], 'one that failed is tried again')
  t.match(plan({ ...pod, spec: { ...pod.spec, restartPolicy: 'Never' } }, have(status('one', 'exited'))), { outcome: { phase: 'Failed' } })
  t.end()
})

t.test('a sidecar starts before the others and is waited for until it has started', (t) => {
  const pod = podOf({ initContainers: [container('side', { restartPolicy: 'Always' }), container('one')] })
  t.same(words(plan(pod, have())), ['start side#0'])
  t.same(words(plan(pod, have(status('side', 'running')), { started: () => false })), [])
  t.same(words(plan(pod, have(status('side', 'running')))), ['start one#0'])
  t.same(words(plan(pod, have(status('main', 'running'), status('side', 'exited', { exitCode: 0 })))), ['start side#1'])
  t.end()
})

t.test('a container that ended is started again as its policy says, after its back-off', (t) => {
  const failed = have(status('main', 'exited', { attempt: 2 }))
  const done = have(status('main', 'exited', { exitCode: 0 }))
  t.same(words(plan(podOf({}), failed)), ['start main#3'])
  t.same(words(plan(podOf({}), done)), ['start main#1'])
  t.same(words(plan(podOf({ restartPolicy: 'OnFailure' }), failed)), ['start main#3'])
  t.match(plan(podOf({ restartPolicy: 'OnFailure' }), done), { outcome: { phase: 'Succeeded' } })
  t.match(plan(podOf({ restartPolicy: 'Never' }), failed), { outcome: { phase: 'Failed' } })
  const waits = plan(podOf({}), failed, { backoffMs: () => 7000 })
  t.same(words(waits), [])
  t.equal(waits.wakeInMs, 7000)
  t.equal(waits.waiting.get('main')?.reason, 'CrashLoopBackOff')
  t.end()
})

t.test('an unhealthy or changed container is stopped once', (t) => {
  const state = have(status('main', 'running'))
  t.same(words(plan(podOf({}), state, { unhealthy: () => 'failed liveness probe' })), ['stopContainer main-0'])
  t.same(words(plan(podOf({}), state, { unhealthy: () => 'failed liveness probe', stopping: new Set(['main-0']) })), [])
  t.same(words(plan(podOf({ containers: [container('main', { image: 'busybox:2' })] }), state)), ['stopContainer main-0'])
  t.end()
})

t.test('a deleted pod ends: containers, then sidecars backwards, then the sandbox', (t) => {
  const pod = podOf({ initContainers: [container('s1', { restartPolicy: 'Always' }), container('s2', { restartPolicy: 'Always' })] })
  pod.metadata.deletionTimestamp = '2026-01-01T00:00:00Z'
  pod.metadata.deletionGracePeriodSeconds = 5
  t.match(plan(pod, have(status('main', 'running'), status('s1', 'running'), status('s2', 'running'))).operations, [{ kind: 'stopContainer', id: 'main-0', graceSeconds: 5 }])
  t.same(words(plan(pod, have(status('main', 'exited'), status('s1', 'running'), status('s2', 'running')))), ['stopContainer s2-0'])
  t.same(words(plan(pod, have(status('main', 'exited'), status('s1', 'running')))), ['stopContainer s1-0'])
  t.same(words(plan(pod, have(status('main', 'exited')))), ['stopSandbox s0'])
  t.match(plan(pod, { ...have(status('main', 'exited')), sandboxes: [{ ...sandbox, state: 'notReady' }], addresses: undefined }), { stopped: true, operations: [] })
  t.end()
})

t.test('a pod past its deadline fails', (t) => {
  const pod = podOf({ activeDeadlineSeconds: 10 }, { status: { startTime: new Date(nowMs - 11_000).toISOString() } })
  t.match(plan(pod, have(status('main', 'running'))), { outcome: { phase: 'Failed', reason: 'DeadlineExceeded' }, operations: [{ kind: 'stopContainer' }] })
  const young = podOf({ activeDeadlineSeconds: 10 }, { status: { startTime: new Date(nowMs - 4000).toISOString() } })
  t.equal(plan(young, have(status('main', 'running'))).wakeInMs, 6000)
  t.end()
})

t.test('a container that was made and never started is made again; old attempts are removed', (t) => {
  t.same(words(plan(podOf({}), have(status('main', 'created')))), ['removeContainer main-0', 'start main#0'])
  t.same(words(plan(podOf({}), have(status('main', 'running', { attempt: 3 }), status('main', 'exited', { attempt: 2 }), status('main', 'exited', { attempt: 1 })))), ['removeContainer main-1'])
  t.end()
})
