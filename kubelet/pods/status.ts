/** A pod's status from what the engine has, what the plan waits for and what the probes say. Pure. */
import type { Condition, Container, ContainerState, ContainerStatus, Pod, PodPhase, PodStatus } from '../../api/types.ts'
import type { RuntimeContainerStatus } from '../runtime/runtime.ts'
import { latest, rolesOf, type ContainerRole, type Plan, type PodState } from './plan.ts'
import { qosClassOf } from './resources.ts'

export interface StatusInput {
  readonly pod: Pod
  readonly have: PodState
  readonly plan: Pick<Plan, 'waiting' | 'outcome' | 'stopped'>
  readonly nowMs: number
  /** The scheme of container ids. */
  readonly runtimeName: string
  readonly hostIPs: readonly string[]
  readonly ready: (containerId: string) => boolean
  readonly started: (containerId: string) => boolean
}

/** The conditions that the kubelet answers for. */
export const kubeletConditions: ReadonlySet<string> = new Set(['PodReadyToStartContainers', 'Initialized', 'Ready', 'ContainersReady', 'PodScheduled'])

/** RFC 3339 with whole seconds, as Kubernetes writes times in objects. */
export function timestamp(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`
}

function terminated(status: RuntimeContainerStatus, runtimeName: string): ContainerState {
  return {
    terminated: {
      exitCode: status.exitCode ?? -1,
      reason: status.reason ?? 'Error',
      ...(status.message === undefined ? {} : { message: status.message }),
      ...(status.startedAtMs === undefined ? {} : { startedAt: timestamp(status.startedAtMs) }),
      finishedAt: timestamp(status.finishedAtMs ?? status.createdAtMs),
      containerID: `${runtimeName}://${status.id}`,
    },
  }
}

function waiting(reason: string, message?: string): ContainerState {
  return { waiting: { reason, ...(message === undefined || message === '' ? {} : { message }) } }
}

interface ContainerView {
  readonly status: ContainerStatus
  readonly role: ContainerRole
  readonly state: 'waiting' | 'running' | 'terminated'
  readonly exitCode?: number
}

/** What a container that has never run here is waiting for. */
function stateOfAbsent(input: StatusInput, role: ContainerRole, index: number): ContainerState {
  if (input.plan.outcome !== undefined || input.pod.metadata.deletionTimestamp !== undefined) {
    return waiting(role === 'regular' ? 'PodInitializing' : 'ContainerCreating')
  }
  const inits = input.pod.spec.initContainers ?? []
  const holdsUp = role === 'regular' ? inits.length > 0 : index > 0
  return waiting(holdsUp && !initialized(input) ? 'PodInitializing' : 'ContainerCreating')
}

function viewOf(input: StatusInput, container: Container, role: ContainerRole, index: number): ContainerView {
  const { have, plan, pod } = input
  const { name, image = '' } = container
  const status = latest(have, name)
  const wait = plan.waiting.get(name)
  const old = [...(pod.status?.initContainerStatuses ?? []), ...(pod.status?.containerStatuses ?? [])].find((entry) => entry.name === name)
  if (status === undefined || status.state === 'created') {
    const state = wait === undefined ? stateOfAbsent(input, role, index) : waiting(wait.reason, wait.message)
    const restartCount = status?.attempt ?? old?.restartCount ?? 0
    const bare = { name, image, imageID: '', ready: false, started: false, restartCount, state, lastState: lastStateOf(input, name, status, old) }
    return { role, state: 'waiting', status: bare }
  }
  const base = { name, image, imageID: status.imageId, containerID: `${input.runtimeName}://${status.id}`, restartCount: status.attempt }
  if (status.state !== 'exited') {
    const started = input.started(status.id)
    const state = { running: { startedAt: timestamp(status.startedAtMs ?? status.createdAtMs) } }
    const ready = started && (role === 'init' ? false : input.ready(status.id))
    return { role, state: 'running', status: { ...base, state, lastState: lastStateOf(input, name, status, old), ready, started } }
  }
  const { exitCode = -1 } = status
  if (wait !== undefined) {
    return { role, state: 'waiting', exitCode, status: { ...base, state: waiting(wait.reason, wait.message), lastState: terminated(status, input.runtimeName), ready: false, started: false } }
  }
  const ready = role === 'init' && exitCode === 0
  return { role, state: 'terminated', exitCode, status: { ...base, state: terminated(status, input.runtimeName), lastState: lastStateOf(input, name, status, old), ready, started: false } }
}

