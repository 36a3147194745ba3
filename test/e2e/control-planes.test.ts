/** Three control planes on an etcd of three members: one is killed under writes, the others go on, and it catches up. */
import { readFileSync } from 'node:fs'
import t from 'tap'
import { Client } from '../../api/client.ts'
import { httpsTransport } from '../../api/https-transport.ts'
import { parseKubeconfig } from '../../api/kubeconfig.ts'
import { configMaps, leases } from '../../api/resources.ts'
import { eventually, fairway, upCluster } from '../support/cluster.ts'

t.setTimeout(280_000)

interface Holder {
  readonly spec: { readonly holderIdentity: string }
}

t.test('what cannot be is refused in a sentence', async (t) => {
  const refused = async (args: readonly string[], words: RegExp): Promise<void> => {
    const ran = await fairway(['up', '--name', 'e2e-refused', ...args])
    t.equal(ran.code, 1)
    t.match(ran.stderr, words)
  }
  await refused(['--control-planes', '3', '--store', 'sqlite'], /Cannot make 3 control planes on sqlite: .* --store etcd/)
  await refused(['--control-planes', '3', '--store', 'etcd:1'], /each control plane has one, so that takes --control-planes 1/)
  await refused(['--store', 'postgres'], /local clusters know sqlite and etcd/)
})

t.test('one control plane on etcd: kill -9 of both, and all is there again', { timeout: 120_000 }, async (t) => {
  const cluster = await upCluster(t, 'e2e-etcd', ['--store', 'etcd', '--nodes', '1'])
  await cluster.kubectl(['create', 'configmap', 'kept', '--from-literal=a=b'])
  const pids = (): Promise<string> => cluster.node('control-plane', ['cat', '/run/fairway/server.pid', '/run/fairway/etcd.pid']).then(({ stdout }) => stdout)
  const before = await pids()
  t.equal((await cluster.node('control-plane', ['sh', '-c', 'kill -9 $(cat /run/fairway/server.pid /run/fairway/etcd.pid)'])).code, 0)
  await eventually('both were started again', async () => (await pids()) !== before)
  await eventually('the object is there', async () => (await cluster.kubectlRan(['get', 'configmap', 'kept'], { timeoutMs: 10_000 })).code === 0, 30_000)
  await eventually('all is well', async () => (await cluster.fairway(['status', '--name', cluster.name])).code === 0, 30_000, 500)
  await cluster.kubectl(['create', 'configmap', 'another'])
})

t.test('the loss of one of three control planes', { timeout: 280_000 }, async (t) => {
  const cluster = await upCluster(t, 'e2e-planes', ['--control-planes', '3', '--nodes', '2'])
  await cluster.kubectl(['apply', '-f', 'examples/web.yaml'])
  await cluster.kubectl(['rollout', 'status', 'deployment/web', '--timeout=60s'])
  const holder = async (): Promise<string> => (await cluster.json<Holder>(['get', 'lease', '-n', 'kube-system', 'kube-controller-manager'])).spec.holderIdentity.split('_')[0] ?? ''
  const leader = await holder()
  t.match(leader, /^control-plane(-[23])?$/)

  // Writers through the balancer, that note what was acknowledged.
  const transport = httpsTransport(parseKubeconfig(readFileSync(cluster.kubeconfig, 'utf8'), { directory: '/' }))
  const client = new Client(transport)
  const acknowledged = new Set<string>()
  const gapsMs: number[] = []
  const stopping = new AbortController()
  const lane = async (number: number): Promise<void> => {
    for (let i = 0, lastMs = performance.now(); !stopping.signal.aborted; i++) {
      const name = `lane-${number}-${i}`
      try {
        await client.create(configMaps, { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, namespace: 'default' }, data: {} }, { signal: AbortSignal.timeout(8000) })
        acknowledged.add(name)
        gapsMs.push(performance.now() - lastMs)
        lastMs = performance.now()
      } catch {
        await new Promise((resolve) => void setTimeout(resolve, 50)) // nobody was told that it was written
      }
    }
  }
  const lanes = Promise.all(Array.from({ length: 8 }, (_, number) => lane(number)))
  t.teardown(() => {
    stopping.abort()
    transport.close()
  })
  await eventually('writes are under way', () => acknowledged.size > 200)
  t.equal((await cluster.fairway(['node', 'stop', '--name', cluster.name, leader])).code, 0, 'every process of its host is killed')
  const atLoss = acknowledged.size

  const { tookMs } = await eventually('kubectl goes on', async () => (await cluster.kubectlRan(['get', 'pods'], { timeoutMs: 15_000 })).code === 0, 20_000)
  t.comment(`kubectl went on after ${Math.round(tookMs)} ms`)
  await eventually('writes go on', () => acknowledged.size > atLoss + 100, 20_000)
  await cluster.kubectl(['scale', 'deployment/web', '--replicas=5'])
  const scaled = await eventually('the deployment scales once another leads', async () => (await cluster.json<{ status: { readyReplicas?: number } }>(['get', 'deployment', 'web'])).status.readyReplicas === 5, 60_000, 500)
  t.comment(`scaled after ${Math.round(scaled.tookMs)} ms, led by ${await holder()}; the longest that a writer waited: ${Math.round(Math.max(...gapsMs))} ms`)
  t.not(await holder(), leader)
  const status = await cluster.fairway(['status', '--name', cluster.name])
  t.match(status.stdout, new RegExp(`${leader} .*stopped`))
  t.match(await cluster.kubectl(['get', 'nodes']), /node-1 +Ready[^]*node-2 +Ready/)
  await eventually('the service `kubernetes` leads to it no more', async () => (await cluster.json<{ endpoints: unknown[] }>(['get', 'endpointslice', 'kubernetes'])).endpoints.length === 2, 30_000, 500)

  const back = await cluster.fairway(['node', 'start', '--name', cluster.name, leader])
  t.equal(back.code, 0, back.stderr)
  stopping.abort()
  await lanes
  // It alone is asked, past the balancer.
  const own = `https://${/(?<address>10\.90\.\S+)/.exec((await cluster.fairway(['status', '--name', cluster.name])).stdout.split('\n').find((line) => line.startsWith(`${leader} `)) ?? '')?.[0] ?? ''}:6443`
  const direct = httpsTransport({ ...parseKubeconfig(readFileSync(cluster.kubeconfig, 'utf8'), { directory: '/' }), server: own })
  t.teardown(() => direct.close())
  const there = new Set((await new Client(direct).list(configMaps, { namespace: 'default' })).items.map(({ metadata }) => metadata.name ?? ''))
  t.same([...acknowledged].filter((name) => !there.has(name)), [], `it knows all of ${acknowledged.size} acknowledged writes`)
  t.equal((await new Client(direct).list(leases, { namespace: 'kube-system', labelSelector: 'apiserver.kubernetes.io/identity=kube-apiserver' })).items.length, 3)
  await eventually('all is well', async () => (await cluster.fairway(['status', '--name', cluster.name])).code === 0, 30_000, 500)
})
