/**
 * The API server as a process of its own, over TLS and HTTP/2: writes on each store beside raw etcd puts, reads, the way of a
 * change to 1, 100 and 1,000 watchers, memory, start-up, and what a write costs when much is stored already.
 */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { connect } from 'node:http2'
import type { ClientHttp2Session } from 'node:http2'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock } from '../api/clock.ts'
import { parseKubeconfig } from '../api/kubeconfig.ts'
import { EtcdConnection } from '../controlplane/store/etcd/rpc.ts'
import { openSqliteStore } from '../controlplane/store/index.ts'
import { hasEtcd, startEtcd } from '../controlplane/store/test-support/etcd.ts'
import { spread } from './run.ts'
import { grpcPuts } from './test-support/grpc-puts.ts'
import type { Figure } from './run.ts'

const program = new URL('../controlplane/apiserver/test-support/serve.ts', import.meta.url).pathname
const maps = '/api/v1/namespaces/default/configmaps'
const sequentialWrites = 500
const parallelWrites = 4000
const lanes = 32
const reads = 500
const lists = 60
const listed = 5000
const podsInMemory = 50_000
const eventsSent = 150
/** Requests that a noisy client always has under way. */
const noise = 200
const noisyMs = 5000
const watchersAtOnce = [1, 100, 1000]
const watchesPerConnection = 100

interface Served {
  readonly process: ChildProcess
  readonly startedMs: number
  open(): ClientHttp2Session
  stop(): Promise<void>
}

