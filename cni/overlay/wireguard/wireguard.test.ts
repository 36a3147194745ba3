import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { array, assert, property, string } from 'fast-check'
import t from 'tap'
import type { WireguardChange, WireguardDevice } from '../../../netlink/wireguard.ts'
import { readHost, wantOverlay } from '../want.ts'
import type { Host, OverlayWant } from '../want.ts'
import { ownKeys, readKey } from './keys.ts'
import { describeChange, planDevice } from './plan.ts'
import { KernelTunnel, findProgram } from './tunnel.ts'
import { askProgram, decodeDevice, encodeSet } from './uapi.ts'

const key = (byte: number): string => Buffer.alloc(32, byte).toString('base64')
const hex = (byte: number): string => Buffer.alloc(32, byte).toString('hex')
const folder = mkdtempSync(join(tmpdir(), 'fairway-wireguard-'))
t.teardown(() => rmSync(folder, { recursive: true }))

t.test("the host's key is made once, is root's alone, and gives the public key that wg(8) gives", async (t) => {
  const dataDir = join(folder, 'keys')
  const keys = ownKeys(dataDir)
  t.strictSame(ownKeys(dataDir), keys)
  const file = join(dataDir, 'wireguard.key')
  t.equal(statSync(file).mode & 0o777, 0o600)
  t.equal(readFileSync(file, 'utf8'), `${keys.privateKey}\n`)
  writeFileSync(file, 'QFoBu4j8yxrP06I58kKAG4/GItDuZvDZfe31diXzyWs=')
  chmodSync(file, 0o644)
  t.match(ownKeys(dataDir), { publicKey: '40KtzJDBzVcjpVEIm6v0iRi2kfAQ+PBApR9bR2J/ghY=' }, 'of `wg genkey` and `wg pubkey`')
  t.equal(statSync(file).mode & 0o777, 0o600, 'whatever it was before')
  writeFileSync(file, 'no key')
  t.throws(() => ownKeys(dataDir), /Cannot read the WireGuard key .*wireguard\.key: it does not hold 32 bytes/)
  t.equal(readFileSync(file, 'utf8'), 'no key', 'what is there stays there')
})

t.test('what others publish is a key or nothing', async (t) => {
  t.equal(readKey(key(7)), key(7))
  for (const text of [undefined, '', 'x', key(7).slice(1), `${key(7)} `, Buffer.alloc(31).toString('base64'), Buffer.alloc(33).toString('base64'), `${key(7)}\nremove=true`]) t.equal(readKey(text), undefined, JSON.stringify(text))
  assert(property(string(), (text) => readKey(text) === undefined || text.length === 44))
  t.match(readHost({ metadata: { name: 'a', annotations: { 'fairway.dev/wireguard-public-key': key(7) } }, spec: { podCIDRs: [] } }), { publicKey: key(7) })
  t.notOk('publicKey' in readHost({ metadata: { name: 'a', annotations: { 'fairway.dev/wireguard-public-key': 'x\ny' } }, spec: { podCIDRs: [] } }))
})

const host = (n: number, more: Partial<Host> = {}): Host => ({ name: `node-${n}`, addresses: { ipv4: `10.90.0.${n}` }, podCIDRs: [`10.244.${n}.0/24`, `fd00:10:244:${n}::/64`], publicKey: key(n), ...more })
const want = (peers: readonly Host[], own = host(1), mtu = 1500): OverlayWant => (
  wantOverlay({ backend: 'wireguard', own, peers, underlays: { ipv4: { link: 4, mtu }, ipv6: { link: 4, mtu } }, clusterDns: [] }))

t.test('every peer is a key, an endpoint and its ranges; behind each route is one that refuses', async (t) => {
  const { wireguard, routes, podMtu, vxlan, problems } = want([host(2)])
  t.match(wireguard, { mtu: 1440, port: 51_820, addresses: ['10.244.1.0', 'fd00:10:244:1::'], peers: [{ publicKey: key(2), endpoint: { address: '10.90.0.2', port: 51_820 }, allowedIPs: ['10.244.2.0/24', 'fd00:10:244:2::/64'] }] })
  t.match([podMtu, vxlan, problems], [1440, undefined, []])
  t.strictSame(routes.filter(({ destination }) => destination.includes('244.2.')), [
    { destination: '10.244.2.0/24', link: 'fairway-wg', type: 'unicast' }, { destination: '10.244.2.0/24', type: 'unreachable', metric: 65_535 },
  ])
  t.equal(want([], host(1, { addresses: { ipv6: 'fd00:90::1' } })).podMtu, 1420, 'over IPv6')
})

