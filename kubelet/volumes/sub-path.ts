/** `subPath` of a volume mount: a path inside the volume that no symbolic link leads out of. */
import { mkdirSync, realpathSync } from 'node:fs'
import { join } from 'node:path'
import { checkPath } from './payload.ts'

function isInside(path: string, root: string): boolean {
  return path === root || path.startsWith(`${root}/`)
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
      mkdirSync(next, { mode: 0o750 })
      current = realpathSync(next)
    }
    if (!isInside(current, root)) throw new Error(`subPath ${JSON.stringify(subPath)} leads out of its volume`)
  }
  return current
}
