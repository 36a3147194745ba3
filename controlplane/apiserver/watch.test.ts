// Watches as client-go's reflectors use them, and what they are told when they ask for what is not there.
import t from 'tap'
import { FakeClock, systemClock } from '../../api/clock.ts'
import type { ApiServer } from './index.ts'
import { admin, ask, startTestServer } from './test-support/server.ts'

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
