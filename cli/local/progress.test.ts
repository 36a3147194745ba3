import { Writable } from 'node:stream'
import t from 'tap'
import { Progress } from './progress.ts'
import type { Terminal } from './progress.ts'

function terminal(isTTY: boolean): Terminal & { text(): string } {
  const parts: string[] = []
  const stream = new Writable({ write: (part, _encoding, done) => (parts.push(String(part)), done()) })
  return Object.assign(stream, { isTTY, text: () => parts.join('') })
}

t.test('without a terminal each step is one line when it ends, with its time', async (t) => {
  const out = terminal(false)
  let now = 0
  using progress = new Progress(out, () => now)
  const slow = Promise.withResolvers<void>()
  const first = progress.step('slow', async (detail) => {
    await slow.promise
    detail('1 of 2')
  })
  now = 1500
  await progress.step('quick', () => Promise.resolve())
  now = 2500
  slow.resolve()
  await first
  await t.rejects(progress.step('broken', () => Promise.reject(new Error('no'))), /no/)
  t.equal(out.text(), ' ✓ quick (0.0 s)\n ✓ slow 1 of 2 (2.5 s)\n ✗ broken (0.0 s)\n')
})

t.test('on a terminal the lines are drawn over each other and end whole', async (t) => {
  const out = terminal(true)
  {
    using progress = new Progress(out, () => 0)
    await Promise.all([progress.step('one', () => Promise.resolve()), progress.step('two', () => Promise.resolve())])
  }
  t.ok(out.text().endsWith('\u001B[2A\u001B[2K ✓ one (0.0 s)\n\u001B[2K ✓ two (0.0 s)\n'))
})
