/** `fairway trace` on a running cluster: what is there is found, and what is broken is named. */
import t from 'tap'
import { Cluster } from '../support/cluster.ts'
import type { Ran } from '../support/cluster.ts'

const cluster = new Cluster('e2e-trace')
t.teardown(() => cluster.down())

const trace = (...words: string[]): Promise<Ran> => cluster.fairway(['trace', '--name', cluster.name, ...words])

t.before(async () => {
  const ran = await cluster.fairway(['up', '--name', cluster.name, '--demo'], { timeoutMs: 240_000 })
  if (ran.code !== 0) throw new Error(ran.stderr + ran.stdout)
})

t.test('a service is followed by name, rules, tunnel and listener to both of its pods', async (t) => {
  const { code, stdout, stderr } = await trace('pod/client', 'svc/web')
  t.equal(code, 0, stdout + stderr)
  t.match(stdout, /✓ name +web\.default\.svc\.cluster\.local is 10\.\S+, says 10\.96\.0\.10/)
  t.match(stdout, /✓ service +10\.\S+ tcp 80 ─► chains prerouting, services, n2.* one of 2 endpoints/)
  t.match(stdout, /✓ way +from node-\d by tunnel fairway-vxlan \(mtu 1450\) to 10\.90\.\S+ \(node-\d\)/)
  t.match(stdout, /✓ way +from node-\d by link fw\w+, a pod of this host/)
  t.equal(stdout.match(/✓ listener/g)?.length, 2, stdout)
  t.match(stdout, /✓ reached +10\.\S+ tcp 80 opened in [\d.]+ ms/)
})

t.test('headless services, UDP, node ports, the DNS address and the API server', async (t) => {
  for (const [from, to, expected] of [
    ['pod/client', 'svc/web-headless', /2 of 2 endpoints answered/],
    ['pod/client', 'svc/web:9000', /✓ untried/],
    ['node/node-2', `${await nodeAddress('node-1')}:30080`, /✓ arrival +on node-1 .* an endpoint of its service[\s\S]*✓ reached/],
    ['pod/client', '10.96.0.10:53', /is an address of node-\d itself[\s\S]*✓ listener +10\.96\.0\.10 udp 53/],
    ['pod/client', 'svc/kubernetes', /✓ reached/],
  ] as const) {
    const { code, stdout, stderr } = await trace(from, to)
    t.equal(code, 0, `${from} to ${to}: ${stdout}${stderr}`)
    t.match(stdout, expected, `${from} to ${to}`)
  }
})

t.test('a wrong target port: nobody listens, and what does is said', async (t) => {
  await cluster.kubectl(['expose', 'deployment', 'web', '--name=wrong', '--port=80', '--target-port=8099'])
  const { code, stdout } = await traceUntil(['pod/client', 'svc/wrong'], /chains/)
  t.equal(code, 1, stdout)
  t.match(stdout, /✗ listener +nothing listens on 10\.\S+ tcp 8099 there; there is .*8080/)
  t.match(stdout, /✗ failed +10\.\S+ tcp 80: refused/)
})

t.test('a wrong selector: refused, and why there are no endpoints', async (t) => {
  await cluster.kubectl(['patch', 'service', 'wrong', '--patch', '{"spec":{"selector":{"app":"wep"}}}'])
  const { code, stdout } = await traceUntil(['pod/client', 'svc/wrong'], /is refused/)
  t.equal(code, 1, stdout)
  t.match(stdout, /· why +no pod of namespace default has app=wep/)
})

t.test('a cable unplugged: the endpoint behind it does not answer, and the rest does', async (t) => {
  const far = (await cluster.kubectl(['get', 'pod', 'client', '-o', 'jsonpath={.spec.nodeName}'])) === 'node-1' ? 'node-2' : 'node-1'
  await cluster.fairway(['node', 'partition', far, '--name', cluster.name])
  const { code, stdout } = await trace('pod/client', 'svc/web-headless')
  await cluster.fairway(['node', 'heal', far, '--name', cluster.name])
  t.equal(code, 1, stdout)
  t.match(stdout, /✗ tried +a connection to it: no answer[\s\S]*✗ in part +1 of 2 endpoints answered/)
})

async function nodeAddress(name: string): Promise<string> {
  return cluster.kubectl(['get', 'node', name, '-o', 'jsonpath={.status.addresses[?(@.type=="InternalIP")].address}'])
}

/** What was just written takes its milliseconds to the kernel. */
async function traceUntil(words: readonly string[], expected: RegExp): Promise<Ran> {
  for (let attempt = 0; ; attempt += 1) {
    const ran = await trace(...words)
    if (expected.test(ran.stdout) || attempt === 20) return ran
  }
}
