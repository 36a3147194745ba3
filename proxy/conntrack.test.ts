import t from 'tap'
import { FakeClock } from '../api/clock.ts'
import { silentLogger } from '../api/log.ts'
import type { ConntrackFilter } from '../netlink/conntrack.ts'
import { createCleaner } from './conntrack.ts'

const filter = (address: string): ConntrackFilter => ({ protocol: 'udp', originalDestination: { address, port: 53 } })

t.test('what is forgotten within a moment is forgotten together, a failure is tried again, and stopping leaves nothing', async (t) => {
  const clock = new FakeClock()
  const seen: string[][] = []
  let failures = 1
  const cleaner = createCleaner({
    clock, random: () => 0, log: silentLogger,
    async deleteMatching(filters) {
      if (failures-- > 0) throw new Error('no memory')
      seen.push(filters.map(({ originalDestination }) => originalDestination?.address ?? ''))
      return filters.length
    },
  })
  cleaner.add([])
  t.equal(clock.waiting, 0)
  cleaner.add([filter('10.96.0.1')])
  cleaner.add([filter('10.96.0.2')])
  await clock.advance(100)
  t.strictSame(seen, [])
  await clock.advance(1000)
  t.strictSame(seen, [['10.96.0.1', '10.96.0.2']])
  cleaner.add([filter('10.96.0.3')])
  await cleaner.stop()
  t.strictSame(seen.at(-1), ['10.96.0.3'])
  t.equal(clock.waiting, 0)
})

t.test('where changes do not end, looking at the table takes a tenth of the time', async (t) => {
  const clock = new FakeClock()
  const began: number[] = []
  const cleaner = createCleaner({
    clock, random: () => 0, log: silentLogger,
    async deleteMatching() {
      began.push(clock.monotonicMs())
      await clock.sleep(40)
      return 0
    },
  })
  const start = clock.monotonicMs()
  for (let ms = 0; ms < 2000; ms += 10) {
    cleaner.add([filter('10.96.0.1')])
    await clock.advance(10)
  }
  t.strictSame(began.map((at) => at - start), [100, 500, 900, 1300, 1700])
  await Promise.all([cleaner.stop(), clock.advance(100)])
})
