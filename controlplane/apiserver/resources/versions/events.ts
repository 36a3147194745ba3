// Events have two forms: that of the core group, in which they are kept, and that of events.k8s.io/v1, which has other names for the
// same fields (pkg/apis/events/v1/conversion.go).
import type { Event, KubeObject } from '../../../../api/types.ts'
import type { Column, Kept, ResourceDescriptor } from '../../descriptor.ts'
import type { ApiObject } from '../../object.ts'

/** Name in events.k8s.io, name in the core group. */
const names = [
  ['note', 'message'],
  ['regarding', 'involvedObject'],
  ['reportingController', 'reportingComponent'],
  ['deprecatedSource', 'source'],
  ['deprecatedFirstTimestamp', 'firstTimestamp'],
  ['deprecatedLastTimestamp', 'lastTimestamp'],
  ['deprecatedCount', 'count'],
] as const

function renamed(object: ApiObject, from: 0 | 1): ApiObject {
  const made: ApiObject = { ...object }
  for (const pair of names) delete made[pair[from]]
  for (const pair of names) {
    const value = object[pair[from]]
    if (value !== undefined) made[pair[1 - from] as string] = value
  }
  return made
}

export function keptEvents(core: ResourceDescriptor): Kept {
  return {
    as: core,
    read: (objects) => objects.map((object) => ({ ...renamed(object, 1), apiVersion: 'events.k8s.io/v1' })),
    write: (object) => {
      const event = { ...renamed(object, 0), apiVersion: 'v1' } as ApiObject
      event['involvedObject'] ??= {}
      return event
    },
  }
}

/** A reader of the core form that is given the other one. */
function ofCore<R>(read: (event: Event) => R): (object: KubeObject) => R {
  return (object) => read(renamed(object as ApiObject, 0) as unknown as Event)
}

export function eventColumnsOf(columns: readonly Column[]): readonly Column[] {
  return columns.map((column) => ({ ...column, value: (object, context) => column.value({ involvedObject: {}, ...renamed(object as ApiObject, 0) } as KubeObject, context) }))
}

/** Fields by which events of this form are selected. */
export const eventFieldsOf: Readonly<Record<string, (object: KubeObject) => string>> = {
  ...Object.fromEntries((['kind', 'namespace', 'name', 'uid', 'apiVersion', 'resourceVersion', 'fieldPath'] as const).map((field) => [`regarding.${field}`, ofCore((event) => event.involvedObject?.[field] ?? '')])),
  reason: ofCore(({ reason }) => reason ?? ''),
  reportingController: ofCore(({ reportingComponent }) => reportingComponent ?? ''),
  type: ofCore(({ type }) => type ?? ''),
}
