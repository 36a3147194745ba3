// The columns of what says how a cluster is served: API services, flow control, service ranges, devices.
import type { AnyObject } from '../../../../api/types.ts'
import type { Column } from '../../descriptor.ts'
import { isRecord, valueAt } from '../../object.ts'
import { ageColumn, column, nameColumn, none } from './column.ts'

function text(object: unknown, path: string, otherwise = none): string {
  const value = valueAt(object, path)
  return typeof value === 'string' || typeof value === 'number' ? String(value) : otherwise
}

function field(name: string, path: string, otherwise = none): Column {
  return column(name, (object) => text(object, path, otherwise))
}

function listed(name: string, path: string): Column {
  return column(name, (object) => {
    const value = valueAt(object, path)
    return Array.isArray(value) ? value.join(',') : none
  })
}

function condition(object: AnyObject, wanted: string): Record<string, unknown> | undefined {
  const conditions = valueAt(object, '.status.conditions')
  return Array.isArray(conditions) ? conditions.filter(isRecord).find(({ type }) => type === wanted) : undefined
}

export const apiServiceColumns: readonly Column[] = [
  nameColumn,
  column<AnyObject>('Service', (object) => (isRecord(valueAt(object, '.spec.service')) ? `${text(object, '.spec.service.namespace')}/${text(object, '.spec.service.name')}` : 'Local')),
  column<AnyObject>('Available', (object) => {
    const available = condition(object, 'Available')
    if (available === undefined) return 'Unknown'
    return available['status'] === 'True' ? 'True' : `${String(available['status'])} (${String(available['reason'])})`
  }),
  ageColumn,
]

export const flowSchemaColumns: readonly Column[] = [
  nameColumn,
  field('PriorityLevel', '.spec.priorityLevelConfiguration.name'),
  column<AnyObject>('MatchingPrecedence', (object) => Number(text(object, '.spec.matchingPrecedence', '0')), 'integer'),
  field('DistinguisherMethod', '.spec.distinguisherMethod.type'),
  ageColumn,
  column<AnyObject>('MissingPL', (object) => String(condition(object, 'Dangling')?.['status'] ?? '?')),
]

export const priorityLevelColumns: readonly Column[] = [
  nameColumn,
  field('Type', '.spec.type'),
  field('NominalConcurrencyShares', '.spec.limited.nominalConcurrencyShares'),
  field('Queues', '.spec.limited.limitResponse.queuing.queues'),
  field('HandSize', '.spec.limited.limitResponse.queuing.handSize'),
  field('QueueLengthLimit', '.spec.limited.limitResponse.queuing.queueLengthLimit'),
  ageColumn,
]

export const serviceCidrColumns: readonly Column[] = [nameColumn, listed('CIDRs', '.spec.cidrs'), ageColumn]

export const ipAddressColumns: readonly Column[] = [
  nameColumn,
  column<AnyObject>('ParentRef', (object) => {
    const parent = valueAt(object, '.spec.parentRef')
    if (!isRecord(parent)) return none
    return [parent['group'], parent['resource'], parent['namespace'], parent['name']].filter((part) => part !== undefined && part !== '').join('/')
  }),
  ageColumn,
]

export const attributesClassColumns: readonly Column[] = [nameColumn, field('DriverName', '.driverName'), ageColumn]

export const resourceClaimColumns: readonly Column[] = [
  nameColumn,
  column<AnyObject>('State', (object) => {
    const reserved = valueAt(object, '.status.reservedFor')
    const states = [isRecord(valueAt(object, '.status.allocation')) ? 'allocated' : 'pending', ...(Array.isArray(reserved) && reserved.length > 0 ? ['reserved'] : [])]
    if (object.metadata.deletionTimestamp !== undefined) states.unshift('deleted')
    return states.join(',')
  }),
  ageColumn,
]

export const resourceSliceColumns: readonly Column[] = [nameColumn, field('Node', '.spec.nodeName', ''), field('Driver', '.spec.driver', ''), field('Pool', '.spec.pool.name', ''), ageColumn]

export const namedColumns: readonly Column[] = [nameColumn, ageColumn]
