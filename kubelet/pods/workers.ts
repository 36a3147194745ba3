/**
 * One serial worker for each pod: reads back what there is, plans, reports, applies, until there is nothing to do. Whatever happens (a change
 * of the object, an event of the engine, a probe's verdict, a pull's end, time) only wakes the pod's worker; it never says what to do.
 */
import { availableParallelism } from 'node:os'
import { isConflict, isNotFound } from '../../api/client.ts'
import { pods } from '../../api/resources.ts'
import type { Pod, PodStatus } from '../../api/types.ts'
import { WorkQueue } from '../../api/work-queue.ts'
import type { ReconcileResult } from '../../api/work-queue.ts'
import { eventTarget } from '../options.ts'
import type { KubeletParts } from '../options.ts'
import type { Prober } from '../probes/prober.ts'
import type { RuntimeContainerStatus } from '../runtime/runtime.ts'
import type { StatusWriter } from '../status/status-writer.ts'
import { VolumeError } from '../volumes/volumes.ts'
import { Backoff } from './backoff.ts'
import { PodFiles } from './files.ts'
import { PodObserver } from './have.ts'
import type { Hold } from './hold.ts'
import { Images } from './images.ts'
import { planPod, rolesOf } from './plan.ts'
import type { Operation, Plan, PodState } from './plan.ts'
import { departedPod, Sandboxes } from './sandboxes.ts'
import { ContainerStarter } from './starter.ts'
import { kubeletConditions, statusOf } from './status.ts'
import { ContainerStopper } from './stopper.ts'
import { Turns } from './turns.ts'

export interface PodWorkersOptions {
  readonly parts: KubeletParts
  readonly prober: Prober
  readonly statuses: StatusWriter
}

/** What is remembered of a pod between two looks at it. */
interface Record {
  pod: Pod
  /** The API server has no such pod (any more): it is ended, and every trace of it removed. */
  gone: boolean
  status: PodStatus | undefined
  /** Containers that could not be started, and when to try again. */
  readonly holds: Map<string, { readonly hold: Hold; readonly untilMs: number }>
  /** What the last look found, in the words of `PodObserver.fingerprints`. */
  fingerprint: string
  /** The waits that an event has told of. */
  readonly told: Set<string>
  deletionSent: boolean
}

type Wake = { readonly inMs: number } | 'again' | undefined

/** Steps of one pod without a pause for breath. */
const stepsMax = 30

export class PodWorkers {
  readonly #parts: KubeletParts
  readonly #prober: Prober
  readonly #statuses: StatusWriter
  readonly #records = new Map<string, Record>()
  readonly #queue: WorkQueue
  readonly #observer: PodObserver
  readonly #images: Images
  readonly #files: PodFiles
  readonly #sandboxes: Sandboxes
  readonly #starter: ContainerStarter
  readonly #stopper: ContainerStopper
  readonly #backoff: Backoff
  readonly #turns = new Turns(2 * availableParallelism())

