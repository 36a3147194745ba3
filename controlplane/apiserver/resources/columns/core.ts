// The columns of the core group beside pods (pkg/printers/internalversion).
import { formatLabels } from '../../../../api/selectors.ts'
import type {
  AnyObject, ConfigMap, Endpoints, Event, LimitRange, Namespace, Node, PersistentVolume, ReplicationController, ResourceQuota, Secret, Service, ServiceAccount,
} from '../../../../api/types.ts'
import type { Column } from '../../descriptor.ts'
import { isRecord, valueAt } from '../../object.ts'
import { ageOf } from './age.ts'
import { ageColumn, column, integer, nameColumn, none, some, wide } from './column.ts'
import { containersOf } from './workload.ts'

export const configMapColumns: readonly Column[] = [
  nameColumn,
  integer<ConfigMap>('Data', ({ data = {}, binaryData = {} }) => Object.keys(data).length + Object.keys(binaryData).length),
  ageColumn,
]

export const secretColumns: readonly Column[] = [
  nameColumn,
  column<Secret>('Type', ({ type }) => type ?? ''),
  integer<Secret>('Data', ({ data = {} }) => Object.keys(data).length),
  ageColumn,
]

export const serviceAccountColumns: readonly Column[] = [nameColumn, integer<ServiceAccount>('Secrets', ({ secrets = [] }) => secrets.length), ageColumn]

export const namespaceColumns: readonly Column[] = [nameColumn, column<Namespace>('Status', ({ status }) => status?.phase ?? ''), ageColumn]

export const limitRangeColumns: readonly Column[] = [nameColumn, column<LimitRange>('Created At', ({ metadata }) => metadata.creationTimestamp ?? null)]

export const resourceQuotaColumns: readonly Column[] = [
  nameColumn,
  column<ResourceQuota>('Request', (quota) => quotaText(quota, (name) => !name.startsWith('limits.'))),
  column<ResourceQuota>('Limit', (quota) => quotaText(quota, (name) => name.startsWith('limits.'))),
  ageColumn,
]

function quotaText(quota: ResourceQuota, wanted: (name: string) => boolean): string {
  const hard = valueAt(quota, '.status.hard')
  const used = valueAt(quota, '.status.used')
  if (!isRecord(hard)) return ''
  return Object.keys(hard).filter(wanted).sort().map((name) => `${name}: ${String((isRecord(used) ? used[name] : undefined) ?? 0)}/${String(hard[name])}`).join(', ')
}

export const endpointsColumns: readonly Column[] = [nameColumn, column<Endpoints>('Endpoints', endpointsText), ageColumn]

function endpointsText({ subsets = [] }: Endpoints): string {
  const all = subsets.flatMap(({ addresses = [], ports = [] }) => {
    if (ports.length === 0) return addresses.map(({ ip }) => ip)
    return ports.flatMap(({ port }) => addresses.map(({ ip }) => withPort(ip, port)))
  })
  return some(all, 3)
}

function withPort(ip: string | undefined, port: number): string {
  return ip?.includes(':') === true ? `[${ip}]:${port}` : `${ip ?? ''}:${port}`
}

export const nodeColumns: readonly Column[] = [
  nameColumn,
  column<Node>('Status', nodeStatus),
  column<Node>('Roles', nodeRoles),
  ageColumn,
  column<Node>('Version', ({ status }) => status?.nodeInfo?.kubeletVersion ?? ''),
  wide<Node>('Internal-IP', (node) => nodeAddress(node, 'InternalIP')),
  wide<Node>('External-IP', (node) => nodeAddress(node, 'ExternalIP')),
  wide<Node>('OS-Image', ({ status }) => status?.nodeInfo?.osImage || '<unknown>'),
  wide<Node>('Kernel-Version', ({ status }) => status?.nodeInfo?.kernelVersion || '<unknown>'),
  wide<Node>('Container-Runtime', ({ status }) => status?.nodeInfo?.containerRuntimeVersion || '<unknown>'),
]

