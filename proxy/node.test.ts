import t from 'tap'
import type { Node } from '../api/types.ts'
import { isWithin, outermost, prefixOf } from './families.ts'
import { isEligible, nodeView } from './node.ts'

const node: Node = {
  metadata: { name: 'n', labels: { 'topology.kubernetes.io/zone': 'a' } }, spec: { podCIDR: '10.244.0.0/24' },
  status: { addresses: [{ type: 'InternalIP', address: '192.0.2.1' }, { type: 'Hostname', address: 'n' }, { type: 'InternalIP', address: '2001:DB8::0:1' }] },
}
const hostAddresses = ['127.0.0.1', '192.0.2.1', '198.51.100.1', '::1']

t.test('node ports are served on the node\'s own addresses, or on those that are chosen', async (t) => {
  const addresses = (nodePortAddresses?: readonly string[]): readonly string[] => nodeView('n', node, { nodePortAddresses, hostAddresses }).nodePortAddresses
  t.strictSame(addresses(), ['192.0.2.1', '2001:db8::1', '127.0.0.1'])
  t.strictSame(addresses(['198.51.100.0/24']), ['198.51.100.1'])
  t.strictSame(addresses(['primary', '127.0.0.0/8']), ['192.0.2.1', '2001:db8::1', '127.0.0.1'])
  t.strictSame(addresses(['0.0.0.0/0']), ['192.0.2.1', '127.0.0.1', '198.51.100.1'])
  t.strictSame(nodeView('n', undefined, {}).nodePortAddresses, ['127.0.0.1'])
  t.match(nodeView('n', node, {}), { zone: 'a', podCIDRs: ['10.244.0.0/24'] })
})

t.test('a node that is deleted, or that the autoscaler is about to take, gets no new clients from balancers', async (t) => {
  t.equal(isEligible(undefined), true, 'before anything is known of it')
  t.equal(isEligible(node), true)
  t.equal(isEligible({ ...node, spec: { taints: [{ key: 'node.kubernetes.io/unschedulable', effect: 'NoSchedule' }] } }), true)
  t.equal(isEligible({ ...node, spec: { taints: [{ key: 'ToBeDeletedByClusterAutoscaler', effect: 'NoSchedule' }] } }), false)
  t.equal(isEligible({ ...node, metadata: { name: 'n', deletionTimestamp: '2026-01-01T00:00:00Z' } }), false)
})

t.test('prefixes are spelled in one way, and none is within another', async (t) => {
  t.equal(prefixOf('10.1.2.3/12'), '10.0.0.0/12')
  t.equal(prefixOf(' 10.1.2.3/32 '), '10.1.2.3/32')
  t.equal(prefixOf('FD00:0::1/8'), 'fd00::/8')
  t.equal(prefixOf('::/0'), '::/0')
  for (const wrong of ['10.0.0.0', '10.0.0.0/33', '10.0.0/8', 'fd00::/129', '10.0.0.0/x', 'fe80::1%eth0/64']) t.equal(prefixOf(wrong), undefined, wrong)
  t.equal(isWithin('10.244.0.5', '10.244.0.0/24'), true)
  t.equal(isWithin('10.244.1.5', '10.244.0.0/24'), false)
  t.equal(isWithin('fd00::1', '0.0.0.0/0'), false)
  t.strictSame(outermost(['10.0.0.0/8', '10.1.0.0/16', '10.0.0.0/8', '192.0.2.0/24']), ['10.0.0.0/8', '192.0.2.0/24'])
})
