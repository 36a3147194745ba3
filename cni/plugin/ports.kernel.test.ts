import { readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { Conntrack } from '../../netlink/conntrack.ts'
import { SctpSocket, associate } from '../../netlink/test-support/sctp.ts'
import { addressOf, leftovers, makeHost, nothing } from '../test-support/host.ts'
import type { Answered, TestHost } from '../test-support/host.ts'
import { ask, serve } from '../test-support/talk.ts'

if (process.getuid?.() !== 0) {
  t.plan(0, 'ports of the host that lead to pods: needs root')
  process.exit()
}

const both = ['10.244.0.0/24', 'fd00:10:244::/64']

function withPorts(host: TestHost, portMappings: readonly unknown[], subnets = both): Record<string, unknown> {
  return host.config({ runtimeConfig: { portMappings } }, subnets)
}

t.test('a port of the host leads to the pod: from the host, from other pods, from the pod itself, over localhost, TCP and UDP, IPv4 and IPv6', async (t) => {
  using host = await makeHost('resident')
  for (const name of ['a', 'b']) host.addPod(name)
  const config = withPorts(host, ['tcp', 'udp'].map((protocol) => ({ hostPort: 8080, containerPort: 80, protocol })))
  t.match(await host.add('a', config), { status: 0 })
  t.match(await host.add('b', host.config({}, both)), { status: 0 })
  using _server = await serve(host, 'a', 'a', 80)
  for (const protocol of ['tcp', 'udp'] as const) {
    t.equal(await ask(host, undefined, protocol, '192.0.2.1', 8080), 'a 192.0.2.1', `${protocol}: the host at its address`)
    t.match(await ask(host, undefined, protocol, '127.0.0.1', 8080), /^a 192\.0\.2\.1/, `${protocol}: the host at localhost`)
    t.equal(await ask(host, 'b', protocol, '192.0.2.1', 8080), 'a 10.244.0.3', `${protocol}: another pod, under its own address`)
    t.match(await ask(host, 'a', protocol, '192.0.2.1', 8080), /^a 192\.0\.2\.1/, `${protocol}: the pod itself`)
    t.equal(await ask(host, 'b', protocol, '2001:db8::1', 8080), 'a fd00:10:244::3', `${protocol}: IPv6`)
    t.match(await ask(host, 'a', protocol, '2001:db8::1', 8080), /^a 2001:db8::1/, `${protocol}: IPv6, the pod itself`)
    t.match(await ask(host, undefined, protocol, '::1', 8080), /^a 2001:db8::1/, `${protocol}: the host at ::1`)
  }
  t.equal(await ask(host, 'b', 'tcp', '10.244.0.2', 8080, 1), 'nothing', 'a port of the host is none of the pod')
  t.match(await host.cni({ command: 'CHECK', containerId: 'a', netns: host.podPath('a'), ifname: 'eth0', config: { ...config, prevResult: (await readResult(host, config)).object } }), { status: 0, stdout: '' })
  t.match(await host.del('a', config), { status: 0 })
  t.equal(await ask(host, undefined, 'tcp', '192.0.2.1', 8080, 1), 'nothing')
  t.match(await host.del('b', config), { status: 0 })
  t.strictSame(leftovers(host), nothing)
})

/** The result of the ADD that pod `a` has had, as the runtime keeps it. */
async function readResult(host: TestHost, config: unknown): Promise<Answered> {
  await host.del('a', config)
  return host.add('a', config)
}

t.test('one address of the host, another port at another', async (t) => {
  using host = await makeHost('resident')
  for (const name of ['a', 'b']) host.addPod(name)
  await host.add('a', withPorts(host, [{ hostPort: 53, containerPort: 53, hostIP: '192.0.2.1', protocol: 'UDP' }]))
  await host.add('b', withPorts(host, [{ hostPort: 53, containerPort: 53, hostIP: '127.0.0.1', protocol: 'udp' }, { hostPort: 54, containerPort: 53, hostIP: '2001:db8::1', protocol: 'udp' }]))
  using _a = await serve(host, 'a', 'a', 53)
  using _b = await serve(host, 'b', 'b', 53)
  t.equal(await ask(host, undefined, 'udp', '192.0.2.1', 53), 'a 192.0.2.1')
  t.match(await ask(host, undefined, 'udp', '127.0.0.1', 53), /^b /)
  t.match(await ask(host, undefined, 'udp', '2001:db8::1', 54), /^b /)
})

t.test('SCTP: the first packet of an association gets to the pod and the answer back, both with the right addresses, ports and checksums', async (t) => {
  using host = await makeHost('resident')
  for (const name of ['a', 'b']) host.addPod(name)
  const config = withPorts(host, [{ hostPort: 7000, containerPort: 70, protocol: 'sctp' }, { hostPort: 7001, containerPort: 71, protocol: 'SCTP', hostIP: '192.0.2.1' }])
  t.match(await host.add('a', config), { status: 0 })
  t.match(await host.add('b', host.config({}, both)), { status: 0 })
  t.match((await host.run(undefined, 'nft', 'list', 'map', 'ip', 'fairway-cni', 'port')).stdout, /sctp \. 7000 comment "fw\w+ test" : 10\.244\.0\.2 \. 70/)
  using four = new SctpSocket(host.pod('a'))
  using six = new SctpSocket(host.pod('a'), 'ipv6')
  using other = new SctpSocket(host.pod('b'))
  using other6 = new SctpSocket(host.pod('b'), 'ipv6')
  using own = new SctpSocket(host.netns)
  const cases = [
    { name: 'another pod, under its own address', client: other, server: four, to: '192.0.2.1', port: 7000, source: '10.244.0.3', containerPort: 70 },
    { name: 'IPv6', client: other6, server: six, to: '2001:db8::1', port: 7000, source: 'fd00:10:244::3', containerPort: 70 },
    { name: 'a port of one address', client: other, server: four, to: '192.0.2.1', port: 7001, source: '10.244.0.3', containerPort: 71 },
    { name: 'the host at its address', client: own, server: four, to: '192.0.2.1', port: 7000, source: '192.0.2.1', containerPort: 70 },
    { name: 'the host at localhost', client: own, server: four, to: '127.0.0.1', port: 7000, source: '192.0.2.1', containerPort: 70 },
  ] as const
  for (const [index, { name, client, server, to, port, source, containerPort }] of cases.entries()) {
    const sourcePort = 5000 + index
    const { asked, answered } = associate({ client, server, to, port, sourcePort })
    t.match(asked, { kind: 'init', source, port: containerPort, intact: true }, name)
    t.match(answered, { kind: 'initAck', source: to, sourcePort: port, port: sourcePort, verificationTag: 0x1234_5678, intact: true }, `${name}: the answer`)
  }
  using conntrack = Conntrack.open({ netns: host.netns })
  const tracked = (): number => conntrack.list().filter(({ protocol }) => protocol === 132).length
  t.equal(tracked(), cases.length)
  await host.del('a', config)
  t.equal(tracked(), 0, 'forgotten with the port')
})

t.test('ports at ::1 lead to several pods; pods reach no loopback address of the host by that, and the host reaches its own', async (t) => {
  using host = await makeHost('resident')
  for (const name of ['a', 'b', 'c']) host.addPod(name)
  const config = (hostPort: number): Record<string, unknown> => withPorts(host, [{ hostPort, containerPort: 80 }, { hostPort: hostPort + 1000, containerPort: 80, hostIP: '::1' }])
  for (const [index, name] of ['a', 'b'].entries()) t.match(await host.add(name, config(8000 + index)), { status: 0 })
  const added = await host.add('c', config(8002))
  await host.del('b', config(8001))
  using _a = await serve(host, 'a', 'a', 80)
  using _c = await serve(host, 'c', 'c', 80)
  using _own = await serve(host, undefined, 'host', 9999)
  t.match(await ask(host, undefined, 'tcp', '::1', 8000), /^a 2001:db8::1/)
  t.match(await ask(host, undefined, 'tcp', '::1', 8002), /^c 2001:db8::1/, 'beside routes of others, and when one of them has gone')
  t.match(await ask(host, undefined, 'tcp', '::1', 9002), /^c 2001:db8::1/, 'a port of ::1 alone')
  t.equal(await ask(host, undefined, 'tcp', '2001:db8::1', 9002, 1), 'nothing')
  t.match(await host.run(undefined, 'bash', '-c', 'echo >/dev/tcp/::1/8001'), { status: 1, stderr: /refused/ }, 'a port that is gone is refused at once')
  t.equal(await ask(host, undefined, 'tcp', '::1', 9999), 'host ::1', 'what listens on the host itself')
  await host.run('a', 'sh', '-c', 'ip -6 route del local ::1 dev lo table local; ip -6 route add ::1 via fe80::1 dev eth0')
  for (const port of [9999, 8002]) t.equal(await ask(host, 'a', 'tcp', '::1', port, 1), 'nothing', `a pod at ::1, port ${port}`)
  await host.run(undefined, 'nft', 'flush', 'chain', 'ip6', 'fairway-cni', 'martian')
  t.equal(await ask(host, 'a', 'tcp', '::1', 9999, 1), 'nothing', 'nor without the rule: the kernel itself takes no such packet from a link')
  await host.run(undefined, 'ip', '-6', 'route', 'flush', 'table', 'local', 'proto', '70')
  t.match(await host.cni({ command: 'CHECK', containerId: 'c', netns: host.podPath('c'), ifname: 'eth0', config: { ...config(8002), prevResult: added.object } }), { status: 1, object: { code: 103, msg: /the host's way back to ::1 is gone/ } })
})

t.test('a port that another pod has is refused, and nothing is left of who wanted it', async (t) => {
  using host = await makeHost('resident')
  for (const name of ['a', 'b']) host.addPod(name)
  const config = withPorts(host, [{ hostPort: 8080, containerPort: 80 }])
  t.match(await host.add('a', config), { status: 0 })
  const before = leftovers(host)
  const record = join(host.dataDir, 'attachments', 'test', leftovers(host).records[0] ?? '')
  t.strictSame([record, join(record, '..')].map((path) => statSync(path).mode & 0o777), [0o600, 0o700], "records are root's alone")
  t.match(await host.add('b', config), { status: 1, object: { code: 105, msg: /tcp 8080 .*10\.244\.0\.2 has it/ } })
  t.strictSame(leftovers(host), before)
  t.match(await host.del('b', config), { status: 0 })
  t.strictSame(leftovers(host), before, 'DEL of who was refused takes nothing from who has it')
  t.match(await host.del('a', config), { status: 0 })
  t.match(await host.add('b', config), { status: 0 })
})

t.test('connections of a removed port are forgotten, those of others and of the pod itself are not', async (t) => {
  using host = await makeHost('resident')
  for (const name of ['a', 'b']) host.addPod(name)
  const config = withPorts(host, [{ hostPort: 8080, containerPort: 80, protocol: 'udp' }])
  const other = withPorts(host, [{ hostPort: 8081, containerPort: 80, protocol: 'udp' }])
  await host.add('b', other)
  await ask(host, undefined, 'udp', '192.0.2.1', 8080, 1)
  using conntrack = Conntrack.open({ netns: host.netns })
  const ports = (): number[] => conntrack.list().filter(({ protocol, family }) => protocol === 17 && family === 'ipv4').map(({ original }) => original.destinationPort ?? 0).sort((a, b) => a - b)
  t.match(ports(), [8080], 'before the port was there')
  await host.add('a', config)
  t.match(ports(), [], 'a datagram that came too early does not keep the port from working')
  using _a = await serve(host, 'a', 'a', 80)
  using _b = await serve(host, 'b', 'b', 80)
  for (const [address, port] of [['192.0.2.1', 8080], ['127.0.0.1', 8080], ['192.0.2.1', 8081], ['10.244.0.2', 80]] as const) t.not(await ask(host, undefined, 'udp', address, port), 'nothing')
  t.match(ports(), [80, 8080, 8080, 8081])
  await host.del('a', config)
  t.match(ports(), [80, 8081])
})

t.test('after a crash in the middle DEL and GC find what is there: without capability arguments, without record, without table', async (t) => {
  using host = await makeHost('resident')
  const config = withPorts(host, [{ hostPort: 8080, containerPort: 80 }])
  const records = join(host.dataDir, 'attachments')
  const states: Readonly<Record<string, () => Promise<unknown> | void>> = {
    'the runtime passes no port mappings': () => undefined,
    'the record is cut off': () => writeFileSync(join(records, 'test', leftovers(host).records[0] ?? ''), '{"contai'),
    'the record is gone': () => rmSync(records, { recursive: true }),
    'the table is gone': () => host.run(undefined, 'nft', 'delete', 'table', 'ip', 'fairway-cni'),
    'all rules are gone': () => host.run(undefined, 'nft', 'flush', 'ruleset'),
    'the links are gone': () => host.run(undefined, 'ip', 'link', 'del', leftovers(host).links[0] ?? ''),
  }
  for (const verb of ['DEL', 'GC']) {
    for (const [state, make] of Object.entries(states)) {
      host.addPod('a')
      t.match(await host.add('a', config), { status: 0 }, state)
      await make()
      const without = state === 'the runtime passes no port mappings'
      const answer = verb === 'DEL' ? await host.del('a', without ? host.config({}, both) : config) : await host.cni({ command: 'GC', config: host.config({ 'cni.dev/valid-attachments': [] }, both) })
      t.match(answer, { status: 0, stdout: '' }, `${verb}: ${state}`)
      t.strictSame(leftovers(host), nothing, `${verb}: ${state}`)
      host.removePod('a')
    }
  }
})

t.test('GC leaves the ports of who stays and of other networks', async (t) => {
  using host = await makeHost('resident')
  for (const name of ['a', 'b', 'c']) host.addPod(name)
  await host.add('a', withPorts(host, [{ hostPort: 1, containerPort: 1 }]))
  await host.add('b', withPorts(host, [{ hostPort: 2, containerPort: 2 }]))
  await host.add('c', { ...withPorts(host, [{ hostPort: 3, containerPort: 3 }], ['10.245.0.0/24']), name: 'test2' })
  await host.cni({ command: 'GC', config: host.config({ 'cni.dev/valid-attachments': [{ containerID: 'b', ifname: 'eth0' }] }, both) })
  t.match(leftovers(host).elements.filter((element) => element.startsWith('port ')).sort(), ['port tcp 2', 'port tcp 2', 'port tcp 3'])
})

t.test('what an earlier pod left behind does not keep a later one from its port', async (t) => {
  using host = await makeHost('resident')
  for (const name of ['a', 'b']) host.addPod(name)
  const config = withPorts(host, [{ hostPort: 8080, containerPort: 80 }], ['10.244.0.0/24'])
  await host.add('a', config)
  await host.run(undefined, 'ip', 'link', 'del', leftovers(host).links[0] ?? '')
  t.match(await host.add('b', config), { status: 0 })
  t.match(await host.del('a', config), { status: 0 })
  using _server = await serve(host, 'b', 'b', 80)
  t.match(await ask(host, undefined, 'tcp', '192.0.2.1', 8080), /^b /, 'and the DEL of the earlier takes nothing from the later')
})

t.test('ipMasq: what leaves the host carries its address, what stays within does not', async (t) => {
  using host = await makeHost('resident')
  for (const name of ['a', 'b', 'outside']) host.addPod(name)
  await host.run(undefined, 'ip', 'link', 'add', 'up0', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', host.podPath('outside'))
  await host.run(undefined, 'sh', '-c', 'ip addr add 198.51.100.1/24 dev up0 && ip addr add 2001:db8:1::1/64 dev up0 nodad && ip addr add fe80::1/64 dev up0 nodad && ip link set up0 up')
  await host.run('outside', 'sh', '-c', 'ip addr add 198.51.100.2/24 dev eth0 && ip addr add 2001:db8:1::2/64 dev eth0 nodad && ip link set eth0 up')
  const config = host.config({ ipMasq: true }, both)
  const [a, b] = [await host.add('a', config), await host.add('b', config)]
  using _outside = await serve(host, 'outside', 'outside', 80)
  using _b = await serve(host, 'b', 'b', 80)
  t.equal(await ask(host, 'a', 'tcp', '198.51.100.2', 80), 'outside 198.51.100.1')
  t.equal(await ask(host, 'a', 'tcp', '2001:db8:1::2', 80), 'outside 2001:db8:1::1')
  t.equal(await ask(host, 'a', 'tcp', addressOf(b), 80), `b ${addressOf(a)}`)
  await host.del('a', config)
  await host.del('b', config)
  await host.run(undefined, 'ip', 'link', 'del', 'up0')
  t.strictSame(leftovers(host), nothing)
})

t.test('pods cannot send to loopback addresses of the host, although their links may carry them', async (t) => {
  using host = await makeHost('resident')
  host.addPod('a')
  await host.add('a', withPorts(host, [{ hostPort: 8080, containerPort: 80 }]))
  t.match(readFileSync('/proc/sys/net/ipv4/ip_forward', 'utf8'), /\d/)
  using _server = await serve(host, undefined, 'host', 9000)
  await host.run('a', 'sh', '-c', 'echo 1 > /proc/sys/net/ipv4/conf/eth0/route_localnet; ip route del local 127.0.0.0/8 table local; ip route add 127.0.0.9 via 169.254.1.1 dev eth0 onlink')
  t.equal(await ask(host, 'a', 'tcp', '127.0.0.9', 9000, 1), 'nothing')
  await host.run(undefined, 'nft', 'flush', 'chain', 'ip', 'fairway-cni', 'martian')
  t.match(await ask(host, 'a', 'tcp', '127.0.0.9', 9000), /^host /, 'without that chain they can')
})
