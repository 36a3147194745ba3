import t from 'tap'
import { FakeNetwork } from '../../netlink/test-support/fake-network.ts'
import type { Netns } from '../../netlink/netns.ts'
import { RouteSocket } from '../../netlink/route/index.ts'
import { parseConfig } from '../protocol/config.ts'
import { applyPlan } from './apply.ts'
import type { HostState } from './have.ts'
import { planAttach } from './plan.ts'
import { besideOthers, derivedMac, describeAttachment, hostLinkName, parseRequest, wantAttachment } from './want.ts'

const invocation = { containerId: 'abc', ifname: 'eth0', netns: '/run/netns/abc', args: {} }
const nothing: HostState = { hostLink: undefined, podLink: undefined, loopbackUp: false, defaultRoutes: new Set(), gatewayRouted: true, forwarding: { ipv4: true, ipv6: true } }
const fields = { cniVersion: '1.1.0', name: 'net', mtu: 1400, ipam: { type: 'fairway-ipam' } }
const allocation = { interfaces: [], ips: [{ address: '10.244.0.5/24', gateway: '10.244.0.1' }], routes: [], dns: {} }

function want(more: Readonly<Record<string, unknown>> = {}, ips: readonly string[] = ['10.244.0.5/24']) {
  return wantAttachment(request(more), invocation, { ...allocation, ips: ips.map((address) => ({ address })) })
}

function request(more: Readonly<Record<string, unknown>> = {}) {
  return parseRequest(parseConfig({ ...fields, ...more }), invocation, () => 1500)
}

t.test('one address: a pair of links, the way out of the pod, and the way to it', async (t) => {
  const hostLink = hostLinkName(invocation)
  const plan = planAttach(want(), nothing)
  t.match(plan.filter(({ kind }) => kind !== 'writeSetting'), [
    { kind: 'addVeth', hostLink, podLink: 'eth0', mtu: 1400, podMac: derivedMac(invocation) },
    { kind: 'setUp', link: 'lo' },
    { kind: 'setUp', link: 'eth0' },
    { kind: 'addAddress', where: 'pod', address: '10.244.0.5', prefixLength: 32 },
    { kind: 'addNeighbour', where: 'pod', address: '169.254.1.1', mac: '02:fa:1e:00:00:01' },
    { kind: 'addRoute', where: 'pod', destination: '0.0.0.0/0', gateway: '169.254.1.1' },
    { kind: 'addNeighbour', where: 'host', address: '10.244.0.5', mac: derivedMac(invocation) },
    { kind: 'addRoute', where: 'host', destination: '10.244.0.5/32', link: hostLink, protocol: 70 },
  ])
  t.match(plan.filter(({ kind }) => kind === 'writeSetting'), [{ path: `ipv4/conf/${hostLink}/rp_filter`, value: 1 }, { path: `ipv4/conf/${hostLink}/proxy_arp` }, { path: 'ipv4/conf/all/send_redirects', value: 0 }, { path: `ipv4/conf/${hostLink}/send_redirects`, value: 0 }, { path: `ipv6/conf/${hostLink}/disable_ipv6`, value: 1 }])
})

t.test('what is there already is not done again', async (t) => {
  const plan = planAttach(want(), { ...nothing, loopbackUp: true, forwarding: { ipv4: false, ipv6: false } })
  t.notOk(plan.some((operation) => operation.kind === 'setUp' && operation.link === 'lo'))
  t.match(plan[0], { kind: 'writeSetting', where: 'host', path: 'ipv4/ip_forward', value: 1 })
})

t.test('beside another link of the pod its own routes are in a table of their own', async (t) => {
  const attachment = besideOthers(want({}, ['10.244.0.5/24', 'fd00::5/64']), invocation, new Set(['ipv4'] as const))
  const table = attachment.rules[0]?.table
  t.match(attachment, { routes: [{ dst: '0.0.0.0/0', table }, { dst: '::/0', table: undefined }], rules: [{ from: '10.244.0.5/32', table: Number }] })
  t.match(planAttach(attachment, nothing).filter((operation) => operation.kind === 'addRule' || (operation.kind === 'addRoute' && operation.where === 'pod')), [
    { kind: 'addRoute', destination: '0.0.0.0/0', table }, { kind: 'addRoute', destination: '::/0', table: undefined }, { kind: 'addRule', from: '10.244.0.5/32', table },
  ])
})

t.test('what asks for nothing of what is not done is passed over, and so is what the reference bridge has by its nature', async (t) => {
  t.doesNotThrow(() => request({ vlan: 0, vlanTrunk: [], enabledad: false, conditionsV4: null, bridge: 'cni0', isGateway: true, isDefaultGateway: true, hairpinMode: true }))
  t.throws(() => request({ vlan: 5 }), { code: 2 })
})

