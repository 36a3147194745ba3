/** Runs the pods of each Job until enough have succeeded, or too many failed. */
import { isNamespaceTerminating, isNotFound } from '../../../api/client.ts'
import { objectKey } from '../../../api/informer.ts'
import type { Informer } from '../../../api/informer.ts'
import { jobs, pods } from '../../../api/resources.ts'
import type { Job, Pod } from '../../../api/types.ts'
import type { ReconcileResult, WorkQueue } from '../../../api/work-queue.ts'
import { equalJson, randomName } from '../canonical.ts'
import { eventsOf, queueOf } from '../controller.ts'
import type { Controller, ControllerContext } from '../controller.ts'
import { claimable, controllerOf, indexByController, isControlledBy } from '../ownership.ts'
import { OwnWrites } from '../own-writes.ts'
import { podFromTemplate } from '../pod-from-template.ts'
import { slowStart } from '../slow-start.ts'
import { conditionOf } from '../status.ts'
import { indexAnnotation, isJobFinished, isTracked, planJob, trackingFinalizer } from './plan.ts'
import type { Failures, JobPlan } from './plan.ts'

export function jobController(context: ControllerContext): Controller {
  return new JobController(context)
}

class JobController implements Controller {
  readonly #context: ControllerContext
  readonly #jobs: Informer<Job>
  readonly #pods: Informer<Pod>
  readonly #own: OwnWrites<Pod>
  /** Counts are only ever moved on from the latest ones. */
  readonly #ownJobs: OwnWrites<Job>
  /** By uid of the job. */
  readonly #failures = new Map<string, Failures>()
  readonly #queue: WorkQueue
  readonly #events

