/** Cron schedules: five fields or `@hourly` and the like, in a time zone (robfig/cron's standard parser, which Kubernetes uses). Pure. */

export interface Schedule {
  /** The first time after `afterMs` at which it is due; undefined: never within five years. */
  next(afterMs: number): number | undefined
}

interface Field {
  readonly values: ReadonlySet<number>
  /** Given as `*` or `?`: of the two fields for days, such a one has no say. */
  readonly any: boolean
}

const months = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec']
const weekdays = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat']
const named: Readonly<Record<string, string>> = {
  '@yearly': '0 0 1 1 *', '@annually': '0 0 1 1 *', '@monthly': '0 0 1 * *', '@weekly': '0 0 * * 0', '@daily': '0 0 * * *', '@midnight': '0 0 * * *', '@hourly': '0 * * * *',
}
const minuteMs = 60_000
const hourMs = 60 * minuteMs
const horizonMs = 5 * 366 * 24 * hourMs

/** Reads a schedule. Throws on what is none. */
export function parseSchedule(text: string, timeZone = 'UTC'): Schedule {
  const fail = (why: string): never => {
    throw new Error(`Cannot read schedule ${JSON.stringify(text)}: ${why}`)
  }
  const every = /^@every (?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?$/.exec(text)
  if (every !== null) {
    const periodMs = Number(every[1] ?? 0) * hourMs + Number(every[2] ?? 0) * minuteMs + Number(every[3] ?? 0) * 1000
    return periodMs === 0 ? fail('the period is nothing') : { next: (afterMs) => Math.floor(afterMs / 1000) * 1000 + periodMs }
  }
  const parts = (named[text] ?? text).trim().split(/\s+/)
  if (parts.length !== 5) return fail(`it has ${parts.length} fields instead of five`)
  const [minute = '', hour = '', day = '', month = '', weekday = ''] = parts
  const fields = {
    minute: parseField(minute, 0, 59, [], fail), hour: parseField(hour, 0, 23, [], fail), day: parseField(day, 1, 31, [], fail),
    month: parseField(month, 1, 12, months, fail), weekday: parseField(weekday, 0, 6, weekdays, fail),
  }
  const wall = wallClock(timeZone)
  return { next: (afterMs) => nextTime(fields, wall, afterMs) }
}

function parseField(text: string, low: number, high: number, names: readonly string[], fail: (why: string) => never): Field {
  const values = new Set<number>()
  const read = (word: string): number => {
    const byName = names.indexOf(word.toLowerCase())
    const value = byName >= 0 ? byName + low : /^\d+$/.test(word) ? Number(word) : NaN
    // Sunday is 0, and 7 for those who count from Monday.
    const number = names === weekdays && value === 7 ? 0 : value
    return number >= low && number <= high ? number : fail(`${JSON.stringify(word)} is not within ${low}-${high}`)
  }
  let any = false
  for (const part of text.split(',')) {
    const [range = '', step = '1', ...rest] = part.split('/')
    if (rest.length > 0 || !/^[1-9]\d*$/.test(step)) return fail(`${JSON.stringify(part)} has no whole step`)
    const whole = range === '*' || range === '?'
    any ||= whole && step === '1'
    const [first = '', last, ...more] = range.split('-')
    if (more.length > 0) return fail(`${JSON.stringify(range)} is no range`)
    const from = whole ? low : read(first)
    // `5/15` begins at 5 and goes to the end.
    const to = whole || (last === undefined && part.includes('/')) ? high : read(last ?? first)
    if (from > to) return fail(`${JSON.stringify(range)} ends before it begins`)
    for (let value = from; value <= to; value += Number(step)) values.add(value)
  }
  return { values, any }
}

interface WallTime {
  readonly minute: number
  readonly hour: number
  readonly day: number
  readonly month: number
  readonly weekday: number
}

type WallClock = (ms: number) => WallTime

function wallClock(timeZone: string): WallClock {
  if (timeZone === 'UTC' || timeZone === 'Etc/UTC') {
    return (ms) => {
      const date = new Date(ms)
      return { minute: date.getUTCMinutes(), hour: date.getUTCHours(), day: date.getUTCDate(), month: date.getUTCMonth() + 1, weekday: date.getUTCDay() }
    }
  }
  const format = new Intl.DateTimeFormat('en-US', { timeZone, hourCycle: 'h23', minute: 'numeric', hour: 'numeric', day: 'numeric', month: 'numeric', weekday: 'short' })
  return (ms) => {
    const parts = Object.fromEntries(format.formatToParts(ms).map(({ type, value }) => [type, value]))
    return { minute: Number(parts['minute']), hour: Number(parts['hour']), day: Number(parts['day']), month: Number(parts['month']), weekday: weekdays.indexOf((parts['weekday'] ?? '').toLowerCase()) }
  }
}

interface Fields {
  readonly minute: Field
  readonly hour: Field
  readonly day: Field
  readonly month: Field
  readonly weekday: Field
}

/** Steps over hours that cannot be it, then looks at minutes: shifts of the clock come out right by themselves. */
function nextTime({ minute, hour, day, month, weekday }: Fields, wall: WallClock, afterMs: number): number | undefined {
  const end = afterMs + horizonMs
  for (let ms = (Math.floor(afterMs / minuteMs) + 1) * minuteMs; ms < end;) {
    const now = wall(ms)
    const byDay = day.values.has(now.day)
    const byWeekday = weekday.values.has(now.weekday)
    const dayFits = day.any || weekday.any ? byDay && byWeekday : byDay || byWeekday
    if (!month.values.has(now.month) || !dayFits) ms += now.hour < 21 ? (21 - now.hour) * hourMs - now.minute * minuteMs : (60 - now.minute) * minuteMs
    else if (!hour.values.has(now.hour)) ms += (60 - now.minute) * minuteMs
    else if (!minute.values.has(now.minute)) ms += minuteMs
    else return ms
  }
  return undefined
}