t.test('rates, settings and ports are part of the plan', async (t) => {
  const plan = planAttach(want({ sysctl: { 'net.ipv4.conf.IFNAME.arp_filter': '1' }, runtimeConfig: { bandwidth: { ingressRate: 8_000_000, egressRate: 16_000_000, egressBurst: 8_000_000 }, portMappings: [{ hostPort: 80, containerPort: 8080 }] } }), nothing)
  t.match(plan.filter(({ kind }) => kind === 'limitRate'), [
    { where: 'host', link: hostLinkName(invocation), bucket: { bytesPerSecond: 1_000_000, burstBytes: 65_536, limitBytes: 90_536 } },
    { where: 'pod', link: 'eth0', bucket: { bytesPerSecond: 2_000_000, burstBytes: 1_000_000, limitBytes: 1_050_000 } },
  ])
  t.match(plan.filter((operation) => operation.kind === 'writeSetting' && operation.where === 'pod'), [{ path: 'ipv4/conf/eth0/arp_filter', value: '1', optional: false }])
  t.ok(plan.some((operation) => operation.kind === 'writeSetting' && operation.path.endsWith('/route_localnet')))
})

t.test('two families', async (t) => {
  const plan = planAttach(want({}, ['10.244.0.5/24', 'fd00::5/64']), nothing)
  t.match(plan.filter(({ kind }) => kind === 'addAddress'), [{ where: 'host', address: 'fe80::1' }, { address: '10.244.0.5', prefixLength: 32 }, { address: 'fd00::5', prefixLength: 128 }])
  t.match(plan.filter((operation) => operation.kind === 'addRoute' && operation.where === 'pod'), [{ destination: '0.0.0.0/0' }, { destination: '::/0', gateway: 'fe80::1' }])
  t.match(plan.filter((operation) => operation.kind === 'writeSetting' && operation.where === 'pod'), [{ path: 'ipv6/conf/lo/disable_ipv6', value: 0 }, { path: 'ipv6/conf/eth0/disable_ipv6', value: 0 }])
})

t.test('mac, dns and results of plugins before are taken over', async (t) => {
  const config = parseConfig({
    ...fields, runtimeConfig: { mac: '02:AA:00:00:00:01', dns: { servers: ['10.96.0.10'], searches: ['svc'] } },
    prevResult: { interfaces: [{ name: 'other' }], ips: [{ address: '192.0.2.1/24', interface: 0 }], routes: [], dns: {} },
  })
  const attachment = wantAttachment(parseRequest(config, invocation, () => 1500), invocation, allocation)
  t.match(describeAttachment(attachment, invocation, config, {}), {
    interfaces: [{ name: 'other' }, { name: hostLinkName(invocation) }, { name: 'eth0', mac: '02:aa:00:00:00:01', sandbox: '/run/netns/abc' }],
    ips: [{ address: '192.0.2.1/24', interface: 0 }, { address: '10.244.0.5/32', gateway: '169.254.1.1', interface: 2 }],
    dns: { nameservers: ['10.96.0.10'], search: ['svc'] },
  })
})

const refused: readonly { readonly why: string; readonly more: Readonly<Record<string, unknown>>; readonly code?: number; readonly message: RegExp }[] = [
  { why: 'an MTU that is too small', more: { mtu: 10 }, message: /mtu 10/ },
  { why: 'an MTU that is no number', more: { mtu: '1400' }, message: /mtu "1400"/ },
  { why: 'a mac of a group', more: { runtimeConfig: { mac: '01:00:5e:00:00:01' } }, message: /mac/ },
  { why: 'ipMasq that is no boolean', more: { ipMasq: 'yes' }, message: /ipMasq is "yes"/ },
  { why: 'no ipam.type', more: { ipam: {} }, message: /ipam\.type is missing/ },
  { why: 'an ipam.type that is a path', more: { ipam: { type: '../../bin/sh' } }, message: /not the name of an executable/ },
  { why: 'an ipam.type that is a number', more: { ipam: { type: 7 } }, message: /not the name of an executable/ },
  { why: 'portMappings that are no list', more: { runtimeConfig: { portMappings: {} } }, message: /portMappings is not a list/ },
  { why: 'a mapping that is no object', more: { runtimeConfig: { portMappings: [80] } }, message: /portMappings has 80/ },
  { why: 'a host port of 0', more: { runtimeConfig: { portMappings: [{ hostPort: 0, containerPort: 80 }] } }, message: /hostPort 0/ },
  { why: 'a container port that is missing', more: { runtimeConfig: { portMappings: [{ hostPort: 80 }] } }, message: /containerPort undefined/ },
  { why: 'a port in text', more: { runtimeConfig: { portMappings: [{ hostPort: '80', containerPort: 80 }] } }, message: /hostPort "80"/ },
  { why: 'an unknown protocol', more: { runtimeConfig: { portMappings: [{ hostPort: 80, containerPort: 80, protocol: 'icmp' }] } }, message: /protocol "icmp"/ },
  { why: 'a host address that is none', more: { runtimeConfig: { portMappings: [{ hostPort: 80, containerPort: 80, hostIP: '127.1' }] } }, message: /hostIP "127\.1"/ },
  { why: 'a port that leads to two', more: { runtimeConfig: { portMappings: [{ hostPort: 80, containerPort: 80 }, { hostPort: 80, containerPort: 81 }] } }, message: /to both 80 and 81/ },
  { why: 'a bandwidth that is no object', more: { runtimeConfig: { bandwidth: 7 } }, message: /bandwidth is not an object/ },
  { why: 'a negative rate', more: { runtimeConfig: { bandwidth: { egressRate: -1 } } }, message: /egressRate -1/ },
  { why: 'a burst without a rate', more: { runtimeConfig: { bandwidth: { ingressBurst: 1000 } } }, message: /ingressBurst and no ingressRate/ },
  { why: 'settings that are no object', more: { sysctl: ['net.ipv4.ip_forward'] }, message: /sysctl is not an object/ },
  { why: 'a setting of the whole machine', more: { sysctl: { 'kernel.pid_max': '1' } }, message: /kernel\.pid_max/ },
  { why: 'a setting that leaves the folder', more: { sysctl: { 'net/../kernel/pid_max': '1' } }, message: /no setting of a network namespace/ },
  { why: 'a setting of more than one line', more: { sysctl: { 'net.ipv4.ip_forward': '1\n2' } }, message: /more than one line/ },
]