function nodeStatus({ spec, status }: Node): string {
  const ready = status?.conditions?.find(({ type }) => type === 'Ready')
  const words = [ready === undefined ? 'Unknown' : ready.status === 'True' ? 'Ready' : 'NotReady']
  if (spec?.unschedulable === true) words.push('SchedulingDisabled')
  return words.join(',')
}

const rolePrefix = 'node-role.kubernetes.io/'

function nodeRoles({ metadata }: Node): string {
  const roles = new Set<string>()
  for (const [label, value] of Object.entries(metadata.labels ?? {})) {
    if (label.startsWith(rolePrefix) && label.length > rolePrefix.length) roles.add(label.slice(rolePrefix.length))
    else if (label === 'kubernetes.io/role' && value !== '') roles.add(value)
  }
  return roles.size === 0 ? none : [...roles].sort().join(',')
}

function nodeAddress({ status }: Node, wanted: 'InternalIP' | 'ExternalIP'): string {
  return status?.addresses?.find(({ type }) => type === wanted)?.address ?? none
}

export const serviceColumns: readonly Column[] = [
  nameColumn,
  column<Service>('Type', ({ spec }) => spec.type ?? ''),
  column<Service>('Cluster-IP', ({ spec }) => spec.clusterIPs?.[0] ?? (spec.clusterIP || none)),
  column<Service>('External-IP', externalAddresses),
  column<Service>('Port(s)', servicePorts),
  ageColumn,
  wide<Service>('Selector', ({ spec }) => (Object.keys(spec.selector ?? {}).length === 0 ? none : formatLabels(spec.selector ?? {}))),
]

function servicePorts({ spec }: Service): string {
  const ports = spec.ports ?? []
  if (ports.length === 0) return none
  return ports.map(({ port, nodePort, protocol = 'TCP' }) => (nodePort === undefined ? `${port}/${protocol}` : `${port}:${nodePort}/${protocol}`)).join(',')
}

function externalAddresses({ spec, status }: Service): string {
  const listed = spec.externalIPs ?? []
  switch (spec.type) {
    case 'ExternalName':
      return spec.externalName ?? ''
    case 'LoadBalancer': {
      const given = (status?.loadBalancer?.ingress ?? []).map(({ ip, hostname }) => ip || hostname || '').filter((address) => address !== '')
      const all = [...given, ...listed]
      return all.length === 0 ? '<pending>' : all.join(',')
    }
    default:
      return listed.length === 0 ? none : listed.join(',')
  }
}

export const replicationControllerColumns: readonly Column[] = [
  nameColumn,
  integer<ReplicationController>('Desired', ({ spec }) => spec.replicas),
  integer<ReplicationController>('Current', ({ status }) => status?.replicas),
  integer<ReplicationController>('Ready', ({ status }) => status?.readyReplicas),
  ageColumn,
  ...containersOf<ReplicationController>(({ spec }) => spec.template?.spec),
  wide<ReplicationController>('Selector', ({ spec }) => (spec.selector === undefined ? none : formatLabels(spec.selector))),
]

export const podTemplateColumns: readonly Column[] = [
  nameColumn,
  ...containersOf<AnyObject>((object) => valueAt(object, '.template.spec')).map((shown) => ({ ...shown, priority: 0 })),
  column<AnyObject>('Pod Labels', (object) => {
    const labels = valueAt(object, '.template.metadata.labels')
    return isRecord(labels) ? formatLabels(labels as Record<string, string>) : none
  }),
]

const accessModes: Readonly<Record<string, string>> = { ReadWriteOnce: 'RWO', ReadOnlyMany: 'ROX', ReadWriteMany: 'RWX', ReadWriteOncePod: 'RWOP' }

function accessText(modes: unknown): string {
  return Array.isArray(modes) ? Object.keys(accessModes).filter((mode) => modes.includes(mode)).map((mode) => accessModes[mode]).join(',') : ''
}

