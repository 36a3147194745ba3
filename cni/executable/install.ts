/** Writes the plugin executables. */
import { mkdirSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { defaultSocketPath } from '../paths.ts'
import { pluginNames } from '../plugins.ts'

export interface InstallOptions {
  readonly binDir: string
  /** Where the executables look for the resident part. */
  readonly socketPath?: string | undefined
  /** The Node that runs the slow path; default: this one. */
  readonly nodePath?: string | undefined
}

const standAlone = new URL('stand-alone.ts', import.meta.url).pathname

/** Writes `fairway` and `fairway-ipam` into `binDir`, each whole or not at all, and returns their paths. */
export function installCni({ binDir, socketPath = defaultSocketPath, nodePath = process.execPath }: InstallOptions): string[] {
  mkdirSync(binDir, { recursive: true })
  return pluginNames.map((name) => {
    const file = join(binDir, name)
    writeFileSync(`${file}.new`, script(name, nodePath, socketPath), { mode: 0o755 })
    renameSync(`${file}.new`, file)
    return file
  })
}

function script(name: string, nodePath: string, _socketPath: string): string {
  return `#!/bin/sh\nexec ${quoted(nodePath)} ${quoted(standAlone)} ${name}\n`
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`
}
