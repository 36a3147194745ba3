// The least object of every kind, for tests that go over all of them.
import type { ResourceDescriptor } from '../../descriptor.ts'
import { qualified } from '../../status.ts'

const containers = [{ name: 'a', image: 'x' }]
const work = { selector: { matchLabels: { a: 'b' } }, template: { metadata: { labels: { a: 'b' } }, spec: { containers } } }
const job = { template: { spec: { restartPolicy: 'Never', containers } } }
const claim = { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } }
const request = Buffer.from('-----BEGIN CERTIFICATE REQUEST-----\n-----END CERTIFICATE REQUEST-----\n').toString('base64')

/** The least that is taken, of the kinds for which a name is not enough. */
const least: Readonly<Record<string, object>> = {
  pods: { spec: { containers } },
  services: { spec: { type: 'NodePort', ports: [{ port: 80 }] } },
  events: { involvedObject: { namespace: 'default', name: 'x' } },
  replicationcontrollers: { spec: { template: work.template } },
  podtemplates: { template: { spec: { containers } } },
  persistentvolumes: { spec: { accessModes: ['ReadWriteOnce'], capacity: { storage: '1Gi' }, hostPath: { path: '/' } } },
  persistentvolumeclaims: { spec: claim },
  servicecidrs: { spec: { cidrs: ['10.250.0.0/24'] } },
  customresourcedefinitions: { metadata: { name: 'widgets.example.com' }, spec: { group: 'example.com', scope: 'Cluster', names: { plural: 'widgets', kind: 'Widget' }, versions: [{ name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: { type: 'object' } } }] } },
  controllerrevisions: { revision: 1 },
  daemonsets: { spec: work },
  deployments: { spec: work },
  replicasets: { spec: work },
  statefulsets: { spec: { ...work, volumeClaimTemplates: [{ metadata: { name: 'd' }, spec: claim }] } },
  jobs: { spec: job },
  cronjobs: { spec: { schedule: '@daily', jobTemplate: { spec: job } } },
  horizontalpodautoscalers: { spec: { scaleTargetRef: { kind: 'Deployment', name: 'x' }, maxReplicas: 2 } },
  certificatesigningrequests: { spec: { request, signerName: 'example.com/x', usages: ['client auth'] } },
  endpointslices: { addressType: 'IPv4', endpoints: [{ addresses: ['10.0.0.1'] }], ports: [{ port: 80 }] },
  ingresses: { spec: { defaultBackend: { service: { name: 'x', port: { number: 80 } } } } },
  clusterrolebindings: { roleRef: { kind: 'ClusterRole', name: 'view' } },
  rolebindings: { roleRef: { kind: 'ClusterRole', name: 'view' } },
  storageclasses: { provisioner: 'x' },
  csistoragecapacities: { storageClassName: 'x' },
  volumeattachments: { spec: { attacher: 'x', nodeName: 'x', source: { persistentVolumeName: 'x' } } },
  runtimeclasses: { handler: 'x' },
  apiservices: { metadata: { name: 'v1.example.com' }, spec: { group: 'example.com', version: 'v1', groupPriorityMinimum: 100, versionPriority: 10 } },
  flowschemas: { spec: { priorityLevelConfiguration: { name: 'x' }, rules: [{ subjects: [{ kind: 'User', user: { name: 'jane' } }], nonResourceRules: [{ verbs: ['*'], nonResourceURLs: ['*'] }] }] } },
  prioritylevelconfigurations: { spec: { type: 'Limited', limited: { limitResponse: { type: 'Queue', queuing: {} } } } },
  ipaddresses: { metadata: { name: '10.96.9.9' }, spec: { parentRef: { resource: 'services', namespace: 'default', name: 'nobody' } } },
  volumeattributesclasses: { driverName: 'x', parameters: { a: 'b' } },
  resourceclaims: { spec: { devices: { requests: [{ name: 'a', exactly: { deviceClassName: 'x' } }] } } },
  resourceclaimtemplates: { spec: { spec: { devices: { requests: [{ name: 'a', exactly: { deviceClassName: 'x' } }] } } } },
  resourceslices: { spec: { driver: 'x', nodeName: 'n', pool: { name: 'p', generation: 1, resourceSliceCount: 1 } } },
  mutatingwebhookconfigurations: { webhooks: [{ name: 'a.example.com', clientConfig: { url: 'https://example.com/' }, sideEffects: 'None', admissionReviewVersions: ['v1'] }] },
  validatingwebhookconfigurations: { webhooks: [{ name: 'a.example.com', clientConfig: { service: { namespace: 'default', name: 'x' } }, sideEffects: 'None', admissionReviewVersions: ['v1'] }] },
  validatingadmissionpolicies: { spec: { matchConstraints: { resourceRules: [{ operations: ['CREATE'], apiGroups: ['example.com'], apiVersions: ['v1'], resources: ['nothing'] }] }, validations: [{ expression: 'true' }] } },
  validatingadmissionpolicybindings: { spec: { policyName: 'x', validationActions: ['Deny'] } },
  mutatingadmissionpolicies: { spec: { reinvocationPolicy: 'Never', matchConstraints: { resourceRules: [{ operations: ['CREATE'], apiGroups: ['example.com'], apiVersions: ['v1'], resources: ['nothing'] }] }, mutations: [{ patchType: 'ApplyConfiguration', applyConfiguration: { expression: 'Object{}' } }] } },
  mutatingadmissionpolicybindings: { spec: { policyName: 'x' } },
  'events.events.k8s.io': { eventTime: '2026-01-01T00:00:00.000000Z', type: 'Normal', reason: 'Made', action: 'Making', reportingController: 'example.com/x', reportingInstance: 'x-1', regarding: { kind: 'Pod', namespace: 'default', name: 'x' } },
}

/** The least that is taken of a kind. */
export function leastOf(row: ResourceDescriptor): { readonly metadata?: { readonly name: string } } {
  return least[qualified(row)] ?? least[row.plural] ?? {}
}

/** The path of a resource in the namespace `default`. */
export function collection({ group, version, plural, namespaced }: ResourceDescriptor): string {
  return `${group === '' ? `/api/${version}` : `/apis/${group}/${version}`}${namespaced ? '/namespaces/default' : ''}/${plural}`
}
