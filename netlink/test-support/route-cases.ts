/**
 * What route sockets are relied on for, as cases that hold of the kernel and of the fake alike.
 */
import { NetlinkError } from '../errors.ts'
import type { NetnsHandle } from '../netns.ts'
import type { RouteSocket } from '../route/index.ts'

/** Two fresh namespaces. `lo` is up in `host`. */
export interface Stage {
  readonly host: RouteSocket
  readonly pod: RouteSocket
  readonly podNetns: NetnsHandle
}

/** `run` returns what is then compared with `expected`. */
export interface RouteCase {
  readonly title: string
  run(stage: Stage): unknown
  readonly expected: unknown
}

/** The error's code and the kernel's words, or 'done'. */
export function outcome(fn: () => void): string {
  try {
    fn()
    return 'done'
  } catch (error) {
    if (!(error instanceof NetlinkError)) throw error
    return error.kernelMessage === undefined ? error.code : `${error.code} ${error.kernelMessage}`
  }
}

function veth({ host, pod, podNetns }: Stage): { readonly hostLink: number; readonly podLink: number } {
  host.links.add({ kind: 'veth', name: 'pod1', up: true, mtu: 1450, mac: '02:00:00:00:00:01', peer: { name: 'eth0', mtu: 1450, mac: '02:00:00:00:00:02', netns: podNetns } })
  pod.links.set('eth0', { up: true })
  return { hostLink: host.links.get('pod1')?.index ?? -1, podLink: pod.links.get('eth0')?.index ?? -1 }
}

function vxlan({ host }: Stage): number {
  host.links.add({ kind: 'vxlan', name: 'fairway.1', up: true, mtu: 1400, mac: '02:00:00:00:01:00', vxlan: { id: 1, local: '192.0.2.1', port: 8472 } })
  return host.links.get('fairway.1')?.index ?? -1
}

const links: readonly RouteCase[] = [
  {
    title: 'a veth is made with its peer in another namespace',
    run(stage) {
      veth(stage)
      const [here, there] = [stage.host.links.get('pod1'), stage.pod.links.get('eth0')]
      return [here?.kind, here?.mtu, here?.mac, here?.up, here?.lowerUp, there?.kind, there?.mac, there?.lowerUp, stage.host.links.get('eth0')]
    },
    expected: ['veth', 1450, '02:00:00:00:00:01', true, true, 'veth', '02:00:00:00:00:02', true, undefined],
  },
  {
    title: 'a veth whose peer is down has no carrier',
    run({ host, podNetns }) {
      host.links.add({ kind: 'veth', name: 'pod1', up: true, peer: { name: 'eth0', netns: podNetns } })
      return [host.links.get('pod1')?.up, host.links.get('pod1')?.lowerUp]
    },
    expected: [true, false],
  },
  {
    title: 'a veth goes with its peer',
    run(stage) {
      const { podLink } = veth(stage)
      stage.pod.links.delete(podLink)
      return [stage.host.links.get('pod1'), stage.pod.links.get('eth0'), outcome(() => stage.host.links.delete('pod1'))]
    },
    expected: [undefined, undefined, 'ENODEV'],
  },
  {
    title: 'a name is taken once, here and for the peer there',
    run(stage) {
      veth(stage)
      return [
        outcome(() => stage.host.links.add({ kind: 'bridge', name: 'pod1' })),
        outcome(() => stage.host.links.add({ kind: 'veth', name: 'pod2', peer: { name: 'eth0', netns: stage.podNetns } })),
        stage.host.links.get('pod2'),
      ]
    },
    expected: ['EEXIST', 'EEXIST', undefined],
  },
  {
    title: 'a VXLAN tells its settings and learns nothing unless asked',
    run(stage) {
      vxlan(stage)
      const link = stage.host.links.get('fairway.1')
      return [link?.kind, link?.mtu, link?.vxlan?.id, link?.vxlan?.local, link?.vxlan?.port, link?.vxlan?.learning]
    },
    expected: ['vxlan', 1400, 1, '192.0.2.1', 8472, false],
  },
  {
    title: 'a second VXLAN with the same id and port is refused',
    run(stage) {
      vxlan(stage)
      return outcome(() => stage.host.links.add({ kind: 'vxlan', name: 'other', vxlan: { id: 1, local: '192.0.2.1', port: 8472 } }))
    },
    expected: 'EEXIST A VXLAN device with the specified VNI already exists',
  },
  {
    title: 'a link is renamed, resized, given an address and an alternative name',
    run(stage) {
      const { hostLink } = veth(stage)
      stage.host.links.set(hostLink, { name: 'pod9', mtu: 1400, mac: '02:00:00:00:00:99' })
      stage.host.links.addAltName('pod9', 'a-name-longer-than-fifteen-bytes')
      const link = stage.host.links.get('a-name-longer-than-fifteen-bytes')
      return [link?.name, link?.mtu, link?.mac, link?.altNames, stage.host.links.get('pod1')]
    },
    expected: ['pod9', 1400, '02:00:00:00:00:99', ['a-name-longer-than-fifteen-bytes'], undefined],
  },
  {
    title: 'an MTU too small is refused in the kernel\'s words',
    run(stage) {
      veth(stage)
      return outcome(() => stage.host.links.set('pod1', { mtu: 20 }))
    },
    expected: 'EINVAL mtu less than device minimum',
  },
  {
    title: 'a link moved to another namespace is there, down, and no longer here',
    run({ host, pod, podNetns }) {
      host.links.add({ kind: 'veth', name: 'a', up: true, peer: { name: 'b' } })
      host.links.set('b', { netns: podNetns })
      return [host.links.get('b'), pod.links.get('b')?.up, host.links.get('a')?.lowerUp]
    },
    expected: [undefined, false, false],
  },
  {
    title: 'links join a bridge and leave it',
    run(stage) {
      const { hostLink } = veth(stage)
      stage.host.links.add({ kind: 'bridge', name: 'br0', up: true })
      const bridge = stage.host.links.get('br0')?.index ?? -1
      stage.host.links.set(hostLink, { master: bridge })
      const members = stage.host.links.list({ master: bridge }).map((link) => link.name)
      stage.host.links.set(hostLink, { master: 0 })
      return [members, stage.host.links.list({ master: bridge }), stage.host.links.list({ kind: 'bridge' }).map((link) => link.name)]
    },
    expected: [['pod1'], [], ['br0']],
  },
  {
    title: 'what is not there is not found, and lo stays',
    run: ({ host }) => [host.links.get('none'), host.links.get(4711), outcome(() => host.links.set('none', { up: true })), outcome(() => host.links.delete('lo'))],
    expected: [undefined, undefined, 'ENODEV', 'EOPNOTSUPP'],
  },
]

