import t from 'tap'
import { deployments, endpointSlices, pods, services } from '../../../api/resources.ts'
import type { Endpoint, Service } from '../../../api/types.ts'
import { startTestCluster, template } from '../test-support/cluster.ts'
import type { TestCluster } from '../test-support/cluster.ts'

async function endpointsOf({ client }: TestCluster): Promise<Endpoint[]> {
  const { items } = await client.list(endpointSlices, { namespace: 'default', labelSelector: 'kubernetes.io/service-name=web' })
  return items.flatMap(({ endpoints }) => endpoints ?? [])
}

const ready = (endpoints: readonly Endpoint[]): number => endpoints.filter(({ conditions }) => conditions?.ready === true).length

t.test('slices follow pods: coming, failing, ending; and go with their service', async (t) => {
  const cluster = await startTestCluster()
  t.teardown(() => cluster.stop())
  const { client, kubelet } = cluster
  await kubelet.addNode('node-1', { 'topology.kubernetes.io/zone': 'a' })
  const service: Service = { apiVersion: 'v1', kind: 'Service', metadata: { namespace: 'default', name: 'web', labels: { team: 'x' } }, spec: { selector: { app: 'web' }, ports: [{ port: 80, targetPort: 'http' }] } }
  await client.create(services, service)
  const [empty] = await cluster.until('an empty slice', async () => {
    const { items } = await client.list(endpointSlices, { namespace: 'default', labelSelector: 'kubernetes.io/service-name=web' })
    return items.length === 1 && items
  })
  t.same(empty?.endpoints ?? [], [])
  t.match(empty?.metadata.labels, { 'endpointslice.kubernetes.io/managed-by': 'endpointslice-controller.k8s.io', team: 'x' })
  const trigger = async (): Promise<string | undefined> => (await client.list(endpointSlices, { namespace: 'default' })).items[0]?.metadata.annotations?.['endpoints.kubernetes.io/last-change-trigger-time']
  t.equal(await trigger(), (await client.get(services, { namespace: 'default', name: 'web' })).metadata.creationTimestamp, 'written for the service')
  t.match(empty?.metadata.ownerReferences, [{ kind: 'Service', name: 'web', controller: true }])

  await client.create(deployments, { apiVersion: 'apps/v1', kind: 'Deployment', metadata: { namespace: 'default', name: 'web' }, spec: { replicas: 3, selector: { matchLabels: { app: 'web' } }, template: template({ app: 'web' }) } })
  const endpoints = await cluster.until('three ready', async () => {
    const found = await endpointsOf(cluster)
    return ready(found) === 3 && found
  })
  const transitions = (await client.list(pods, { namespace: 'default' })).items.map(({ status }) => status?.conditions?.find(({ type }) => type === 'Ready')?.lastTransitionTime)
  t.ok(transitions.includes(await trigger()), 'written for a pod that became Ready')
  t.match(endpoints[0], { nodeName: 'node-1', zone: 'a', targetRef: { kind: 'Pod', namespace: 'default' }, conditions: { ready: true, serving: true, terminating: false } })

  kubelet.readies = ({ metadata }) => metadata.name !== endpoints[0]?.targetRef?.name
  await kubelet.review()
  const failing = await cluster.until('one not ready', async () => {
    const found = await endpointsOf(cluster)
    return ready(found) === 2 && found
  })
  t.equal(failing.length, 3, 'it stays in the slice, marked')

  kubelet.silence('node-1')
  await client.delete(pods, { namespace: 'default', name: endpoints[1]?.targetRef?.name ?? '' })
  const ending = await cluster.until('one terminating', async () => {
    const found = await endpointsOf(cluster)
    return found.find(({ conditions }) => conditions?.terminating === true)
  })
  t.match(ending.conditions, { ready: false, serving: true, terminating: true })
  await kubelet.wake('node-1')
  await cluster.until('its replacement', async () => (await endpointsOf(cluster)).every(({ conditions }) => conditions?.terminating === false) && (await endpointsOf(cluster)).length === 3)

  const { items } = await client.list(endpointSlices, { namespace: 'default', labelSelector: 'kubernetes.io/service-name=web' })
  t.equal(items.length, 1, 'one slice is enough, and stays the same')
  await client.delete(services, { namespace: 'default', name: 'web' })
  await cluster.until('no slice left', async () => (await client.list(endpointSlices, { namespace: 'default', labelSelector: 'kubernetes.io/service-name=web' })).items.length === 0)
})

t.test('a service of 250 pods has three slices, and one pod more or less writes one of them', async (t) => {
  const cluster = await startTestCluster({ controllers: ['endpointslice'] })
  t.teardown(() => cluster.stop())
  const { client } = cluster
  await client.create(services, { apiVersion: 'v1', kind: 'Service', metadata: { namespace: 'default', name: 'web' }, spec: { clusterIP: 'None', selector: { app: 'web' }, ports: [{ port: 80, targetPort: 8080 }] } })
  cluster.kubelet.stop()
  const add = async (index: number): Promise<void> => {
    const name = `web-${index}`
    await client.create(pods, { apiVersion: 'v1', kind: 'Pod', metadata: { namespace: 'default', name, labels: { app: 'web' } }, spec: { ...template({}).spec, nodeName: 'node-1' } })
    await client.patch(pods, { namespace: 'default', name, subresource: 'status' }, { status: { phase: 'Running', podIP: `10.244.0.${index}`, podIPs: [{ ip: `10.244.0.${index}` }] } }, { type: 'strategic' })
  }
  for (let index = 1; index <= 250; index += 1) await add(index)
  const slices = await cluster.until('250 endpoints', async () => {
    const { items } = await client.list(endpointSlices, { namespace: 'default' })
    return items.reduce((sum, { endpoints }) => sum + (endpoints?.length ?? 0), 0) === 250 && items
  })
  t.same(slices.map(({ endpoints }) => endpoints?.length ?? 0).sort((a, b) => b - a), [100, 100, 50])
  await add(251)
  await cluster.until('251 endpoints', async () => (await endpointsOf(cluster)).length === 251)
  const after = (await client.list(endpointSlices, { namespace: 'default' })).items
  const written = after.filter(({ metadata }) => !slices.some((slice) => slice.metadata.resourceVersion === metadata.resourceVersion))
  t.equal(written.length, 1)
})
