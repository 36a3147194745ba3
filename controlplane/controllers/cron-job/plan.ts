/** Which jobs a cron job starts, ends and forgets. Pure. */
import { jobs } from '../../../api/resources.ts'
import type { CronJob, Job, ObjectReference } from '../../../api/types.ts'
import { conditionOf } from '../status.ts'
import { timestamp } from '../timestamp.ts'
import type { Schedule } from '../../../api/schedule.ts'

const scheduledAnnotation = 'batch.kubernetes.io/cronjob-scheduled-timestamp'
export interface CronView {
  readonly cron: CronJob
  readonly schedule: Schedule
  /** All jobs of the cron job. */
  readonly jobs: readonly Job[]
  /** In ms. */
  readonly now: number
}

export interface CronPlan {
  readonly create?: { readonly scheduledMs: number; readonly name: string }
  readonly delete: readonly Job[]
  /** Why a due time was let pass. */
  readonly skipped?: { readonly reason: 'JobAlreadyActive' | 'MissSchedule'; readonly message: string }
  readonly status: NonNullable<CronJob['status']>
  readonly againAfterMs?: number
}

function endOf({ status }: Job): 'Complete' | 'Failed' | undefined {
  return (['Complete', 'Failed'] as const).find((type) => conditionOf(status?.conditions, type)?.status === 'True')
}

export function planCron(view: CronView): CronPlan {
  const { cron, schedule, jobs: all, now } = view
  const { suspend = false, concurrencyPolicy = 'Allow' } = cron.spec
  const active = all.filter((job) => endOf(job) === undefined && job.metadata.deletionTimestamp === undefined)
  const old = outlived(view)
  const next = schedule.next(now)
  const again = next === undefined || suspend ? {} : { againAfterMs: next - now }
  const due = suspend || cron.metadata.deletionTimestamp !== undefined ? undefined : dueTime(view)
  const nothing: CronPlan = { delete: old, status: statusOf(view, active), ...again }
  if (due === undefined) return nothing
  const { startingDeadlineSeconds } = cron.spec
  if (startingDeadlineSeconds !== undefined && due + startingDeadlineSeconds * 1000 < now) {
    return { ...nothing, skipped: { reason: 'MissSchedule', message: `Missed scheduled time to start a job: ${timestamp(due)}` } }
  }
  if (concurrencyPolicy === 'Forbid' && active.length > 0) return { ...nothing, skipped: { reason: 'JobAlreadyActive', message: 'Not starting job because prior execution is running and concurrency policy is Forbid' } }
  const replaced = concurrencyPolicy === 'Replace' ? active : []
  const name = `${(cron.metadata.name ?? '').slice(0, 52)}-${Math.floor(due / 60_000)}`
  return {
    create: { scheduledMs: due, name }, delete: [...old, ...replaced],
    status: { ...statusOf(view, active.filter((job) => !replaced.includes(job))), lastScheduleTime: timestamp(due) },
    ...again,
  }
}

/** The latest time since the last start that has come; earlier ones that were missed are not made up for. */
function dueTime({ cron, schedule, now }: CronView): number | undefined {
  const begin = Date.parse(cron.status?.lastScheduleTime ?? cron.metadata.creationTimestamp ?? timestamp(now))
  const { startingDeadlineSeconds } = cron.spec
  const from = startingDeadlineSeconds === undefined ? begin : Math.max(begin, now - startingDeadlineSeconds * 1000)
  // The last hour first: after a long sleep there may be very many.
  for (const windowMs of [3_600_000, 24 * 3_600_000, 32 * 24 * 3_600_000, Infinity]) {
    const start = Math.max(from, now - windowMs)
    let due: number | undefined
    for (let next = schedule.next(start); next !== undefined && next <= now; next = schedule.next(next)) due = next
    if (due !== undefined || start === from) return due
  }
  return undefined
}

function outlived({ cron, jobs: all }: CronView): Job[] {
  const { successfulJobsHistoryLimit = 3, failedJobsHistoryLimit = 1 } = cron.spec
  const oldest = (end: 'Complete' | 'Failed', limit: number): Job[] => {
    const ended = all.filter((job) => endOf(job) === end && job.metadata.deletionTimestamp === undefined).sort((a, b) => (a.status?.startTime ?? '').localeCompare(b.status?.startTime ?? ''))
    return ended.slice(0, Math.max(0, ended.length - limit))
  }
  return [...oldest('Complete', successfulJobsHistoryLimit), ...oldest('Failed', failedJobsHistoryLimit)]
}

function statusOf({ cron, jobs: all }: CronView, active: readonly Job[]): NonNullable<CronJob['status']> {
  const successes = all.flatMap((job) => (endOf(job) === 'Complete' ? (job.status?.completionTime ?? []) : []))
  const lastSuccessfulTime = [...successes, cron.status?.lastSuccessfulTime ?? ''].sort().at(-1) ?? ''
  const { lastScheduleTime } = cron.status ?? {}
  return {
    ...(active.length === 0 ? {} : { active: active.map(referenceTo) }),
    ...(lastScheduleTime === undefined ? {} : { lastScheduleTime }),
    ...(lastSuccessfulTime === '' ? {} : { lastSuccessfulTime }),
  }
}

export function referenceTo({ metadata }: Job): ObjectReference {
  const { namespace = '', name = '', uid = '', resourceVersion = '' } = metadata
  return { apiVersion: `${jobs.group}/${jobs.version}`, kind: jobs.kind, namespace, name, uid, resourceVersion }
}

export function jobMetadata({ spec }: CronJob, scheduledMs: number): Pick<Job['metadata'], 'labels' | 'annotations'> {
  const { labels = {}, annotations = {} } = spec.jobTemplate.metadata ?? {}
  return { labels: { ...labels }, annotations: { ...annotations, [scheduledAnnotation]: timestamp(scheduledMs) } }
}