for (const { title, peer, problem } of [
  { title: 'a peer without a key', peer: host(3, { publicKey: undefined }), problem: 'node node-3 has published no key to encrypt with' },
  { title: "a peer with this host's own key", peer: host(3, { publicKey: key(1) }), problem: 'node node-3 has published the key of node-1' },
  { title: "a peer with another peer's key", peer: host(3, { publicKey: key(2) }), problem: 'node node-3 has published the key of node-2' },
  { title: 'a peer without an address of the family', peer: host(3, { addresses: { ipv6: 'fd00:90::3' } }), problem: 'node node-3 has no IPv4 address' },
  { title: 'a peer that has not said yet where it is', peer: host(3, { addresses: {} }), problem: undefined },
]) {
  t.test(`${title} is not reached, rather than in clear text, and the others are`, async (t) => {
    const { wireguard, routes, problems } = want([host(2), peer])
    t.strictSame(wireguard?.peers.map(({ publicKey }) => publicKey), [key(2)])
    t.strictSame(routes.filter(({ destination }) => destination === '10.244.3.0/24'), [{ destination: '10.244.3.0/24', type: 'unreachable', metric: 65_535 }])
    t.strictSame(problems, problem === undefined ? [] : [problem])
  })
}

const tunnel = (peers: readonly Host[]): NonNullable<OverlayWant['wireguard']> & { privateKey: string } => ({ ...want(peers).wireguard!, privateKey: key(9) })
const device = (peers: WireguardDevice['peers']): WireguardDevice => ({ privateKey: key(9), listenPort: 51_820, peers })
const asWanted = { publicKey: key(2), endpoint: { address: '10.90.0.2', port: 51_820 }, allowedIPs: ['fd00:10:244:2::/64', '10.244.2.0/24'] }

for (const { title, have, change } of [
  { title: 'a new device gets everything', have: { listenPort: 0, peers: [] }, change: { privateKey: key(9), listenPort: 51_820, peers: [{ publicKey: key(2) }] } },
  { title: 'one that is as wanted gets nothing, in whatever order its ranges are', have: device([{ ...asWanted, receivedBytes: 5n }]), change: undefined },
  { title: 'a flushed peer comes back', have: device([]), change: { peers: [{ publicKey: key(2), allowedIPs: ['10.244.2.0/24', 'fd00:10:244:2::/64'] }] } },
  { title: 'a stranger goes', have: device([asWanted, { ...asWanted, publicKey: key(5), allowedIPs: ['0.0.0.0/0'] }]), change: { peers: [{ publicKey: key(5), remove: true as const }] } },
  { title: 'another endpoint', have: device([{ ...asWanted, endpoint: { address: '10.90.0.7', port: 51_820 } }]), change: { peers: [{ publicKey: key(2), endpoint: { address: '10.90.0.2' } }] } },
  { title: 'a range too many', have: device([{ ...asWanted, allowedIPs: [...asWanted.allowedIPs, '10.244.9.0/24'] }]), change: { peers: [{ publicKey: key(2) }] } },
  { title: "somebody else's key", have: { ...device([asWanted]), privateKey: key(8) }, change: { privateKey: key(9), peers: [] } },
  { title: 'another port', have: { ...device([asWanted]), listenPort: 1 }, change: { listenPort: 51_820, peers: [] } },
]) {
  t.test(`of a device: ${title}`, async (t) => {
    t.match(planDevice(tunnel([host(2)]), have), change)
    t.equal(planDevice(tunnel([host(2)]), have) === undefined, change === undefined)
  })
}

const change: WireguardChange = {
  privateKey: key(9), listenPort: 51_820,
  peers: [{ publicKey: key(5), remove: true }, { publicKey: key(2), endpoint: { address: 'fd00:90::2', port: 51_820 }, allowedIPs: ['10.244.2.0/24', 'fd00:10:244:2::/64'] }],
}

t.test('a change in words, and as a program takes it', async (t) => {
  t.strictSame(describeChange(change), ['setTunnelKey', 'setTunnelPort', 'removeTunnelPeer', 'setTunnelPeer'])
  t.equal(encodeSet(change), [
    'set=1', `private_key=${hex(9)}`, 'listen_port=51820', `public_key=${hex(5)}`, 'remove=true',
    `public_key=${hex(2)}`, 'endpoint=[fd00:90::2]:51820', 'replace_allowed_ips=true', 'allowed_ip=10.244.2.0/24', 'allowed_ip=fd00:10:244:2::/64', '', '',
  ].join('\n'))
  t.equal(encodeSet({ peers: [] }), 'set=1\n\n')
})

