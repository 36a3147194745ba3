// Watches as client-go's reflectors use them, and what they are told when they ask for what is not there.
import t from 'tap'
import { FakeClock, systemClock } from '../../api/clock.ts'
import { WatchCache } from './cache/index.ts'
import type { ResourceDescriptor } from './descriptor.ts'
import type { Sink } from './http.ts'
import { openMemoryStore } from '../store/index.ts'
import type { ApiServer } from './index.ts'
import { builtinResources } from './resources/index.ts'
import { admin, ask, startTestServer } from './test-support/server.ts'
import { Watches } from './watch.ts'

const path = '/api/v1/namespaces/default/configmaps'
const labelled = `${path}?labelSelector=keep%3Dyes`
const configMap = (name: string, keep: string): object => ({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, labels: { keep } } })

interface Event {
  readonly type: string
  readonly object: { readonly metadata: { readonly name: string; readonly resourceVersion: string; readonly annotations?: Record<string, string> }; readonly code?: number; readonly reason?: string; readonly message?: string }
}

async function* events(server: ApiServer, query: string, signal?: AbortSignal): AsyncGenerator<Event> {
  let text = ''
  const { body } = await server.transport(admin)({ method: 'GET', path: query, ...(signal === undefined ? {} : { signal }) })
  for await (const piece of body) {
    text += Buffer.from(piece).toString()
    const lines = text.split('\n')
    text = lines.pop() ?? ''
    for (const line of lines) yield JSON.parse(line) as Event
  }
}

/** client-go's reflector, the streaming kind (reflector.go, watchList): a stream up to the bookmark, then resumed watches. */
class Reflector {
  readonly store = new Map<string, string>()
  #version = ''
  #stop = new AbortController()
  readonly #server: ApiServer
  errors: Event[] = []
  streams = 0

  constructor(server: ApiServer) {
    this.#server = server
  }

