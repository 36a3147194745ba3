import { readFileSync } from 'node:fs'
import t from 'tap'
import { NLA_TYPE_MASK, readAttributes } from '../layout.ts'
import type { Codec } from '../layout.ts'
import { RouteSocket } from './index.ts'
import type { RouteEvent } from './index.ts'
import { RTM_NEWADDR, RTM_NEWLINK, RTM_NEWNEIGH, RTM_NEWROUTE, RTM_NEWRULE, addressMessage, linkMessage, neighbourMessage, routeMessage, ruleMessage } from './layouts.ts'
import type { RouteTransport } from './transport.ts'

interface Captured {
  readonly command: string
  readonly type: number
  readonly payload: Buffer
}

function readCaptures(): Captured[] {
  const captures: Captured[] = []
  let command = ''
  for (const line of readFileSync(new URL('../test-support/captures/route.txt', import.meta.url), 'utf8').split('\n')) {
    if (line.startsWith('# ')) command = line.slice(2)
    else if (line !== '') {
      const [type, hex = ''] = line.split(' ')
      captures.push({ command, type: Number(type), payload: Buffer.from(hex, 'hex') })
    }
  }
  return captures
}

const captures = readCaptures()

/** The last event that a command caused: a transport that says again what was captured. */
function lastEvent(start: string): RouteEvent | undefined {
  const events: RouteEvent[] = []
  const transport: RouteTransport = {
    request: () => [],
    requestInThread: () => Promise.resolve([]),
    dump: () => [],
    close: () => undefined,
    listen(_groups, onMessage) {
      for (const { command, type, payload } of captures) if (command.startsWith(start)) onMessage({ type, payload })
      return { close: () => undefined }
    },
  }
  RouteSocket.over(transport).listen(['link'], (event) => events.push(event))
  return events.at(-1)
}

const expectations: readonly (readonly [string, object])[] = [
  ['ip link add pod1', { kind: 'link', change: 'new', link: { name: 'pod1', kind: 'veth', mtu: 1450, mac: '02:00:00:00:00:01', up: false } }],
  ['ip link add vx0', { link: { kind: 'vxlan', vxlan: { id: 7, local: '192.0.2.1', port: 8472, learning: false, ttl: 9 } } }],
  ['ip link property add', { link: { altNames: ['a-name-longer-than-fifteen-bytes'] } }],
  ['ip route add 10.244.2.0/24', { kind: 'route', change: 'new', route: { destination: '10.244.2.0/24', gateway: '10.244.2.0', onlink: true, protocol: 71, metric: 5, mtu: 1300, link: 4, table: 254 } }],
  ['ip route add 10.7.0.0/16', { route: { multipath: [{ gateway: '10.1.0.3', weight: 2 }, { gateway: '10.1.0.4', weight: 1 }] } }],
  ['ip route add fd01::/64', { route: { family: 'ipv6', destination: 'fd01::/64', gateway: 'fd00::2', table: 1000, metric: 1024 } }],
  ['ip route add blackhole', { route: { type: 'blackhole', destination: '10.9.0.0/16' } }],
  ['ip neighbour add 10.244.2.0', { kind: 'neighbour', neighbour: { address: '10.244.2.0', mac: '02:00:00:00:02:00', state: 'permanent', link: 4 } }],
  ['bridge fdb add', { kind: 'forwarding', entry: { mac: '02:00:00:00:02:00', destination: '192.0.2.2', self: true, permanent: true } }],
  ['ip rule add', { kind: 'rule', rule: { priority: 100, from: '10.244.0.0/16', mark: 0x4000, mask: 0x4000, table: 1000 } }],
  ['ip route delete', { kind: 'route', change: 'delete', route: { destination: '10.7.0.0/16' } }],
  ['ip link delete', { kind: 'link', change: 'delete', link: { name: 'vx0' } }],
]

for (const [command, expected] of expectations) {
  t.test(`what "${command}" makes is read from a capture`, async (t) => {
    t.match(lastEvent(command), expected)
  })
}

const layouts = new Map<number, Codec<{ readonly header: unknown; readonly attributes: unknown }, never>>([
  [RTM_NEWLINK, linkMessage], [RTM_NEWADDR, addressMessage], [RTM_NEWROUTE, routeMessage], [RTM_NEWNEIGH, neighbourMessage], [RTM_NEWRULE, ruleMessage],
])

/** Only the first 64 bytes of these counters are in the layout. */
const IFLA_STATS64 = 23

function topAttributes(payload: Buffer, headerBytes: number): string[] {
  const found: string[] = []
  readAttributes(payload, headerBytes, payload.length, (type, start, end) => {
    if ((type & NLA_TYPE_MASK) !== IFLA_STATS64) found.push(`${type & NLA_TYPE_MASK} ${end - start}`)
  })
  return found.sort()
}

t.test('what was captured is written back without loss', async (t) => {
  for (const { command, type, payload } of captures) {
    const layout = layouts.get(type)
    if (layout === undefined) continue
    const decoded = layout.decode(payload)
    const again = layout.encode(decoded as never)
    t.strictSame(layout.decode(again), decoded, command)
    const headerBytes = type === RTM_NEWLINK ? 16 : type === RTM_NEWADDR ? 8 : 12
    t.strictSame(topAttributes(again, headerBytes), topAttributes(payload, headerBytes), command)
    t.equal(again.subarray(0, headerBytes).toString('hex'), payload.subarray(0, headerBytes).toString('hex'), command)
  }
})
