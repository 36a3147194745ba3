import { assert, jsonValue, property } from 'fast-check'
import t from 'tap'
import { cloneJson, equalJson } from './object.ts'

t.test('equal JSON is found equal, whatever the order of its keys, and nothing else is', (t) => {
  assert(property(jsonValue(), jsonValue(), (a, b) => {
    t.equal(equalJson(a, cloneJson(a)), true)
    t.equal(equalJson(reversed(a), a), true)
    t.equal(equalJson(a, b), sorted(a) === sorted(b))
  }), { numRuns: 300 })
  t.equal(equalJson({ a: undefined }, {}), true, 'absent and undefined are the same')
  t.equal(equalJson({}, { a: undefined }), true)
  for (const name of ['constructor', 'toString', '__proto__']) {
    const named = JSON.parse(`{"${name}":1}`) as unknown
    t.equal(equalJson(named, {}), false, `${name} is a key like every other`)
    t.equal(equalJson({}, named), false)
    t.equal(equalJson(named, JSON.parse(`{"${name}":1}`)), true)
  }
  t.end()
})

t.test('what lies deep is compared in a time that grows with it alone', (t) => {
  const deep = (depth: number, leaf: unknown): unknown => (depth === 0 ? leaf : { down: deep(depth - 1, leaf), beside: [1] })
  // twice the work at each level would be 2^500 comparisons
  t.equal(equalJson(deep(500, 1), deep(500, 1)), true)
  t.equal(equalJson(deep(500, 1), deep(500, 2)), false)
  t.end()
})

function reversed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(reversed)
  if (value === null || typeof value !== 'object') return value
  const copy: Record<string, unknown> = {}
  for (const [key, item] of Object.entries(value).toReversed()) Object.defineProperty(copy, key, { value: reversed(item), enumerable: true, writable: true, configurable: true })
  return copy
}

/** JSON with sorted keys. */
function sorted(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(sorted).join(',')}]`
  if (value === null || typeof value !== 'object') return JSON.stringify(Object.is(value, -0) ? 0 : value)
  return `{${Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, item]) => `${JSON.stringify(key)}:${sorted(item)}`).join(',')}}`
}