  async run(): Promise<void> {
    const { signal } = this.#stop
    let isComplete = false
    while (!signal.aborted) {
      const start = isComplete ? `&resourceVersion=${this.#version}` : '&sendInitialEvents=true&resourceVersionMatch=NotOlderThan'
      const initial = new Map<string, string>()
      try {
        this.streams++
        for await (const { type, object } of events(this.#server, `${labelled}&watch=1&allowWatchBookmarks=true&timeoutSeconds=1${start}`, signal)) {
          const { name, resourceVersion, annotations } = object.metadata
          if (type === 'ERROR') this.errors.push({ type, object })
          else if (type === 'BOOKMARK') {
            if (annotations?.['k8s.io/initial-events-end'] === 'true') {
              this.store.clear()
              for (const [key, value] of initial) this.store.set(key, value)
              isComplete = true
            }
          } else {
            const target = isComplete ? this.store : initial
            if (type === 'DELETED') target.delete(name)
            else target.set(name, resourceVersion)
          }
          this.#version = resourceVersion
        }
      } catch (error) {
        if (!signal.aborted) throw error
      }
    }
  }

  stop(): void {
    this.#stop.abort()
  }
}

t.test('a streaming reflector ends where a list does, over resumed watches and objects that leave the selection', async (t) => {
  const { server } = await startTestServer(t)
  for (let i = 0; i < 10; i++) await ask(server, 'POST', path, configMap(`m-${i}`, 'yes'))
  const reflector = new Reflector(server)
  const running = reflector.run()
  const end = Date.now() + 2300
  for (let i = 0; Date.now() < end; i++) {
    const name = `m-${(i * 7) % 15}`
    const existing = await ask(server, 'GET', `${path}/${name}`)
    if (existing.status === 404) await ask(server, 'POST', path, configMap(name, 'yes'))
    else if (i % 5 === 0) await ask(server, 'DELETE', `${path}/${name}`)
    else await ask(server, 'PATCH', `${path}/${name}`, { metadata: { labels: { keep: i % 3 === 0 ? 'no' : 'yes' } }, data: { i: `${i}` } }, { 'content-type': 'application/merge-patch+json' })
    await new Promise((resolve) => void setTimeout(resolve, 1))
  }
  await ask(server, 'POST', path, configMap('last', 'yes'))
  for (let turn = 0; turn < 200 && !reflector.store.has('last'); turn++) await new Promise((resolve) => void setTimeout(resolve, 10))
  const { items } = (await ask(server, 'GET', labelled)).body as { items: { metadata: { name: string; resourceVersion: string } }[] }
  t.same(Object.fromEntries(reflector.store), Object.fromEntries(items.map(({ metadata }) => [metadata.name, metadata.resourceVersion])))
  t.same(reflector.errors, [])
  t.ok(reflector.streams > 2, 'the watch was resumed')
  reflector.stop()
  await running
})

t.test('a reader and a watch of the future wait a little and are then told so', async (t) => {
  const clock = new FakeClock(Date.now())
  const { server } = await startTestServer(t, { clock })
  const future = 1_000_000
  const asked = ask(server, 'GET', `${path}?resourceVersion=${future}`)
  const watched = (async () => {
    const all: Event[] = []
    for await (const event of events(server, `${path}?watch=1&resourceVersion=${future}`)) all.push(event)
    return all
  })()
  await clock.advance(5000)
  t.match(await asked, { status: 504, body: { reason: 'Timeout', message: /Too large resource version/, details: { causes: [{ reason: 'ResourceVersionTooLarge' }], retryAfterSeconds: 1 } } })
  t.match(await watched, [{ type: 'ERROR', object: { code: 504, reason: 'Timeout' } }])
})

t.test('bookmarks tell a watch to which nothing happens how far it is', async (t) => {
  const clock = new FakeClock(Date.now())
  const { server, store } = await startTestServer(t, { clock })
  const all = events(server, `${path}?watch=1&allowWatchBookmarks=true&fieldSelector=metadata.name%3Dnone`)
  const first = all.next()
  await ask(server, 'POST', path, configMap('a', 'yes'))
  await clock.advance(61_000)
  t.match(await first, { value: { type: 'BOOKMARK', object: { kind: 'ConfigMap', metadata: { resourceVersion: String(await store.currentRevision()) } } } })
  await all.return(undefined)
})

t.test('pages of a list are of one revision while others write, until it is forgotten', async (t) => {
  const { server, store } = await startTestServer(t, { clock: systemClock })
  for (let i = 0; i < 30; i++) await ask(server, 'POST', path, configMap(`p-${String(i).padStart(2, '0')}`, 'yes'))
  type Page = { metadata: { continue?: string; resourceVersion: string; remainingItemCount?: number }; items: { metadata: { name: string } }[] }
  const page = async (token: string): Promise<Page> => (await ask(server, 'GET', `${path}?limit=7&continue=${encodeURIComponent(token)}`)).body as never
  let { metadata, items } = await page('')
  t.equal(metadata.remainingItemCount, 23)
  const [revision, found] = [metadata.resourceVersion, items.map((item) => item.metadata.name)]
  for (let turn = 0; metadata.continue !== undefined; turn++) {
    await ask(server, 'POST', path, configMap(`p-00-new-${turn}`, 'yes'))
    await ask(server, 'DELETE', `${path}/p-${29 - turn}`)
    ;({ metadata, items } = await page(metadata.continue))
    t.equal(metadata.resourceVersion, revision)
    found.push(...items.map((item) => item.metadata.name))
  }
  t.same(found.filter((name) => name.startsWith('p-')), Array.from({ length: 30 }, (_, i) => `p-${String(i).padStart(2, '0')}`))
  const { metadata: late } = await page('')
  await ask(server, 'POST', path, configMap('one-more', 'yes'))
  await store.compact(await store.currentRevision())
  t.match(await ask(server, 'GET', `${path}?limit=7&continue=${encodeURIComponent(late.continue ?? '')}`), { status: 410, body: { reason: 'Expired' } })
})

t.test('a page of the past costs what is on it, not what follows', async (t) => {
  const store = openMemoryStore()
  const range = store.range.bind(store)
  let read = 0
  store.range = async (prefix, options) => {
    const found = await range(prefix, options)
    read += found.entries.length
    return found
  }
  const { server } = await startTestServer(t, { store })
  for (let i = 0; i < 100; i++) await ask(server, 'POST', path, configMap(`p-${i}`, 'yes'))
  const first = (await ask(server, 'GET', `${path}?limit=5`)).body['metadata'] as { continue: string; remainingItemCount: number }
  await ask(server, 'POST', path, configMap('later', 'yes'))
  read = 0
  const { body } = await ask(server, 'GET', `${path}?limit=5&continue=${first.continue}`)
  t.match(body, { metadata: { remainingItemCount: first.remainingItemCount - 5 } })
  t.equal((body['items'] as unknown[]).length, 5)
  t.equal(read, 5)
})

t.test('what is there comes only as fast as a client takes it, with nothing missing, and who takes nothing is given up', async (t) => {
  const { server, store } = await startTestServer(t)
  const big = 'x'.repeat(10_000)
  for (let i = 0; i < 200; i++) await ask(server, 'POST', path, { metadata: { name: `c${i}` }, data: { big } })
  const clock = new FakeClock(Date.now())
  const descriptor = builtinResources().find(({ plural, group }) => plural === 'configmaps' && group === '') as ResourceDescriptor
  const cache = new WatchCache(store, [descriptor])
  await cache.start(() => undefined)
  const watches = new Watches({ cache, clock, random: () => 0 })
  t.teardown(() => {
    watches.close()
    cache.stop()
  })
  const open = async (): Promise<SlowSink> => {
    const sink = new SlowSink()
    const query = new URLSearchParams('watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true')
    const request = { method: 'GET', path, query, headers: {}, peer: {}, signal: new AbortController().signal, readBody: () => Promise.resolve(Buffer.alloc(0)) }
    const info = { isResource: true, path, verb: 'watch', group: '', version: 'v1', resource: 'configmaps', subresource: '', namespace: 'default', name: '', rest: '' }
    const { body } = await watches.open(descriptor, info, request, () => Promise.resolve())
    ;(body as (sink: SlowSink) => void)(sink)
    return sink
  }
  const [slow, dead] = [await open(), await open()]
  t.ok(slow.bytes > 100_000 && slow.bytes < 600_000, `${slow.bytes} bytes of 2 MB are made before any is taken`)
  await ask(server, 'DELETE', `${path}/c7`)
  await ask(server, 'POST', path, { metadata: { name: 'late' } })
  for (let turn = 0; turn < 100 && !slow.text.includes('"late"'); turn++) await slow.take()
  const seen = slow.text.trim().split('\n').map((line) => JSON.parse(line) as Event)
  const end = seen.findIndex(({ type }) => type === 'BOOKMARK')
  t.strictSame(seen.slice(0, end).filter(({ object }) => object.metadata.name.startsWith('c')).length, 200)
  t.strictSame(seen.slice(end + 1).map(({ type, object }) => [type, object.metadata.name]), [['DELETED', 'c7'], ['ADDED', 'late']], 'what happened meanwhile follows, once')
  await clock.advance(61_000)
  t.strictSame([slow.isEnded, dead.isEnded], [false, true])
})

/** A client that takes what was written to it when it is told to. */
class SlowSink implements Sink {
  text = ''
  bytes = 0
  pendingBytes = 0
  isEnded = false
  #wake: (() => void)[] = []

  write(chunk: Uint8Array): void {
    this.text += Buffer.from(chunk).toString()
    this.bytes += chunk.length
    this.pendingBytes += chunk.length
  }

  async take(): Promise<void> {
    this.pendingBytes = 0
    for (const wake of this.#wake.splice(0)) wake()
    await new Promise((resolve) => void setImmediate(resolve))
  }

  drained(): Promise<void> {
    return new Promise((resolve) => void this.#wake.push(resolve))
  }

  end(): void {
    this.isEnded = true
  }
}
