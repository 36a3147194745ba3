/** What has to be done so that a pod is as its object says. Pure: the pod, what the engine has, what probes and backoff say, the time. */
import type { Container, Pod } from '../../api/types.ts'
import type { RuntimeContainerStatus, Sandbox } from '../runtime/runtime.ts'

/** What the engine has of one pod. */
export interface PodState {
  /** Newest attempt first. */
  readonly sandboxes: readonly Sandbox[]
  /** Newest attempt first within one name. */
  readonly containers: readonly RuntimeContainerStatus[]
  /** Addresses of the newest sandbox; undefined while its network is not attached. */
  readonly addresses: readonly string[] | undefined
}

export interface PlanInput {
  readonly pod: Pod
  readonly have: PodState
  readonly nowMs: number
  /** Containers that are being stopped already. */
  readonly stopping: ReadonlySet<string>
  /** Why a running container has to be restarted, by its probes: undefined is that it need not. */
  readonly unhealthy: (containerId: string) => string | undefined
  /** Whether a running container has passed its startup probe (or has none). */
  readonly started: (containerId: string) => boolean
  /** How long a container that ended then has to wait. */
  readonly backoffMs: (containerName: string, finishedAtMs: number) => number
}

export type ContainerRole = 'init' | 'sidecar' | 'regular'

export type Operation =
  | { readonly kind: 'stopContainer'; readonly id: string; readonly name: string; readonly why: string; readonly graceSeconds?: number }
  | { readonly kind: 'removeContainer'; readonly id: string; readonly name: string }
  | { readonly kind: 'stopSandbox'; readonly id: string }
  | { readonly kind: 'removeSandbox'; readonly id: string }
  | { readonly kind: 'createSandbox'; readonly attempt: number }
  | { readonly kind: 'startContainer'; readonly name: string; readonly role: ContainerRole; readonly attempt: number; readonly failedAtMs?: number }

export type PodOutcome = { readonly phase: 'Failed' | 'Succeeded'; readonly reason?: string; readonly message?: string }

export interface Plan {
  readonly operations: readonly Operation[]
  /** Containers that wait, and for what. */
  readonly waiting: ReadonlyMap<string, { readonly reason: string; readonly message: string }>
  /** When to plan again though nothing has happened. */
  readonly wakeInMs?: number
  /** The pod will run nothing (more); absent while it may. */
  readonly outcome?: PodOutcome
  /** Nothing of the pod runs, and its network is gone. */
  readonly stopped: boolean
}

/** Containers in which the plan and the status agree on the order: init containers, then regular ones. */
export function rolesOf(pod: Pod): Array<{ container: Container; role: ContainerRole }> {
  return [
    ...(pod.spec.initContainers ?? []).map((container) => ({ container, role: container.restartPolicy === 'Always' ? ('sidecar' as const) : ('init' as const) })),
    ...pod.spec.containers.map((container) => ({ container, role: 'regular' as const })),
  ]
}

/** The newest attempt of a container. */
export function latest(have: PodState, name: string): RuntimeContainerStatus | undefined {
  return have.containers.find((container) => container.name === name)
}

function running({ containers }: PodState): RuntimeContainerStatus[] {
  return containers.filter(({ state }) => state === 'running')
}

/** How the pod ended, if no container of it will run again. */
function outcomeOf({ pod, have, nowMs }: PlanInput): PodOutcome | undefined {
  const { phase, reason, message } = pod.status ?? {}
  if (phase === 'Failed' || phase === 'Succeeded') {
    return { phase, ...(reason === undefined ? {} : { reason }), ...(message === undefined ? {} : { message }) }
  }
  if (deadlineMs(pod) <= nowMs) return { phase: 'Failed', reason: 'DeadlineExceeded', message: 'Pod was active on the node longer than the specified deadline' }
  const policy = pod.spec.restartPolicy ?? 'Always'
  if (policy === 'Always') return undefined
  if (policy === 'Never' && failedInit(pod, have)) return { phase: 'Failed' }
  const ended = pod.spec.containers.map(({ name }) => latest(have, name))
  if (!ended.every((status) => status?.state === 'exited')) return undefined
  const failed = ended.some((status) => status?.exitCode !== 0)
  if (!failed) return { phase: 'Succeeded' }
  return policy === 'Never' ? { phase: 'Failed' } : undefined
}

