/**
 * A change of pods shows in the endpoint slices, in the kernel's maps and in DNS. The bound is the one second from the
 * moment the API server has the cause; `bench/cluster.ts` records how long it really takes.
 */
import t from 'tap'
import type { Test } from 'tap'
import { eventually, upCluster } from '../support/cluster.ts'
import type { Cluster } from '../support/cluster.ts'

interface Endpoint { readonly addresses: string[]; readonly conditions: { readonly ready?: boolean } }

const cluster = await upCluster(t, 'e2e-change')
await cluster.kubectl(['apply', '-f', 'examples/web.yaml'])
await cluster.kubectl(['rollout', 'status', 'deployment/web', '--timeout=60s'])
const hosts = [1, 2].map((n) => `node-${n}`)

async function sliceAddresses(cluster: Cluster, service: string): Promise<string[]> {
  const slices = await cluster.json<{ items: { endpoints?: Endpoint[] }[] }>(['get', 'endpointslices', '-l', `kubernetes.io/service-name=${service}`])
  return slices.items.flatMap((slice) => slice.endpoints ?? []).filter((endpoint) => endpoint.conditions.ready !== false).flatMap((endpoint) => endpoint.addresses).sort()
}

/** Pod addresses in the proxy's endpoint maps of a host, as Debian's nft reads them from the kernel. */
async function kernelAddresses(cluster: Cluster, host: string): Promise<string[]> {
  const listed = await cluster.node(host, ['nft', 'list', 'ruleset'])
  const proxyTables = listed.stdout.split(/^(?=table )/m).filter((table) => /map endpoint/.test(table)).join('\n')
  return [...new Set([...proxyTables.matchAll(/: (10\.244\.\d+\.\d+) \. /g)].map((match) => match[1]!))].sort()
}

async function dnsAddresses(cluster: Cluster, host: string): Promise<string[]> {
  const dug = await cluster.node(host, ['dig', '@10.96.0.10', '+short', '+tries=1', '+time=1', 'web-headless.default.svc.cluster.local'])
  return dug.stdout.split('\n').filter((line) => line.startsWith('10.')).sort()
}

async function follows(t: Test, cause: string, expected: () => Promise<string[]>): Promise<void> {
  const { value: addresses, tookMs } = await eventually(`${cause} in the slices`, async () => {
    const [want, have] = await Promise.all([expected(), sliceAddresses(cluster, 'web-headless')])
    return JSON.stringify(want) === JSON.stringify(have) && have
  }, 30_000)
  t.comment(`${cause}: slices after ${Math.round(tookMs)} ms, with kubectl's own start-up`)
  for (const host of hosts) {
    await eventually(`${cause} in the kernel of ${host}`, async () => JSON.stringify(await kernelAddresses(cluster, host)) === JSON.stringify(addresses), 1500, 50)
    await eventually(`${cause} in DNS of ${host}`, async () => JSON.stringify(await dnsAddresses(cluster, host)) === JSON.stringify(addresses), 1500, 50)
  }
  t.pass(`${cause}: ${addresses.join(', ')}`)
}

async function readyPods(): Promise<string[]> {
  const pods = await cluster.json<{ items: { metadata: { deletionTimestamp?: string }; status: { podIP?: string; conditions?: { type: string; status: string }[] } }[] }>(['get', 'pods', '-l', 'app=web'])
  return pods.items
    .filter((pod) => pod.metadata.deletionTimestamp === undefined && pod.status.conditions?.some((condition) => condition.type === 'Ready' && condition.status === 'True'))
    .flatMap((pod) => pod.status.podIP ?? []).sort()
}

async function exactly(count: number): Promise<string[]> {
  const ready = await readyPods()
  return ready.length === count ? ready : ['not yet']
}

t.test('more replicas', async (t) => {
  await cluster.kubectl(['scale', 'deployment/web', '--replicas=5'])
  await follows(t, 'scaling to five', () => exactly(5))
})

t.test('fewer replicas', async (t) => {
  await cluster.kubectl(['scale', 'deployment/web', '--replicas=2'])
  await follows(t, 'scaling to two', () => exactly(2))
})

t.test('a readiness probe that begins to fail takes its pod out, and back when it succeeds', async (t) => {
  const pod = await cluster.kubectl(['get', 'pods', '-l', 'app=web', '-o', 'jsonpath={.items[0].metadata.name}'])
  await cluster.exec(pod, ['touch', '/tmp/not-ready'])
  await follows(t, 'one pod not ready', () => exactly(1))
  await cluster.exec(pod, ['rm', '/tmp/not-ready'])
  await follows(t, 'ready again', () => exactly(2))
})

t.test('a deleted pod leaves, and its replacement comes', async (t) => {
  const pod = await cluster.json<{ metadata: { name: string }; status: { podIP: string } }>(['get', 'pod', (await cluster.kubectl(['get', 'pods', '-l', 'app=web', '-o', 'jsonpath={.items[0].metadata.name}']))])
  await cluster.kubectl(['delete', 'pod', pod.metadata.name, '--wait=false'])
  for (const host of hosts) {
    await eventually(`the deleted pod out of the kernel of ${host}`, async () => !(await kernelAddresses(cluster, host)).includes(pod.status.podIP), 2000, 50)
  }
  await follows(t, 'its replacement', () => exactly(2))
})
