/**
 * Where a pod's files are on the host.
 *
 *     <dataDir>/pods/<uid>/volumes/<kind>/<name>            emptyDir, configMap, downwardAPI
 *     <dataDir>/pods/<uid>/containers/<name>/<attempt>      termination messages
 *     <dataDir>/pods/<uid>/etc-hosts, resolv.conf
 *     <dataDir>/memory/<uid>/<kind>/<name>                  secret and projected, on a tmpfs
 */
import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { unmountUnder } from './mounts.ts'

const isSafe = /^[a-zA-Z0-9][\w.-]*$/

function checkName(name: string, what: string): string {
  if (!isSafe.test(name)) throw new Error(`Cannot use ${JSON.stringify(name)} as ${what} in a path`)
  return name
}

export class PodDirectories {
  readonly #dataDir: string

  constructor(dataDir: string) {
    this.#dataDir = dataDir
    mkdirSync(join(dataDir, 'pods'), { recursive: true, mode: 0o750 })
  }

  /** The tmpfs for what must not reach a disk. */
  memory(): string {
    return join(this.#dataDir, 'memory')
  }

  pod(uid: string): string {
    return join(this.#dataDir, 'pods', checkName(uid, 'a pod uid'))
  }

  volume(uid: string, kind: string, name: string): string {
    const inMemory = kind === 'secret' || kind === 'projected'
    const root = inMemory ? join(this.memory(), checkName(uid, 'a pod uid')) : join(this.pod(uid), 'volumes')
    return join(root, checkName(kind, 'a volume kind'), checkName(name, 'a volume name'))
  }

  terminationLog(uid: string, container: string, attempt: number): string {
    return join(this.pod(uid), 'containers', checkName(container, 'a container name'), String(attempt))
  }

  /** The uids of pods that have files here. */
  uids(): string[] {
    const of = (directory: string): string[] => (existsSync(directory) ? readdirSync(directory) : [])
    return [...new Set([...of(join(this.#dataDir, 'pods')), ...of(this.memory())])]
  }

  /** Unmounts and removes everything of a pod. */
  async remove(uid: string): Promise<void> {
    const directory = this.pod(uid)
    await unmountUnder(directory)
    rmSync(directory, { recursive: true, force: true })
    rmSync(join(this.memory(), uid), { recursive: true, force: true })
  }
}
