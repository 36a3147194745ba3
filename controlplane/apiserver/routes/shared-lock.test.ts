// What only one server may do at a time, however long it takes.
import t from 'tap'
import { FakeClock } from '../../../api/clock.ts'
import { openMemoryStore } from '../../store/index.ts'
import type { Store } from '../../store/index.ts'
import { WatchCache } from '../cache/index.ts'
import { SharedStore } from './shared-store.ts'

t.test('a lock is held as long as its holder lives, and no longer', async (t) => {
  const memory = openMemoryStore()
  t.teardown(() => memory.close())
  const store = new Proxy(memory, { get: (target, name) => (name === 'isShared' ? true : typeof target[name as keyof Store] === 'function' ? (target[name as keyof Store] as () => unknown).bind(target) : target[name as keyof Store]) })
  const clock = new FakeClock()
  const cache = new WatchCache(memory, [])
  await cache.start((error) => t.fail(error.message))
  t.teardown(() => cache.stop())
  const [first, second, dead] = [1, 2, 3].map(() => new SharedStore(store, cache, clock)) as [SharedStore, SharedStore, SharedStore]
  const done: string[] = []
  const slow = Promise.withResolvers<void>()
  const mine = first.alone('services', async () => {
    await slow.promise
    done.push('first')
  })
  await clock.advance(10)
  const theirs = second.alone('services', () => Promise.resolve(void done.push('second')))
  for (let i = 0; i < 200; i++) await clock.advance(100)
  t.same(done, [], 'twenty seconds are not too long')
  slow.resolve()
  await mine
  for (let i = 0; i < 10; i++) await clock.advance(100)
  await theirs
  t.same(done, ['first', 'second'])
  // A server that has died renews nothing.
  await memory.create('/registry/locks/services', Buffer.from('dead'))
  const next = dead.alone('services', () => Promise.resolve(void done.push('next')))
  for (let i = 0; i < 80; i++) await clock.advance(100)
  await next
  t.same(done, ['first', 'second', 'next'])
})
