import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { addressOf, leftovers, makeHost, nothing } from '../test-support/host.ts'
import type { Answered, TestHost } from '../test-support/host.ts'
import { ask, serve } from '../test-support/talk.ts'

if (process.getuid?.() !== 0) {
  t.plan(0, 'several networks of a pod, and what else a configuration may say: needs root')
  process.exit()
}

const both = ['10.244.0.0/24', 'fd00:10:244::/64']
const second = ['10.245.0.0/24', 'fd00:10:245::/64']

function call(host: TestHost, command: string, ifname: string, config: unknown): Promise<Answered> {
  return host.cni({ command, containerId: 'a', netns: host.podPath('a'), ifname, config })
}

t.test('a second network of a pod: each answers by the link that the question came by, and its end leaves nothing in the pod', async (t) => {
  using host = await makeHost('resident')
  host.addPod('a')
  const [first, other] = [host.config({}, both), host.config({}, second)]
  const one = await call(host, 'ADD', 'eth0', first)
  const two = await call(host, 'ADD', 'net1', other)
  t.match(two.object, { routes: [{ dst: '0.0.0.0/0', gw: '169.254.1.1', table: Number }, { dst: '::/0', table: Number }] })
  t.match((await host.run('a', 'ip', 'route', 'get', '192.0.2.1', 'from', addressOf(two))).stdout, / dev net1 /)
  t.match((await host.run('a', 'ip', 'route', 'get', '192.0.2.1', 'from', addressOf(one))).stdout, / dev eth0 /)
  t.match((await host.run('a', 'ip', '-6', 'route', 'get', '2001:db8::1', 'from', 'fd00:10:245::2')).stdout, / dev net1 /)
  t.match((await host.run('a', 'ip', 'route', 'get', '192.0.2.1')).stdout, / dev eth0 /, 'the first network has the default route')
  using _server = await serve(host, 'a', 'a', 80)
  // the host's link takes packets from the pod's own addresses only
  for (const address of [addressOf(one), addressOf(two), 'fd00:10:244::2', 'fd00:10:245::2']) t.match(await ask(host, undefined, 'tcp', address, 80), /^a /, address)
  t.match(await call(host, 'CHECK', 'net1', { ...other, prevResult: two.object }), { status: 0, stdout: '' })
  t.match(await call(host, 'DEL', 'net1', other), { status: 0 })
  t.match(((await host.run('a', 'ip', 'rule')).stdout + (await host.run('a', 'ip', '-6', 'rule')).stdout).match(/from 10\.245|from fd00/), null)
  t.match(await ask(host, undefined, 'tcp', addressOf(one), 80), /^a /)
  t.match(await call(host, 'DEL', 'eth0', first), { status: 0 })
  t.strictSame(leftovers(host), nothing)
})

t.test('another plugin changes the link address, and the pod finds its gateway again', async (t) => {
  using host = await makeHost('resident')
  host.addPod('a')
  const { object } = await host.add('a', host.config({}, both))
  const mac = (object['interfaces'] as readonly { readonly mac: string }[])[1]?.mac ?? ''
  for (const address of [mac.replace(/^02/, '06'), mac]) await host.run('a', 'ip', 'link', 'set', 'eth0', 'address', address)
  t.match((await host.run('a', 'ip', 'neigh', 'show', 'nud', 'permanent')).stdout, /^$/, 'the kernel has dropped what ADD wrote')
  for (const address of ['192.0.2.1', '2001:db8::1']) t.match(await host.run('a', 'ping', '-c', '1', '-W', '2', address), { status: 0 }, address)
})

t.test('ranges that the runtime passes come before those of the configuration', async (t) => {
  using host = await makeHost('resident')
  host.addPod('a')
  const config = host.config({ runtimeConfig: { ipRanges: [[{ subnet: '10.246.0.0/24', rangeStart: '10.246.0.9' }]] } })
  t.match((await host.add('a', config)).object, { ips: [{ address: '10.246.0.9/32' }, { address: '10.244.0.2/32' }] })
  await host.del('a', config)
  t.strictSame(leftovers(host), nothing)
})

t.test('settings are written in the pod, and CHECK sees when one is not as it was', async (t) => {
  using host = await makeHost('resident')
  host.addPod('a')
  const config = host.config({ sysctl: { 'net.ipv4.conf.IFNAME.arp_filter': '1', 'net.ipv4.ip_local_port_range': '20000 30000' } })
  const added = await host.add('a', config)
  const check = (): Promise<Answered> => call(host, 'CHECK', 'eth0', { ...config, prevResult: added.object })
  t.equal((await host.run('a', 'sh', '-c', 'cat /proc/sys/net/ipv4/conf/eth0/arp_filter')).stdout.trim(), '1')
  t.match(await check(), { status: 0 })
  await host.run('a', 'sh', '-c', 'echo 0 > /proc/sys/net/ipv4/conf/eth0/arp_filter')
  t.match(await check(), { status: 1, object: { code: 103, msg: /setting ipv4\/conf\/eth0\/arp_filter is not 1/ } })
})

