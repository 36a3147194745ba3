/**
 * A host with pods, another host and a client outside, made of network namespaces:
 *
 *     pod-a 10.244.0.5 ─┐            ┌─ 192.0.2.2 node-2 with pod 10.244.1.5
 *     pod-b 10.244.0.6 ─┤ host ──────┤
 *                       │ 192.0.2.1  └─ 198.51.100.9 outside
 *
 * and the same in IPv6. The host routes; nothing else translates.
 */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Netns } from '../../netlink/netns.ts'
import { RouteSocket } from '../../netlink/route/index.ts'
import { writeSysctl } from '../../netlink/sysctl.ts'
import type { Command } from './peer.ts'

export interface Peer {
  /** On one address where the peer has several: a UDP server's replies come from there. */
  serve(protocol: 'tcp' | 'udp', port: number, name: string, address?: string): Promise<void>
  unserve(port: number): Promise<void>
  call(protocol: 'tcp' | 'udp' | 'http', address: string, port: number, options?: { readonly source?: string; readonly sourcePort?: number; readonly timeoutMs?: number }): Promise<string>
  open(name: string, address: string, port: number): Promise<string>
  say(name: string, text: string): Promise<string>
}

export interface TestNetwork extends AsyncDisposable {
  readonly host: Netns
  /** For `nsenter --net=`. */
  readonly hostPath: string
  readonly onHost: Peer
  readonly podA: Peer
  readonly podB: Peer
  readonly remote: Peer
  readonly outside: Peer
  /** By name: `host`, `pod-a`, … */
  readonly spaces: ReadonlyMap<string, Netns>
  /** Where a space is bound, for `nsenter --net=`. */
  path(space: string): string
}

interface Link {
  readonly name: string
  readonly addresses: readonly string[]
  /** The host's addresses on the link; without them it has a route to each of the peer's. */
  readonly host: readonly string[]
  /** What the host reaches through it. */
  readonly behind: readonly string[]
}

const links: readonly Link[] = [
  { name: 'pod-a', addresses: ['10.244.0.5/32', 'fd00:10:244::5/128'], host: [], behind: [] },
  { name: 'pod-b', addresses: ['10.244.0.6/32', 'fd00:10:244::6/128'], host: [], behind: [] },
  { name: 'node-2', addresses: ['192.0.2.2/24', '2001:db8::2/64', '10.244.1.5/32', 'fd00:10:244:1::5/128'], host: ['192.0.2.1/24', '2001:db8::1/64'], behind: ['10.244.1.0/24', 'fd00:10:244:1::/64'] },
  { name: 'outside', addresses: ['198.51.100.9/24', '2001:db8:1::9/64'], host: ['198.51.100.1/24', '2001:db8:1::1/64'], behind: [] },
]

export async function makeNetwork(): Promise<TestNetwork> {
  const directory = mkdtempSync(join(tmpdir(), 'fairway-proxy-'))
  const path = (name: string): string => join(directory, name)
  const spaces = new Map(['host', ...links.map(({ name }) => name)].map((name) => [name, Netns.create(path(name))]))
  const host = spaces.get('host')!
  prepareHost(host)
  for (const link of links) connectLink(host, spaces.get(link.name)!, link)
  const peers = [...spaces.keys()].map((name) => startPeer(path(name)))
  const [onHost, podA, podB, remote, outside] = peers.map(({ peer }) => peer) as [Peer, Peer, Peer, Peer, Peer]
  return {
    host, hostPath: path('host'), onHost, podA, podB, remote, outside, spaces, path,
    async [Symbol.asyncDispose]() {
      await Promise.all(peers.map(({ child }) => ended(child)))
      for (const [name, netns] of spaces) {
        netns.close()
        Netns.delete(path(name))
      }
      rmSync(directory, { recursive: true })
    },
  }
}

