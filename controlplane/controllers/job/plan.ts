/**
 * What a job does next. Pure. A pod that ends is counted exactly once, even if it is deleted right after: it holds a finalizer until
 * its uid stands in the job's status, and the count goes up when the finalizer is off (KEP-2307).
 */
import type { Condition, Job, Pod } from '../../../api/types.ts'
import { conditionOf, counts, withCondition } from '../status.ts'
import { isActive, isReady, isTerminating } from '../pod-state.ts'
import { timestamp } from '../timestamp.ts'
import { formatIndexes, parseIndexes } from './indexes.ts'

export const trackingFinalizer = 'batch.kubernetes.io/job-tracking'
export const indexAnnotation = 'batch.kubernetes.io/job-completion-index'

export type JobStatus = NonNullable<Job['status']>

/** How often pods failed since one succeeded; and when the last did, in ms. */
export interface Failures {
  readonly count: number
  readonly lastMs: number
}

export interface JobView {
  readonly job: Job
  /** All pods of the job. */
  readonly pods: readonly Pod[]
  readonly failures: Failures
  /** In ms. */
  readonly now: number
}

export interface JobPlan {
  readonly status: JobStatus
  /** Indexes of pods to make; of a job without indexes only their number counts. */
  readonly create: readonly number[]
  readonly delete: readonly Pod[]
  /** Pods that may lose their finalizer once the status is written. */
  readonly release: readonly Pod[]
  readonly failures: Failures
  readonly againAfterMs?: number
}

/** job_controller.go: DefaultJobPodFailureBackOff, MaxJobPodFailureBackOff. */
const backoffMs = { initial: 10_000, max: 600_000 }
/** No more pods than this are made or deleted in one pass. */
const burstMax = 500

export function isTracked({ metadata }: Pod): boolean {
  return (metadata.finalizers ?? []).includes(trackingFinalizer)
}

export function isJobFinished({ status }: Job): boolean {
  return ['Complete', 'Failed'].some((type) => conditionOf(status?.conditions, type)?.status === 'True')
}

function indexOf({ metadata }: Pod): number {
  return Number(metadata.annotations?.[indexAnnotation] ?? -1)
}

/** A pod that is being deleted counts as failed at once, unless the job replaces only what has really failed. */
function outcomeOf(pod: Pod, { spec }: Job): 'succeeded' | 'failed' | undefined {
  if (pod.status?.phase === 'Succeeded') return 'succeeded'
  if (pod.status?.phase === 'Failed') return 'failed'
  return isTerminating(pod) && spec.podReplacementPolicy !== 'Failed' ? 'failed' : undefined
}

interface Tally {
  readonly counted: { readonly succeeded: number; readonly failed: number }
  readonly uncounted: { readonly succeeded: readonly string[]; readonly failed: readonly string[] }
  readonly fresh: { readonly succeeded: readonly Pod[]; readonly failed: readonly Pod[] }
  readonly indexes: ReadonlySet<number>
}

/** Moves pods on: seen to have ended, written down, counted. */
function tally({ job, pods }: JobView): Tally {
  const { succeeded = [], failed = [] } = job.status?.uncountedTerminatedPods ?? {}
  const tracked = new Map(pods.filter(isTracked).map((pod) => [pod.metadata.uid ?? '', pod]))
  const isIndexed = job.spec.completionMode === 'Indexed'
  const indexes = parseIndexes(job.status?.completedIndexes ?? '')
  const fresh = { succeeded: [] as Pod[], failed: [] as Pod[] }
  for (const [uid, pod] of tracked) {
    const outcome = outcomeOf(pod, job)
    if (outcome === undefined || succeeded.includes(uid) || failed.includes(uid)) continue
    // Two successes of one index are one.
    if (isIndexed && outcome === 'succeeded') indexes.add(indexOf(pod))
    fresh[outcome].push(pod)
  }
  const still = (uids: readonly string[]): string[] => uids.filter((uid) => tracked.has(uid))
  const uids = (list: readonly Pod[]): string[] => list.map(({ metadata }) => metadata.uid ?? '')
  return {
    counted: { succeeded: (job.status?.succeeded ?? 0) + succeeded.length - still(succeeded).length, failed: (job.status?.failed ?? 0) + failed.length - still(failed).length },
    uncounted: { succeeded: [...still(succeeded), ...uids(fresh.succeeded)], failed: [...still(failed), ...uids(fresh.failed)] },
    fresh, indexes,
  }
}

