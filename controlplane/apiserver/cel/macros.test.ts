import t from 'tap'
import { kubernetesEnvironment } from './library.ts'

const environment = kubernetesEnvironment().registerVariable('self', 'dyn')
const self = { a: 1n, list: [1n, 2n], map: { x: 1n, y: 2n } }

const cases: readonly (readonly [expression: string, value: unknown])[] = [
  ['self.?a.optMap(x, x + 1).orValue(0) == 2', true],
  ['self.?none.optMap(x, x + 1).orValue(7) == 7', true],
  ['self.?a.optFlatMap(x, x > 3 ? optional.of(x) : optional.none()).hasValue()', false],
  ['self.list.all(i, v, v == i + 1)', true],
  ['self.list.exists(i, v, i == 1 && v == 1)', false],
  ['self.list.existsOne(i, v, v > 1)', true],
  ['self.map.all(k, v, k == "x" ? v == 1 : v == 2)', true],
  ['self.list.transformList(i, v, v * 10 + i) == [10, 21]', true],
  ['self.map.transformList(k, v, v > 1, k) == ["y"]', true],
  ['self.map.transformMap(k, v, v + 1)["x"] == 2', true],
  ['self.list.map(x, self.list.exists(i, v, v == x + 1)) == [true, false]', true],
  ['self.list.all(v, v > 0) && self.list.exists(v, v == 2)', true],
  ['sets.contains(self.list, [2]) && !sets.contains([2], self.list)', true],
  ['sets.equivalent([1, 2, 2], self.list) && sets.intersects([2, 3], self.list) && !sets.intersects([], self.list)', true],
]

t.test('optional values, comprehensions of two names, sets', (t) => {
  for (const [expression, value] of cases) {
    const { valid, error } = environment.check(expression)
    t.equal(valid, true, `${expression}: ${error?.message ?? ''}`)
    t.same(environment.evaluate(expression, { self }), value, expression)
  }
  t.end()
})

t.test('what is no name is refused', (t) => {
  t.equal(environment.check('self.list.all(1, v, true)').valid, false)
  t.end()
})
