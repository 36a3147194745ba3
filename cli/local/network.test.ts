import t from 'tap'
import { overlaps } from './network.ts'

t.test('prefixes overlap when one holds the other', (t) => {
  const cases: [string, string, boolean][] = [
    ['10.90.0.0/24', '10.90.0.0/24', true],
    ['10.0.0.0/8', '10.90.3.0/24', true],
    ['10.90.3.7/32', '10.90.3.0/24', true],
    ['10.90.3.7', '10.90.3.0/24', true],
    ['10.90.2.0/24', '10.90.3.0/24', false],
    ['10.90.2.0/23', '10.90.3.0/24', true],
    ['192.0.2.0/24', '10.90.0.0/24', false],
    ['0.0.0.0/0', '10.90.0.0/24', true],
    ['255.255.255.255/32', '10.90.0.0/24', false],
  ]
  for (const [one, other, expected] of cases) {
    t.equal(overlaps(one, other), expected, `${one} and ${other}`)
    t.equal(overlaps(other, one), expected, `${other} and ${one}`)
  }
  t.end()
})
