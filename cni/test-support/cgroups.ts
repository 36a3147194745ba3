/** The cgroup that an engine makes for a test's pods, in every hierarchy: with the engine killed, nobody else removes it. */
import { existsSync, readdirSync, rmdirSync } from 'node:fs'
import { join } from 'node:path'

const mounted = '/sys/fs/cgroup'

function foldersIn(folder: string): string[] {
  return existsSync(folder) ? readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory()).map(({ name }) => join(folder, name)) : []
}

/** Where a cgroup of the root is: version 2 alone is mounted there itself, hierarchies of version 1 are folders of it. */
export function cgroupsNamed(name: string): string[] {
  return [mounted, ...foldersIn(mounted)].map((hierarchy) => join(hierarchy, name)).filter((folder) => existsSync(folder))
}

/** Killed processes leave their cgroup a little later. */
function removeWhenEmpty(folder: string): void {
  for (const child of foldersIn(folder)) removeWhenEmpty(child)
  for (let attempt = 1; ; attempt++) {
    try {
      rmdirSync(folder)
      return
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code === 'ENOENT') return
      if (code !== 'EBUSY' || attempt === 500) throw error
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10)
    }
  }
}

export function removeCgroups(name: string): void {
  for (const folder of cgroupsNamed(name)) removeWhenEmpty(folder)
}
