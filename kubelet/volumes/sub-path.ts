/** `subPath` of a volume mount: a path inside the volume that no symbolic link leads out of. */
import { closeSync, constants, fchmodSync, fchownSync, mkdirSync, openSync, readlinkSync, realpathSync, statSync } from 'node:fs'
import type { Stats } from 'node:fs'
import { join } from 'node:path'
import { checkPath } from './payload.ts'

function isInside(path: string, root: string): boolean {
  return path === root || path.startsWith(`${root}/`)
}

const groupOfDirectory = 0o2000

/**
 * Makes a directory that whoever may write the volume may write as well, whatever the umask: with the volume's mode, and its group where the volume
 * hands that on. By a descriptor, as a container may put a symbolic link in the directory's place meanwhile.
 */
function makeLike(volume: Stats, path: string, root: string): void {
  mkdirSync(path, { mode: 0o750 })
  const descriptor = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW)
  try {
    if (!isInside(readlinkSync(`/proc/self/fd/${descriptor}`), root)) throw new Error(`${path} is no longer in its volume`)
    if ((volume.mode & groupOfDirectory) !== 0) fchownSync(descriptor, -1, volume.gid)
    fchmodSync(descriptor, volume.mode & (groupOfDirectory | 0o777))
  } finally {
    closeSync(descriptor)
  }
}

/**
 * The real path of `subPath` in the volume, made as a directory where it is missing. Every step is resolved and has to stay in the volume:
 * a container may have put a symbolic link there.
 */
export function resolveSubPath(volumePath: string, subPath: string): string {
  const root = realpathSync(volumePath)
  let current = root
  for (const part of checkPath(subPath).split('/')) {
    const next = join(current, part)
    try {
      current = realpathSync(next)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
      makeLike(statSync(root), next, root)
      current = realpathSync(next)
    }
    if (!isInside(current, root)) throw new Error(`subPath ${JSON.stringify(subPath)} leads out of its volume`)
  }
  return current
}
