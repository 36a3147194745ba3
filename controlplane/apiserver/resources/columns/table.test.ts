import t from 'tap'
import { builtinResources } from '../index.ts'
import { ago, cells, now, rowNamed } from '../test-support/table.ts'

const metadata = { name: 'x', namespace: 'default', creationTimestamp: ago(3600) }
const template = { metadata: { labels: { app: 'web' } }, spec: { containers: [{ name: 'a', image: 'one' }, { name: 'b', image: 'two' }] } }
const spec = { selector: { matchLabels: { tier: 'front', app: 'web' } }, template }

const cases: [string, object, string][] = [
  ['services', { spec: { type: 'ClusterIP', clusterIP: '10.96.0.5', ports: [{ port: 80, protocol: 'TCP' }] } }, 'x | ClusterIP | 10.96.0.5 | <none> | 80/TCP | 60m | <none>'],
  ['services', { spec: { type: 'ClusterIP', clusterIP: 'None', selector: { b: '2', a: '1' } } }, 'x | ClusterIP | None | <none> | <none> | 60m | a=1,b=2'],
  ['services', { spec: { type: 'NodePort', clusterIP: '10.96.0.5', ports: [{ port: 80, nodePort: 30080, protocol: 'TCP' }, { port: 53, nodePort: 30053, protocol: 'UDP' }] } }, 'x | NodePort | 10.96.0.5 | <none> | 80:30080/TCP,53:30053/UDP | 60m | <none>'],
  ['services', { spec: { type: 'LoadBalancer', clusterIP: '10.96.0.5' } }, 'x | LoadBalancer | 10.96.0.5 | <pending> | <none> | 60m | <none>'],
  ['services', { spec: { type: 'LoadBalancer', clusterIP: '10.96.0.5', externalIPs: ['2.2.2.2'] }, status: { loadBalancer: { ingress: [{ ip: '1.1.1.1' }] } } }, 'x | LoadBalancer | 10.96.0.5 | 1.1.1.1,2.2.2.2 | <none> | 60m | <none>'],
  ['services', { spec: { type: 'ExternalName', externalName: 'example.com' } }, 'x | ExternalName | <none> | example.com | <none> | 60m | <none>'],
  ['endpoints', { subsets: [{ addresses: [{ ip: '10.0.0.1' }, { ip: '10.0.0.2' }], ports: [{ port: 80 }, { port: 443 }] }] }, 'x | 10.0.0.1:80,10.0.0.2:80,10.0.0.1:443 + 1 more... | 60m'],
  ['endpoints', {}, 'x | <none> | 60m'],
  ['endpointslices.discovery.k8s.io', { addressType: 'IPv4', ports: [{ port: 80 }, {}], endpoints: [{ addresses: ['10.0.0.1'] }, { addresses: ['10.0.0.2'] }] }, 'x | IPv4 | 80,* | 10.0.0.1,10.0.0.2 | 60m'],
  ['endpointslices.discovery.k8s.io', { addressType: 'IPv6', ports: [], endpoints: null }, 'x | IPv6 | <unset> | <unset> | 60m'],
  [
    'nodes',
    {
      metadata: { ...metadata, labels: { 'node-role.kubernetes.io/control-plane': '', 'kubernetes.io/role': 'edge' } },
      spec: { unschedulable: true },
      status: {
        conditions: [{ type: 'Ready', status: 'True' }],
        addresses: [{ type: 'InternalIP', address: '172.18.0.2' }],
        nodeInfo: { kubeletVersion: 'v1.35.0', osImage: 'Debian', kernelVersion: '6.1', containerRuntimeVersion: 'docker://20.10' },
      },
    },
    'x | Ready,SchedulingDisabled | control-plane,edge | 60m | v1.35.0 | 172.18.0.2 | <none> | Debian | 6.1 | docker://20.10',
  ],
  ['nodes', { spec: {}, status: { conditions: [{ type: 'Ready', status: 'Unknown' }] } }, 'x | NotReady | <none> | 60m |  | <none> | <none> | <unknown> | <unknown> | <unknown>'],
  ['deployments.apps', { spec: { ...spec, replicas: 3 }, status: { readyReplicas: 2, updatedReplicas: 3, availableReplicas: 1 } }, 'x | 2/3 | 3 | 1 | 60m | a,b | one,two | app=web,tier=front'],
  ['replicasets.apps', { spec: { ...spec, replicas: 3 }, status: { replicas: 2, readyReplicas: 1 } }, 'x | 3 | 2 | 1 | 60m | a,b | one,two | app=web,tier=front'],
  ['statefulsets.apps', { spec: { ...spec, replicas: 1 } }, 'x | 0/1 | 60m | a,b | one,two'],
  [
    'daemonsets.apps',
    { spec: { ...spec, template: { ...template, spec: { ...template.spec, nodeSelector: { disk: 'ssd' } } } }, status: { desiredNumberScheduled: 3, currentNumberScheduled: 2, numberReady: 1, updatedNumberScheduled: 2, numberAvailable: 1 } },
    'x | 3 | 2 | 1 | 2 | 1 | disk=ssd | 60m | a,b | one,two | app=web,tier=front',
  ],
  ['jobs.batch', { spec: { ...spec, completions: 3, parallelism: 1 }, status: { succeeded: 1, startTime: ago(65) } }, 'x | Running | 1/3 | 65s | 60m | a,b | one,two | app=web,tier=front'],
  ['jobs.batch', { spec: { ...spec, parallelism: 3 }, status: { succeeded: 1, startTime: ago(65), completionTime: ago(5), conditions: [{ type: 'Complete', status: 'True' }] } }, 'x | Complete | 1/1 of 3 | 60s | 60m | a,b | one,two | app=web,tier=front'],
  ['cronjobs.batch', { spec: { schedule: '*/5 * * * *', suspend: false, jobTemplate: { spec } }, status: { lastScheduleTime: ago(30), active: [{}] } }, 'x | */5 * * * * | <none> | False | 1 | 30s | 60m | a,b | one,two | app=web,tier=front'],
  ['configmaps', { data: { a: '' }, binaryData: { b: '' } }, 'x | 2 | 60m'],
  ['secrets', { type: 'Opaque', data: { a: '' } }, 'x | Opaque | 1 | 60m'],
  ['namespaces', { status: { phase: 'Active' } }, 'x | Active | 60m'],
  ['leases.coordination.k8s.io', { spec: { holderIdentity: 'node-1' } }, 'x | node-1 | 60m'],
  ['ingresses.networking.k8s.io', { spec: { rules: [{ host: 'a.b' }, {}], tls: [{}] } }, 'x | <none> | a.b,* |  | 80, 443 | 60m'],
  ['networkpolicies.networking.k8s.io', { spec: { podSelector: { matchLabels: { a: 'b' } } } }, 'x | a=b | 60m'],
  ['poddisruptionbudgets.policy', { spec: { minAvailable: '50%' }, status: { disruptionsAllowed: 2 } }, 'x | 50% | N/A | 2 | 60m'],
  ['horizontalpodautoscalers.autoscaling', { spec: { scaleTargetRef: { kind: 'Deployment', name: 'web' }, minReplicas: 1, maxReplicas: 5, metrics: [{ type: 'Resource', resource: { name: 'cpu', target: { averageUtilization: 80 } } }] }, status: { currentReplicas: 2, currentMetrics: [{ resource: { current: { averageUtilization: 12 } } }] } }, 'x | Deployment/web | cpu: 12%/80% | 1 | 5 | 2 | 60m'],
  ['rolebindings.rbac.authorization.k8s.io', { roleRef: { kind: 'Role', name: 'r' }, subjects: [{ kind: 'User', name: 'u' }, { kind: 'ServiceAccount', name: 's', namespace: 'n' }] }, 'x | Role/r | 60m | u |  | n/s'],
  ['certificatesigningrequests.certificates.k8s.io', { spec: { signerName: 'a/b', username: 'jane' }, status: { conditions: [{ type: 'Approved', status: 'True' }], certificate: 'eA==' } }, 'x | 60m | a/b | jane | <none> | Approved,Issued'],
  ['persistentvolumeclaims', { spec: { volumeName: 'v', volumeMode: 'Filesystem' }, status: { phase: 'Bound', capacity: { storage: '1Gi' }, accessModes: ['ReadWriteOnce'] } }, 'x | Bound | v | 1Gi | RWO |  | <unset> | 60m | Filesystem'],
  ['storageclasses.storage.k8s.io', { metadata: { ...metadata, annotations: { 'storageclass.kubernetes.io/is-default-class': 'true' } }, provisioner: 'p' }, 'x (default) | p | Delete | Immediate | false | 60m'],
  ['resourcequotas', { status: { hard: { 'limits.cpu': '2', cpu: '1' }, used: { cpu: '500m' } } }, 'x | cpu: 500m/1 | limits.cpu: 0/2 | 60m'],
  [
    'events',
    { type: 'Warning', reason: 'Failed', message: 'no\n', involvedObject: { kind: 'Pod', name: 'web', fieldPath: 'spec.containers{a}' }, source: { component: 'kubelet', host: 'n' }, firstTimestamp: ago(60), lastTimestamp: ago(5), count: 4 },
    '5s | Warning | Failed | pod/web | spec.containers{a} | kubelet, n | no | 60s | 4 | x',
  ],
  ['events', { eventTime: ago(5), reportingComponent: 'c', involvedObject: {} }, '5s |  |  | / |  | c |  | 5s | 1 | x'],
  ['controllerrevisions.apps', { metadata: { ...metadata, ownerReferences: [{ apiVersion: 'apps/v1', kind: 'DaemonSet', name: 'd', uid: 'u', controller: true }] }, revision: 3 }, 'x | daemonset.apps/d | 3 | 60m'],
]

for (const [name, object, row] of cases) {
  t.test(`${name}: ${row}`, (t) => {
    t.equal(cells(rowNamed(name).columns, { metadata, ...object }, true), row)
    t.end()
  })
}

t.test('every kind that is kept has columns, and shows an object of which nothing is known', (t) => {
  for (const row of builtinResources()) {
    if (row.virtual === true) continue
    t.ok(row.columns.length > 1, row.plural)
    const bare = row.strategy === undefined ? { metadata: {} } : { metadata: {}, spec: {} }
    row.strategy?.applyDefaults?.(bare)
    for (const column of row.columns) t.doesNotThrow(() => column.value(bare, { now }), `${row.plural} ${column.name}`)
  }
  t.end()
})
