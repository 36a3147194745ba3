import t from 'tap'
import { FakeClock } from '../../api/clock.ts'
import { silentLogger } from '../../api/log.ts'
import { followEngine } from './follow.ts'
import type { RuntimeEvent } from './runtime.ts'

t.test('an engine is waited for, followed, and waited for again when it goes away', async (t) => {
  const clock = new FakeClock()
  const abort = new AbortController()
  const seen: string[] = []
  let isAway = true
  let leave = (): void => {}
  const runtime = {
    version: async () => {
      if (isAway) throw new Error('no engine')
      return { runtimeName: 'docker', runtimeVersion: '20', kernelVersion: '', osImage: '', architecture: '' }
    },
    events: async function* events(signal: AbortSignal): AsyncGenerator<RuntimeEvent> {
      yield { kind: 'started', podUid: 'u', containerId: 'c' }
      await new Promise<void>((resolve) => {
        leave = resolve
        signal.addEventListener('abort', () => resolve())
      })
      if (!signal.aborted) throw new Error('it closed the stream of events')
    },
  }
  const ended = followEngine({
    runtime, clock, log: silentLogger, signal: abort.signal,
    up: async ({ runtimeVersion }) => void seen.push(`up ${runtimeVersion}`),
    down: ({ message }) => seen.push(`down: ${message}`),
    happened: ({ kind, podUid }) => seen.push(`${kind} ${podUid}`),
  })
  await clock.advance(50)
  t.same(seen.splice(0), ['down: no engine', 'down: no engine'])
  isAway = false
  await clock.advance(1000)
  t.same(seen.splice(0).sort(), ['started u', 'up 20'])
  leave()
  await clock.advance(0)
  t.same(seen.splice(0), ['down: it closed the stream of events'])
  await clock.advance(1000)
  t.same(seen.splice(0).sort(), ['started u', 'up 20'])
  abort.abort(new Error('over'))
  await clock.advance(0)
  await ended
  t.same(seen, [])
})
