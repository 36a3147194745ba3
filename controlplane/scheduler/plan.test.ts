import t from 'tap'
import type { Container, Node, Pod, PodSpec, Taint } from '../../api/types.ts'
import { planPod } from './plan.ts'
import { podRequests } from './requests.ts'
import { takeSnapshot } from './snapshot.ts'

interface NodeSketch {
  readonly labels?: Record<string, string>
  readonly taints?: Taint[]
  readonly unschedulable?: boolean
  readonly cpu?: string
}

function node(name: string, { labels = {}, taints, unschedulable, cpu = '4' }: NodeSketch = {}): Node {
  return {
    metadata: { name, labels: { 'kubernetes.io/hostname': name, ...labels } },
    spec: { ...(taints === undefined ? {} : { taints }), ...(unschedulable === undefined ? {} : { unschedulable }) },
    status: { allocatable: { cpu, memory: '8Gi', pods: '110' } },
  }
}

function container(requests: Record<string, string> = {}, more: Partial<Container> = {}): Container {
  return { name: 'main', image: 'busybox:1', resources: { requests }, ...more }
}

let serial = 0
function pod(spec: Partial<PodSpec> = {}, labels: Record<string, string> = {}, owner?: string): Pod {
  serial += 1
  const ownerReferences = owner === undefined ? [] : [{ apiVersion: 'apps/v1', kind: 'ReplicaSet', name: owner, uid: owner, controller: true }]
  return { metadata: { name: `pod-${serial}`, namespace: 'default', labels, ownerReferences }, spec: { containers: [container()], ...spec } }
}

function decide(wanted: Pod, nodes: Node[], placed: Pod[] = []): ReturnType<typeof planPod> {
  return planPod(wanted, takeSnapshot(nodes, placed, [{ metadata: { name: 'default' } }], () => undefined), () => 0)
}

const placeable: readonly { readonly title: string; readonly pod: Pod; readonly nodes: Node[]; readonly placed?: Pod[]; readonly expect: string }[] = [
  { title: 'a pod goes where it fits', pod: pod({ containers: [container({ cpu: '3' })] }), nodes: [node('a', { cpu: '2' }), node('b')], expect: 'b' },
  { title: 'a node selector decides', pod: pod({ nodeSelector: { disk: 'ssd' } }), nodes: [node('a'), node('b', { labels: { disk: 'ssd' } })], expect: 'b' },
  { title: 'a toleration lets a pod onto a tainted node', pod: pod({ nodeSelector: { x: 'y' }, tolerations: [{ key: 'gpu', operator: 'Exists' }] }), nodes: [node('a', { labels: { x: 'y' }, taints: [{ key: 'gpu', effect: 'NoSchedule' }] })], expect: 'a' },
  { title: 'pods of one owner spread', pod: pod({}, {}, 'rs'), nodes: [node('a'), node('b')], placed: [pod({ nodeName: 'a' }, {}, 'rs')], expect: 'b' },
  { title: 'the emptier node is preferred', pod: pod(), nodes: [node('a'), node('b')], placed: [pod({ nodeName: 'a', containers: [container({ cpu: '2', memory: '4Gi' })] })], expect: 'b' },
  { title: 'a finished pod takes no room', pod: pod({ containers: [container({ cpu: '3' })] }), nodes: [node('a')], placed: [{ ...pod({ nodeName: 'a', containers: [container({ cpu: '3' })] }), status: { phase: 'Succeeded' } }], expect: 'a' },
  { title: 'a taint to avoid is avoided', pod: pod(), nodes: [node('a', { taints: [{ key: 'k', effect: 'PreferNoSchedule' }] }), node('b')], expect: 'b' },
  {
    title: 'the first pod of a group that wants to be near itself is placed',
    pod: pod({ affinity: { podAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [{ labelSelector: { matchLabels: { app: 'x' } }, topologyKey: 'kubernetes.io/hostname' }] } } }, { app: 'x' }),
    nodes: [node('a')], expect: 'a',
  },
]
for (const { title, pod: wanted, nodes, placed, expect } of placeable) t.test(title, async (t) => t.same(decide(wanted, nodes, placed), { node: expect }))

const refused: readonly { readonly title: string; readonly pod: Pod; readonly nodes: Node[]; readonly placed?: Pod[]; readonly expect: string }[] = [
  { title: 'without nodes there is nothing to choose from', pod: pod(), nodes: [], expect: 'no nodes available to schedule pods' },
  { title: 'missing resources are named', pod: pod({ containers: [container({ cpu: '5' })] }), nodes: [node('a'), node('b')], expect: '0/2 nodes are available: 2 Insufficient cpu.' },
  { title: 'reasons of different nodes are counted apart', pod: pod({ nodeSelector: { disk: 'ssd' } }), nodes: [node('a', { unschedulable: true }), node('b')], expect: "0/2 nodes are available: 1 node(s) didn't match Pod's node affinity/selector, 1 node(s) were unschedulable." },
  { title: 'a taint is named', pod: pod(), nodes: [node('a', { taints: [{ key: 'k', value: 'v', effect: 'NoExecute' }] })], expect: '0/1 nodes are available: 1 node(s) had untolerated taint(s) {k: v}.' },
  {
    title: 'a host port is given once', expect: "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports.",
    pod: pod({ containers: [container({}, { ports: [{ containerPort: 80, hostPort: 80 }] })] }), nodes: [node('a')],
    placed: [pod({ nodeName: 'a', containers: [container({}, { ports: [{ containerPort: 8080, hostPort: 80, hostIP: '10.0.0.1' }] })] })],
  },
  {
    title: 'anti-affinity of a pod already there keeps others away', pod: pod({}, { app: 'x' }), nodes: [node('a')],
    placed: [pod({ nodeName: 'a', affinity: { podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [{ labelSelector: { matchLabels: { app: 'x' } }, topologyKey: 'kubernetes.io/hostname' }] } } })],
    expect: "0/1 nodes are available: 1 node(s) didn't match pod anti-affinity rules.",
  },
  {
    title: 'a hard spread constraint bounds the skew', nodes: [node('a', { cpu: '8' }), node('b', { cpu: '1' })],
    pod: pod({ containers: [container({ cpu: '2' })], topologySpreadConstraints: [{ maxSkew: 1, topologyKey: 'kubernetes.io/hostname', whenUnsatisfiable: 'DoNotSchedule', labelSelector: { matchLabels: { app: 'x' } } }] }, { app: 'x' }),
    placed: [pod({ nodeName: 'a' }, { app: 'x' })],
    expect: "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) didn't match pod topology spread constraints.",
  },
]
for (const { title, pod: wanted, nodes, placed, expect } of refused) t.test(title, async (t) => t.same(decide(wanted, nodes, placed), { message: expect }))

t.test('the request of a pod is that of its containers or of its largest init container, with sidecars beside both', async (t) => {
  const spec: PodSpec = {
    containers: [container({ cpu: '1' }), container({ cpu: '500m' })],
    initContainers: [container({ cpu: '200m' }, { restartPolicy: 'Always' }), container({ cpu: '3' })],
  }
  t.match(podRequests({ metadata: {}, spec }), { cpu: 3.2, pods: 1 })
})