function text(object: unknown, path: string, otherwise = ''): string {
  const value = valueAt(object, path)
  return typeof value === 'string' || typeof value === 'number' ? String(value) : otherwise
}

export const persistentVolumeColumns: readonly Column[] = [
  nameColumn,
  column<PersistentVolume>('Capacity', (volume) => text(volume, '.spec.capacity.storage')),
  column<PersistentVolume>('Access Modes', (volume) => accessText(valueAt(volume, '.spec.accessModes'))),
  column<PersistentVolume>('Reclaim Policy', (volume) => text(volume, '.spec.persistentVolumeReclaimPolicy')),
  column<PersistentVolume>('Status', (volume) => (volume.metadata.deletionTimestamp === undefined ? text(volume, '.status.phase') : 'Terminating')),
  column<PersistentVolume>('Claim', (volume) => {
    const claim = valueAt(volume, '.spec.claimRef')
    return isRecord(claim) ? `${String(claim['namespace'])}/${String(claim['name'])}` : ''
  }),
  column<PersistentVolume>('StorageClass', (volume) => text(volume, '.spec.storageClassName')),
  column<PersistentVolume>('VolumeAttributesClass', (volume) => text(volume, '.spec.volumeAttributesClassName', '<unset>')),
  column<PersistentVolume>('Reason', (volume) => text(volume, '.status.reason')),
  ageColumn,
  wide<PersistentVolume>('VolumeMode', (volume) => text(volume, '.spec.volumeMode', '<unset>')),
]

export const persistentVolumeClaimColumns: readonly Column[] = [
  nameColumn,
  column<PersistentVolume>('Status', (claim) => (claim.metadata.deletionTimestamp === undefined ? text(claim, '.status.phase') : 'Terminating')),
  column<PersistentVolume>('Volume', (claim) => text(claim, '.spec.volumeName')),
  column<PersistentVolume>('Capacity', (claim) => (text(claim, '.spec.volumeName') === '' ? '' : text(claim, '.status.capacity.storage'))),
  column<PersistentVolume>('Access Modes', (claim) => (text(claim, '.spec.volumeName') === '' ? '' : accessText(valueAt(claim, '.status.accessModes')))),
  column<PersistentVolume>('StorageClass', (claim) => text(claim, '.spec.storageClassName')),
  column<PersistentVolume>('VolumeAttributesClass', (claim) => text(claim, '.spec.volumeAttributesClassName', '<unset>')),
  ageColumn,
  wide<PersistentVolume>('VolumeMode', (claim) => text(claim, '.spec.volumeMode', '<unset>')),
]

export const eventColumns: readonly Column[] = [
  column<Event>('Last Seen', (event, now) => ageOf(lastSeen(event), now)),
  column<Event>('Type', ({ type }) => type ?? ''),
  column<Event>('Reason', ({ reason }) => reason ?? ''),
  column<Event>('Object', ({ involvedObject: { kind = '', name = '' } }) => `${kind.toLowerCase()}/${name}`),
  wide<Event>('Subobject', ({ involvedObject }) => involvedObject.fieldPath ?? ''),
  wide<Event>('Source', eventSource),
  column<Event>('Message', ({ message = '' }) => message.trim()),
  wide<Event>('First Seen', (event, now) => ageOf(event.firstTimestamp ?? event.eventTime, now)),
  wide<Event>('Count', (event) => event.count || 1),
  { ...wide<Event>('Name', ({ metadata }) => metadata.name ?? ''), format: 'name' },
]

function lastSeen(event: Event): string | null | undefined {
  const series = valueAt(event, '.series.lastObservedTime')
  return typeof series === 'string' ? series : event.lastTimestamp ?? event.firstTimestamp ?? event.eventTime
}

function eventSource({ source, reportingComponent, reportingInstance }: Event): string {
  const component = source?.component || reportingComponent || ''
  const host = source?.host || reportingInstance || ''
  return host === '' ? component : `${component}, ${host}`
}