const addresses: readonly RouteCase[] = [
  {
    title: 'an IPv4 address brings the route to its prefix',
    run(stage) {
      const { hostLink } = veth(stage)
      stage.host.addresses.add({ link: hostLink, address: '10.1.0.1', prefixLength: 24 })
      const [address] = stage.host.addresses.list({ link: hostLink, family: 'ipv4' })
      const [route] = stage.host.routes.list({ table: 254, family: 'ipv4' })
      return [address?.address, address?.prefixLength, address?.permanent, route?.destination, route?.source, route?.scope, route?.protocol, route?.link === hostLink]
    },
    expected: ['10.1.0.1', 24, true, '10.1.0.0/24', '10.1.0.1', 253, 2, true],
  },
  {
    title: 'an address without prefix route brings none; a /32 neither',
    run(stage) {
      const { hostLink } = veth(stage)
      stage.host.addresses.add({ link: hostLink, address: '10.1.0.1', prefixLength: 24, noPrefixRoute: true })
      stage.host.addresses.add({ link: hostLink, address: '10.2.0.1', prefixLength: 32 })
      return stage.host.routes.list({ table: 254, family: 'ipv4' })
    },
    expected: [],
  },
  {
    title: 'an IPv6 address without duplicate detection is usable at once',
    run(stage) {
      const { hostLink } = veth(stage)
      stage.host.addresses.add({ link: hostLink, address: 'fd00::0:1', prefixLength: 64, noDad: true, noPrefixRoute: true })
      const address = stage.host.addresses.list({ link: hostLink, family: 'ipv6' }).find(({ scope }) => scope === 0)
      return [address?.address, address?.noDad, address?.noPrefixRoute, address?.tentative]
    },
    expected: ['fd00::1', true, true, false],
  },
  {
    title: 'an address is given once and taken once',
    run(stage) {
      const { hostLink: link } = veth(stage)
      const spec = { link, address: '10.1.0.1', prefixLength: 24 }
      return [
        outcome(() => stage.host.addresses.add(spec)),
        outcome(() => stage.host.addresses.add(spec)),
        outcome(() => stage.host.addresses.replace(spec)),
        outcome(() => stage.host.addresses.delete(spec)),
        outcome(() => stage.host.addresses.delete(spec)),
        outcome(() => stage.host.addresses.add({ ...spec, link: 4711 })),
      ]
    },
    expected: ['done', 'EEXIST ipv4: Address already assigned', 'done', 'done', 'EADDRNOTAVAIL ipv4: Address not found', 'ENODEV ipv4: Device not found'],
  },
  {
    title: 'an IPv6 address is given once and taken once',
    run(stage) {
      const { hostLink: link } = veth(stage)
      const spec = { link, address: 'fd00::1', prefixLength: 128, noDad: true }
      return [
        outcome(() => stage.host.addresses.add(spec)),
        outcome(() => stage.host.addresses.add(spec)),
        outcome(() => stage.host.addresses.delete(spec)),
        outcome(() => stage.host.addresses.delete(spec)),
        outcome(() => stage.host.addresses.add({ ...spec, link: 4711 })),
      ]
    },
    expected: ['done', 'EEXIST ipv6: address already assigned', 'done', 'EADDRNOTAVAIL ipv6: address not found', 'ENODEV ipv6: Unable to find the interface'],
  },
  {
    title: 'an address on lo makes the host answer for it',
    run({ host }) {
      host.addresses.add({ link: 1, address: '10.96.0.10', prefixLength: 32 })
      const route = host.routes.get('10.96.0.10')
      return [route.type, route.link, host.routes.list({ table: 255, family: 'ipv4' }).some(({ destination }) => destination === '10.96.0.10/32')]
    },
    expected: ['local', 1, true],
  },
]

