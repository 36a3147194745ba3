import t from 'tap'
import type { Node } from '../../api/types.ts'
import { wantPodRoutes } from './pod-routes.ts'

const node = (podCIDR: string | undefined, ...addresses: string[]): Node => ({
  metadata: { name: 'n' }, spec: podCIDR === undefined ? {} : { podCIDR, podCIDRs: [podCIDR] },
  status: { addresses: addresses.map((address) => ({ type: 'InternalIP', address })) },
})

t.test("a node's pods are reached by its address of their family; nodes without a range or such an address have no route", (t) => {
  const dual: Node = { metadata: { name: 'dual' }, spec: { podCIDRs: ['10.244.3.0/24', 'fd00:10:244:3::/64'] }, status: { addresses: [{ type: 'InternalIP', address: '10.90.0.14' }, { type: 'InternalIP', address: 'fd00::14' }, { type: 'Hostname', address: 'dual' }] } }
  const want = wantPodRoutes([node('10.244.0.0/24', 'fd00::1', '10.90.0.11'), node(undefined, '10.90.0.12'), node('10.244.2.0/24'), node('fd00:10::/64', '10.90.0.13'), dual])
  t.same([...want], [['10.244.0.0/24', '10.90.0.11'], ['10.244.3.0/24', '10.90.0.14'], ['fd00:10:244:3::/64', 'fd00::14']])
  t.end()
})
