import t from 'tap'
import type { Endpoint, EndpointSlice, Node, Pod, Service, ServicePort } from '../../../api/types.ts'
import { wantedGroups } from './endpoints.ts'
import type { EndpointGroup } from './endpoints.ts'
import { planSlices } from './plan.ts'
import type { SlicePlan } from './plan.ts'

function service(spec: Partial<Service['spec']> = {}): Service {
  return { metadata: { namespace: 'default', name: 'web', uid: 'web' }, spec: { selector: { app: 'x' }, ports: [{ name: 'http', port: 80, targetPort: 'http' }], ipFamilies: ['IPv4'], ...spec } }
}

function pod(name: string, more: { readonly ip?: string; readonly ready?: boolean; readonly phase?: 'Running' | 'Failed'; readonly deleted?: boolean; readonly port?: number; readonly spec?: Partial<Pod['spec']> } = {}): Pod {
  const { ip = '10.0.0.1', ready = true, phase = 'Running', deleted = false, port = 8080, spec = {} } = more
  return {
    metadata: { namespace: 'default', name, uid: name, labels: { app: 'x' }, ...(deleted ? { deletionTimestamp: '2026-01-01T00:00:00Z' } : {}) },
    spec: { nodeName: 'n1', containers: [{ name: 'main', ports: [{ name: 'http', containerPort: port }] }], ...spec },
    status: { phase, ...(ip === '' ? {} : { podIP: ip, podIPs: ip.includes(',') ? ip.split(',').map((one) => ({ ip: one })) : [{ ip }] }), conditions: [{ type: 'Ready', status: ready ? 'True' : 'False' }] },
  }
}

const node: Node = { metadata: { name: 'n1', labels: { 'topology.kubernetes.io/zone': 'a' } }, spec: {} }
const groups = (of: Service, pods: Pod[], type: 'IPv4' | 'IPv6' = 'IPv4'): EndpointGroup[] => wantedGroups(of, pods, type, () => node)

t.test('conditions say what a pod can do', async (t) => {
  const cases: readonly (readonly [Pod, Endpoint['conditions']])[] = [
    [pod('a'), { ready: true, serving: true, terminating: false }],
    [pod('a', { ready: false }), { ready: false, serving: false, terminating: false }],
    [pod('a', { deleted: true }), { ready: false, serving: true, terminating: true }],
    [pod('a', { deleted: true, ready: false }), { ready: false, serving: false, terminating: true }],
  ]
  for (const [one, conditions] of cases) t.same(groups(service(), [one])[0]?.endpoints[0]?.conditions, conditions)
  t.same(groups(service({ publishNotReadyAddresses: true }), [pod('a', { ready: false })])[0]?.endpoints[0]?.conditions, { ready: true, serving: false, terminating: false })
})

t.test('pods without an address and pods that have ended are no endpoints', async (t) => {
  t.same(groups(service(), [pod('a', { ip: '' }), pod('b', { phase: 'Failed' })]), [])
})

t.test('each family takes its own address', async (t) => {
  const dual = pod('a', { ip: '10.0.0.1,fd00::1' })
  t.same(groups(service(), [dual], 'IPv6')[0]?.endpoints[0]?.addresses, ['fd00::1'])
  t.same(groups(service(), [dual])[0]?.endpoints[0]?.addresses, ['10.0.0.1'])
})

t.test('a named port is looked up in each pod: different numbers make different groups, none leaves the pod out', async (t) => {
  const found = groups(service(), [pod('a'), pod('b', { port: 9090 }), pod('c', { spec: { containers: [{ name: 'main' }] } }), pod('d')])
  t.same(found.map(({ ports, endpoints }) => [ports[0]?.port, endpoints.map(({ targetRef }) => targetRef?.name)]), [[8080, ['a', 'd']], [9090, ['b']]])
})

t.test('ports keep number, protocol and name; a sidecar may have the named one', async (t) => {
  const ports: ServicePort[] = [{ name: 'dns', port: 53, protocol: 'UDP' }, { name: 'm', port: 1, targetPort: 'metrics', appProtocol: 'h2c' }]
  const sidecar = pod('a', { spec: { initContainers: [{ name: 's', restartPolicy: 'Always', ports: [{ name: 'metrics', containerPort: 9 }] }] } })
  t.same(groups(service({ ports }), [sidecar])[0]?.ports, [{ name: 'dns', port: 53, protocol: 'UDP' }, { name: 'm', port: 9, protocol: 'TCP', appProtocol: 'h2c' }])
})

