/** What is killed comes back, what is cut off is replaced, and connections between pods survive what does not carry them. */
import t from 'tap'
import { eventually, upCluster } from '../support/cluster.ts'

const cluster = await upCluster(t, 'e2e-failures', ['--nodes', '2'])

interface PodList { readonly items: { readonly metadata: { readonly name: string; readonly uid: string; readonly deletionTimestamp?: string }; readonly spec: { readonly nodeName: string }; readonly status: { readonly podIP?: string; readonly phase?: string; readonly containerStatuses?: { readonly restartCount: number; readonly ready: boolean }[] } }[] }

const pods = (selector: string): Promise<PodList> => cluster.json<PodList>(['get', 'pods', '-l', selector])
const nodeReady = async (node: string): Promise<string> => cluster.kubectl(['get', 'node', node, '-o', 'jsonpath={.status.conditions[?(@.type=="Ready")].status}'])

await cluster.kubectl(['apply', '-f', 'examples/web.yaml', '-f', 'examples/client.yaml'])
await cluster.kubectl(['rollout', 'status', 'deployment/web', '--timeout=60s'])
await cluster.kubectl(['wait', 'pod/client', '--for=condition=Ready', '--timeout=60s'])
const nodes = (await cluster.kubectl(['get', 'nodes', '-o', 'jsonpath={.items[*].metadata.name}'])).split(' ').sort()

t.test('a killed container restarts and keeps its address', async (t) => {
  const pod = (await pods('app=web')).items[0]!
  await cluster.kubectlRan(['exec', pod.metadata.name, '--', 'sh', '-c', 'kill -9 $(pidof httpd) || kill 1'])
  await eventually('one restart, ready again', async () => {
    const now = (await pods('app=web')).items.find((candidate) => candidate.metadata.uid === pod.metadata.uid)
    const statuses = now?.status.containerStatuses ?? []
    return now?.status.podIP === pod.status.podIP && statuses.some((status) => status.restartCount === 1) && statuses.every((status) => status.ready)
  }, 30_000, 250)
  t.pass('restarted')
})

t.test('kill -9 of agents, DNS and control plane breaks no established connection and loses no object', async (t) => {
  // a connection through the service and one to the pod, each echoing a line every 100 ms through netcat
  await cluster.kubectl(['apply', '-f', 'examples/echo.yaml'])
  await cluster.kubectl(['wait', 'pod', '-l', 'app=echo', '--for=condition=Ready', '--timeout=60s'])
  const echo = (await pods('app=echo')).items[0]!
  const talk = 'i=0; while [ $i -lt 80 ]; do echo $i; i=$((i+1)); sleep 0.1; done | nc -w 30'
  const conversations = [`${talk} ${echo.status.podIP} 7000 > /tmp/direct`, `${talk} echo 7000 > /tmp/service`]
  for (const script of conversations) await cluster.exec('client', ['sh', '-c', `(${script}) </dev/null >/dev/null 2>&1 &`])
  await new Promise((resolve) => setTimeout(resolve, 1000))
  const before = await cluster.kubectl(['get', 'pods', '-o', 'jsonpath={range .items[*]}{.metadata.uid}={.status.containerStatuses[0].restartCount}{"\\n"}{end}'])
  for (const host of ['node-1', 'node-2']) {
    for (const part of ['agent', 'dns']) {
      const killed = await cluster.node(host, ['sh', '-c', `kill -9 $(cat /run/fairway/${part}.pid)`])
      t.equal(killed.code, 0, killed.stderr)
    }
  }
  const killed = await cluster.node('control-plane', ['sh', '-c', 'kill -9 $(cat /run/fairway/server.pid)'])
  t.equal(killed.code, 0, killed.stderr)
  await eventually('the API is back', async () => (await cluster.kubectlRan(['get', '--raw', '/readyz'])).code === 0, 30_000, 250)
  await eventually('both connections carried all 80 lines', async () => (await cluster.exec('client', ['sh', '-c', 'cat /tmp/direct | wc -l; cat /tmp/service | wc -l'])).replace(/\s+/g, ' ') === '80 80 ', 30_000, 500)
  await eventually('the same pods, none restarted', async () => (await cluster.kubectl(['get', 'pods', '-o', 'jsonpath={range .items[*]}{.metadata.uid}={.status.containerStatuses[0].restartCount}{"\\n"}{end}'])) === before, 15_000, 250)
  await eventually('both nodes ready', async () => (await Promise.all(nodes.map(nodeReady))).every((status) => status === 'True'), 30_000, 250)
  t.pass('nothing broke')
})

t.test('new pods work after everything was killed', async (t) => {
  await cluster.kubectl(['scale', 'deployment/web', '--replicas=3'])
  await cluster.kubectl(['rollout', 'status', 'deployment/web', '--timeout=60s'])
  t.match(await cluster.exec('client', ['wget', '-q', '-O', '-', '-T', '5', 'http://web/']), /./)
})

t.test('a partitioned host becomes not ready, and a healed partition heals everything', async (t) => {
  const cut = await cluster.fairway(['node', 'partition', '--name', cluster.name, 'node-2'])
  t.equal(cut.code, 0, cut.stderr)
  await eventually('node-2 is not ready', async () => (await nodeReady(nodes[1]!)) !== 'True', 90_000, 500)
  await eventually('no endpoint of the cut-off host is offered', async () => {
    const ready = await cluster.kubectl(['get', 'endpointslices', '-l', 'kubernetes.io/service-name=web', '-o', 'jsonpath={range .items[*].endpoints[?(@.conditions.ready==true)]}{.nodeName}{" "}{end}'])
    return !ready.includes(nodes[1]!)
  }, 30_000, 500)
  const healed = await cluster.fairway(['node', 'heal', '--name', cluster.name, 'node-2'])
  t.equal(healed.code, 0, healed.stderr)
  await eventually('node-2 is ready again', async () => (await nodeReady(nodes[1]!)) === 'True', 60_000, 500)
  await cluster.kubectl(['rollout', 'status', 'deployment/web', '--timeout=90s'])
  await eventually('pods reach each other across the hosts again', async () => {
    const others = (await pods('app=web')).items.filter((pod) => pod.metadata.deletionTimestamp === undefined)
    for (const pod of others) await cluster.exec('client', ['wget', '-q', '-O', '-', '-T', '2', `http://${pod.status.podIP}:8080/`])
    return true
  }, 60_000, 500)
})

t.test("a stopped host's pods are replaced, and the host takes part again when it returns", async (t) => {
  const stopped = await cluster.fairway(['node', 'stop', '--name', cluster.name, 'node-2'])
  t.equal(stopped.code, 0, stopped.stderr)
  await eventually('three ready pods on the other host', async () => {
    const there = (await pods('app=web')).items.filter((pod) => pod.spec.nodeName === nodes[0] && pod.metadata.deletionTimestamp === undefined && pod.status.containerStatuses?.every((status) => status.ready))
    return there.length === 3
  }, 120_000, 500)
  const started = await cluster.fairway(['node', 'start', '--name', cluster.name, 'node-2'])
  t.equal(started.code, 0, started.stderr)
  await eventually('node-2 is ready again', async () => (await nodeReady(nodes[1]!)) === 'True', 60_000, 500)
  await cluster.kubectl(['scale', 'deployment/web', '--replicas=6'])
  await cluster.kubectl(['rollout', 'status', 'deployment/web', '--timeout=60s'])
  t.ok((await pods('app=web')).items.some((pod) => pod.spec.nodeName === nodes[1]), 'pods are placed on it again')
})