function failedInit(pod: Pod, have: PodState): boolean {
  return rolesOf(pod).some(({ container, role }) => {
    const status = latest(have, container.name)
    return role === 'init' && status?.state === 'exited' && status.exitCode !== 0
  })
}

function deadlineMs({ spec, status }: Pod): number {
  if (spec.activeDeadlineSeconds === undefined || status?.startTime === undefined) return Infinity
  return Date.parse(status.startTime) + spec.activeDeadlineSeconds * 1000
}

/** Stops what runs (sidecars last, in reverse order), then the sandboxes. */
function planStop(input: PlanInput, why: string, graceSeconds: number | undefined): Pick<Plan, 'operations' | 'stopped'> {
  const { pod, have, stopping } = input
  const stop = ({ id, name }: RuntimeContainerStatus): Operation =>
    ({ kind: 'stopContainer', id, name, why, ...(graceSeconds === undefined ? {} : { graceSeconds }) })
  const alive = running(have)
  const sidecars = (pod.spec.initContainers ?? []).filter(({ restartPolicy }) => restartPolicy === 'Always').map(({ name }) => name)
  const main = alive.filter(({ name }) => !sidecars.includes(name))
  const last = alive.toSorted((a, b) => sidecars.indexOf(b.name) - sidecars.indexOf(a.name))[0]
  const due = main.length > 0 ? main : last === undefined ? [] : [last]
  if (due.length > 0) return { operations: due.filter(({ id }) => !stopping.has(id)).map(stop), stopped: false }
  const open = have.sandboxes.filter(({ state }) => state === 'ready')
  const detached = have.addresses === undefined
  if (open.length === 0 && detached) return { operations: [], stopped: true }
  const sandboxes = open.length > 0 ? open : have.sandboxes.slice(0, 1)
  return { operations: sandboxes.map(({ id }) => ({ kind: 'stopSandbox', id })), stopped: false }
}

/** Whether the newest sandbox can go on: it runs, and its network is attached. */
function usableSandbox({ pod, have }: PlanInput): Sandbox | undefined {
  const [sandbox] = have.sandboxes
  if (sandbox?.state !== 'ready') return undefined
  return pod.spec.hostNetwork === true || have.addresses !== undefined ? sandbox : undefined
}

function planSandbox(input: PlanInput): Plan {
  const { have, stopping } = input
  const alive = running(have)
  const waiting = new Map<string, { reason: string; message: string }>()
  if (alive.length > 0) {
    const due = alive.filter(({ id }) => !stopping.has(id))
    return { operations: due.map(({ id, name }) => ({ kind: 'stopContainer', id, name, why: 'SandboxChanged' })), waiting, stopped: false }
  }
  const old = have.sandboxes.flatMap(({ id }): Operation[] => [{ kind: 'stopSandbox', id }, { kind: 'removeSandbox', id }])
  const attempt = have.sandboxes.reduce((most, { metadata }) => Math.max(most, metadata.attempt + 1), 0)
  return { operations: [...old, { kind: 'createSandbox', attempt }], waiting, stopped: false }
}

/** Plans one container: what it needs now, and whether those after it may go on. */
class ContainerPlanner {
  readonly operations: Operation[] = []
  readonly waiting = new Map<string, { reason: string; message: string }>()
  wakeInMs = Infinity
  readonly #input: PlanInput
  readonly #sandbox: Sandbox

  constructor(input: PlanInput, sandbox: Sandbox) {
    this.#input = input
    this.#sandbox = sandbox
  }

  /** Starts, restarts or stops; true when it runs as it should. */
  keepRunning(container: Container, role: ContainerRole, restarts: (status: RuntimeContainerStatus) => boolean): boolean {
    const status = latest(this.#input.have, container.name)
    if (status === undefined) this.#start(container, role, 0)
    else if (status.state === 'running') return this.#watch(container, status)
    else if (status.state === 'exited') this.#restart(container, role, status, restarts)
    else {
      // Created, and never started: the kubelet or the engine ended in between.
      this.operations.push({ kind: 'removeContainer', id: status.id, name: container.name })
      this.#start(container, role, status.attempt)
    }
    return false
  }

  #start({ name }: Container, role: ContainerRole, attempt: number, failedAtMs?: number): void {
    this.operations.push({ kind: 'startContainer', name, role, attempt, ...(failedAtMs === undefined ? {} : { failedAtMs }) })
  }