/** An IPAM plugin as a shell script: writes down how it was called, answers what it is told to. */
function installIpam(host: TestHost, answer: string, status = 0): void {
  const file = join(host.binDir, 'test-ipam')
  writeFileSync(file, `#!/bin/sh
[ "$CNI_COMMAND" = VERSION ] && exit 0
cat > ${host.folder}/$CNI_COMMAND.json
echo "$CNI_COMMAND $CNI_CONTAINERID $CNI_IFNAME $CNI_NETNS $CNI_ARGS" >> ${host.folder}/calls
if [ "$CNI_COMMAND" = ADD ]; then echo '${answer}'; exit ${status}; fi
if [ "$CNI_COMMAND" = GC ] || [ "$CNI_COMMAND" = STATUS ]; then echo '{"cniVersion":"1.1.0","code":4,"msg":"unknown CNI_COMMAND"}'; exit 1; fi
`)
  chmodSync(file, 0o755)
}

for (const path of ['resident', 'stand-alone'] as const) {
  t.test(`${path}: addresses of another IPAM plugin, which hears of ADD, CHECK, DEL and GC`, async (t) => {
    using host = await makeHost(path)
    for (const name of ['a', 'b']) host.addPod(name)
    installIpam(host, '{"cniVersion":"1.1.0","ips":[{"address":"172.30.0.7/16","gateway":"172.30.0.1"}],"routes":[{"dst":"172.31.0.0/16"}],"dns":{"nameservers":["172.30.0.1"]}}')
    const config = host.config({ dataDir: host.dataDir, ipam: { type: 'test-ipam', some: 'thing' } })
    const added = await host.cni({ command: 'ADD', containerId: 'a', netns: host.podPath('a'), ifname: 'eth0', args: 'IgnoreUnknown=1;K8S_POD_NAME=web', config })
    t.match(added, { status: 0, object: { ips: [{ address: '172.30.0.7/32' }], routes: [{ dst: '172.31.0.0/16', gw: '169.254.1.1' }], dns: { nameservers: ['172.30.0.1'] } } })
    t.match(await host.cni({ command: 'STATUS', config }), { status: 0 }, 'one that does not know STATUS has nothing against it')
    t.match(await host.cni({ command: 'CHECK', containerId: 'a', netns: host.podPath('a'), ifname: 'eth0', config: { ...config, prevResult: added.object } }), { status: 0, stdout: '' })
    t.match(await host.del('a', config), { status: 0 })
    await host.add('b', config)
    t.match(await host.cni({ command: 'GC', config: { ...config, 'cni.dev/valid-attachments': [] } }), { status: 0, stdout: '' })
    const { stdout } = await host.run(undefined, 'cat', join(host.folder, 'calls'), join(host.folder, 'ADD.json'))
    t.match(stdout.split('\n'), [
      `ADD a eth0 ${host.podPath('a')} IgnoreUnknown=1;K8S_POD_NAME=web`, 'STATUS    ', `CHECK a eth0 ${host.podPath('a')} `, `DEL a eth0 ${host.podPath('a')} `, `ADD b eth0 ${host.podPath('b')} `, 'DEL b eth0  ', 'GC    ', /"some":"thing"/,
    ])
    t.strictSame(leftovers(host), nothing)
  })
}

/** An IPAM plugin that says which versions it knows, and refuses others. */
function installOldIpam(host: TestHost, versions: readonly string[]): void {
  const file = join(host.binDir, 'test-ipam')
  writeFileSync(file, `#!/bin/sh
input=$(cat)
version=$(echo "$input" | sed 's/.*"cniVersion":"\\([^"]*\\)".*/\\1/')
if [ "$CNI_COMMAND" = VERSION ]; then echo '{"cniVersion":"1.0.0","supportedVersions":${JSON.stringify(versions)}}'; exit 0; fi
case ' ${versions.join(' ')} ' in *" $version "*) ;; *) echo '{"code":1,"msg":"incompatible CNI versions"}'; exit 1 ;; esac
echo "$CNI_COMMAND $CNI_CONTAINERID $version" >> ${host.folder}/calls
echo "$input" > ${host.folder}/$CNI_COMMAND.json
if [ "$CNI_COMMAND" = ADD ]; then echo '{"ips":[{"address":"172.30.0.7/16"}]}'; fi
`)
  chmodSync(file, 0o755)
}

