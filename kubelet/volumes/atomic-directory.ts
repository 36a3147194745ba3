/**
 * A directory whose files change all at once, as Kubernetes' atomic writer lays it out:
 *
 *     volume/..2026_11_24_02_15_00.4711/key    the files of one version
 *     volume/..data -> ..2026_11_24_…          swapped by rename(2)
 *     volume/key -> ..data/key                 what a container opens
 */
import { chmodSync, chownSync, lstatSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, readlinkSync, renameSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Payload } from './payload.ts'

export interface Ownership {
  readonly uid?: number
  readonly gid?: number
}

const dataLink = '..data'

function isMissing(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'ENOENT'
}

function currentVersion(directory: string): string | undefined {
  try {
    return readlinkSync(join(directory, dataLink))
  } catch (error) {
    if (isMissing(error)) return undefined
    throw error
  }
}

function filesUnder(directory: string): string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name).slice(directory.length + 1))
}

/** Group-readable where a group is to own it, as the kubelet does for fsGroup. */
function modeOf(mode: number, { gid }: Ownership): number {
  return gid === undefined ? mode : mode | 0o440
}

function isSame(version: string, payload: Payload, ownership: Ownership): boolean {
  try {
    const have = filesUnder(version)
    if (have.length !== payload.size) return false
    return [...payload].every(([path, { data, mode }]) => {
      const file = join(version, path)
      return data.equals(readFileSync(file)) && (statSync(file).mode & 0o7777) === modeOf(mode, ownership)
    })
  } catch (error) {
    if (isMissing(error)) return false
    throw error
  }
}

function writeVersion(version: string, payload: Payload, ownership: Ownership): void {
  chmodSync(version, 0o755)
  for (const [path, { data, mode }] of payload) {
    const file = join(version, path)
    mkdirSync(dirname(file), { recursive: true, mode: 0o755 })
    writeFileSync(file, data, { mode: 0o600 })
    chmodSync(file, modeOf(mode, ownership))
    if (ownership.uid !== undefined || ownership.gid !== undefined) chownSync(file, ownership.uid ?? 0, ownership.gid ?? 0)
  }
}

function isLink(path: string): boolean {
  try {
    return lstatSync(path).isSymbolicLink()
  } catch (error) {
    if (isMissing(error)) return false
    throw error
  }
}

/** Brings the directory to the payload; true when something changed. */
export function writeAtomically(directory: string, payload: Payload, ownership: Ownership): boolean {
  mkdirSync(directory, { recursive: true, mode: 0o755 })
  const old = currentVersion(directory)
  if (old !== undefined && isSame(join(directory, old), payload, ownership)) return false
  const version = mkdtempSync(join(directory, '..version-'))
  writeVersion(version, payload, ownership)
  const temporary = join(directory, '..data_new')
  rmSync(temporary, { force: true })
  symlinkSync(version.slice(directory.length + 1), temporary)
  renameSync(temporary, join(directory, dataLink))
  const visible = new Set([...payload.keys()].map((path) => path.split('/')[0] ?? path))
  for (const name of visible) if (!isLink(join(directory, name))) symlinkSync(join(dataLink, name), join(directory, name))
  const current = version.slice(directory.length + 1)
  for (const name of readdirSync(directory)) {
    const stale = name.startsWith('..') ? name !== dataLink && name !== current : !visible.has(name)
    if (stale) rmSync(join(directory, name), { recursive: true, force: true })
  }
  return true
}
