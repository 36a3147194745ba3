/** Network policies on a running cluster: applied by kubectl, felt by pods on both hosts, explained by trace. */
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import type { Test } from 'tap'
import { Cluster } from '../support/cluster.ts'

const cluster = new Cluster('e2e-policy')
t.teardown(() => cluster.down())

t.before(async () => {
  const ran = await cluster.fairway(['up', '--name', cluster.name, '--demo'], { timeoutMs: 240_000 })
  if (ran.code !== 0) throw new Error(ran.stderr + ran.stdout)
})

interface Address {
  readonly name: string
  readonly ip: string
}

async function webPods(): Promise<Address[]> {
  const { items } = await cluster.json<{ items: { metadata: { name: string }; status: { podIP: string } }[] }>(['get', 'pods', '-l', 'app=web'])
  return items.map(({ metadata, status }) => ({ name: metadata.name, ip: status.podIP }))
}

/** How many of the web pods the client reaches; asked until it is so many, as a policy takes its milliseconds to get there. */
async function reaches(t: Test, expected: number, name: string, port = 8080): Promise<void> {
  const pods = await webPods()
  let found = -1
  for (let attempt = 0; attempt < 30 && found !== expected; attempt += 1) {
    const script = pods.map(({ ip }) => `timeout 1 wget -q -O - http://${ip}:${port}/ >/dev/null && echo yes`).join('; ')
    const { code, stdout } = await cluster.kubectlRan(['exec', 'client', '--', 'sh', '-c', `${script}; true`])
    if (code === 0) found = stdout.split('\n').filter((line) => line === 'yes').length
    else await sleep(200) // its kubelet is only just starting again
  }
  t.equal(found, expected, name)
}

const apply = (spec: unknown, name = 'web'): Promise<string> => cluster.kubectl(['apply', '-f', '-'], { input: JSON.stringify({ apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata: { name }, spec }) })

t.test('without a policy everybody reaches everybody', (t) => reaches(t, 2, 'both pods'))

t.test('isolated pods are reached by nobody on either host, stay ready, and trace says why', async (t) => {
  await apply({ podSelector: { matchLabels: { app: 'web' } } })
  await reaches(t, 0, 'neither')
  const trace = await cluster.fairway(['trace', '--name', cluster.name, 'pod/client', 'svc/web'])
  t.equal(trace.code, 1)
  t.equal(trace.stdout.match(/✗ policy +web of pod default\/web-\S+ does not let it in \(chain in-/g)?.length, 2, trace.stdout)
  t.match(trace.stdout, /✗ failed/)
  const ready = await cluster.kubectl(['get', 'deployment', 'web', '-o', 'jsonpath={.status.readyReplicas}'])
  t.equal(ready, '2', 'the kubelet of their host probes them all the same')
})

t.test('who is let in on a port is let in on that', async (t) => {
  await apply({ podSelector: { matchLabels: { app: 'web' } }, ingress: [{ from: [{ podSelector: { matchLabels: { app: 'client' } } }], ports: [{ port: 'http' }] }] })
  await reaches(t, 2, 'the port with a name')
  await reaches(t, 0, 'and no other', 8081)
  t.equal((await cluster.exec('client', ['wget', '-q', '-O', '-', 'http://web/'])).trim().startsWith('web-'), true, 'through the service too')
  const trace = await cluster.fairway(['trace', '--name', cluster.name, 'pod/client', 'svc/web'])
  t.equal(trace.code, 0, trace.stdout)
  t.match(trace.stdout, /✓ policy +web of pod default\/web-\S+ lets it in/)
  await cluster.kubectl(['label', 'pod', 'client', '--overwrite', 'app=stranger'])
  await reaches(t, 0, 'and no longer when the label has gone')
  await cluster.kubectl(['label', 'pod', 'client', '--overwrite', 'app=client'])
  await reaches(t, 2, 'and again when it is back')
})

t.test('what a pod may send; names are still answered', async (t) => {
  const [first] = await webPods()
  await apply({ podSelector: { matchLabels: { app: 'client' } }, policyTypes: ['Egress'], egress: [{ to: [{ ipBlock: { cidr: '10.244.0.0/16', except: [`${first?.ip}/32`] } }] }] }, 'client')
  await reaches(t, 1, 'not the one that is excepted')
  t.match(await cluster.exec('client', ['nslookup', 'web.default.svc.cluster.local']), /10\.\d+\.\d+\.\d+/, 'its host is always reached')
  await cluster.kubectl(['delete', 'networkpolicy', '--all'])
  await reaches(t, 2, 'without policies all is open again')
})

t.test('policies outlive the agent, and what others change is mended', async (t) => {
  await apply({ podSelector: { matchLabels: { app: 'web' } } })
  await reaches(t, 0, 'isolated')
  for (const node of ['node-1', 'node-2']) await cluster.node(node, ['sh', '-c', 'kill -9 $(cat /run/fairway/agent.pid)'])
  await reaches(t, 0, 'while agents start again')
  for (const node of ['node-1', 'node-2']) t.equal((await cluster.node(node, ['nft', 'flush', 'chain', 'inet', 'fairway-policy', 'forward'])).code, 0)
  await reaches(t, 0, 'and after somebody emptied the chain')
})
