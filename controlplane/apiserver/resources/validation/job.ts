// Group batch (pkg/apis/batch/validation).
import { parseSchedule } from '../../../../api/schedule.ts'
import { matchesLabelSelector } from '../../../../api/selectors.ts'
import type { CronJob, Job, JobSpec, PodTemplateSpec } from '../../../../api/types.ts'
import { equalJson } from '../../object.ts'
import type { FieldErrors } from './errors.ts'
import { dnsSubdomain } from './formats.ts'
import { validateTemplate } from './pod-spec.ts'
import { validateSelectorUpdate } from './workload.ts'

export function validateJob({ metadata, spec }: Job, errors: FieldErrors): void {
  const { uid = '', name = '' } = metadata
  const own = { 'batch.kubernetes.io/controller-uid': uid, 'batch.kubernetes.io/job-name': name, 'controller-uid': uid, 'job-name': name }
  if (spec.selector === undefined) errors.required('spec.selector')
  else {
    if (spec.manualSelector !== true && !matchesLabelSelector(spec.selector, own)) errors.invalid('spec.selector', spec.selector, '`selector` not auto-generated')
    if (!matchesLabelSelector(spec.selector, spec.template.metadata?.labels)) errors.invalid('spec.template.metadata.labels', spec.template.metadata?.labels ?? {}, '`selector` does not match template `labels`')
  }
  validateJobSpec(spec, 'spec', errors)
}

const counts = ['parallelism', 'completions', 'activeDeadlineSeconds', 'backoffLimit', 'ttlSecondsAfterFinished', 'backoffLimitPerIndex', 'maxFailedIndexes'] as const
const indexedParallelismMax = 100_000

function validateJobSpec(spec: JobSpec, path: string, errors: FieldErrors): void {
  for (const field of counts) errors.nonNegative(`${path}.${field}`, spec[field])
  if (spec.completionMode !== undefined) errors.oneOf(`${path}.completionMode`, spec.completionMode, ['NonIndexed', 'Indexed'])
  if (spec.completionMode === 'Indexed') {
    if (spec.completions === undefined) errors.required(`${path}.completions`, 'when completion mode is Indexed')
    if ((spec.parallelism ?? 0) > indexedParallelismMax) errors.invalid(`${path}.parallelism`, spec.parallelism, `must be less than or equal to ${indexedParallelismMax} when completion mode is Indexed`)
  } else {
    for (const field of ['backoffLimitPerIndex', 'successPolicy'] as const) if (spec[field] !== undefined) errors.invalid(`${path}.${field}`, spec[field], 'requires indexed completion mode')
  }
  if (spec.maxFailedIndexes !== undefined) {
    if (spec.backoffLimitPerIndex === undefined) errors.required(`${path}.backoffLimitPerIndex`, 'when maxFailedIndexes is specified')
    if (spec.completions !== undefined && spec.maxFailedIndexes > spec.completions) errors.invalid(`${path}.maxFailedIndexes`, spec.maxFailedIndexes, 'must be less than or equal to completions')
  }
  if (spec.managedBy !== undefined) validateManager(spec.managedBy, `${path}.managedBy`, errors)
  validateTemplate(spec.template, `${path}.template`, errors)
  const { restartPolicy } = spec.template.spec
  if (restartPolicy === 'Always') errors.unsupported(`${path}.template.spec.restartPolicy`, restartPolicy, ['OnFailure', 'Never'])
  else if (spec.podFailurePolicy !== undefined && restartPolicy !== 'Never') errors.invalid(`${path}.template.spec.restartPolicy`, restartPolicy, 'only "Never" is supported when podFailurePolicy is specified')
  validateFailurePolicy(spec, path, errors)
}

const managerLengthMax = 63

function validateManager(manager: string, at: string, errors: FieldErrors): void {
  const [domain = '', ...rest] = manager.split('/')
  if (rest.join('/') === '') errors.invalid(at, manager, 'must be a domain-prefixed path (such as "acme.io/foo")')
  else errors.each(at, domain, dnsSubdomain(domain))
  if (manager.length > managerLengthMax) errors.tooLong(at, managerLengthMax)
}

const failureRulesMax = 20

