/**
 * Answers a second and their latency: our DNS server, and unbound, knot and CoreDNS (`FAIRWAY_COREDNS`, a binary) with the same names where they
 * are installed, in one run, each server on one processor and `dnsperf` on the other.
 */
import { execFileSync, spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Figure } from './run.ts'

const services = 5000
const endpoints = 100
const elsewhere = 1000
const seconds = 2
const rounds = 3
const port = 5355
const upstreamPort = 5356
const zone = 'cluster.local'
const address = (n: number): string => `10.100.${n >> 8}.${n & 0xff}`
const ownServer = new URL('test-support/dns-server.ts', import.meta.url).pathname
const coredns = process.env['FAIRWAY_COREDNS'] ?? '/usr/bin/coredns'

interface Peer {
  readonly name: string
  readonly program: string
  start(folder: string): ChildProcess
}

const quiet = { stdio: 'ignore' } as const
const pinned = (...command: string[]): ChildProcess => spawn('taskset', ['-c', '0', ...command], quiet)

/** The names of the cluster, below its zone. */
const records: readonly string[] = [
  ...Array.from({ length: services }, (_, n) => [`svc-${n}.default.svc 5 IN A ${address(n)}`, `_http._tcp.svc-${n}.default.svc 5 IN SRV 0 100 80 svc-${n}.default.svc.${zone}.`]).flat(),
  ...Array.from({ length: endpoints }, (_, n) => `big.default.svc 5 IN A 10.200.0.${n}`),
]
const zoneFile = `$ORIGIN ${zone}.\n$TTL 5\n@ IN SOA ns.dns hostmaster 1 7200 1800 86400 5\n@ IN NS ns.dns\nns.dns IN A 127.0.0.1\n${records.join('\n')}\n`
const elsewhereFile = `$ORIGIN example.test.\n$TTL 300\n@ IN SOA ns hostmaster 1 7200 1800 86400 5\n@ IN NS ns\nns IN A 127.0.0.1\n${Array.from({ length: elsewhere }, (_, n) => `name-${n} IN A 192.0.2.${n & 0xff}`).join('\n')}\n`

function knot(folder: string, name: string, at: number): ChildProcess {
  const base = join(folder, `knot-${at}`)
  execFileSync('mkdir', ['-p', base])
  writeFileSync(join(base, `${name}.zone`), name === zone ? zoneFile : elsewhereFile)
  writeFileSync(join(base, 'knot.conf'), `server:\n  rundir: "${base}"\n  listen: 127.0.0.1@${at}\n  udp-workers: 1\n  tcp-workers: 1\n  background-workers: 1\n  automatic-acl: off\ndatabase:\n  storage: "${base}"\ntemplate:\n  - id: default\n    storage: "${base}"\nzone:\n  - domain: ${name}\n    file: "${name}.zone"\n`)
  return at === port ? pinned('/usr/sbin/knotd', '-c', join(base, 'knot.conf')) : spawn('taskset', ['-c', '1', '/usr/sbin/knotd', '-c', join(base, 'knot.conf')], quiet)
}

const peers: readonly Peer[] = [
  { name: 'fairway', program: process.execPath, start: () => pinned(process.execPath, ownServer, String(services), String(port), String(endpoints), String(upstreamPort)) },
  {
    name: 'unbound', program: '/usr/sbin/unbound',
    start(folder) {
      const data = records.map((record) => `  local-data: "${record.replace(' ', `.${zone}. `)}"\n`).join('')
      writeFileSync(join(folder, 'unbound.conf'), `server:\n  interface: 127.0.0.1@${port}\n  num-threads: 1\n  do-daemonize: no\n  use-syslog: no\n  chroot: ""\n  username: ""\n  pidfile: ""\n  directory: "${folder}"\n  do-not-query-localhost: no\n  module-config: "iterator"\n  incoming-num-tcp: 100\n  local-zone: "${zone}." static\n${data}remote-control:\n  control-enable: no\nforward-zone:\n  name: "example.test."\n  forward-addr: 127.0.0.1@${upstreamPort}\n`)
      return pinned('/usr/sbin/unbound', '-d', '-c', join(folder, 'unbound.conf'))
    },
  },
  { name: 'knot', program: '/usr/sbin/knotd', start: (folder) => knot(folder, zone, port) },
  {
    name: 'coredns', program: coredns,
    start(folder) {
      writeFileSync(join(folder, 'cluster.zone'), zoneFile)
      writeFileSync(join(folder, 'Corefile'), `${zone}:${port} {\n  bind 127.0.0.1\n  file ${join(folder, 'cluster.zone')}\n}\n.:${port} {\n  bind 127.0.0.1\n  cache 300\n  forward . 127.0.0.1:${upstreamPort}\n}\n`)
      return pinned('env', 'GOMAXPROCS=1', coredns, '-quiet', '-conf', join(folder, 'Corefile'))
    },
  },
]

