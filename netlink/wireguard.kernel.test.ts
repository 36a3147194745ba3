import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { isNotFound, isUnsupported } from './errors.ts'
import { GenericSocket } from './generic.ts'
import { Netns } from './netns.ts'
import { RouteSocket } from './route/index.ts'
import { Wireguard } from './wireguard.ts'

if (process.getuid?.() !== 0) {
  t.plan(0, 'generic netlink against the kernel: needs root')
  process.exit()
}

t.test('families of generic netlink are found by name', async (t) => {
  using controller = GenericSocket.open('nlctrl')
  t.ok(controller, 'the controller itself is one')
  t.equal(GenericSocket.open('no-such-family'), undefined)
})

t.test('the kernel has WireGuard both as a family and as a kind of link, or neither; what it has works', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'fairway-wireguard-'))
  const path = join(folder, 'netns')
  const netns = Netns.create(path)
  const route = RouteSocket.open({ netns })
  try {
    using wireguard = Wireguard.open({ netns })
    if (wireguard === undefined) {
      t.throws(() => route.links.add({ kind: 'wireguard', name: 'wg0' }), { code: 'EOPNOTSUPP', message: /Cannot add wireguard link wg0/ })
      t.comment('this kernel has no WireGuard')
      return
    }
    route.links.add({ kind: 'wireguard', name: 'wg0', up: true })
    const privateKey = Buffer.from([0x10, ...Buffer.alloc(30, 0x11), 0x51]).toString('base64')
    const peer = { publicKey: Buffer.alloc(32, 0x22).toString('base64'), endpoint: { address: '192.0.2.2', port: 51_820 }, allowedIPs: ['10.244.2.0/24', 'fd00:10:244:2::/64'] }
    wireguard.set('wg0', { privateKey, listenPort: 51_820, peers: [peer] })
    t.match(wireguard.get('wg0'), { privateKey, listenPort: 51_820, peers: [peer] })
    wireguard.set('wg0', { peers: [{ publicKey: peer.publicKey, remove: true }] })
    t.strictSame(wireguard.get('wg0').peers, [])
    t.throws(() => wireguard.get('wg1'), isNotFound)
    t.throws(() => wireguard.get('lo'), isUnsupported)
  } finally {
    route.close()
    netns.close()
    Netns.delete(path)
    rmSync(folder, { recursive: true })
  }
})