const routes: readonly RouteCase[] = [
  {
    title: 'a pod is reached by a route to its link',
    run(stage) {
      const { hostLink } = veth(stage)
      stage.host.routes.add({ destination: '10.244.0.5/32', link: hostLink, protocol: 70, mtu: 1400 })
      const [route] = stage.host.routes.list({ protocol: 70 })
      return [route?.destination, route?.link === hostLink, route?.scope, route?.protocol, route?.mtu, stage.host.routes.get('10.244.0.5').link === hostLink]
    },
    expected: ['10.244.0.5/32', true, 253, 70, 1400, true],
  },
  {
    title: 'a gateway that no route reaches needs onlink',
    run(stage) {
      const { podLink: link } = veth(stage)
      // (in a namespace that never had an address the kernel takes no gateway at all)
      stage.pod.addresses.add({ link, address: '10.244.0.5', prefixLength: 32 })
      return [
        outcome(() => stage.pod.routes.add({ destination: '0.0.0.0/0', gateway: '169.254.1.1', link })),
        outcome(() => stage.pod.routes.add({ destination: '0.0.0.0/0', gateway: '169.254.1.1', link, onlink: true })),
        outcome(() => stage.pod.routes.add({ destination: '::/0', gateway: 'fe80::1', link, onlink: true })),
        stage.pod.routes.list({ table: 254, family: 'ipv4' }).map(({ destination, gateway, onlink, scope }) => [destination, gateway, onlink, scope]),
      ]
    },
    expected: ['ENETUNREACH Nexthop has invalid gateway', 'done', 'done', [['0.0.0.0/0', '169.254.1.1', true, 0]]],
  },
  {
    title: 'a gateway in a connected prefix needs no link named',
    run(stage) {
      const { hostLink } = veth(stage)
      stage.host.addresses.add({ link: hostLink, address: '10.1.0.1', prefixLength: 24 })
      stage.host.routes.add({ destination: '10.9.0.0/16', gateway: '10.1.0.2' })
      const route = stage.host.routes.get('10.9.1.1')
      return [route.gateway, route.link === hostLink]
    },
    expected: ['10.1.0.2', true],
  },
  {
    title: 'a route is added once; replaced; deleted once',
    run(stage) {
      const { hostLink: link } = veth(stage)
      const { host } = stage
      const spec = { destination: '10.9.0.0/16', link }
      return [
        outcome(() => host.routes.add(spec)),
        outcome(() => host.routes.add(spec)),
        outcome(() => host.routes.add({ ...spec, metric: 10 })),
        outcome(() => host.routes.replace({ ...spec, mtu: 1300 })),
        host.routes.list({ table: 254, family: 'ipv4' }).map(({ metric, mtu }) => [metric, mtu]),
        outcome(() => host.routes.delete({ ...spec, metric: 10 })),
        outcome(() => host.routes.delete(spec)),
        outcome(() => host.routes.delete(spec)),
      ]
    },
    expected: ['done', 'EEXIST', 'done', 'done', [[undefined, 1300], [10, undefined]], 'done', 'done', 'ESRCH'],
  },
  {
    title: 'an IPv6 route is added once; replaced; deleted once',
    run(stage) {
      const { hostLink: link } = veth(stage)
      const { host } = stage
      const spec = { destination: 'fd01::/64', link, protocol: 70 }
      return [
        outcome(() => host.routes.add(spec)),
        outcome(() => host.routes.add(spec)),
        outcome(() => host.routes.replace({ ...spec, mtu: 1300 })),
        host.routes.list({ protocol: 70 }).map(({ destination, metric, mtu }) => [destination, metric, mtu]),
        outcome(() => host.routes.delete(spec)),
        outcome(() => host.routes.delete(spec)),
      ]
    },
    expected: ['done', 'EEXIST', 'done', [['fd01::/64', 1024, 1300]], 'done', 'ESRCH'],
  },
  {
    title: 'routes of another owner are not deleted',
    run(stage) {
      const { hostLink: link } = veth(stage)
      stage.host.routes.add({ destination: '10.9.0.0/16', link, protocol: 70 })
      return [outcome(() => stage.host.routes.delete({ destination: '10.9.0.0/16', protocol: 71 })), stage.host.routes.list({ protocol: 70 }).length]
    },
    expected: ['ESRCH', 1],
  },
  {
    title: 'a packet without a route is refused, as is one to a blackhole or an unreachable',
    run({ host }) {
      host.routes.add({ destination: '10.8.0.0/16', type: 'unreachable' })
      host.routes.add({ destination: '10.9.0.0/16', type: 'blackhole' })
      return [outcome(() => host.routes.get('10.7.0.1')), outcome(() => host.routes.get('10.8.0.1')), outcome(() => host.routes.get('10.9.0.1')), host.routes.list({ type: 'blackhole' }).map(({ destination }) => destination)]
    },
    expected: ['ENETUNREACH', 'EHOSTUNREACH', 'EINVAL', ['10.9.0.0/16']],
  },
  {
    title: 'tables are apart',
    run(stage) {
      const { hostLink: link } = veth(stage)
      stage.host.routes.add({ destination: '10.9.0.0/16', link, table: 1000 })
      return [stage.host.routes.list({ table: 1000 }).length, stage.host.routes.list({ table: 254, family: 'ipv4' }).length, outcome(() => stage.host.routes.get('10.9.0.1'))]
    },
    expected: [1, 0, 'ENETUNREACH'],
  },
  {
    title: 'a prefix with bits below its length, a link that is down and one that is not there are refused',
    run({ host }) {
      host.links.add({ kind: 'veth', name: 'a', peer: { name: 'b' } })
      const link = host.links.get('a')?.index ?? -1
      return [
        outcome(() => host.routes.add({ destination: '10.9.0.1/16', link: 1 })),
        outcome(() => host.routes.add({ destination: '10.9.0.0/16', link })),
        outcome(() => host.routes.add({ destination: 'fd01::/64', link })),
        outcome(() => host.routes.add({ destination: '10.9.0.0/16', link: 4711 })),
        outcome(() => host.routes.add({ destination: 'fd01::/64', link: 4711 })),
      ]
    },
    expected: ['EINVAL Invalid prefix for given prefix length', 'ENETDOWN Device for nexthop is not up', 'ENETDOWN Nexthop device is not up', 'ENODEV', 'ENODEV'],
  },
  {
    title: 'routes go with their link, and when it is taken down',
    run(stage) {
      const { hostLink: link } = veth(stage)
      const left = (): number => stage.host.routes.list({ protocol: 70 }).length
      const counts: number[] = []
      stage.host.routes.add({ destination: '10.9.0.0/16', link, protocol: 70 })
      stage.host.routes.add({ destination: 'fd01::/64', link, protocol: 70 })
      counts.push(left())
      stage.host.links.set(link, { up: false })
      counts.push(left())
      stage.host.links.set(link, { up: true })
      stage.host.routes.add({ destination: '10.9.0.0/16', link, protocol: 70 })
      counts.push(left())
      stage.host.links.delete(link)
      counts.push(left())
      return counts
    },
    expected: [2, 0, 1, 0],
  },
]

