/** File systems in memory, mounted by mount(8): the kubelet's only mounts. */
import { execFile } from 'node:child_process'
import { mkdirSync, readFileSync } from 'node:fs'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** Mount points at or below a directory, deepest first. */
function mountsUnder(directory: string): string[] {
  const points = readFileSync('/proc/self/mountinfo', 'utf8').split('\n')
    .map((line) => (line.split(' ')[4] ?? '').replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8))))
  return points.filter((point) => point === directory || point.startsWith(`${directory}/`)).sort((a, b) => b.length - a.length)
}

export interface TmpfsOptions {
  readonly sizeBytes?: number
  /** Octal digits. */
  readonly mode: string
}

/** Mounts a tmpfs there unless one is mounted already. */
export async function ensureTmpfs(directory: string, { sizeBytes, mode }: TmpfsOptions): Promise<void> {
  mkdirSync(directory, { recursive: true })
  if (mountsUnder(directory).includes(directory)) return
  const options = [`mode=${mode}`, ...(sizeBytes === undefined ? [] : [`size=${Math.max(4096, Math.floor(sizeBytes))}`])].join(',')
  try {
    await run('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', directory])
  } catch (error) {
    throw new Error(`Cannot mount a tmpfs at ${directory}: ${(error as { stderr?: string }).stderr?.trim() || (error as Error).message}`, { cause: error })
  }
}

/** Takes away every mount at or below a directory. */
export async function unmountUnder(directory: string): Promise<void> {
  for (const point of mountsUnder(directory)) {
    try {
      await run('umount', [point])
    } catch (error) {
      throw new Error(`Cannot unmount ${point}: ${(error as { stderr?: string }).stderr?.trim() || (error as Error).message}`, { cause: error })
    }
  }
}
