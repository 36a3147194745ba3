/** Any other IPAM plugin, executed as the specification says (section 4, "Plugin Delegation"): our parameters and our configuration, its own result. */
import { spawn } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { isAbsolute, join } from 'node:path'
import { isObject } from '../protocol/config.ts'
import type { PluginConfig } from '../protocol/config.ts'
import type { AttachmentId, Invocation } from '../protocol/environment.ts'
import { CniError, errorCodes } from '../protocol/error.ts'
import { decodeResult } from '../protocol/result.ts'
import type { JsonObject, Result } from '../protocol/result.ts'
import type { Plugin } from '../protocol/run.ts'

const timeoutMs = 60_000
/** What plugins say to a verb that came after them. */
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

  /** Plugins that do not know this verb have nothing to say to it. */
  async gc(config: PluginConfig): Promise<void> {
    await this.#runNew('GC', config)
  }

  async status(config: PluginConfig): Promise<void> {
    await this.#runNew('STATUS', config)
  }

  async #runNew(command: 'GC' | 'STATUS', config: PluginConfig): Promise<void> {
    try {
      await this.#run(command, config)
    } catch (error) {
      if (!(error instanceof CniError && unknownVerb.includes(error.code))) throw error
    }
  }

  async #run(command: string, config: PluginConfig, more: Readonly<Record<string, string>> = {}): Promise<unknown> {
    const file = this.#find(command, config)
    const env = { PATH: process.env['PATH'], ...config.environment, ...more, CNI_COMMAND: command }
    const { code, signal, stdout, stderr } = await execute(file, env, JSON.stringify(config.fields))
    const answer = parseAnswer(stdout)
    if (code === 0) return answer
    if (isObject(answer) && typeof answer['code'] === 'number') throw this.#refusal(command, answer)
    throw new CniError('internal', `Cannot ${command} by IPAM plugin ${this.#type}: ${signal === null ? `exit status ${code}` : `ended by ${signal}`}`, stderr.slice(0, 2000) || stdout.slice(0, 2000))
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