  constructor(context: ControllerContext) {
    this.#context = context
    this.#jobs = context.informers.informer(jobs)
    this.#pods = context.informers.informer(pods)
    indexByController(this.#pods)
    this.#queue = queueOf(context, 'job', (key) => this.#reconcile(key))
    this.#own = new OwnWrites(this.#pods, { ...context, onLost: (pod) => this.#podChanged(pod) })
    this.#ownJobs = new OwnWrites(this.#jobs, { ...context, onLost: (job) => this.#queue.add(objectKey(job)) })
    this.#events = eventsOf(context, 'job')
  }

  start(): void {
    this.#own.start()
    this.#ownJobs.start()
    this.#jobs.onChange(({ old, new: job }) => {
      if (job !== undefined) this.#queue.add(objectKey(job))
      else if (old !== undefined) this.#failures.delete(old.metadata.uid ?? '')
    })
    this.#pods.onChange(({ old, new: pod }) => {
      const changed = pod ?? old
      if (changed !== undefined) this.#podChanged(changed)
    })
  }

  async stop(): Promise<void> {
    await this.#queue.stop()
    this.#own.stop()
    this.#ownJobs.stop()
    await this.#events.flush()
  }

  #podChanged(pod: Pod): void {
    const owner = controllerOf(pod)
    if (owner?.kind !== 'Job') return
    const key = `${pod.metadata.namespace ?? ''}/${owner.name}`
    const job = this.#jobs.getByKey(key)
    if (job?.metadata.uid === owner.uid) this.#queue.add(key)
    // Its job is gone: nobody counts it any more.
    else if (job === undefined && isTracked(pod)) void this.#release(pod).catch((error: unknown) => this.#context.log.warn('cannot release a pod of a job that is gone', { pod: objectKey(pod), error }))
  }

  async #reconcile(key: string): Promise<ReconcileResult> {
    const cached = this.#jobs.getByKey(key)
    if (cached === undefined) return
    const [job = cached] = this.#ownJobs.over([cached], (other) => objectKey(other) === key)
    const { clock } = this.#context
    const { uid = '' } = job.metadata
    const owned = claimable(this.#pods, this.#own, job).filter((pod) => isControlledBy(pod, job))
    if (job.metadata.deletionTimestamp !== undefined) return void (await Promise.all(owned.filter(isTracked).map((pod) => this.#release(pod))))
    const plan = planJob({ job, pods: owned, failures: this.#failures.get(uid) ?? { count: 0, lastMs: 0 }, now: clock.now() })
    // The status first: a pod that may go must stand in it. On an older state of the job, nothing follows.
    if (!equalJson(plan.status, job.status)) await this.#writeStatus(job, plan)
    this.#failures.set(uid, plan.failures)
    await Promise.all(plan.release.map((pod) => this.#release(pod)))
    await this.#delete(job, plan.delete)
    const error = await this.#create(job, plan.create)
    if (error !== undefined) throw error
    if (isJobFinished(job)) return this.#expire(job)
    return plan.againAfterMs === undefined ? undefined : { requeueAfterMs: plan.againAfterMs }
  }

  async #writeStatus(job: Job, { status }: JobPlan): Promise<void> {
    try {
      this.#ownJobs.wrote(await this.#context.client.updateStatus(jobs, { ...job, status }))
    } catch (error) {
      if (!isNotFound(error)) throw error
      return
    }
    for (const type of ['Complete', 'Failed'] as const) {
      const condition = conditionOf(status.conditions, type)
      if (condition?.status !== 'True' || conditionOf(job.status?.conditions, type)?.status === 'True') continue
      const [kind, reason, message] = type === 'Complete' ? (['Normal', 'Completed', 'Job completed'] as const) : (['Warning', condition.reason ?? '', condition.message ?? ''] as const)
      this.#events.event({ ...job, kind: 'Job', apiVersion: 'batch/v1' }, kind, reason, message)
    }
  }

  async #release(pod: Pod): Promise<void> {
    const { namespace, name = '', uid } = pod.metadata
    try {
      this.#own.wrote(await this.#context.client.patch(pods, { namespace, name }, { metadata: { uid, '$deleteFromPrimitiveList/finalizers': [trackingFinalizer] } }, { type: 'strategic' }))
    } catch (error) {
      if (!isNotFound(error)) throw error
    }
  }

  async #delete(job: Job, surplus: readonly Pod[]): Promise<void> {
    await Promise.all(surplus.map(async (pod) => {
      const { namespace, name = '', uid = '' } = pod.metadata
      try {
        this.#own.deleted(pod, await this.#context.client.delete(pods, { namespace, name }, { preconditions: { uid } }))
        this.#events.event({ ...job, kind: 'Job', apiVersion: 'batch/v1' }, 'Normal', 'SuccessfulDelete', `Deleted pod: ${name}`)
      } catch (error) {
        if (!isNotFound(error)) throw error
      }
    }))
  }

  async #create(job: Job, indexes: readonly number[]): Promise<unknown> {
    const { error } = await slowStart(indexes, async (index) => {
      const pod = await this.#context.client.create(pods, this.#newPod(job, index))
      this.#own.wrote(pod)
      this.#events.event({ ...job, kind: 'Job', apiVersion: 'batch/v1' }, 'Normal', 'SuccessfulCreate', `Created pod: ${pod.metadata.name ?? ''}`)
    })
    if (error === undefined || isNamespaceTerminating(error)) return undefined
    this.#events.event({ ...job, kind: 'Job', apiVersion: 'batch/v1' }, 'Warning', 'FailedCreate', `Error creating: ${error instanceof Error ? error.message : JSON.stringify(error)}`)
    return error
  }

  #newPod(job: Job, index: number): Pod {
    const { random } = this.#context
    const pod = podFromTemplate(job.spec.template, job, jobs, random)
    const tracked = { ...pod, metadata: { ...pod.metadata, finalizers: [...(pod.metadata.finalizers ?? []), trackingFinalizer] } }
    return index < 0 ? tracked : indexed(tracked, `${job.metadata.name ?? ''}-${index}`, index, random)
  }

  /** Deletes a finished job when its time is over. */
  async #expire({ metadata, spec, status }: Job): Promise<ReconcileResult> {
    if (spec.ttlSecondsAfterFinished === undefined) return
    const { namespace, name = '', uid = '' } = metadata
    const ended = ['Complete', 'Failed'].flatMap((type) => conditionOf(status?.conditions, type)?.lastTransitionTime ?? [])[0] ?? ''
    const leftMs = Date.parse(ended) + spec.ttlSecondsAfterFinished * 1000 - this.#context.clock.now()
    if (leftMs > 0) return { requeueAfterMs: leftMs }
    try {
      await this.#context.client.delete(jobs, { namespace, name }, { propagationPolicy: 'Foreground', preconditions: { uid } })
    } catch (error) {
      if (!isNotFound(error)) throw error
    }
  }
}

/** A pod that knows which piece of the work it has: by annotation, label, environment and hostname. */
function indexed(pod: Pod, base: string, index: number, random: () => number): Pod {
  const value = String(index)
  const fieldRef = { fieldPath: `metadata.annotations['${indexAnnotation}']` }
  const withEnv = <T extends { env?: Pod['spec']['containers'][number]['env'] }>(container: T): T => ({ ...container, env: [...(container.env ?? []), { name: 'JOB_COMPLETION_INDEX', valueFrom: { fieldRef } }] })
  const { metadata, spec } = pod
  return {
    ...pod,
    metadata: { ...metadata, name: randomName(`${base}-`, random), generateName: `${base}-`, labels: { ...metadata.labels, [indexAnnotation]: value }, annotations: { ...metadata.annotations, [indexAnnotation]: value } },
    spec: { ...spec, hostname: base, containers: spec.containers.map(withEnv), ...(spec.initContainers === undefined ? {} : { initContainers: spec.initContainers.map(withEnv) }) },
  }
}
