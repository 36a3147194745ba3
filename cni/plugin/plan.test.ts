import t from 'tap'
import { FakeNetwork } from '../../netlink/test-support/fake-network.ts'
import type { Netns } from '../../netlink/netns.ts'
import { RouteSocket } from '../../netlink/route/index.ts'
import { parseConfig } from '../protocol/config.ts'
import { applyPlan } from './apply.ts'
import type { HostState } from './have.ts'
import { planAttach } from './plan.ts'
import { derivedMac, describeAttachment, hostLinkName, refuseUnsupported, wantAttachment } from './want.ts'

const invocation = { containerId: 'abc', ifname: 'eth0', netns: '/run/netns/abc', args: {} }
const nothing: HostState = { hostLink: undefined, podLink: undefined, loopbackUp: false, defaultRoutes: new Set(), forwarding: { ipv4: true, ipv6: true } }
const fields = { cniVersion: '1.1.0', name: 'net', mtu: 1400, ipam: { type: 'fairway-ipam' } }
const allocation = { interfaces: [], ips: [{ address: '10.244.0.5/24', gateway: '10.244.0.1' }], routes: [], dns: {} }

function want(more: Readonly<Record<string, unknown>> = {}, ips: readonly string[] = ['10.244.0.5/24']) {
  return wantAttachment(parseConfig({ ...fields, ...more }), invocation, { ...allocation, ips: ips.map((address) => ({ address })) }, 1500)
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
  t.match(plan.filter(({ kind }) => kind === 'writeSetting'), [{ path: `ipv4/conf/${hostLink}/rp_filter`, value: 1 }, { path: `ipv4/conf/${hostLink}/proxy_arp` }, { path: `ipv6/conf/${hostLink}/disable_ipv6`, value: 1 }])
})

t.test('what is there already is not done again', async (t) => {
  const plan = planAttach(want(), { ...nothing, loopbackUp: true, defaultRoutes: new Set(['ipv4'] as const), forwarding: { ipv4: false, ipv6: false } })
  t.notOk(plan.some((operation) => operation.kind === 'setUp' && operation.link === 'lo'))
  t.notOk(plan.some((operation) => operation.kind === 'addRoute' && operation.where === 'pod'), 'another network of the pod has its default route')
  t.match(plan[0], { kind: 'writeSetting', where: 'host', path: 'ipv4/ip_forward', value: 1 })
})

t.test('two families', async (t) => {
  const plan = planAttach(want({}, ['10.244.0.5/24', 'fd00::5/64']), nothing)
  t.match(plan.filter(({ kind }) => kind === 'addAddress'), [{ address: '10.244.0.5', prefixLength: 32 }, { address: 'fd00::5', prefixLength: 128 }])
  t.match(plan.filter((operation) => operation.kind === 'addRoute' && operation.where === 'pod'), [{ destination: '0.0.0.0/0' }, { destination: '::/0', gateway: 'fe80::1' }])
  t.match(plan.filter((operation) => operation.kind === 'writeSetting' && operation.where === 'pod'), [{ path: 'ipv6/conf/lo/disable_ipv6', value: 0 }, { path: 'ipv6/conf/eth0/disable_ipv6', value: 0 }])
})

t.test('mac, dns and results of plugins before are taken over', async (t) => {
  const config = parseConfig({
    ...fields, runtimeConfig: { mac: '02:AA:00:00:00:01', dns: { servers: ['10.96.0.10'], searches: ['svc'] } },
    prevResult: { interfaces: [{ name: 'other' }], ips: [{ address: '192.0.2.1/24', interface: 0 }], routes: [], dns: {} },
  })
  const attachment = wantAttachment(config, invocation, allocation, 1500)
  t.match(describeAttachment(attachment, invocation, config, {}), {
    interfaces: [{ name: 'other' }, { name: hostLinkName(invocation) }, { name: 'eth0', mac: '02:aa:00:00:00:01', sandbox: '/run/netns/abc' }],
    ips: [{ address: '192.0.2.1/24', interface: 0 }, { address: '10.244.0.5/32', gateway: '169.254.1.1', interface: 2 }],
    dns: { nameservers: ['10.96.0.10'], search: ['svc'] },
  })
})

t.test('what cannot be done is refused', async (t) => {
  t.throws(() => refuseUnsupported(parseConfig({ ...fields, ipMasq: true })), { code: 2, message: /ipMasq/ })
  t.throws(() => refuseUnsupported(parseConfig({ ...fields, runtimeConfig: { portMappings: [{ hostPort: 80 }] } })), { code: 2, message: /portMappings/ })
  t.doesNotThrow(() => refuseUnsupported(parseConfig({ ...fields, runtimeConfig: { portMappings: [], bandwidth: {} } })))
  t.throws(() => refuseUnsupported(parseConfig({ ...fields, ipam: { type: 'host-local' } })), { code: 7, message: /host-local/ })
  t.throws(() => want({ mtu: 10 }), { code: 7, message: /mtu 10/ })
  t.throws(() => want({ runtimeConfig: { mac: '01:00:5e:00:00:01' } }), { code: 7, message: /mac/ })
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
