// Every kind over the real request path: what is wrong with an object is named by its field and reason, and so is what may not change.
import t from 'tap'
import type { ResourceDescriptor } from '../descriptor.ts'
import { cloneJson, setValueAt } from '../object.ts'
import { verbsOf } from '../registry.ts'
import { qualified } from '../status.ts'
import { ask, startTestServer } from '../test-support/server.ts'
import { builtinResources } from './index.ts'
import { collection, leastOf } from './test-support/least.ts'

/** Where a value is put in the least object of a kind, and the cause that is to come of it: `Required spec.containers`. */
type Case = readonly [path: string, value: unknown, cause: string]

const bad: Readonly<Record<string, readonly Case[]>> = {
  configmaps: [['.data', { 'a b': 'x' }, 'Invalid data[a b]']],
  endpoints: [['.subsets', [{}], 'Required subsets[0]']],
  events: [['.involvedObject.namespace', 'other', 'Invalid involvedObject.namespace']],
  'events.events.k8s.io': [['.eventTime', undefined, 'Required eventTime'], ['.reportingController', undefined, 'Required reportingController'], ['.action', 'x'.repeat(200), 'Invalid action'], ['.type', 'Odd', 'Invalid type']],
  limitranges: [['.spec.limits', [{ type: 'Container', max: { cpu: '1' }, min: { cpu: '2' } }], 'Invalid spec.limits[0].min[cpu]']],
  namespaces: [['.metadata.name', 'A_b', 'Invalid metadata.name']],
  nodes: [['.spec.taints', [{ key: 'a', effect: 'Sometimes' }], 'NotSupported spec.taints[0].effect']],
  persistentvolumeclaims: [['.spec.accessModes', [], 'Required spec.accessModes'], ['.spec.resources', {}, 'Required spec.resources[storage]']],
  persistentvolumes: [['.spec.capacity', {}, 'Required spec.capacity[storage]']],
  pods: [['.spec.containers', [], 'Required spec.containers'], ['.spec.restartPolicy', 'Odd', 'NotSupported spec.restartPolicy']],
  podtemplates: [['.template.spec.containers', [], 'Required template.spec.containers']],
  replicationcontrollers: [['.spec.replicas', -1, 'Invalid spec.replicas']],
  resourcequotas: [['.spec.hard', { 'pods': '-1' }, 'Invalid spec.hard[pods]']],
  secrets: [['.type', 'kubernetes.io/tls', 'Required data[tls.crt]']],
  serviceaccounts: [['.metadata.name', 'A_b', 'Invalid metadata.name']],
  services: [['.spec.ports', [], 'Required spec.ports'], ['.spec.sessionAffinity', 'Odd', 'NotSupported spec.sessionAffinity']],
  controllerrevisions: [['.revision', -1, 'Invalid revision']],
  daemonsets: [['.spec.selector', undefined, 'Required spec.selector']],
  deployments: [['.spec.selector.matchLabels', { a: 'c' }, 'Invalid spec.template.metadata.labels'], ['.spec.replicas', -1, 'Invalid spec.replicas']],
  replicasets: [['.spec.replicas', -1, 'Invalid spec.replicas']],
  statefulsets: [['.spec.replicas', -1, 'Invalid spec.replicas'], ['.spec.podManagementPolicy', 'Odd', 'NotSupported spec.podManagementPolicy']],
  jobs: [['.spec.completions', -1, 'Invalid spec.completions']],
  cronjobs: [['.spec.schedule', 'often', 'Invalid spec.schedule']],
  horizontalpodautoscalers: [['.spec.maxReplicas', 0, 'Invalid spec.maxReplicas'], ['.spec.scaleTargetRef.name', undefined, 'Required spec.scaleTargetRef.name']],
  poddisruptionbudgets: [['.spec', { minAvailable: 1, maxUnavailable: 1 }, 'Invalid spec']],
  customresourcedefinitions: [['.spec.scope', 'Odd', 'NotSupported spec.scope'], ['.spec.versions', [], 'Required spec.versions']],
  certificatesigningrequests: [['.spec.usages', [], 'Required spec.usages']],
  leases: [['.spec.leaseDurationSeconds', 0, 'Invalid spec.leaseDurationSeconds']],
  endpointslices: [['.addressType', 'Odd', 'NotSupported addressType'], ['.endpoints', [{ addresses: [] }], 'Required endpoints[0].addresses']],
  ingressclasses: [['.spec.controller', 'plain', 'Invalid spec.controller'], ['.spec.parameters', { kind: 'A', name: 'b', scope: 'Namespace' }, 'Required spec.parameters.namespace']],
  ingresses: [['.spec', {}, 'Invalid spec']],
  networkpolicies: [['.spec.policyTypes', ['Odd'], 'NotSupported spec.policyTypes[0]']],
  runtimeclasses: [['.handler', '', 'Required handler'], ['.handler', 'A_b', 'Invalid handler']],
  clusterrolebindings: [['.roleRef.kind', 'Role', 'NotSupported roleRef.kind']],
  rolebindings: [['.roleRef.name', '', 'Required roleRef.name']],
  clusterroles: [['.rules', [{ apiGroups: [''], resources: ['pods'] }], 'Required rules[0].verbs']],
  roles: [['.rules', [{ nonResourceURLs: ['/a'], verbs: ['get'] }], 'Invalid rules[0].nonResourceURLs']],
  priorityclasses: [['.value', 2_000_000_001, 'Forbidden value']],
  csidrivers: [['.spec.fsGroupPolicy', 'Odd', 'NotSupported spec.fsGroupPolicy']],
  csinodes: [['.spec.drivers', [{ name: 'a' }], 'Required spec.drivers[0].nodeID']],
  csistoragecapacities: [['.storageClassName', '', 'Required storageClassName'], ['.capacity', '-1', 'Invalid capacity']],
  storageclasses: [['.provisioner', '', 'Required provisioner'], ['.volumeBindingMode', 'Odd', 'NotSupported volumeBindingMode']],
  volumeattachments: [['.spec.source', {}, 'Required spec.source'], ['.spec.attacher', '', 'Required spec.attacher']],
  volumeattributesclasses: [['.driverName', '', 'Required driverName'], ['.parameters', {}, 'Required parameters']],
  apiservices: [['.spec.versionPriority', 0, 'Invalid spec.versionPriority'], ['.spec.caBundle', 'eA==', 'Invalid spec.caBundle'], ['.spec.service', { namespace: 'a' }, 'Required spec.service.name'], ['.metadata.name', 'v2.example.com', 'Invalid metadata.name']],
  flowschemas: [['.spec.matchingPrecedence', 10_001, 'Invalid spec.matchingPrecedence'], ['.spec.priorityLevelConfiguration.name', '', 'Required spec.priorityLevelConfiguration.name'], ['.spec.rules', [{ subjects: [] }], 'Required spec.rules[0].subjects']],
  prioritylevelconfigurations: [['.spec.type', 'Odd', 'NotSupported spec.type'], ['.spec.limited.limitResponse.queuing.handSize', 100, 'Invalid spec.limited.limitResponse.queuing.handSize'], ['.spec.limited', undefined, 'Required spec.limited']],
  ipaddresses: [['.metadata.name', 'a', 'Invalid metadata.name'], ['.spec.parentRef.name', '', 'Required spec.parentRef.name']],
  servicecidrs: [['.spec.cidrs', [], 'Required spec.cidrs'], ['.spec.cidrs', ['x'], 'Invalid spec.cidrs[0]'], ['.spec.cidrs', ['10.0.0.0/24', '10.1.0.0/24'], 'Invalid spec.cidrs']],
  deviceclasses: [['.metadata.name', 'A_b', 'Invalid metadata.name']],
  resourceclaims: [['.spec.devices.requests', [{ name: 'a' }], 'Required spec.devices.requests[0]'], ['.spec.devices.requests', [{ name: 'A_b', exactly: { deviceClassName: 'x' } }], 'Invalid spec.devices.requests[0].name']],
  resourceclaimtemplates: [['.spec.spec.devices.requests', [{ name: 'a', exactly: {} }], 'Required spec.spec.devices.requests[0].exactly.deviceClassName']],
  resourceslices: [['.spec.pool.resourceSliceCount', 0, 'Invalid spec.pool.resourceSliceCount'], ['.spec.allNodes', true, 'Invalid spec']],
  mutatingwebhookconfigurations: [['.webhooks', [{ name: 'a.b.c', clientConfig: { url: 'http://x' }, sideEffects: 'None', admissionReviewVersions: ['v1'] }], 'Invalid webhooks[0].clientConfig.url']],
  validatingwebhookconfigurations: [['.webhooks', [{ name: 'a.b.c', clientConfig: {}, sideEffects: 'None', admissionReviewVersions: ['v1'] }], 'Required webhooks[0].clientConfig']],
  validatingadmissionpolicies: [['.spec.validations', [{ expression: 'object.' }], 'Invalid spec.validations[0].expression']],
  validatingadmissionpolicybindings: [['.spec.policyName', '', 'Required spec.policyName']],
  mutatingadmissionpolicies: [['.spec.reinvocationPolicy', 'Often', 'NotSupported spec.reinvocationPolicy']],
  mutatingadmissionpolicybindings: [['.spec.policyName', '', 'Required spec.policyName']],
}

