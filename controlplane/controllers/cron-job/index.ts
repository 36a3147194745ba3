/** Starts the Jobs of each CronJob when they are due. */
import { isAlreadyExists, isNotFound } from '../../../api/client.ts'
import { objectKey } from '../../../api/informer.ts'
import type { Informer } from '../../../api/informer.ts'
import { cronJobs, jobs } from '../../../api/resources.ts'
import { parseSchedule } from '../../../api/schedule.ts'
import type { Schedule } from '../../../api/schedule.ts'
import type { CronJob, Job } from '../../../api/types.ts'
import type { ReconcileResult, WorkQueue } from '../../../api/work-queue.ts'
import { equalJson } from '../canonical.ts'
import { eventsOf, queueOf } from '../controller.ts'
import type { Controller, ControllerContext } from '../controller.ts'
import { claimable, controllerOf, controllerReference, indexByController, isControlledBy } from '../ownership.ts'
import { OwnWrites } from '../own-writes.ts'
import { jobMetadata, planCron, referenceTo } from './plan.ts'

export function cronJobController(context: ControllerContext): Controller {
  return new CronJobController(context)
}

class CronJobController implements Controller {
  readonly #context: ControllerContext
  readonly #crons: Informer<CronJob>
  readonly #jobs: Informer<Job>
  readonly #own: OwnWrites<Job>
  readonly #ownCrons: OwnWrites<CronJob>
  readonly #queue: WorkQueue
  readonly #events

  constructor(context: ControllerContext) {
    this.#context = context
    this.#crons = context.informers.informer(cronJobs)
    this.#jobs = context.informers.informer(jobs)
    indexByController(this.#jobs)
    this.#queue = queueOf(context, 'cron-job', (key) => this.#reconcile(key))
    this.#own = new OwnWrites(this.#jobs, { ...context, onLost: (job) => this.#jobChanged(job) })
    this.#ownCrons = new OwnWrites(this.#crons, { ...context, onLost: (cron) => this.#queue.add(objectKey(cron)) })
    this.#events = eventsOf(context, 'cronjob')
  }

  start(): void {
    this.#own.start()
    this.#ownCrons.start()
    this.#crons.onChange(({ new: cron }) => {
      if (cron !== undefined) this.#queue.add(objectKey(cron))
    })
    this.#jobs.onChange(({ old, new: job }) => {
      const changed = job ?? old
      if (changed !== undefined) this.#jobChanged(changed)
    })
  }

  async stop(): Promise<void> {
    await this.#queue.stop()
    this.#own.stop()
    this.#ownCrons.stop()
    await this.#events.flush()
  }

  #jobChanged(job: Job): void {
    const owner = controllerOf(job)
    if (owner?.kind === 'CronJob') this.#queue.add(`${job.metadata.namespace ?? ''}/${owner.name}`)
  }

  async #reconcile(key: string): Promise<ReconcileResult> {
    const cached = this.#crons.getByKey(key)
    if (cached === undefined) return
    const [cron = cached] = this.#ownCrons.over([cached], (other) => objectKey(other) === key)
    const schedule = this.#scheduleOf(cron)
    if (schedule === undefined) return
    const owned = claimable(this.#jobs, this.#own, cron).filter((job) => isControlledBy(job, cron))
    const plan = planCron({ cron, schedule, jobs: owned, now: this.#context.clock.now() })
    if (plan.skipped !== undefined) this.#events.event({ ...cron, kind: 'CronJob', apiVersion: 'batch/v1' }, plan.skipped.reason === 'JobAlreadyActive' ? 'Normal' : 'Warning', plan.skipped.reason, plan.skipped.message)
    for (const job of plan.delete) await this.#delete(cron, job)
    let { status } = plan
    if (plan.create !== undefined) {
      const job = await this.#create(cron, plan.create)
      if (job !== undefined) status = { ...status, active: [...(status.active ?? []), referenceTo(job)] }
    }
    if (!equalJson(bare(status), bare(cron.status))) await this.#writeStatus(cron, status)
    return plan.againAfterMs === undefined ? undefined : { requeueAfterMs: plan.againAfterMs }
  }

  #scheduleOf(cron: CronJob): Schedule | undefined {
    try {
      return parseSchedule(cron.spec.schedule, cron.spec.timeZone)
    } catch (error) {
      // Nothing to try again until someone changes it.
      this.#events.event({ ...cron, kind: 'CronJob', apiVersion: 'batch/v1' }, 'Warning', 'UnparseableSchedule', error instanceof Error ? error.message : String(error))
      return undefined
    }
  }

  async #create(cron: CronJob, { name, scheduledMs }: { readonly name: string; readonly scheduledMs: number }): Promise<Job | undefined> {
    const { namespace } = cron.metadata
    const metadata = { name, ...(namespace === undefined ? {} : { namespace }), ...jobMetadata(cron, scheduledMs), ownerReferences: [controllerReference(cronJobs, cron)] }
    try {
      const job = await this.#context.client.create(jobs, { apiVersion: 'batch/v1', kind: 'Job', metadata, spec: structuredClone(cron.spec.jobTemplate.spec) })
      this.#own.wrote(job)
      this.#events.event({ ...cron, kind: 'CronJob', apiVersion: 'batch/v1' }, 'Normal', 'SuccessfulCreate', `Created job ${name}`)
      return job
    } catch (error) {
      // Started already, by us before a restart: the name says for which minute.
      if (isAlreadyExists(error)) return undefined
      throw error
    }
  }

  async #delete(cron: CronJob, job: Job): Promise<void> {
    const { namespace, name = '', uid = '' } = job.metadata
    try {
      this.#own.deleted(job, await this.#context.client.delete(jobs, { namespace, name }, { propagationPolicy: 'Background', preconditions: { uid } }))
      this.#events.event({ ...cron, kind: 'CronJob', apiVersion: 'batch/v1' }, 'Normal', 'SuccessfulDelete', `Deleted job ${name}`)
    } catch (error) {
      if (!isNotFound(error)) throw error
    }
  }

  async #writeStatus(cron: CronJob, status: NonNullable<CronJob['status']>): Promise<void> {
    try {
      this.#ownCrons.wrote(await this.#context.client.updateStatus(cronJobs, { ...cron, status }))
    } catch (error) {
      if (!isNotFound(error)) throw error
    }
  }
}

/** Without the revisions of active jobs, which change all the time. */
function bare(status: CronJob['status']): unknown {
  return { ...status, active: (status?.active ?? []).map(({ uid }) => uid) }
}