export function planJob(view: JobView): JobPlan {
  const { job, pods, now } = view
  const { spec, status = {} } = job
  const { counted, uncounted, fresh, indexes } = tally(view)
  const isIndexed = spec.completionMode === 'Indexed'
  const succeeded = isIndexed ? indexes.size : counted.succeeded + uncounted.succeeded.length
  const failed = counted.failed + uncounted.failed.length
  const active = pods.filter((pod) => isActive(pod) && outcomeOf(pod, job) === undefined)
  const ending = pods.filter((pod) => isTerminating(pod) && pod.status?.phase !== 'Succeeded' && pod.status?.phase !== 'Failed')
  const failures = failuresAfter(view.failures, fresh, now)
  const verdict = judge(view, { succeeded, failed, active })
  const suspended = spec.suspend === true
  const base = {
    ...view, succeeded, active, ending, indexes, failures,
    suspended, done: verdict !== undefined,
  }
  const step = isJobFinished(job) ? { create: [], delete: [] } : planPods(base)
  const startTime = suspended ? undefined : (status.startTime ?? timestamp(now))
  const settled = uncounted.succeeded.length + uncounted.failed.length === 0
  const conditions = conditionsOf(view, verdict, settled && active.length === 0 && ending.length === 0)
  const isComplete = conditionOf(conditions, 'Complete')?.status === 'True'
  const next: JobStatus = {
    ...counts({ active: active.length, ready: active.filter(isReady).length, terminating: ending.length, succeeded: isIndexed ? succeeded : counted.succeeded, failed: counted.failed }),
    ...(startTime === undefined ? {} : { startTime }),
    ...(isComplete ? { completionTime: status.completionTime ?? timestamp(now) } : {}),
    ...(isIndexed && indexes.size > 0 ? { completedIndexes: formatIndexes(indexes) } : {}),
    uncountedTerminatedPods: { ...(uncounted.succeeded.length === 0 ? {} : { succeeded: [...uncounted.succeeded] }), ...(uncounted.failed.length === 0 ? {} : { failed: [...uncounted.failed] }) },
    ...(conditions.length === 0 ? {} : { conditions }),
  }
  const written = new Set([...uncounted.succeeded, ...uncounted.failed])
  // What we delete ourselves has not failed: it is not counted.
  const release = pods.filter((pod) => isTracked(pod) && (written.has(pod.metadata.uid ?? '') || step.delete.includes(pod) || isJobFinished(job)))
  const deadlineMs = spec.activeDeadlineSeconds === undefined || startTime === undefined || verdict !== undefined ? undefined : Math.max(0, Date.parse(startTime) + spec.activeDeadlineSeconds * 1000 - now)
  const waits = [deadlineMs, step.againAfterMs].filter((ms) => ms !== undefined)
  return { status: next, ...step, release, failures, ...(waits.length === 0 ? {} : { againAfterMs: Math.min(...waits) }) }
}

function failuresAfter({ count, lastMs }: Failures, fresh: Tally['fresh'], now: number): Failures {
  if (fresh.failed.length > 0) return { count: (fresh.succeeded.length > 0 ? 0 : count) + fresh.failed.length, lastMs: now }
  return fresh.succeeded.length > 0 ? { count: 0, lastMs } : { count, lastMs }
}

interface Verdict {
  readonly type: 'Complete' | 'Failed'
  readonly reason: string
  readonly message: string
}

