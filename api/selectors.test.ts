import t from 'tap'
import { formatLabelSelector, matchesLabelSelector, parseLabelSelector } from './selectors.ts'

const labels = { app: 'web', tier: 'front', empty: '' }
const cases: Readonly<Record<string, boolean>> = {
  '': true, 'app=web': true, 'app==web': true, 'app!=web': false, 'missing!=web': true, 'app in (web, db)': true, 'app notin (db)': true, 'missing notin (db)': true,
  'missing in (db)': false, app: true, '!app': false, '!missing': true, 'empty=': true, 'app=web,tier=back': false, 'app in (a,b),tier': false,
}

t.test('selector text means what kubectl users expect', async (t) => {
  for (const [text, expected] of Object.entries(cases)) {
    const selector = parseLabelSelector(text)
    t.equal(matchesLabelSelector(selector, labels), expected, text)
    t.same(parseLabelSelector(formatLabelSelector(selector)), selector, `${text} is read back as it was`)
  }
})

t.test('text that is no selector is refused', async (t) => {
  for (const text of ['a=b=c', 'a in b', '=x', 'a in (', 'a b']) t.throws(() => parseLabelSelector(text), { message: /Cannot read label selector/ }, text)
})

t.test('no selector selects nothing, an empty one everything', async (t) => {
  t.notOk(matchesLabelSelector(undefined, labels))
  t.ok(matchesLabelSelector({}, labels))
})
