/**
 * What the kernel keeps for a network namespace's tables. Elements are charged to the memory cgroup of whoever adds them and stay so when
 * that process has ended, so the difference that deleting the namespace makes is theirs alone, whatever else the machine does.
 */
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

/** Where cgroup v1 or v2 has the memory controller. */
const roots = ['/sys/fs/cgroup/memory', '/sys/fs/cgroup/unified', '/sys/fs/cgroup']
/** The kernel frees a namespace in the background. */
const freedMs = 1_500

export class KernelMemory implements Disposable {
  readonly #path: string

  constructor(name: string) {
    const root = roots.find((path) => existsSync(`${path}/memory.kmem.usage_in_bytes`) || existsSync(`${path}/memory.stat`))
    if (root === undefined) throw new Error('Cannot measure memory of the kernel: there is no memory cgroup')
    this.#path = `${root}/${name}`
    mkdirSync(this.#path)
  }

  /** Has a process and what it starts charged here. */
  add(pid: number): void {
    writeFileSync(`${this.#path}/cgroup.procs`, String(pid))
  }

  /** How much goes when `release` is done, in MiB. All processes must have ended. */
  async freedBy(release: () => void): Promise<number> {
    await sleep(freedMs)
    const before = this.#usedMiB()
    release()
    await sleep(freedMs)
    return before - this.#usedMiB()
  }

  #usedMiB(): number {
    const v1 = `${this.#path}/memory.kmem.usage_in_bytes`
    if (existsSync(v1)) return Number(readFileSync(v1, 'utf8')) / 2 ** 20
    return Number(/^kernel (\d+)/m.exec(readFileSync(`${this.#path}/memory.stat`, 'utf8'))?.[1] ?? Number.NaN) / 2 ** 20
  }

  [Symbol.dispose](): void {
    rmdirSync(this.#path)
  }
}
