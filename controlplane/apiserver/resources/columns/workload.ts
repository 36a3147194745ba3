// The columns of what makes pods: groups apps and batch (pkg/printers/internalversion).
import { formatLabelSelector } from '../../../../api/selectors.ts'
import type { ControllerRevision, CronJob, DaemonSet, Deployment, Job, KubeObject, LabelSelector, PodSpec, ReplicaSet, StatefulSet } from '../../../../api/types.ts'
import type { Column } from '../../descriptor.ts'
import { ageOf, humanDuration } from './age.ts'
import { ageColumn, column, integer, nameColumn, none, wide } from './column.ts'

/** CONTAINERS and IMAGES of a template. */
export function containersOf<T extends KubeObject>(template: (object: T) => unknown): Column[] {
  const containers = (object: T): PodSpec['containers'] => (template(object) as PodSpec | undefined)?.containers ?? []
  return [
    wide<T>('Containers', (object) => containers(object).map(({ name }) => name).join(',')),
    wide<T>('Images', (object) => containers(object).map(({ image }) => image ?? '').join(',')),
  ]
}

function selectorText(selector: LabelSelector | undefined): string {
  if (selector === undefined) return none
  const { matchLabels = {}, ...rest } = selector
  const sorted = Object.fromEntries(Object.entries(matchLabels).sort(([a], [b]) => (a < b ? -1 : 1)))
  return formatLabelSelector({ ...rest, matchLabels: sorted })
}

type Selecting = KubeObject & { spec: { selector?: LabelSelector; template: { spec: PodSpec } } }

const template = [...containersOf<Selecting>(({ spec }) => spec.template.spec), wide<Selecting>('Selector', ({ spec }) => selectorText(spec.selector))]

export const deploymentColumns: readonly Column[] = [
  nameColumn,
  column<Deployment>('Ready', ({ spec, status }) => `${status?.readyReplicas ?? 0}/${spec.replicas ?? 0}`),
  integer<Deployment>('Up-to-date', ({ status }) => status?.updatedReplicas),
  integer<Deployment>('Available', ({ status }) => status?.availableReplicas),
  ageColumn,
  ...template,
]

export const replicaSetColumns: readonly Column[] = [
  nameColumn,
  integer<ReplicaSet>('Desired', ({ spec }) => spec.replicas),
  integer<ReplicaSet>('Current', ({ status }) => status?.replicas),
  integer<ReplicaSet>('Ready', ({ status }) => status?.readyReplicas),
  ageColumn,
  ...template,
]

export const daemonSetColumns: readonly Column[] = [
  nameColumn,
  integer<DaemonSet>('Desired', ({ status }) => status?.desiredNumberScheduled),
  integer<DaemonSet>('Current', ({ status }) => status?.currentNumberScheduled),
  integer<DaemonSet>('Ready', ({ status }) => status?.numberReady),
  integer<DaemonSet>('Up-to-date', ({ status }) => status?.updatedNumberScheduled),
  integer<DaemonSet>('Available', ({ status }) => status?.numberAvailable),
  column<DaemonSet>('Node Selector', ({ spec }) => selectorText({ matchLabels: spec.template.spec.nodeSelector ?? {} }) || none),
  ageColumn,
  ...template,
]

export const statefulSetColumns: readonly Column[] = [
  nameColumn,
  column<StatefulSet>('Ready', ({ spec, status }) => `${status?.readyReplicas ?? 0}/${spec.replicas ?? 0}`),
  ageColumn,
  ...template.slice(0, 2),
]

export const controllerRevisionColumns: readonly Column[] = [
  nameColumn,
  column<ControllerRevision>('Controller', ({ metadata }) => {
    const owner = metadata.ownerReferences?.find(({ controller }) => controller === true)
    if (owner === undefined) return none
    const group = owner.apiVersion.includes('/') ? `.${owner.apiVersion.split('/')[0] ?? ''}` : ''
    return `${owner.kind.toLowerCase()}${group}/${owner.name}`
  }),
  integer<ControllerRevision>('Revision', ({ revision }) => revision),
  ageColumn,
]

export const jobColumns: readonly Column[] = [
  nameColumn,
  column<Job>('Status', jobStatus),
  column<Job>('Completions', jobCompletions),
  column<Job>('Duration', ({ status }, now) => {
    if (status?.startTime === undefined) return ''
    const end = status.completionTime === undefined ? now : Date.parse(status.completionTime)
    return humanDuration(end - Date.parse(status.startTime))
  }),
  ageColumn,
  ...template,
]

function jobStatus({ metadata, status }: Job): string {
  const is = (wanted: string): boolean => status?.conditions?.some(({ type, status }) => type === wanted && status === 'True') ?? false
  if (is('Complete')) return 'Complete'
  if (is('Failed')) return 'Failed'
  if (metadata.deletionTimestamp !== undefined) return 'Terminating'
  if (is('Suspended')) return 'Suspended'
  if (is('FailureTarget')) return 'FailureTarget'
  return is('SuccessCriteriaMet') ? 'SuccessCriteriaMet' : 'Running'
}

function jobCompletions({ spec, status }: Job): string {
  const succeeded = status?.succeeded ?? 0
  if (spec.completions !== undefined) return `${succeeded}/${spec.completions}`
  const parallelism = spec.parallelism ?? 0
  return parallelism > 1 ? `${succeeded}/1 of ${parallelism}` : `${succeeded}/1`
}

export const cronJobColumns: readonly Column[] = [
  nameColumn,
  column<CronJob>('Schedule', ({ spec }) => spec.schedule),
  column<CronJob>('Timezone', ({ spec }) => spec.timeZone ?? none),
  column<CronJob>('Suspend', ({ spec }) => (spec.suspend === true ? 'True' : 'False')),
  integer<CronJob>('Active', ({ status }) => status?.active?.length),
  column<CronJob>('Last Schedule', ({ status }, now) => (status?.lastScheduleTime === undefined ? none : ageOf(status.lastScheduleTime, now))),
  ageColumn,
  ...containersOf<CronJob>(({ spec }) => spec.jobTemplate.spec.template.spec),
  wide<CronJob>('Selector', ({ spec }) => selectorText(spec.jobTemplate.spec.selector)),
]
