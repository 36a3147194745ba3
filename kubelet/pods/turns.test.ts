import t from 'tap'
import { Turns } from './turns.ts'

t.test('a few work at a time, later stages before earlier ones, and failures give their turn on', async (t) => {
  const turns = new Turns(2)
  const begun: string[] = []
  const finish = new Map<string, (error?: Error) => void>()
  const work = (stage: number, name: string): Promise<void> => turns.take(stage, () => new Promise((resolve, reject) => {
    begun.push(name)
    finish.set(name, (error) => (error === undefined ? resolve() : reject(error)))
  }))
  const all = [work(0, 'a'), work(0, 'b'), work(0, 'c'), work(1, 'd'), work(1, 'e'), work(0, 'f')]
  const settled = Promise.allSettled(all)
  const end = async (name: string, error?: Error): Promise<void> => {
    finish.get(name)?.(error)
    await new Promise((resolve) => setImmediate(resolve))
  }
  t.same(begun, ['a', 'b'])
  await end('a')
  t.same(begun, ['a', 'b', 'd'])
  await end('b', new Error('it failed'))
  t.same(begun, ['a', 'b', 'd', 'e'])
  for (const name of ['d', 'e', 'c', 'f']) await end(name)
  t.same(begun, ['a', 'b', 'd', 'e', 'c', 'f'])
  t.equal((await settled).filter(({ status }) => status === 'rejected').length, 1)
})