for (const { versions, known, calls } of [
  { versions: ['0.3.1', '0.4.0', '1.0.0'], known: '1.0.0', calls: ['ADD a 1.0.0', 'CHECK a 1.0.0', 'DEL a 1.0.0'] },
  { versions: ['0.3.1'], known: '0.3.1', calls: ['ADD a 0.3.1', 'DEL a 0.3.1'] },
  { versions: ['1.1.0', '1.2.0'], known: '1.1.0', calls: ['ADD a 1.1.0', 'STATUS  1.1.0', 'CHECK a 1.1.0', 'DEL a 1.1.0', 'GC  1.1.0'] },
]) {
  t.test(`an IPAM plugin that knows ${versions.join(', ')} is spoken to in ${known}, and only in verbs that this has`, async (t) => {
    using host = await makeHost('resident')
    host.addPod('a')
    installOldIpam(host, versions)
    const config = host.config({ dataDir: host.dataDir, ipam: { type: 'test-ipam' } })
    const added = await host.add('a', config)
    t.match(added, { status: 0, object: { cniVersion: '1.1.0', ips: [{ address: '172.30.0.7/32' }] } })
    t.match(await host.cni({ command: 'STATUS', config }), { status: 0, stdout: '' })
    t.match(await host.cni({ command: 'CHECK', containerId: 'a', netns: host.podPath('a'), ifname: 'eth0', config: { ...config, prevResult: added.object } }), { status: 0, stdout: '' })
    if (calls.some((call) => call.startsWith('CHECK'))) t.match(JSON.parse(readFileSync(join(host.folder, 'CHECK.json'), 'utf8')), { cniVersion: known, prevResult: { cniVersion: known } })
    t.match(await host.cni({ command: 'GC', config: { ...config, 'cni.dev/valid-attachments': [] } }), { status: 0, stdout: '' })
    t.strictSame(readFileSync(join(host.folder, 'calls'), 'utf8').trim().split('\n'), calls, 'what is stale is given back by DEL')
    t.strictSame(leftovers(host), nothing)
  })
}

t.test('an IPAM plugin that knows nothing that is known here is refused as it refuses', async (t) => {
  using host = await makeHost('resident')
  host.addPod('a')
  installOldIpam(host, ['9.0.0'])
  t.match(await host.add('a', host.config({ dataDir: host.dataDir, ipam: { type: 'test-ipam' } })), { status: 1, object: { code: 1, msg: /test-ipam: incompatible CNI versions/ } })
  t.strictSame(leftovers(host), nothing)
})

t.test('what another IPAM plugin says wrong is passed on, and it is told to take back what it gave', async (t) => {
  using host = await makeHost('resident')
  host.addPod('a')
  const config = host.config({ dataDir: host.dataDir, ipam: { type: 'test-ipam' } })
  const cases: readonly (readonly [why: string, answer: string, status: number, expected: Readonly<Record<string, unknown>>, takenBack: boolean])[] = [
    ['its error object', '{"code":11,"msg":"later","details":"why"}', 1, { code: 11, msg: /test-ipam: later/, details: 'why' }, false],
    ['no JSON', 'hello', 0, { code: 6, msg: /result of IPAM plugin test-ipam/ }, true],
    ['a status without an error object', 'hello', 3, { code: 100, msg: /exit status 3/ }, false],
    ['no address', '{"ips":[]}', 0, { code: 102, msg: /gave no address/ }, true],
    ['an address that is none', '{"ips":[{"address":"172.30.0.777/16"}]}', 0, { code: 7, msg: /172\.30\.0\.777/ }, true],
  ]
  for (const [why, answer, status, expected, takenBack] of cases) {
    installIpam(host, answer, status)
    await host.run(undefined, 'rm', '-f', join(host.folder, 'calls'))
    t.match(await host.add('a', config), { status: 1, object: expected }, why)
    t.equal((await host.run(undefined, 'cat', join(host.folder, 'calls'))).stdout.includes('DEL'), takenBack, `${why}: DEL`)
    t.strictSame(leftovers(host), nothing, why)
  }
  t.match(await host.add('a', host.config({ ipam: { type: 'no-such-ipam' } })), { status: 1, object: { code: 7, msg: /no executable of that name in CNI_PATH/ } })
  t.match(await host.cni({ command: 'STATUS', config: host.config({ ipam: { type: 'no-such-ipam' } }) }), { status: 1, object: { code: 50 } })
  t.notOk(existsSync(host.dataDir), 'no record is left')
})
