import t from 'tap'
import { Client } from './client.ts'
import { FakeClock } from './clock.ts'
import { Informer, objectKey } from './informer.ts'
import type { Change } from './informer.ts'
import { configMaps } from './resources.ts'
import type { ApiRequest, ApiResponse, Transport } from './transport.ts'
import type { ConfigMap } from './types.ts'

/** An API server of one resource, whose watches the test feeds by hand. */
class ScriptedServer {
  readonly requests: string[] = []
  items: ConfigMap[] = []
  revision = '1'
  /** Statuses for the next requests instead of an answer. */
  failures: number[] = []
  #watch: ((line: string | null) => void) | undefined

  readonly transport: Transport = async ({ path, signal }: ApiRequest) => {
    const query = new URL(path, 'http://x').searchParams
    this.requests.push(query.has('watch') ? `watch ${query.get('resourceVersion')}` : 'list')
    const failure = this.failures.shift()
    if (failure !== undefined) return answer(failure, JSON.stringify({ kind: 'Status', code: failure, message: 'scripted' }))
    if (!query.has('watch')) return answer(200, JSON.stringify({ metadata: { resourceVersion: this.revision }, items: this.items }))
    return { status: 200, headers: {}, body: this.#stream(signal) }
  }

  send(type: string, object: unknown): void {
    this.#watch?.(`${JSON.stringify({ type, object })}\n`)
  }

  endWatch(): void {
    this.#watch?.(null)
  }

  async *#stream(signal: AbortSignal | undefined): AsyncGenerator<Uint8Array> {
    const lines: (string | null)[] = []
    let wake = (): void => undefined
    this.#watch = (line) => {
      lines.push(line)
      wake()
    }
    signal?.addEventListener('abort', () => this.#watch?.(null))
    for (;;) {
      const line = lines.shift()
      if (line === null) return
      // In two pieces, as a network would.
      if (line !== undefined) {
        yield Buffer.from(line.slice(0, 9))
        yield Buffer.from(line.slice(9))
      } else await new Promise<void>((resolve) => (wake = resolve))
    }
  }
}

function answer(status: number, text: string): ApiResponse {
  return { status, headers: {}, body: (async function* () { yield Buffer.from(text) })() }
}

function configMap(name: string, resourceVersion: string, data = {}): ConfigMap {
  return { metadata: { namespace: 'default', name, resourceVersion, uid: name }, data }
}

function start(server: ScriptedServer): { clock: FakeClock; informer: Informer<ConfigMap>; seen: string[] } {
  const clock = new FakeClock()
  const informer = new Informer(new Client(server.transport), configMaps, { clock, random: () => 0 })
  const seen: string[] = []
  informer.onChange(({ old, new: next }: Change<ConfigMap>) => {
    const object = next ?? old
    if (object !== undefined) seen.push(`${old === undefined ? 'added' : next === undefined ? 'deleted' : 'changed'} ${objectKey(object)}@${object.metadata.resourceVersion}`)
  })
  informer.start()
  return { clock, informer, seen }
}

t.test('lists, then follows from the revision of the list', async (t) => {
  const server = new ScriptedServer()
  server.items = [configMap('a', '1')]
  server.revision = '5'
  const { clock, informer, seen } = start(server)
  await informer.synced
  await clock.advance(0)
  t.ok(informer.isConnected())
  server.send('ADDED', configMap('b', '6'))
  server.send('MODIFIED', configMap('a', '7'))
  server.send('DELETED', configMap('b', '8'))
  await clock.advance(0)
  t.same(seen, ['added default/a@1', 'added default/b@6', 'changed default/a@7', 'deleted default/b@8'])
  t.same(informer.list().map(objectKey), ['default/a'])
  t.same(server.requests, ['list', 'watch 5'])
  informer.stop()
})

