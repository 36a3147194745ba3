// kill -9 of the server in the middle of writes from many clients: what was acknowledged is there, and a watch resumes where it was.
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { connect } from 'node:http2'
import type { ClientHttp2Session } from 'node:http2'
import { join } from 'node:path'
import t from 'tap'
import { parseKubeconfig } from '../../api/kubeconfig.ts'
import { hasEtcd, startEtcd } from '../store/test-support/etcd.ts'

const program = new URL('test-support/serve.ts', import.meta.url).pathname
const path = '/api/v1/namespaces/default/configmaps'
const lanes = 32
/** Acknowledged writes between kills; FAIRWAY_SOAK=1 makes it twenty times as many. */
const writesMin = process.env['FAIRWAY_SOAK'] === '1' ? 20_000 : 1200
const kills = 3

t.setTimeout(280_000)

interface Told {
  readonly revision: number
  readonly name: string
}

/** A server that is killed and started again on the same port, and one watch that always goes on from what it has seen last. */
class Crashing {
  readonly #dataDir: string
  readonly #store: string
  #child: ChildProcess | undefined
  #port = '0'
  #session: ClientHttp2Session | undefined
  readonly told: Told[] = []
  readonly errors: unknown[] = []

  constructor(dataDir: string, store: string) {
    this.#dataDir = dataDir
    this.#store = store
  }

  async start(): Promise<void> {
    this.#child = spawn(process.execPath, [program, this.#dataDir, this.#port, this.#store], { stdio: ['ignore', 'pipe', 'inherit'] })
    const [line] = (await once(this.#child.stdout as NodeJS.ReadableStream, 'data')) as [Buffer]
    this.#port = line.toString().trim()
    const { ca, clientCert, clientKey } = parseKubeconfig(readFileSync(join(this.#dataDir, 'admin.conf'), 'utf8'), { directory: '/' })
    this.#session = connect(`https://127.0.0.1:${this.#port}`, { ca: ca ?? '', cert: clientCert ?? '', key: clientKey ?? '' })
    this.#session.on('error', () => this.#session?.destroy())
    this.#watch(this.#session)
  }

  async kill(): Promise<void> {
    const gone = once(this.#child as ChildProcess, 'exit')
    this.#child?.kill('SIGKILL')
    await gone
    this.#session?.destroy()
  }

  /** The body of an answer, or undefined when none came: then nobody knows whether it happened. */
  ask(method: string, at: string, body?: string): Promise<Record<string, unknown> | undefined> {
    return new Promise((resolve) => {
      if (this.#session === undefined || this.#session.destroyed) return resolve(undefined)
      const stream = this.#session.request({ ':method': method, ':path': at, 'content-type': 'application/json', accept: 'application/json' })
      let text = ''
      let isOk = false
      stream.on('response', (headers) => (isOk = (headers[':status'] ?? 500) < 300))
      stream.setEncoding('utf8').on('data', (piece: string) => (text += piece))
      stream.on('end', () => resolve(isOk ? (JSON.parse(text) as Record<string, unknown>) : undefined))
      stream.on('error', () => resolve(undefined)).on('close', () => resolve(undefined))
      stream.end(body)
    })
  }

  #watch(session: ClientHttp2Session): void {
    const last = this.told.at(-1)
    const stream = session.request({ ':path': `${path}?watch=1&resourceVersion=${last === undefined ? '0' : last.revision}` })
    let text = ''
    stream.on('error', () => stream.destroy())
    stream.setEncoding('utf8').on('data', (piece: string) => {
      const lines = (text + piece).split('\n')
      text = lines.pop() ?? ''
      for (const line of lines) {
        const { type, object } = JSON.parse(line) as { type: string; object: { metadata: { name: string; resourceVersion: string } } }
        if (type === 'ADDED' || type === 'MODIFIED') this.told.push({ revision: Number(object.metadata.resourceVersion), name: object.metadata.name })
        else this.errors.push(object)
      }
    })
  }
}

async function survive(t: Tap.Test, dataDir: string, store: string, between = writesMin): Promise<void> {
  const server = new Crashing(dataDir, store)
  await server.start()
  t.teardown(() => server.kill())
  const acknowledged = new Map<string, number>()
  const stopping = new AbortController()
  const write = async (lane: number): Promise<void> => {
    for (let i = 0; !stopping.signal.aborted; i++) {
      const name = `lane-${lane}-${i}`
      const answer = await server.ask('POST', path, JSON.stringify({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name }, data: { i: `${i}` } }))
      if (answer !== undefined) acknowledged.set(name, Number((answer['metadata'] as { resourceVersion: string }).resourceVersion))
      else await new Promise((resolve) => void setTimeout(resolve, 20))
    }
  }
  const writers = Promise.all(Array.from({ length: lanes }, (_, lane) => write(lane)))
  for (let turn = 1; turn <= kills; turn++) {
    while (acknowledged.size < turn * between) await new Promise((resolve) => void setTimeout(resolve, 5))
    await server.kill()
    await server.start()
  }
  stopping.abort()
  await writers
  const { items } = (await server.ask('GET', path)) as { items: { metadata: { name: string; resourceVersion: string } }[] }
  const there = new Map(items.map(({ metadata }) => [metadata.name, Number(metadata.resourceVersion)]))
  t.same([...acknowledged].filter(([name, revision]) => there.get(name) !== revision), [], `none of ${acknowledged.size} acknowledged writes is lost`)
  const newest = Math.max(...there.values())
  for (let turn = 0; turn < 1000 && (server.told.at(-1)?.revision ?? 0) < newest; turn++) await new Promise((resolve) => void setTimeout(resolve, 10))
  t.same(server.errors, [], 'every watch could be resumed')
  const revisions = server.told.map(({ revision }) => revision)
  t.same(revisions, [...new Set(revisions)].toSorted((a, b) => a - b), 'revisions grow; none was told twice')
  t.same(server.told.map(({ name }) => name).toSorted(), [...there.keys()].toSorted(), 'the watch was told of everything')
}

declare namespace Tap {
  interface Test {
    teardown(callback: () => unknown): void
    same(found: unknown, wanted: unknown, message: string): void
  }
}

t.test('an API server on SQLite that is killed amid writes loses nothing acknowledged, and watches resume', (t) => survive(t, t.testdir(), 'sqlite'))

t.test('an API server on etcd that is killed amid writes loses nothing acknowledged, and watches resume', { skip: !hasEtcd && 'needs etcd (Debian: etcd-server)' }, async (t) => {
  const [member] = await startEtcd(t.testdir({ server: {} }))
  if (member === undefined) throw new Error('Cannot test: there is no etcd')
  t.teardown(() => member.kill())
  await survive(t, `${t.testdirName}/server`, `etcd=${member.url}`, writesMin / 3)
})
