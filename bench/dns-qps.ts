/**
 * Answers a second and their latency: our DNS server, and unbound and knot with the same names where Debian's packages are installed, one
 * after the other in one run, each server on one processor and `dnsperf` on another. 5,000 services, one question in ten for a name that is not there.
 */
import { execFileSync, spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Figure } from './run.ts'

const services = 5000
const seconds = 5
const rounds = 3
const port = 5355
const zone = 'cluster.local'
const address = (n: number): string => `10.100.${n >> 8}.${n & 0xff}`
const ownServer = new URL('test-support/dns-server.ts', import.meta.url).pathname

interface Peer {
  readonly name: string
  readonly program: string
  start(folder: string): ChildProcess
}

const quiet = { stdio: 'ignore' } as const

const peers: readonly Peer[] = [
  { name: 'fairway', program: process.execPath, start: () => spawn('taskset', ['-c', '0', process.execPath, ownServer, String(services), String(port)], quiet) },
  {
    name: 'unbound', program: '/usr/sbin/unbound',
    start(folder) {
      const data = Array.from({ length: services }, (_, n) => `  local-data: "svc-${n}.default.svc.${zone}. 5 IN A ${address(n)}"\n`).join('')
      writeFileSync(join(folder, 'unbound.conf'), `server:\n  interface: 127.0.0.1@${port}\n  num-threads: 1\n  do-daemonize: no\n  use-syslog: no\n  chroot: ""\n  username: ""\n  pidfile: ""\n  directory: "${folder}"\n  local-zone: "${zone}." static\n${data}remote-control:\n  control-enable: no\n`)
      return spawn('taskset', ['-c', '0', '/usr/sbin/unbound', '-d', '-c', join(folder, 'unbound.conf')], quiet)
    },
  },
  {
    name: 'knot', program: '/usr/sbin/knotd',
    start(folder) {
      const data = Array.from({ length: services }, (_, n) => `svc-${n}.default.svc 5 IN A ${address(n)}\n`).join('')
      writeFileSync(join(folder, `${zone}.zone`), `$ORIGIN ${zone}.\n$TTL 5\n@ IN SOA ns.dns hostmaster 1 7200 1800 86400 5\n@ IN NS ns.dns\nns.dns IN A 127.0.0.1\n${data}`)
      writeFileSync(join(folder, 'knot.conf'), `server:\n  rundir: "${folder}"\n  listen: 127.0.0.1@${port}\n  udp-workers: 1\n  tcp-workers: 1\n  background-workers: 1\n  automatic-acl: off\ndatabase:\n  storage: "${folder}"\ntemplate:\n  - id: default\n    storage: "${folder}"\nzone:\n  - domain: ${zone}\n    file: "${zone}.zone"\n`)
      return spawn('taskset', ['-c', '0', '/usr/sbin/knotd', '-c', join(folder, 'knot.conf')], quiet)
    },
  },
]

/** Measures every server that is here. */
export async function bench(): Promise<Figure[]> {
  if (!existsSync('/usr/bin/dnsperf')) throw new Error("Cannot measure DNS: dnsperf is missing; install Debian's package dnsperf (and unbound, knot as peers)")
  const folder = mkdtempSync(join(tmpdir(), 'fairway-dns-bench-'))
  try {
    const questions = Array.from({ length: 20_000 }, (_, n) => (n % 10 === 9 ? `missing-${n}.default.svc.${zone} A` : `svc-${(n * 7919) % services}.default.svc.${zone} A`))
    writeFileSync(join(folder, 'questions'), `${questions.join('\n')}\n`)
    const rates = new Map<string, number[]>()
    const figures: Figure[] = []
    for (let round = 0; round < rounds; round += 1) {
      for (const peer of peers.filter(({ program }) => existsSync(program))) {
        const { rate, residentMiB } = await measure(peer, folder)
        rates.set(peer.name, [...(rates.get(peer.name) ?? []), rate])
        if (round === rounds - 1) figures.push({ name: `${peer.name}: answers`, unit: 'per second', values: { median: median(rates.get(peer.name) ?? []), residentMiB } })
      }
    }
    return figures
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

async function measure(peer: Peer, folder: string): Promise<{ rate: number; residentMiB: number }> {
  const server = peer.start(folder)
  try {
    await answering()
    const printed = execFileSync('taskset', ['-c', '1', 'dnsperf', '-s', '127.0.0.1', '-p', String(port), '-d', join(folder, 'questions'), '-l', String(seconds), '-c', '16', '-q', '200'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
    const rate = Number(/Queries per second:\s+([\d.]+)/.exec(printed)?.[1])
    return { rate, residentMiB: Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${server.pid}/status`, 'utf8'))?.[1]) / 1024 }
  } finally {
    const ended = new Promise((resolve) => server.once('exit', resolve))
    server.kill('SIGTERM')
    await ended
  }
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
