import t from 'tap'
import type { Condition, Node, Pod, Taint, Toleration } from '../../../api/types.ts'
import { leavesAt } from './eviction.ts'
import { drivingIntervalMs, silentConditions, wantedTaints } from './plan.ts'

const now = Date.UTC(2026, 0, 1, 12)

function node(name: string, ready: Condition['status'] | undefined, { taints = [], unschedulable = false, zone = 'a', more = [] }: { readonly taints?: Taint[]; readonly unschedulable?: boolean; readonly zone?: string; readonly more?: Condition[] } = {}): Node {
  const conditions = ready === undefined ? more : [{ type: 'Ready', status: ready }, ...more]
  return { metadata: { name, labels: { 'topology.kubernetes.io/zone': zone } }, spec: { taints, ...(unschedulable ? { unschedulable } : {}) }, status: { conditions } }
}

const short = (taints: readonly Taint[] | undefined): string[] | undefined => taints?.map(({ key, effect }) => `${key.replace('node.kubernetes.io/', '')}:${effect}`)
const driven: Taint[] = [{ key: 'node.kubernetes.io/unreachable', effect: 'NoSchedule' }, { key: 'node.kubernetes.io/unreachable', effect: 'NoExecute', timeAdded: '2026-01-01T00:00:00Z' }]
const foreign: Taint = { key: 'dedicated', value: 'db', effect: 'NoExecute' }

const taintCases: readonly { readonly title: string; readonly node: Node; readonly drive?: boolean; readonly expect: string[] | undefined }[] = [
  { title: 'a ready node has none', node: node('n', 'True'), expect: undefined },
  { title: 'a new node takes no pods yet', node: node('n', undefined), expect: ['not-ready:NoSchedule'] },
  { title: 'a node that is not ready drives pods off', node: node('n', 'False'), drive: true, expect: ['not-ready:NoSchedule', 'not-ready:NoExecute'] },
  { title: 'a node that is held back only takes none', node: node('n', 'Unknown'), drive: false, expect: ['unreachable:NoSchedule'] },
  { title: 'what is there stays as it is', node: node('n', 'Unknown', { taints: driven }), drive: true, expect: undefined },
  { title: 'a node that is back loses its taints, those of others stay', node: node('n', 'True', { taints: [foreign, ...driven] }), expect: ['dedicated:NoExecute'] },
  { title: 'one taint becomes the other', node: node('n', 'False', { taints: driven }), drive: true, expect: ['not-ready:NoSchedule', 'not-ready:NoExecute'] },
  { title: 'pressure and cordon keep new pods away', node: node('n', 'True', { unschedulable: true, more: [{ type: 'DiskPressure', status: 'True' }] }), expect: ['disk-pressure:NoSchedule', 'unschedulable:NoSchedule'] },
]
for (const { title, node, drive = false, expect } of taintCases) t.test(title, async (t) => t.same(short(wantedTaints(node, { drive, now })), expect))

t.test('silence makes every condition unknown, once', async (t) => {
  const conditions = silentConditions(node('n', 'True', { more: [{ type: 'DiskPressure', status: 'False' }] }), now)
  t.same(conditions.map(({ type, status }) => `${type}=${status}`), ['Ready=Unknown', 'MemoryPressure=Unknown', 'DiskPressure=Unknown', 'PIDPressure=Unknown'])
  t.equal(conditions[0]?.reason, 'NodeStatusUnknown')
  t.equal(conditions[1]?.reason, 'NodeStatusNeverUpdated')
  t.same(silentConditions({ ...node('n', undefined), status: { conditions } }, now), [])
})

const zone = (up: number, down: number, name = 'a'): Node[] => [...Array.from({ length: up }, (_, i) => node(`${name}-up-${i}`, 'True', { zone: name })), ...Array.from({ length: down }, (_, i) => node(`${name}-down-${i}`, 'Unknown', { zone: name }))]
const intervals: readonly { readonly title: string; readonly nodes: Node[]; readonly expect: number | undefined }[] = [
  { title: 'a few lost nodes go one every ten seconds', nodes: zone(2, 2), expect: 10_000 },
  { title: 'when most of a small zone is lost, none goes', nodes: zone(2, 3), expect: undefined },
  { title: 'when most of a large zone is lost, they go slowly', nodes: zone(20, 40), expect: 100_000 },
  { title: 'a whole zone may go while another is well', nodes: [...zone(0, 3), ...zone(3, 0, 'b')], expect: 10_000 },
  { title: 'when nobody is heard, none goes', nodes: [...zone(0, 3), ...zone(0, 3, 'b')], expect: undefined },
]
for (const { title, nodes, expect } of intervals) t.test(title, async (t) => t.equal(drivingIntervalMs(nodes, '/a'), expect))

const pod = (...tolerations: Toleration[]): Pod => ({ metadata: {}, spec: { containers: [], tolerations } })
const unreachable: Toleration = { key: 'node.kubernetes.io/unreachable', operator: 'Exists', effect: 'NoExecute' }
const since = (): number => 1000
const leaving: readonly { readonly title: string; readonly pod: Pod; readonly taints?: Taint[]; readonly expect: number | undefined }[] = [
  { title: 'a pod that tolerates nothing goes at once', pod: pod(), expect: 1000 },
  { title: 'a pod that tolerates a taint for a while goes after it', pod: pod({ ...unreachable, tolerationSeconds: 5 }), expect: 6000 },
  { title: 'a pod that tolerates a taint for ever stays', pod: pod(unreachable), expect: undefined },
  { title: 'the taint that is tolerated shortest decides', pod: pod(unreachable, { key: 'dedicated', operator: 'Exists', tolerationSeconds: 3 }), taints: [...driven, foreign], expect: 4000 },
  { title: 'one taint that is not tolerated is enough', pod: pod(unreachable), taints: [...driven, foreign], expect: 1000 },
  { title: 'a negative time is none', pod: pod({ ...unreachable, tolerationSeconds: -4 }), expect: 1000 },
  { title: 'a taint that only keeps new pods away drives nobody off', pod: pod(), taints: [{ key: 'k', effect: 'NoSchedule' }], expect: undefined },
]
for (const { title, pod, taints = driven, expect } of leaving) t.test(title, async (t) => t.equal(leavesAt(pod, taints, since), expect))
