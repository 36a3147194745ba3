/**
 * A whole local cluster: warm `up`, pod create to Ready, endpoint change to the kernel's maps and to DNS, processor time when idle, and
 * memory. The times are from sending the request to the API server, as a client of it sees them.
 */
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { Client } from '../api/client.ts'
import { httpsTransport } from '../api/https-transport.ts'
import { loadKubeconfig } from '../api/kubeconfig.ts'
import { endpointSlices, pods, services } from '../api/resources.ts'
import type { EndpointSlice, Pod } from '../api/types.ts'
import { hostInits, hostProcesses } from '../cli/local/processes.ts'
import { Netns } from '../netlink/netns.ts'
import { openNftables } from '../netlink/nftables/index.ts'
import { percentile, spread } from './run.ts'
import type { Figure } from './run.ts'

const name = 'bench'
const node = 'node-1'
const namespace = 'default'
const ups = 5
const podCount = 50
const changes = 200
const idleSeconds = 20
const settleSeconds = 10
/** Clock ticks a second in /proc/PID/stat: USER_HZ is 100 on every architecture that we run on. */
const ticksPerSecond = 100

const fairway = new URL('../fairway', import.meta.url).pathname
const watcher = new URL('test-support/dns-watcher.ts', import.meta.url).pathname
const now = (): number => performance.timeOrigin + performance.now()

export async function bench(): Promise<Figure[]> {
  const folder = mkdtempSync(join(tmpdir(), 'fairway-bench-cluster-'))
  const kubeconfig = join(folder, 'kubeconfig')
  const run = (...args: string[]): void => void execFileSync(fairway, args, { env: { ...process.env, KUBECONFIG: kubeconfig }, stdio: ['ignore', 'ignore', 'inherit'] })
  try {
    const upSeconds: number[] = []
    for (let turn = 0; turn < ups; turn += 1) {
      run('down', '--name', name)
      const startedMs = performance.now()
      run('up', '--name', name)
      upSeconds.push((performance.now() - startedMs) / 1000)
    }
    const transport = httpsTransport(loadKubeconfig(kubeconfig))
    const client = new Client(transport)
    const idle = await idleFigures()
    const podFigures = [await podsOneByOne(client), await podsAtOnce(client)]
    const changeFigures = await endpointChanges(client)
    transport.close()
    return [{ name: 'up to both nodes Ready', unit: 's', values: { p50: percentile(upSeconds, 0.5), max: Math.max(...upSeconds), samples: ups } }, ...podFigures, ...changeFigures, ...idle]
  } finally {
    run('down', '--name', name)
    rmSync(folder, { recursive: true })
  }
}

function podOf(podName: string): Pod {
  return { apiVersion: 'v1', kind: 'Pod', metadata: { name: podName, namespace, labels: { app: 'bench' } }, spec: { terminationGracePeriodSeconds: 0, containers: [{ name: 'main', image: 'busybox:1', command: ['tini', '--', 'sleep', 'infinity'] }] } }
}

