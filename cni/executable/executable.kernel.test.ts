import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, constants, existsSync, openSync, readFileSync, rmSync, statSync, writeFileSync, writeSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { silentLogger } from '../../api/log.ts'
import { TestHost, addressOf, leftovers, makeHost, nothing } from '../test-support/host.ts'
import type { Answered } from '../test-support/host.ts'
import { startCniService } from './service.ts'

if (process.getuid?.() !== 0) {
  t.plan(0, 'the plugins as executables: needs root')
  process.exit()
}

const both = ['10.244.0.0/24', 'fd00:10:244::/64']

for (const path of ['resident', 'stand-alone'] as const) {
  t.test(`${path}: two pods reach each other and their host, and nothing of them stays`, async (t) => {
    using host = await makeHost(path)
    const config = host.config({}, both)
    for (const name of ['a', 'b']) host.addPod(name)
    const [a, b] = [await host.add('a', config), await host.add('b', config)]
    t.match(a, {
      status: 0, stderr: '',
      object: {
        cniVersion: '1.1.0',
        interfaces: [{ name: /^fw[0-9a-f]{11}$/, mac: '02:fa:1e:00:00:01', mtu: 1400 }, { name: 'eth0', mac: /^02:/, mtu: 1400, sandbox: host.podPath('a') }],
        ips: [{ address: '10.244.0.2/32', gateway: '169.254.1.1', interface: 1 }, { address: 'fd00:10:244::2/128', gateway: 'fe80::1', interface: 1 }],
        routes: [{ dst: '0.0.0.0/0', gw: '169.254.1.1' }, { dst: '::/0', gw: 'fe80::1' }],
      },
    })
    for (const address of [addressOf(b), 'fd00:10:244::3', '192.0.2.1', '2001:db8::1']) {
      t.match(await host.run('a', 'ping', '-c', '1', '-W', '1', address), { status: 0 }, `pod to ${address}`)
    }
    t.match(await host.run(undefined, 'ping', '-c', '1', '-W', '1', addressOf(a)), { status: 0 }, 'host to pod')
    t.match(await host.cni({ command: 'CHECK', containerId: 'a', netns: host.podPath('a'), ifname: 'eth0', config: { ...config, prevResult: a.object } }), { status: 0, stdout: '' })
    t.match(await host.cni({ command: 'STATUS', config }), { status: 0, stdout: '' })
    t.match([await host.del('a', config), await host.del('b', config)], [{ status: 0, stdout: '' }, { status: 0, stdout: '' }])
    t.strictSame(leftovers(host), nothing)
    t.equal(await host.stopServing(), path === 'resident' ? 0 : null)
  })
}

t.test('the resident part and the stand-alone plugin share addresses and answer the same', async (t) => {
  using host = await makeHost('resident')
  host.addPod('a')
  const withoutAddress = ({ status, stdout }: Answered): unknown => [status, stdout.replaceAll(/10\.244\.0\.\d+/g, 'ADDRESS')]
  const run = async (): Promise<unknown[]> => {
    const added = await host.add('a')
    return [
      added, await host.add('a'), await host.cni({ command: 'CHECK', containerId: 'a', netns: host.podPath('a'), ifname: 'eth0', config: host.config({ prevResult: added.object }) }), await host.del('a'),
      await host.add('missing'), await host.add('a', 'nonsense'), await host.cni({ command: 'VERSION', config: { cniVersion: '1.1.0' } }),
      await host.cni({ plugin: 'fairway-ipam', command: 'ADD', containerId: 'b', netns: '/b', ifname: 'eth0', config: host.config() }),
      await host.cni({ plugin: 'fairway-ipam', command: 'DEL', containerId: 'b', netns: '/b', ifname: 'eth0', config: host.config() }),
    ].map(withoutAddress)
  }
  const resident = await run()
  await host.stopServing('SIGKILL')
  t.ok(existsSync(host.socketPath), 'its socket was left behind')
  t.strictSame(await run(), resident)
  t.match(readFileSync(join(host.dataDir, 'ipam', 'test', 'journal'), 'utf8').match(/"take":"10\.244\.0\.(\d+)"/g)?.length, 4)
  t.strictSame(leftovers(host), nothing)
})

