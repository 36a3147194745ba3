import t from 'tap'
import { FakeClock } from '../../api/clock.ts'
import { Backoff } from './backoff.ts'

t.test('the first restart is at once, later ones wait twice as long each, and a long life starts it over', async (t) => {
  const clock = new FakeClock()
  const backoff = new Backoff(clock)
  const waits: number[] = []
  for (let restart = 0; restart < 8; restart += 1) {
    const failedAtMs = clock.now()
    const waitMs = backoff.remainingMs('u/main', failedAtMs)
    waits.push(waitMs / 1000)
    await clock.advance(waitMs)
    backoff.next('u/main', failedAtMs)
  }
  t.same(waits, [0, 10, 20, 40, 80, 160, 300, 300])
  await clock.advance(11 * 60_000)
  t.equal(backoff.remainingMs('u/main', clock.now()), 0)
  backoff.forget('u/')
  t.equal(backoff.delayMs('u/main'), 0)
})
