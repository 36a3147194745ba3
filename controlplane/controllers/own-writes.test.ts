import t from 'tap'
import { Client } from '../../api/client.ts'
import { FakeClock } from '../../api/clock.ts'
import { Informer } from '../../api/informer.ts'
import { configMaps } from '../../api/resources.ts'
import type { ApiResponse, Transport } from '../../api/transport.ts'
import type { ConfigMap, Status } from '../../api/types.ts'
import { OwnWrites } from './own-writes.ts'

const map = (name: string, resourceVersion: string, uid = name): ConfigMap => ({ metadata: { namespace: 'default', name, uid, resourceVersion } })
const success: Status = { apiVersion: 'v1', kind: 'Status', metadata: {}, status: 'Success', code: 200 }

/** A server that lists what it has now, and whose watch shows what the test sends. */
async function start(): Promise<{ readonly clock: FakeClock; readonly own: OwnWrites<ConfigMap>; readonly live: Map<string, ConfigMap>; readonly lost: string[]; send(type: string, object: ConfigMap): Promise<void>; see(): string[] }> {
  const clock = new FakeClock()
  const live = new Map<string, ConfigMap>([['a', map('a', '1')]])
  let push = (_line: string): void => undefined
  const answer = (status: number, body: unknown): ApiResponse => ({ status, headers: {}, body: (async function* () { yield Buffer.from(JSON.stringify(body)) })() })
  const transport: Transport = async ({ path }) => {
    const url = new URL(path, 'http://x')
    if (url.searchParams.has('watch')) {
      return { status: 200, headers: {}, body: (async function* () { for (;;) yield Buffer.from(await new Promise<string>((resolve) => (push = resolve))) })() }
    }
    const name = /configmaps\/(.+)$/.exec(url.pathname)?.[1]
    if (name === undefined) return answer(200, { metadata: { resourceVersion: '1' }, items: [...live.values()] })
    return live.has(name) ? answer(200, live.get(name)) : answer(404, { kind: 'Status', reason: 'NotFound', code: 404 })
  }
  const client = new Client(transport)
  const informer = new Informer(client, configMaps, { clock, random: () => 0 })
  const lost: string[] = []
  const own = new OwnWrites(informer, { client, clock, onLost: ({ metadata }) => lost.push(metadata.name ?? '') })
  informer.start()
  await informer.synced
  await clock.advance(1)
  own.start()
  return {
    clock, own, live, lost,
    async send(type, object) {
      push(`${JSON.stringify({ type, object })}\n`)
      await clock.advance(1)
    },
    see: () => own.over(informer.list(), () => true).map(({ metadata }) => `${metadata.name}@${metadata.resourceVersion}`).sort(),
  }
}

t.test('a write is seen before the watch shows it, and the watch is believed after', async (t) => {
  const { own, send, see } = await start()
  own.wrote(map('b', '5'))
  own.wrote(map('a', '6'))
  t.same(see(), ['a@6', 'b@5'])
  await send('MODIFIED', map('a', '4'))
  t.same(see(), ['a@6', 'b@5'], 'an older state does not count')
  await send('MODIFIED', map('a', '6'))
  await send('ADDED', map('b', '7'))
  t.same(see(), ['a@6', 'b@7'])
  await send('DELETED', map('b', '8'))
  t.same(see(), ['a@6'])
  own.stop()
})

t.test('what was deleted is not seen again, what is on its way out is', async (t) => {
  const { own, send, see } = await start()
  own.deleted(map('a', '1'), success)
  t.same(see(), [])
  await send('DELETED', map('a', '9'))
  await send('ADDED', map('a', '10', 'another'))
  t.same(see(), ['a@10'])
  const going = map('a', '11', 'another')
  own.deleted(going, { metadata: { ...going.metadata, deletionTimestamp: '2026-01-01T00:00:00Z' } })
  t.same(see(), ['a@11'])
  own.stop()
})

t.test('an answer that comes after the watch changes nothing', async (t) => {
  const { own, send, see, clock } = await start()
  await send('ADDED', map('b', '7'))
  own.wrote(map('b', '5'))
  t.same(see(), ['a@1', 'b@7'])
  own.stop()
  t.equal(clock.waiting, 0)
})

t.test('a write that the watch never shows is looked up: kept while it is there, given up when another removed it', async (t) => {
  const { own, live, lost, see, clock } = await start()
  live.set('b', map('b', '5'))
  own.wrote(map('b', '5'))
  await clock.advance(25_000)
  t.same(see(), ['a@1', 'b@5'])
  live.delete('b')
  await clock.advance(10_000)
  t.same(see(), ['a@1'])
  t.same(lost, ['b'])
  own.stop()
})