export async function bench(): Promise<Figure[]> {
  const folder = mkdtempSync(join(tmpdir(), 'fairway-bench-api-'))
  try {
    return [...(await writes(folder)), ...(await startUps(folder)), ...(await readsAndMemory(folder)), ...(await besideANoisyOne(folder)), ...(await events(folder)), ...(await costAtSize(folder))]
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

async function serve(dataDir: string, store: string): Promise<Served> {
  mkdirSync(dataDir, { recursive: true })
  const began = performance.now()
  const child = spawn(process.execPath, [program, dataDir, '0', store], { stdio: ['ignore', 'pipe', 'inherit'] })
  const [line] = (await once(child.stdout, 'data')) as [Buffer]
  const startedMs = performance.now() - began
  const { ca, clientCert, clientKey } = parseKubeconfig(readFileSync(join(dataDir, 'admin.conf'), 'utf8'), { directory: dataDir })
  const sessions: ClientHttp2Session[] = []
  return {
    process: child,
    startedMs,
    open: () => {
      const session = connect(`https://127.0.0.1:${line.toString().trim()}`, { ca: ca ?? '', cert: clientCert ?? '', key: clientKey ?? '' })
      session.on('error', () => session.destroy())
      sessions.push(session)
      return session
    },
    stop: async () => {
      for (const session of sessions) session.destroy()
      const gone = once(child, 'exit')
      child.kill('SIGTERM')
      await gone
    },
  }
}

function ask(session: ClientHttp2Session, method: string, path: string, body?: string, headers: Readonly<Record<string, string>> = {}): Promise<number> {
  return new Promise((resolve, reject) => {
    const stream = session.request({ ':method': method, ':path': path, 'content-type': 'application/json', accept: 'application/json', ...headers })
    let status = 0
    stream.on('response', (headers) => (status = headers[':status'] ?? 0))
    stream.on('end', () => (status < 300 ? resolve(status) : reject(new Error(`Cannot measure ${method} ${path}: status ${status}`))))
    stream.on('error', reject)
    stream.resume()
    stream.end(body)
  })
}

/** A ConfigMap of 1 KB. */
const configMap = (name: string): string => JSON.stringify({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name }, data: { value: 'x'.repeat(900) } })

async function perSecond(count: number, width: number, work: (i: number) => Promise<unknown>): Promise<number> {
  let next = 0
  const began = performance.now()
  await Promise.all(Array.from({ length: width }, async () => {
    while (next < count) await work(next++)
  }))
  return count / ((performance.now() - began) / 1000)
}

async function createsOn(dataDir: string, store: string): Promise<Record<string, number>> {
  const served = await serve(dataDir, store)
  try {
    const session = served.open()
    const create = (prefix: string) => (i: number) => ask(session, 'POST', maps, configMap(`${prefix}-${i}`))
    await perSecond(1000, lanes, create('warm'))
    return { sequential: await perSecond(sequentialWrites, 1, create('one')), [`${lanes}-way`]: await perSecond(parallelWrites, lanes, create('many')) }
  } finally {
    await served.stop()
  }
}

async function writes(folder: string): Promise<Figure[]> {
  const unit = 'per second'
  const figures: Figure[] = []
  for (const store of ['sqlite', 'memory']) figures.push({ name: `${store}: creates of 1 KB`, unit, values: await createsOn(join(folder, `writes-${store}`), store) })
  if (!hasEtcd) return figures
  const [member] = await startEtcd(folder)
  if (member === undefined) return figures
  try {
    const connection = new EtcdConnection([member.url], {}, systemClock)
    const usual = grpcPuts(member.url)
    const value = Buffer.alloc(1024, 'x')
    const clients = {
      'the usual gRPC client (@grpc/grpc-js)': usual.put,
      'our own': (key: Buffer) => connection.call('Txn', { success: [{ request_put: { key, value } }] }),
    }
    for (const [name, put] of Object.entries(clients)) {
      const keyed = (prefix: string) => (i: number) => put(Buffer.from(`/${name}/${prefix}/${i}`), value)
      await perSecond(1000, lanes, keyed('warm'))
      figures.push({ name: `etcd: raw puts of 1 KB by ${name}`, unit, values: { sequential: await perSecond(sequentialWrites, 1, keyed('one')), [`${lanes}-way`]: await perSecond(parallelWrites, lanes, keyed('many')) } })
    }
    usual.close()
    connection.close()
    figures.push({ name: 'etcd: creates of 1 KB', unit, values: await createsOn(join(folder, 'writes-etcd'), `etcd=${member.url}`) })
  } finally {
    await member.kill()
  }
  return figures
}

async function startUps(folder: string): Promise<Figure[]> {
  const dataDir = join(folder, 'start')
  const [first, again]: [number[], number[]] = [[], []]
  for (let turn = 0; turn < 5; turn++) {
    rmSync(dataDir, { recursive: true, force: true })
    for (const times of [first, again]) {
      const served = await serve(dataDir, 'sqlite')
      times.push(served.startedMs)
      await served.stop()
    }
  }
  return [
    { name: 'start of the process to ready, empty directory', unit: 'ms', values: spread(first) },
    { name: 'start of the process to ready, restart', unit: 'ms', values: spread(again) },
  ]
}

/** A pod as a Deployment makes it, of about 2 KB. */
function podOf(i: number): Record<string, unknown> {
  const container = { name: 'main', image: 'busybox:1', env: Array.from({ length: 10 }, (_, n) => ({ name: `VARIABLE_${n}`, value: `value ${n} of pod ${i}` })), resources: { requests: { cpu: '100m', memory: '64Mi' } }, terminationMessagePath: '/dev/termination-log', terminationMessagePolicy: 'File', imagePullPolicy: 'IfNotPresent' }
  const spec = { containers: [container], nodeName: `node-${i % 100}`, restartPolicy: 'Always', dnsPolicy: 'ClusterFirst', schedulerName: 'default-scheduler', serviceAccountName: 'default', terminationGracePeriodSeconds: 30, securityContext: {} }
  const status = { phase: 'Running', podIP: `10.244.${i % 100}.${(i >> 8) % 250}`, conditions: ['Initialized', 'Ready', 'ContainersReady', 'PodScheduled'].map((type) => ({ type, status: 'True', lastTransitionTime: '2026-01-01T00:00:00Z' })) }
  return { kind: 'Pod', apiVersion: 'v1', metadata: { name: nameOf(i), namespace: 'default', uid: `00000000-0000-4000-8000-${String(i).padStart(12, '0')}`, creationTimestamp: '2026-01-01T00:00:00Z', labels: { app: `app-${i % 50}`, 'pod-template-hash': '5d4f8c7b9' } }, spec, status }
}

const nameOf = (i: number): string => `pod-${String(i).padStart(6, '0')}`

/** Fills a store without a server before it. */
async function fill(dataDir: string, count: number, objectOf: (i: number) => [key: string, object: unknown]): Promise<void> {
  const store = openSqliteStore(join(dataDir, 'store'))
  for (let at = 0; at < count; at += 1000) {
    await Promise.all(Array.from({ length: Math.min(1000, count - at) }, (_, i) => {
      const [key, object] = objectOf(at + i)
      return store.create(key, Buffer.from(JSON.stringify(object)))
    }))
  }
  await store.close()
}

const residentMiB = ({ process: { pid } }: Served): number => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024

async function times(count: number, work: (i: number) => Promise<unknown>): Promise<Record<string, number>> {
  const samples: number[] = []
  for (let i = 0; i < count; i++) {
    const began = performance.now()
    await work(i)
    samples.push(performance.now() - began)
  }
  return spread(samples)
}

async function readsAndMemory(folder: string): Promise<Figure[]> {
  const figures: Figure[] = []
  for (const count of [listed, podsInMemory]) {
    const dataDir = join(folder, `pods-${count}`)
    await fill(dataDir, count, (i) => [`/registry/core/pods/default/${nameOf(i)}`, podOf(i)])
    const served = await serve(dataDir, 'sqlite')
    try {
      const session = served.open()
      const list = (): Promise<number> => ask(session, 'GET', '/api/v1/namespaces/default/pods')
      if (count === listed) {
        figures.push({ name: 'get of a pod', unit: 'ms', values: await times(reads, (i) => ask(session, 'GET', `/api/v1/namespaces/default/pods/${nameOf(i)}`)) })
        figures.push({ name: `list of ${listed} pods`, unit: 'ms', values: await times(lists, list) })
      } else {
        await ask(session, 'GET', '/api/v1/namespaces/default/pods?limit=500')
        const values = { started: residentMiB(served), 'after a list': (await list(), residentMiB(served)) }
        figures.push({ name: `memory with ${podsInMemory} pods`, unit: 'MiB', values })
      }
    } finally {
      await served.stop()
    }
  }
  return figures
}

/** What a client waits for one pod while another user does nothing, or as much as it can. */
async function besideANoisyOne(folder: string): Promise<Figure[]> {
  const dataDir = join(folder, 'noise')
  await fill(dataDir, listed, (i) => [`/registry/core/pods/default/${nameOf(i)}`, podOf(i)])
  const served = await serve(dataDir, 'sqlite')
  const quiet = served.open()
  const figures: Figure[] = []
  const measure = async (beside: string): Promise<void> => {
    const samples: number[] = []
    for (const began = performance.now(); performance.now() - began < noisyMs; await systemClock.sleep(5)) {
      const sentMs = performance.now()
      await ask(quiet, 'GET', `/api/v1/namespaces/default/pods/${nameOf(1)}`, undefined, { 'impersonate-user': 'quiet', 'impersonate-group': 'system:masters' })
      samples.push(performance.now() - sentMs)
    }
    figures.push({ name: `get of a pod by a quiet client beside ${beside}`, unit: 'ms', values: spread(samples) })
  }
  const among = async (what: string, work: (session: ClientHttp2Session, i: number) => Promise<unknown>): Promise<void> => {
    const sessions = Array.from({ length: 4 }, () => served.open())
    const stopping = new AbortController()
    let made = 0
    const lanesOfNoise = Promise.all(Array.from({ length: noise }, async (_, lane) => {
      while (!stopping.signal.aborted) await work(sessions[lane % 4] as ClientHttp2Session, made++)
    }))
    await systemClock.sleep(500)
    await measure(`${noise} ${what} at once`)
    stopping.abort()
    await lanesOfNoise
  }
  try {
    await measure('nobody')
    await among('creates', (session, i) => ask(session, 'POST', maps, configMap(`noise-${i}`)))
    await among(`lists of ${listed} pods`, (session) => ask(session, 'GET', '/api/v1/namespaces/default/pods'))
  } finally {
    await served.stop()
  }
  return figures
}

async function events(folder: string): Promise<Figure[]> {
  const figures: Figure[] = []
  for (const count of watchersAtOnce) {
    const served = await serve(join(folder, `events-${count}`), 'sqlite')
    try {
      const samples: number[] = []
      let sentMs = 0
      let told = 0
      let isTold: () => void = () => undefined
      for (let watcher = 0, session = served.open(); watcher < count; watcher++) {
        if (watcher % watchesPerConnection === 0 && watcher > 0) session = served.open()
        const stream = session.request({ ':path': `${maps}?watch=1&resourceVersion=0&fieldSelector=metadata.name!=kube-root-ca.crt` })
        await once(stream, 'response')
        stream.on('data', () => {
          samples.push(performance.now() - sentMs)
          told += 1
          if (told === count) isTold()
        })
      }
      const writer = served.open()
      for (let i = 0; i < eventsSent + 20; i++) {
        told = 0
        const all = new Promise<void>((resolve) => (isTold = resolve))
        if (i === 20) samples.length = 0
        sentMs = performance.now()
        await Promise.all([ask(writer, 'POST', maps, configMap(`event-${i}`)), all])
      }
      figures.push({ name: `create to event, ${count} watcher${count === 1 ? '' : 's'}`, unit: 'ms', values: spread(samples.slice()) })
    } finally {
      await served.stop()
    }
  }
  return figures
}

async function costAtSize(folder: string): Promise<Figure[]> {
  const values: Record<string, number> = {}
  for (const count of [1000, 10_000, 100_000]) {
    const dataDir = join(folder, `size-${count}`)
    await fill(dataDir, count, (i) => [`/registry/core/configmaps/default/kept-${i}`, { kind: 'ConfigMap', apiVersion: 'v1', metadata: { name: `kept-${i}`, namespace: 'default', uid: `${i}`, creationTimestamp: '2026-01-01T00:00:00Z' }, data: { value: 'x'.repeat(900) } }])
    const served = await serve(dataDir, 'sqlite')
    try {
      const session = served.open()
      const create = (prefix: string) => (i: number) => ask(session, 'POST', maps, configMap(`${prefix}-${i}`))
      await perSecond(1000, lanes, create('warm'))
      values[`${count} objects`] = await perSecond(parallelWrites, lanes, create('new'))
    } finally {
      await served.stop()
    }
  }
  return [{ name: `creates ${lanes}-way on SQLite with objects there`, unit: 'per second', values }]
}