/** How the attempt before ended: from the engine, or from the object where that attempt has been removed. */
function lastStateOf({ have, runtimeName }: StatusInput, name: string, current: RuntimeContainerStatus | undefined, old: ContainerStatus | undefined): ContainerState {
  const before = have.containers.find((container) => container.name === name && container.id !== current?.id && container.state === 'exited')
  if (before !== undefined) return terminated(before, runtimeName)
  return current === undefined || current.attempt > 0 ? (old?.lastState ?? {}) : {}
}

/** Whether every init container has done its part, as the containers tell. */
function initialized({ pod, have, started }: StatusInput): boolean {
  const begun = pod.spec.containers.some(({ name }) => latest(have, name) !== undefined)
  return begun || incompleteInits({ pod, have, started }).length === 0
}

function incompleteInits({ pod, have, started }: Pick<StatusInput, 'pod' | 'have' | 'started'>): string[] {
  return rolesOf(pod).filter(({ container, role }) => {
    const status = latest(have, container.name)
    if (role === 'init') return !(status?.state === 'exited' && status.exitCode === 0)
    return role === 'sidecar' && !(status?.state === 'running' && started(status.id)) && !(status?.state === 'exited')
  }).map(({ container }) => container.name)
}

function phaseOf(input: StatusInput, views: readonly ContainerView[]): PodPhase {
  const { pod, plan } = input
  if (plan.outcome !== undefined) return plan.outcome.phase
  const policy = pod.spec.restartPolicy ?? 'Always'
  const regular = views.filter(({ role }) => role === 'regular')
  const ended = regular.filter(({ state, exitCode }) => state === 'terminated' || (state === 'waiting' && exitCode !== undefined))
  if (pod.metadata.deletionTimestamp !== undefined && plan.stopped) {
    return ended.length === regular.length && ended.every(({ exitCode }) => exitCode === 0) ? 'Succeeded' : 'Failed'
  }
  if (!initialized(input)) return 'Pending'
  if (regular.some(({ state, exitCode }) => state === 'waiting' && exitCode === undefined)) {
    return regular.some(({ status }) => status.lastState?.terminated !== undefined) || regular.some(({ state }) => state === 'running') && pod.status?.phase === 'Running' ? 'Running' : 'Pending'
  }
  if (regular.some(({ state }) => state === 'running') || policy === 'Always') return 'Running'
  if (ended.every(({ exitCode }) => exitCode === 0)) return 'Succeeded'
  return policy === 'Never' ? 'Failed' : 'Running'
}

interface Truth {
  readonly type: string
  readonly holds: boolean
  readonly reason?: string
  readonly message?: string
}

function list(names: readonly string[]): string {
  return `[${names.join(' ')}]`
}

