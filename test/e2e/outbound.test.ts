/** The way out of a cluster, which is there for those who ask for it, and of which `down` leaves nothing. */
import { execFileSync, spawn } from 'node:child_process'
import t from 'tap'
import { eventually, upCluster } from '../support/cluster.ts'
import { machineState } from '../support/machine-state.ts'

const place = 'fairway-outside'
const ip = (...args: string[]): string => execFileSync('ip', args, { encoding: 'utf8' })

// Somebody beyond this machine, who has no route back to any host of a cluster.
ip('netns', 'add', place)
t.teardown(() => ip('netns', 'delete', place))
ip('link', 'add', 'fwy-out', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', place)
ip('addr', 'add', '198.51.100.1/24', 'dev', 'fwy-out')
execFileSync('sh', ['-c', 'echo 1 > /proc/sys/net/ipv6/conf/fwy-out/disable_ipv6; echo 1 > /proc/sys/net/ipv4/conf/fwy-out/forwarding'])
ip('link', 'set', 'fwy-out', 'up')
ip('-n', place, 'addr', 'add', '198.51.100.2/24', 'dev', 'eth0')
ip('-n', place, 'link', 'set', 'eth0', 'up')
const server = spawn('nsenter', [`--net=/run/netns/${place}`, 'busybox', 'nc', '-ll', '-p', '8080', '-e', 'echo', 'outside'], { stdio: 'ignore' })
t.teardown(() => server.kill('SIGKILL'))
const before = machineState()
let taken = false

t.test('with --outbound hosts and pods reach beyond this machine, under its address', async (t) => {
  const cluster = await upCluster(t, 'e2e-outbound', ['--nodes', '1', '--outbound'])
  const fromHost = await cluster.node('node-1', ['busybox', 'nc', '-w', '3', '198.51.100.2', '8080'])
  t.equal(fromHost.stdout, 'outside\n', fromHost.stderr)
  await cluster.kubectl(['run', 'client', '--image=busybox:1', '--', 'tini', '--', 'sleep', 'infinity'])
  await cluster.kubectl(['wait', 'pod/client', '--for=condition=Ready', '--timeout=30s'])
  await eventually('a pod reaches it too', async () => (await cluster.exec('client', ['nc', '-w', '3', '198.51.100.2', '8080'])) === 'outside\n', 10_000, 500)
  t.equal((await cluster.fairway(['down', '--name', cluster.name])).code, 0)
  taken = true
})

t.test('down takes the way out away', (t) => {
  t.ok(taken)
  t.same(machineState(), before)
  t.end()
})

t.test('without it there is none', async (t) => {
  const cluster = await upCluster(t, 'e2e-inbound', ['--nodes', '1'])
  t.equal((await cluster.node('node-1', ['busybox', 'nc', '-w', '2', '198.51.100.2', '8080'])).stdout, '')
  const name = await cluster.node('node-1', ['dig', '@10.96.0.10', '+tries=1', '+time=3', 'nosuch.example'])
  t.match(name.stdout, /status: (SERVFAIL|REFUSED)/, 'a name that nobody here can know is refused, not waited for')
})
