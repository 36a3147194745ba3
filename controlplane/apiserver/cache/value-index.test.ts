import { array, assert, constantFrom, property, record, uniqueArray } from 'fast-check'
import t from 'tap'
import type { KubeObject, Service } from '../../../api/types.ts'
import { rowNamed } from '../resources/test-support/table.ts'
import { ResourceCache } from './resource-cache.ts'

const addressesOf = (object: KubeObject): readonly string[] => (object as Service).spec.clusterIPs ?? []
const addresses = ['10.96.0.1', '10.96.0.2', '10.96.0.3'] as const

t.test('an index knows after any changes who has what, whenever it is first asked', (t) => {
  const change = record({ name: constantFrom('a', 'b', 'c'), clusterIPs: constantFrom('none', 'delete', 'some'), values: uniqueArray(constantFrom(...addresses), { maxLength: 2 }) })
  assert(property(array(change, { maxLength: 30 }), constantFrom(0, 5, 30), (changes, asked) => {
    const cache = new ResourceCache(rowNamed('services'))
    const model = new Map<string, readonly string[]>()
    for (const [at, { name, clusterIPs, values }] of changes.entries()) {
      if (at === asked) cache.holders(addressesOf, '10.96.0.1')
      const key = `${cache.prefix}default/${name}`
      if (clusterIPs === 'delete') {
        cache.apply(at + 1, key, undefined)
        model.delete(name)
        continue
      }
      const given = clusterIPs === 'none' ? [] : values
      cache.apply(at + 1, key, Buffer.from(JSON.stringify({ metadata: { name, namespace: 'default' }, spec: { clusterIPs: given } })))
      model.set(name, given)
    }
    for (const address of addresses) {
      const expected = [...model].filter(([, given]) => given.includes(address)).map(([name]) => name)
      t.same(cache.holders(addressesOf, address).map(({ name }) => name).toSorted(), expected.toSorted())
    }
  }), { numRuns: 200 })
  t.end()
})
