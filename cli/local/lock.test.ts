import { spawn } from 'node:child_process'
import { once } from 'node:events'
import t from 'tap'
import { takeLock } from './lock.ts'

const name = `test/${process.pid}`

t.test('the second waits until the first lets go', async (t) => {
  const order: string[] = []
  const first = await takeLock(name)
  const second = takeLock(name, () => order.push('waits')).then((lock) => {
    order.push('has it')
    return lock
  })
  await new Promise((resolve) => setTimeout(resolve, 20))
  t.same(order, ['waits'])
  await first.release()
  await (await second).release()
  t.same(order, ['waits', 'has it'])
})

t.test('a lock goes with the process that holds it, also by SIGKILL', async (t) => {
  const script = `const { takeLock } = await import(${JSON.stringify(new URL('lock.ts', import.meta.url).href)}); await takeLock(${JSON.stringify(name)}); console.log('held'); setInterval(() => 0, 1000)`
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(() => child.kill('SIGKILL'))
  await once(child.stdout, 'data')
  let waited = false
  const waiting = takeLock(name, () => (waited = true))
  await new Promise((resolve) => setTimeout(resolve, 20))
  t.ok(waited)
  child.kill('SIGKILL')
  await (await waiting).release()
})
