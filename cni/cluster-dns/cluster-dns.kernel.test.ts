/** Three hosts with a DNS server each: one dies or hangs, and its pods are answered by another's; it comes back, and they are answered at home again. */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { systemClock } from '../../api/clock.ts'
import type { Component } from '../../api/component.ts'
import { createLogger } from '../../api/log.ts'
import { Conntrack } from '../../netlink/conntrack.ts'
import type { TestHost } from '../test-support/host.ts'
import { Underlay, configOf } from '../test-support/underlay.ts'
import type { Backend } from '../overlay/want.ts'
import { answersNames, isListening } from './ask.ts'
import { startClusterDns } from './index.ts'
import { dnsRouteProtocol } from './routes.ts'

if (process.getuid?.() !== 0) {
  t.plan(0, 'cluster DNS: needs root')
  process.exit()
}

const addresses = ['10.96.0.10', 'fd00:10:96::a']
const zone = 'cluster.local'

class Cluster {
  readonly underlay = new Underlay('ipv4', 'ipv6')
  readonly hosts: TestHost[]
  readonly lines: string[][] = [[], [], []]
  readonly #servers = new Map<TestHost, ChildProcess>()
  readonly #keepers: Component[] = []

  constructor() {
    this.hosts = [1, 2, 3].map((n) => this.underlay.addHost(n))
  }

  async start(backend: Backend): Promise<void> {
    await Promise.all(this.hosts.map((host) => this.underlay.start(host, backend, { clusterDns: addresses })))
    for (const [index, host] of this.hosts.entries()) {
      host.addPod('pod')
      await host.add('pod', configOf(host))
      await this.serve(host)
      this.keep(index)
    }
  }

  keep(index: number): Component {
    const keeper = startClusterDns({ addresses, zone, clock: systemClock, log: createLogger({ write: (line) => void this.lines[index]?.push(line) }), netns: this.hosts[index]?.netns })
    this.#keepers.push(keeper)
    return keeper
  }

  async serve(host: TestHost): Promise<void> {
    const file = new URL('../../dns/test-support/answering-process.ts', import.meta.url).pathname
    const server = spawn('nsenter', [`--net=${join(host.folder, 'host')}`, process.execPath, file, addresses.map((address) => `${address}:53`).join(','), '-'], { stdio: ['ignore', 'pipe', 'inherit'] })
    this.#servers.set(host, server)
    await once(server.stdout, 'data')
  }

  signal(host: TestHost, signal: 'SIGKILL' | 'SIGSTOP' | 'SIGCONT'): void {
    this.#servers.get(host)?.kill(signal)
  }

  async end(): Promise<void> {
    for (const keeper of this.#keepers) await keeper.stop()
    for (const server of this.#servers.values()) server.kill('SIGKILL')
    await this.underlay[Symbol.asyncDispose]()
  }
}

/** For how long a pod was without answers, from now on, until it has had them at both addresses ten times in a row; gives up after 15 s. */
async function outageMs(host: TestHost): Promise<number> {
  const begun = performance.now()
  let silentUntil = begun
  let inRow = 0
  while (inRow < 10 && performance.now() - begun < 15_000) {
    const asked = performance.now()
    const all = await Promise.all(addresses.map((address) => answersNames(address, zone, { netns: host.pod('pod'), signal: AbortSignal.timeout(300) })))
    inRow = all.every(Boolean) ? inRow + 1 : 0
    if (inRow === 0) silentUntil = performance.now()
    await systemClock.sleep(Math.max(0, 100 - (performance.now() - asked)))
  }
  return silentUntil - begun
}

/** Connections to a cluster DNS address that a host's kernel remembers. */
function tracked(host: TestHost): string[] {
  using conntrack = Conntrack.open({ netns: host.netns })
  return conntrack.list().map((entry) => JSON.stringify(entry)).filter((text) => addresses.some((address) => text.includes(`"${address}"`)))
}

const isAway = (host: TestHost): boolean => host.route.routes.list({ protocol: dnsRouteProtocol }).length > 0 || host.route.rules.list().some(({ protocol }) => protocol === dnsRouteProtocol)
const rulesOf = (host: TestHost): number => host.route.rules.list().filter(({ protocol }) => protocol === dnsRouteProtocol).length
async function until(condition: () => boolean, ms = 15_000): Promise<boolean> {
  for (let waited = 0; waited < ms && !condition(); waited += 100) await systemClock.sleep(100)
  return condition()
}

for (const backend of ['vxlan', 'host-gw'] as const) {
  t.test(`${backend}: pods of a host whose server dies are answered by another host's within seconds, and at home again when it is back`, { timeout: 120_000 }, async (t) => {
    const cluster = new Cluster()
    t.teardown(() => cluster.end())
    await cluster.start(backend)
    const [first, second] = cluster.hosts as [TestHost, TestHost]
    t.ok(await outageMs(first) < 500)
    t.notOk(isAway(first))
    cluster.signal(first, 'SIGKILL')
    const outage = await outageMs(first)
    t.ok(outage < 5000, `${Math.round(outage)} ms without answers`)
    t.ok(isAway(first))
    t.notOk(isListening('10.96.0.10', first.netns))
    t.same([tracked(first), tracked(second)], [[], []], 'and nobody tracks a question, neither at home nor away')
    t.match(cluster.lines[0]?.join('\n'), /the DNS server of this host is down, another host is asked.*nobody listens/)

    cluster.signal(second, 'SIGKILL')
    const further = await outageMs(first)
    t.ok(further < 8000, `${Math.round(further)} ms until a third host is asked`)
    t.ok(await outageMs(second) < 8000, 'which the second host asks as well')

    await cluster.serve(first)
    t.ok(await until(() => !isAway(first)), 'nothing is left of it when the server is back')
    t.ok(await outageMs(first) < 1000)
    t.match(cluster.lines[0]?.join('\n'), /names are answered on this host again/)
  })
}

t.test('a server that hangs is as good as dead, a restarted agent goes on from there, and without any server nothing goes round in circles', { timeout: 120_000 }, async (t) => {
  const cluster = new Cluster()
  t.teardown(() => cluster.end())
  await cluster.start('vxlan')
  const [first, second, third] = cluster.hosts as [TestHost, TestHost, TestHost]
  cluster.signal(first, 'SIGSTOP')
  t.ok(await outageMs(first) < 10_000)
  t.match(cluster.lines[0]?.join('\n'), /another host is asked.*it does not answer/)
  cluster.signal(first, 'SIGCONT')
  t.ok(await until(() => !isAway(first), 30_000))

  cluster.signal(first, 'SIGKILL')
  t.ok(await until(() => isAway(first)))
  const again = cluster.keep(0)
  await systemClock.sleep(1500)
  t.equal(rulesOf(first), 4, 'one that starts meanwhile leaves things as they are')
  await again.stop()

  for (const host of [second, third]) cluster.signal(host, 'SIGKILL')
  t.ok(await until(() => [second, third].every(isAway)))
  const before = received(first)
  for (let n = 0; n < 20; n += 1) await answersNames('10.96.0.10', zone, { netns: first.pod('pod'), signal: AbortSignal.timeout(50) })
  const packets = received(first) - before
  t.ok(packets < 200, `${packets} packets came for 20 questions that nobody answers`)
})

function received(host: TestHost): number {
  return host.netns.run<number>(() => {
    const line = readFileSync('/proc/thread-self/net/dev', 'utf8').split('\n').find((text) => text.includes('fairway-vxlan:')) ?? ''
    return Number(line.trim().split(/\s+/)[2])
  })
}
