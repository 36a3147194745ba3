import { once } from 'node:events'
import { existsSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { cgroupsNamed } from './test-support/cgroups.ts'
import { EngineHost, referencePlugins } from './test-support/engines.ts'
import { addressOf, leftovers, makeHost, nothing } from './test-support/host.ts'
import { ask, serve } from './test-support/talk.ts'

if (process.getuid?.() !== 0 || !existsSync(join(referencePlugins, 'portmap')) || !existsSync('/usr/bin/podman') || !existsSync('/usr/bin/ctr')) {
  t.plan(0, 'containerd and Podman as callers: needs root and the Debian packages containerd, podman, containernetworking-plugins')
  process.exit()
}

async function makeEngines(plugins: (host: EngineHost) => readonly unknown[], cniVersion = '1.0.0'): Promise<EngineHost> {
  const host = new EngineHost()
  await host.begin()
  await host.serve()
  host.route.addresses.add({ link: 1, address: '192.0.2.1', prefixLength: 32 })
  await host.configure({ cniVersion, name: 'test', plugins: plugins(host) })
  return host
}

const fairway = (host: EngineHost, more: Readonly<Record<string, unknown>> = {}): unknown => ({ type: 'fairway', ipam: { type: 'fairway-ipam', dataDir: host.dataDir, ranges: [[{ subnet: '10.244.0.0/24' }], [{ subnet: 'fd00:10:244::/64' }]] }, ...more })
const look = 'ip addr show eth0; ip route; cat /proc/sys/net/core/somaxconn; ping -c1 192.0.2.1'
const path = 'export PATH=/bin; '

// Debian's firewall does not know 0.3.1
for (const [version, more] of [['0.3.1', []], ['0.4.0', [{ type: 'firewall' }]], ['1.0.0', [{ type: 'firewall' }]]] as const) {
  t.test(`ctr, version ${version}: a container with our link, and reference plugins behind it`, async (t) => {
    using host = await makeEngines((host) => [fairway(host), { type: 'tuning', sysctl: { 'net.core.somaxconn': '500' } }, ...more], version)
    const containerd = await host.startContainerd()
    const { status, stdout, stderr } = await containerd.ctr('run', '--rm', '--rootfs', '--cni', await host.rootfs(), 'one', '/bin/sh', '-c', path + look)
    t.equal(status, 0, stderr)
    t.match(stdout, /inet 10\.244\.0\.2\/32[^]*inet6 fd00:10:244::2\/128[^]*default via 169\.254\.1\.1[^]*\n500\n[^]*1 packets received/)
    t.strictSame(leftovers(host), nothing)
  })
}

t.test('what `fairway cni install` writes is what these engines take as it is', async (t) => {
  using host = new EngineHost()
  await host.begin()
  await host.serve()
  const cli = new URL('../fairway', import.meta.url).pathname
  const installed = await host.engine('env', 'FAIRWAY_SKIP_SETUP=1', cli, 'cni', 'install', '--bin-dir', '/opt/cni/bin', '--conf-dir', '/etc/cni/net.d', '--socket', host.socketPath)
  t.equal(installed.status, 0, installed.stderr)
  const containerd = await host.startContainerd()
  t.match(await containerd.ctr('run', '--rm', '--rootfs', '--cni', await host.rootfs(), 'one', '/bin/sh', '-c', `${path}ip addr show eth0`), { status: 0, stdout: /inet 10\.244\.0\.2\/32/ })
  t.match(await host.podman('run', '--rm', '--network', 'fairway', '--rootfs', await host.rootfs(), '/bin/sh', '-c', 'ip addr show eth0'), { status: 0, stdout: /inet 10\.244\.0\.3\/32/ })
  t.strictSame(leftovers(host), nothing)
})

t.test("containerd's CRI: sandboxes at the same time, ports, rates; its kill -9 loses nothing", async (t) => {
  using host = await makeEngines((host) => [fairway(host, { capabilities: { portMappings: true, bandwidth: true } }), { type: 'firewall' }])
  const containerd = await host.startContainerd()
  t.match(await containerd.ctr('-n', 'k8s.io', 'images', 'import', host.image()), { status: 0 })
  const web = await containerd.runSandbox('web', { ports: [{ hostPort: 8080, containerPort: 80 }], annotations: { 'kubernetes.io/ingress-bandwidth': '10M' } })
  t.equal(await containerd.addressOf(web), '10.244.0.2')
  t.match((await host.run(undefined, 'tc', 'qdisc', 'show')).stdout, /tbf .* rate 10Mbit/)
  const netns = (await host.engine('ls', '/run/netns')).stdout.trim()
  const server = host.start('nsenter', `--net=/run/netns/${netns}`, process.execPath, '-e', "require('node:net').createServer((s) => s.end('web\\n')).listen(80, () => console.log('ready'))")
  if (server.stdout !== null) await once(server.stdout, 'data')
  t.equal(await ask(host, undefined, 'tcp', '127.0.0.1', 8080), 'web')
  t.equal(await ask(host, undefined, 'tcp', '192.0.2.1', 8080), 'web')
  const others = await Promise.all(Array.from({ length: 6 }, (_, index) => containerd.runSandbox(`pod${index}`)))
  t.equal(new Set(await Promise.all(others.map((id) => containerd.addressOf(id)))).size, 6)
  containerd.process.kill('SIGKILL')
  await once(containerd.process, 'exit')
  const again = await host.startContainerd()
  t.equal(await again.addressOf(web), '10.244.0.2')
  t.equal(await ask(host, undefined, 'tcp', '192.0.2.1', 8080), 'web', 'pods and ports outlive their engine')
  for (const id of [web, ...others]) await again.removeSandbox(id)
  t.strictSame(leftovers(host), nothing)
})

t.test('a test that ends before its pods do leaves no cgroup in any hierarchy', async (t) => {
  let cgroup
  {
    using host = await makeEngines((host) => [fairway(host)])
    cgroup = host.cgroup
    const containerd = await host.startContainerd()
    await containerd.ctr('-n', 'k8s.io', 'images', 'import', host.image())
    await containerd.runSandbox('left')
    t.not(cgroupsNamed(cgroup).length, 0)
  }
  t.strictSame(cgroupsNamed(cgroup), [])
})

t.test('Podman: in front of the reference plugins portmap, bandwidth, tuning and firewall', async (t) => {
  using host = await makeEngines((host) => [
    fairway(host, { capabilities: { ips: true, mac: true } }), { type: 'portmap', capabilities: { portMappings: true } },
    { type: 'bandwidth', ingressRate: 10_000_000, ingressBurst: 1_000_000, egressRate: 10_000_000, egressBurst: 1_000_000 }, { type: 'tuning', sysctl: { 'net.core.somaxconn': '500' } }, { type: 'firewall' },
  ])
  const { status, stdout, stderr } = await host.podman('run', '--rm', '--network', 'test:ip=10.244.0.77,mac=02:11:22:33:44:55', '-p', '8080:80', '--rootfs', await host.rootfs(), '/bin/sh', '-c', look)
  t.equal(status, 0, stderr)
  t.match(stdout, /02:11:22:33:44:55[^]*inet 10\.244\.0\.77\/32[^]*\n500\n[^]*1 packets received/)
  t.strictSame(leftovers(host), nothing)
  t.match((await host.run(undefined, 'ip', '-br', 'link')).stdout.trim().split('\n'), { length: 1 }, "the reference plugins' links are gone too")
})

t.test('Podman: our own ports and rates in place of theirs', async (t) => {
  using host = await makeEngines((host) => [fairway(host, { capabilities: { portMappings: true }, bandwidth: { egressRate: 10_000_000 } }), { type: 'firewall' }])
  t.match(await host.podman('run', '-d', '--name', 'web', '--network', 'test', '-p', '8080:80', '-p', '127.0.0.1:8081:80/tcp', '--rootfs', await host.rootfs(), '/bin/sh', '-c', 'while true; do echo web | nc -l -p 80; done'), { status: 0 })
  // nc serves one caller and begins anew
  for (const [address, port] of [['127.0.0.1', 8080], ['192.0.2.1', 8080], ['127.0.0.1', 8081]] as const) {
    let answer = 'nothing'
    for (let attempt = 0; attempt < 20 && answer === 'nothing'; attempt++) answer = await ask(host, undefined, 'tcp', address, port)
    t.equal(answer, 'web', `${address}:${port}`)
  }
  t.equal(await ask(host, undefined, 'tcp', '192.0.2.1', 8081, 1), 'nothing', 'a port of localhost alone')
  t.match(await host.podman('rm', '-f', '-t', '0', 'web'), { status: 0 })
  t.strictSame(leftovers(host), nothing)
})

t.test('the reference plugin host-local gives the addresses; where it is older than the configuration it is spoken to as it knows', async (t) => {
  using host = await makeHost('resident')
  for (const name of ['a', 'b']) host.addPod(name)
  symlinkSync(join(referencePlugins, 'host-local'), join(host.binDir, 'host-local'))
  const dataDir = join(host.folder, 'host-local')
  const config = (cniVersion: string, more: Readonly<Record<string, unknown>> = {}): unknown => ({ ...host.config({ dataDir: host.dataDir, ipam: { type: 'host-local', dataDir, ranges: [[{ subnet: '172.30.0.0/24' }]] } }), cniVersion, ...more })
  const given = async (): Promise<string> => (await host.run(undefined, 'sh', '-c', `ls ${dataDir}/test | grep -c ^172`)).stdout.trim()
  t.match((await host.add('a', config('1.0.0'))).object, { ips: [{ address: '172.30.0.2/32', gateway: '169.254.1.1' }] })
  t.match(await host.run('a', 'ping', '-c', '1', '-W', '1', '192.0.2.1'), { status: 0 })
  t.match(await host.add('b', config('0.4.0')), { status: 0 })
  t.equal(await given(), '2')
  t.match(await host.del('a', config('1.0.0')), { status: 0 })
  const added = await host.add('a', config('1.1.0'))
  t.match(added, { status: 0, object: { cniVersion: '1.1.0', ips: [{ address: '172.30.0.4/32' }] } }, 'Debian has one that does not know 1.1.0')
  t.match(await host.cni({ command: 'CHECK', containerId: 'a', netns: host.podPath('a'), ifname: 'eth0', config: config('1.1.0', { prevResult: added.object }) }), { status: 0, stdout: '' })
  t.match(await host.cni({ command: 'STATUS', config: config('1.1.0') }), { status: 0, stdout: '' })
  t.match(await host.cni({ command: 'GC', config: config('1.1.0', { 'cni.dev/valid-attachments': [{ containerID: 'b', ifname: 'eth0' }] }) }), { status: 0, stdout: '' })
  t.equal(await given(), '1', 'GC, which it does not know, has it give back what is stale')
  t.match(await host.del('b', config('1.0.0')), { status: 0 })
  t.equal(await given(), '0')
  t.strictSame(leftovers(host), nothing)
})

t.test('a pod of the reference bridge gets a network of ours beside it, and each answers by its own link', async (t) => {
  using host = await makeHost('resident')
  host.addPod('a')
  for (const name of ['bridge', 'host-local']) symlinkSync(join(referencePlugins, name), join(host.binDir, name))
  const bridge = { cniVersion: '1.0.0', name: 'other', type: 'bridge', bridge: 'cni0', isGateway: true, ipam: { type: 'host-local', dataDir: join(host.folder, 'host-local'), ranges: [[{ subnet: '172.31.0.0/24' }]], routes: [{ dst: '0.0.0.0/0' }] } }
  const call = (plugin: string, command: string, ifname: string, config: unknown) => host.cni({ plugin, command, containerId: 'a', netns: host.podPath('a'), ifname, config })
  const first = await call('bridge', 'ADD', 'eth0', bridge)
  const second = await call('fairway', 'ADD', 'net1', host.config())
  using _server = await serve(host, 'a', 'a', 80)
  for (const address of [addressOf(first), addressOf(second)]) t.match(await ask(host, undefined, 'tcp', address, 80), /^a /, address)
  t.match([await call('fairway', 'DEL', 'net1', host.config()), await call('bridge', 'DEL', 'eth0', bridge)], [{ status: 0 }, { status: 0 }])
  t.strictSame(leftovers(host), nothing)
})

t.test('behind another plugin: what it made stands first in the result', async (t) => {
  using host = await makeHost('resident')
  host.addPod('a')
  const prevResult = { cniVersion: '1.1.0', interfaces: [{ name: 'other0', mac: '02:00:00:00:00:09' }], ips: [{ address: '192.0.2.9/24', gateway: '192.0.2.1', interface: 0 }], routes: [{ dst: '198.51.100.0/24' }], dns: { nameservers: ['192.0.2.53'] } }
  const added = await host.add('a', host.config({ prevResult }))
  t.match(added.object, { interfaces: [{ name: 'other0' }, { name: /^fw/ }, { name: 'eth0' }], ips: [{ address: '192.0.2.9/24', interface: 0 }, { address: '10.244.0.2/32', interface: 2 }], routes: [{ dst: '198.51.100.0/24' }, { dst: '0.0.0.0/0' }], dns: { nameservers: ['192.0.2.53'] } })
  t.match(await host.cni({ command: 'CHECK', containerId: 'a', netns: host.podPath('a'), ifname: 'eth0', config: host.config({ prevResult: added.object }) }), { status: 0, stdout: '' })
})
