// The columns of the remaining groups (pkg/printers/internalversion).
import { formatLabelSelector } from '../../../../api/selectors.ts'
import type { AnyObject, CertificateSigningRequest, EndpointSlice, KubeObject, Lease, RoleBinding } from '../../../../api/types.ts'
import type { Column } from '../../descriptor.ts'
import { isRecord, valueAt } from '../../object.ts'
import { humanDuration } from './age.ts'
import { ageColumn, column, integer, nameColumn, none, some, wide } from './column.ts'

export const createdAt: readonly Column[] = [nameColumn, column('Created At', ({ metadata }) => metadata.creationTimestamp ?? null)]

function text(object: unknown, path: string, otherwise = ''): string {
  const value = valueAt(object, path)
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' ? String(value) : otherwise
}

function records(object: unknown, path: string): Record<string, unknown>[] {
  const value = valueAt(object, path)
  return Array.isArray(value) ? value.filter(isRecord) : []
}

/** A column that shows the value at a path. */
function field(name: string, path: string, otherwise = ''): Column {
  return column(name, (object) => text(object, path, otherwise))
}

export const endpointSliceColumns: readonly Column[] = [
  nameColumn,
  field('AddressType', '.addressType'),
  column<EndpointSlice>('Ports', ({ ports }) => (ports?.length ? some(ports.map((one) => (one.port === undefined ? '*' : String(one.port))), 3) : '<unset>')),
  column<EndpointSlice>('Endpoints', ({ endpoints }) => (endpoints?.length ? some(endpoints.flatMap(({ addresses }) => addresses), 3) : '<unset>')),
  ageColumn,
]

export const leaseColumns: readonly Column[] = [nameColumn, column<Lease>('Holder', ({ spec }) => spec?.holderIdentity ?? ''), ageColumn]

export const certificateSigningRequestColumns: readonly Column[] = [
  nameColumn,
  ageColumn,
  field('SignerName', '.spec.signerName', none),
  field('Requestor', '.spec.username'),
  column<CertificateSigningRequest>('RequestedDuration', ({ spec }) => (spec.expirationSeconds === undefined ? none : humanDuration(spec.expirationSeconds * 1000))),
  column<CertificateSigningRequest>('Condition', requestCondition),
]

function requestCondition({ status }: CertificateSigningRequest): string {
  const has = (wanted: string): boolean => status?.conditions?.some(({ type }) => type === wanted) ?? false
  const words = [has('Denied') ? 'Denied' : has('Approved') ? 'Approved' : 'Pending']
  if (has('Failed')) words.push('Failed')
  if ((status?.certificate ?? '') !== '') words.push('Issued')
  return words.join(',')
}

export const bindingColumns: readonly Column[] = [
  nameColumn,
  column<RoleBinding>('Role', ({ roleRef }) => `${roleRef.kind}/${roleRef.name}`),
  ageColumn,
  wide<RoleBinding>('Users', ({ subjects = [] }) => subjectNames(subjects, 'User')),
  wide<RoleBinding>('Groups', ({ subjects = [] }) => subjectNames(subjects, 'Group')),
  wide<RoleBinding>('ServiceAccounts', ({ subjects = [] }) => subjectNames(subjects, 'ServiceAccount')),
]

function subjectNames(subjects: NonNullable<RoleBinding['subjects']>, wanted: string): string {
  return subjects.filter(({ kind }) => kind === wanted).map(({ namespace, name }) => (wanted === 'ServiceAccount' ? `${namespace ?? ''}/${name}` : name)).join(', ')
}

export const networkPolicyColumns: readonly Column[] = [
  nameColumn,
  column<AnyObject>('Pod-Selector', (policy) => {
    const selector = valueAt(policy, '.spec.podSelector')
    return isRecord(selector) ? formatLabelSelector(selector) || none : none
  }),
  ageColumn,
]

export const ingressColumns: readonly Column[] = [
  nameColumn,
  field('Class', '.spec.ingressClassName', none),
  column('Hosts', (ingress) => {
    const hosts = records(ingress, '.spec.rules').map((rule) => String(rule['host'] ?? '*'))
    return hosts.length === 0 ? '*' : some(hosts, 3)
  }),
  column('Address', (ingress) => records(ingress, '.status.loadBalancer.ingress').map((one) => String(one['ip'] ?? one['hostname'] ?? '')).join(',')),
  column('Ports', (ingress) => (records(ingress, '.spec.tls').length === 0 ? '80' : '80, 443')),
  ageColumn,
]

export const ingressClassColumns: readonly Column[] = [
  nameColumn,
  field('Controller', '.spec.controller'),
  column('Parameters', (object) => {
    const parameters = valueAt(object, '.spec.parameters')
    if (!isRecord(parameters)) return none
    const group = text(parameters, '.apiGroup')
    return `${text(parameters, '.kind')}${group === '' ? '' : `.${group}`}/${text(parameters, '.name')}`
  }),
  ageColumn,
]

