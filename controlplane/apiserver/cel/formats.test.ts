import t from 'tap'
import { kubernetesEnvironment } from './library.ts'

const environment = kubernetesEnvironment().registerVariable('self', 'dyn')
const isWrong = (format: string, text: string): unknown => {
  const expression = `format.${format}().validate(self).hasValue()`
  t.equal(environment.check(expression).valid, true, `${expression}: ${environment.check(expression).error?.message ?? ''}`)
  return environment.evaluate(expression, { self: text })
}

t.test('named formats say what is wrong, or nothing', (t) => {
  const cases: readonly (readonly [format: string, right: string, wrong: string])[] = [
    ['dns1123Label', 'my-name', 'My_name'], ['dns1123Subdomain', 'my.name', 'my..name'], ['dns1035Label', 'a1', '1a'], ['qualifiedName', 'example.com/a', 'a/b/c'], ['labelValue', 'a_b', 'a b'],
    ['dns1123LabelPrefix', 'my-', '-my'], ['dns1123SubdomainPrefix', 'my.name-', '.my'], ['dns1035LabelPrefix', 'my-', '1-'], ['uri', 'https://a/b', 'a b'],
    ['uuid', '01234567-89ab-cdef-0123-456789abcdef', 'x'], ['byte', 'eA==', 'x'], ['date', '2026-01-31', '2026-13-01'], ['datetime', '2026-01-31T00:00:00Z', '2026-01-31'],
  ]
  for (const [format, right, wrong] of cases) t.same([isWrong(format, right), isWrong(format, wrong)], [false, true], format)
  t.equal(environment.evaluate('format.named("dns1123Label").value().validate("A").value()[0].contains("RFC 1123")', { self: '' }), true)
  t.equal(environment.evaluate('format.named("nothing").hasValue()', { self: '' }), false)
  t.end()
})
