import t from 'tap'
import type { DaemonSet, Node, Pod, Taint } from '../../../api/types.ts'
import { template } from '../test-support/cluster.ts'
import { daemonPodSpec, daemonSetStatus, planDaemons, targetNode } from './plan.ts'

const now = Date.UTC(2026, 0, 1, 12)

function node(name: string, taints: Taint[] = [], labels: Record<string, string> = {}): Node {
  return { metadata: { name, labels }, spec: { taints } }
}

interface PodSketch {
  readonly hash?: string
  readonly ready?: boolean
  readonly deleted?: boolean
  readonly phase?: 'Running' | 'Failed'
  readonly created?: string
}

function pod(node: string, { hash = 'new', ready = true, deleted = false, phase = 'Running', created = '09:00' }: PodSketch = {}): Pod {
  return {
    metadata: { name: `${node}-${hash}`, uid: `${node}-${hash}`, labels: { 'controller-revision-hash': hash }, creationTimestamp: `2026-01-01T${created}:00Z`, ...(deleted ? { deletionTimestamp: '2026-01-01T11:00:00Z' } : {}) },
    spec: { containers: [], nodeName: node }, status: { phase, conditions: [{ type: 'Ready', status: ready ? 'True' : 'False', lastTransitionTime: '2026-01-01T10:00:00Z' }] },
  }
}

function set(update: DaemonSet['spec']['updateStrategy'] = {}, spec: Partial<DaemonSet['spec']['template']['spec']> = {}): DaemonSet {
  return { metadata: { name: 'agent', generation: 1 }, spec: { selector: { matchLabels: { app: 'a' } }, updateStrategy: update, template: template({ app: 'a' }, 'busybox:1', spec) } }
}

const rolling = (maxUnavailable: number | string, maxSurge: number | string = 0): DaemonSet['spec']['updateStrategy'] => ({ type: 'RollingUpdate', rollingUpdate: { maxUnavailable, maxSurge } })
const old = (node: string, more: PodSketch = {}): Pod => pod(node, { hash: 'old', ...more })
const abc = ['a', 'b', 'c'].map((name) => node(name))

const cases: readonly { readonly title: string; readonly set?: DaemonSet; readonly nodes?: Node[]; readonly pods?: Pod[]; readonly create?: string[]; readonly remove?: string[] }[] = [
  { title: 'every node gets one', create: ['a', 'b', 'c'] },
  { title: 'nodes that are not ready or cordoned get one too', nodes: [node('a', [{ key: 'node.kubernetes.io/not-ready', effect: 'NoExecute' }]), node('b', [{ key: 'node.kubernetes.io/unschedulable', effect: 'NoSchedule' }])], create: ['a', 'b'] },
  { title: 'a taint keeps new ones away but drives none off', nodes: [node('a', [{ key: 'k', effect: 'NoSchedule' }]), node('b', [{ key: 'k', effect: 'NoSchedule' }])], pods: [pod('a')] },
  { title: 'a NoExecute taint drives it off', nodes: [node('a', [{ key: 'k', effect: 'NoExecute' }])], pods: [pod('a')], remove: ['a-new'] },
  { title: 'a node selector chooses', set: set({}, { nodeSelector: { disk: 'ssd' } }), nodes: [node('a', [], { disk: 'ssd' }), node('b')], pods: [pod('b')], create: ['a'], remove: ['b-new'] },
  { title: 'one that is still going must be gone first', nodes: [node('a')], pods: [pod('a', { deleted: true })] },
  { title: 'of two the older stays', nodes: [node('a')], pods: [pod('a', { created: '10:00' }), old('a')], remove: ['a-new'] },
  { title: 'a failed one goes, and another comes when it is gone', nodes: [node('a')], pods: [pod('a', { phase: 'Failed' })], remove: ['a-new'] },
  { title: 'one old pod is replaced at a time', set: set(rolling(1)), nodes: abc, pods: [old('a'), old('b'), old('c')], remove: ['a-old'] },
  { title: 'none is replaced while one is missing', set: set(rolling(1)), nodes: abc, pods: [pod('a', { ready: false }), old('b'), old('c')] },
  { title: 'one that does not work is replaced at once', set: set(rolling(1)), nodes: abc, pods: [pod('a', { ready: false }), old('b', { ready: false }), old('c')], remove: ['b-old'] },
  { title: 'a share of the nodes is rounded up', set: set(rolling('50%')), nodes: abc, pods: [old('a'), old('b'), old('c')], remove: ['a-old', 'b-old'] },
  { title: 'with surge the new one comes first', set: set(rolling(0, 1)), nodes: abc, pods: [old('a'), old('b'), old('c')], create: ['a'] },
  { title: 'with surge the old one goes when the new one works', set: set(rolling(0, 1)), nodes: abc, pods: [old('a'), pod('a'), old('b'), old('c')], remove: ['a-old'] },
  { title: 'OnDelete replaces nothing by itself', set: set({ type: 'OnDelete' }), nodes: abc, pods: [old('a'), old('b'), old('c')] },
]
for (const { title, set: daemons = set(), nodes = abc, pods = [], create = [], remove = [] } of cases) {
  t.test(title, async (t) => {
    const plan = planDaemons({ set: daemons, nodes, pods, hash: 'new', now })
    t.same([plan.create, plan.delete.map(({ metadata }) => metadata.name)], [create, remove])
  })
}

t.test("a daemon's pod is meant for one node, whatever affinity its template has", async (t) => {
  const affinity = { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [{ matchExpressions: [{ key: 'x', operator: 'Exists' as const }] }, {}] } } }
  const spec = daemonPodSpec({ containers: [], affinity }, 'a')
  t.equal(targetNode({ metadata: {}, spec }), 'a')
  t.ok(spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms.every(({ matchFields }) => matchFields?.[0]?.values?.[0] === 'a'))
})

t.test('the status counts nodes', async (t) => {
  const nodes = [...abc, node('d', [{ key: 'k', effect: 'NoSchedule' }])]
  t.same(daemonSetStatus({ set: set(), nodes, pods: [pod('a'), old('b'), pod('c', { ready: false }), pod('d')], hash: 'new', now }), {
    currentNumberScheduled: 3, numberMisscheduled: 1, desiredNumberScheduled: 3, numberReady: 2, updatedNumberScheduled: 2, numberAvailable: 2, numberUnavailable: 1, observedGeneration: 1,
  })
})
