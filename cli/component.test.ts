import t from 'tap'
import type { Component } from '../api/component.ts'
import { together } from './component.ts'

function fake(log: string[], name: string): Component & { fail(error: Error): void } {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  return {
    done: promise,
    fail: reject,
    stop: () => {
      log.push(`${name} stopped`)
      resolve()
      return Promise.resolve()
    },
  }
}

t.test('several components stop together, and what is at the end comes last', async (t) => {
  const log: string[] = []
  const all = await together([() => Promise.resolve(fake(log, 'a')), () => Promise.resolve(fake(log, 'b')), { atEnd: () => void log.push('end') }])
  await all.stop()
  await all.done
  t.same(log, ['a stopped', 'b stopped', 'end'])
})

t.test('one that cannot start stops the others, and says why', async (t) => {
  const log: string[] = []
  await t.rejects(together([() => Promise.resolve(fake(log, 'a')), () => Promise.reject(new Error('Cannot listen'))]), /Cannot listen/)
  t.same(log, ['a stopped'])
})

t.test('one that ends by itself ends all, with its reason', async (t) => {
  const broken = fake([], 'a')
  const all = await together([() => Promise.resolve(broken), () => Promise.resolve(fake([], 'b'))])
  const { done } = all
  broken.fail(new Error('Cannot go on'))
  await t.rejects(done, /Cannot go on/)
})
