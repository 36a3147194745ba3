// Rows of the groups that say how a cluster is served: API services, flow control, service ranges, devices; and kinds that are served
// under a second name.
import type { KubeObject } from '../../../api/types.ts'
import type { ResourceDescriptor } from '../descriptor.ts'
import { valueAt } from '../object.ts'
import { horizontalPodAutoscalerColumns } from './columns/cluster.ts'
import { eventColumns } from './columns/core.ts'
import {
  apiServiceColumns, attributesClassColumns, flowSchemaColumns, ipAddressColumns, namedColumns, priorityLevelColumns, resourceClaimColumns, resourceSliceColumns, serviceCidrColumns,
} from './columns/platform.ts'
import { rowsOf } from './row.ts'
import {
  apiServiceStrategy, attributesClassStrategy, deviceClassStrategy, flowSchemaStrategy, ipAddressStrategy, newEventStrategy, priorityLevelStrategy, resourceClaimStrategy,
  resourceClaimTemplateStrategy, resourceSliceStrategy, serviceCidrStrategy,
} from './strategies/platform.ts'
import { autoscalerStrategy } from './strategies/workloads.ts'
import { keptAutoscalers, v1Strategy } from './versions/autoscalers.ts'
import { eventColumnsOf, eventFieldsOf, keptEvents } from './versions/events.ts'

function textAt(path: string): (object: KubeObject) => string {
  return (object) => String(valueAt(object, path) ?? '')
}

export function platformRows(): ResourceDescriptor[] {
  const flow = rowsOf('flowcontrol.apiserver.k8s.io', 'v1')
  const networking = rowsOf('networking.k8s.io', 'v1')
  const devices = rowsOf('resource.k8s.io', 'v1')
  return [
    rowsOf('apiregistration.k8s.io', 'v1').cluster('APIService', 'apiservices', apiServiceColumns, { categories: ['api-extensions'], subresources: ['status'], strategy: apiServiceStrategy }),
    flow.cluster('FlowSchema', 'flowschemas', flowSchemaColumns, { subresources: ['status'], strategy: flowSchemaStrategy }),
    flow.cluster('PriorityLevelConfiguration', 'prioritylevelconfigurations', priorityLevelColumns, { subresources: ['status'], strategy: priorityLevelStrategy }),
    networking.cluster('IPAddress', 'ipaddresses', ipAddressColumns, {
      shortNames: ['ip'], strategy: ipAddressStrategy,
      fieldSelectors: Object.fromEntries(['group', 'resource', 'namespace', 'name'].map((field) => [`spec.parentRef.${field}`, textAt(`.spec.parentRef.${field}`)])),
    }),
    networking.cluster('ServiceCIDR', 'servicecidrs', serviceCidrColumns, { subresources: ['status'], strategy: serviceCidrStrategy }),
    rowsOf('storage.k8s.io', 'v1').cluster('VolumeAttributesClass', 'volumeattributesclasses', attributesClassColumns, { shortNames: ['vac'], strategy: attributesClassStrategy }),
    devices.cluster('DeviceClass', 'deviceclasses', namedColumns, { strategy: deviceClassStrategy }),
    devices.namespaced('ResourceClaim', 'resourceclaims', resourceClaimColumns, { subresources: ['status'], strategy: resourceClaimStrategy }),
    devices.namespaced('ResourceClaimTemplate', 'resourceclaimtemplates', namedColumns, { strategy: resourceClaimTemplateStrategy }),
    devices.cluster('ResourceSlice', 'resourceslices', resourceSliceColumns, { strategy: resourceSliceStrategy, fieldSelectors: { 'spec.driver': textAt('.spec.driver'), 'spec.nodeName': textAt('.spec.nodeName') } }),
  ]
}

/** Kinds of a second group or version, kept as those of the rows given. */
export function secondRows(rows: readonly ResourceDescriptor[]): ResourceDescriptor[] {
  const named = (plural: string, group: string): ResourceDescriptor => {
    const row = rows.find((one) => one.plural === plural && one.group === group)
    if (row === undefined) throw new Error(`Cannot serve ${plural} twice: there is no such row in group ${JSON.stringify(group)}`)
    return row
  }
  return [
    rowsOf('events.k8s.io', 'v1').namespaced('Event', 'events', eventColumnsOf(eventColumns), { shortNames: ['ev'], strategy: newEventStrategy, fieldSelectors: eventFieldsOf, kept: keptEvents(named('events', '')) }),
    rowsOf('autoscaling', 'v1').namespaced('HorizontalPodAutoscaler', 'horizontalpodautoscalers', horizontalPodAutoscalerColumns, {
      shortNames: ['hpa'], categories: ['all'], subresources: ['status'], strategy: v1Strategy(autoscalerStrategy), kept: keptAutoscalers(named('horizontalpodautoscalers', 'autoscaling')),
    }),
  ]
}
