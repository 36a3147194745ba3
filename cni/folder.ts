/** Making a folder with those above it. */
import { existsSync, mkdirSync } from 'node:fs'
import { dirname, resolve } from 'node:path'

/** As mkdir(1) with `-p`. Node's own recursive way never ends below /proc, where a folder that is there says that it is not (ENOENT) when one is made in it. */
export function makeFolder(path: string, mode = 0o777): void {
  const missing: string[] = []
  for (let place = resolve(path); !existsSync(place); place = dirname(place)) missing.push(place)
  for (const place of missing.toReversed()) {
    try {
      mkdirSync(place, { mode })
    } catch (error) {
      // another process was faster
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST' || !existsSync(place)) throw error
    }
  }
}
