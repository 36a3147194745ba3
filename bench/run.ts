/**
 * Runs the measurements and records them: `npm run bench [NAME…]`. Each `bench/*.ts` beside this file exports
 * `bench()`; what it measures is written with the facts of the machine to `bench/results/NAME.json`.
 */
import { execFileSync } from 'node:child_process'
import { globSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { cpus, release, totalmem } from 'node:os'
import { basename, join } from 'node:path'

/** One line of a result: figures that belong together, in one unit. */
export interface Figure {
  readonly name: string
  readonly unit: string
  readonly values: Readonly<Record<string, number>>
}

const folder = new URL('.', import.meta.url).pathname

export async function runBenchmarks(chosen: readonly string[]): Promise<void> {
  const known = globSync('*.ts', { cwd: folder }).map((file) => basename(file, '.ts')).filter((name) => name !== 'run' && !name.endsWith('.test')).sort()
  const unknown = chosen.filter((name) => !known.includes(name))
  if (unknown.length > 0) {
    process.stderr.write(`Cannot measure ${unknown.join(', ')}: known are ${known.join(', ')}\n`)
    process.exitCode = 2
    return
  }
  for (const name of chosen.length > 0 ? chosen : known) {
    process.stdout.write(`\n${name}\n`)
    const { bench } = (await import(join(folder, `${name}.ts`))) as { bench: () => Promise<Figure[]> }
    const figures = await bench()
    for (const figure of figures) process.stdout.write(`  ${line(figure)}\n`)
    record(name, figures)
  }
}

/** `change to kernel: p50 4.1, p99 9.3 ms` */
function line(figure: Figure): string {
  const values = Object.entries(figure.values).map(([key, value]) => `${key} ${Number(value.toPrecision(4))}`)
  return `${figure.name}: ${values.join(', ')} ${figure.unit}`
}

function record(name: string, figures: readonly Figure[]): void {
  mkdirSync(join(folder, 'results'), { recursive: true })
  const result = { name, measured: new Date().toISOString(), machine: machine(), figures }
  writeFileSync(join(folder, 'results', `${name}.json`), `${JSON.stringify(result, null, 2)}\n`)
}

function machine(): Record<string, string | number> {
  const commit = execFileSync('git', ['describe', '--always', '--dirty'], { cwd: folder, encoding: 'utf8' }).trim()
  return {
    processor: cpus()[0]?.model ?? 'unknown',
    processors: cpus().length,
    memoryMiB: Math.round(totalmem() / 2 ** 20),
    kernel: release(),
    distribution: /^PRETTY_NAME="(.*)"$/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1] ?? 'unknown',
    node: process.version,
    commit,
  }
}

/** The value below which a share of the samples lies, by the nearest rank. */
export function percentile(samples: readonly number[], share: number): number {
  const sorted = [...samples].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(share * sorted.length) - 1))] ?? Number.NaN
}

/** p50, p99 and the largest of the samples. */
export function spread(samples: readonly number[]): Record<string, number> {
  return { p50: percentile(samples, 0.5), p99: percentile(samples, 0.99), max: samples.reduce((a, b) => Math.max(a, b), -Infinity), samples: samples.length }
}