t.test('DEL succeeds in every broken state, twice', async (t) => {
  using host = await makeHost('resident')
  const states: Readonly<Record<string, (pod: string) => Promise<unknown> | void>> = {
    'as ADD left it': () => undefined,
    'the namespace is gone': (pod) => host.removePod(pod),
    'the host link is gone': () => host.run(undefined, 'ip', 'link', 'del', leftovers(host).links[0] ?? ''),
    'the host link was renamed': () => host.run(undefined, 'ip', 'link', 'set', leftovers(host).links[0] ?? '', 'down', 'name', 'other'),
    'the address is gone from the pod': (pod) => host.run(pod, 'ip', 'addr', 'flush', 'dev', 'eth0'),
    'the link is down': (pod) => host.run(pod, 'ip', 'link', 'set', 'eth0', 'down'),
    'the journal is gone': () => rmSync(join(host.dataDir, 'ipam'), { recursive: true }),
    'a file is where the namespace was': (pod) => {
      host.removePod(pod)
      writeFileSync(host.podPath(pod), '')
    },
  }
  for (const [state, make] of Object.entries(states)) {
    const pod = `p${Object.keys(states).indexOf(state)}`
    host.addPod(pod)
    t.match(await host.add(pod), { status: 0 }, state)
    await make(pod)
    t.match(await host.del(pod), { status: 0, stdout: '' }, state)
    t.match(await host.del(pod), { status: 0, stdout: '' }, `${state}, again`)
    t.strictSame(leftovers(host), nothing, state)
  }
  const resolvConf = join(host.folder, 'resolv.conf')
  const config = host.config({ ipam: { type: 'fairway-ipam', dataDir: host.dataDir, ranges: [[{ subnet: '10.244.0.0/24' }]], resolvConf } })
  writeFileSync(resolvConf, 'nameserver 192.0.2.53\n')
  host.addPod('dns')
  t.match(await host.add('dns', config), { status: 0, object: { dns: { nameservers: ['192.0.2.53'] } } })
  rmSync(resolvConf)
  t.match(await host.cni({ command: 'STATUS', config }), { status: 1, object: { code: 50, msg: /resolv\.conf/ } })
  t.match(await host.del('dns', config), { status: 0, stdout: '' }, 'the file that dns was read from is gone')
  t.strictSame(leftovers(host), nothing)
  t.match(await host.del('never-added'), { status: 0, stdout: '' })
  t.match(await host.cni({ command: 'DEL', containerId: 'never-added', ifname: 'eth0', config: host.config() }), { status: 0, stdout: '' }, 'without a namespace')
})

for (const path of ['resident', 'stand-alone'] as const) {
  t.test(`${path}: where the journal is damaged containers go, and none come`, async (t) => {
    using host = await makeHost(path)
    for (const name of ['a', 'b']) host.addPod(name)
    const [a] = [await host.add('a'), await host.add('b')]
    const journal = join(host.dataDir, 'ipam', 'test', 'journal')
    writeFileSync(journal, readFileSync(journal, 'utf8').replace(/\n/, '\nnonsense\n'))
    await host.stopServing()
    if (path === 'resident') await host.serve()
    t.match(await host.del('a'), { status: 0, stdout: '' })
    t.match(await host.del('a'), { status: 0, stdout: '' })
    t.match(readFileSync(journal, 'utf8'), new RegExp(`"free":"${addressOf(a)}"\\}\n$`))
    t.match(await host.add('a'), { status: 1, object: { code: 5, msg: /line 2 is corrupt/ } })
    t.match(host.route.links.list({ kind: 'veth' }), { length: 1 })
  })
}

