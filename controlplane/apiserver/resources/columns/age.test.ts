import t from 'tap'
import { ageOf, humanDuration } from './age.ts'

t.test('a duration is shown in at most two units, and the coarser the longer it is', (t) => {
  const minute = 60
  const hour = 60 * minute
  const day = 24 * hour
  const year = 365 * day
  const cases: [number, string][] = [
    [-5, '<invalid>'], [-1.5, '0s'], [0, '0s'], [119, '119s'], [120, '2m'], [125, '2m5s'], [9 * minute + 59, '9m59s'], [10 * minute + 30, '10m'],
    [179 * minute, '179m'], [3 * hour, '3h'], [3 * hour + 5 * minute, '3h5m'], [7 * hour + 59 * minute, '7h59m'], [8 * hour + 59 * minute, '8h'], [47 * hour, '47h'],
    [48 * hour, '2d'], [50 * hour, '2d2h'], [7 * day + 23 * hour, '7d23h'], [8 * day + 23 * hour, '8d'], [729 * day, '729d'],
    [2 * year, '2y'], [2 * year + 31 * day, '2y31d'], [8 * year + 3 * day, '8y'],
  ]
  for (const [seconds, shown] of cases) t.equal(humanDuration(seconds * 1000), shown, String(seconds))
  t.end()
})

t.test('a time that is not there is unknown', (t) => {
  t.equal(ageOf(undefined, 0), '<unknown>')
  t.equal(ageOf(null, 0), '<unknown>')
  t.equal(ageOf('1970-01-01T00:00:00Z', 61_000), '61s')
  t.end()
})
