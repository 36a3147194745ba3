import t from 'tap'
import type { Node } from '../../api/types.ts'
import { strategicMerge } from '../../controlplane/apiserver/patch/strategic.ts'
import { memoryFigure } from './machine.ts'
import { nodeStatusOf, nodeStatusPatch } from './node-status.ts'
import type { NodeStatusInput } from './node-status.ts'

const nowMs = Date.UTC(2026, 0, 1)
const input: NodeStatusInput = {
  nodeName: 'node-1', addresses: ['192.0.2.1', '2001:db8::1'], capacity: { cpu: '2', memory: '1Gi', pods: '110' }, images: [], port: 10_250, health: {}, nowMs, before: [],
  systemInfo: { machineID: '', systemUUID: '', bootID: '', kernelVersion: '6', osImage: '', containerRuntimeVersion: 'docker://20', kubeletVersion: 'v1', kubeProxyVersion: '', operatingSystem: 'linux', architecture: 'amd64' },
}
const empty: Node = { metadata: { name: 'node-1' }, spec: {} }

function patched(node: Node, more: Partial<NodeStatusInput> = {}, heartbeatIsDue = false): Node | undefined {
  const patch = nodeStatusPatch(node, nodeStatusOf({ ...input, before: node.status?.conditions ?? [], ...more }), heartbeatIsDue)
  return patch === undefined ? undefined : (strategicMerge('Node', node, { status: patch }) as Node)
}

const node = patched(empty) ?? empty

t.test('a fresh node gets all of it, and two addresses of one type', (t) => {
  t.match(node.status, {
    addresses: [{ type: 'InternalIP', address: '192.0.2.1' }, { type: 'InternalIP', address: '2001:db8::1' }, { type: 'Hostname', address: 'node-1' }],
    daemonEndpoints: { kubeletEndpoint: { Port: 10_250 } }, allocatable: { cpu: '2' },
  })
  t.match(node.status?.conditions?.map(({ type, status }) => `${type} ${status}`), ['MemoryPressure False', 'DiskPressure False', 'PIDPressure False', 'Ready True'])
  t.end()
})

t.test('time alone is written only when a heartbeat is due', (t) => {
  t.equal(patched(node, { nowMs: nowMs + 60_000 }), undefined)
  const later = patched(node, { nowMs: nowMs + 60_000 }, true)
  t.match(later?.status?.conditions?.[3], { lastHeartbeatTime: '2026-01-01T00:01:00Z', lastTransitionTime: '2026-01-01T00:00:00Z' })
  t.end()
})

t.test('what others wrote over it is written back, and trouble is named', (t) => {
  const lost: Node = { ...node, status: { ...node.status, conditions: (node.status?.conditions ?? []).map((condition) => ({ ...condition, status: 'Unknown' as const })) } }
  t.match(patched(lost)?.status?.conditions?.[3], { type: 'Ready', status: 'True' })
  const troubled = patched(node, { health: { networkError: 'no plugin', runtimeError: 'no engine' } })
  t.match(troubled?.status?.conditions?.[3], { status: 'False', reason: 'KubeletNotReady', message: 'container runtime is down: no engine; container runtime network not ready: no plugin' })
  t.end()
})

t.test('images are listed by all their names, the largest first', (t) => {
  const images = [
    { id: 'a', repoTags: ['small:1'], repoDigests: [], sizeBytes: 1, user: '' }, { id: 'b', repoTags: ['big:1', 'big:2'], repoDigests: ['big@sha256:1'], sizeBytes: 9, user: '' },
    { id: 'c', repoTags: [], repoDigests: [], sizeBytes: 5, user: '' },
  ]
  t.same(nodeStatusOf({ ...input, images }).images, [{ names: ['big@sha256:1', 'big:1', 'big:2'], sizeBytes: 9 }, { names: ['small:1'], sizeBytes: 1 }])
  t.equal(memoryFigure('MemTotal:       24685000 kB\nMemFree: 1 kB\n', 'MemTotal'), 24_685_000 * 1024)
  t.end()
})