t.test('hostname, node, zone and hints are told', async (t) => {
  const [group] = groups(service({ clusterIP: 'None', trafficDistribution: 'PreferClose' }), [pod('a', { spec: { hostname: 'first', subdomain: 'web' } })])
  t.match(group?.endpoints[0], { hostname: 'first', nodeName: 'n1', zone: 'a', hints: { forZones: [{ name: 'a' }] }, targetRef: { kind: 'Pod', namespace: 'default', name: 'a', uid: 'a' } })
})

const endpoint = (name: string, ready = true): Endpoint => ({ addresses: [`10.0.0.${name}`], conditions: { ready }, targetRef: { kind: 'Pod', uid: name } })
const range = (from: number, to: number): Endpoint[] => Array.from({ length: to - from + 1 }, (_, i) => endpoint(String(from + i)))
const http = { name: 'http', port: 8080, protocol: 'TCP' as const }

/** The slices that a plan leaves, given those that were there. */
function after(plan: SlicePlan, have: readonly EndpointSlice[]): EndpointSlice[] {
  const kept = have.filter((slice) => !plan.delete.includes(slice)).map((slice) => plan.update.find(({ metadata }) => metadata.name === slice.metadata.name) ?? slice)
  return [...kept, ...plan.create.map((slice, i) => ({ ...slice, metadata: { ...slice.metadata, name: `made-${have.length + i}` } }))]
}

const plan = (endpoints: readonly Endpoint[], have: readonly EndpointSlice[], of = service()): SlicePlan => planSlices(of, () => (endpoints.length === 0 ? [] : [{ ports: [http], endpoints }]), have)
const writes = ({ create, update, delete: gone }: SlicePlan): number[] => [create.length, update.length, gone.length]

t.test('a slice holds a hundred endpoints at most, and what stays the same is not written again', async (t) => {
  const first = plan(range(1, 230), [])
  const slices = after(first, [])
  t.same(slices.map(({ endpoints }) => endpoints?.length), [100, 100, 30])
  t.same(writes(plan(range(1, 230), slices)), [0, 0, 0])
})

t.test('one more, one less and one changed endpoint write one slice each', async (t) => {
  const slices = after(plan(range(1, 230), []), [])
  t.same(writes(plan(range(1, 231), slices)), [0, 1, 0])
  t.same(writes(plan(range(2, 230), slices)), [0, 1, 0])
  t.same(writes(plan([...range(1, 229), endpoint('230', false)], slices)), [0, 1, 0])
})

t.test('a replaced endpoint takes the place that came free', async (t) => {
  const slices = after(plan(range(1, 200), []), [])
  t.same(writes(plan(range(2, 201), slices)), [0, 1, 0])
})

t.test('a slice that falls empty goes; the last one stays, empty, and is filled again', async (t) => {
  const slices = after(plan(range(1, 130), []), [])
  t.same(writes(plan(range(1, 100), slices)), [0, 0, 1])
  const none = plan([], slices)
  t.same(writes(none), [0, 1, 1])
  const empty = after(none, slices)
  t.same(empty.map(({ endpoints }) => endpoints), [[]])
  t.same(writes(plan([], empty)), [0, 0, 0])
  t.same(writes(plan(range(1, 3), empty)), [0, 1, 0])
})

t.test('labels and owner come from the service, and a new label is written to every slice', async (t) => {
  const slices = after(plan(range(1, 130), []), [])
  t.match(slices[0]?.metadata, { generateName: 'web-', labels: { 'kubernetes.io/service-name': 'web', 'endpointslice.kubernetes.io/managed-by': 'endpointslice-controller.k8s.io' }, ownerReferences: [{ kind: 'Service', uid: 'web', controller: true }] })
  const labelled = { ...service(), metadata: { ...service().metadata, labels: { team: 'a' } } }
  t.same(writes(plan(range(1, 130), slices, labelled)), [0, 2, 0])
  t.equal(plan(range(1, 1), [], service({ clusterIP: 'None' })).create[0]?.metadata.labels?.['service.kubernetes.io/headless'], '')
})

t.test('a family that the service no longer has loses its slices', async (t) => {
  const dual = service({ ipFamilies: ['IPv4', 'IPv6'] })
  const slices = after(plan(range(1, 2), [], dual), [])
  t.same(slices.map(({ addressType }) => addressType), ['IPv4', 'IPv6'])
  t.same(writes(plan(range(1, 2), slices)), [0, 0, 1])
})