interface Kind {
  readonly name: string
  readonly questions: readonly string[]
  readonly mode: 'udp' | 'tcp'
  /** Who has no such thing. */
  readonly not?: readonly string[]
}

const mixed = Array.from({ length: 20_000 }, (_, n) => (n % 10 === 9 ? `missing-${n}.default.svc.${zone} A` : `svc-${(n * 7919) % services}.default.svc.${zone} A`))
const kinds: readonly Kind[] = [
  { name: 'services, 10 % misses', mode: 'udp', questions: mixed },
  { name: 'SRV', mode: 'udp', questions: Array.from({ length: 10_000 }, (_, n) => `_http._tcp.svc-${(n * 7919) % services}.default.svc.${zone} SRV`) },
  { name: 'services by TCP, 10 % misses', mode: 'tcp', questions: mixed },
  { name: 'headless with 100 endpoints by TCP', mode: 'tcp', questions: [`big.default.svc.${zone} A`] },
  { name: 'forwarded and cached', mode: 'udp', not: ['knot'], questions: Array.from({ length: elsewhere }, (_, n) => `name-${n}.example.test A`) },
]

/** Measures every server that is here. */
export async function bench(): Promise<Figure[]> {
  if (!existsSync('/usr/bin/dnsperf')) throw new Error("Cannot measure DNS: dnsperf is missing; install Debian's package dnsperf (and unbound, knot as peers)")
  const folder = mkdtempSync(join(tmpdir(), 'fairway-dns-bench-'))
  const upstream = existsSync('/usr/sbin/knotd') ? knot(folder, 'example.test', upstreamPort) : undefined
  const found = new Map<string, Measured[]>()
  try {
    kinds.forEach(({ questions }, index) => writeFileSync(join(folder, `questions-${index}`), `${questions.join('\n')}\n`))
    for (let round = 0; round < rounds; round += 1) {
      for (const peer of peers.filter(({ program }) => existsSync(program))) await measurePeer(peer, folder, found)
    }
    return [...found].map(([name, all]) => ({
      name, unit: 'answers per second, ms, MiB',
      values: { perSecond: median(all.map(({ rate }) => rate)), averageMs: median(all.map(({ averageMs }) => averageMs)), lost: Math.max(...all.map(({ lost }) => lost)), residentMiB: median(all.map(({ residentMiB }) => residentMiB)) },
    }))
  } finally {
    if (upstream !== undefined) await end(upstream)
    rmSync(folder, { recursive: true, force: true })
  }
}

interface Measured {
  readonly rate: number
  readonly averageMs: number
  readonly lost: number
  readonly residentMiB: number
}

async function measurePeer(peer: Peer, folder: string, found: Map<string, Measured[]>): Promise<void> {
  const server = peer.start(folder)
  try {
    await answering()
    for (const [index, { name, mode, not = [] }] of kinds.entries()) {
      if (not.includes(peer.name)) continue
      const load = (length: number): string => execFileSync('taskset', ['-c', '1', 'dnsperf', '-s', '127.0.0.1', '-p', String(port), '-m', mode, '-d', join(folder, `questions-${index}`), '-l', String(length), '-c', '16', '-q', '200'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
      if (name.startsWith('forwarded')) load(1)
      const printed = load(seconds)
      const number = (pattern: RegExp): number => Number(pattern.exec(printed)?.[1])
      const residentMiB = Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${server.pid}/status`, 'utf8'))?.[1]) / 1024
      const one = { rate: number(/Queries per second:\s+([\d.]+)/), averageMs: number(/Average Latency \(s\):\s+([\d.]+)/) * 1000, lost: number(/Queries lost:\s+(\d+)/), residentMiB }
      const key = `${name}: ${peer.name}`
      found.set(key, [...(found.get(key) ?? []), one])
    }
  } finally {
    await end(server)
  }
}

async function end(server: ChildProcess): Promise<void> {
  const ended = new Promise((resolve) => server.once('exit', resolve))
  server.kill('SIGTERM')
  await ended
}

async function answering(): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt += 1) {
    try {
      execFileSync('dig', ['@127.0.0.1', '-p', String(port), '+short', '+tries=1', '+time=1', `svc-1.default.svc.${zone}`], { stdio: 'ignore' })
      return
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 100)) // it has not begun to listen
    }
  }
  throw new Error('Cannot measure: the server did not answer within 10 s')
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN
}