/** How the job ends, if it does. A verdict once given stands. */
function judge({ job, now }: JobView, { succeeded, failed, active }: { readonly succeeded: number; readonly failed: number; readonly active: readonly Pod[] }): Verdict | undefined {
  const { spec, status } = job
  for (const [sign, type] of [['FailureTarget', 'Failed'], ['SuccessCriteriaMet', 'Complete']] as const) {
    const given = conditionOf(status?.conditions, sign)
    if (given?.status === 'True') return { type, reason: given.reason ?? '', message: given.message ?? '' }
  }
  const { backoffLimit = 6, completions, activeDeadlineSeconds } = spec
  const restarts = active.reduce((sum, pod) => sum + (pod.status?.containerStatuses ?? []).reduce((all, { restartCount }) => all + restartCount, 0), 0)
  const isPast = spec.template.spec.restartPolicy === 'OnFailure' && (backoffLimit === 0 ? restarts > 0 : restarts >= backoffLimit)
  if (failed > backoffLimit || isPast) return { type: 'Failed', reason: 'BackoffLimitExceeded', message: 'Job has reached the specified backoff limit' }
  const startedMs = Date.parse(status?.startTime ?? '')
  if (activeDeadlineSeconds !== undefined && spec.suspend !== true && now - startedMs >= activeDeadlineSeconds * 1000) return { type: 'Failed', reason: 'DeadlineExceeded', message: 'Job was active longer than specified deadline' }
  const isDone = completions === undefined ? succeeded > 0 && active.length === 0 : succeeded >= completions
  return isDone ? { type: 'Complete', reason: 'CompletionsReached', message: 'Reached expected number of succeeded pods' } : undefined
}

/** The verdict is announced at once, and given when the last pod has ended and is counted. */
function conditionsOf({ job, now }: JobView, verdict: Verdict | undefined, atRest: boolean): Condition[] {
  const time = timestamp(now)
  const set = (conditions: Condition[], condition: Condition): Condition[] => {
    const present = conditionOf(conditions, condition.type)
    return present?.status === condition.status ? conditions : withCondition(conditions, { ...condition, lastProbeTime: time }, time)
  }
  let conditions = [...(job.status?.conditions ?? [])]
  if (verdict !== undefined) {
    const { type, reason, message } = verdict
    conditions = set(conditions, { type: type === 'Failed' ? 'FailureTarget' : 'SuccessCriteriaMet', status: 'True', reason, message })
    return atRest ? set(conditions, { type, status: 'True', reason, message }) : conditions
  }
  if (job.spec.suspend === true) return set(conditions, { type: 'Suspended', status: 'True', reason: 'JobSuspended', message: 'Job suspended' })
  return conditionOf(conditions, 'Suspended') === undefined ? conditions : set(conditions, { type: 'Suspended', status: 'False', reason: 'JobResumed', message: 'Job resumed' })
}

interface PodsView extends JobView {
  readonly succeeded: number
  readonly active: readonly Pod[]
  readonly ending: readonly Pod[]
  readonly indexes: ReadonlySet<number>
  readonly suspended: boolean
  readonly done: boolean
}

function planPods({ job, active, ending, succeeded, indexes, failures, suspended, done, now }: PodsView): Pick<JobPlan, 'create' | 'delete' | 'againAfterMs'> {
  if (done || suspended) return { create: [], delete: active.slice(0, burstMax) }
  const { parallelism = 1, completions, completionMode, podReplacementPolicy } = job.spec
  const waitedFor = podReplacementPolicy === 'Failed' ? ending.length : 0
  // Of a job that only waits for its pods to agree that the work is done, none is made after the first success.
  const wanted = completions === undefined ? (succeeded > 0 ? active.length : parallelism) : Math.min(parallelism, completions - succeeded)
  const surplus = active.length - wanted
  if (surplus > 0) return { create: [], delete: [...active].sort((a, b) => Number(isReady(a)) - Number(isReady(b)) || indexOf(b) - indexOf(a)).slice(0, surplus) }
  const missing = Math.min(wanted - active.length - waitedFor, burstMax)
  const duplicates = completionMode === 'Indexed' ? active.filter((pod, i) => indexes.has(indexOf(pod)) || active.findIndex((other) => indexOf(other) === indexOf(pod)) !== i) : []
  if (missing <= 0) return { create: [], delete: duplicates }
  const delayMs = failures.count === 0 ? 0 : Math.min(backoffMs.max, backoffMs.initial * 2 ** (failures.count - 1))
  const waitMs = failures.lastMs + delayMs - now
  if (failures.count > 0 && waitMs > 0) return { create: [], delete: duplicates, againAfterMs: waitMs }
  if (completionMode !== 'Indexed') return { create: Array.from({ length: missing }, () => -1), delete: [] }
  const taken = new Set([...indexes, ...active.map(indexOf), ...(podReplacementPolicy === 'Failed' ? ending.map(indexOf) : [])])
  const free: number[] = []
  for (let index = 0; index < (completions ?? 0) && free.length < missing; index += 1) if (!taken.has(index)) free.push(index)
  return { create: free, delete: duplicates }
}
