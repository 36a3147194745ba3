import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execFileSync } from 'node:child_process'
import t from 'tap'
import { isChecksumOffloaded, setChecksumOffload } from './ethtool.ts'
import { Netns } from './netns.ts'
import { answersEcho, takesDatagram } from './reach.ts'
import { RouteSocket } from './route/index.ts'

if (process.getuid?.() !== 0) {
  t.plan(0, 'reaching and offload against the kernel: needs root')
  process.exit()
}

const folder = mkdtempSync(join(tmpdir(), 'fairway-reach-'))
const here = Netns.create(join(folder, 'here'))
const there = Netns.create(join(folder, 'there'))
t.teardown(() => {
  for (const [name, netns] of [['here', here], ['there', there]] as const) {
    netns.close()
    Netns.delete(join(folder, name))
  }
  rmSync(folder, { recursive: true })
})
using route = RouteSocket.open({ netns: here })
using other = RouteSocket.open({ netns: there })
route.links.add({ kind: 'veth', name: 'near', up: true, peer: { name: 'far', netns: there } })
other.links.set('far', { up: true })
for (const [socket, link, last] of [[route, 'near', 1], [other, 'far', 2]] as const) {
  const index = socket.links.get(link)?.index ?? 0
  socket.addresses.add({ link: index, address: `192.0.2.${last}`, prefixLength: 24 })
  socket.addresses.add({ link: index, address: `2001:db8::${last}`, prefixLength: 64, noDad: true })
}
const within = (ms: number): { netns: Netns; signal: AbortSignal } => ({ netns: here, signal: AbortSignal.timeout(ms) })

for (const [family, address, absent, nowhere] of [['IPv4', '192.0.2.2', '192.0.2.9', '198.51.100.1'], ['IPv6', '2001:db8::2', '2001:db8::9', '2001:db9::1']] as const) {
  t.test(`${family}: who is there answers, who is not does not`, async (t) => {
    t.equal(await answersEcho(address, within(3000)), true)
    t.equal(await answersEcho(address, { ...within(3000), bytes: 60_000 }), true, 'in fragments')
    t.equal(await takesDatagram(address, within(3000)), true)
    t.strictSame(await Promise.all([answersEcho(absent, within(100)), takesDatagram(absent, within(100))]), [false, false], 'nobody has the address')
    t.strictSame(await Promise.all([answersEcho(nowhere, within(3000)), takesDatagram(nowhere, within(3000))]), [false, false], 'no route')
    t.equal(await answersEcho(address, { netns: here, signal: AbortSignal.abort() }), false)
  })
}

t.test('a host that drops datagrams answers an echo only', async (t) => {
  execFileSync('nsenter', [`--net=${join(folder, 'there')}`, 'nft', 'add table inet t; add chain inet t i { type filter hook input priority 0; }; add rule inet t i meta l4proto udp drop'])
  t.strictSame(await Promise.all([answersEcho('192.0.2.2', within(3000)), takesDatagram('192.0.2.2', within(200))]), [true, false])
})

t.test('checksums are left to the link below, or are not', async (t) => {
  t.equal(isChecksumOffloaded('near', { netns: here }), true)
  setChecksumOffload('near', false, { netns: here })
  t.equal(isChecksumOffloaded('near', { netns: here }), false)
  setChecksumOffload('near', true, { netns: here })
  t.equal(isChecksumOffloaded('near', { netns: here }), true)
  t.throws(() => isChecksumOffloaded('none', { netns: here }), { message: 'Cannot read offload of link none: ENODEV' })
  t.throws(() => setChecksumOffload('none', true, { netns: here }), { message: 'Cannot set offload of link none: ENODEV' })
})
