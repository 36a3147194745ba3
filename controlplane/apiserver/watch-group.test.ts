import t from 'tap'
import { CacheChange, Entry } from './cache/index.ts'
import type { ResourceCache } from './cache/index.ts'
import { WatchGroup } from './watch-group.ts'
import type { Member } from './watch-group.ts'

/** A group on a resource that changes when it is told to, and members that write down what they get. */
function groupOf() {
  let tell: (change: CacheChange) => void = () => undefined
  const resource = { listen: (listener: typeof tell) => ((tell = listener), () => (tell = () => undefined)) } as unknown as ResourceCache
  const group = new WatchGroup(resource, ({ name }) => name !== 'hidden', (change) => Buffer.from(`${change.revision}`))
  const member = (): Member & { readonly got: string[] } => ({ next: 0, got: [], deliver(line) { this.got.push(line.toString()) } })
  const change = (revision: number, name = 'a'): void => tell(new CacheChange(revision, new Entry(Buffer.alloc(0), '', name, revision, Buffer.alloc(0)), undefined, false))
  return { group, member, change }
}

const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve))

await t.test('few are told at once, and only of what they want', async (t) => {
  const { group, member, change } = groupOf()
  const [early, late] = [member(), member()]
  group.add(early)
  change(1)
  change(2, 'hidden')
  group.add(late)
  change(3)
  t.same([early.got, late.got], [['1', '3'], ['3']])
  group.remove(early)
  change(4)
  t.same([early.got, late.got], [['1', '3'], ['3', '4']])
  group.close()
})

await t.test('many are told in slices, each of everything once and in order, also who comes or goes meanwhile', async (t) => {
  const { group, member, change } = groupOf()
  const many = Array.from({ length: 1000 }, member)
  for (const one of many) group.add(one)
  change(1)
  t.equal(many.filter(({ got }) => got.length > 0).length < 300, true, 'the loop goes on before all are told')
  const late = member()
  group.add(late)
  const gone = many[900] as (typeof many)[number]
  group.remove(gone)
  change(2)
  await turn()
  change(3)
  for (let i = 0; i < 20; i++) await turn()
  t.same(late.got, ['2', '3'], 'not of what it knows already')
  t.same(gone.got, [])
  t.same(many.filter((one) => one !== gone && one.got.join() !== '1,2,3'), [])
  group.close()
})

await t.test('what comes after a change is told after it', async (t) => {
  const { group, member, change } = groupOf()
  const many = Array.from({ length: 1000 }, member)
  for (const one of many) group.add(one)
  change(1)
  group.flush()
  t.same(many.filter(({ got }) => got.length !== 1), [])
  group.close()
})
