/**
 * Settings under /proc/sys/net. The files show the namespace of the thread that opens them, so they are read and
 * written within `netns.run`.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { SystemCallError } from './errors.ts'
import type { Netns } from './netns.ts'

const root = '/proc/sys/net/'

/** Reads `ipv4/ip_forward`. A path, not dots: links may have dots in their names (`ipv4/conf/eth0.5/rp_filter`). */
export function readSysctl(path: string, { netns }: { readonly netns?: Netns | undefined } = {}): string {
  return access('read', path, netns, (file) => readFileSync(file, 'utf8').trimEnd())
}

/** Writes a setting; `isNotFound` is true of the error when there is no such setting. */
export function writeSysctl(path: string, value: string | number, { netns }: { readonly netns?: Netns | undefined } = {}): void {
  access('write', path, netns, (file) => {
    writeFileSync(file, `${value}\n`, { flag: 'r+' })
    return ''
  })
}

function access(verb: string, path: string, netns: Netns | undefined, fn: (file: string) => string): string {
  if (!/^[^/]+(\/[^/]+)+$/.test(path) || path.split('/').includes('..')) throw new TypeError(`Cannot ${verb} setting ${path}: not a path such as ipv4/ip_forward`)
  try {
    return netns === undefined ? fn(root + path) : netns.run<string>(() => fn(root + path))
  } catch (error) {
    const errno = (error as NodeJS.ErrnoException).errno
    if (error instanceof SystemCallError || errno === undefined) throw error
    throw new SystemCallError(`${verb} setting`, path, Math.abs(errno))
  }
}