const neighbours: readonly RouteCase[] = [
  {
    title: 'a permanent neighbour is added once, replaced, deleted once',
    run(stage) {
      const { podLink: link } = veth(stage)
      const { neighbours } = stage.pod
      const spec = { link, address: '169.254.1.1', mac: '02:00:00:00:00:01' }
      const results = [outcome(() => neighbours.add(spec)), outcome(() => neighbours.add(spec)), outcome(() => neighbours.replace({ ...spec, mac: '02:00:00:00:00:03' }))]
      const [found] = neighbours.list({ link, family: 'ipv4' })
      return [...results, found?.address, found?.mac, found?.state, outcome(() => neighbours.delete(spec)), outcome(() => neighbours.add({ ...spec, link: 4711 }))]
    },
    expected: ['done', 'EEXIST', 'done', '169.254.1.1', '02:00:00:00:00:03', 'permanent', 'done', 'ENODEV'],
  },
  {
    title: 'proxy entries are listed apart',
    run(stage) {
      const { hostLink: link } = veth(stage)
      stage.host.neighbours.add({ link, address: '169.254.1.1', proxy: true })
      const listed = stage.host.neighbours.list({ link, proxy: true }).map(({ address, proxy }) => [address, proxy])
      return [listed, stage.host.neighbours.list({ link, family: 'ipv4' }), outcome(() => stage.host.neighbours.delete({ link, address: '169.254.1.1', proxy: true })), stage.host.neighbours.list({ proxy: true })]
    },
    expected: [[['169.254.1.1', true]], [], 'done', []],
  },
  {
    title: 'a remote VXLAN endpoint is one route, one neighbour and one forwarding entry',
    run(stage) {
      const link = vxlan(stage)
      const mac = '02:00:00:00:02:00'
      stage.host.fdb.add({ link, mac, destination: '192.0.2.2' })
      stage.host.neighbours.add({ link, address: '10.244.2.0', mac })
      stage.host.routes.add({ destination: '10.244.2.0/24', gateway: '10.244.2.0', link, onlink: true, protocol: 71 })
      const [entry] = stage.host.fdb.list({ link })
      return [entry?.mac, entry?.destination, entry?.self, entry?.permanent, stage.host.routes.get('10.244.2.9').gateway]
    },
    expected: ['02:00:00:00:02:00', '192.0.2.2', true, true, '10.244.2.0'],
  },
  {
    title: 'a forwarding entry is added once, replaced, deleted once',
    run(stage) {
      const link = vxlan(stage)
      const spec = { link, mac: '02:00:00:00:02:00', destination: '192.0.2.2' }
      const { fdb } = stage.host
      return [
        outcome(() => fdb.add(spec)),
        outcome(() => fdb.add(spec)),
        outcome(() => fdb.replace({ ...spec, destination: '192.0.2.3' })),
        fdb.list({ link }).map(({ destination }) => destination),
        outcome(() => fdb.delete({ link, mac: spec.mac })),
        outcome(() => fdb.delete({ link, mac: spec.mac })),
      ]
    },
    expected: ['done', 'EEXIST', 'done', ['192.0.2.3'], 'done', 'ENOENT'],
  },
  {
    title: 'the all-zero entry floods to several destinations',
    run(stage) {
      const link = vxlan(stage)
      const { fdb } = stage.host
      const mac = '00:00:00:00:00:00'
      for (const destination of ['192.0.2.2', '192.0.2.3', '192.0.2.3']) fdb.append({ link, mac, destination })
      const before = fdb.list({ link }).map(({ destination }) => String(destination)).toSorted()
      fdb.delete({ link, mac, destination: '192.0.2.2' })
      return [before, fdb.list({ link }).map(({ destination }) => destination)]
    },
    expected: [['192.0.2.2', '192.0.2.3'], ['192.0.2.3']],
  },
]

const rules: readonly RouteCase[] = [
  {
    title: 'a rule is added once and deleted once, beside the three that are always there',
    run({ host }) {
      const spec = { priority: 100, mark: 0x4000, mask: 0x4000, from: '10.244.0.0/16', table: 1000 }
      const results = [outcome(() => host.rules.add(spec)), outcome(() => host.rules.add(spec))]
      const found = host.rules.list({ family: 'ipv4' }).map(({ priority, table, mark, mask, from }) => [priority, table, mark, mask, from])
      return [...results, found, outcome(() => host.rules.delete(spec)), outcome(() => host.rules.delete(spec))]
    },
    expected: [
      'done', 'EEXIST',
      [[0, 255, undefined, undefined, undefined], [100, 1000, 0x4000, 0x4000, '10.244.0.0/16'], [32766, 254, undefined, undefined, undefined], [32767, 253, undefined, undefined, undefined]],
      'done', 'ENOENT',
    ],
  },
]

/** All of them. */
export const routeCases: readonly RouteCase[] = [...links, ...addresses, ...routes, ...neighbours, ...rules]