t.test('goes on from the last bookmark when a watch ends', async (t) => {
  const server = new ScriptedServer()
  const { clock, informer } = start(server)
  await informer.synced
  await clock.advance(0)
  server.send('BOOKMARK', { metadata: { resourceVersion: '40' } })
  await clock.advance(0)
  server.endWatch()
  await clock.advance(0)
  t.same(server.requests, ['list', 'watch 1', 'watch 40'])
  informer.stop()
})

t.test('lists again when its revision is gone, and tells what vanished meanwhile', async (t) => {
  const server = new ScriptedServer()
  server.items = [configMap('a', '1'), configMap('b', '1')]
  const { clock, informer, seen } = start(server)
  await informer.synced
  await clock.advance(0)
  server.items = [configMap('b', '1'), configMap('c', '9')]
  server.revision = '9'
  server.send('ERROR', { kind: 'Status', code: 410, reason: 'Expired', message: 'too old' })
  await clock.advance(0)
  t.same(seen, ['added default/a@1', 'added default/b@1', 'deleted default/a@1', 'added default/c@9'])
  t.same(server.requests, ['list', 'watch 1', 'list', 'watch 9'])
  informer.stop()
})

t.test('tries again with growing delays while the server is away, and keeps what it knows', async (t) => {
  const server = new ScriptedServer()
  server.items = [configMap('a', '1')]
  const { clock, informer } = start(server)
  await informer.synced
  await clock.advance(0)
  server.failures = [503, 503, 503]
  server.endWatch()
  await clock.advance(90)
  const before = server.requests.length
  await clock.advance(5000)
  t.ok(server.requests.length > before)
  t.equal(server.failures.length, 0)
  t.ok(informer.get('default', 'a'))
  t.ok(informer.isConnected())
  informer.stop()
})

t.test('says when it must not list, and follows once it may', async (t) => {
  const server = new ScriptedServer()
  server.items = [configMap('a', '1')]
  server.failures = [403]
  const { clock, informer } = start(server)
  await informer.settled
  t.notOk(informer.hasSynced())
  await clock.advance(5000)
  await informer.synced
  t.ok(informer.get('default', 'a'))
  informer.stop()
})

t.test('finds objects by index, also after they moved', async (t) => {
  const server = new ScriptedServer()
  server.items = [configMap('a', '1', { colour: 'red' })]
  const { clock, informer } = start(server)
  informer.addIndex('colour', ({ data = {} }) => [data['colour'] ?? ''])
  await informer.synced
  await clock.advance(0)
  t.equal(informer.byIndex('colour', 'red').length, 1)
  server.send('MODIFIED', configMap('a', '2', { colour: 'blue' }))
  await clock.advance(0)
  t.equal(informer.byIndex('colour', 'red').length, 0)
  t.equal(informer.byIndex('colour', 'blue').length, 1)
  informer.stop()
})

t.test('an index with several objects under a value, and objects under several or twice under one', async (t) => {
  const server = new ScriptedServer()
  const object = (name: string, colours: string, version: string): ConfigMap => ({ metadata: { name, namespace: 'd', uid: name, resourceVersion: version }, data: { colours } })
  server.items = [object('a', 'red red', '1'), object('b', 'red', '2'), object('c', 'red blue', '3')]
  const informer = new Informer(new Client(server.transport), configMaps)
  informer.addIndex('colour', ({ data = {} }) => (data['colours'] ?? '').split(' '))
  informer.start()
  await informer.synced
  const named = (colour: string): string[] => informer.byIndex('colour', colour).map(({ metadata }) => `${metadata.name}${metadata.resourceVersion}`).toSorted()
  t.strictSame([named('red'), named('blue')], [['a1', 'b2', 'c3'], ['c3']])
  await new Promise((resolve) => setImmediate(resolve))
  server.send('MODIFIED', object('a', 'blue blue', '4'))
  server.send('DELETED', object('b', 'red', '5'))
  server.send('MODIFIED', object('c', 'red', '6'))
  await new Promise((resolve) => setTimeout(resolve, 5))
  t.strictSame([named('red'), named('blue'), named('green')], [['c6'], ['a4'], []])
  informer.stop()
})
