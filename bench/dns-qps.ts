/**
 * Answers a second, and the latency at a rate that all can serve: our DNS server as `fairway dns`, and unbound, knot and CoreDNS (`FAIRWAY_COREDNS`, a binary) with the same names
 * where they are installed, in one run, each server on one processor and `dnsperf` on the other. Each kind of question is warmed up first.
 */
import { execFileSync, spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { KubeObject } from '../api/types.ts'
import { saveSnapshot } from '../dns/snapshot.ts'
import { sliceOf } from '../dns/test-support/specification.ts'
import { answering, end, processorSeconds, residentMiB, startDnsProcess, warmCompileCache } from './test-support/dns-process.ts'
import { percentile } from './run.ts'
import type { Figure } from './run.ts'

const services = 5000
const endpoints = 100
const elsewhere = 1000
const seconds = 2
const rounds = Number(process.env['FAIRWAY_DNS_ROUNDS'] ?? 3)
/** Questions a second for the latency. */
const steadyRate = 5000
const port = 5355
const upstreamPort = 5356
const zone = 'cluster.local'
const address = (n: number): string => `10.100.${n >> 8}.${n & 0xff}`
const firstName = `svc-1.default.svc.${zone}`
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

/** The same names as objects. */
function ownObjects(): Record<'services' | 'endpointslices' | 'namespaces', KubeObject[]> {
  const service = (name: string, spec: object): KubeObject => Object.assign({ metadata: { name, namespace: 'default' } }, { spec })
  return {
    namespaces: [{ metadata: { name: 'default' } }],
    services: [...Array.from({ length: services }, (_, n) => service(`svc-${n}`, { clusterIP: address(n), clusterIPs: [address(n)], ports: [{ name: 'http', port: 80, protocol: 'TCP' }] })), service('big', { clusterIP: 'None' })],
    endpointslices: [sliceOf('big', { endpoints: Array.from({ length: endpoints }, (_, n) => ({ addresses: [`10.200.0.${n}`] })) })],
  }
}

const ownOptions = (folder: string): Parameters<typeof startDnsProcess>[0] => ({ folder, port, snapshot: join(folder, 'cluster.snapshot'), upstream: `127.0.0.1:${upstreamPort}`, processor: 0 })

const peers: readonly Peer[] = [
  { name: 'fairway', program: process.execPath, start: (folder) => startDnsProcess(ownOptions(folder)) },
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
  { name: 'headless with 100 endpoints, cut', mode: 'udp', questions: [`big.default.svc.${zone} A`] },
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
    await saveSnapshot(join(folder, 'cluster.snapshot'), { zone: `${zone}.`, currentAt: Date.now(), objects: ownObjects() })
    await warmCompileCache(ownOptions(folder), firstName)
    kinds.forEach(({ questions }, index) => writeFileSync(join(folder, `questions-${index}`), `${questions.join('\n')}\n`))
    for (let round = 0; round < rounds; round += 1) {
      for (const peer of peers.filter(({ program }) => existsSync(program))) await measurePeer(peer, folder, found)
    }
    return [...found].map(([name, all]) => ({
      name, unit: 'answers per second, ms, MiB',
      values: {
        perSecond: median(all.map(({ rate }) => rate)), processorMicros: median(all.map(({ processorMicros }) => processorMicros)), p50Ms: median(all.map(({ p50Ms }) => p50Ms)), p99Ms: median(all.map(({ p99Ms }) => p99Ms)),
        lost: Math.max(...all.map(({ lost }) => lost)), residentMiB: median(all.map((one) => one.residentMiB)),
      },
    }))
  } finally {
    if (upstream !== undefined) await end(upstream)
    rmSync(folder, { recursive: true, force: true })
  }
}

interface Measured {
  readonly rate: number
  /** Of the server's processor for each answer: what an answer costs, however busy the machine is with other things. */
  readonly processorMicros: number
  /** At `steadyRate`. */
  readonly p50Ms: number
  readonly p99Ms: number
  readonly lost: number
  readonly residentMiB: number
}

async function measurePeer(peer: Peer, folder: string, found: Map<string, Measured[]>): Promise<void> {
  const server = peer.start(folder)
  try {
    await answering(port, firstName)
    for (const [index, { name, mode, not = [] }] of kinds.entries()) {
      if (not.includes(peer.name)) continue
      const load = (...more: readonly string[]): string => execFileSync('taskset', ['-c', '1', 'dnsperf', '-s', '127.0.0.1', '-p', String(port), '-m', mode, '-d', join(folder, `questions-${index}`), '-c', '16', '-q', '200', ...more], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'], maxBuffer: 2 ** 28 })
      // Each name twice, however slow the machine is, and then some.
      load('-n', '2')
      load('-l', '1')
      const before = processorSeconds(server)
      const printed = load('-l', String(seconds))
      const usedMicros = (processorSeconds(server) - before) * 1e6
      const number = (pattern: RegExp): number => Number(pattern.exec(printed)?.[1])
      // `> NOERROR svc-1.default.svc.cluster.local A 0.000123`
      const latenciesMs = load('-l', '1', '-Q', String(steadyRate), '-v').split('\n').flatMap((line) => (line.startsWith('> ') ? [Number(line.slice(line.lastIndexOf(' '))) * 1000] : []))
      const one = { rate: number(/Queries per second:\s+([\d.]+)/), processorMicros: usedMicros / number(/Queries completed:\s+(\d+)/), p50Ms: percentile(latenciesMs, 0.5), p99Ms: percentile(latenciesMs, 0.99), lost: number(/Queries lost:\s+(\d+)/), residentMiB: residentMiB(server) }
      const key = `${name}: ${peer.name}`
      found.set(key, [...(found.get(key) ?? []), one])
    }
  } finally {
    await end(server)
  }
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN
}
