// Sets of fields hold to the laws of sets, whatever the tree.
import { array, assert, constantFrom, property } from 'fast-check'
import t from 'tap'
import { difference, intersection, isEmpty, isFields, pathsOf, union, withParents } from './field-set.ts'
import type { Fields } from './field-set.ts'

const path = array(constantFrom('f:a', 'f:b', 'k:{"name":"x"}', 'v:1'), { minLength: 1, maxLength: 4 })
const paths = array(path, { maxLength: 8 })

/** The set of one path. */
function at([first, ...rest]: readonly string[]): Fields {
  return first === undefined ? {} : { [first]: at(rest) }
}

function setOf(members: readonly (readonly string[])[]): Fields {
  return members.map(at).reduce((sum, one) => union(sum, one), {})
}

const sorted = (fields: Fields): string[] => pathsOf(fields).toSorted()

t.test('a set holds the paths that were put into it, and no others', (t) => {
  assert(property(paths, (members) => {
    const alone = members.flatMap((member) => pathsOf(setOf([member])))
    t.strictSame(sorted(setOf(members)), [...new Set(alone)].toSorted())
  }), { numRuns: 50 })
  t.end()
})

t.test('union, difference and intersection are those of the paths', (t) => {
  assert(property(paths, paths, (left, right) => {
    const [a, b] = [setOf(left), setOf(right)]
    const [inA, inB] = [sorted(a), sorted(b)]
    t.strictSame(sorted(union(a, b)), [...new Set([...inA, ...inB])].toSorted())
    t.strictSame(sorted(difference(a, b)), inA.filter((one) => !inB.includes(one)))
    t.strictSame(sorted(intersection(a, b)), inA.filter((one) => inB.includes(one)))
    t.ok(isEmpty(difference(a, a)) && isFields(union(a, b)))
  }), { numRuns: 100 })
  t.end()
})

t.test('the fields above a member join it, items of lists do not', (t) => {
  t.strictSame(sorted(withParents(setOf([['f:a', 'k:{"name":"x"}', 'f:b']]))), ['.a', '.a[name="x"].b'])
  t.notOk(isFields({ plain: {} }))
  t.end()
})
