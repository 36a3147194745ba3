/** Writes the plugin executables. */
import { renameSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { makeFolder } from '../folder.ts'
import { defaultSocketPath } from '../paths.ts'
import { pluginNames } from '../plugins.ts'
import { shimProgram } from './shim.ts'

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
  return pluginNames.map((name) => {
    const file = join(binDir, name)
    const slowPath = [nodePath, standAlone, name]
    write(file, process.arch === 'x64' ? shimProgram({ name, socketPath, slowPath }) : script(slowPath))
    return file
  })
}

/** A program that runs cannot be written to, but replaced. */
function write(file: string, content: string | Uint8Array): void {
  try {
    makeFolder(dirname(file))
    writeFileSync(`${file}.new`, content, { mode: 0o755 })
    renameSync(`${file}.new`, file)
  } catch (error) {
    throw new Error(`Cannot write plugin ${file}: ${(error as Error).message}`, { cause: error })
  }
}

/** On other processors there is the slow path only. */
function script(slowPath: readonly string[]): string {
  return `#!/bin/sh\nexec ${slowPath.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(' ')}\n`
}
