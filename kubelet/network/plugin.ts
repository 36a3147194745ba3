/** Runs one CNI plugin executable (CNI specification 1.1.0, section 2: parameters in the environment, configuration on stdin). */
import { spawn } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { join } from 'node:path'
import type { Clock } from '../../api/clock.ts'
import type { JsonObject } from './conflist.ts'

export type Command = 'ADD' | 'DEL' | 'CHECK' | 'STATUS' | 'GC'

export interface Invocation {
  readonly command: Command
  readonly containerId?: string
  readonly netns?: string
  readonly ifname?: string
  readonly args?: string
}

export interface PluginHost {
  /** Directories with plugin executables, in order of preference. */
  readonly path: readonly string[]
  readonly timeoutMs: number
  readonly clock: Clock
}

/** What a plugin said: its error object, or that it could not be run. */
class PluginError extends Error {
  override readonly name = 'PluginError'
  /** The specification's code; 100 and up are the plugin's own; 0 when it gave none. */
  readonly code: number

  constructor(command: Command, type: string, code: number, words: string) {
    super(`Cannot run CNI ${command} of plugin ${type}: ${words}`)
    this.code = code
  }
}

function findExecutable(type: string, { path }: PluginHost, command: Command): string {
  for (const directory of path) {
    try {
      accessSync(join(directory, type), constants.X_OK)
      return join(directory, type)
    } catch (error) {
      if (!['ENOENT', 'ENOTDIR', 'EACCES'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error
    }
  }
  throw new PluginError(command, type, 0, `no executable of that name in ${path.join(', ')}`)
}

function environmentOf(invocation: Invocation, host: PluginHost): NodeJS.ProcessEnv {
  const { command, containerId, netns, ifname, args } = invocation
  return {
    PATH: process.env['PATH'],
    CNI_COMMAND: command,
    CNI_PATH: host.path.join(':'),
    ...(containerId === undefined ? {} : { CNI_CONTAINERID: containerId }),
    ...(netns === undefined ? {} : { CNI_NETNS: netns }),
    ...(ifname === undefined ? {} : { CNI_IFNAME: ifname }),
    ...(args === undefined ? {} : { CNI_ARGS: args }),
  }
}

interface Finished {
  readonly code: number | null
  readonly signal: string | null
  readonly stdout: string
  readonly stderr: string
}

function run(file: string, environment: NodeJS.ProcessEnv, input: string, host: PluginHost): Promise<Finished | 'timeout'> {
  return new Promise((resolve, reject) => {
    const child = spawn(file, [], { env: environment, stdio: ['pipe', 'pipe', 'pipe'] })
    const out: Buffer[] = []
    const err: Buffer[] = []
    let late = false
    const timer = host.clock.setTimeout(() => {
      late = true
      child.kill('SIGKILL')
      // A grandchild may hold the pipes open after its parent is gone.
      child.stdout.destroy()
      child.stderr.destroy()
    }, host.timeoutMs)
    child.stdout.on('data', (data: Buffer) => out.push(data))
    child.stderr.on('data', (data: Buffer) => err.push(data))
    // A plugin that ends without reading its configuration is judged by its exit code and words.
    child.stdin.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') child.kill('SIGKILL')
    })
    child.on('error', (error) => {
      timer.cancel()
      reject(error)
    })
    child.on('close', (code, signal) => {
      timer.cancel()
      resolve(late ? 'timeout' : { code, signal, stdout: Buffer.concat(out).toString(), stderr: Buffer.concat(err).toString() })
    })
    child.stdin.end(input)
  })
}

function parseObject(text: string): JsonObject | undefined {
  if (text.trim() === '') return undefined
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as JsonObject) : undefined
  } catch {
    return undefined
  }
}

function errorFrom(command: Command, type: string, { code, signal, stdout, stderr }: Finished): PluginError {
  const object = parseObject(stdout)
  if (typeof object?.['code'] === 'number') {
    const details = typeof object['details'] === 'string' && object['details'] !== '' ? `; ${object['details']}` : ''
    return new PluginError(command, type, object['code'], `${String(object['msg'] ?? '')}${details} (code ${object['code']})`)
  }
  const words = stderr.trim() || stdout.trim() || 'it said nothing'
  return new PluginError(command, type, 0, `${signal === null ? `exit code ${code}` : `ended by ${signal}`}: ${words.slice(0, 2000)}`)
}

/** Runs the plugin with its execution configuration; resolves to the result object of ADD, or undefined for the other verbs. */
export async function runPlugin(type: string, config: JsonObject, invocation: Invocation, host: PluginHost): Promise<JsonObject | undefined> {
  const { command } = invocation
  const file = findExecutable(type, host, command)
  let finished: Finished | 'timeout'
  try {
    finished = await run(file, environmentOf(invocation, host), JSON.stringify(config), host)
  } catch (error) {
    throw new PluginError(command, type, 0, (error as Error).message)
  }
  if (finished === 'timeout') throw new PluginError(command, type, 0, `it took longer than ${host.timeoutMs} ms`)
  if (finished.code !== 0) throw errorFrom(command, type, finished)
  if (command !== 'ADD') return undefined
  const result = parseObject(finished.stdout)
  if (result === undefined) throw new PluginError(command, type, 0, `its result is not a JSON object: ${finished.stdout.slice(0, 200)}`)
  return result
}
