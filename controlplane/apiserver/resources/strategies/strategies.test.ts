import t from 'tap'
import type { Namespace, Pod, PodSpec, Service } from '../../../../api/types.ts'
import type { Strategy } from '../../descriptor.ts'
import { cloneJson } from '../../object.ts'
import { contextOf, created, now, rowNamed } from '../test-support/table.ts'
import { qosClass } from './pod.ts'

function strategy(name: string): Strategy {
  return rowNamed(name).strategy as Strategy
}

const spec: PodSpec = { containers: [{ name: 'a', image: 'x' }], terminationGracePeriodSeconds: 30 }

t.test('a pod is deleted at once where nothing runs, and else after its grace period', (t) => {
  const grace = (pod: Partial<Pod>, gracePeriodSeconds?: number): unknown => {
    const object = { metadata: {}, spec, ...pod }
    return strategy('pods').gracefulDelete?.(object, gracePeriodSeconds === undefined ? {} : { gracePeriodSeconds }, contextOf())
  }
  const onNode = { spec: { ...spec, nodeName: 'n' } }
  t.equal(grace({}), 'now', 'without a node')
  t.equal(grace({ ...onNode, status: { phase: 'Succeeded' } }), 'now', 'when it has ended')
  t.equal(grace(onNode, 0), 'now', 'by force')
  t.same(grace(onNode), { graceSeconds: 30 })
  t.same(grace(onNode, 5), { graceSeconds: 5 })
  t.same(grace({ ...onNode, metadata: { deletionGracePeriodSeconds: 7 } }), { graceSeconds: 7 }, 'a second request without a period prolongs nothing')
  t.end()
})

t.test('a new pod waits, with its class of service', (t) => {
  t.same(created('pods', { spec, status: { phase: 'Running' } })['status'], { phase: 'Pending', qosClass: 'BestEffort' })
  const gated = created('pods', { spec: { ...spec, schedulingGates: [{ name: 'g' }] } })['status'] as Pod['status']
  t.match(gated?.conditions, [{ type: 'PodScheduled', status: 'False', reason: 'SchedulingGated' }])
  t.throws(() => created('pods', { spec: { ...spec, ephemeralContainers: [{ name: 'e', image: 'x' }] } }), /spec.ephemeralContainers: Forbidden: cannot be set on create/)
  t.end()
})

t.test('the class of service follows from requests and limits', (t) => {
  const of = (...resources: object[]): string => qosClass({ containers: resources.map((one) => ({ name: 'a', resources: one })) })
  t.equal(of({}), 'BestEffort')
  t.equal(of({ limits: { cpu: '0' } }), 'BestEffort')
  t.equal(of({ requests: { cpu: '1' } }), 'Burstable')
  t.equal(of({ limits: { cpu: '1', memory: '1Gi' } }), 'Guaranteed')
  t.equal(of({ limits: { cpu: '1', memory: '1Gi' }, requests: { cpu: '1000m', memory: '1024Mi' } }), 'Guaranteed')
  t.equal(of({ limits: { cpu: '1', memory: '1Gi' }, requests: { cpu: '500m' } }), 'Burstable')
  t.equal(of({ limits: { cpu: '1', memory: '1Gi' } }, {}), 'Burstable')
  t.end()
})

t.test('the status of a pod keeps its class, and its addresses agree', (t) => {
  const old = { metadata: {}, spec, status: { phase: 'Pending', qosClass: 'Burstable' } } as Pod
  const update = (status: Pod['status']): Pod['status'] => {
    const pod = { ...cloneJson(old), ...(status === undefined ? {} : { status }) }
    strategy('pods').prepareForStatusUpdate?.(pod, old, contextOf())
    return pod.status
  }
  t.same(update({ podIP: '10.0.0.1' }), { podIP: '10.0.0.1', podIPs: [{ ip: '10.0.0.1' }], qosClass: 'Burstable' })
  t.same(update({ podIPs: [{ ip: '10.0.0.2' }] }), { podIP: '10.0.0.2', podIPs: [{ ip: '10.0.0.2' }], qosClass: 'Burstable' })
  t.end()
})

