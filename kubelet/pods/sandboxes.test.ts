import t from 'tap'
import type { Pod } from '../../api/types.ts'
import { capabilityArgsOf } from './sandboxes.ts'

function pod(annotations: Readonly<Record<string, string>> = {}, ports: NonNullable<Pod['spec']['containers'][number]['ports']> = []): Pod {
  return { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'web', namespace: 'shop', annotations: { ...annotations } }, spec: { containers: [{ name: 'web', image: 'web', ports }] } }
}

t.test('plugins are told of host ports and rates', async (t) => {
  t.strictSame(capabilityArgsOf(pod()), {})
  t.strictSame(capabilityArgsOf(pod({}, [{ containerPort: 80 }, { containerPort: 53, hostPort: 5353, protocol: 'UDP', hostIP: '192.0.2.1' }])), {
    portMappings: [{ hostPort: 5353, containerPort: 53, protocol: 'udp', hostIP: '192.0.2.1' }],
  })
  t.strictSame(capabilityArgsOf(pod({ 'kubernetes.io/ingress-bandwidth': '10M', 'kubernetes.io/egress-bandwidth': '1G' })), {
    bandwidth: { ingressRate: 10_000_000, ingressBurst: 1_000_000, egressRate: 1_000_000_000, egressBurst: 100_000_000 },
  })
})

t.test('a rate that is none keeps the pod from starting', async (t) => {
  for (const rate of ['', 'fast', '-1M', '10', '2P']) t.throws(() => capabilityArgsOf(pod({ 'kubernetes.io/egress-bandwidth': rate })), { message: /Cannot attach shop\/web to a network: annotation kubernetes\.io\/egress-bandwidth/ })
})
