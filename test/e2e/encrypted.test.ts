/** A cluster whose hosts encrypt what their pods say to each other: `up --overlay wireguard`. What it looks like on the wire is in `cni/overlay/encryption.kernel.test.ts`. */
import { existsSync, globSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { Wireguard } from '../../netlink/wireguard.ts'
import { Cluster, eventually, fairway } from '../support/cluster.ts'

const cluster = new Cluster('e2e-encrypted')
let isDown = false
const kernel = Wireguard.open()
kernel?.close()
/** How many programs a cluster of two hosts has. */
const programsMin = kernel === undefined ? 2 : 0

/** Programs of any host of this machine that encrypt, by process id. */
function programs(): string[] {
  return globSync('/proc/[0-9]*/comm').filter((file) => existsSync(file) && readFileSync(file, 'utf8') === 'wireguard-go\n').map((file) => file.split('/')[2] ?? '')
}
t.teardown(async () => {
  if (!isDown) await cluster.down()
})

t.test('where nothing can encrypt, it is refused before anything is made', { skip: kernel !== undefined }, async (t) => {
  const bin = mkdtempSync(join(tmpdir(), 'fairway-bin-'))
  t.teardown(() => rmSync(bin, { recursive: true }))
  for (const name of readdirSync('/usr/bin')) if (!['wireguard-go', 'boringtun-cli'].includes(name)) symlinkSync(join('/usr/bin', name), join(bin, name))
  const ran = await fairway(['up', '--name', 'e2e-nobody', '--overlay', 'wireguard'], { env: { PATH: `${bin}:/usr/sbin` } })
  t.match(ran, { code: 1, stderr: /Cannot encrypt between hosts: this kernel has no WireGuard, and no program that does it in its place is installed \(wireguard-go or boringtun-cli, in PATH\)/ })
  t.notOk(existsSync('/var/lib/fairway/clusters/e2e-nobody'))
})

t.test('every kind of path works between pods of hosts that encrypt', async (t) => {
  const ran = await cluster.fairway(['up', '--name', cluster.name, '--overlay', 'wireguard', '--demo'], { timeoutMs: 240_000 })
  t.equal(ran.code, 0, ran.stderr + ran.stdout)
  t.match(ran.stdout, /✓ +pod/)
  t.notMatch(ran.stdout, /✗/, ran.stdout)
  const status = await cluster.node('node-1', [join(import.meta.dirname, '../../fairway'), 'cni', 'status'])
  t.match(status.stdout, /node-2 +10\.244\.\d+\.0\/24 +10\.90\.\d+\.\d+ +fairway-wg +1440 +reachable/, status.stderr)
  t.match(await cluster.kubectl(['get', 'nodes', '-o', 'jsonpath={.items[*].metadata.annotations.fairway\\.dev/wireguard-public-key}']), /^\S{44} \S{44}$/)
})

t.test('a host whose program is killed is reached again, and so is one whose plug was pulled', async (t) => {
  const other = await cluster.kubectl(['get', 'pods', '-l', 'app=web', '-o', 'jsonpath={.items[*].status.podIP}'])
  const reaches = async (): Promise<boolean> => (await Promise.all(other.split(' ').map(async (address) => (await cluster.kubectlRan(['exec', 'client', '--', 'timeout', '2', 'wget', '-q', '-O', '-', `http://${address}:8080/`])).code === 0))).every(Boolean)
  t.ok(await reaches())
  if (kernel === undefined) {
    const { stdout } = await cluster.node('node-2', ['pgrep', '-x', 'wireguard-go'])
    t.equal((await cluster.node('node-2', ['kill', '-9', stdout.trim().split('\n')[0] ?? ''])).code, 0)
  }
  await eventually('pods of both hosts answer again', reaches, 20_000)
  t.equal((await cluster.fairway(['node', 'stop', '--name', cluster.name, 'node-1'])).code, 0)
  t.equal((await cluster.fairway(['node', 'start', '--name', cluster.name, 'node-1'])).code, 0)
  await eventually('node-1 is reached again', async () => /node-1 .* reachable/.test((await cluster.node('node-2', [join(import.meta.dirname, '../../fairway'), 'cni', 'status'])).stdout), 60_000, 500)
})

t.test('down leaves nothing, no program either', async (t) => {
  const running = programs()
  t.ok(running.length >= programsMin, 'one for each host')
  const ran = await cluster.down()
  isDown = true
  t.equal(ran.code, 0, ran.stderr)
  t.ok(running.filter((pid) => !programs().includes(pid)).length >= programsMin)
  t.notOk(existsSync(`/var/lib/fairway/clusters/${cluster.name}`))
})
