/** Ports of a host that lead to a pod (`hostPort`), from the manifest to the packet: who reaches them, who may have them, and what is left of them. */
import t from 'tap'
import { eventually, upCluster } from '../support/cluster.ts'

const cluster = await upCluster(t, 'e2e-ports')

interface Port {
  readonly containerPort: number
  readonly hostPort: number
  readonly protocol?: 'UDP'
  readonly hostIP?: string
}

/** A pod that answers HTTP with its name on 8080 and echoes UDP on 9000. */
function pod(name: string, node: string | undefined, ports: readonly Port[]): string {
  const program = `udp 9000 & mkdir -p /www && hostname > /www/index.html && exec httpd -f -p 8080 -h /www`
  return JSON.stringify({
    apiVersion: 'v1', kind: 'Pod', metadata: { name },
    spec: {
      ...(node === undefined ? {} : { nodeSelector: { 'kubernetes.io/hostname': node } }), terminationGracePeriodSeconds: 0,
      containers: [{ name: 'main', image: 'busybox:1', command: ['tini', '--', 'sh', '-c', program], ports, readinessProbe: { httpGet: { path: '/', port: 8080 }, periodSeconds: 1 } }],
    },
  })
}

async function start(...manifest: Parameters<typeof pod>): Promise<void> {
  await cluster.kubectl(['apply', '-f', '-'], { input: pod(...manifest) })
  await cluster.kubectl(['wait', '--for=condition=Ready', `pod/${manifest[0]}`, '--timeout=60s'])
}

async function addressOf(node: string): Promise<string> {
  return cluster.kubectl(['get', 'node', node, '-o', 'jsonpath={.status.addresses[?(@.type=="InternalIP")].address}'])
}

/** What is answered at a port, asked from a host. */
async function tcp(from: string, address: string, port: number): Promise<string> {
  const { code, stdout, stderr } = await cluster.node(from, ['curl', '-sS', '--max-time', '3', `http://${address}:${port}/`])
  // CURLE_COULDNT_CONNECT: refused; a connection that nobody answers is a time-out, 28
  return code === 0 ? stdout.trim() : code === 7 ? 'refused' : stderr.trim()
}

async function udp(from: string, address: string, port: number): Promise<string> {
  const { stdout } = await cluster.node(from, ['timeout', '3', 'bash', '-c', `exec 3<>/dev/udp/${address}/${port} && echo to ${port} >&3 && head -n1 <&3`])
  return stdout.trim()
}

const [one, two] = await Promise.all([addressOf('node-1'), addressOf('node-2')])

t.test('a port of the host is reached from the host itself, from the other host, from this machine and from pods, by TCP and UDP', async (t) => {
  await start('web', 'node-1', [{ containerPort: 8080, hostPort: 8088 }, { containerPort: 9000, hostPort: 9053, protocol: 'UDP' }])
  await start('client', 'node-2', [])
  for (const from of ['node-1', 'node-2', 'control-plane']) {
    t.equal(await tcp(from, one, 8088), 'web', `TCP from ${from}`)
    t.equal(await udp(from, one, 9053), 'to 9053', `UDP from ${from}`)
  }
  t.equal(await tcp('node-1', '127.0.0.1', 8088), 'web', 'TCP at localhost')
  t.equal(await udp('node-1', '127.0.0.1', 9053), 'to 9053', 'UDP at localhost')
  t.equal((await cluster.exec('client', ['wget', '-q', '-O', '-', `http://${one}:8088/`])).trim(), 'web', 'a pod of the other host')
  t.equal((await cluster.exec('web', ['wget', '-q', '-O', '-', `http://${one}:8088/`])).trim(), 'web', 'the pod itself')
  t.equal((await cluster.exec('client', ['sh', '-c', `echo hello | udp ${one} 9053`])).trim(), 'hello', 'UDP from a pod')
  t.equal(await tcp('node-1', two, 8088), 'refused', 'it is no port of the other host')
})

t.test('a port of one address of the host is none of its others', async (t) => {
  await start('local', 'node-2', [{ containerPort: 8080, hostPort: 8090, hostIP: '127.0.0.1' }, { containerPort: 8080, hostPort: 8091, hostIP: two }])
  t.equal(await tcp('node-2', '127.0.0.1', 8090), 'local')
  t.equal(await tcp('node-1', two, 8090), 'refused')
  t.equal(await tcp('node-1', two, 8091), 'local')
  t.equal(await tcp('node-2', '127.0.0.1', 8091), 'refused')
})

t.test('a pod that wants a port which another has goes to another host, or waits until it is free, and says why', async (t) => {
  await start('elsewhere', undefined, [{ containerPort: 8080, hostPort: 8088 }])
  t.equal(await cluster.kubectl(['get', 'pod', 'elsewhere', '-o', 'jsonpath={.spec.nodeName}']), 'node-2')
  t.equal(await tcp('node-1', two, 8088), 'elsewhere')
  t.equal(await tcp('node-2', one, 8088), 'web')
  await cluster.kubectl(['apply', '-f', '-'], { input: pod('waits', 'node-1', [{ containerPort: 8080, hostPort: 8088 }]) })
  await eventually('it says why it waits', async () => /free ports for the requested pod ports/.test(await cluster.kubectl(['get', 'pod', 'waits', '-o', 'jsonpath={.status.conditions[?(@.type=="PodScheduled")].message}'])))
  t.equal(await cluster.kubectl(['get', 'pod', 'waits', '-o', 'jsonpath={.spec.nodeName}']), '')
  // the same port by the other protocol is another port, and so is that of another address
  await start('beside', 'node-2', [{ containerPort: 9000, hostPort: 8088, protocol: 'UDP' }, { containerPort: 8080, hostPort: 8090, hostIP: two }])
  t.equal(await udp('node-1', two, 8088), 'to 8088')
  t.equal(await tcp('node-1', two, 8090), 'beside')

  await cluster.kubectl(['delete', 'pod', 'web', '--wait'])
  await cluster.kubectl(['wait', '--for=condition=Ready', 'pod/waits', '--timeout=60s'])
  t.equal(await tcp('node-2', one, 8088), 'waits')
})

t.test('a restart of its container, or of the agent, keeps the port', async (t) => {
  await cluster.exec('waits', ['killall', 'httpd'])
  await eventually('the container was started anew', async () => (await cluster.kubectl(['get', 'pod', 'waits', '-o', 'jsonpath={.status.containerStatuses[0].restartCount}'])) === '1')
  await eventually('it answers at its port', async () => (await tcp('node-2', one, 8088)) === 'waits')
  const { stdout } = await cluster.node('node-1', ['pgrep', '-f', 'agent --server'])
  await cluster.node('node-1', ['kill', '-9', ...stdout.trim().split('\n')])
  t.equal(await tcp('node-2', one, 8088), 'waits', 'while the agent starts anew')
})

t.test('of pods that are deleted nothing is left: their ports are refused, and the tables are empty', async (t) => {
  await cluster.kubectl(['delete', 'pod', '--all', '--wait'])
  for (const [address, port] of [[one, 8088], [two, 8088], [two, 8090], [two, 8091]] as const) t.equal(await tcp('node-1', address, port), 'refused', `${address}:${port}`)
  t.equal(await udp('node-1', one, 9053), '')
  for (const host of ['node-1', 'node-2']) {
    for (const map of ['port', 'port-at']) t.notMatch((await cluster.node(host, ['nft', 'list', 'map', 'ip', 'fairway-cni', map])).stdout, /elements/, `${map} of ${host}`)
  }
})
