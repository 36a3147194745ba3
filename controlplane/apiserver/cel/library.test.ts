import t from 'tap'
import { kubernetesEnvironment } from './library.ts'

const environment = kubernetesEnvironment().registerVariable('object', 'dyn')

const cases: readonly (readonly [expression: string, value: unknown])[] = [
  ['[1, 2, 3].isSorted() && ![2, 1].isSorted()', true],
  ['[1, 2, 3].sum()', 6n],
  ['["b", "a"].min()', 'a'],
  ['[1, 5, 2].max()', 5n],
  ['["a", "b", "a"].indexOf("a") == 0 && ["a", "b", "a"].lastIndexOf("a") == 2', true],
  ['"abc 123".find("[0-9]+")', '123'],
  ['"1 22 333".findAll("[0-9]+")', ['1', '22', '333']],
  ['"1 22 333".findAll("[0-9]+", 2)', ['1', '22']],
  ['"hello".charAt(1) + "aXbX".replace("X", "-") + "aXbX".replace("X", "-", 1) + "abc".reverse()', 'ea-b-a-bXcba'],
  ['"%s has %d of %.2f in %s, %x%%".format(["a", 3, 1.5, ["x", 1], 255])', 'a has 3 of 1.50 in [x, 1], ff%'],
  ['quantity("1.5Gi").isGreaterThan(quantity("1Gi"))', true],
  ['quantity("500m").add(quantity("500m")).isInteger() && quantity("2").sub(1).asInteger() == 1', true],
  ['isQuantity("10Mi") && !isQuantity("10Mo") && quantity("1k").compareTo(quantity("1000")) == 0', true],
  ['url("https://example.com:80/a?x=1&x=2").getHost()', 'example.com:80'],
  ['url("https://[::1]:80/a").getHostname() + url("https://a/b%20c").getEscapedPath()', '::1/b%20c'],
  ['url("https://example.com/?x=1&x=2").getQuery()["x"]', ['1', '2']],
  ['isURL("https://a") && !isURL("../up")', true],
  ['ip("10.0.0.1").family() == 4 && ip("::1").isLoopback() && !isIP("10.0.0")', true],
  ['ip.isCanonical("2001:db8::1") && !ip.isCanonical("2001:DB8::1")', true],
  ['cidr("10.0.0.0/8").containsIP("10.1.1.1") && !cidr("10.0.0.0/8").containsCIDR("11.0.0.0/16")', true],
  ['cidr("10.1.2.3/8").masked().prefixLength() == 8 && string(cidr("10.1.2.3/8").ip()) == "10.1.2.3" && isCIDR("::/0")', true],
  ['matches("v1.2", "v[0-9]\\\\.[0-9]") && !"v1".matches("v2")', true],
  ['"Foo.Bar".matches("^(?i)[a-z.]+$") && !"a\\nb".matches("a.b") && "a\\nb" . matches ("(?s)a.b")', true],
  ['cidr("10.1.2.3/8") != cidr("10.1.2.3/8").masked() && cidr("10.0.0.0/8") == cidr("10.1.2.3/8").masked()', true],
  ['ip("::1") == ip("0::1") && ip("10.0.0.1") != ip("10.0.0.2") && quantity("1k") == quantity("1000") && url("https://a/") == url("https://a")', true],
  ['object.metadata.?labels.?app.orValue("none")', 'none'],
]

t.test("Kubernetes' functions", (t) => {
  for (const [expression, value] of cases) {
    t.equal(environment.check(expression).valid, true, `${expression} compiles`)
    t.same(environment.evaluate(expression, { object: { metadata: {} } }), value, expression)
  }
  t.end()
})

t.test('has() of any expression', (t) => {
  const object = { list: [{ name: 'a', none: null }, {}], map: { k: { f: 1 } } }
  const cases: readonly (readonly [expression: string, value: boolean])[] = [
    ['has(object.list) && has (object.map) && !has(object.nothing)', true],
    ['has(object.list[0].name) && !has(object.list[1].name)', true],
    ['has( object.list[0].none )', true],
    ['has(object.map["k"].f) && !has(object.map["k"].g)', true],
    ['has(object.list.filter(x, has(x.name))[0].name)', true],
    ['object.list.exists(has, has.name == "a")', true],
    ['"has(x)" == \'has(x)\' && size("""has(" has(""") == 10 // has(', true],
    ['{"has": 1}.has == 1', true],
  ]
  for (const [expression, value] of cases) {
    t.equal(environment.check(expression).valid, true, `${expression} compiles: ${environment.check(expression).error?.message}`)
    t.equal(environment.evaluate(expression, { object }), value, expression)
  }
  for (const wrong of ['has(object)', 'has(object.list[0])', 'has()', 'has(object.a, object.b)']) t.equal(environment.check(wrong).valid, false, wrong)
  t.throws(() => environment.evaluate('has(object.nothing.name)', { object }), /No such key: nothing/)
  t.end()
})

t.test('what is no quantity, address or URL is an error', (t) => {
  for (const expression of ['quantity("x")', 'ip("10.0.0")', 'cidr("10.0.0.0")', 'url("../up")', '[].min()', '"%s".format([])']) t.throws(() => void environment.evaluate(expression, { object: {} }), expression)
  t.end()
})
