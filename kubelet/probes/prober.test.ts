import t from 'tap'
import { FakeClock } from '../../api/clock.ts'
import type { Container, Pod } from '../../api/types.ts'
import { Prober } from './prober.ts'
import type { ProbedContainer } from './prober.ts'

const pod: Pod = { metadata: { name: 'web', namespace: 'default', uid: 'u' }, spec: { containers: [] } }
const exec = { exec: { command: ['true'] } }

class Bench {
  readonly clock = new FakeClock()
  /** What probes find from now on. */
  healthy = true
  runs = 0
  readonly failures: string[] = []
  changes = 0
  readonly prober = new Prober({
    clock: this.clock,
    run: async () => {
      this.runs += 1
      return { ok: this.healthy, output: this.healthy ? '' : 'no' }
    },
    changed: () => (this.changes += 1),
    failed: (_probed, kind, output) => this.failures.push(`${kind}: ${output}`),
  })

  ensure(container: Partial<Container>, more: Partial<ProbedContainer> = {}): void {
    this.prober.ensure({ pod, podIP: '', containerId: 'c', container: { name: 'main', ...container }, startedAtMs: this.clock.now(), ...more })
  }

  get verdict(): { ready: boolean; started: boolean; unhealthy: boolean } {
    return { ready: this.prober.ready('c'), started: this.prober.started('c'), unhealthy: this.prober.unhealthy('c') !== undefined }
  }
}

t.test('a container without probes is ready as soon as it runs', (t) => {
  const bench = new Bench()
  t.same(bench.verdict, { ready: false, started: false, unhealthy: false }, 'it is not known yet')
  bench.ensure({})
  t.same(bench.verdict, { ready: true, started: true, unhealthy: false })
  t.end()
})

t.test('readiness begins false, follows its probe, and turns at its thresholds', async (t) => {
  const bench = new Bench()
  bench.ensure({ readinessProbe: { ...exec, initialDelaySeconds: 5, periodSeconds: 10, failureThreshold: 2 } })
  await bench.clock.advance(4999)
  t.same([bench.runs, bench.verdict.ready], [0, false])
  await bench.clock.advance(1)
  t.same([bench.runs, bench.verdict.ready, bench.changes], [1, true, 1])
  bench.healthy = false
  await bench.clock.advance(10_000)
  t.equal(bench.verdict.ready, true, 'one failure of two')
  await bench.clock.advance(10_000)
  t.same([bench.verdict.ready, bench.verdict.unhealthy], [false, false], 'and no reason to restart')
  t.same(bench.failures, ['readiness: no', 'readiness: no'])
})

t.test('liveness asks for a restart after its threshold of failures in a row', async (t) => {
  const bench = new Bench()
  bench.ensure({ livenessProbe: { ...exec, periodSeconds: 1, failureThreshold: 3 } })
  await bench.clock.advance(1000)
  bench.healthy = false
  await bench.clock.advance(2000)
  bench.healthy = true
  await bench.clock.advance(1000)
  bench.healthy = false
  await bench.clock.advance(2000)
  t.equal(bench.verdict.unhealthy, false)
  await bench.clock.advance(1000)
  t.equal(bench.prober.unhealthy('c'), 'Container main failed liveness probe, will be restarted')
  const { runs } = bench
  await bench.clock.advance(5000)
  t.equal(bench.runs, runs, 'a container that is to be restarted is not probed any more')
})

t.test('while a startup probe has not passed, the others wait and the container is not ready', async (t) => {
  const bench = new Bench()
  bench.healthy = false
  bench.ensure({ startupProbe: { ...exec, periodSeconds: 1, failureThreshold: 3 }, livenessProbe: { ...exec, periodSeconds: 1, failureThreshold: 1 } })
  await bench.clock.advance(1000)
  t.same(bench.verdict, { ready: false, started: false, unhealthy: false })
  bench.healthy = true
  await bench.clock.advance(1000)
  t.same(bench.verdict, { ready: true, started: true, unhealthy: false })
  bench.healthy = false
  await bench.clock.advance(1000)
  t.equal(bench.prober.unhealthy('c'), 'Container main failed liveness probe, will be restarted')
})

t.test('a startup probe that never passes asks for a restart', async (t) => {
  const bench = new Bench()
  bench.healthy = false
  bench.ensure({ startupProbe: { ...exec, periodSeconds: 1, failureThreshold: 2 } })
  await bench.clock.advance(1000)
  t.equal(bench.prober.unhealthy('c'), 'Container main failed startup probe, will be restarted')
})

t.test('a container that is taken up begins with what was known of it', async (t) => {
  const bench = new Bench()
  bench.ensure({ startupProbe: exec, readinessProbe: { ...exec, failureThreshold: 1 } }, { before: { ready: true, started: true } })
  t.same(bench.verdict, { ready: true, started: true, unhealthy: false })
  bench.healthy = false
  await bench.clock.advance(10)
  t.equal(bench.verdict.ready, false)
})

t.test('what does not run any more is not probed any more, and ending pods keep readiness only', async (t) => {
  const bench = new Bench()
  bench.ensure({ livenessProbe: { ...exec, periodSeconds: 1 }, readinessProbe: { ...exec, periodSeconds: 1 } })
  await bench.clock.advance(0)
  t.equal(bench.runs, 2)
  bench.prober.keepReadinessOnly('c')
  await bench.clock.advance(1000)
  t.equal(bench.runs, 3)
  bench.prober.retain('u', new Set())
  await bench.clock.advance(5000)
  t.equal(bench.runs, 3)
  t.equal(bench.clock.waiting, 0)
})
