/** Any other IPAM plugin, executed as the specification says (section 4, "Plugin Delegation"): our parameters and our configuration, its own result. */
import { spawn } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { isAbsolute, join } from 'node:path'
import { isObject } from '../protocol/config.ts'
import type { PluginConfig } from '../protocol/config.ts'
import type { AttachmentId, Invocation } from '../protocol/environment.ts'
import { CniError, errorCodes } from '../protocol/error.ts'
import { decodeResult, encodeResult } from '../protocol/result.ts'
import type { JsonObject, Result } from '../protocol/result.ts'
import type { Plugin } from '../protocol/run.ts'
import { isAtLeast, since, supportedVersions } from '../protocol/version.ts'
import type { CniVersion } from '../protocol/version.ts'

const timeoutMs = 60_000
/** What plugins say to a verb that came after them, where they do not say what they know. */
const unknownVerb: readonly number[] = [errorCodes.incompatibleVersion, errorCodes.invalidEnvironment]

export class DelegatedIpam implements Plugin {
  readonly #type: string

  /** `type` is a checked name: it becomes a path. */
  constructor(type: string) {
    this.#type = type
  }

  /** What cannot be read was given all the same, and is given back. */
  async add(config: PluginConfig, invocation: Invocation): Promise<Result> {
    const answer = await this.#run('ADD', config)
    try {
      if (!isObject(answer)) throw new CniError('undecodable', `Cannot read result of IPAM plugin ${this.#type}: it is not a JSON object`)
      return decodeResult(answer, `result of IPAM plugin ${this.#type}`)
    } catch (error) {
      await this.del(config, invocation)
      throw error
    }
  }

  async del(config: PluginConfig, { containerId, ifname }: AttachmentId): Promise<void> {
    await this.#run('DEL', config, { CNI_CONTAINERID: containerId, CNI_IFNAME: ifname })
  }

  async check(config: PluginConfig): Promise<void> {
    await this.#run('CHECK', config)
  }

  /** Not sent to a plugin older than the verb, which has nothing to say to it: what is stale it is told to DEL one by one. */
  async gc(config: PluginConfig): Promise<void> {
    await this.#runNew('GC', config)
  }

  async status(config: PluginConfig): Promise<void> {
    await this.#runNew('STATUS', config)
  }

  async #runNew(command: 'GC' | 'STATUS', config: PluginConfig): Promise<void> {
    const versions = await this.#versions(config, command)
    if (versions.length > 0 && !versions.some((version) => isAtLeast(version, since[command]))) return
    try {
      await this.#execute(command, config, config.fields)
    } catch (error) {
      if (!(error instanceof CniError && unknownVerb.includes(error.code))) throw error
    }
  }

  /** In a version that it knows, where it does not know the configuration's: what it gave under an older configuration can be given back under a newer. */
  async #run(command: 'ADD' | 'DEL' | 'CHECK', config: PluginConfig, more: Readonly<Record<string, string>> = {}): Promise<unknown> {
    try {
      return await this.#execute(command, config, config.fields, more)
    } catch (error) {
      if (!(error instanceof CniError && error.code === errorCodes.incompatibleVersion)) throw error
      const version = (await this.#versions(config, command)).findLast((one) => !isAtLeast(one, config.cniVersion))
      if (version === undefined) throw error
      if (command === 'CHECK' && !isAtLeast(version, since.CHECK)) return undefined
      return this.#execute(command, config, inVersion(config, version), more)
    }
  }

  /** What it says it knows, of what is known here; none where it says nothing. Oldest first. */
  async #versions(config: PluginConfig, command: string): Promise<CniVersion[]> {
    const { code, stdout } = await this.#call('VERSION', command, config, { cniVersion: config.cniVersion })
    const answer = parseAnswer(stdout)
    const versions = code === 0 && isObject(answer) && Array.isArray(answer['supportedVersions']) ? answer['supportedVersions'] : []
    return supportedVersions.filter((version) => versions.includes(version))
  }

  async #execute(command: string, config: PluginConfig, fields: JsonObject, more: Readonly<Record<string, string>> = {}): Promise<unknown> {
    const { code, signal, stdout, stderr } = await this.#call(command, command, config, fields, more)
    const answer = parseAnswer(stdout)
    if (code === 0) return answer
    if (isObject(answer) && typeof answer['code'] === 'number') throw this.#refusal(command, answer)
    throw new CniError('internal', `Cannot ${command} by IPAM plugin ${this.#type}: ${signal === null ? `exit status ${code}` : `ended by ${signal}`}`, stderr.slice(0, 2000) || stdout.slice(0, 2000))
  }

  #call(...[command, on, config, fields, more = {}]: [command: string, on: string, config: PluginConfig, fields: JsonObject, more?: Readonly<Record<string, string>>]): Promise<Finished> {
    return execute(this.#find(on, config), { PATH: process.env['PATH'], ...config.environment, ...more, CNI_COMMAND: command }, JSON.stringify(fields))
  }

  #refusal(command: string, { code, msg, details }: JsonObject): CniError {
    return new CniError(Number(code), `Cannot ${command} by IPAM plugin ${this.#type}: ${String(msg ?? '')}`, typeof details === 'string' && details !== '' ? details : undefined)
  }

  #find(command: string, { environment }: PluginConfig): string {
    const folders = (environment['CNI_PATH'] ?? '').split(':').filter((folder) => isAbsolute(folder))
    for (const folder of folders) {
      const file = join(folder, this.#type)
      try {
        accessSync(file, constants.X_OK)
        return file
      } catch (error) {
        if (!['ENOENT', 'ENOTDIR', 'EACCES'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error
      }
    }
    throw new CniError(command === 'STATUS' ? 'notAvailable' : 'invalidConfig', `Cannot find IPAM plugin ${this.#type}: no executable of that name in CNI_PATH ${folders.join(':')}`)
  }
}

/** A configuration as one of an older version; the result that it holds becomes one of that version too. */
function inVersion({ fields, prevResult }: PluginConfig, cniVersion: CniVersion): JsonObject {
  return { ...fields, cniVersion, ...(prevResult === undefined ? {} : { prevResult: encodeResult(prevResult, cniVersion) }) }
}

interface Finished {
  readonly code: number | null
  readonly signal: string | null
  readonly stdout: string
  readonly stderr: string
}

function execute(file: string, env: Readonly<Record<string, string | undefined>>, input: string): Promise<Finished> {
  return new Promise((resolve, reject) => {
    const child = spawn(file, [], { env, stdio: ['pipe', 'pipe', 'pipe'], timeout: timeoutMs, killSignal: 'SIGKILL' })
    const out: Buffer[] = []
    const err: Buffer[] = []
    child.stdout.on('data', (data: Buffer) => out.push(data))
    child.stderr.on('data', (data: Buffer) => err.push(data))
    // one that ends without reading is judged by what it says
    child.stdin.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') child.kill('SIGKILL')
    })
    child.on('error', reject)
    child.on('close', (code, signal) => resolve({ code, signal, stdout: Buffer.concat(out).toString(), stderr: Buffer.concat(err).toString() }))
    child.stdin.end(input)
  })
}

function parseAnswer(text: string): unknown {
  if (text.trim() === '') return undefined
  try {
    return JSON.parse(text)
  } catch (error) {
    if (error instanceof SyntaxError) return undefined
    throw error
  }
}
