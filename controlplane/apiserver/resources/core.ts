// Rows of the core group.
import type { Event, KubeObject, Namespace, Node, Pod, ReplicationController, Secret, Service } from '../../../api/types.ts'
import type { ResourceDescriptor } from '../descriptor.ts'
import { ClusterIPs } from './allocation/cluster-ips.ts'
import { NodePorts } from './allocation/node-ports.ts'
import type { PortRange } from './allocation/node-ports.ts'
import {
  configMapColumns, endpointsColumns, eventColumns, limitRangeColumns, namespaceColumns, nodeColumns, persistentVolumeClaimColumns, persistentVolumeColumns,
  podTemplateColumns, replicationControllerColumns, resourceQuotaColumns, secretColumns, serviceAccountColumns, serviceColumns,
} from './columns/core.ts'
import { podColumns } from './columns/pod.ts'
import { rowsOf } from './row.ts'
import { claimStrategy, endpointsStrategy, limitRangeStrategy, quotaStrategy, volumeStrategy } from './strategies/cluster.ts'
import { configMapStrategy, eventStrategy, nodeStrategy, secretStrategy } from './strategies/config.ts'
import { namespaceStrategy } from './strategies/namespace.ts'
import { podStrategy } from './strategies/pod.ts'
import { serviceStrategy } from './strategies/service.ts'
import { podTemplateStrategy, replicationControllerStrategy } from './strategies/workloads.ts'

type Fields = Readonly<Record<string, (object: KubeObject) => string>>

/** Field selectors of a kind, read from its own type. */
function fields<T extends KubeObject>(readers: Readonly<Record<string, (object: T) => string>>): Fields {
  return readers as unknown as Fields
}

const podFields = fields<Pod>({
  'spec.nodeName': ({ spec }) => spec.nodeName ?? '',
  'spec.restartPolicy': ({ spec }) => spec.restartPolicy ?? '',
  'spec.schedulerName': ({ spec }) => spec.schedulerName ?? '',
  'spec.serviceAccountName': ({ spec }) => spec.serviceAccountName ?? '',
  'spec.hostNetwork': ({ spec }) => String(spec.hostNetwork ?? false),
  'status.phase': ({ status }) => status?.phase ?? '',
  'status.podIP': ({ status }) => status?.podIP ?? '',
  'status.podIPs': ({ status }) => status?.podIPs?.[0]?.ip ?? '',
  'status.nominatedNodeName': ({ status }) => status?.nominatedNodeName ?? '',
})

const eventFields = fields<Event>({
  'involvedObject.kind': ({ involvedObject }) => involvedObject.kind ?? '',
  'involvedObject.namespace': ({ involvedObject }) => involvedObject.namespace ?? '',
  'involvedObject.name': ({ involvedObject }) => involvedObject.name ?? '',
  'involvedObject.uid': ({ involvedObject }) => involvedObject.uid ?? '',
  'involvedObject.apiVersion': ({ involvedObject }) => involvedObject.apiVersion ?? '',
  'involvedObject.resourceVersion': ({ involvedObject }) => involvedObject.resourceVersion ?? '',
  'involvedObject.fieldPath': ({ involvedObject }) => involvedObject.fieldPath ?? '',
  reason: ({ reason }) => reason ?? '',
  reportingComponent: ({ reportingComponent }) => reportingComponent ?? '',
  source: ({ source, reportingComponent }) => source?.component ?? reportingComponent ?? '',
  type: ({ type }) => type ?? '',
})

export function coreRows(serviceClusterIPRanges: readonly string[], nodePortRange: PortRange): ResourceDescriptor[] {
  const { namespaced, cluster, virtual } = rowsOf('', 'v1')
  return [
    virtual('Binding', 'bindings', 'namespaced'),
    namespaced('ConfigMap', 'configmaps', configMapColumns, { shortNames: ['cm'], strategy: configMapStrategy }),
    namespaced('Endpoints', 'endpoints', endpointsColumns, { shortNames: ['ep'], strategy: endpointsStrategy }),
    namespaced('Event', 'events', eventColumns, { shortNames: ['ev'], strategy: eventStrategy, fieldSelectors: eventFields }),
    namespaced('LimitRange', 'limitranges', limitRangeColumns, { shortNames: ['limits'], strategy: limitRangeStrategy }),
    cluster('Namespace', 'namespaces', namespaceColumns, {
      shortNames: ['ns'],
      subresources: ['finalize', 'status'],
      verbs: ['create', 'delete', 'get', 'list', 'patch', 'update', 'watch'],
      strategy: namespaceStrategy,
      fieldSelectors: fields<Namespace>({ 'status.phase': ({ status }) => status?.phase ?? '' }),
    }),
    cluster('Node', 'nodes', nodeColumns, {
      shortNames: ['no'],
      subresources: ['proxy', 'status'],
      strategy: nodeStrategy,
      fieldSelectors: fields<Node>({ 'spec.unschedulable': ({ spec }) => String(spec?.unschedulable ?? false) }),
    }),
    namespaced('PersistentVolumeClaim', 'persistentvolumeclaims', persistentVolumeClaimColumns, { shortNames: ['pvc'], subresources: ['status'], strategy: claimStrategy }),
    cluster('PersistentVolume', 'persistentvolumes', persistentVolumeColumns, { shortNames: ['pv'], subresources: ['status'], strategy: volumeStrategy }),
    namespaced('Pod', 'pods', podColumns, {
      shortNames: ['po'],
      categories: ['all'],
      subresources: ['attach', 'binding', 'ephemeralcontainers', 'eviction', 'exec', 'log', 'portforward', 'proxy', 'resize', 'status'],
      strategy: podStrategy,
      fieldSelectors: podFields,
    }),
    namespaced('PodTemplate', 'podtemplates', podTemplateColumns, { strategy: podTemplateStrategy }),
    namespaced('ReplicationController', 'replicationcontrollers', replicationControllerColumns, {
      shortNames: ['rc'],
      categories: ['all'],
      subresources: ['scale', 'status'],
      strategy: replicationControllerStrategy,
      scale: { specReplicasPath: '.spec.replicas', statusReplicasPath: '.status.replicas', labelSelectorPath: '.spec.selector' },
      fieldSelectors: fields<ReplicationController>({ 'status.replicas': ({ status }) => String(status?.replicas ?? 0) }),
    }),
    namespaced('ResourceQuota', 'resourcequotas', resourceQuotaColumns, { shortNames: ['quota'], subresources: ['status'], strategy: quotaStrategy }),
    namespaced('Secret', 'secrets', secretColumns, { strategy: secretStrategy, fieldSelectors: fields<Secret>({ type: ({ type }) => type ?? '' }) }),
    namespaced('ServiceAccount', 'serviceaccounts', serviceAccountColumns, { shortNames: ['sa'], subresources: ['token'] }),
    namespaced('Service', 'services', serviceColumns, {
      shortNames: ['svc'],
      categories: ['all'],
      subresources: ['proxy', 'status'],
      strategy: serviceStrategy(new ClusterIPs(serviceClusterIPRanges), new NodePorts(nodePortRange)),
      fieldSelectors: fields<Service>({ 'spec.clusterIP': ({ spec }) => spec.clusterIP ?? '', 'spec.type': ({ spec }) => spec.type ?? '' }),
    }),
  ]
}
