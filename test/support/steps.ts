/** Runs the steps of a check, shows what they print when they fail, and counts what passed. */
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'

export interface Outcome {
  readonly name: string
  readonly passed: number
  readonly failed: number
  readonly skipped: readonly string[]
}

const root = new URL('../..', import.meta.url).pathname

/** A step that either succeeds or fails as a whole; its output is shown only when it fails. */
export async function runStep(name: string, command: string, args: readonly string[]): Promise<Outcome> {
  const started = Date.now()
  const { code, lines } = await run(command, args, () => undefined)
  const ok = code === 0
  if (!ok) process.stdout.write(lines.map((line) => `${line}\n`).join(''))
  report(name, ok, started)
  return { name, passed: ok ? 1 : 0, failed: ok ? 0 : 1, skipped: [] }
}

/** Runs test files under tap; counts the named tests, and shows every failing one with its diagnosis. */
export async function runTap(
  name: string,
  files: readonly string[],
  options: { readonly jobs: number; readonly timeoutSeconds?: number },
): Promise<Outcome> {
  if (files.length === 0) return { name, passed: 0, failed: 0, skipped: [] }
  const started = Date.now()
  const counter = new TapCounter()
  const args = ['run', '--reporter=tap', `--jobs=${options.jobs}`, `--timeout=${options.timeoutSeconds ?? 120}`]
  const { code } = await run(`${root}node_modules/.bin/tap`, [...args, ...files], (line) => counter.line(line))
  const failed = code !== 0 && counter.failed === 0 ? 1 : counter.failed
  if (failed > 0 || counter.passed === 0) process.stdout.write(`${counter.diagnosis.join('\n')}\n`)
  report(`${name}: ${counter.passed} passed, ${failed} failed in ${files.length} files`, failed === 0, started)
  return { name, passed: counter.passed, failed, skipped: counter.skipped }
}

/** Prints the count in the form that continuous integration reads, and sets the exit status. */
export function summary(outcomes: readonly Outcome[]): void {
  const passed = outcomes.reduce((sum, outcome) => sum + outcome.passed, 0)
  const failed = outcomes.reduce((sum, outcome) => sum + outcome.failed, 0)
  const skipped = outcomes.flatMap((outcome) => outcome.skipped)
  for (const test of skipped) process.stdout.write(`skipped: ${test}\n`)
  process.stdout.write(`${passed} passed, ${failed} failed${skipped.length > 0 ? `, ${skipped.length} skipped` : ''}\n`)
  process.exitCode = failed > 0 ? 1 : 0
}

/**
 * Counts the tests of a TAP 14 stream. A test is a point that opened no subtest of its own and stands
 * directly in a file (level 1), so that one `t.test('a sentence')` counts once, whatever it asserts.
 */
export class TapCounter {
  passed = 0
  failed = 0
  readonly skipped: string[] = []
  readonly diagnosis: string[] = []
  #failing = false

  line(line: string): void {
    const point = /^( *)(not )?ok \d+ - (.*)$/.exec(line)
    if (point !== null) this.#point(point[1]!.length / 4, point[2] !== undefined, point[3]!)
    else if (/^ *(---|\.\.\.)$/.test(line) || line.trim() === '') return this.#detail(line)
    else this.#detail(line)
  }

  #point(level: number, failed: boolean, description: string): void {
    this.#failing = failed
    const skip = / # (SKIP|TODO)/i.exec(description)
    if (failed) this.diagnosis.push(`${'  '.repeat(level)}not ok ${description}`)
    if (level !== 1) {
      // a file that dies before or outside of its tests has no failing test of its own
      if (level === 0 && failed && !/failed subtest|time=/.test(description)) this.failed += 1
      return
    }
    if (skip !== null) this.skipped.push(description)
    else if (failed) this.failed += 1
    else this.passed += 1
  }

  #detail(line: string): void {
    if (this.#failing || /^ *(Error|#.*fail)/.test(line)) this.diagnosis.push(line)
  }
}

async function run(
  command: string,
  args: readonly string[],
  onLine: (line: string) => void,
): Promise<{ code: number; lines: string[] }> {
  const child = spawn(command, args, {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, PATH: `${process.execPath.replace(/\/node$/, '')}:${process.env['PATH'] ?? ''}` },
  })
  const lines: string[] = []
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on('line', (line) => {
      lines.push(line)
      onLine(line)
    })
  }
  const code = await new Promise<number>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (status) => resolve(status ?? 1))
  })
  return { code, lines }
}

function report(what: string, ok: boolean, startedAt: number): void {
  const seconds = ((Date.now() - startedAt) / 1000).toFixed(1)
  process.stdout.write(`${ok ? '✓' : '✗'} ${what} (${seconds} s)\n`)
}
