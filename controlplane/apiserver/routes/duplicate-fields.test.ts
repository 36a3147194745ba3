import { assert, property, json, string } from 'fast-check'
import t from 'tap'
import { duplicateFields } from './duplicate-fields.ts'

t.test('a field that stands twice is named by its path', (t) => {
  const cases: [text: string, found: string[]][] = [
    ['{"a":1,"a":2}', ['a']],
    ['{"a":{"b":[{"c":1},{"c":1,"d":2,"c":3}]}}', ['a.b[1].c']],
    ['{"a":"\\"a\\":1","a":2}', ['a']],
    ['{"a":1,"\\u0061":2}', ['a']],
    ['{"a":["a","a"],"b":{"a":1}}', []],
    ['{"a":1,"a":2,"a":3}', ['a']],
    ['[{"a":1},{"a":1,"a":1}]', ['[1].a']],
    ['', []],
    ['{"a', []],
    ['{"a":1}}]', []],
  ]
  for (const [text, found] of cases) t.same(duplicateFields(text), found, text)
  t.end()
})

t.test('what was written by JSON.stringify has none, and no text makes it fail', (t) => {
  assert(property(json(), (text) => duplicateFields(text).length === 0))
  assert(property(string(), (text) => Array.isArray(duplicateFields(text))))
  t.end()
})