function readiness(input: StatusInput, views: readonly ContainerView[], phase: PodPhase): Truth[] {
  const { pod } = input
  const watched = views.filter(({ role }) => role !== 'init')
  const unready = watched.filter(({ status }) => !status.ready).map(({ status }) => status.name)
  const incomplete = incompleteInits(input)
  const containers: Truth = phase === 'Succeeded' ? { type: 'ContainersReady', holds: false, reason: 'PodCompleted' }
    : phase === 'Failed' ? { type: 'ContainersReady', holds: false, reason: 'PodFailed' }
    : unready.length > 0 ? { type: 'ContainersReady', holds: false, reason: 'ContainersNotReady', message: `containers with unready status: ${list(unready)}` }
    : { type: 'ContainersReady', holds: true }
  const gates = (pod.spec.readinessGates ?? []).map(({ conditionType }) => conditionType)
    .filter((type) => pod.status?.conditions?.find((condition) => condition.type === type)?.status !== 'True')
  const ready: Truth = containers.holds && gates.length > 0
    ? { type: 'Ready', holds: false, reason: 'ReadinessGatesNotReady', message: `corresponding condition of pod readiness gate ${gates.map((gate) => `"${gate}"`).join(', ')} is not True` }
    : { ...containers, type: 'Ready' }
  const init: Truth = phase === 'Succeeded' ? { type: 'Initialized', holds: true, reason: 'PodCompleted' }
    : incomplete.length === 0 || initialized(input) ? { type: 'Initialized', holds: true }
    : { type: 'Initialized', holds: false, reason: 'ContainersNotInitialized', message: `containers with incomplete status: ${list(incomplete)}` }
  const attached = input.have.sandboxes[0]?.state === 'ready' && (pod.spec.hostNetwork === true || input.have.addresses !== undefined)
  return [{ type: 'PodReadyToStartContainers', holds: attached }, init, ready, containers, { type: 'PodScheduled', holds: true }]
}

/** Our conditions, and those that others set; a condition that did not change keeps the time of its last change. */
function conditionsOf(input: StatusInput, truths: readonly Truth[]): Condition[] {
  const old = input.pod.status?.conditions ?? []
  const ours = truths.map(({ type, holds, reason, message }): Condition => {
    const status = holds ? 'True' : 'False'
    const before = old.find((condition) => condition.type === type)
    const lastTransitionTime = before?.status === status && before.lastTransitionTime ? before.lastTransitionTime : timestamp(input.nowMs)
    return { type, status, lastTransitionTime, ...(reason === undefined ? {} : { reason }), ...(message === undefined ? {} : { message }) }
  })
  const types = new Set(truths.map(({ type }) => type))
  return [...ours, ...old.filter(({ type }) => !types.has(type))]
}

export function statusOf(input: StatusInput): PodStatus {
  const { pod, have, plan, hostIPs } = input
  const views = rolesOf(pod).map(({ container, role }, index) => viewOf(input, container, role, index))
  const phase = phaseOf(input, views)
  // Who looks at a pod that is over finds the address that it had.
  const isOver = plan.outcome !== undefined || pod.metadata.deletionTimestamp !== undefined
  const before = isOver ? (pod.status?.podIPs ?? []).map(({ ip }) => ip) : []
  const present = pod.spec.hostNetwork === true ? (have.sandboxes[0]?.state === 'ready' ? hostIPs : undefined) : have.addresses
  const addresses = present ?? before
  const inits = views.filter(({ role }) => role !== 'regular').map(({ status }) => status)
  return {
    phase,
    conditions: conditionsOf(input, readiness(input, views, phase)),
    ...(plan.outcome?.reason === undefined ? {} : { reason: plan.outcome.reason }),
    ...(plan.outcome?.message === undefined ? {} : { message: plan.outcome.message }),
    ...(hostIPs[0] === undefined ? {} : { hostIP: hostIPs[0], hostIPs: hostIPs.map((ip) => ({ ip })) }),
    ...(addresses[0] === undefined ? {} : { podIP: addresses[0], podIPs: addresses.map((ip) => ({ ip })) }),
    startTime: pod.status?.startTime ?? timestamp(input.nowMs),
    qosClass: pod.status?.qosClass ?? qosClassOf(pod),
    ...(inits.length === 0 ? {} : { initContainerStatuses: inits }),
    containerStatuses: views.filter(({ role }) => role === 'regular').map(({ status }) => status),
  }
}
