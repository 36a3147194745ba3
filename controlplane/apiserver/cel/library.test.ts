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
  ['object.metadata.?labels.?app.orValue("none")', 'none'],
]

t.test("Kubernetes' functions", (t) => {
  for (const [expression, value] of cases) {
    t.equal(environment.check(expression).valid, true, `${expression} compiles`)
    t.same(environment.evaluate(expression, { object: { metadata: {} } }), value, expression)
  }
  t.end()
})

t.test('what is no quantity, address or URL is an error', (t) => {
  for (const expression of ['quantity("x")', 'ip("10.0.0")', 'cidr("10.0.0.0")', 'url("../up")', '[].min()', '"%s".format([])']) t.throws(() => void environment.evaluate(expression, { object: {} }), expression)
  t.end()
})
