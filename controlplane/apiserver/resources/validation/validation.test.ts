import t from 'tap'
import { refusals, updateRefusals } from '../test-support/table.ts'

const container = { name: 'a', image: 'x' }
const pod = (spec: object): object => ({ spec: { containers: [container], ...spec } })
const withContainer = (rest: object): object => pod({ containers: [{ ...container, ...rest }] })
const template = (rest: object = {}): object => ({ metadata: { labels: { app: 'web' } }, spec: { containers: [container], ...rest } })
const work = (rest: object = {}): object => ({ spec: { selector: { matchLabels: { app: 'web' } }, template: template(), ...rest } })
const job = (rest: object): object => ({ spec: { template: template({ restartPolicy: 'Never' }), ...rest } })
const cron = (rest: object): object => ({ spec: { schedule: '0 0 * * *', jobTemplate: job({}), ...rest } })
const scaled = (rest: object): object => ({ spec: { scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'd' }, maxReplicas: 3, ...rest } })
const backend = { service: { name: 'a', port: { number: 80 } } }
const port = (rest: object = {}): object => ({ port: 80, ...rest })
const service = (spec: object): object => ({ spec: { ports: [port()], ...spec } })

/** Kind, what is sent, and the beginning of each refusal; none for what is right. */
const cases: [string, object, ...string[]][] = [
  ['pods', pod({})],
  ['pods', pod({ containers: [] }), 'spec.containers: Required'],
  ['pods', {}, 'spec.containers: Required'],
  ['pods', pod({ containers: [{ name: 'a' }] }), 'spec.containers[0].image: Required'],
  ['pods', pod({ containers: [{ image: 'x' }] }), 'spec.containers[0].name: Required'],
  ['pods', pod({ containers: [{ name: 'A_b', image: 'x' }] }), 'spec.containers[0].name: Invalid: a lowercase RFC 1123 label'],
  ['pods', pod({ containers: [container, container] }), 'spec.containers[1].name: Duplicate'],
  ['pods', pod({ initContainers: [container] }), 'spec.containers[0].name: Duplicate'],
  ['pods', withContainer({ image: ' x' }), 'spec.containers[0].image: Invalid: must not have leading or trailing whitespace'],
  ['pods', withContainer({ imagePullPolicy: 'Often' }), 'spec.containers[0].imagePullPolicy: NotSupported: supported values: "Always", "IfNotPresent", "Never"'],
  ['pods', withContainer({ ports: [{ containerPort: 70_000 }] }), 'spec.containers[0].ports[0].containerPort: Invalid: must be between 1 and 65535, inclusive'],
  ['pods', withContainer({ ports: [{}] }), 'spec.containers[0].ports[0].containerPort: Required'],
  ['pods', withContainer({ ports: [{ name: 'a-very-long-port-name', containerPort: 1 }] }), 'spec.containers[0].ports[0].name: Invalid: must be no more than 15 characters'],
  ['pods', withContainer({ ports: [{ name: 'http', containerPort: 1 }, { name: 'http', containerPort: 2 }] }), 'spec.containers[0].ports[1].name: Duplicate'],
  ['pods', withContainer({ ports: [{ containerPort: 1, hostPort: 1 }, { containerPort: 2, hostPort: 1 }] }), 'spec.containers[0].ports[1].hostPort: Duplicate'],
  ['pods', withContainer({ env: [{ name: 'A=B' }] }), 'spec.containers[0].env[0].name: Invalid: a valid environment variable name'],
  ['pods', withContainer({ env: [{ name: 'A', value: 'x', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } }] }), 'spec.containers[0].env[0].valueFrom: Invalid: may not be specified when `value` is not empty'],
  ['pods', withContainer({ env: [{ name: 'A', valueFrom: { fieldRef: { fieldPath: 'spec.hostname' } } }] }), 'spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: NotSupported'],
  ['pods', withContainer({ env: [{ name: 'A', valueFrom: { fieldRef: { fieldPath: "metadata.labels['x']" } } }] })],
  ['pods', withContainer({ env: [{ name: 'A', valueFrom: { configMapKeyRef: { name: 'c' } } }] }), 'spec.containers[0].env[0].valueFrom.configMapKeyRef.key: Required'],
  ['pods', withContainer({ volumeMounts: [{ name: 'v', mountPath: '/v' }] }), 'spec.containers[0].volumeMounts[0].name: NotFound'],
  ['pods', { spec: { volumes: [{ name: 'v' }], containers: [{ ...container, volumeMounts: [{ name: 'v', mountPath: '/v' }, { name: 'v', mountPath: '/v' }] }] } }, 'spec.containers[0].volumeMounts[1].mountPath: Invalid: must be unique'],
  ['pods', { spec: { volumes: [{ name: 'v' }], containers: [{ ...container, volumeMounts: [{ name: 'v', mountPath: '/v', subPath: '../x' }] }] } }, "spec.containers[0].volumeMounts[0].subPath: Invalid: must not contain '..'"],
  ['pods', withContainer({ resources: { requests: { cpu: '2' }, limits: { cpu: '1' } } }), 'spec.containers[0].resources.requests: Invalid: must be less than or equal to cpu limit of 1'],
  ['pods', withContainer({ resources: { limits: { cpu: '-1' }, requests: { cpu: '-2' } } }), 'spec.containers[0].resources.limits[cpu]: Invalid: must be greater than or equal to 0', 'spec.containers[0].resources.requests[cpu]: Invalid'],
  ['pods', withContainer({ resources: { limits: { gpu: '1' } } }), 'spec.containers[0].resources.limits[gpu]: Invalid: must be a standard resource for containers', 'spec.containers[0].resources.requests[gpu]: Invalid'],
  ['pods', withContainer({ resources: { limits: { 'example.com/gpu': '1' } } })],
  ['pods', withContainer({ livenessProbe: {} }), 'spec.containers[0].livenessProbe: Required: must specify a handler type'],
  ['pods', withContainer({ livenessProbe: { exec: { command: ['x'] }, tcpSocket: { port: 1 } } }), 'spec.containers[0].livenessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type'],
  ['pods', withContainer({ livenessProbe: { tcpSocket: { port: 1 }, successThreshold: 2 } }), 'spec.containers[0].livenessProbe.successThreshold: Invalid: must be 1'],
  ['pods', withContainer({ readinessProbe: { tcpSocket: { port: 1 }, successThreshold: 2 } })],
  ['pods', withContainer({ readinessProbe: { httpGet: { port: 'a--b' } } }), 'spec.containers[0].readinessProbe.httpGet.port: Invalid: must not contain consecutive hyphens'],
  ['pods', pod({ initContainers: [{ name: 'i', image: 'x', readinessProbe: { tcpSocket: { port: 1 } } }] }), 'spec.initContainers[0].readinessProbe: Forbidden: may not be set for init containers'],
  ['pods', pod({ initContainers: [{ name: 'i', image: 'x', restartPolicy: 'Always', readinessProbe: { tcpSocket: { port: 1 } } }] })],
  ['pods', pod({ volumes: [{ name: 'v' }, { name: 'v' }] }), 'spec.volumes[1].name: Duplicate'],
  ['pods', pod({ volumes: [{ name: 'v', emptyDir: {}, configMap: { name: 'c' } }] }), 'spec.volumes[0].configMap: Forbidden: may not specify more than 1 volume type'],
  ['pods', pod({ volumes: [{ name: 'v', secret: {} }] }), 'spec.volumes[0].secret.secretName: Required'],
  ['pods', pod({ volumes: [{ name: 'v', configMap: { name: 'c', items: [{ key: 'k', path: '/abs' }] } }] }), 'spec.volumes[0].configMap.items[0].path: Invalid: must be a relative path'],
  ['pods', pod({ restartPolicy: 'Sometimes' }), 'spec.restartPolicy: NotSupported: supported values: "Always", "Never", "OnFailure"'],
  ['pods', pod({ dnsPolicy: 'None' }), 'spec.dnsConfig: Required: must provide `dnsConfig` when `dnsPolicy` is None'],
  ['pods', pod({ dnsPolicy: 'None', dnsConfig: { nameservers: ['1.2.3'] } }), 'spec.dnsConfig.nameservers[0]: Invalid: must be a valid IP address'],
  ['pods', pod({ terminationGracePeriodSeconds: -1 }), 'spec.terminationGracePeriodSeconds: Invalid: must be greater than or equal to 0'],
  ['pods', pod({ tolerations: [{ operator: 'Equal' }] }), 'spec.tolerations[0].operator: Invalid: operator must be Exists when `key` is empty'],
  ['pods', pod({ tolerations: [{ key: 'a', operator: 'Exists', effect: 'NoSchedule', tolerationSeconds: 5 }] }), "spec.tolerations[0].effect: Invalid: effect must be 'NoExecute' when `tolerationSeconds` is set"],
  ['pods', pod({ nodeSelector: { 'a b': 'c' } }), 'spec.nodeSelector: Invalid: name part must consist of'],
  ['pods', pod({ affinity: { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [] } } } }), 'spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms: Required'],
  ['pods', pod({ topologySpreadConstraints: [{ topologyKey: 'z', whenUnsatisfiable: 'DoNotSchedule' }] }), 'spec.topologySpreadConstraints[0].maxSkew: Invalid: must be greater than zero'],

  ['services', service({})],
  ['services', { metadata: { name: '1up' }, spec: { ports: [port()] } }, 'metadata.name: Invalid: a DNS-1035 label'],
  ['services', service({ ports: [] }), 'spec.ports: Required'],
  ['services', service({ ports: [], clusterIP: 'None' })],
  ['services', service({ ports: [{ port: 0 }] }), 'spec.ports[0].port: Invalid: must be between 1 and 65535, inclusive'],
  ['services', service({ ports: [port(), port({ port: 81 })] }), 'spec.ports[0].name: Required', 'spec.ports[1].name: Required'],
  ['services', service({ ports: [port({ name: 'a' }), port({ name: 'b' })] }), 'spec.ports[1]: Duplicate'],
  ['services', service({ ports: [port({ name: 'a' }), port({ name: 'b', protocol: 'UDP' })] })],
  ['services', service({ ports: [port({ targetPort: 'no_name' })] }), 'spec.ports[0].targetPort: Invalid'],
  ['services', service({ ports: [port({ nodePort: 30_000 })] }), "spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"],
  ['services', service({ type: 'Magic' }), 'spec.type: NotSupported: supported values: "ClusterIP", "ExternalName", "LoadBalancer", "NodePort"'],
  ['services', service({ type: 'ExternalName' }), 'spec.externalName: Required'],
  ['services', service({ type: 'LoadBalancer', clusterIP: 'None' }), "spec.clusterIPs[0]: Invalid: may not be set to 'None' for LoadBalancer services"],
  ['services', service({ clusterIP: '10.96.0' }), 'spec.clusterIPs[0]: Invalid: must be a valid IP address'],
  ['services', service({ ipFamilies: ['IPv6'] }), 'spec.ipFamilies[0]: Invalid: not configured on this cluster'],
  ['services', service({ ipFamilyPolicy: 'RequireDualStack' }), 'spec.ipFamilyPolicy: Invalid: this cluster is not configured for dual-stack services'],
  ['services', service({ externalTrafficPolicy: 'Local' }), 'spec.externalTrafficPolicy: Invalid: may only be set for externally-accessible services'],
  ['services', service({ sessionAffinity: 'ClientIP', sessionAffinityConfig: { clientIP: { timeoutSeconds: 86_401 } } }), 'spec.sessionAffinityConfig.clientIP.timeoutSeconds: Invalid: must be greater than 0 and less than 86400'],
  ['services', service({ type: 'LoadBalancer', loadBalancerSourceRanges: ['10.0.0.0'] }), 'spec.loadBalancerSourceRanges[0]: Invalid: must be a valid CIDR value'],

  ['deployments.apps', work()],
  ['deployments.apps', {}, 'spec.selector: Required', 'spec.template.spec.containers: Required'],
  ['deployments.apps', work({ selector: { matchLabels: { app: 'other' } } }), 'spec.template.metadata.labels: Invalid: `selector` does not match template `labels`'],
  ['deployments.apps', work({ selector: {} }), 'spec.selector: Invalid: empty selector is invalid for deployment'],
  ['deployments.apps', work({ replicas: -1 }), 'spec.replicas: Invalid: must be greater than or equal to 0'],
  ['deployments.apps', work({ template: template({ restartPolicy: 'Never' }) }), 'spec.template.spec.restartPolicy: NotSupported: supported values: "Always"'],
  ['deployments.apps', work({ strategy: { rollingUpdate: { maxSurge: 0, maxUnavailable: 0 } } }), 'spec.strategy.rollingUpdate.maxUnavailable: Invalid: may not be 0 when `maxSurge` is 0'],
  ['deployments.apps', work({ strategy: { rollingUpdate: { maxSurge: 'many' } } }), 'spec.strategy.rollingUpdate.maxSurge: Invalid: a valid percent string'],
  ['deployments.apps', work({ progressDeadlineSeconds: 5, minReadySeconds: 10 }), 'spec.progressDeadlineSeconds: Invalid: must be greater than minReadySeconds'],
  ['deployments.apps', work({ template: template({ containers: [{ name: 'a' }] }) }), 'spec.template.spec.containers[0].image: Required'],
  ['daemonsets.apps', work()],
  ['statefulsets.apps', work({ podManagementPolicy: 'Random' }), 'spec.podManagementPolicy: NotSupported'],
  ['replicationcontrollers', { spec: { template: template() } }],
  ['jobs.batch', { spec: { template: template({ restartPolicy: 'Never' }) } }],
  ['jobs.batch', { spec: { template: template() } }, 'spec.template.spec.restartPolicy: NotSupported: supported values: "Never", "OnFailure"'],
  ['cronjobs.batch', { spec: { schedule: 'often', jobTemplate: { spec: { template: template({ restartPolicy: 'Never' }) } } } }, 'spec.schedule: Invalid'],

  ['jobs.batch', { spec: { selector: { matchLabels: { a: 'b' } }, template: { ...template({ restartPolicy: 'Never' }), metadata: { labels: { a: 'b' } } } } }, 'spec.selector: Invalid: `selector` not auto-generated'],
  ['jobs.batch', { spec: { manualSelector: true, selector: { matchLabels: { app: 'web' } }, template: template({ restartPolicy: 'Never' }) } }],
  ['jobs.batch', job({ completionMode: 'Indexed', completions: 5, backoffLimitPerIndex: 1, maxFailedIndexes: 5, successPolicy: { rules: [{ succeededCount: 1 }] }, managedBy: 'example.com/other', podFailurePolicy: { rules: [{ action: 'FailIndex', onExitCodes: { operator: 'In', values: [42] } }, { action: 'Ignore', onPodConditions: [{ type: 'DisruptionTarget' }] }] } })],
  ['jobs.batch', job({ backoffLimitPerIndex: 1, successPolicy: { rules: [] } }), 'spec.backoffLimitPerIndex: Invalid: requires indexed completion mode', 'spec.successPolicy: Invalid: requires indexed completion mode'],
  ['jobs.batch', job({ maxFailedIndexes: 1 }), 'spec.backoffLimitPerIndex: Required: when maxFailedIndexes is specified'],
  ['jobs.batch', job({ managedBy: 'other' }), 'spec.managedBy: Invalid: must be a domain-prefixed path'],
  ['jobs.batch', job({ podFailurePolicy: { rules: [{ action: 'FailIndex', onExitCodes: { operator: 'In', values: [0] } }, { action: 'Count' }] } }), 'spec.podFailurePolicy.rules[0].action: Invalid: requires the backoffLimitPerIndex', 'spec.podFailurePolicy.rules[0].onExitCodes.values[0]: Invalid: must not be 0', 'spec.podFailurePolicy.rules[1]: Invalid: specifying one of'],
  ['jobs.batch', { spec: { podFailurePolicy: { rules: [] }, template: template({ restartPolicy: 'OnFailure' }) } }, 'spec.template.spec.restartPolicy: Invalid: only "Never" is supported'],
  ['cronjobs.batch', cron({ timeZone: 'Europe/Berlin' })],
  ['cronjobs.batch', cron({ schedule: '61 * * * *' }), 'spec.schedule: Invalid: Cannot read schedule "61 * * * *": "61" is not within 0-59'],
  ['cronjobs.batch', cron({ schedule: '0 0 L * *' }), 'spec.schedule: Invalid: Cannot read schedule'],
  ['cronjobs.batch', cron({ schedule: 'TZ=UTC 0 0 * * *' }), 'spec.schedule: Invalid: cannot use TZ or CRON_TZ in schedule'],
  ['cronjobs.batch', cron({ timeZone: 'local' }), 'spec.timeZone: Invalid: timeZone must be an explicit time zone'],
  ['cronjobs.batch', cron({ timeZone: '+01:00' }), 'spec.timeZone: Invalid: unknown time zone +01:00'],
  ['daemonsets.apps', work({ updateStrategy: { rollingUpdate: { maxSurge: 1, maxUnavailable: 1 } } }), 'spec.updateStrategy.rollingUpdate.maxSurge: Invalid: may not be set when maxUnavailable is non-zero'],
  ['daemonsets.apps', work({ updateStrategy: { rollingUpdate: { maxUnavailable: '0%' } } }), 'spec.updateStrategy.rollingUpdate.maxUnavailable: Required: cannot be 0 when maxSurge is 0'],

  ['poddisruptionbudgets.policy', { spec: { maxUnavailable: '150%', selector: {}, unhealthyPodEvictionPolicy: 'Never' } }, 'spec.maxUnavailable: Invalid: must not be greater than 100%', 'spec.unhealthyPodEvictionPolicy: NotSupported'],
  ['horizontalpodautoscalers.autoscaling', scaled({ metrics: [{ type: 'ContainerResource', containerResource: { name: 'cpu', container: 'c', target: { type: 'Utilization', averageUtilization: 50 } } }, { type: 'External', external: { metric: { name: 'q' }, target: { type: 'AverageValue', averageValue: '3' } } }], behavior: { scaleDown: { stabilizationWindowSeconds: 0 } } })],
  ['horizontalpodautoscalers.autoscaling', scaled({ metrics: [{ type: 'Resource' }, { type: 'Odd' }] }), 'spec.metrics[0].resource: Required: must populate information', 'spec.metrics[1].type: NotSupported'],
  ['horizontalpodautoscalers.autoscaling', scaled({ metrics: [{ type: 'Pods', pods: { metric: {}, target: { type: 'AverageValue', averageValue: '0' } }, resource: {} }] }), 'spec.metrics[0].resource: Forbidden', 'spec.metrics[0].pods.metric.name: Required', 'spec.metrics[0].pods.target.averageValue: Invalid: must be positive'],
  ['horizontalpodautoscalers.autoscaling', scaled({ metrics: [{ type: 'Resource', resource: { name: 'cpu', target: { type: 'Utilization' } } }] }), 'spec.metrics[0].resource.target.averageUtilization: Required'],
  ['horizontalpodautoscalers.autoscaling', scaled({ behavior: { scaleUp: { stabilizationWindowSeconds: 3601, selectPolicy: 'Odd', policies: [{ type: 'Odd', value: 0, periodSeconds: 1801 }] } } }), 'spec.behavior.scaleUp.stabilizationWindowSeconds: Invalid', 'spec.behavior.scaleUp.selectPolicy: NotSupported', 'spec.behavior.scaleUp.policies[0].type: NotSupported', 'spec.behavior.scaleUp.policies[0].value: Invalid', 'spec.behavior.scaleUp.policies[0].periodSeconds: Invalid: must be less than or equal to 1800'],
  ['ingresses.networking.k8s.io', { metadata: { name: 'i', annotations: { 'kubernetes.io/ingress.class': 'a' } }, spec: { ingressClassName: 'b', defaultBackend: backend } }, 'metadata.annotations[kubernetes.io/ingress.class]: Invalid: can not be set'],
  ['ingresses.networking.k8s.io', { spec: { rules: [{ host: '*.example.com', http: { paths: [{ path: '/', pathType: 'Prefix', backend }, { pathType: 'ImplementationSpecific', backend: { resource: { kind: 'K', name: 'n' } } }] } }], tls: [{ hosts: ['*.example.com'] }] } }],
  ['ingresses.networking.k8s.io', { spec: { rules: [{ host: '10.0.0.1', http: { paths: [{ path: '/a//b', pathType: 'Exact', backend: { service: { name: 'a', port: {} } } }, { path: '/', pathType: 'Prefix', backend: {} }] } }] } }, 'spec.rules[0].host: Invalid: must be a DNS name', "spec.rules[0].http.paths[0].path: Invalid: must not contain '//'", 'spec.rules[0].http.paths[0].backend.service.port: Required', 'spec.rules[0].http.paths[1].backend: Required'],
  ['secrets', { type: 'kubernetes.io/dockerconfigjson', data: { '.dockerconfigjson': 'bm9uZQ==' } }, 'data[.dockerconfigjson]: Invalid'],
  ['services', service({ externalIPs: ['127.0.0.1'], trafficDistribution: 'Odd' }), 'spec.externalIPs[0]: Invalid: may not be', 'spec.trafficDistribution: NotSupported'],
  ['services', service({ type: 'LoadBalancer', loadBalancerSourceRanges: [' 10.0.0.0/8 '] })],

  ['configmaps', { data: { 'a.b_c-D': '' } }],
  ['configmaps', { data: { 'a/b': '' } }, 'data[a/b]: Invalid: a valid config key'],
  ['configmaps', { data: { a: '' }, binaryData: { a: '' } }, 'data[a]: Invalid: duplicate of key present in binaryData'],
  ['configmaps', { data: { a: 'x'.repeat(1024 * 1024 + 1) } }, 'TooLong: may not be more than 1048576 bytes'],
  ['secrets', { type: 'kubernetes.io/tls', data: { 'tls.crt': '' } }, 'data[tls.key]: Required'],
  ['namespaces', { metadata: { name: 'a.b' } }, 'metadata.name: Invalid: a lowercase RFC 1123 label'],
  ['nodes', { spec: { taints: [{ key: 'a', effect: 'Never' }] } }, 'spec.taints[0].effect: NotSupported'],
  ['endpointslices.discovery.k8s.io', { addressType: 'IPv4', endpoints: [{ addresses: ['10.0.0.1'] }], ports: [{ port: 80 }] }],
  ['endpointslices.discovery.k8s.io', { addressType: 'IPv4', endpoints: [{ addresses: ['::2'] }, {}] }, 'endpoints[0].addresses[0]: Invalid: must be an IPv4 address', 'endpoints[1].addresses: Required'],
  ['endpointslices.discovery.k8s.io', {}, 'addressType: Required'],
  ['endpoints', { subsets: [{ addresses: [{ ip: '10.0.0.300' }] }] }, 'subsets[0].addresses[0].ip: Invalid'],
  ['leases.coordination.k8s.io', { spec: { leaseDurationSeconds: 0 } }, 'spec.leaseDurationSeconds: Invalid: must be greater than 0'],
  ['roles.rbac.authorization.k8s.io', { rules: [{ verbs: ['get'], apiGroups: [''], resources: ['pods'] }] }],
  ['roles.rbac.authorization.k8s.io', { rules: [{ apiGroups: [''], resources: ['pods'] }] }, 'rules[0].verbs: Required: verbs must contain at least one value'],
  ['roles.rbac.authorization.k8s.io', { rules: [{ verbs: ['get'], nonResourceURLs: ['/x'] }] }, 'rules[0].nonResourceURLs: Invalid: namespaced rules cannot apply to non-resource URLs'],
  ['clusterroles.rbac.authorization.k8s.io', { rules: [{ verbs: ['get'], nonResourceURLs: ['/x'] }] }],
  ['clusterrolebindings.rbac.authorization.k8s.io', { roleRef: { kind: 'Role', name: 'r' } }, 'roleRef.kind: NotSupported: supported values: "ClusterRole"'],
  ['statefulsets.apps', work({ serviceName: 's', template: template({ containers: [{ ...container, volumeMounts: [{ name: 'data', mountPath: '/data' }] }] }), volumeClaimTemplates: [{ metadata: { name: 'data' }, spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } } }] })],
  ['statefulsets.apps', work({ serviceName: 's', template: template({ containers: [{ ...container, volumeMounts: [{ name: 'other', mountPath: '/data' }] }] }), volumeClaimTemplates: [{ metadata: { name: 'data' }, spec: { accessModes: ['ReadWriteOnce'] } }] }), 'spec.template.spec.containers[0].volumeMounts[0].name: NotFound'],
  ['rolebindings.rbac.authorization.k8s.io', { roleRef: { kind: 'Role', name: 'r' }, subjects: [{ kind: 'ServiceAccount', name: 's' }] }],
  ['clusterrolebindings.rbac.authorization.k8s.io', { roleRef: { kind: 'ClusterRole', name: 'r' }, subjects: [{ kind: 'ServiceAccount', name: 's' }] }, 'subjects[0].namespace: Required'],
  ['poddisruptionbudgets.policy', { spec: { minAvailable: 1, maxUnavailable: 1 } }, 'spec: Invalid: minAvailable and maxUnavailable cannot be both set'],
  ['ingresses.networking.k8s.io', { spec: {} }, 'spec: Invalid: either `defaultBackend` or `rules` must be specified'],
  ['horizontalpodautoscalers.autoscaling', { spec: { scaleTargetRef: { kind: 'Deployment', name: 'x' }, minReplicas: 3, maxReplicas: 2 } }, 'spec.maxReplicas: Invalid: must be greater than or equal to `minReplicas`'],
  ['priorityclasses.scheduling.k8s.io', { value: 2_000_000_000 }, 'value: Forbidden: maximum allowed value of a user defined priority is 1000000000'],
  ['persistentvolumeclaims', { spec: {} }, 'spec.accessModes: Required', 'spec.resources[storage]: Required'],
  ['certificatesigningrequests.certificates.k8s.io', { spec: { signerName: 'plain' } }, 'spec.request: Required', 'spec.usages: Required', 'spec.signerName: Invalid'],
  ['events', { metadata: { name: 'e', namespace: 'a' }, involvedObject: { namespace: 'b' } }, 'involvedObject.namespace: Invalid: does not match event.namespace'],
]