  #watch(container: Container, { id, name, image }: RuntimeContainerStatus): boolean {
    const why = image === container.image ? this.#input.unhealthy(id) : `Container ${name} definition changed, will be restarted`
    if (why === undefined) return this.#input.started(id)
    if (!this.#input.stopping.has(id)) this.operations.push({ kind: 'stopContainer', id, name, why })
    return false
  }

  #restart(container: Container, role: ContainerRole, status: RuntimeContainerStatus, restarts: (status: RuntimeContainerStatus) => boolean): void {
    const ofThisSandbox = status.sandboxId === this.#sandbox.id
    if (!restarts(status) && (ofThisSandbox || role === 'regular')) return
    const finishedAtMs = status.finishedAtMs ?? status.createdAtMs
    const remaining = ofThisSandbox ? this.#input.backoffMs(container.name, finishedAtMs) : 0
    if (remaining > 0) {
      this.wakeInMs = Math.min(this.wakeInMs, remaining)
      this.waiting.set(container.name, { reason: 'CrashLoopBackOff', message: `back-off restarting failed container ${container.name}` })
      return
    }
    this.#start(container, role, status.attempt + 1, finishedAtMs)
  }
}

/** Init containers one after the other, beside the sidecars; true once the regular ones may run. */
function planInitContainers(input: PlanInput, sandbox: Sandbox, planner: ContainerPlanner): boolean {
  const { pod, have } = input
  const policy = pod.spec.restartPolicy ?? 'Always'
  const initialized = pod.spec.containers.some(({ name }) => latest(have, name)?.sandboxId === sandbox.id)
  for (const { container, role } of rolesOf(pod)) {
    if (role === 'regular') break
    const status = latest(have, container.name)
    if (role === 'sidecar') {
      const goesOn = planner.keepRunning(container, role, () => true)
      // One that has been up before does not hold up the others again.
      const before = status !== undefined && status.sandboxId === sandbox.id && status.attempt > 0
      if (!goesOn && !initialized && !before) return false
    } else if (!initialized) {
      const done = status?.state === 'exited' && status.exitCode === 0 && status.sandboxId === sandbox.id
      if (done) continue
      planner.keepRunning(container, role, ({ exitCode }) => policy !== 'Never' && exitCode !== 0)
      return false
    }
  }
  return true
}

function planRunning(input: PlanInput, sandbox: Sandbox): Plan {
  const { pod } = input
  const planner = new ContainerPlanner(input, sandbox)
  const policy = pod.spec.restartPolicy ?? 'Always'
  if (planInitContainers(input, sandbox, planner)) {
    for (const container of pod.spec.containers) {
      planner.keepRunning(container, 'regular', ({ exitCode }) => policy === 'Always' || (policy === 'OnFailure' && exitCode !== 0))
    }
  }
  const wakeInMs = Math.min(planner.wakeInMs, deadlineMs(pod) - input.nowMs)
  return { operations: planner.operations, waiting: planner.waiting, stopped: false, ...(Number.isFinite(wakeInMs) ? { wakeInMs } : {}) }
}

/** Attempts that nobody asks for any more: all but the newest two of each container (the newest, and the one before for `logs --previous`). */
function planRemoval({ have, stopping }: PlanInput): Operation[] {
  const seen = new Map<string, number>()
  return have.containers.flatMap(({ name, id, state }): Operation[] => {
    const count = (seen.get(name) ?? 0) + 1
    seen.set(name, count)
    return count > 2 && state !== 'running' && !stopping.has(id) ? [{ kind: 'removeContainer', id, name }] : []
  })
}

/** Level triggered: call it at any time, with what is there. */
export function planPod(input: PlanInput): Plan {
  const { pod } = input
  const none = new Map<string, { reason: string; message: string }>()
  const outcome = outcomeOf(input)
  const ended = outcome === undefined ? {} : { outcome }
  if (pod.metadata.deletionTimestamp !== undefined) {
    const graceSeconds = pod.metadata.deletionGracePeriodSeconds ?? undefined
    return { ...planStop(input, `Stopping container`, graceSeconds), ...ended, waiting: none }
  }
  if (outcome !== undefined) return { ...planStop(input, outcome.message ?? 'The pod has ended', undefined), waiting: none, outcome }
  const sandbox = usableSandbox(input)
  if (sandbox === undefined) return planSandbox(input)
  const plan = planRunning(input, sandbox)
  return { ...plan, operations: [...planRemoval(input), ...plan.operations] }
}