t.test('another link of that name in the pod is none of ours', async (t) => {
  using host = await makeHost('resident')
  host.addPod('a')
  await host.run('a', 'ip', 'link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'eth1')
  t.match(await host.add('a'), { status: 1, object: { code: 101, msg: /has a link eth0 already/ } })
  t.strictSame(leftovers(host), nothing)
  t.match(await host.del('a'), { status: 0 })
  t.match((await host.run('a', 'ip', '-br', 'link')).stdout, /eth0/)
})

t.test('an ADD that fails leaves nothing and says why', async (t) => {
  using host = await makeHost('resident')
  host.addPod('a')
  const add = (more: Readonly<Record<string, unknown>>, netns = host.podPath('a')): Promise<Answered> =>
    host.cni({ command: 'ADD', containerId: 'a', netns, ifname: 'eth0', config: host.config(more) })
  writeFileSync(join(host.folder, 'plain'), '')
  const ipam = { type: 'fairway-ipam', dataDir: host.dataDir, ranges: [[{ subnet: '10.244.0.0/24' }]] }
  t.match(await add({}, '/run/netns/is-not-there'), { status: 1, object: { code: 3, msg: /does not exist/ } })
  t.match(await add({}, join(host.folder, 'plain')), { status: 1, object: { code: 4, msg: /is not a network namespace/ } })
  t.match(await add({}, host.folder), { status: 1, object: { code: 4, msg: /is not a network namespace/ } })
  t.match(await add({}, join(host.folder, 'host')), { status: 1, object: { code: 4, msg: /host's own/ } })
  t.match(await add({ ipam: { ...ipam, dataDir: 'relative' } }), { status: 1, object: { code: 7, msg: /not an absolute path/ } })
  t.match(await add({ ipam: { ...ipam, dataDir: join(host.folder, 'plain') } }), { status: 1, object: { code: 5, msg: /ENOTDIR|EEXIST/ } })
  t.match(await add({ ipam: { ...ipam, routes: [{ dst: '10.0.0.0/33' }] } }), { status: 1, object: { code: 7, msg: /10\.0\.0\.0\/33/ } })
  t.match(await add({ ipam: { ...ipam, routes: [{ dst: '10.0.0.1/8', table: 1 }] } }), { status: 1, object: { code: 104, msg: /Cannot set route 10\.0\.0\.1\/8/ } }, 'the kernel refuses')
  t.match(await add({ runtimeConfig: { ips: ['192.0.2.9'] } }), { status: 1, object: { code: 102, msg: /192\.0\.2\.9/ } })
  t.match(await add({ ipMasq: 'yes' }), { status: 1, object: { code: 7, msg: /ipMasq/ } })
  t.match(await add({ sysctl: { 'net.ipv4.is_not_there': '1' } }), { status: 1, object: { code: 104, msg: /is_not_there/ } }, 'no such setting')
  t.strictSame(leftovers(host), nothing)
  t.equal((await host.run('a', 'ip', '-br', 'link')).stdout.trim().split('\n').length, 1)
})

t.test('a requested address and mac are given once', async (t) => {
  using host = await makeHost('resident')
  for (const name of ['a', 'b']) host.addPod(name)
  const config = host.config({ runtimeConfig: { ips: ['10.244.0.99/24'], mac: '02:11:22:33:44:55' } })
  t.match((await host.add('a', config)).object, { interfaces: [{}, { mac: '02:11:22:33:44:55' }], ips: [{ address: '10.244.0.99/32' }] })
  t.match(await host.add('b', config), { status: 1, object: { code: 102, msg: /container a has it/ } })
  t.match((await host.cni({ command: 'ADD', containerId: 'b', netns: host.podPath('b'), ifname: 'eth0', args: 'IP=10.244.0.7', config: host.config() })).object, { ips: [{ address: '10.244.0.7/32' }] })
})

t.test('CHECK says what is not as it was', async (t) => {
  using host = await makeHost('resident')
  host.addPod('a')
  const { object } = await host.add('a')
  const check = (): Promise<Answered> => host.cni({ command: 'CHECK', containerId: 'a', netns: host.podPath('a'), ifname: 'eth0', config: host.config({ prevResult: object }) })
  await host.run('a', 'ip', 'route', 'del', 'default')
  t.match(await check(), { status: 1, object: { code: 103, msg: /route to 0\.0\.0\.0\/0 is gone/ } })
  await host.run('a', 'ip', 'addr', 'flush', 'dev', 'eth0')
  t.match(await check(), { status: 1, object: { code: 103, msg: /address 10\.244\.0\.2 is gone/ } })
  await host.run(undefined, 'ip', 'route', 'flush', 'proto', '70')
  t.match(await check(), { status: 1, object: { code: 103, msg: /the host's route to 10\.244\.0\.2 is gone/ } })
  await host.run('a', 'ip', 'link', 'del', 'eth0')
  t.match(await check(), { status: 1, object: { code: 103, msg: /link eth0 is gone/ } })
})

t.test('CHECK sees links that are down, and one with another address', async (t) => {
  using host = await makeHost('resident')
  host.addPod('a')
  const { object } = await host.add('a')
  const check = (prevResult: unknown = object): Promise<Answered> => host.cni({ command: 'CHECK', containerId: 'a', netns: host.podPath('a'), ifname: 'eth0', config: host.config({ prevResult }) })
  t.match(await check(), { status: 0, stdout: '' })
  t.match(await check({ ...object, interfaces: [] }), { status: 1, object: { code: 103, msg: /prevResult has no interface eth0/ } })
  await host.run('a', 'ip', 'link', 'set', 'eth0', 'address', '02:00:00:00:00:77')
  t.match(await check(), { status: 1, object: { code: 103, msg: /link eth0 has address 02:00:00:00:00:77, not 02:/ } })
  await host.run('a', 'ip', 'link', 'set', 'eth0', 'down')
  t.match(await check(), { status: 1, object: { code: 103, msg: /link eth0 is down/ } })
  const [hostLink = ''] = leftovers(host).links
  await host.run(undefined, 'ip', 'link', 'set', hostLink, 'down')
  t.match(await check(), { status: 1, object: { code: 103, msg: new RegExp(`link ${hostLink} of the host is down`) } })
})

t.test('STATUS says 50 where no address can be given: the journal is corrupt, newer, in the way of a file, or on a disk that is read only', async (t) => {
  using host = await makeHost('stand-alone')
  host.addPod('a')
  t.match(await host.add('a'), { status: 0 })
  const journal = join(host.dataDir, 'ipam', 'test', 'journal')
  const whole = readFileSync(journal, 'utf8')
  const status = (config: unknown = host.config()): Promise<Answered> => host.cni({ command: 'STATUS', config })
  t.match(await status(), { status: 0, stdout: '' })
  writeFileSync(journal, whole.replace(/\n/, '\nnonsense\n'))
  t.match(await status(), { status: 1, object: { cniVersion: '1.1.0', code: 50, msg: /journal: line 2 is corrupt/ } })
  writeFileSync(journal, whole.replace('"version":1', '"version":2'))
  t.match(await status(), { status: 1, object: { code: 50, msg: /journal/ } })
  writeFileSync(journal, whole)
  t.match(await status(host.config({ ipam: { type: 'fairway-ipam', dataDir: journal, ranges: [[{ subnet: '10.244.0.0/24' }]] } })), { status: 1, object: { code: 50, msg: /is no folder/ } })
  const readOnly = await host.run(undefined, 'env', 'CNI_COMMAND=STATUS', 'unshare', '--mount', 'sh', '-c', `mount --bind ${host.dataDir} ${host.dataDir} && mount -o remount,ro,bind ${host.dataDir} && echo '${JSON.stringify(host.config())}' | ${join(host.binDir, 'fairway')}`)
  t.match(readOnly, { status: 1, stdout: /"code":50,"msg":".*EROFS/ })
  t.match(await status(), { status: 0, stdout: '' })
})

t.test('GC removes what is not among the valid attachments, and nothing of another network', async (t) => {
  using host = await makeHost('resident')
  for (const name of ['a', 'b', 'c']) host.addPod(name)
  const [, b] = [await host.add('a'), await host.add('b')]
  const other = { ...host.config({}, ['10.245.0.0/24']), name: 'other' }
  t.match(await host.add('c', other), { status: 0 })
  host.removePod('a')
  t.match(await host.cni({ command: 'GC', config: host.config({ 'cni.dev/valid-attachments': [{ containerID: 'b', ifname: 'eth0' }] }) }), { status: 0, stdout: '' })
  t.match(leftovers(host), { links: { length: 2 }, addresses: [addressOf(b)] })
  t.match(await host.run('b', 'ping', '-c', '1', '-W', '1', '10.245.0.2'), { status: 0 }, 'who stays is still connected')
})

t.test("the socket is root's alone; a stale one is replaced, one that is served is not", async (t) => {
  using host = await makeHost('resident')
  t.equal(statSync(host.socketPath).mode & 0o777, 0o600)
  await t.rejects(startCniService({ socketPath: host.socketPath, log: silentLogger }), { message: /another process does/ })
  await host.stopServing('SIGKILL')
  await host.serve()
  const ask = (text: string): Promise<string> => new Promise((resolve, reject) => {
    const socket = connect({ path: host.socketPath, allowHalfOpen: true })
    let answer = ''
    socket.on('data', (data) => (answer += data.toString('latin1')))
    socket.on('error', reject)
    socket.on('close', () => resolve(answer))
    socket.end(Buffer.from(text, 'latin1'))
  })
  t.equal(await ask('GET / HTTP/1.1\r\n\r\n'), '', 'what is no request gets no answer')
  t.equal(await ask(''), '')
  t.match(await ask(`FWC1${'nobody'.padEnd(16, '\0')}\0\0\0\0`), /Cannot run plugin .*nobody/)
})

t.test('an executable whose resident part ends in between says so', async (t) => {
  using host = new TestHost()
  const server = createServer((socket) => socket.on('data', () => socket.destroy()))
  await new Promise<void>((resolve) => server.listen(host.socketPath, resolve))
  host.addPod('a')
  t.match(await host.add('a'), { status: 1, object: { code: 11, msg: /try again/ } })
  t.match(await host.add('a', { ...host.config(), padding: 'x'.repeat(1_000_000) }), { status: 1, object: { code: 11 } })
  server.close()
})

for (const path of ['resident', 'stand-alone'] as const) {
  t.test(`${path}: input that is closed, a folder, or does not block`, async (t) => {
    using host = await makeHost(path)
    const plugin = join(host.binDir, 'fairway')
    for (const input of ['<&-', '< /tmp', '< /dev/null']) {
      t.match(await host.run(undefined, 'env', 'CNI_COMMAND=STATUS', 'sh', '-c', `${plugin} ${input}`), { status: 1, stdout: /"code":6,"msg":"Cannot read configuration: / }, input)
    }
    const pipe = join(host.folder, 'pipe')
    await host.run(undefined, 'mkfifo', pipe)
    const read = openSync(pipe, constants.O_RDONLY | constants.O_NONBLOCK)
    const write = openSync(pipe, 'w')
    const child = spawn('nsenter', [`--net=${host.pathOf(undefined)}`, 'sh', '-c', `${plugin} <&3`], { env: { CNI_COMMAND: 'STATUS' }, stdio: ['ignore', 'pipe', 'inherit', read] })
    closeSync(read)
    await sleep(200)
    writeSync(write, JSON.stringify(host.config()))
    closeSync(write)
    t.strictSame(await once(child, 'exit'), [0, null], 'it is waited for')
  })
}

t.test('a configuration of a megabyte passes', async (t) => {
  using host = await makeHost('resident')
  host.addPod('a')
  t.match(await host.add('a', { ...host.config(), padding: 'x'.repeat(1_000_000) }), { status: 0 })
})
