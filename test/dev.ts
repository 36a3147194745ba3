/**
 * The development commands behind `npm run check`, `npm test` and `npm run bench`.
 *
 *   dev check          types, lint, tidy and every unit test: what one runs while working
 *   dev test [FILE…]   all of it, then the tests that need namespaces and container engines
 *   dev bench [NAME…]  measurements, printed and recorded in bench/results/
 *   dev strip          the API server without types, for `npm pack`
 *
 * A test file's name says what it needs: `x.test.ts` nothing, `x.kernel.test.ts` root and network
 * namespaces, `x.engine.test.ts` a container engine; `x.slow.test.ts` some seconds, for other programs, crashes or time-outs;
 * `test/e2e/*.test.ts` a whole local cluster.
 */
import { globSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { runStep, runTap, summary } from './support/steps.ts'
import type { Outcome } from './support/steps.ts'

const root = new URL('..', import.meta.url).pathname
const bin = (name: string): string => `${root}node_modules/.bin/${name}`

function testFiles(): { unit: string[]; machine: string[]; e2e: string[] } {
  const all = globSync('**/*.test.ts', { cwd: root, exclude: (name) => name.includes('node_modules') }).sort()
  const e2e = all.filter((file) => file.startsWith('test/e2e/'))
  const machine = all.filter((file) => !e2e.includes(file) && /\.(kernel|engine|slow)\.test\.ts$/.test(file))
  const unit = all.filter((file) => !e2e.includes(file) && !machine.includes(file))
  return { unit, machine, e2e }
}

async function staticChecks(): Promise<Outcome[]> {
  return [
    await runStep('types', bin('tsc'), ['-p', root]),
    await runStep('lint', bin('oxlint'), ['--type-aware', root]),
    await runStep('dead code and dependencies', bin('knip'), ['--directory', root]),
  ]
}

async function check(): Promise<Outcome[]> {
  return [...(await staticChecks()), await runTap('unit', testFiles().unit, { jobs: availableParallelism() })]
}

async function test(files: readonly string[]): Promise<Outcome[]> {
  if (files.length > 0) return [await runTap('chosen', files, { jobs: 1 })]
  const { machine, e2e } = testFiles()
  return [
    ...(await check()),
    await runTap('namespaces, engines and what takes longer', machine, { jobs: availableParallelism() }),
    await runTap('end to end', e2e, { jobs: 1, timeoutSeconds: 600 }),
  ]
}

async function main(): Promise<void> {
  const [command, ...rest] = process.argv.slice(2)
  switch (command) {
    case 'setup':
      return
    case 'check':
      return summary(await check())
    case 'test':
      return summary(await test(rest))
    case 'strip':
      await import('../controlplane/testing/strip.ts')
      return
    case 'bench': {
      const { runBenchmarks } = await import('../bench/run.ts')
      return runBenchmarks(rest)
    }
    default:
      process.stderr.write(`Cannot run dev ${command ?? ''}: known are setup, check, test and bench\n`)
      process.exitCode = 2
  }
}

await main()
