import t from 'tap'
import type { KubeObject, ResourceQuota } from '../../api/types.ts'
import { amountOf, listed, quantityOf, resourcesOf } from './amounts.ts'
import { countUsed, resourcesIn } from './count.ts'
import { inScope } from './scopes.ts'
import { usageOf } from './usage.ts'

const now = Date.UTC(2026, 0, 1)
const object = (spec: object, more: object = {}): KubeObject => ({ apiVersion: 'v1', kind: 'X', metadata: { name: 'x' }, spec, ...more }) as KubeObject
const container = (requests: object, limits: object = {}, more: object = {}): object => ({ name: 'c', image: 'x', resources: { requests, limits }, ...more })

t.test('what an object takes', (t) => {
  const cases: [resource: string, object: KubeObject, usage: Record<string, string>][] = [
    ['widgets.example.com', object({}), { 'count/widgets.example.com': '1' }],
    ['configmaps', object({}), { 'count/configmaps': '1', configmaps: '1' }],
    ['pods', object({ containers: [container({ cpu: '100m', memory: '1Gi', 'example.com/gpu': '2' }, { cpu: '1' }), container({ cpu: '200m', memory: '512Mi' })], overhead: { memory: '512Mi' } }), {
      'count/pods': '1', pods: '1', cpu: '300m', 'requests.cpu': '300m', memory: '2Gi', 'requests.memory': '2Gi', 'requests.example.com/gpu': '2', 'limits.cpu': '1',
    }],
    ['pods', object({ containers: [container({ cpu: '1' })], initContainers: [container({ cpu: '100m' }, {}, { restartPolicy: 'Always' }), container({ cpu: '2' })] }), { 'count/pods': '1', pods: '1', cpu: '2100m', 'requests.cpu': '2100m' }],
    ['pods', object({ containers: [container({ cpu: '1' })] }, { status: { phase: 'Succeeded' } }), { 'count/pods': '1' }],
    ['pods', object({ containers: [container({ cpu: '1' })] }, { metadata: { name: 'x', deletionTimestamp: '2025-12-31T23:59:00Z', deletionGracePeriodSeconds: 30 } }), { 'count/pods': '1' }],
    ['services', object({ type: 'NodePort', ports: [{ port: 1 }, { port: 2 }] }), { 'count/services': '1', services: '1', 'services.nodeports': '2' }],
    ['services', object({ type: 'LoadBalancer', ports: [{ port: 1 }] }), { 'count/services': '1', services: '1', 'services.nodeports': '1', 'services.loadbalancers': '1' }],
    ['services', object({ type: 'LoadBalancer', allocateLoadBalancerNodePorts: false, ports: [{ port: 1 }, { port: 2, nodePort: 30000 }] }), { 'count/services': '1', services: '1', 'services.nodeports': '1', 'services.loadbalancers': '1' }],
    ['persistentvolumeclaims', object({ storageClassName: 'fast', resources: { requests: { storage: '2Gi' } } }), {
      'count/persistentvolumeclaims': '1', persistentvolumeclaims: '1', 'requests.storage': '2Gi', 'fast.storageclass.storage.k8s.io/requests.storage': '2Gi', 'fast.storageclass.storage.k8s.io/persistentvolumeclaims': '1',
    }],
  ]
  for (const [resource, one, usage] of cases) t.same(resourcesOf(usageOf(resource, one, now)), usage, `${resource} ${JSON.stringify(usage)}`)
  t.end()
})

t.test('scopes', (t) => {
  const pod = (spec: object): KubeObject => object({ containers: [container({})], ...spec })
  const busy = pod({ containers: [container({ cpu: '1' })] })
  const cases: [spec: object, one: KubeObject, isIn: boolean][] = [
    [{}, busy, true],
    [{ scopes: ['BestEffort'] }, pod({}), true],
    [{ scopes: ['BestEffort'] }, busy, false],
    [{ scopes: ['NotBestEffort', 'Terminating'] }, busy, false],
    [{ scopes: ['NotBestEffort', 'NotTerminating'] }, busy, true],
    [{ scopes: ['Terminating'] }, pod({ activeDeadlineSeconds: 0 }), true],
    [{ scopeSelector: { matchExpressions: [{ scopeName: 'PriorityClass', operator: 'In', values: ['high'] }] } }, pod({ priorityClassName: 'high' }), true],
    [{ scopeSelector: { matchExpressions: [{ scopeName: 'PriorityClass', operator: 'NotIn', values: ['high'] }] } }, pod({ priorityClassName: 'high' }), false],
    [{ scopeSelector: { matchExpressions: [{ scopeName: 'PriorityClass', operator: 'DoesNotExist' }] } }, pod({}), true],
    [{ scopes: ['CrossNamespacePodAffinity'] }, pod({ affinity: { podAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [{ topologyKey: 'a', namespaces: ['b'] }] } } }), true],
    [{ scopes: ['CrossNamespacePodAffinity'] }, pod({ affinity: { podAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [{ topologyKey: 'a' }] } } }), false],
  ]
  for (const [spec, one, isIn] of cases) t.equal(inScope(spec, 'pods', one), isIn, JSON.stringify(spec))
  t.notOk(inScope({ scopes: ['BestEffort'] }, 'services', object({})))
  t.end()
})

t.test('what a namespace has used', (t) => {
  const quota = { apiVersion: 'v1', kind: 'ResourceQuota', metadata: { name: 'q' }, spec: { hard: { pods: '4', 'requests.cpu': '2', 'count/jobs.batch': '1', secrets: '3' } } } as ResourceQuota
  t.same(resourcesIn(quota), ['pods', 'secrets', 'jobs.batch'])
  const objects: Record<string, KubeObject[]> = { pods: [object({ containers: [container({ cpu: '500m' })] }), object({ containers: [container({ cpu: '250m' })] })], secrets: [object({})] }
  t.same(resourcesOf(countUsed(quota, (resource) => objects[resource] ?? [], now)), { pods: '2', 'requests.cpu': '750m', 'count/jobs.batch': '0', secrets: '1' })
  t.end()
})

t.test('amounts are exact and written as quantities', (t) => {
  t.equal(amountOf('0.1') + amountOf('200m'), amountOf('0.3'))
  t.equal(quantityOf('memory', amountOf('1Gi') + amountOf('512Mi')), '1536Mi')
  t.equal(quantityOf('pods', amountOf('2000')), '2k')
  t.equal(listed(new Map([['pods', 1000n], ['cpu', 1500n]])), 'cpu=1500m,pods=1')
  t.end()
})