for (const [kind, sent, ...expected] of cases) {
  t.test(`${kind} ${JSON.stringify(sent).slice(0, 120)}: ${expected.length === 0 ? 'right' : expected.join(', ')}`, (t) => {
    const found = refusals(kind, sent as Record<string, unknown>)
    t.equal(found.length, expected.length, found.join('\n'))
    expected.forEach((beginning, i) => t.ok(found[i]?.startsWith(beginning), found[i] ?? beginning))
    t.end()
  })
}

const gated = { containers: [{ ...container, imagePullPolicy: 'Always', resources: {}, terminationMessagePath: '/dev/termination-log', terminationMessagePolicy: 'File' }] }
const onNode = (name: string): object => ({ requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [{ matchExpressions: [{ key: 'kubernetes.io/hostname', operator: 'In', values: [name] }] }] } })

type Change = (object: Record<string, unknown>) => void

const updates: [string, object, Change, ...string[]][] = [
  ['pods', pod({}), set(['spec', 'containers', 0, 'image'], 'y')],
  ['pods', pod({}), set(['spec', 'restartPolicy'], 'Never'), 'spec: Forbidden: pod updates may not change fields other than'],
  ['pods', pod({}), set(['spec', 'nodeName'], 'node-1'), 'spec: Forbidden'],
  ['pods', pod({}), set(['spec', 'containers'], [container, { name: 'b', image: 'x' }]), 'spec.containers: Forbidden: pod updates may not add or remove containers', 'spec: Forbidden'],
  ['pods', pod({}), set(['spec', 'tolerations'], [{ key: 'a', operator: 'Exists' }])],
  ['pods', pod({ tolerations: [{ key: 'a', operator: 'Exists' }] }), set(['spec', 'tolerations'], []), 'spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds'],
  ['pods', pod({ activeDeadlineSeconds: 5 }), set(['spec', 'activeDeadlineSeconds'], 6), 'spec.activeDeadlineSeconds: Invalid: must be less than or equal to previous value'],
  ['pods', pod({ schedulingGates: [{ name: 'a' }] }), set(['spec', 'schedulingGates'], [])],
  ['pods', pod({}), set(['spec', 'schedulingGates'], [{ name: 'a' }]), 'spec.schedulingGates: Forbidden'],
  ['pods', pod({ schedulingGates: [{ name: 'a' }], nodeSelector: { a: 'b' } }), set(['spec'], { ...gated, schedulingGates: [], nodeSelector: { a: 'b', c: 'd' } })],
  ['pods', pod({ schedulingGates: [{ name: 'a' }] }), set(['spec', 'affinity'], { nodeAffinity: onNode('m') })],
  ['pods', pod({ schedulingGates: [{ name: 'a' }] }), set(['spec', 'affinity'], { podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [{ topologyKey: 'zone', labelSelector: {} }] } }), 'spec: Forbidden'],
  ['pods', pod({ schedulingGates: [{ name: 'a' }], nodeSelector: { a: 'b' } }), set(['spec', 'nodeSelector'], { a: 'c' }), 'spec.nodeSelector: Invalid: only additions are allowed'],
  ['pods', pod({ schedulingGates: [{ name: 'a' }], affinity: { nodeAffinity: onNode('n') } }), set(['spec', 'affinity'], { nodeAffinity: onNode('m') }), 'spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0]: Invalid: only additions'],
  ['pods', pod({}), set(['spec', 'nodeSelector'], { a: 'b' }), 'spec: Forbidden'],
  ['services', service({ clusterIP: '10.96.0.5' }), set(['spec', 'clusterIP'], '10.96.0.6'), 'spec.clusterIPs[0]: Invalid: may not change once set'],
  ['services', service({ clusterIP: '10.96.0.5' }), set(['spec', 'clusterIP'], '')],
  ['services', service({ clusterIP: '10.96.0.5' }), set(['spec', 'type'], 'ExternalName'), 'spec.externalName: Required'],
  ['services', service({ clusterIP: '10.96.0.5' }), set(['spec'], { type: 'ExternalName', externalName: 'a.b', clusterIP: '' })],
  ['services', service({ type: 'LoadBalancer', loadBalancerClass: 'a.b/c' }), set(['spec', 'loadBalancerClass'], 'a.b/d'), 'spec.loadBalancerClass: Invalid: may not change once set'],
  ['services', service({ type: 'LoadBalancer', loadBalancerClass: 'a.b/c' }), set(['spec', 'type'], 'ClusterIP')],
  ['deployments.apps', work(), set(['spec', 'selector'], { matchLabels: { app: 'web' }, matchExpressions: [{ key: 'app', operator: 'Exists' }] }), 'spec.selector: Invalid: field is immutable'],
  ['deployments.apps', work(), set(['spec', 'replicas'], 5)],
  ['statefulsets.apps', work(), set(['spec', 'serviceName'], 'x'), 'spec: Forbidden: updates to statefulset spec for fields other than'],
  ['jobs.batch', { spec: { template: template({ restartPolicy: 'Never' }) } }, set(['spec', 'completions'], 3), 'spec.completions: Invalid: field is immutable'],
  ['jobs.batch', { spec: { template: template({ restartPolicy: 'Never' }) } }, set(['spec', 'parallelism'], 3)],
  ['jobs.batch', job({ completionMode: 'Indexed', completions: 3, parallelism: 3 }), set(['spec', 'completions'], 4), 'spec.completions: Invalid: can only be modified in tandem with spec.parallelism'],
  ['jobs.batch', job({ completionMode: 'Indexed', completions: 4, parallelism: 3 }), set(['spec', 'completions'], 3)],
  ['jobs.batch', job({ managedBy: 'example.com/a' }), set(['spec', 'managedBy'], 'example.com/b'), 'spec.managedBy: Invalid: field is immutable'],
  ['jobs.batch', job({ podFailurePolicy: { rules: [] } }), set(['spec', 'podFailurePolicy'], undefined), 'spec.podFailurePolicy: Invalid: field is immutable'],
  ['jobs.batch', job({ suspend: true }), set(['spec', 'template', 'spec', 'nodeSelector'], { a: 'b' })],
  ['jobs.batch', job({ suspend: true }), set(['spec', 'template', 'spec', 'containers', 0, 'image'], 'y'), 'spec.template: Invalid: field is immutable'],
  ['configmaps', { immutable: true, data: { a: 'b' } }, set(['data'], { a: 'c' }), 'data: Forbidden: field is immutable when `immutable` is set'],
  ['configmaps', { immutable: true }, set(['immutable'], false), 'immutable: Forbidden'],
  ['secrets', {}, set(['type'], 'other'), 'type: Invalid: field is immutable'],
  ['nodes', { spec: { podCIDR: '10.244.0.0/24' } }, set(['spec', 'podCIDRs'], ['10.244.1.0/24']), 'spec.podCIDRs: Forbidden'],
  ['nodes', {}, set(['spec', 'podCIDR'], '10.244.0.0/24')],
  ['rolebindings.rbac.authorization.k8s.io', { roleRef: { kind: 'Role', name: 'a' } }, set(['roleRef', 'name'], 'b'), 'roleRef: Invalid: cannot change roleRef'],
  ['endpointslices.discovery.k8s.io', { addressType: 'IPv4' }, set(['addressType'], 'IPv6'), 'addressType: Invalid: field is immutable'],
  ['priorityclasses.scheduling.k8s.io', { value: 1 }, set(['value'], 2), 'value: Forbidden: may not be changed in an update.'],
]

function set(path: (string | number)[], value: unknown): Change {
  return (object) => {
    const target = path.slice(0, -1).reduce((part, step) => (part as Record<string | number, unknown>)[step], object as unknown)
    ;(target as Record<string | number, unknown>)[path.at(-1) as string] = value
  }
}

for (const [kind, before, change, ...expected] of updates) {
  t.test(`update of ${kind} ${JSON.stringify(before).slice(0, 80)}: ${expected.length === 0 ? 'right' : expected.join(', ')}`, (t) => {
    const found = updateRefusals(kind, before as Record<string, unknown>, change)
    t.equal(found.length, expected.length, found.join('\n'))
    expected.forEach((beginning, i) => t.ok(found[i]?.startsWith(beginning), found[i] ?? beginning))
    t.end()
  })
}

t.test('long lists of a pod are checked in time', { timeout: 10_000 }, (t) => {
  const tolerations = Array.from({ length: 20_000 }, (_, i) => ({ key: `k${i}`, operator: 'Exists' }))
  t.same(updateRefusals('pods', pod({ tolerations }) as Record<string, unknown>, set(['spec', 'tolerations'], tolerations.toReversed())), [])
  t.end()
})
