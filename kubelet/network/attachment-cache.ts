/** What was attached, on disk: a DEL after a restart needs the configuration and result of its ADD. */
import { mkdirSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { JsonObject, NetworkConfig } from './conflist.ts'

export interface Attachment {
  readonly containerId: string
  readonly ifname: string
  readonly netns: string
  readonly args: string
  readonly config: NetworkConfig
  readonly capabilityArgs: JsonObject
  /** The last plugin's result; absent while ADD has not succeeded: what it did must be taken back all the same. */
  readonly result?: JsonObject
}

export class AttachmentCache {
  readonly #directory: string

  constructor(directory: string) {
    this.#directory = directory
    mkdirSync(directory, { recursive: true, mode: 0o700 })
  }

  #file(containerId: string): string {
    if (!/^[a-zA-Z0-9][\w.-]*$/.test(containerId)) throw new Error(`Cannot keep an attachment of ${JSON.stringify(containerId)}: it is no container id`)
    return join(this.#directory, `${containerId}.json`)
  }

  write(attachment: Attachment): void {
    const file = this.#file(attachment.containerId)
    writeFileSync(`${file}.new`, JSON.stringify(attachment), { mode: 0o600 })
    renameSync(`${file}.new`, file)
  }

  /** Undefined where nothing was attached, or where a crash of the host left an unreadable record. */
  read(containerId: string): Attachment | undefined {
    try {
      return JSON.parse(readFileSync(this.#file(containerId), 'utf8')) as Attachment
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT' || error instanceof SyntaxError) return undefined
      throw error
    }
  }

  remove(containerId: string): void {
    rmSync(this.#file(containerId), { force: true })
  }

  containerIds(): string[] {
    return readdirSync(this.#directory).filter((name) => name.endsWith('.json')).map((name) => name.slice(0, -'.json'.length))
  }
}
