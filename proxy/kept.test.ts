import * as fc from 'fast-check'
import t from 'tap'
import type { Endpoint, EndpointSlice, Service } from '../api/types.ts'
import { keeping } from './kept.ts'
import { wantService } from './service.ts'
import { endpoint, node1, service, slice } from './test-support/objects.ts'

const optional = <T>(value: T | null): fc.Arbitrary<T | null | undefined> => fc.constantFrom(value, null, undefined)

/** As API servers send them: with all that the proxy never reads, and with what is malformed. */
const anyService = fc.record({
  type: fc.constantFrom('ClusterIP', 'NodePort', 'LoadBalancer', 'ExternalName', undefined), clusterIP: fc.constantFrom('10.96.0.1', 'None', '', 'what'),
  clusterIPs: fc.constantFrom(['10.96.0.1'], ['10.96.0.1', 'fd00:10:96::1'], undefined), ports: fc.constantFrom([{ name: 'a', port: 80, nodePort: 30080, targetPort: 'x', protocol: 'TCP' }, { name: 'b', port: 0 }], [null], 5, null, undefined),
  externalIPs: optional(['198.51.100.1', 'x']), sessionAffinity: fc.constantFrom('ClientIP', 'None', undefined), sessionAffinityConfig: optional({ clientIP: { timeoutSeconds: 5 } }),
  internalTrafficPolicy: fc.constantFrom('Local', 'Cluster', undefined), externalTrafficPolicy: fc.constantFrom('Local', 'Cluster', undefined), healthCheckNodePort: fc.constantFrom(31000, undefined),
  loadBalancerSourceRanges: fc.constantFrom(['192.0.2.0/24'], undefined), selector: fc.constant({ app: 'x' }), ipFamilies: fc.constant(['IPv4']),
}).map((spec) => {
  const given = service('web')
  return { ...given, metadata: { ...given.metadata, labels: { app: 'x' }, annotations: { a: 'b' }, managedFields: [{ manager: 'kubectl' }] }, spec, status: { loadBalancer: { ingress: [{ ip: '198.51.100.2', ipMode: 'VIP' }] } } } as unknown as Service
})

const anyEndpoint = fc.record({
  address: fc.constantFrom('10.244.0.5', '~10.244.1.5', '!10.244.1.6', 'what'), conditions: optional({ ready: true }), zone: fc.constantFrom('a', undefined), hints: fc.constantFrom(undefined, null, { forZones: [{ name: 'a' }] }, { forNodes: [{ name: 'node-1' }] }),
}).map(({ address, conditions, zone, hints }) => ({ ...endpoint(address), ...(conditions === undefined ? {} : { conditions }), zone, hints, targetRef: { kind: 'Pod', name: 'x', uid: 'y' } }) as unknown as Endpoint)

/** What a service comes to; a service that cannot be understood is one that says why. */
function outcome(given: Service, slices: readonly EndpointSlice[]): unknown {
  try {
    return wantService('default/web', given, slices, node1)
  } catch (error) {
    return (error as Error).message
  }
}

t.test('what is kept of objects comes to the same as all of them', async (t) => {
  fc.assert(fc.property(anyService, fc.array(anyEndpoint, { maxLength: 4 }), (given, endpoints) => {
    const whole = slice('web', endpoints, { ports: [{ name: 'a', port: 8080, appProtocol: 'http' }, { name: 'b', port: 70_000 }] })
    const kept = keeping()
    t.strictSame(outcome(kept.service(given) as Service, [kept.slice(whole) as EndpointSlice]), outcome(given, [whole]))
  }), { numRuns: 400 })
})

t.test('what many objects say is there once, and what nobody reads is gone', async (t) => {
  const kept = keeping()
  const [a, b] = ['a', 'b'].map((name) => kept.slice(JSON.parse(JSON.stringify(slice(name, ['10.244.0.5']))) as EndpointSlice) as EndpointSlice)
  t.equal(a?.ports, b?.ports)
  t.equal(a?.endpoints?.[0]?.conditions, b?.endpoints?.[0]?.conditions)
  const { metadata } = kept.service({ ...service('web', { labels: { app: 'x', 'service.kubernetes.io/service-proxy-name': 'other' } }), metadata: { ...service('web').metadata, labels: { app: 'x', 'service.kubernetes.io/service-proxy-name': 'other' }, managedFields: [{}] } })
  t.strictSame(metadata, { name: 'web', namespace: 'default', uid: 'web', resourceVersion: '1', creationTimestamp: '2026-01-01T00:00:00Z', labels: { 'service.kubernetes.io/service-proxy-name': 'other' } })
})

t.test('an object that is no service or slice stays as it is', async (t) => {
  const kept = keeping()
  for (const spec of [undefined, null, 7]) t.same((kept.service({ metadata: { name: 'x' }, spec } as unknown as Service) as Service).spec, spec)
  t.strictSame((kept.slice({ metadata: { name: 'x' }, endpoints: [null, 7], ports: 'x' } as unknown as EndpointSlice) as EndpointSlice).endpoints, [null, 7])
})
