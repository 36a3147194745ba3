import t from 'tap'
import { collectGarbage } from './garbage.ts'

t.test('what is not used any more is given back', async (t) => {
  let used: object[] | undefined = Array.from({ length: 300_000 }, (_, at) => ({ at, text: `element ${at}` }))
  const before = process.memoryUsage()
  t.equal(used.length, 300_000)
  used = undefined
  collectGarbage()
  const after = process.memoryUsage()
  t.ok(before.heapUsed - after.heapUsed > 15 * 2 ** 20, `${before.heapUsed} to ${after.heapUsed} bytes`)
  t.ok(before.heapTotal - after.heapTotal > 15 * 2 ** 20, `${before.heapTotal} to ${after.heapTotal} bytes`)
})
