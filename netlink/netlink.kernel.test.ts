import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { networkInterfaces, tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { Conntrack, deleteConntrack } from './conntrack.ts'
import type { ConntrackEntry } from './conntrack.ts'
import { NetlinkError, isNotFound, isNotPermitted, isUnsupported } from './errors.ts'
import { Netns } from './netns.ts'
import { NETLINK_NETFILTER, NETLINK_ROUTE, NLM_F_ACK, NetlinkSocket } from './socket.ts'
import { readSysctl, writeSysctl } from './sysctl.ts'

if (process.getuid?.() !== 0) {
  t.plan(0, 'sockets, namespaces and conntrack against the kernel: needs root')
  process.exit()
}

interface Place {
  readonly path: string
  readonly netns: Netns
  [Symbol.dispose](): void
}

function makeNetns(): Place {
  const directory = mkdtempSync(join(tmpdir(), 'fairway-netlink-'))
  const path = join(directory, 'netns')
  const netns = Netns.create(path)
  return {
    path, netns,
    [Symbol.dispose]() {
      netns.close()
      Netns.delete(path)
      rmSync(directory, { recursive: true })
    },
  }
}

const what = { operation: 'try', object: 'a request' }

t.test('a namespace is made, entered, left and removed', async (t) => {
  let path: string
  {
    using place = makeNetns()
    path = place.path
    using here = Netns.current()
    t.not(place.netns.inode, here.inode)
    t.strictSame(place.netns.run(() => Object.keys(networkInterfaces())), [])
    using again = Netns.current()
    t.equal(again.inode, here.inode)
    using opened = Netns.open(path)
    t.equal(opened.inode, place.netns.inode)
    using own = Netns.open({ pid: process.pid })
    t.equal(own.inode, here.inode)
    t.throws(() => Netns.create(path), { code: 'EEXIST' })
    t.equal(existsSync(path), true)
  }
  t.equal(existsSync(path), false)
  t.throws(() => Netns.open(path), { message: `Cannot open ${path}: ENOENT` })
})

t.test('an error within a namespace leads back out; nested runs do too', async (t) => {
  using place = makeNetns()
  using other = makeNetns()
  using here = Netns.current()
  t.throws(() => place.netns.run(() => { throw new Error('inside') }), { message: 'inside' })
  const inodes = place.netns.run(() => {
    const inner = other.netns.run(() => { using now = Netns.current(); return now.inode })
    using now = Netns.current()
    return [inner, now.inode]
  })
  t.strictSame(inodes, [other.netns.inode, place.netns.inode])
  using after = Netns.current()
  t.equal(after.inode, here.inode)
})

t.test('a closed namespace cannot be entered, an asynchronous function not run', async (t) => {
  using place = makeNetns()
  const handle = Netns.open(place.path)
  handle.close()
  handle.close()
  t.throws(() => handle.run(() => 1), { message: /handle is closed/ })
  t.throws(() => place.netns.run((async () => 1) as unknown as () => number), { message: /asynchronous/ })
})

t.test('errors carry the kernel\'s words and where it saw the fault', async (t) => {
  using place = makeNetns()
  using socket = NetlinkSocket.open(NETLINK_ROUTE, { netns: place.netns })
  // an address of three bytes
  const payload = Buffer.from('02200000010000000700020001020300', 'hex')
  try {
    socket.request(20, 0, payload, what)
    t.fail('accepted')
  } catch (error) {
    if (!(error instanceof NetlinkError)) throw error
    t.equal(error.code, 'ERANGE')
    t.equal(error.kernelMessage, 'Attribute failed policy validation')
    t.equal(error.offset, 24)
    t.equal(error.message, 'Cannot try a request: ERANGE Attribute failed policy validation')
  }
  try {
    socket.request(9999 & 0xffff, 0, new Uint8Array(4), what)
    t.fail('accepted')
  } catch (error) {
    t.equal(isUnsupported(error), true)
  }
  t.strictSame(socket.request(18, 0, Buffer.concat([Buffer.alloc(4), Buffer.from([1, 0, 0, 0]), Buffer.alloc(8)]), what).map(({ type }) => type), [16])
  socket.close()
  t.throws(() => socket.request(18, 0, new Uint8Array(16), what), { message: 'Cannot try a request: the netlink socket is closed' })
})

t.test('a batch gets a verdict for each message', async (t) => {
  using place = makeNetns()
  using socket = NetlinkSocket.open(NETLINK_ROUTE, { netns: place.netns })
  const get = (index: number): Buffer => { const payload = Buffer.alloc(16); payload.writeInt32LE(index, 4); return payload }
  const verdicts = socket.transact([1, 4711, 1].map((index) => ({ type: 18, flags: NLM_F_ACK, payload: get(index) })), what)
  t.strictSame(verdicts.map(({ errno, replies }) => [errno, replies.length]), [[0, 1], [19, 0], [0, 1]])
})

t.test('a batch larger than the send buffer goes through', async (t) => {
  using place = makeNetns()
  using socket = NetlinkSocket.open(NETLINK_NETFILTER, { netns: place.netns, sendBufferBytes: 4096 })
  const begin = Buffer.from('0000000a', 'hex')
  // a batch for nf_tables (subsystem 10) that is begun and ended with many bytes of nothing between
  const name = Buffer.from(`0a000100${Buffer.from('table\0').toString('hex')}0000`, 'hex')
  const tables = Array.from({ length: 20_000 }, () => ({ type: (10 << 8) | 0, flags: 0x400, payload: Buffer.concat([Buffer.from('02000000', 'hex'), name]) }))
  const verdicts = socket.transact([{ type: 16, flags: 0, payload: begin }, ...tables, { type: 17, flags: 0, payload: begin }], what)
  t.equal(verdicts.filter(({ errno }) => errno !== 0).length, 0)
  t.match(execFileSync('nsenter', [`--net=${place.path}`, 'nft', 'list', 'tables'], { encoding: 'utf8' }), 'table ip table')
})

t.test('settings are those of the namespace', async (t) => {
  using place = makeNetns()
  const { netns } = place
  const before = readSysctl('ipv4/ip_forward')
  writeSysctl('ipv4/ip_forward', 1, { netns })
  t.equal(readSysctl('ipv4/ip_forward', { netns }), '1')
  writeSysctl('ipv4/ip_forward', 0, { netns })
  t.equal(readSysctl('ipv4/ip_forward', { netns }), '0')
  t.equal(readSysctl('ipv4/ip_forward'), before)
  t.throws(() => readSysctl('ipv4/conf/none/rp_filter', { netns }), { message: 'Cannot read setting ipv4/conf/none/rp_filter: ENOENT' })
  t.throws(() => readSysctl('../kernel/hostname', { netns }), TypeError)
})

interface Flow {
  readonly protocol: number
  readonly from: string
  readonly port: number
  readonly to: string
  readonly endpoint: string
}

function entry({ protocol, from, port, to, endpoint }: Flow): ConntrackEntry {
  return {
    family: from.includes(':') ? 'ipv6' : 'ipv4', protocol,
    original: { source: from, sourcePort: port, destination: to, destinationPort: 53 },
    reply: { source: endpoint, sourcePort: endpoint === to ? 53 : 5353, destination: from, destinationPort: port },
    status: 0xe, timeoutSeconds: 100, mark: 0, zone: 0,
  }
}

t.test('conntrack entries are listed and deleted by filter, and no others', async (t) => {
  using place = makeNetns()
  const { netns } = place
  using conntrack = Conntrack.open({ netns })
  const flows: readonly Flow[] = [
    { protocol: 17, from: '10.0.0.1', port: 1000, to: '10.96.0.10', endpoint: '10.244.0.1' },
    { protocol: 17, from: '10.0.0.1', port: 1001, to: '10.96.0.10', endpoint: '10.244.0.2' },
    { protocol: 17, from: '10.0.0.1', port: 1002, to: '10.96.0.11', endpoint: '10.96.0.11' },
    { protocol: 6, from: '10.0.0.1', port: 1000, to: '10.96.0.10', endpoint: '10.244.0.1' },
    { protocol: 17, from: 'fd00::1', port: 1000, to: 'fd00:96::10', endpoint: 'fd00:244::1' },
    { protocol: 17, from: 'fd00::1', port: 1001, to: 'fd00:96::10', endpoint: 'fd00:244::2' },
  ]
  for (const flow of flows) conntrack.add(entry(flow))
  t.equal(conntrack.list().length, 6)
  t.strictSame(conntrack.list({ protocol: 'udp', originalDestination: { address: '10.96.0.10' } }).map(({ reply }) => reply.source).toSorted(), ['10.244.0.1', '10.244.0.2'])
  t.equal(conntrack.list({ protocol: 'udp', originalDestination: { address: '10.96.0.10', port: 54 } }).length, 0)
  t.equal(conntrack.list({ protocol: 'udp', originalDestination: { address: 'fd00:0096::10', port: 53 } }).length, 2)
  t.equal(deleteConntrack({ protocol: 'udp', originalDestination: { address: '10.96.0.10', port: 53 }, replySource: { address: '10.244.0.1', port: 5353 } }, { netns }), 1)
  t.equal(conntrack.list().length, 5)
  t.equal(deleteConntrack({ protocol: 'udp', originalDestination: { address: '10.96.0.11', port: 53 }, replySource: { address: '10.96.0.11' } }, { netns }), 1, 'an untranslated entry')
  t.equal(deleteConntrack([{ protocol: 'udp', replySource: { address: 'fd00:244::1' } }, { protocol: 'tcp', originalDestination: { address: '10.96.0.10' } }], { netns }), 2)
  t.equal(deleteConntrack([], { netns }), 0)
  t.strictSame(conntrack.list().map(({ reply }) => reply.source).toSorted(), ['10.244.0.2', 'fd00:244::2'])
  t.throws(() => deleteConntrack({ protocol: 'udp' }, { netns }), TypeError)
  const seen = execFileSync('nsenter', [`--net=${place.path}`, 'conntrack', '-L'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
  t.match(seen, /udp .*src=10\.0\.0\.1 dst=10\.96\.0\.10 sport=1001 dport=53 src=10\.244\.0\.2/)
  t.equal(seen.trim().split('\n').length, 2)
})

t.test('many filters are applied at once', async (t) => {
  using place = makeNetns()
  using conntrack = Conntrack.open({ netns: place.netns })
  for (let i = 0; i < 2_000; i++) conntrack.add(entry({ protocol: 17, from: `10.0.${i >> 8}.${i & 255}`, port: 1000, to: '10.96.0.10', endpoint: `10.244.0.${i & 127}` }))
  const filters = Array.from({ length: 64 }, (_, i) => ({ protocol: 'udp', replySource: { address: `10.244.0.${i}` } }) as const)
  t.equal(conntrack.deleteMatching(filters), 16 * 64)
  t.equal(conntrack.list().every(({ reply }) => Number(reply.source.split('.')[3]) >= 64), true)
  t.equal(await conntrack.deleteMatchingInThread([64, 65].map((last) => ({ protocol: 'udp', replySource: { address: `10.244.0.${last}` } }) as const)), 2 * 16)
})

t.test('error predicates tell errors apart', async (t) => {
  t.equal(isNotFound(new NetlinkError('get', 'link x', 19)), true)
  t.equal(isNotFound(new NetlinkError('get', 'link x', 17)), false)
  t.equal(isNotPermitted(new NetlinkError('add', 'link x', -1)), true)
  t.equal(isUnsupported(new NetlinkError('add', 'link x', 95)), true)
  t.equal(isNotFound(new Error('x')), false)
})