export const podDisruptionBudgetColumns: readonly Column[] = [
  nameColumn,
  field('Min Available', '.spec.minAvailable', 'N/A'),
  field('Max Unavailable', '.spec.maxUnavailable', 'N/A'),
  integer<AnyObject>('Allowed Disruptions', (budget) => Number(text(budget, '.status.disruptionsAllowed', '0'))),
  ageColumn,
]

export const horizontalPodAutoscalerColumns: readonly Column[] = [
  nameColumn,
  column('Reference', (object) => `${text(object, '.spec.scaleTargetRef.kind')}/${text(object, '.spec.scaleTargetRef.name')}`),
  column('Targets', (object) => some(records(object, '.spec.metrics').map((metric, i) => targetText(metric, records(object, '.status.currentMetrics')[i])), 2)),
  column('MinPods', (object) => text(object, '.spec.minReplicas', '<unset>')),
  integer('MaxPods', (object) => Number(text(object, '.spec.maxReplicas', '0'))),
  integer('Replicas', (object) => Number(text(object, '.status.currentReplicas', '0'))),
  ageColumn,
]

/** `cpu: 12%/80%` of one metric. */
function targetText(metric: Record<string, unknown>, current: Record<string, unknown> | undefined): string {
  const type = String(metric['type'])
  const source = `.${type.charAt(0).toLowerCase()}${type.slice(1)}`
  const name = text(metric, `${source}.name`)
  const percent = text(metric, `${source}.target.averageUtilization`)
  const wanted = percent === '' ? text(metric, `${source}.target.averageValue`, text(metric, `${source}.target.value`, '<auto>')) : `${percent}%`
  const now = percent === '' ? text(current, `${source}.current.averageValue`, text(current, `${source}.current.value`)) : text(current, `${source}.current.averageUtilization`)
  const shown = `${now === '' ? '<unknown>' : percent === '' ? now : `${now}%`}/${wanted}`
  return name === '' ? shown : `${name}: ${shown}`
}

const defaultClass = 'storageclass.kubernetes.io/is-default-class'

export const storageClassColumns: readonly Column[] = [
  { ...column('Name', ({ metadata: { name = '', annotations } }: KubeObject) => (annotations?.[defaultClass] === 'true' ? `${name} (default)` : name)), format: 'name' },
  field('Provisioner', '.provisioner'),
  field('ReclaimPolicy', '.reclaimPolicy', 'Delete'),
  field('VolumeBindingMode', '.volumeBindingMode', 'Immediate'),
  column('AllowVolumeExpansion', (object) => valueAt(object, '.allowVolumeExpansion') === true, 'boolean'),
  ageColumn,
]

export const csiNodeColumns: readonly Column[] = [nameColumn, integer('Drivers', (object) => records(object, '.spec.drivers').length), ageColumn]

export const csiDriverColumns: readonly Column[] = [
  nameColumn,
  column('AttachRequired', (object) => valueAt(object, '.spec.attachRequired') !== false, 'boolean'),
  column('PodInfoOnMount', (object) => valueAt(object, '.spec.podInfoOnMount') === true, 'boolean'),
  column('StorageCapacity', (object) => valueAt(object, '.spec.storageCapacity') === true, 'boolean'),
  column('TokenRequests', (object) => records(object, '.spec.tokenRequests').map((one) => String(one['audience'])).join(',') || '<unset>'),
  column('RequiresRepublish', (object) => valueAt(object, '.spec.requiresRepublish') === true, 'boolean'),
  column('Modes', (object) => {
    const modes = valueAt(object, '.spec.volumeLifecycleModes')
    return Array.isArray(modes) ? modes.map(String).join(',') : none
  }),
  ageColumn,
]

export const csiStorageCapacityColumns: readonly Column[] = [nameColumn, field('StorageClassName', '.storageClassName'), field('Capacity', '.capacity', '<unset>')]

export const volumeAttachmentColumns: readonly Column[] = [
  nameColumn,
  field('Attacher', '.spec.attacher'),
  field('PV', '.spec.source.persistentVolumeName'),
  field('Node', '.spec.nodeName'),
  column('Attached', (object) => valueAt(object, '.status.attached') === true, 'boolean'),
  ageColumn,
]

export const priorityClassColumns: readonly Column[] = [
  nameColumn,
  integer<AnyObject>('Value', (object) => Number(text(object, '.value', '0'))),
  column('Global-Default', (object) => valueAt(object, '.globalDefault') === true, 'boolean'),
  ageColumn,
  field('PreemptionPolicy', '.preemptionPolicy', 'PreemptLowerPriority'),
]

export const runtimeClassColumns: readonly Column[] = [nameColumn, field('Handler', '.handler'), ageColumn]