/** What may not change. */
const fixed: Readonly<Record<string, readonly Case[]>> = {
  pods: [['.spec.nodeName', 'n', 'Forbidden spec']],
  secrets: [['.type', 'example.com/other', 'Invalid type']],
  services: [['.spec.clusterIP', '10.96.77.7', 'Invalid spec.clusterIPs[0]']],
  persistentvolumeclaims: [['.spec.accessModes', ['ReadWriteMany'], 'Forbidden spec'], ['.spec.resources.requests.storage', '1Mi', 'Forbidden spec.resources.requests.storage']],
  persistentvolumes: [['.spec.hostPath.path', '/other', 'Forbidden spec.persistentvolumesource']],
  controllerrevisions: [['.data', { a: 'b' }, 'Invalid data']],
  daemonsets: [['.spec.selector.matchLabels', { a: 'b', c: 'd' }, 'Invalid spec.selector']],
  deployments: [['.spec.selector.matchLabels', { a: 'b', c: 'd' }, 'Invalid spec.selector']],
  replicasets: [['.spec.selector.matchLabels', { a: 'b', c: 'd' }, 'Invalid spec.selector']],
  statefulsets: [['.spec.serviceName', 'other', 'Forbidden spec']],
  jobs: [['.spec.completionMode', 'Indexed', 'Invalid spec.completionMode']],
  customresourcedefinitions: [['.spec.scope', 'Namespaced', 'Invalid spec.scope']],
  endpointslices: [['.addressType', 'IPv6', 'Invalid addressType']],
  ingressclasses: [['.spec.controller', 'a.b/c', 'Invalid spec.controller']],
  runtimeclasses: [['.handler', 'y', 'Invalid handler']],
  clusterrolebindings: [['.roleRef.name', 'edit', 'Invalid roleRef']],
  rolebindings: [['.roleRef.name', 'edit', 'Invalid roleRef']],
  priorityclasses: [['.value', 7, 'Forbidden value']],
  csidrivers: [['.spec.attachRequired', false, 'Invalid spec.attachRequired']],
  csistoragecapacities: [['.storageClassName', 'y', 'Invalid storageClassName']],
  storageclasses: [['.provisioner', 'y', 'Forbidden provisioner'], ['.parameters', { a: 'b' }, 'Forbidden parameters']],
  volumeattachments: [['.spec.nodeName', 'y', 'Invalid spec']],
  volumeattributesclasses: [['.driverName', 'y', 'Forbidden driverName']],
  ipaddresses: [['.spec.parentRef.name', 'y', 'Invalid spec.parentRef']],
  servicecidrs: [['.spec.cidrs', ['10.251.0.0/24'], 'Invalid spec.cidrs']],
  resourceclaims: [['.spec.devices', {}, 'Invalid spec']],
  resourceclaimtemplates: [['.spec.spec', {}, 'Invalid spec']],
  resourceslices: [['.spec.driver', 'y', 'Invalid spec.driver']],
}

