/** hostPath volumes: what has to be there, and what is made. */
import { closeSync, mkdirSync, openSync, statSync, type Stats } from 'node:fs'

const kinds: Readonly<Record<string, (stats: Stats) => boolean>> = {
  Directory: (stats) => stats.isDirectory(),
  File: (stats) => stats.isFile(),
  Socket: (stats) => stats.isSocket(),
  CharDevice: (stats) => stats.isCharacterDevice(),
  BlockDevice: (stats) => stats.isBlockDevice(),
}

/** Checks (or makes) a path of the host by the volume's `type`. */
export function ensureHostPath(path: string, type: string): void {
  if (!path.startsWith('/') || path.split('/').includes('..') || path.includes('\0')) throw new Error(`hostPath ${JSON.stringify(path)} is not an absolute path without ".."`)
  if (type === '') return
  const create = type.endsWith('OrCreate')
  const kind = create ? type.slice(0, -'OrCreate'.length) : type
  const matches = kinds[kind]
  if (matches === undefined) throw new Error(`hostPath type ${type} is not known`)
  if (type === 'DirectoryOrCreate') mkdirSync(path, { recursive: true, mode: 0o755 })
  if (type === 'FileOrCreate') closeSync(openSync(path, 'a', 0o644))
  const stats = statSync(path, { throwIfNoEntry: false })
  if (stats === undefined || !matches(stats)) throw new Error(`hostPath type check failed: ${path} is not a ${kind}`)
}