t.test('a device as a program says it', async (t) => {
  t.strictSame(decodeDevice([
    `private_key=${hex(9)}`, 'listen_port=51820', 'fwmark=1', `public_key=${hex(2)}`, `preshared_key=${hex(0)}`, 'protocol_version=1', 'endpoint=[fd00:90::2]:51820',
    'last_handshake_time_sec=1700000000', 'last_handshake_time_nsec=5', 'tx_bytes=18446744073709551615', 'rx_bytes=1', 'persistent_keepalive_interval=0', 'allowed_ip=10.244.2.0/24',
    'allowed_ip=fd00:10:244:2::/64', `public_key=${hex(3)}`, 'endpoint=10.90.0.3:1',
  ]), {
    privateKey: key(9), listenPort: 51_820,
    peers: [
      { publicKey: key(2), endpoint: { address: 'fd00:90::2', port: 51_820 }, allowedIPs: ['10.244.2.0/24', 'fd00:10:244:2::/64'], lastHandshakeSeconds: 1_700_000_000, sentBytes: 18_446_744_073_709_551_615n, receivedBytes: 1n },
      { publicKey: key(3), endpoint: { address: '10.90.0.3', port: 1 }, allowedIPs: [] },
    ],
  })
  t.throws(() => decodeDevice([`public_key=${hex(2)}`, 'endpoint=x']), { name: 'LayoutError' })
  assert(property(array(string()), (lines) => Array.isArray(decodeDevice(lines.map((line) => line.replace(/^(tx|rx|endpoint)/, ''))).peers)))
})

t.test('a program that answers in pieces is heard out; one that refuses, hangs up, says nothing or is not there is an error', async (t) => {
  const answers = new Map([['pieces', ['listen_port=1\nerrn', 'o=0\n', '\n']], ['refusal', ['errno=-22\n\n']], ['end', []]])
  for (const [title, pieces] of [...answers, ['silence', undefined] as const]) {
    const path = join(folder, `${title}.sock`)
    const server = createServer((socket) => {
      socket.on('error', () => socket.destroy())
      socket.once('data', () => {
        for (const [index, piece] of (pieces ?? []).entries()) setTimeout(() => socket.write(piece), index * 5)
        if (pieces?.length === 0) socket.destroy()
      })
    })
    await new Promise<void>((resolve) => server.listen(path, resolve))
    const asked = askProgram(path, 'get=1\n\n', { operation: 'read WireGuard link x', signal: AbortSignal.timeout(title === 'silence' ? 50 : 5000) })
    if (title === 'pieces') t.strictSame(await asked, ['listen_port=1'])
    else await t.rejects(asked, { message: { refusal: /Cannot read WireGuard link x at .*: EINVAL/, end: /the program closed it/, silence: /no answer in time/ }[title]! }, title)
    server.close()
  }
  await t.rejects(askProgram(join(folder, 'nobody.sock'), 'get=1\n\n', { operation: 'read', signal: AbortSignal.timeout(5000) }), { code: 'ENOENT' })
})

t.test('a program is found by name in PATH, or by its path; where there is none, that is said', async (t) => {
  const bin = join(folder, 'bin with a space')
  ownKeys(bin)
  for (const name of ['boringtun-cli', 'mine']) writeFileSync(join(bin, name), '#!/bin/sh\n', { mode: 0o755 })
  t.equal(findProgram(undefined, `/nowhere:${bin}`), join(bin, 'boringtun-cli'))
  writeFileSync(join(bin, 'wireguard-go'), '#!/bin/sh\n', { mode: 0o644 })
  t.equal(findProgram(undefined, bin), join(bin, 'boringtun-cli'), 'what cannot be run is none')
  chmodSync(join(bin, 'wireguard-go'), 0o755)
  t.equal(findProgram(undefined, bin), join(bin, 'wireguard-go'))
  t.equal(findProgram('mine', bin), join(bin, 'mine'))
  t.equal(findProgram(join(bin, 'mine'), ''), join(bin, 'mine'))
  t.throws(() => findProgram(undefined, '/nowhere:'), { message: 'Cannot encrypt between hosts: this kernel has no WireGuard, and no program that does it in its place is installed (wireguard-go or boringtun-cli, in PATH)' })
  t.throws(() => findProgram('/nowhere/x', ''), { message: /this kernel has no WireGuard, and \/nowhere\/x is no program that can be run/ })
})

t.test('where the kernel has WireGuard, its link is made once, in place of one of a program, and the rest goes to the kernel', async (t) => {
  const links = new Map<string, { index: number; kind: string }>([['fairway-wg', { index: 7, kind: 'tun' }]])
  const calls: unknown[] = []
  const kernel = new KernelTunnel(
    { get: () => device([asWanted]), set: (name, given) => void calls.push([name, given]), close: () => void calls.push('close') },
    {
      links: {
        get: (name: string) => links.get(name), add: ({ name, kind }: { name: string; kind: string }) => void links.set(name, { index: 8, kind }),
        delete: (index: number) => void (index === 7 && links.delete('fairway-wg')),
      },
    } as never,
  )
  t.strictSame([await kernel.ensure(), await kernel.ensure()], [true, false])
  t.strictSame(links.get('fairway-wg'), { index: 8, kind: 'wireguard' })
  t.strictSame(await kernel.read(), device([asWanted]))
  await kernel.change(change)
  await kernel.stop()
  t.strictSame(calls, [['fairway-wg', change], 'close'])
  t.ok(links.has('fairway-wg'), 'what is the kernel\'s stays when the agent stops')
})