type Json = Record<string, unknown>

function changed(object: Json, path: string, value: unknown): Json {
  const made = cloneJson(object)
  setValueAt(made, path, value)
  return JSON.parse(JSON.stringify(made)) as Json
}

const causesOf = (body: Json): string[] => (((body['details'] as Json | undefined)?.['causes'] ?? []) as { reason?: string; field?: string }[]).map(({ reason = '', field = '' }) => `${reason.replace('FieldValue', '')} ${field}`)
const casesOf = (table: Readonly<Record<string, readonly Case[]>>, row: ResourceDescriptor): readonly Case[] => table[qualified(row)] ?? table[row.plural] ?? []
const rows = builtinResources().filter((row) => verbsOf(row).includes('update'))

t.test('what is wrong is refused with its field and reason, for every kind', async (t) => {
  const { server } = await startTestServer(t)
  for (const row of rows) {
    const cases = casesOf(bad, row)
    t.ok(cases.length > 0, `${row.group}/${row.plural} has a case`)
    for (const [path, value, cause] of cases) {
      const object = changed({ metadata: { name: 'refused-test' }, ...leastOf(row) }, path, value)
      const { status, body } = await ask(server, 'POST', collection(row), object)
      t.equal(status, 422, `${row.plural} ${path}`)
      t.ok(causesOf(body).includes(cause), `${row.plural} ${path}: ${cause}, not ${causesOf(body).join('; ')}`)
    }
  }
})

t.test('what may not change is refused when it does', async (t) => {
  const { server } = await startTestServer(t)
  for (const row of rows) {
    for (const [path, value, cause] of casesOf(fixed, row)) {
      const object = { metadata: { name: 'fixed-test' }, ...leastOf(row) } as Json
      const { name } = object['metadata'] as { name: string }
      await ask(server, 'POST', collection(row), object)
      const current = await ask(server, 'GET', `${collection(row)}/${name}`)
      t.equal(current.status, 200, `${row.plural} is there`)
      const wanted = changed(current.body, path, value)
      delete (wanted['metadata'] as Json)['resourceVersion']
      const { status, body } = await ask(server, 'PUT', `${collection(row)}/${name}`, wanted)
      t.equal(status, 422, `${row.plural} ${path}`)
      t.ok(causesOf(body).includes(cause), `${row.plural} ${path}: ${cause}, not ${causesOf(body).join('; ')}`)
    }
  }
})