  constructor({ parts, prober, statuses }: PodWorkersOptions) {
    this.#parts = parts
    this.#prober = prober
    this.#statuses = statuses
    const { runtime, events, objects, options: { clock, random, log } } = parts
    const changed = (uid: string): void => this.wake(uid)
    this.#observer = new PodObserver(parts)
    this.#images = new Images({ runtime, events, clock, secret: (namespace, name) => objects.secret(namespace, name), changed })
    this.#files = new PodFiles(parts)
    this.#sandboxes = new Sandboxes(parts)
    this.#starter = new ContainerStarter({ parts, images: this.#images, files: this.#files, changed })
    this.#stopper = new ContainerStopper({ parts, ended: (uid, retryInMs) => this.wakeAfter(uid, retryInMs) })
    this.#backoff = new Backoff(clock)
    this.#queue = new WorkQueue({
      clock, random, concurrency: 64, backoff: { initialMs: 250, maxMs: 10_000 },
      reconcile: (uid) => this.#reconcile(uid),
      onError: (error, uid) => this.#failed(uid, error, log),
    })
  }

  /** Takes in a pod as the API server has it. */
  put(pod: Pod): void {
    const { uid = '' } = pod.metadata
    const record = this.#records.get(uid)
    if (record === undefined) this.#records.set(uid, newRecord(pod, false))
    else record.pod = pod
    this.wake(uid)
  }

  /** Notes that the API server has the pod no more. */
  remove(pod: Pod): void {
    const { uid = '' } = pod.metadata
    const record = this.#records.get(uid) ?? newRecord(pod, true)
    const { deletionTimestamp = new Date(this.#parts.options.clock.now()).toISOString() } = pod.metadata
    record.pod = { ...pod, metadata: { ...pod.metadata, deletionTimestamp } }
    record.gone = true
    this.#records.set(uid, record)
    this.wake(uid)
  }

  wake(uid: string): void {
    if (this.#records.has(uid)) this.#queue.add(uid)
  }

  wakeAfter(uid: string, ms: number): void {
    if (ms <= 0) this.wake(uid)
    else if (this.#records.has(uid)) this.#queue.addAfter(uid, ms)
  }

  /** After the engine or the network came back. */
  wakeAll(): void {
    for (const uid of this.#records.keys()) this.wake(uid)
  }

  /** Compares the whole engine with what was last seen of it: wakes what differs, and ends what nobody wants. */
  async relist(): Promise<void> {
    const { runtime, directories, options: { clock } } = this.#parts
    const fingerprints = await this.#observer.fingerprints()
    for (const [uid, record] of this.#records) if (record.fingerprint !== (fingerprints.get(uid) ?? '')) this.wake(uid)
    const strange = [...fingerprints.keys()].filter((uid) => !this.#records.has(uid))
    for (const uid of strange) {
      const [sandbox] = await runtime.listSandboxes(uid)
      // Containers whose sandbox is lost carry enough to be found by, and nothing to be told by.
      const pod = sandbox === undefined ? departedPod({ id: '', metadata: { name: '', namespace: '', uid, attempt: 0 }, state: 'notReady', createdAtMs: 0, labels: {} }, clock.now()) : departedPod(sandbox, clock.now())
      if (!this.#records.has(uid)) this.remove(pod)
    }
    for (const uid of directories.uids()) if (!this.#records.has(uid)) await directories.remove(uid)
  }

  /** Stops working; pods are left running. */
  stop(): Promise<void> {
    return this.#queue.stop()
  }

  #failed(uid: string, error: unknown, log: KubeletParts['options']['log']): void {
    const record = this.#records.get(uid)
    log.warn('cannot bring a pod to what it should be, trying again', { pod: record === undefined ? uid : nameOf(record.pod), error })
  }

  async #reconcile(uid: string): Promise<ReconcileResult> {
    for (let step = 0; step < stepsMax; step += 1) {
      const record = this.#records.get(uid)
      if (record === undefined) return undefined
      const wake = await this.#step(uid, record)
      if (wake !== 'again') return wake === undefined ? undefined : { requeueAfterMs: wake.inMs }
    }
    return { requeueAfterMs: 1000 }
  }

  async #step(uid: string, record: Record): Promise<Wake> {
    const have = await this.#observer.observe(record.pod)
    record.fingerprint = fingerprintOf(have)
    const pod = withStatus(record)
    this.#probe(pod, have)
    const plan = this.#plan(uid, pod, have)
    const waiting = this.#waits(record, plan)
    if (!record.gone) this.#report(uid, record, pod, have, { ...plan, waiting })
    if (plan.stopped) return this.#stopped(uid, record, have)
    const changed = await this.#apply(record, pod, have, plan)
    if (changed) return 'again'
    await this.#refreshFiles(pod, have)
    const { clock } = this.#parts.options
    const held = [...record.holds.values()].flatMap(({ hold, untilMs }) => (hold.retryInMs === undefined ? [] : [untilMs - clock.now()]))
    const inMs = Math.min(plan.wakeInMs ?? Infinity, this.#files.renewInMs(uid), ...held)
    return Number.isFinite(inMs) ? { inMs: Math.max(1, inMs) } : undefined
  }

  #plan(uid: string, pod: Pod, have: PodState): Plan {
    const { clock } = this.#parts.options
    // A deletion may have less patience than what ends a container already.
    const graceSeconds = pod.metadata.deletionTimestamp === undefined ? Infinity : (pod.metadata.deletionGracePeriodSeconds ?? pod.spec.terminationGracePeriodSeconds ?? 30)
    return planPod({
      pod, have, nowMs: clock.now(),
      stopping: this.#stopper.stopping(graceSeconds),
      unhealthy: (id) => this.#prober.unhealthy(id) ?? this.#starter.hookFailure(id),
      started: (id) => this.#isStarted(id),
      backoffMs: (name, finishedAtMs) => this.#backoff.remainingMs(`${uid}/${name}`, finishedAtMs),
    })
  }

  #isStarted(id: string): boolean {
    return this.#prober.started(id) && this.#starter.isHookDone(id)
  }

  #probe(pod: Pod, have: PodState): void {
    const { uid = '', deletionTimestamp } = pod.metadata
    const running = have.containers.filter(({ state }) => state === 'running')
    for (const status of running) {
      const container = rolesOf(pod).find(({ container: { name } }) => name === status.name)?.container
      if (container === undefined) continue
      const before = this.#before(pod, status)
      this.#prober.ensure({
        pod, containerId: status.id, container, startedAtMs: status.startedAtMs ?? status.createdAtMs,
        podIP: have.addresses?.[0] ?? this.#parts.options.nodeAddresses[0] ?? '',
        ...(before === undefined ? {} : { before }),
      })
      if (deletionTimestamp !== undefined) this.#prober.keepReadinessOnly(status.id)
    }
    this.#prober.retain(uid, new Set(running.map(({ id }) => id)))
  }

  #before({ status }: Pod, { id }: RuntimeContainerStatus): { ready: boolean; started: boolean } | undefined {
    const containerID = `${this.#parts.runtime.name}://${id}`
    const told = [...(status?.containerStatuses ?? []), ...(status?.initContainerStatuses ?? [])].find((entry) => entry.containerID === containerID)
    return told === undefined ? undefined : { ready: told.ready, started: told.started === true }
  }

  /** Everything that containers wait for, by name: what the plan knows, and what the last attempt to start met. */
  #waits(record: Record, plan: Plan): Map<string, { reason: string; message: string }> {
    const waiting = new Map(plan.waiting)
    const starting = new Set(plan.operations.flatMap((operation) => (operation.kind === 'startContainer' ? [operation.name] : [])))
    for (const [name, { hold }] of record.holds) {
      if (starting.has(name)) waiting.set(name, { reason: hold.reason, message: hold.message })
      else record.holds.delete(name)
    }
    for (const [name, { reason }] of plan.waiting) {
      if (reason !== 'CrashLoopBackOff' || record.told.has(name)) continue
      record.told.add(name)
      this.#parts.events.event(eventTarget(record.pod, name), 'Warning', 'BackOff', `Back-off restarting failed container ${name} in pod ${record.pod.metadata.name}`)
    }
    return waiting
  }

  #report(uid: string, record: Record, pod: Pod, have: PodState, plan: Plan): void {
    const { runtime, options } = this.#parts
    record.status = statusOf({
      pod, have, plan, nowMs: options.clock.now(), runtimeName: runtime.name, hostIPs: options.nodeAddresses,
      ready: (id) => this.#prober.ready(id) && this.#starter.isHookDone(id),
      started: (id) => this.#isStarted(id),
    })
    this.#statuses.want(uid, record.status)
  }

  /** Nothing of the pod runs. Its object goes once its last status is written, and then its traces. */
  async #stopped(uid: string, record: Record, have: PodState): Promise<Wake> {
    const { pod, gone } = record
    if (gone) {
      await this.#forget(uid, have)
      return undefined
    }
    this.#images.cancel(uid)
    if (pod.metadata.deletionTimestamp === undefined || record.deletionSent) return undefined
    await this.#statuses.settled(uid)
    const { namespace, name = '' } = pod.metadata
    try {
      await this.#parts.options.client.delete(pods, { namespace, name }, { gracePeriodSeconds: 0, preconditions: { uid } })
    } catch (error) {
      // Gone already, or another pod of that name by now: the watch will tell.
      if (!isNotFound(error) && !isConflict(error)) throw error
    }
    record.deletionSent = true
    return undefined
  }

  async #forget(uid: string, have: PodState): Promise<void> {
    const { runtime, directories } = this.#parts
    this.#images.cancel(uid)
    await Promise.all(have.containers.map(({ id }) => runtime.removeContainer(id)))
    await Promise.all(have.sandboxes.map(({ id }) => this.#sandboxes.remove(id)))
    await directories.remove(uid)
    this.#files.release(uid)
    this.#statuses.forget(uid)
    this.#prober.retain(uid, new Set())
    this.#backoff.forget(`${uid}/`)
    this.#observer.forget(have)
    this.#starter.forget(have.containers.map(({ id }) => id))
    this.#records.delete(uid)
  }

  /** Whether something is different now, so that it is worth looking again at once. */
  async #apply(record: Record, pod: Pod, have: PodState, plan: Plan): Promise<boolean> {
    const { runtime } = this.#parts
    let changed = false
    for (const operation of plan.operations) {
      if (operation.kind === 'stopContainer') this.#stopper.begin(pod, this.#withProbeGrace(pod, operation), have.addresses?.[0] ?? '')
      else if (operation.kind === 'removeContainer') await runtime.removeContainer(operation.id)
      else if (operation.kind !== 'startContainer') {
        await this.#applyToSandbox(pod, operation)
        changed = true
      }
    }
    const starts = plan.operations.filter((operation) => operation.kind === 'startContainer')
    const started = await this.#start(record, pod, have, starts)
    return changed || started
  }

  /** A liveness probe may have a grace period of its own. */
  #withProbeGrace(pod: Pod, operation: Extract<Operation, { kind: 'stopContainer' }>): Extract<Operation, { kind: 'stopContainer' }> {
    const container = rolesOf(pod).find(({ container: { name } }) => name === operation.name)?.container
    const failed = this.#prober.unhealthy(operation.id) === undefined || pod.metadata.deletionTimestamp !== undefined ? undefined
      : this.#prober.started(operation.id) ? container?.livenessProbe : container?.startupProbe
    const graceSeconds = failed?.terminationGracePeriodSeconds
    return graceSeconds === undefined ? operation : { ...operation, graceSeconds }
  }

  async #applyToSandbox(pod: Pod, operation: Extract<Operation, { kind: 'stopSandbox' | 'removeSandbox' | 'createSandbox' }>): Promise<void> {
    if (operation.kind === 'stopSandbox') return this.#sandboxes.stop(operation.id)
    if (operation.kind === 'removeSandbox') return this.#sandboxes.remove(operation.id)
    // Volumes and images are looked after meanwhile; what fails there is said when the containers are to start.
    const { networkError } = this.#parts.health
    if (networkError !== undefined && pod.spec.hostNetwork !== true) {
      this.#parts.events.event(eventTarget(pod), 'Warning', 'NetworkNotReady', `network is not ready: ${networkError}`)
      throw new Error(`Cannot create a sandbox for ${nameOf(pod)}: network is not ready: ${networkError}`)
    }
    const [made] = await Promise.allSettled([this.#turns.take(0, () => this.#sandboxes.create(pod, operation.attempt)), this.#files.volumes(pod)])
    if (made.status === 'fulfilled') return undefined
    this.#parts.events.event(eventTarget(pod), 'Warning', 'FailedCreatePodSandBox', `Failed to create pod sandbox: ${(made.reason as Error).message}`)
    throw made.reason
  }

  async #start(record: Record, pod: Pod, have: PodState, operations: readonly Extract<Operation, { kind: 'startContainer' }>[]): Promise<boolean> {
    const { options: { clock } } = this.#parts
    const [sandbox] = have.sandboxes
    const due = operations.filter(({ name }) => (record.holds.get(name)?.untilMs ?? 0) <= clock.now())
    if (due.length === 0 || sandbox === undefined) return false
    const volumes = await this.#volumes(pod)
    const results = await Promise.all(due.map(async ({ name, role, attempt, failedAtMs }) => {
      const container = rolesOf(pod).find((entry) => entry.container.name === name && entry.role === role)?.container
      if (container === undefined) return false
      const hold = await this.#turns.take(1, () => this.#starter.start({ pod, container, attempt, sandbox, podIPs: have.addresses ?? [], volumes }))
      if (hold === undefined) {
        record.holds.delete(name)
        record.told.delete(name)
        if (failedAtMs !== undefined) this.#backoff.next(`${pod.metadata.uid}/${name}`, failedAtMs)
        return true
      }
      const known = record.holds.get(name)?.hold
      record.holds.set(name, { hold, untilMs: hold.retryInMs === undefined ? 0 : clock.now() + hold.retryInMs })
      return known?.reason !== hold.reason || known.message !== hold.message
    }))
    return results.includes(true)
  }

  async #volumes(pod: Pod): ReturnType<PodFiles['volumes']> {
    try {
      return await this.#files.volumes(pod)
    } catch (error) {
      if (error instanceof VolumeError) this.#parts.events.event(eventTarget(pod), 'Warning', 'FailedMount', error.message)
      throw error
    }
  }

  /** Config maps, secrets, labels and tokens that changed reach the files of a running pod. */
  async #refreshFiles(pod: Pod, have: PodState): Promise<void> {
    if (pod.metadata.deletionTimestamp === undefined && have.containers.some(({ state }) => state === 'running')) await this.#volumes(pod)
  }
}

function newRecord(pod: Pod, gone: boolean): Record {
  return { pod, gone, status: undefined, holds: new Map(), fingerprint: '', told: new Set(), deletionSent: false }
}

function nameOf({ metadata: { namespace, name } }: Pod): string {
  return `${namespace}/${name}`
}

function fingerprintOf({ sandboxes, containers }: PodState): string {
  return [...sandboxes.map(({ id, state }) => `${id} ${state === 'ready'}`), ...containers.map(({ id, state }) => `${id} ${state === 'running'}`)].sort().join()
}

/** The pod with the status that we have worked out last, which the API server may not have yet; conditions of others are as the API server has them. */
function withStatus({ pod, status }: Record): Pod {
  if (status === undefined) return pod
  const others = (pod.status?.conditions ?? []).filter(({ type }) => !kubeletConditions.has(type))
  const ours = (status.conditions ?? []).filter(({ type }) => kubeletConditions.has(type))
  return { ...pod, status: { ...pod.status, ...status, conditions: [...ours, ...others] } }
}
