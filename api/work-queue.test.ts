import t from 'tap'
import { FakeClock } from './clock.ts'
import { WorkQueue } from './work-queue.ts'

t.test('a key that is added while it is worked on is worked on once more, never twice at the same time', async (t) => {
  const clock = new FakeClock()
  let running = 0
  let runs = 0
  const queue = new WorkQueue({
    clock, random: () => 0, onError: (error) => t.fail(String(error)), concurrency: 4,
    reconcile: async () => {
      running += 1
      runs += 1
      t.equal(running, 1)
      await clock.sleep(10)
      running -= 1
    },
  })
  queue.add('a')
  queue.add('a')
  await clock.advance(1)
  queue.add('a')
  queue.add('a')
  await clock.advance(100)
  await queue.idle()
  t.equal(runs, 2)
})

t.test('a failing key waits longer each time, and is forgiven once it succeeds', async (t) => {
  const clock = new FakeClock()
  const at: number[] = []
  const errors: string[] = []
  const queue = new WorkQueue({
    clock, random: () => 0, backoff: { initialMs: 10, maxMs: 40 }, onError: (error) => errors.push((error as Error).message),
    reconcile: async () => {
      at.push(clock.monotonicMs())
      if (at.length < 5) throw new Error(`failure ${at.length}`)
    },
  })
  queue.add('a')
  await clock.advance(1000)
  t.same(at, [0, 10, 30, 70, 110])
  t.same(errors, ['failure 1', 'failure 2', 'failure 3', 'failure 4'])
})

t.test('of two delays of one key the shorter counts, and stop drops what waits', async (t) => {
  const clock = new FakeClock()
  const at: number[] = []
  const queue = new WorkQueue({ clock, random: () => 0, onError: () => undefined, reconcile: async () => void at.push(clock.monotonicMs()) })
  queue.addAfter('a', 50)
  queue.addAfter('a', 20)
  queue.addAfter('a', 90)
  await clock.advance(200)
  t.same(at, [20])
  queue.addAfter('b', 10)
  await queue.stop()
  await clock.advance(100)
  t.same(at, [20])
  t.equal(clock.waiting, 0)
})
