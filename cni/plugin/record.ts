/**
 * What is known of an attachment beside its addresses, in a file of its own: what it has in the nftables tables, and that another IPAM plugin gave its
 * addresses. Written before anything of it is done and removed last, so that DEL and GC find it after a crash.
 */
import { readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { isAbsolute, join } from 'node:path'
import { makeFolder } from '../folder.ts'
import { ipamType } from '../ipam/index.ts'
import { defaultDataDir } from '../paths.ts'
import { invalidConfig, isObject } from '../protocol/config.ts'
import type { PluginConfig } from '../protocol/config.ts'
import { isContainerId, isInterfaceName } from '../protocol/environment.ts'
import type { AttachmentId } from '../protocol/environment.ts'
import type { Translation } from './translation.ts'
import { hostLinkName } from './want.ts'

export interface AttachmentRecord extends AttachmentId {
  readonly translation: Translation
}

/** The records of one network. */
export class Records {
  readonly #folder: string

  constructor(config: PluginConfig) {
    this.#folder = join(dataDirOf(config), 'attachments', config.name)
  }

  #file(attachment: AttachmentId): string {
    return join(this.#folder, `${hostLinkName(attachment)}.json`)
  }

  write(record: AttachmentRecord): void {
    const file = this.#file(record)
    makeFolder(this.#folder, 0o700)
    writeFileSync(`${file}.new`, JSON.stringify(record), { mode: 0o600 })
    renameSync(`${file}.new`, file)
  }

  /** Undefined where there is none, or none that can be read. */
  read(attachment: AttachmentId): AttachmentRecord | undefined {
    try {
      return decode(readFileSync(this.#file(attachment), 'utf8'))
    } catch (error) {
      if (isMissing(error)) return undefined
      throw error
    }
  }

  remove(attachment: AttachmentId): void {
    const file = this.#file(attachment)
    rmSync(file, { force: true })
    rmSync(`${file}.new`, { force: true })
  }

  list(): AttachmentRecord[] {
    try {
      return readdirSync(this.#folder).filter((name) => name.endsWith('.json')).flatMap((name) => decode(readFileSync(join(this.#folder, name), 'utf8')) ?? [])
    } catch (error) {
      if (isMissing(error)) return []
      throw error
    }
  }
}

/** Another IPAM plugin's `dataDir` is its own. */
function dataDirOf({ fields, ipam }: PluginConfig): string {
  const folder = fields['dataDir'] ?? (ipam?.['type'] === ipamType ? ipam['dataDir'] : undefined) ?? defaultDataDir
  if (typeof folder !== 'string' || !isAbsolute(folder)) throw invalidConfig(`dataDir ${JSON.stringify(folder)} is not an absolute path`)
  return folder
}

function isMissing(error: unknown): boolean {
  return ['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')
}

function decode(text: string): AttachmentRecord | undefined {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    if (error instanceof SyntaxError) return undefined
    throw error
  }
  const { containerId, ifname, translation } = isObject(value) ? value : {}
  if (!isContainerId(containerId) || !isInterfaceName(ifname) || !isObject(translation) || !Array.isArray(translation['addresses']) || !Array.isArray(translation['mappings'])) return undefined
  return { containerId, ifname, translation: translation as unknown as Translation }
}