/** Resolves each pod's name when a watch says that it is Ready. */
async function watchReady(client: Client, signal: AbortSignal, onReady: (podName: string) => void): Promise<void> {
  const { metadata } = await client.list(pods, { namespace })
  void (async () => {
    try {
      for await (const { type, object } of client.watch(pods, { namespace, signal, ...(metadata.resourceVersion === undefined ? {} : { resourceVersion: metadata.resourceVersion }) })) {
        if (type !== 'BOOKMARK' && object.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') === true) onReady(object.metadata.name ?? '')
      }
    } catch (error) {
      if (!signal.aborted) throw error
    }
  })()
}

async function podsOneByOne(client: Client): Promise<Figure> {
  const stop = new AbortController()
  const ready = new Map<string, () => void>()
  await watchReady(client, stop.signal, (podName) => ready.get(podName)?.())
  const samples: number[] = []
  for (let n = 0; n < podCount; n += 1) {
    const podName = `one-${n}`
    const { promise, resolve } = Promise.withResolvers<void>()
    ready.set(podName, resolve)
    const startedMs = performance.now()
    await client.create(pods, podOf(podName))
    await promise
    samples.push(performance.now() - startedMs)
    await client.delete(pods, { namespace, name: podName })
  }
  stop.abort()
  await allGone(client)
  return { name: 'pod create to Ready, one after the other', unit: 'ms', values: spread(samples) }
}

async function podsAtOnce(client: Client): Promise<Figure> {
  const stop = new AbortController()
  const samples: number[] = []
  const waiting = new Set(Array.from({ length: podCount }, (_, n) => `all-${n}`))
  const { promise, resolve } = Promise.withResolvers<void>()
  const startedMs = performance.now()
  await watchReady(client, stop.signal, (podName) => {
    if (!waiting.delete(podName)) return
    samples.push(performance.now() - startedMs)
    if (waiting.size === 0) resolve()
  })
  await Promise.all([...waiting].map((podName) => client.create(pods, podOf(podName))))
  await promise
  stop.abort()
  await Promise.all(Array.from({ length: podCount }, (_, n) => client.delete(pods, { namespace, name: `all-${n}` })))
  await allGone(client)
  return { name: `${podCount} pods created at once, to Ready`, unit: 'ms', values: spread(samples) }
}

async function allGone(client: Client): Promise<void> {
  while ((await client.list(pods, { namespace })).items.length > 0) await sleep(100)
}

/** One slice of two services, one with a cluster IP and one without, changes its address again and again. */
async function endpointChanges(client: Client): Promise<Figure[]> {
  const [toKernel, toDns]: [number[], number[]] = [[], []]
  for (const [service, clusterIP] of [['moving', undefined], ['moving-headless', 'None']] as const) {
    await client.create(services, { apiVersion: 'v1', kind: 'Service', metadata: { name: service, namespace }, spec: { ...(clusterIP === undefined ? {} : { clusterIP }), ports: [{ name: 'http', port: 80 }] } })
    await client.create(endpointSlices, sliceOf(service, 0))
  }
  using netns = Netns.open({ pid: hostInits(name).get(node) ?? 0 })
  using nftables = openNftables({ netns })
  let onTransaction = (): void => undefined
  const listening = nftables.listen(() => onTransaction())
  const dns = spawn('nsenter', [`--target=${hostInits(name).get(node) ?? 0}`, '--net', '--', process.execPath, watcher, '10.96.0.10', 'moving-headless.default.svc.cluster.local'], { stdio: ['ignore', 'pipe', 'inherit'] })
  let onAnswer = (_at: number, _addresses: string): void => undefined
  createInterface({ input: dns.stdout }).on('line', (line) => onAnswer(Number(line.split(' ')[0]), line.slice(line.indexOf(' ') + 1)))
  await sleep(1000)
  for (let turn = 1; turn <= changes; turn += 1) {
    toKernel.push(await timed((done) => (onTransaction = () => done(now())), () => client.update(endpointSlices, sliceOf('moving', turn))))
    toDns.push(await timed((done) => (onAnswer = (at, addresses) => { if (addresses === addressOf(turn)) done(at) }), () => client.update(endpointSlices, sliceOf('moving-headless', turn))))
  }
  listening.close()
  dns.kill()
  await once(dns, 'exit')
  return [
    { name: 'endpoint change to the kernel', unit: 'ms', values: spread(toKernel) },
    { name: 'endpoint change to a DNS answer', unit: 'ms', values: spread(toDns) },
  ]
}

async function timed(arm: (done: (at: number) => void) => void, act: () => Promise<unknown>): Promise<number> {
  const { promise, resolve } = Promise.withResolvers<number>()
  arm(resolve)
  const startedMs = now()
  await act()
  return (await promise) - startedMs
}

function addressOf(turn: number): string {
  return `10.244.200.${1 + (turn % 250)}`
}

function sliceOf(service: string, turn: number): EndpointSlice {
  return {
    apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice', metadata: { name: `${service}-slice`, namespace, labels: { 'kubernetes.io/service-name': service } },
    addressType: 'IPv4', ports: [{ name: 'http', port: 8080, protocol: 'TCP' }], endpoints: [{ addresses: [addressOf(turn)], conditions: { ready: true } }],
  }
}

interface OwnProcess {
  readonly pid: number
  readonly what: string
}

/** Fairway's own programs of all hosts: servers, agents, DNS; not the container engines. */
function ownProcesses(): OwnProcess[] {
  return hostProcesses(name).flatMap(({ pid, host }) => {
    const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')
    const at = words.findIndex((word) => word.endsWith('/cli/main.ts'))
    return at > 0 && words[0] === process.execPath ? [{ pid, what: `${words[at + 1] ?? ''} of ${host}` }] : []
  })
}

async function idleFigures(): Promise<Figure[]> {
  await sleep(settleSeconds * 1000)
  const processes = ownProcesses()
  const before = processes.map(({ pid }) => ticks(pid))
  await sleep(idleSeconds * 1000)
  const shares = processes.map(({ pid, what }, index): [string, number] => [what, ((ticks(pid) - (before[index] ?? 0)) / ticksPerSecond / idleSeconds) * 100])
  const resident = processes.map(({ pid, what }): [string, number] => [what, kibibytes(`/proc/${pid}/status`, 'VmRSS') / 1024])
  const proportional = processes.map(({ pid, what }): [string, number] => [what, kibibytes(`/proc/${pid}/smaps_rollup`, 'Pss') / 1024])
  return [
    { name: 'processor when idle', unit: '% of a core', values: withSum(shares) },
    { name: 'resident memory', unit: 'MiB', values: withSum(resident) },
    { name: 'memory with shared pages divided among those that share them (PSS)', unit: 'MiB', values: withSum(proportional) },
  ]
}

function withSum(values: readonly [string, number][]): Record<string, number> {
  return { ...Object.fromEntries(values), all: values.reduce((sum, [, value]) => sum + value, 0) }
}

function ticks(pid: number): number {
  // The fields after the name in parentheses: user time is the 12th of them, system time the 13th (proc(5)).
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\) /s, '').split(' ')
  return Number(fields[11]) + Number(fields[12])
}

function kibibytes(file: string, field: string): number {
  return Number(new RegExp(`^${field}:\\s+(\\d+)`, 'm').exec(readFileSync(file, 'utf8'))?.[1] ?? 0)
}
