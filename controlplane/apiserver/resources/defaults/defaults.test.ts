import t from 'tap'
import { created } from '../test-support/table.ts'

const container = { name: 'a', image: 'x' }
const podSpec = { containers: [container] }
const work = { selector: { matchLabels: { app: 'web' } }, template: { metadata: { labels: { app: 'web' } }, spec: podSpec } }

/** Kind, what is sent, where to look, and what stands there then. */
const cases: [string, string, object, (object: Record<string, unknown>) => unknown, unknown][] = [
  ['a pod restarts, resolves by the cluster, and has half a minute to end', 'pods', { spec: podSpec }, ({ spec }) => pick(spec, 'restartPolicy', 'dnsPolicy', 'terminationGracePeriodSeconds', 'schedulerName', 'securityContext', 'enableServiceLinks'), { restartPolicy: 'Always', dnsPolicy: 'ClusterFirst', terminationGracePeriodSeconds: 30, schedulerName: 'default-scheduler', securityContext: {}, enableServiceLinks: true }],
  ['a moving tag is always pulled', 'pods', { spec: { containers: ['x', 'x:latest', 'r:5000/x', 'x:1', 'x@sha256:0', 'r:5000/x:1'].map((image) => ({ name: 'a', image })) } }, containers('imagePullPolicy'), ['Always', 'Always', 'Always', 'IfNotPresent', 'IfNotPresent', 'IfNotPresent']],
  ['what is given is kept', 'pods', { spec: { restartPolicy: 'Never', terminationGracePeriodSeconds: 0, containers: [{ ...container, imagePullPolicy: 'Never' }] } }, ({ spec }) => pick(spec, 'restartPolicy', 'terminationGracePeriodSeconds'), { restartPolicy: 'Never', terminationGracePeriodSeconds: 0 }],
  ['messages of a container', 'pods', { spec: podSpec }, first('terminationMessagePath', 'terminationMessagePolicy', 'resources'), { terminationMessagePath: '/dev/termination-log', terminationMessagePolicy: 'File', resources: {} }],
  ['a port is one of TCP', 'pods', { spec: { containers: [{ ...container, ports: [{ containerPort: 80 }] }] } }, first('ports'), { ports: [{ containerPort: 80, protocol: 'TCP' }] }],
  ['with the network of the host, a port is the port of the host', 'pods', { spec: { hostNetwork: true, containers: [{ ...container, ports: [{ containerPort: 80 }] }] } }, first('ports'), { ports: [{ containerPort: 80, hostPort: 80, protocol: 'TCP' }] }],
  ['a probe', 'pods', { spec: { containers: [{ ...container, livenessProbe: { httpGet: { port: 80 } } }] } }, first('livenessProbe'), { livenessProbe: { httpGet: { port: 80, path: '/', scheme: 'HTTP' }, timeoutSeconds: 1, periodSeconds: 10, successThreshold: 1, failureThreshold: 3 } }],
  ['a limit asks for as much, unless a request says otherwise', 'pods', { spec: { containers: [{ ...container, resources: { limits: { cpu: '1', memory: '1Gi' }, requests: { cpu: '100m' } } }] } }, first('resources'), { resources: { limits: { cpu: '1', memory: '1Gi' }, requests: { cpu: '100m', memory: '1Gi' } } }],
  ['not in a template', 'deployments.apps', { spec: { ...work, template: { ...work.template, spec: { containers: [{ ...container, resources: { limits: { cpu: '1' } } }] } } } }, ({ spec }) => at(spec, 'template', 'spec', 'containers', 0, 'resources'), { limits: { cpu: '1' } }],
  ['environment from fields', 'pods', { spec: { containers: [{ ...container, env: [{ name: 'A', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } }] }] } }, first('env'), { env: [{ name: 'A', valueFrom: { fieldRef: { apiVersion: 'v1', fieldPath: 'metadata.name' } } }] }],
  ['a volume without a source is empty', 'pods', { spec: { ...podSpec, volumes: [{ name: 'v' }, { name: 'c', configMap: { name: 'c' } }, { name: 'h', hostPath: { path: '/' } }] } }, ({ spec }) => at(spec, 'volumes'), [{ name: 'v', emptyDir: {} }, { name: 'c', configMap: { name: 'c', defaultMode: 420 } }, { name: 'h', hostPath: { path: '/', type: '' } }]],
  ['the older name of the service account', 'pods', { spec: { ...podSpec, serviceAccount: 'robot' } }, ({ spec }) => pick(spec, 'serviceAccountName', 'serviceAccount'), { serviceAccountName: 'robot', serviceAccount: 'robot' }],
  ['a service', 'services', { spec: { ports: [{ port: 80 }] } }, ({ spec }) => spec, { type: 'ClusterIP', sessionAffinity: 'None', internalTrafficPolicy: 'Cluster', ipFamilies: ['IPv4'], ipFamilyPolicy: 'SingleStack', ports: [{ port: 80, targetPort: 80, protocol: 'TCP' }] }],
  ['a service with affinity', 'services', { spec: { sessionAffinity: 'ClientIP', ports: [] } }, ({ spec }) => at(spec, 'sessionAffinityConfig'), { clientIP: { timeoutSeconds: 10_800 } }],
  ['a service that is reached from outside', 'services', { spec: { type: 'LoadBalancer', ports: [] } }, ({ spec }) => pick(spec, 'externalTrafficPolicy', 'allocateLoadBalancerNodePorts'), { externalTrafficPolicy: 'Cluster', allocateLoadBalancerNodePorts: true }],
  ['a service that is only a name', 'services', { spec: { type: 'ExternalName', externalName: 'a.b' } }, ({ spec }) => spec, { type: 'ExternalName', externalName: 'a.b', sessionAffinity: 'None' }],
  ['a headless service without a selector belongs to both families', 'services', { spec: { clusterIP: 'None' } }, ({ spec }) => pick(spec, 'clusterIPs', 'ipFamilies', 'ipFamilyPolicy'), { clusterIPs: ['None'], ipFamilies: ['IPv4', 'IPv6'], ipFamilyPolicy: 'RequireDualStack' }],
  ['a deployment', 'deployments.apps', { spec: work }, ({ spec }) => pick(spec, 'replicas', 'strategy', 'revisionHistoryLimit', 'progressDeadlineSeconds'), { replicas: 1, strategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: '25%', maxSurge: '25%' } }, revisionHistoryLimit: 10, progressDeadlineSeconds: 600 }],
  ['a deployment of none', 'deployments.apps', { spec: { ...work, replicas: 0, strategy: { type: 'Recreate' } } }, ({ spec }) => pick(spec, 'replicas', 'strategy'), { replicas: 0, strategy: { type: 'Recreate' } }],
  ['a daemon set', 'daemonsets.apps', { spec: work }, ({ spec }) => pick(spec, 'updateStrategy', 'revisionHistoryLimit'), { updateStrategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: 1, maxSurge: 0 } }, revisionHistoryLimit: 10 }],
  ['a stateful set', 'statefulsets.apps', { spec: work }, ({ spec }) => pick(spec, 'replicas', 'podManagementPolicy', 'updateStrategy', 'persistentVolumeClaimRetentionPolicy'), { replicas: 1, podManagementPolicy: 'OrderedReady', updateStrategy: { type: 'RollingUpdate', rollingUpdate: { partition: 0 } }, persistentVolumeClaimRetentionPolicy: { whenDeleted: 'Retain', whenScaled: 'Retain' } }],
  ['a job of one pod', 'jobs.batch', { metadata: { name: 'j' }, spec: { template: { spec: podSpec } } }, ({ spec }) => pick(spec, 'completions', 'parallelism', 'backoffLimit', 'completionMode', 'suspend'), { completions: 1, parallelism: 1, backoffLimit: 6, completionMode: 'NonIndexed', suspend: false }],
  ['a job of a work queue', 'jobs.batch', { metadata: { name: 'j' }, spec: { parallelism: 3, template: { spec: podSpec } } }, ({ spec }) => pick(spec, 'completions', 'parallelism'), { parallelism: 3 }],
  ['an autoscaler that says how to scale', 'horizontalpodautoscalers.autoscaling', { spec: { behavior: { scaleUp: { stabilizationWindowSeconds: 5 } } } }, ({ spec }) => at(spec, 'behavior'), { scaleUp: { stabilizationWindowSeconds: 5, selectPolicy: 'Max', policies: [{ type: 'Pods', value: 4, periodSeconds: 15 }, { type: 'Percent', value: 100, periodSeconds: 15 }] }, scaleDown: { selectPolicy: 'Max', policies: [{ type: 'Percent', value: 100, periodSeconds: 15 }] } }],
  ['a cron job', 'cronjobs.batch', { spec: { schedule: '@daily', jobTemplate: { spec: { template: { spec: podSpec } } } } }, ({ spec }) => pick(spec, 'concurrencyPolicy', 'suspend', 'successfulJobsHistoryLimit', 'failedJobsHistoryLimit'), { concurrencyPolicy: 'Allow', suspend: false, successfulJobsHistoryLimit: 3, failedJobsHistoryLimit: 1 }],
  ['a secret in the clear', 'secrets', { data: { b: 'eA==' }, stringData: { a: 'x' } }, (secret) => pick(secret, 'data', 'stringData', 'type'), { data: { b: 'eA==', a: 'eA==' }, type: 'Opaque' }],
  ['a slice', 'endpointslices.discovery.k8s.io', { ports: [{ port: 80 }] }, ({ ports }) => ports, [{ port: 80, name: '', protocol: 'TCP' }]],
  ['whom a binding binds', 'rolebindings.rbac.authorization.k8s.io', { roleRef: { kind: 'Role', name: 'r' }, subjects: [{ kind: 'User', name: 'u' }, { kind: 'ServiceAccount', name: 's' }] }, (binding) => pick(binding, 'roleRef', 'subjects'), { roleRef: { kind: 'Role', name: 'r', apiGroup: 'rbac.authorization.k8s.io' }, subjects: [{ kind: 'User', name: 'u', apiGroup: 'rbac.authorization.k8s.io' }, { kind: 'ServiceAccount', name: 's' }] }],
  ['a policy says what it is about', 'networkpolicies.networking.k8s.io', { spec: { podSelector: {}, egress: [{ ports: [{ port: 53 }] }] } }, ({ spec }) => spec, { podSelector: {}, egress: [{ ports: [{ port: 53, protocol: 'TCP' }] }], policyTypes: ['Ingress', 'Egress'] }],
  ['a limit range', 'limitranges', { spec: { limits: [{ type: 'Container', max: { cpu: '2' }, min: { memory: '1Mi' } }] } }, ({ spec }) => at(spec, 'limits', 0), { type: 'Container', max: { cpu: '2' }, min: { memory: '1Mi' }, default: { cpu: '2' }, defaultRequest: { cpu: '2', memory: '1Mi' } }],
  ['a node that is new is kept free', 'nodes', {}, ({ spec }) => spec, { taints: [{ key: 'node.kubernetes.io/not-ready', effect: 'NoSchedule' }] }],
]

function pick(object: unknown, ...fields: string[]): Record<string, unknown> {
  return Object.fromEntries(Object.entries(object as object).filter(([field]) => fields.includes(field)))
}

function at(object: unknown, ...path: (string | number)[]): unknown {
  return path.reduce((value, step) => (value as Record<string | number, unknown>)[step], object)
}

function first(...fields: string[]): (object: Record<string, unknown>) => unknown {
  return ({ spec }) => pick(at(spec, 'containers', 0), ...fields)
}

function containers(field: string): (object: Record<string, unknown>) => unknown {
  return ({ spec }) => (at(spec, 'containers') as Record<string, unknown>[]).map((one) => one[field])
}

for (const [name, kind, sent, look, expected] of cases) {
  t.test(`${kind}: ${name}`, (t) => {
    t.same(look(created(kind, sent as Record<string, unknown>)), expected)
    t.end()
  })
}

t.test('defaults of what has them already change nothing', (t) => {
  for (const [, kind, sent] of cases) {
    const metadata = { name: 'x', uid: 'u' }
    const once = created(kind, { ...sent, metadata })
    t.same(created(kind, once), once, kind)
  }
  t.end()
})