function prepareHost(netns: Netns): void {
  using route = RouteSocket.open({ netns })
  route.links.set('lo', { up: true })
  for (const setting of ['ipv4/ip_forward', 'ipv6/conf/all/forwarding']) writeSysctl(setting, 1, { netns })
  for (const setting of ['ipv4/conf/all/rp_filter', 'ipv4/conf/default/rp_filter', 'ipv6/conf/default/accept_dad', 'ipv4/conf/all/send_redirects', 'ipv4/conf/default/send_redirects']) writeSysctl(setting, 0, { netns })
}

const split = (text: string): { address: string; prefixLength: number } => {
  const [address = '', length] = text.split('/')
  return { address, prefixLength: Number(length) }
}

function connectLink(host: Netns, netns: Netns, { name, addresses, host: hostAddresses, behind }: Link): void {
  using outer = RouteSocket.open({ netns: host })
  using inner = RouteSocket.open({ netns })
  writeSysctl('ipv6/conf/default/accept_dad', 0, { netns })
  outer.links.add({ kind: 'veth', name, up: true, peer: { name: 'eth0', netns } })
  inner.links.set('lo', { up: true })
  inner.links.set('eth0', { up: true })
  const link = outer.links.get(name)!.index
  const eth0 = inner.links.get('eth0')!.index
  const isPod = hostAddresses.length === 0
  for (const text of hostAddresses) outer.addresses.add({ link, ...split(text), noDad: true })
  for (const text of addresses) inner.addresses.add({ link: eth0, ...split(text), noDad: true })
  if (isPod) {
    // As the CNI plugin does it: a gateway that is nobody's address.
    outer.addresses.add({ link, address: '169.254.1.1', prefixLength: 32, scope: 253 })
    outer.addresses.add({ link, address: 'fe80::1', prefixLength: 64, noDad: true })
    for (const { address } of addresses.map(split)) outer.routes.add({ destination: address, link })
    inner.routes.add({ destination: '169.254.1.1', link: eth0 })
    inner.routes.add({ destination: '0.0.0.0/0', gateway: '169.254.1.1', link: eth0 })
    inner.routes.add({ destination: '::/0', gateway: 'fe80::1', link: eth0 })
    return
  }
  const [gateway4, gateway6] = hostAddresses.map((text) => split(text).address) as [string, string]
  const [own4, own6] = addresses.map((text) => split(text).address) as [string, string]
  inner.routes.add({ destination: '0.0.0.0/0', gateway: gateway4, link: eth0 })
  inner.routes.add({ destination: '::/0', gateway: gateway6, link: eth0 })
  for (const destination of behind) outer.routes.add({ destination, gateway: destination.includes(':') ? own6 : own4, link })
  if (name !== 'outside') return
  outer.routes.add({ destination: '0.0.0.0/0', gateway: own4, link })
  outer.routes.add({ destination: '::/0', gateway: own6, link })
}

function startPeer(path: string): { peer: Peer; child: ChildProcess } {
  const child = spawn('nsenter', [`--net=${path}`, process.execPath, new URL('peer.ts', import.meta.url).pathname], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'], env: { PATH: process.env['PATH'] } })
  const waiting = new Map<number, (answer: string) => void>()
  let last = 0
  child.on('message', ({ id, answer }: { id: number; answer: string }) => {
    waiting.get(id)?.(answer)
    waiting.delete(id)
  })
  const ask = (command: Command): Promise<string> => new Promise((resolve) => {
    last += 1
    waiting.set(last, resolve)
    child.send({ id: last, command })
  })
  const done = async (command: Command): Promise<void> => {
    const answer = await ask(command)
    if (answer !== '') throw new Error(answer)
  }
  const peer: Peer = {
    serve: (protocol, port, name, address) => done({ kind: 'serve', protocol, port, name, ...(address === undefined ? {} : { address }) }),
    unserve: (port) => done({ kind: 'unserve', port }),
    call: (protocol, address, port, options = {}) => ask({ kind: 'call', protocol, address, port, ...options }),
    open: (name, address, port) => ask({ kind: 'open', name, address, port }),
    say: (name, text) => ask({ kind: 'say', name, text }),
  }
  return { peer, child }
}

function ended(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    child.once('exit', () => resolve())
    child.disconnect()
  })
}
