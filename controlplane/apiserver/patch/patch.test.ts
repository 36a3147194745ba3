// Patches that would grow without end or take time beyond measure, and strategic merges of lists as they come out.
import t from 'tap'
import { jsonPatch } from './merge.ts'
import { strategicMerge } from './strategic.ts'

t.test('a list that is copied into itself again and again is refused before it grows', (t) => {
  const copies = Array.from({ length: 64 }, () => ({ op: 'copy', from: '/list', path: '/list/-' }))
  t.throws(() => jsonPatch({ list: ['x'.repeat(1000)] }, copies), { code: 413, message: /accumulated size increase of copy/ })
  t.same(jsonPatch({ list: ['x'] }, copies.slice(0, 1)), { list: ['x', ['x']] })
  for (const [from, path] of [['no pointer', '/a'], ['/none', '/a'], [7, '/a'], ['/list', 'no pointer']]) t.throws(() => jsonPatch({ list: [] }, [{ op: 'copy', from, path }]), { code: 422 }, `${from} to ${path}`)
  t.end()
})

const count = 30_000
const names = Array.from({ length: count }, (_, i) => `e${i}`)

t.test('long lists are merged, emptied and put in order in time', { timeout: 10_000 }, (t) => {
  const env = names.map((name) => ({ name, value: 'a' }))
  const pod = { spec: { containers: [{ name: 'c', env }] }, metadata: { finalizers: names } }
  const patchOf = (more: object): object => ({ spec: { containers: [{ name: 'c', ...more }] } })
  type Merged = { spec: { containers: [{ env: { name: string; value: string }[] }] }; metadata: { finalizers: string[] } }
  const merged = strategicMerge('Pod', pod, patchOf({ env: env.map(({ name }) => ({ name, value: 'b' })) })) as Merged
  t.ok(merged.spec.containers[0].env.length === count && merged.spec.containers[0].env.every(({ value }) => value === 'b'))
  const turned = strategicMerge('Pod', pod, patchOf({ '$setElementOrder/env': env.toReversed().map(({ name }) => ({ name })) })) as Merged
  t.same(turned.spec.containers[0].env[0], { name: names.at(-1), value: 'a' })
  const emptied = strategicMerge('Pod', pod, patchOf({ env: env.map(({ name }) => ({ name, $patch: 'delete' })) })) as Merged
  t.same(emptied.spec.containers[0].env, [])
  t.same((strategicMerge('Pod', pod, { metadata: { '$deleteFromPrimitiveList/finalizers': names.slice(1) } }) as Merged).metadata.finalizers, ['e0'])
  t.equal((strategicMerge('Pod', pod, { metadata: { finalizers: [...names, 'new'] } }) as Merged).metadata.finalizers.length, count + 1)
  t.end()
})

t.test('an item is deleted and made anew within one patch, and its like are kept apart', (t) => {
  const pod = { spec: { containers: [{ name: 'c', ports: [{ containerPort: 80, name: 'a' }, { containerPort: 81 }] }] } }
  const patch = { spec: { containers: [{ name: 'c', ports: [{ containerPort: 80, $patch: 'delete' }, { containerPort: 80, name: 'b' }] }] } }
  t.same(strategicMerge('Pod', pod, patch), { spec: { containers: [{ name: 'c', ports: [{ containerPort: 81 }, { containerPort: 80, name: 'b' }] }] } })
  t.end()
})