for (const { why, more, code = 7, message } of refused) {
  t.test(`refused: ${why}`, async (t) => t.throws(() => request(more), { code, message }))
}

t.test('what other plugins would give is checked', async (t) => {
  t.throws(() => want({}, []), { code: 102, message: /gave no address/ })
  t.throws(() => want({}, ['10.244.0.300/24']), { code: 6, message: /10\.244\.0\.300/ })
  t.throws(() => want({ runtimeConfig: { portMappings: [{ hostPort: 80, containerPort: 80, hostIP: '::1' }] } }), { code: 7, message: /without ipv6 address/ })
})

t.test('capabilities are read as Go would: containerd spells them as its own structures', async (t) => {
  t.match(request({ runtimeConfig: { portMappings: [{ HostPort: 8080, ContainerPort: 80, Protocol: 'TCP', HostIP: '' }], bandwidth: { IngressRate: 8_000_000, IngressBurst: 4_294_967_295 } } }), {
    mappings: [{ protocol: 'tcp', hostPort: 8080, containerPort: 80 }], bandwidth: { toPod: { bytesPerSecond: 1_000_000, burstBytes: 65_536 } },
  })
})

t.test('a setting is named with dots or as a path; a link has its own dots', async (t) => {
  t.match(request({ sysctl: { 'net.ipv4.conf.eth0/100.rp_filter': 0, 'net/ipv4/conf/eth0.100/rp_filter': 2, 'net.core.somaxconn': '512' } }).settings, [
    { path: 'ipv4/conf/eth0.100/rp_filter', value: '0' }, { path: 'ipv4/conf/eth0.100/rp_filter', value: '2' }, { path: 'core/somaxconn', value: '512' },
  ])
})

t.test('names of links are those of the attachment', async (t) => {
  t.match(hostLinkName(invocation), /^fw[0-9a-f]{11}$/)
  t.not(hostLinkName(invocation), hostLinkName({ ...invocation, ifname: 'net1' }))
  t.not(derivedMac(invocation), derivedMac({ ...invocation, containerId: 'abd' }))
})

t.test('a plan is applied whole, or nothing of it stays', async (t) => {
  const network = new FakeNetwork()
  const [hostSpace, podSpace] = [network.namespace(), network.namespace()]
  const [host, pod] = [RouteSocket.over(hostSpace), RouteSocket.over(podSpace)]
  const places = { host, pod, podNetns: podSpace as unknown as Netns, [Symbol.dispose]: () => undefined }
  const plan = planAttach(want(), nothing).filter(({ kind }) => kind !== 'writeSetting')
  const count = (): number => host.links.list().length + pod.links.list().length
  for (let length = 1; length <= plan.length; length++) {
    const broken = [...plan.slice(0, length), { kind: 'addRoute', where: 'host', link: 'none', destination: '10.9.0.0/16' } as const]
    t.throws(() => applyPlan(broken, places), { message: /Cannot find link none/ })
    t.equal(count(), 2, `nothing but loopbacks after ${length} operations`)
  }
  applyPlan(plan, places)
  t.match(host.routes.list({ protocol: 70 }), [{ destination: '10.244.0.5/32', link: host.links.get(hostLinkName(invocation))?.index }])
  t.throws(() => applyPlan(plan, places), { code: 101 })
  t.equal(count(), 4, 'what was there before a failure stays')
})
