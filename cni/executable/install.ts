/** Writes the plugin executables. */
import { defaultSocketPath } from '../paths.ts'

export interface InstallOptions {
  readonly binDir: string
  /** Where the executables look for the resident part. */
  readonly socketPath?: string | undefined
  /** The Node that runs the slow path; default: this one. */
  readonly nodePath?: string | undefined
}

/** Writes `fairway` and `fairway-ipam` into `binDir`, each whole or not at all, and returns their paths. */
export function installCni({ binDir, socketPath = defaultSocketPath, nodePath = process.execPath }: InstallOptions): string[] {
  throw new Error(`Cannot install into ${binDir}: ${socketPath} ${nodePath}`)
}