function validateFailurePolicy({ podFailurePolicy, podReplacementPolicy, backoffLimitPerIndex }: JobSpec, path: string, errors: FieldErrors): void {
  if (podReplacementPolicy !== undefined) errors.oneOf(`${path}.podReplacementPolicy`, podReplacementPolicy, podFailurePolicy === undefined ? ['Failed', 'TerminatingOrFailed'] : ['Failed'])
  const rules = podFailurePolicy?.rules ?? []
  if (rules.length > failureRulesMax) errors.tooMany(`${path}.podFailurePolicy.rules`, rules.length, failureRulesMax)
  for (const [i, { action, onExitCodes, onPodConditions = [] }] of rules.entries()) {
    const at = `${path}.podFailurePolicy.rules[${i}]`
    errors.oneOf(`${at}.action`, action, ['Count', 'FailIndex', 'FailJob', 'Ignore'])
    if (action === 'FailIndex' && backoffLimitPerIndex === undefined) errors.invalid(`${at}.action`, action, 'requires the backoffLimitPerIndex to be set')
    if (onExitCodes !== undefined && onPodConditions.length > 0) errors.invalid(at, rules[i], 'specifying both OnExitCodes and OnPodConditions is not supported')
    if (onExitCodes === undefined && onPodConditions.length === 0) errors.invalid(at, rules[i], 'specifying one of OnExitCodes and OnPodConditions is required')
    if (onExitCodes === undefined) continue
    const { operator, values = [] } = onExitCodes
    errors.oneOf(`${at}.onExitCodes.operator`, operator, ['In', 'NotIn'])
    if (values.length === 0) errors.invalid(`${at}.onExitCodes.values`, values, 'at least one value is required')
    if (operator === 'In' && values.includes(0)) errors.invalid(`${at}.onExitCodes.values[${values.indexOf(0)}]`, 0, 'must not be 0 for the In operator')
  }
}

export function validateJobUpdate(job: Job, old: Job, errors: FieldErrors): void {
  validateSelectorUpdate(job, old, errors)
  const { completions, parallelism } = job.spec
  if (completions !== old.spec.completions) {
    if (old.spec.completionMode !== 'Indexed') errors.immutable('spec.completions', completions)
    else if (completions !== undefined && completions !== parallelism) errors.invalid('spec.completions', completions, 'can only be modified in tandem with spec.parallelism')
  }
  for (const field of ['completionMode', 'podFailurePolicy', 'backoffLimitPerIndex', 'managedBy', 'successPolicy'] as const) {
    if (!equalJson(job.spec[field], old.spec[field])) errors.immutable(`spec.${field}`, job.spec[field])
  }
  // A suspended job that never ran may still be told where to run.
  const mayMove = old.spec.suspend === true && old.status?.startTime === undefined
  const fixed = mayMove ? withoutPlace : (template: PodTemplateSpec): object => template
  if (!equalJson(fixed(job.spec.template), fixed(old.spec.template))) errors.immutable('spec.template', job.spec.template)
}

/** A template without what says where its pods may run. */
function withoutPlace({ metadata, spec, ...rest }: PodTemplateSpec): object {
  const { labels: _labels, annotations: _annotations, ...named } = metadata ?? {}
  const { nodeSelector: _selector, tolerations: _tolerations, schedulingGates: _gates, affinity, ...others } = spec
  const { nodeAffinity: _nodes, ...pods } = affinity ?? {}
  return { ...rest, metadata: named, spec: { ...others, affinity: pods } }
}

/** Names of jobs that a cron job makes end in eleven characters of its own. */
const cronJobNameMax = 52

export function validateCronJob({ metadata, spec }: CronJob, errors: FieldErrors): void {
  if ((metadata.name ?? '').length > cronJobNameMax) errors.invalid('metadata.name', metadata.name, `must be no more than ${cronJobNameMax} characters`)
  if ((spec.schedule ?? '') === '') errors.required('spec.schedule')
  else validateSchedule(spec.schedule, errors)
  if (spec.timeZone !== undefined) validateTimeZone(spec.timeZone, errors)
  errors.oneOf('spec.concurrencyPolicy', spec.concurrencyPolicy, ['Allow', 'Forbid', 'Replace'])
  for (const field of ['startingDeadlineSeconds', 'successfulJobsHistoryLimit', 'failedJobsHistoryLimit'] as const) errors.nonNegative(`spec.${field}`, spec[field])
  if (spec.jobTemplate.spec.manualSelector === true) errors.unsupported('spec.jobTemplate.spec.manualSelector', true, ['nil', 'false'])
  validateJobSpec(spec.jobTemplate.spec, 'spec.jobTemplate.spec', errors)
}

function validateSchedule(schedule: string, errors: FieldErrors): void {
  if (schedule.includes('TZ')) {
    errors.invalid('spec.schedule', schedule, 'cannot use TZ or CRON_TZ in schedule, use timeZone field instead')
    return
  }
  try {
    parseSchedule(schedule)
  } catch (error) {
    errors.invalid('spec.schedule', schedule, (error as Error).message)
  }
}

function validateTimeZone(timeZone: string, errors: FieldErrors): void {
  const at = 'spec.timeZone'
  if (timeZone === '') errors.invalid(at, timeZone, 'timeZone must be nil or non-empty string')
  else if (timeZone.toLowerCase() === 'local') errors.invalid(at, timeZone, 'timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones')
  else if (!isTimeZone(timeZone)) errors.invalid(at, timeZone, `unknown time zone ${timeZone}`)
}

function isTimeZone(timeZone: string): boolean {
  // Offsets such as +01:00 are known to `Intl` and to no list of zones.
  if (!/^[A-Za-z]/.test(timeZone)) return false
  try {
    return new Intl.DateTimeFormat('en-US', { timeZone }).format(0) !== ''
  } catch {
    return false
  }
}
