// Every kind over the real request path: created, shown, put again as it was, deleted.
import t from 'tap'
import type { ResourceDescriptor } from '../descriptor.ts'
import { verbsOf } from '../registry.ts'
import { qualified } from '../status.ts'
import { ask, startTestServer } from '../test-support/server.ts'
import { builtinResources } from './index.ts'

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
  volumeattachments: { spec: { attacher: 'x', nodeName: 'x', source: {} } },
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
  'events.events.k8s.io': { eventTime: '2026-01-01T00:00:00.000000Z', type: 'Normal', reason: 'Made', action: 'Making', reportingController: 'example.com/x', reportingInstance: 'x-1', regarding: { kind: 'Pod', namespace: 'default', name: 'x' } },
}

function leastOf(row: ResourceDescriptor): { readonly metadata?: { readonly name: string } } {
  return least[qualified(row)] ?? least[row.plural] ?? {}
}

function collection({ group, version, plural, namespaced }: ResourceDescriptor): string {
  return `${group === '' ? `/api/${version}` : `/apis/${group}/${version}`}${namespaced ? '/namespaces/default' : ''}/${plural}`
}

t.test('every kind is created, shown, put again unchanged, and deleted', async (t) => {
  const { server } = await startTestServer(t)
  for (const row of builtinResources()) {
    // Definitions bear the names of what they define: see custom.test.ts. Ranges are written by the server too: see service-addresses.test.ts.
    if (!verbsOf(row).includes('update') || row.plural === 'customresourcedefinitions' || row.plural === 'servicecidrs') continue
    const [path, strict] = [collection(row), 'fieldValidation=Strict']
    const { name } = leastOf(row).metadata ?? { name: 'kinds-test' }
    const created = await ask(server, 'POST', `${path}?${strict}`, { metadata: { name }, ...leastOf(row) })
    t.equal(created.status, 201, `${row.plural}: ${created.text.slice(0, 300)}`)
    const again = await ask(server, 'PUT', `${path}/${name}?${strict}`, created.body)
    t.equal(again.status, 200, `${row.plural}: ${again.text.slice(0, 300)}`)
    t.same(again.body['spec'], created.body['spec'], `${row.plural}: what was taken is taken again as it is`)
    t.same(again.body['metadata'], created.body['metadata'], `${row.plural}: nothing was written`)
    const table = await ask(server, 'GET', path, undefined, { accept: 'application/json;as=Table;g=meta.k8s.io;v=v1' })
    t.match(table.body, { kind: 'Table', columnDefinitions: row.columns.map(({ name }) => ({ name })) }, row.plural)
    t.ok((await ask(server, 'DELETE', `${path}/${name}`)).status < 300, row.plural)
  }
})

t.test('a scale is read and written where the table says', async (t) => {
  const { server } = await startTestServer(t)
  for (const row of builtinResources()) {
    if (row.scale === undefined) continue
    await ask(server, 'POST', collection(row), { metadata: { name: 'x' }, ...leastOf(row) })
    t.match((await ask(server, 'GET', `${collection(row)}/x/scale`)).body, { kind: 'Scale', spec: { replicas: 1 }, status: { replicas: 0, selector: 'a=b' } }, row.plural)
    await ask(server, 'PATCH', `${collection(row)}/x/scale`, { spec: { replicas: 3 } }, { 'content-type': 'application/merge-patch+json' })
    t.match((await ask(server, 'GET', `${collection(row)}/x`)).body, { spec: { replicas: 3 } }, row.plural)
  }
})

t.test('many services at once get different addresses and ports, and give them back', async (t) => {
  const { server } = await startTestServer(t, { serviceNodePortRange: '30000-30063' })
  const path = '/api/v1/namespaces/default/services'
  const make = (n: number): ReturnType<typeof ask> => ask(server, 'POST', path, { metadata: { name: `s${n}` }, ...least['services'] })
  const numbers = Array.from({ length: 64 }, (_, n) => n)
  type Spec = { clusterIP: string; ports: { nodePort: number }[] }
  for (let round = 0; round < 2; round++) {
    const specs = (await Promise.all(numbers.map(make))).map(({ body }) => body['spec'] as Spec)
    t.equal(new Set(specs.map(({ clusterIP }) => clusterIP)).size, 64)
    t.equal(new Set(specs.map(({ ports }) => ports[0]?.nodePort)).size, 64)
    t.match(await make(64), { status: 500, body: { message: /failed to allocate a nodePort: range is full/ } })
    await Promise.all(numbers.map((n) => ask(server, 'DELETE', `${path}/s${n}`)))
  }
})
