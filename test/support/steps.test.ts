import t from 'tap'
import { TapCounter } from './steps.ts'

function count(stream: string): TapCounter {
  const counter = new TapCounter()
  for (const line of stream.split('\n')) counter.line(line)
  return counter
}

t.test('the tests of a file are counted, not its assertions and not the file', (t) => {
  const counter = count(`TAP version 14
# Subtest: a.test.ts
    # Subtest: adds
        ok 1 - should be equal
        ok 2 - should be equal
        1..2
    ok 1 - adds # time=1ms
    not ok 2 - subtracts # time=1ms
      ---
      diff: 1 instead of 2
      ...
    ok 3 - divides # SKIP no root
    1..3
not ok 1 - a.test.ts # time=9ms`)
  t.equal(counter.passed, 1)
  t.equal(counter.failed, 1)
  t.same(counter.skipped, ['divides # SKIP no root'])
  t.match(counter.diagnosis.join('\n'), /subtracts[\s\S]*diff: 1 instead of 2/)
  t.end()
})

t.test('a file that fails outside of its tests counts as failed', (t) => {
  const counter = count('not ok 1 - could not load b.test.ts\n')
  t.equal(counter.failed, 1)
  t.end()
})