t.test('a namespace keeps its finalizer whatever an update says, and loses it by finalize alone', (t) => {
  const old = created('namespaces', { metadata: { name: 'x' } }) as unknown as Namespace
  t.match(old, { metadata: { labels: { 'kubernetes.io/metadata.name': 'x' } }, spec: { finalizers: ['kubernetes'] }, status: { phase: 'Active' } })
  const updated = { ...cloneJson(old), spec: {} }
  strategy('namespaces').prepareForUpdate?.(updated, old, contextOf())
  strategy('namespaces').validateUpdate?.(updated, old, contextOf())
  t.same(updated.spec, { finalizers: ['kubernetes'] })
  t.end()
})

t.test('a job selects its own pods, by its uid', (t) => {
  const job = created('jobs.batch', { metadata: { name: 'j', uid: 'u-1' }, spec: { template: { spec } } })
  t.match(job, { spec: { selector: { matchLabels: { 'batch.kubernetes.io/controller-uid': 'u-1' } }, template: { metadata: { labels: { 'job-name': 'j', 'batch.kubernetes.io/controller-uid': 'u-1' } } } } })
  const manual = created('jobs.batch', { metadata: { name: 'j', uid: 'u-1' }, spec: { manualSelector: true, selector: { matchLabels: { a: 'b' } }, template: { spec } } })
  t.match(manual, { spec: { selector: { matchLabels: { a: 'b' } } } })
  t.end()
})

t.test('a certificate request is that of whoever sends it', (t) => {
  const request = created('certificatesigningrequests.certificates.k8s.io', { spec: { request: 'eA==', signerName: 'a.b/c', username: 'root', groups: ['system:masters'] } })
  t.match(request['spec'], { username: 'jane', groups: ['system:authenticated'] })
  t.end()
})

t.test('a service that changes its type gives back what it no longer needs', (t) => {
  const change = (before: Partial<Service['spec']>, after: (spec: Service['spec']) => void): Service['spec'] => {
    const row = strategy('services')
    const old = created('services', { metadata: { name: 's', namespace: 'd' }, spec: before }) as unknown as Service
    row.reserve?.(old, undefined, contextOf()).commit()
    const service = cloneJson(old)
    after(service.spec)
    row.applyDefaults?.(service)
    row.prepareForUpdate?.(service, old, contextOf())
    row.reserve?.(service, old, contextOf({ services: [old] })).commit()
    return service.spec
  }
  const ports = [{ port: 80 }]
  const plain = change({ type: 'NodePort', ports }, (spec) => void (spec.type = 'ClusterIP'))
  t.equal(plain.ports?.[0]?.nodePort, undefined)
  t.equal(plain.externalTrafficPolicy, undefined)
  t.type(plain.clusterIP, 'string')
  const outside = change({ ports }, (spec) => void Object.assign(spec, { type: 'ExternalName', externalName: 'a.b' }))
  t.same([outside.clusterIP, outside.clusterIPs, outside.ipFamilies], [undefined, undefined, undefined])
  let address: string | undefined
  const kept = change({ type: 'NodePort', ports }, (spec) => {
    address = `${spec.clusterIP} ${spec.ports?.[0]?.nodePort}`
    delete spec.clusterIP
    delete spec.clusterIPs
    spec.ports = [{ port: 80 }]
  })
  t.equal(`${kept.clusterIP} ${kept.ports?.[0]?.nodePort}`, address, 'what is left out is kept')
  const local = change({ type: 'LoadBalancer', externalTrafficPolicy: 'Local', ports }, (spec) => void (spec.externalTrafficPolicy = 'Cluster'))
  t.equal(local.healthCheckNodePort, undefined)
  t.end()
})

t.test('field selectors read what they are named for', (t) => {
  const read = (name: string, field: string, object: object): unknown => rowNamed(name).fieldSelectors?.[field]?.({ metadata: {}, ...object })
  t.equal(read('pods', 'spec.nodeName', { spec: { nodeName: 'n' } }), 'n')
  t.equal(read('pods', 'spec.nodeName', { spec: {} }), '')
  t.equal(read('pods', 'status.phase', { spec }), '')
  t.equal(read('pods', 'spec.hostNetwork', { spec }), 'false')
  t.equal(read('events', 'involvedObject.name', { involvedObject: { name: 'x' } }), 'x')
  t.equal(read('events', 'source', { involvedObject: {}, reportingComponent: 'c' }), 'c')
  t.equal(read('secrets', 'type', { type: 'Opaque' }), 'Opaque')
  t.equal(read('nodes', 'spec.unschedulable', {}), 'false')
  t.equal(now, contextOf().now)
  t.end()
})
