import t from 'tap'
import { patternOf } from './pattern.ts'

t.test("patterns are RE2's", (t) => {
  const cases: readonly (readonly [pattern: string, text: string, found: boolean])[] = [
    ['^a+$', 'aaa', true],
    ['b', 'abc', true],
    ['^(?i)\\.?[a-z_][a-z_0-9]*(\\.[a-z_][a-z_0-9]*)*$', 'Foo.bar', true],
    ['^((?i)january|february)$', 'FEBRUARY', true],
    ['\\Aa\\z', 'a\n', false],
    ['(?P<year>\\d{4})', 'in 2024', true],
    ['^[[:alpha:]]+$', 'abc', true],
    ['^\\pL+$', 'äß', true],
    ['a.b', 'a\nb', false],
    ['(?s)a.b', 'a\nb', true],
    ['^.$', '😀', true],
  ]
  for (const [pattern, text, found] of cases) t.equal(patternOf(pattern)?.test(text), found, `${pattern} in ${JSON.stringify(text)}`)
  for (const wrong of ['(', 'a{1,2000}', '(?=a)', '(a)\\1', '[z-a]', 'x'.repeat(10_001)]) t.equal(patternOf(wrong), undefined, wrong.slice(0, 20))
  t.same(patternOf('[0-9]+')?.findAll('1 22 333'), ['1', '22', '333'])
  t.same(patternOf('[0-9]+')?.findAll('1 22 333', 2), ['1', '22'])
  t.same(patternOf('x*')?.findAll('ab'), ['', '', ''])
  t.end()
})

t.test('no pattern takes longer than the text is long', (t) => {
  // in JavaScript's own expressions this is 2^100000 steps
  t.equal(patternOf('^(a+)+$')?.test(`${'a'.repeat(100_000)}b`), false)
  t.end()
})
