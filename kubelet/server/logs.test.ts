import t from 'tap'
import { parseLogQuery } from './logs.ts'
import { RequestError } from './pod-lookup.ts'

const nowMs = Date.UTC(2026, 0, 1)
const parse = (query: string): ReturnType<typeof parseLogQuery> => parseLogQuery(new URLSearchParams(query), nowMs)

t.test('the options of PodLogOptions are read from the query', (t) => {
  t.same(parse(''), { previous: false, limitBytes: Infinity, options: { follow: false, timestamps: false } })
  t.same(parse('follow=true&previous=1&timestamps=true&tailLines=0&limitBytes=9&sinceSeconds=60'), { previous: true, limitBytes: 9, options: { follow: true, timestamps: true, tailLines: 0, sinceMs: nowMs - 60_000 } })
  t.equal(parse('sinceTime=2025-12-31T00:00:00Z').options.sinceMs, nowMs - 86_400_000)
  t.end()
})

t.test('what cannot be meant is refused', (t) => {
  for (const query of ['tailLines=-1', 'limitBytes=x', 'sinceTime=yesterday', 'sinceSeconds=1.5']) t.throws(() => parse(query), RequestError, query)
  t.end()
})
